//! Taking an unfinished group back.

use std::io;

use super::{Journal, OpenGroup, file::OpenFile};
use crate::{disk::SegmentFile, error::StorageError, journal_file};

/// Zeros written at once.
const ZEROS_BYTES: usize = 64 * 1024;

impl Journal {
    /// Drops the open group: everything behind the last commit frame is taken off the disk and synced. The group's
    /// number is not used again. Without an open group it does nothing.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn rewind(&mut self) -> Result<(), StorageError> {
        self.guarded(|journal| {
            let open = std::mem::take(&mut journal.open);
            if open.frames.is_empty() {
                return Ok(());
            }
            match journal.held.take() {
                Some(held) => journal.rewind_files(held, &open),
                None => journal.rewind_file(),
            }
        })
    }

    /// The group is in the open file only.
    fn rewind_file(&mut self) -> io::Result<()> {
        let written = self.file.written();
        self.file.cut(self.tail);
        if written <= self.tail {
            return Ok(());
        }
        write_zeros(self.file.handle.as_ref(), self.tail, written)?;
        self.file.handle.sync()
    }

    /// The group began in `held`, which was finished with a part of it, and went on in later files.
    fn rewind_files(&mut self, held: OpenFile, open: &OpenGroup) -> io::Result<()> {
        for number in (held.number + 1..=self.file.number).rev() {
            self.disk
                .remove(&journal_file::name(&self.folder, number))?;
            self.log.remove_file(number);
        }
        self.disk.sync_directory(&self.folder)?;
        self.directory_dirty = false;
        self.file = held;
        let footer = open
            .finished
            .iter()
            .find(|(number, _)| *number == self.file.number)
            .map_or(self.tail, |(_, index)| self.file.footer_position(index));
        let end = self.file.end;
        self.file.cut(self.tail);
        write_zeros(self.file.handle.as_ref(), self.tail, end)?;
        write_zeros(self.file.handle.as_ref(), footer, self.file.length)?;
        self.file.handle.sync()
    }
}

/// Overwrites `from..to` with zeros.
pub(crate) fn write_zeros(file: &dyn SegmentFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = [0; ZEROS_BYTES];
    let mut position = from;
    while position < to {
        let rest = usize::try_from(to - position).unwrap_or(ZEROS_BYTES);
        let piece = zeros.get(..rest).unwrap_or(&zeros);
        file.write_at(position, &[piece])?;
        position += piece.len() as u64;
    }
    Ok(())
}
