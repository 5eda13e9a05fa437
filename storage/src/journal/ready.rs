//! Space before it is needed. The only writes of a group that make the disk fuller are those of a new file, and a new
//! file is made whole before anything is written to it. So a full disk shows here, where nothing has happened yet: the
//! caller waits, with the group open, and asks again. What fails inside a group is final as ever.

use std::io;

use super::{CommitGroup, Journal, roll::Room};
use crate::{error::StorageError, frame::frame_bytes, journal_file::Missing};

/// Of a commit frame: header, fixed part, and what each source entry has beside its position.
const COMMIT_FIXED_BYTES: u64 = 64 + 48;
const SOURCE_FIXED_BYTES: u64 = 16;

/// What must stay free beside a file of a length of its own, which is not zero-written, bytes: sled and the catalog
/// write meanwhile.
const SPARE_BYTES: u64 = 16 * 1024 * 1024;

impl Journal {
    /// Sees to it that a batch of `bytes` can be appended. To be called before [`Journal::append`].
    ///
    /// # Errors
    /// [`StorageError::NoSpace`]: the next file cannot be made. Nothing has changed, an open group stays open: ask again
    /// when there is space, or [`Journal::rewind`]. Otherwise as [`Journal::append`].
    pub fn ready_to_append(&mut self, bytes: usize) -> Result<(), StorageError> {
        self.ready(Room::data(frame_bytes(bytes as u64)))
    }

    /// Sees to it that the open group can be committed. To be called before [`Journal::commit`].
    ///
    /// # Errors
    /// As [`Journal::ready_to_append`].
    pub fn ready_to_commit(&mut self, group: &CommitGroup) -> Result<(), StorageError> {
        let topics = self.open.ends.len();
        let sources = group.positions.iter();
        let sources = sources.map(|(_, position)| SOURCE_FIXED_BYTES + position.0.len() as u64);
        let body = COMMIT_FIXED_BYTES + sources.sum::<u64>() + Room::topic_bytes(topics);
        self.ready(Room::commit(frame_bytes(body), topics))
    }

    fn ready(&mut self, room: Room) -> Result<(), StorageError> {
        self.check_writable()?;
        if self.fits(room) {
            return Ok(());
        }
        let own = self.own_file_bytes(room);
        let own = own.saturating_sub(self.options.file_bytes);
        if own > 0 && self.disk.free_bytes().unwrap_or(u64::MAX) < own + SPARE_BYTES {
            let why = format!("{}: a file for a frame of {own} bytes more", self.folder);
            return Err(StorageError::NoSpace(why));
        }
        self.ready_next_file()
    }

    /// Sees to it that the next file is there.
    pub(super) fn ready_next_file(&mut self) -> Result<(), StorageError> {
        match self.files.make_sure(self.file.number + 1) {
            Ok(()) => Ok(()),
            Err(Missing::NoSpace(error)) => {
                let why = format!("{}: cannot make the next file: {error}", self.folder);
                Err(StorageError::NoSpace(why))
            }
            Err(Missing::Failed(error)) => self.guarded(|_| Err::<(), io::Error>(error)),
        }
    }
}
