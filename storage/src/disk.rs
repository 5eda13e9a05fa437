//! The disk as the journal and `catalog.log` see it: a directory of files, written at positions, synced.
//!
//! Two implementations: `real` (the operating system) and `model` (the tests' disk: loses unsynced writes and
//! directory entries at a power cut, tears writes, flips bits, fails syncs, fills up). `unsynced` is `real` for benches. Synchronous. Names are
//! relative paths with `/`, at most two levels.

pub mod model;
pub mod real;
pub mod unsynced;

use std::{fmt, io, os::fd::BorrowedFd, sync::Arc};

use rustix::net::SendFlags;

/// Of a file that is no real one, at once.
const SENT_BYTES: usize = 64 * 1024;

/// A directory of files. One process writes; any number of threads read.
pub trait SegmentStore: fmt::Debug + Send + Sync {
    /// Creates `name` with `zeros` bytes of written zeros (written, not only allocated: only then is a later
    /// `sync` cheap) and syncs them. The entry is durable after [`SegmentStore::sync_directory`].
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn create(&self, name: &str, zeros: u64) -> io::Result<Arc<dyn SegmentFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;

    /// File names directly under `folder` ("" is the root), sorted. A missing folder is empty.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Renames, replacing `to`. Durable after [`SegmentStore::sync_directory`].
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`SegmentStore::sync_directory`].
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Creates `folder` if missing and makes it durable.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Bytes that can still be written, as far as the system tells: quotas do not show.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    /// Makes creations, renames and removals directly under `folder` durable.
    ///
    /// # Errors
    /// What the system says. Final, as a failed [`SegmentFile::sync`].
    fn sync_directory(&self, folder: &str) -> io::Result<()>;
}

/// One open file. Positions are bytes from its start.
pub trait SegmentFile: fmt::Debug + Send + Sync {
    /// Writes all of `slices`, one behind the other, from `position` on (one `pwritev` where possible).
    /// Extends the file if it ends before.
    ///
    /// # Errors
    /// What the system says; any part may have been written.
    fn write_at(&self, position: u64, slices: &[&[u8]]) -> io::Result<()>;

    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Says that `length` bytes from `position` on will be read soon, in any order with others: they may be fetched
    /// meanwhile. Only a hint.
    fn will_need(&self, _position: u64, _length: u64) {}

    /// Whether the byte at `position` is in memory, so that a read there does not wait for a disk. Does not wait itself.
    fn is_in_memory(&self, _position: u64) -> bool {
        false
    }

    /// Gives `socket` up to `length` bytes from `position` on, as many as it takes now. 0: the file ends there. A real file
    /// does it without a copy through this process.
    ///
    /// # Errors
    /// `WouldBlock` where the socket takes nothing now; what the system says of either.
    fn send(&self, position: u64, length: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut copy = vec![0; length.min(SENT_BYTES)];
        let count = self.read_at(position, &mut copy)?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::net::send(socket, copy.get(..count).unwrap_or_default(), flags)?;
        Ok(sent)
    }

    /// Makes everything written so far durable (`fdatasync`). An error is final: the kernel may call the
    /// lost pages clean, so the caller poisons itself and never calls again.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;
}
