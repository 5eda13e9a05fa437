//! Faults of the modelled disk: which operation fails, how, and a log of all of them.

use std::{io, ops::Range};

use rustix::io::Errno;

/// What a numbered operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// A new name.
    Create,
    /// Bytes of a file.
    Write,
    /// A file made durable.
    Sync,
    /// A name replaced by another.
    Rename,
    /// A name taken away.
    Remove,
    /// A folder.
    CreateFolder,
    /// Names made durable.
    SyncDirectory,
}

/// One operation that happened, or was asked for and failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// From 0.
    pub number: u64,
    /// What it was.
    pub kind: OperationKind,
    /// File or folder; of a rename the old name.
    pub name: String,
    /// Bytes of the file, for a write; else empty.
    pub range: Range<u64>,
}

/// What happens instead of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`; nothing of it happens. A sync calls the bytes clean.
    Io,
    /// `ENOSPC`; nothing of it happens.
    NoSpace,
    /// A write: the first bytes are in the page cache, then `EIO`. Other operations: as [`Fault::Io`].
    IoAfter(usize),
    /// A write: the first bytes are in the page cache, then `ENOSPC`. Other operations: as [`Fault::NoSpace`].
    NoSpaceAfter(usize),
    /// The process dies: nothing of it happens, and everything later, reads included, gives the error that
    /// [`is_crash`] knows.
    Crash,
    /// As [`Fault::Crash`], with the first bytes of a write in the page cache.
    CrashAfter(usize),
}

impl Fault {
    fn bytes_written(self) -> usize {
        match self {
            Self::Io | Self::NoSpace | Self::Crash => 0,
            Self::IoAfter(bytes) | Self::NoSpaceAfter(bytes) | Self::CrashAfter(bytes) => bytes,
        }
    }

    fn error(self) -> io::Error {
        match self {
            Self::Io | Self::IoAfter(_) => Errno::IO.into(),
            Self::NoSpace | Self::NoSpaceAfter(_) => Errno::NOSPC.into(),
            Self::Crash | Self::CrashAfter(_) => crash(),
        }
    }
}

/// Whether `error` comes from an operation after a [`Fault::Crash`].
#[must_use]
pub fn is_crash(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.to_string() == CRASH)
}

const CRASH: &str = "the modelled process crashed";

fn crash() -> io::Error {
    io::Error::other(CRASH)
}

#[derive(Debug, Default, Clone)]
pub(super) struct Faults {
    log: Vec<Operation>,
    at: Vec<(u64, Fault)>,
    nth: Vec<(OperationKind, u64, Fault)>,
    crashed: bool,
}

impl Faults {
    pub(super) fn at(&mut self, number: u64, fault: Fault) {
        self.at.push((number, fault));
    }

    pub(super) fn nth(&mut self, kind: OperationKind, count: u64, fault: Fault) {
        self.nth.push((kind, count, fault));
    }

    pub(super) fn log(&self) -> &[Operation] {
        &self.log
    }

    pub(super) fn next_number(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.crashed
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(crash()) } else { Ok(()) }
    }

    /// Counts an operation that happens whole or not at all.
    pub(super) fn operation(
        &mut self,
        kind: OperationKind,
        name: &str,
        range: Range<u64>,
    ) -> io::Result<()> {
        self.alive()?;
        self.next(kind, name, range)
            .map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// Counts a write. `Some`: so many bytes happen, then the error.
    pub(super) fn write(&mut self, name: &str, range: Range<u64>) -> Option<(usize, io::Error)> {
        if self.crashed {
            return Some((0, crash()));
        }
        let fault = self.next(OperationKind::Write, name, range)?;
        Some((fault.bytes_written(), fault.error()))
    }

    fn next(&mut self, kind: OperationKind, name: &str, range: Range<u64>) -> Option<Fault> {
        let number = self.next_number();
        self.log.push(Operation {
            number,
            kind,
            name: name.to_owned(),
            range,
        });
        let fault = self.due(number, kind);
        self.crashed |= matches!(fault, Some(Fault::Crash | Fault::CrashAfter(_)));
        fault
    }

    fn due(&mut self, number: u64, kind: OperationKind) -> Option<Fault> {
        let mut due = self
            .at
            .iter()
            .find(|(at, _)| *at == number)
            .map(|(_, fault)| *fault);
        for (_, count, fault) in self
            .nth
            .iter_mut()
            .filter(|(of, count, _)| *of == kind && *count > 0)
        {
            *count -= 1;
            if *count == 0 {
                due = due.or(Some(*fault));
            }
        }
        due
    }
}
