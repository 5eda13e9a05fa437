//! What a read gives: bytes in memory, or where in a sealed segment they are, to be sent from there.

use std::{fmt, io, ops::Range, os::fd::BorrowedFd, sync::Arc};

use bytes::Bytes;

use super::Log;
use crate::disk::SegmentFile;

/// Between two places that [`FileRange::warm`] touches.
const TOUCH_BYTES: usize = 64 * 1024;

/// Whole stored batches that follow each other.
#[derive(Debug, Clone)]
pub enum Batches {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(FileRange),
}

impl Batches {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(range) => range.length,
        }
    }
}

/// A stretch of a sealed segment whose checksums were right when it was first read after the start. It keeps the file,
/// whatever retention does.
#[derive(Clone)]
pub struct FileRange {
    handle: Arc<dyn SegmentFile>,
    file: u64,
    position: u64,
    length: usize,
}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            position,
            length,
            ..
        } = self;
        write!(f, "file {file}, {length} bytes from {position} on")
    }
}

impl FileRange {
    pub(super) fn new(
        handle: &Arc<dyn SegmentFile>,
        (file, position): (u64, u64),
        length: usize,
    ) -> Self {
        Self {
            handle: Arc::clone(handle),
            file,
            position,
            length,
        }
    }

    /// Takes in what follows; `false` where `next` does not.
    pub(super) fn extend(&mut self, next: &Self) -> bool {
        let follows = next.file == self.file && next.position == self.position + self.length as u64;
        if follows {
            self.length += next.length;
        }
        follows
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.length
    }

    /// Gives `socket`, which must not block, as much of `range` (of this stretch) as it takes now. Waits for the disk
    /// where the file is not in memory: see [`FileRange::warm`].
    ///
    /// # Errors
    /// `WouldBlock`: the socket takes nothing now. `UnexpectedEof`: the file has become shorter. Others are those of the
    /// socket or of the disk: then [`Log::distrust`].
    pub fn send(&self, range: Range<usize>, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let position = self.position + range.start as u64;
        match self.handle.send(position, range.len(), socket)? {
            0 if !range.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        }
    }

    /// Has the system read `range` (of this stretch) into memory, where it is not there yet. Blocks on the disk.
    pub fn warm(&self, range: Range<usize>) {
        let from = self.position + range.start as u64;
        self.handle.will_need(from, range.len() as u64);
        // The hint does not wait. A byte here and there does, for all that was asked for before it.
        for position in self.touched(range) {
            // What cannot be read is noticed when it is sent.
            let _read = self.handle.read_at(position, &mut [0]);
        }
    }

    /// Whether the system has `range` (of this stretch) in memory, as far as a byte here and there tells. Does not wait.
    pub(super) fn is_warm(&self, range: Range<usize>) -> bool {
        self.touched(range)
            .all(|position| self.handle.is_in_memory(position))
    }

    fn touched(&self, range: Range<usize>) -> impl Iterator<Item = u64> {
        let from = self.position + range.start as u64;
        let last = range.len().checked_sub(1);
        let places = (0..range.len()).step_by(TOUCH_BYTES).chain(last);
        places.map(move |at| from + at as u64)
    }
}

impl Log {
    /// `range` could not be sent: its file is verified again, and a read that fails says so.
    pub fn distrust(&self, range: &FileRange) {
        self.forget_verified(range.file);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::fd::AsFd, os::unix::net::UnixStream, path::Path};

    use super::*;
    use crate::disk::{SegmentStore, real::RealDisk};

    const BYTES: usize = 300_000;

    fn byte(at: usize) -> u8 {
        u8::try_from(at % 251).expect("below 251")
    }

    /// All of a real file but its first 1,000 bytes.
    fn range(folder: &Path) -> FileRange {
        let bytes: Vec<_> = (0..BYTES).map(byte).collect();
        fs::write(folder.join("file"), bytes).expect("writes");
        let disk = RealDisk::open(folder).expect("is a folder");
        let handle = disk.open("file").expect("opens");
        FileRange::new(&handle, (1, 1000), BYTES - 1000)
    }

    #[test]
    fn a_socket_gets_what_it_takes_and_then_the_rest() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let range = range(folder.path());
        range.warm(0..range.size());
        let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
        here.set_nonblocking(true).expect("does not block");
        let mut sent = 0;
        let mut waits = 0;
        let mut got = Vec::new();
        while got.len() < range.size() {
            match range.send(sent..range.size(), here.as_fd()) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    waits += 1;
                    let mut some = vec![0; sent - got.len()];
                    there.read_exact(&mut some).expect("receives");
                    got.extend(some);
                }
                Err(error) => panic!("{error}"),
            }
            if sent == range.size() {
                let mut some = vec![0; sent - got.len()];
                there.read_exact(&mut some).expect("receives");
                got.extend(some);
            }
        }
        assert!(waits > 0, "the socket was never full");
        assert!(got.into_iter().eq((1000..BYTES).map(byte)));
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let range = range(folder.path());
        let file = fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join("file"));
        file.and_then(|file| file.set_len(2000)).expect("cuts");
        let (here, _there) = UnixStream::pair().expect("a pair of sockets");
        assert_eq!(range.send(0..5000, here.as_fd()).expect("sends"), 1000);
        let error = range.send(1000..5000, here.as_fd()).expect_err("is cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        range.warm(0..range.size());
    }
}
