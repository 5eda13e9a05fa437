//! From one file to the next: room, footer, the next file and its checkpoint.

use std::io;

use bytes::Bytes;

use super::{Journal, Now, file::OpenFile};
use crate::{
    error::StorageError,
    frame::{
        FrameHeader, Kind, checkpoint::Checkpoint, commit::TOPIC_ENTRY_BYTES, footer::FIXED_BYTES,
        frame_bytes,
    },
    index::FileIndex,
    journal_file::NextFile,
    log::FileFacts,
    recycled::Head,
    salt::new_salt,
};

/// What a frame takes from a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of the frame.
    bytes: u64,
    /// By which the footer grows.
    footer_growth: u64,
}

impl Room {
    pub(super) fn data(bytes: u64) -> Self {
        Self {
            bytes,
            footer_growth: FileIndex::DATA_GROWTH,
        }
    }

    pub(super) fn commit(bytes: u64, topics: usize) -> Self {
        Self {
            bytes,
            footer_growth: FileIndex::commit_growth(topics),
        }
    }

    /// Bytes of a commit frame's entries for so many topics.
    pub(super) fn topic_bytes(topics: usize) -> u64 {
        (topics * TOPIC_ENTRY_BYTES) as u64
    }

    /// Bytes of a file that holds this frame, its footer, and `before` them.
    fn own_file_bytes(self, before: u64) -> u64 {
        before + self.bytes + frame_bytes(FIXED_BYTES + self.footer_growth)
    }
}

impl Journal {
    /// Finishes the open file and opens the next, if it has at least one group and is older than
    /// [`JournalOptions::file_age`](super::JournalOptions::file_age). Does nothing inside a group, or where there is
    /// no space for the next file.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn roll_if_due(&mut self, now: Now) -> Result<(), StorageError> {
        let age = now.monotonic.saturating_sub(self.file.opened);
        let has_groups = self.state.last.file == self.file.number;
        if self.open.number.is_some() || !has_groups || age < self.options.file_age {
            return Ok(());
        }
        match self.ready_next_file() {
            // Then the open file goes on a little longer.
            Err(StorageError::NoSpace(_)) => return Ok(()),
            ready => ready?,
        }
        self.guarded(|journal| {
            journal.roll(
                now,
                Room {
                    bytes: 0,
                    footer_growth: 0,
                },
            )?;
            journal.file.handle.sync()?;
            journal.sync_names()?;
            journal.durable = journal.durable_tail();
            Ok(())
        })
    }

    /// Sees to it that a frame fits the open file: opens the next one if it does not.
    pub(super) fn make_room(&mut self, now: Now, room: Room) -> io::Result<()> {
        if self.fits(room) {
            return Ok(());
        }
        self.roll(now, room)
    }

    /// Whether a frame fits the open file, with the footer that is then needed.
    pub(super) fn fits(&self, room: Room) -> bool {
        let growth = self.open.footer_growth + room.footer_growth;
        let footer = self.file.index.footer_bytes(growth);
        self.file.end + room.bytes + footer <= self.file.length
    }

    /// Bytes of a file that has this frame only.
    pub(super) fn own_file_bytes(&mut self, room: Room) -> u64 {
        let checkpoint = self.checkpoint(Now::default(), Head::default());
        room.own_file_bytes(self.files.head_bytes_max() + frame_bytes(checkpoint.len() as u64))
    }

    /// Finishes the open file and opens the next, long enough for `room`.
    fn roll(&mut self, now: Now, room: Room) -> io::Result<()> {
        self.finish_file()?;
        let number = self.file.number + 1;
        let NextFile {
            handle,
            head,
            is_named,
        } = self.files.take(number)?;
        self.directory_dirty |= !is_named;
        let checkpoint = self.checkpoint(now, head);
        let needed = room.own_file_bytes(head.first + frame_bytes(checkpoint.len() as u64));
        // A frame that needs more makes the file longer as it is written.
        let length = self.options.file_bytes.max(needed);
        let salt = head.salt.unwrap_or_else(new_salt);
        let mut next = OpenFile::new(number, (head, salt), handle, length, now.monotonic);
        if head.salt.is_some() {
            self.memo.note_recycled();
        }
        let group = self.state.last.group;
        next.push(
            FrameHeader::new(Kind::Checkpoint, number, salt, group),
            checkpoint,
        );
        next.flush()?;
        let facts = FileFacts {
            salt: Some(salt),
            first: head.first,
            bytes: length,
            sealed: None,
        };
        self.log.put_file(number, facts);
        self.replace_file(next);
        self.files.prepare(number + 1);
        Ok(())
    }

    /// Footer and sync of the open file.
    fn finish_file(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let last_group = self.state.last.group;
        let number = self.file.number;
        if self.open.frames.is_empty() {
            self.file.write_footer(&self.file.index, last_group, 0)?;
            self.file.handle.sync()?;
            self.log.thin(number, &self.file.index);
            return Ok(());
        }
        let mut index = self.file.index.clone();
        self.open.index_into(number, &mut index);
        let open_group = self.open.number.unwrap_or(0);
        self.file.write_footer(&index, last_group, open_group)?;
        self.file.handle.sync()?;
        self.open.finished.push((number, index));
        Ok(())
    }

    /// `next` becomes the open file. The tail stays in the old one if a group is open.
    fn replace_file(&mut self, next: OpenFile) {
        self.open.footer_growth = 0;
        let end = next.end;
        let old = std::mem::replace(&mut self.file, next);
        if self.open.frames.is_empty() {
            self.tail = end;
        } else if self.held.is_none() {
            self.held = Some(old);
        }
    }

    fn checkpoint(&mut self, now: Now, head: Head) -> Bytes {
        // Retention moves the starts, in the log.
        for (topic, state) in &mut self.state.topics {
            if let Some(ends) = self.log.ends(*topic) {
                state.start = ends.start;
            }
        }
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            created_ms: now.wall_ms,
            former: head.salt.is_some(),
        };
        Bytes::from(checkpoint.encode())
    }

    /// Makes the names of new files durable.
    pub(super) fn sync_names(&mut self) -> io::Result<()> {
        if self.directory_dirty {
            self.disk.sync_directory(&self.folder)?;
            self.directory_dirty = false;
        }
        Ok(())
    }
}
