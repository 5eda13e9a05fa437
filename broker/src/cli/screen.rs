//! Standard error, shared by log lines and, on a terminal, one line that is written over in place.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

/// Back to the first column, and everything to the right gone.
const ERASE: &[u8] = b"\r\x1b[2K";

/// Where people read. Cheap to clone; what one clone writes never lands inside another's line.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    terminal: bool,
    /// The line that stands below everything else, empty if there is none.
    status: Arc<Mutex<String>>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            status: Arc::default(),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a line.
    pub(super) fn line(&self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(b'\n');
        self.write_above_status(&bytes);
    }

    /// On a terminal replaces the status line; elsewhere writes a line.
    pub(super) fn status(&self, text: &str) {
        if !self.terminal {
            self.line(text);
            return;
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone_into(&mut status);
        put(&[ERASE, text.as_bytes()]);
    }

    /// Leaves the status line where it is, for the shell's prompt to come below it.
    pub(super) fn end_status(&self) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut *status).is_empty() {
            put(&[b"\n"]);
        }
    }

    fn write_above_status(&self, bytes: &[u8]) {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_empty() {
            put(&[bytes]);
        } else {
            put(&[ERASE, bytes, status.as_bytes()]);
        }
    }
}

/// A terminal that is gone is no reason to stop: nobody is left to tell.
fn put(parts: &[&[u8]]) {
    io::stderr().write_all(&parts.concat()).unwrap_or(());
}

/// One log line at a time, written whole.
#[derive(Debug)]
pub(super) struct LogLine<'a>(&'a Screen);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_above_status(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(self)
    }
}
