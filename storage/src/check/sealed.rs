//! Every byte of a sealed segment: each part has a checksum of its own.

use std::io;

use super::frames::Frames;
use crate::{
    codec::Input,
    disk::SegmentFile,
    error::StorageError,
    frame::FrameError,
    number::InstanceNumber,
    recover::Place,
    sealed::{
        layout::{
            BLOCK_ENTRY_BYTES, BatchRow, BlockEntry, DIRECTORY_ROW_BYTES, DirectoryRow,
            HEADER_BYTES, Part, ROW_BYTES, TRAILER_BYTES, header,
        },
        summary::read_trailer,
    },
    walk::read_full,
};

/// Read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A segment that is read.
pub(super) struct Segment<'a> {
    pub(super) file: &'a dyn SegmentFile,
    pub(super) instance: InstanceNumber,
    pub(super) number: u64,
    pub(super) length: u64,
}

impl Segment<'_> {
    /// Checks all of it.
    ///
    /// # Errors
    /// [`StorageError::Refused`] for one of a newer version; [`StorageError::Read`].
    pub(super) fn check(&self, frames: &mut Frames) -> Result<(), StorageError> {
        frames.sealed_begins(self.number);
        self.try_check(frames)
            .map_err(|source| StorageError::Read {
                what: format!("sealed segment {}", self.number),
                source,
            })?
    }

    fn try_check(&self, frames: &mut Frames) -> io::Result<Result<(), StorageError>> {
        if self.bytes(0, HEADER_BYTES as u64)? != header() {
            self.bad(frames, (0, HEADER_BYTES as u64), "the header is damaged");
        }
        let trailer = match read_trailer(self.file, self.length)? {
            Ok((_, trailer)) => trailer,
            Err(newer @ FrameError::Newer(_)) => {
                let why = format!("sealed segment {}: {newer}", self.number);
                return Ok(Err(StorageError::Refused(why)));
            }
            Err(FrameError::Malformed) => {
                let at = self.length.saturating_sub(TRAILER_BYTES as u64);
                self.bad(
                    frames,
                    (at, self.length),
                    "the trailer is damaged: what else is there was not read",
                );
                return Ok(Ok(()));
            }
        };
        if (trailer.instance, trailer.file) != (self.instance, self.number) {
            let what = format!(
                "it is segment {} of instance {}",
                trailer.file, trailer.instance
            );
            self.bad(frames, (0, self.length), &what);
        }
        frames.groups += u64::from(trailer.commits.count);
        for row in 0..u64::from(trailer.topics) {
            let at = trailer
                .directory
                .saturating_add(row * DIRECTORY_ROW_BYTES as u64);
            let bytes = self.bytes(at, DIRECTORY_ROW_BYTES as u64)?;
            match DirectoryRow::decode(&bytes) {
                Ok(row) => self.check_topic(frames, &row)?,
                Err(_) if bytes.is_empty() => break,
                Err(_) => self.bad(
                    frames,
                    (at, at + DIRECTORY_ROW_BYTES as u64),
                    "a row of the directory is damaged",
                ),
            }
        }
        self.check_part(frames, trailer.ends, "the ends are damaged")?;
        self.check_part(frames, trailer.commits, "the commit entries are damaged")?;
        Ok(Ok(()))
    }

    /// Index, rows and batches of one topic.
    fn check_topic(&self, frames: &mut Frames, row: &DirectoryRow) -> io::Result<()> {
        let place = Place {
            file: self.number,
            position: row.run,
        };
        let offsets = (row.topic, row.first_offset, row.end_offset);
        frames.sealed_topic(place, offsets, row.max_timestamp);
        frames.records += row.records;
        let mut next = row.first_offset;
        for block in 0..u64::from(row.blocks) {
            let at = row.index.saturating_add(block * BLOCK_ENTRY_BYTES as u64);
            let bytes = self.bytes(at, BLOCK_ENTRY_BYTES as u64)?;
            let Ok(entry) = BlockEntry::decode(&bytes) else {
                self.bad(
                    frames,
                    (at, at + BLOCK_ENTRY_BYTES as u64),
                    "a block entry is damaged",
                );
                if bytes.is_empty() {
                    return Ok(());
                }
                continue;
            };
            if entry.topic != row.topic || entry.base_offset < next {
                self.bad(
                    frames,
                    (at, at + BLOCK_ENTRY_BYTES as u64),
                    "a block entry is of another place",
                );
            }
            next = entry.end_offset();
            self.check_block(frames, &entry)?;
        }
        if next != row.end_offset && row.blocks > 0 {
            self.bad(
                frames,
                (row.index, row.index),
                "the blocks do not reach the end that the directory names",
            );
        }
        Ok(())
    }

    fn check_block(&self, frames: &mut Frames, entry: &BlockEntry) -> io::Result<()> {
        let rows = self.bytes(entry.rows, u64::from(entry.batches) * ROW_BYTES as u64)?;
        let range = (entry.rows, entry.rows + rows.len() as u64);
        if crc32fast::hash(&rows) != entry.rows_crc {
            self.bad(frames, range, "the rows of a block are damaged");
            frames.lost((entry.topic, entry.base_offset, entry.end_offset()));
            return Ok(());
        }
        let mut input = Input::new(&rows);
        let (mut position, mut offset) = (entry.position, entry.base_offset);
        for _ in 0..entry.batches {
            let Ok(batch) = BatchRow::decode(&mut input) else {
                self.bad(frames, range, "the rows of a block cannot be read");
                return Ok(());
            };
            let end = position + u64::from(batch.bytes);
            let next = offset.saturating_add(i64::from(batch.records));
            if self.crc(position, u64::from(batch.bytes))? != batch.crc {
                self.bad(frames, (position, end), "a batch does not fit its checksum");
                frames.lost((entry.topic, offset, next));
            }
            (position, offset) = (end, next);
        }
        Ok(())
    }

    fn check_part(&self, frames: &mut Frames, part: Part, what: &str) -> io::Result<()> {
        if self.crc(part.position, part.bytes)? != part.crc {
            self.bad(
                frames,
                (part.position, part.position.saturating_add(part.bytes)),
                what,
            );
        }
        Ok(())
    }

    fn bad(&self, frames: &mut Frames, (from, to): (u64, u64), what: &str) {
        let place = Place {
            file: self.number,
            position: from,
        };
        frames.complain(place, to, what);
    }

    /// Up to `count` bytes from `position` on; fewer at the end of the file.
    fn bytes(&self, position: u64, count: u64) -> io::Result<Vec<u8>> {
        let count = count.min(self.length.saturating_sub(position));
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        let read = read_full(self.file, position, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn crc(&self, position: u64, count: u64) -> io::Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        let mut left = count.min(self.length.saturating_sub(position));
        let mut at = position;
        while left > 0 {
            let piece = self.bytes(at, left.min(PIECE_BYTES as u64))?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            at += piece.len() as u64;
            left -= piece.len() as u64;
        }
        Ok(hasher.finalize())
    }
}
