//! A database session that stays open: one `psql` that is fed by hand.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::Process;

/// What ends the answer to one script.
const END: &str = "-- end of answer --";

/// An open session. A failed statement does not end it; its message is in the log.
#[derive(Debug)]
pub struct Session {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(super) fn open(mut psql: Command, directory: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let log = directory.join(format!(
            "session-{}",
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        let errors = File::create(&log).expect("the directory is ours");
        psql.args(["-A", "-t", "-v", "ON_ERROR_STOP=0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut process = Process::of_command("psql", psql, &log);
        let input = process.child().stdin.take().expect("it was piped");
        let output = process.child().stdout.take().expect("it was piped");
        Self {
            process,
            input,
            output: BufReader::new(output),
        }
    }

    /// Runs a script (statements, COPY with its data, psql's own commands) to its end and gives its rows as
    /// text. Errors of statements are not errors here: the database knows what it did.
    pub fn run(&mut self, script: &str) -> String {
        self.try_run(script)
            .unwrap_or_else(|| panic!("the session has ended:\n{}", self.process.log()))
    }

    /// The same; `None` when the session has ended, as it does when the server stops.
    pub fn try_run(&mut self, script: &str) -> Option<String> {
        // An aborted transaction would swallow the end mark: psql's own command does not care.
        let script = format!("{script}\n\\echo '{END}'\n");
        self.input
            .write_all(script.as_bytes())
            .and_then(|()| self.input.flush())
            .ok()?;
        let mut answer = String::new();
        loop {
            let before = answer.len();
            if self.output.read_line(&mut answer).ok()? == 0 {
                return None;
            }
            if answer
                .get(before..)
                .is_some_and(|line| line.trim_end() == END)
            {
                answer.truncate(before);
                return Some(answer);
            }
        }
    }

    /// The messages of failed statements so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
