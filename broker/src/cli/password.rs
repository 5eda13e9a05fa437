//! A password that a person or a script gives: by prompt, standard input or file, never as an argument, which other
//! users of the machine could see.

use std::{io, path::PathBuf};

use clap::Args;

use super::Exit;
use crate::config::secret::{self, PasswordFrom};

/// Where it comes from; a prompt if nothing else is said.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// Read the password from standard input, without its last line break.
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
    /// Read the password from a file, without its last line break.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// Reads it. A prompt shows nothing of it, and asks twice.
    pub(super) fn read(&self) -> Result<String, Exit> {
        if self.password_stdin {
            let read = secret::without_line_break(io::stdin().lock());
            return read.map_err(|error| {
                Exit::Failed(format!(
                    "cannot read the password from standard input: {error}"
                ))
            });
        }
        match &self.password_file {
            Some(path) => PasswordFrom::File(path.clone()).read().map_err(Exit::Usage),
            None => prompted(),
        }
    }
}

fn prompted() -> Result<String, Exit> {
    let password = ask("Password: ")?;
    if ask("The same again: ")? == password {
        return Ok(password);
    }
    Err(Exit::Usage(
        "the two passwords differ; nothing is done".to_owned(),
    ))
}

fn ask(prompt: &str) -> Result<String, Exit> {
    rpassword::prompt_password(prompt).map_err(|error| {
        Exit::Usage(format!(
            "no terminal to ask for the password ({error}): give it by --password-stdin or --password-file PATH"
        ))
    })
}
