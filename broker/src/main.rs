//! The command `headwater`.

use std::process::ExitCode;

use clap::Parser;
use headwater::cli::{self, Cli};

fn main() -> ExitCode {
    ExitCode::from(cli::run(Cli::parse()))
}
