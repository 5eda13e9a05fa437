//! What sled keeps of a sealed segment, so that a start opens none of them: where each topic starts and ends, and
//! where its index is (`docs/format.md`, "Sealed segments in sled").
//!
//! This is the one place that knows how it is derived: from the segment's trailer and directory
//! ([`Summary::read`]). Sled without a note costs a start these two reads.

use std::io;

use super::layout::{DIRECTORY_ROW_BYTES, DirectoryRow, TRAILER_BYTES, Trailer};
use crate::{
    codec::{Input, Output, raw_time, time_or_none},
    disk::SegmentFile,
    error::StorageError,
    frame::FrameError,
    meta::{MetaBatch, MetaStore, key, long_value},
    number::{InstanceNumber, TopicNumber},
    walk::read_full,
};

const VERSION: u8 = 1;
const TOPIC_BYTES: usize = 40;
/// Bytes of a key without its chunk number.
const KEY_BYTES: usize = 13;

/// What a segment holds of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SummaryTopic {
    pub(crate) topic: TopicNumber,
    pub(crate) blocks: u32,
    pub(crate) first_offset: i64,
    /// Exclusive.
    pub(crate) end_offset: i64,
    /// In this segment.
    pub(crate) highest_timestamp: i64,
    /// Position of the block entries.
    pub(crate) index: u64,
}

/// A segment in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) instance: InstanceNumber,
    pub(crate) file: u64,
    /// Running time, seconds.
    pub(crate) sealed_at: u64,
    pub(crate) highest_commit_ms: Option<i64>,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// The trailer's own checksum: tells the segment from another of the same number.
    pub(crate) trailer_crc: u32,
    pub(crate) topics: Vec<SummaryTopic>,
}

impl Summary {
    /// `encoded` ends with the trailer.
    pub(crate) fn of(
        trailer: &Trailer,
        encoded: &[u8],
        directory: &[DirectoryRow],
        bytes: u64,
    ) -> Self {
        let crc = encoded.last_chunk::<4>().copied().unwrap_or_default();
        Self {
            instance: trailer.instance,
            file: trailer.file,
            sealed_at: trailer.sealed_at,
            highest_commit_ms: trailer.highest_commit_ms,
            bytes,
            trailer_crc: u32::from_be_bytes(crc),
            topics: directory.iter().map(SummaryTopic::of).collect(),
        }
    }

    /// Derives it from the segment itself. Rows of the directory that are damaged are missing in it.
    ///
    /// # Errors
    /// [`FrameError`] where the trailer cannot be read, or is not that of segment `file` of `instance`.
    pub(crate) fn read(
        segment: &dyn SegmentFile,
        (instance, file): (InstanceNumber, u64),
    ) -> io::Result<Result<Self, FrameError>> {
        let bytes = segment.length()?;
        let trailer = match read_trailer(segment, bytes)? {
            Ok(trailer) => trailer,
            Err(error) => return Ok(Err(error)),
        };
        let rows = u64::from(trailer.1.topics) * DIRECTORY_ROW_BYTES as u64;
        let is_ours = trailer.1.instance == instance && trailer.1.file == file;
        let fits = trailer.1.directory.saturating_add(rows) <= bytes;
        if !is_ours || !fits {
            return Ok(Err(FrameError::Malformed));
        }
        let mut encoded = vec![0; usize::try_from(rows).unwrap_or(0)];
        let count = read_full(segment, trailer.1.directory, &mut encoded)?;
        encoded.truncate(count);
        let rows = encoded.chunks_exact(DIRECTORY_ROW_BYTES);
        let directory: Vec<_> = rows
            .filter_map(|row| DirectoryRow::decode(row).ok())
            .collect();
        Ok(Ok(Self::of(&trailer.1, &trailer.0, &directory, bytes)))
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = vec![VERSION, 0, 0, 0];
        value.u32(self.instance.0);
        value.u64(self.sealed_at);
        value.i64(raw_time(self.highest_commit_ms));
        value.u64(self.bytes);
        value.u32(self.trailer_crc);
        value.count(self.topics.len());
        for topic in &self.topics {
            value.u32(topic.topic.0);
            value.u32(topic.blocks);
            value.i64(topic.first_offset);
            value.i64(topic.end_offset);
            value.i64(topic.highest_timestamp);
            value.u64(topic.index);
        }
        value
    }

    fn decode(file: u64, value: &[u8]) -> Result<Self, FrameError> {
        let mut input = Input::new(value);
        if input.u8()? != VERSION {
            return Err(FrameError::Newer("note of a sealed segment"));
        }
        input.zeros(3)?;
        let instance = InstanceNumber(input.u32()?);
        let sealed_at = input.u64()?;
        let highest_commit_ms = time_or_none(input.i64()?);
        let (bytes, trailer_crc) = (input.u64()?, input.u32()?);
        let count = input.u32()?;
        let topics = input.list(count, TOPIC_BYTES, SummaryTopic::decode)?;
        input.end()?;
        Ok(Self {
            instance,
            file,
            sealed_at,
            highest_commit_ms,
            bytes,
            trailer_crc,
            topics,
        })
    }

    /// Adds to `batch` what makes sled know the segment.
    ///
    /// # Errors
    /// As [`long_value::put`].
    pub(crate) fn put(
        &self,
        batch: &mut MetaBatch,
        meta: &dyn MetaStore,
    ) -> Result<(), StorageError> {
        let key = key::sealed(self.instance, self.file);
        long_value::put(batch, meta, &key, &self.encode())
    }

    /// Adds to `batch` what makes sled forget segment `file`.
    ///
    /// # Errors
    /// As [`MetaStore::scan`].
    pub(crate) fn forget(
        (instance, file): (InstanceNumber, u64),
        batch: &mut MetaBatch,
        meta: &dyn MetaStore,
    ) -> Result<(), StorageError> {
        let chunks = meta.scan(&key::sealed(instance, file))?;
        batch
            .changes
            .extend(chunks.into_iter().rev().map(|(key, _)| (key, None)));
        Ok(())
    }

    /// All segments of `instance` that sled knows, ascending. A note that cannot be read is as none: it is derived again.
    ///
    /// # Errors
    /// [`StorageError::Refused`] for a newer version's; as [`long_value::scan`].
    pub(crate) fn all(
        meta: &dyn MetaStore,
        instance: InstanceNumber,
    ) -> Result<Vec<Self>, StorageError> {
        let mut all = Vec::new();
        for (key, value) in long_value::scan(meta, &key::sealed_of(instance), KEY_BYTES)? {
            let Some(file) = key
                .last_chunk::<8>()
                .map(|bytes| u64::from_be_bytes(*bytes))
            else {
                continue;
            };
            match Self::decode(file, &value) {
                Ok(summary) => all.push(summary),
                Err(FrameError::Malformed) => {}
                Err(newer @ FrameError::Newer(_)) => {
                    return Err(StorageError::Refused(format!("sled: {newer}")));
                }
            }
        }
        Ok(all)
    }
}

impl SummaryTopic {
    fn of(row: &DirectoryRow) -> Self {
        Self {
            topic: row.topic,
            blocks: row.blocks,
            first_offset: row.first_offset,
            end_offset: row.end_offset,
            highest_timestamp: row.highest_timestamp,
            index: row.index,
        }
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            topic: TopicNumber(input.u32()?),
            blocks: input.u32()?,
            first_offset: input.i64()?,
            end_offset: input.i64()?,
            highest_timestamp: input.i64()?,
            index: input.u64()?,
        })
    }
}

/// The trailer of a segment of `bytes`, and its bytes.
pub(crate) fn read_trailer(
    segment: &dyn SegmentFile,
    bytes: u64,
) -> io::Result<Result<([u8; TRAILER_BYTES], Trailer), FrameError>> {
    let Some(position) = bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(Err(FrameError::Malformed));
    };
    let mut encoded = [0; TRAILER_BYTES];
    read_full(segment, position, &mut encoded)?;
    Ok(Trailer::decode(&encoded).map(|trailer| (encoded, trailer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::memory::MemoryMeta;

    fn summary(file: u64, topics: u32) -> Summary {
        let topic = |number| SummaryTopic {
            topic: TopicNumber(number),
            blocks: 2,
            first_offset: 5,
            end_offset: 50,
            highest_timestamp: 1000,
            index: 16,
        };
        Summary {
            instance: InstanceNumber(3),
            file,
            sealed_at: 60,
            highest_commit_ms: None,
            bytes: 12_345,
            trailer_crc: 77,
            topics: (1..=topics).map(topic).collect(),
        }
    }

    #[test]
    fn notes_are_kept_found_by_instance_and_forgotten() {
        let meta = MemoryMeta::new();
        let notes = [summary(9, 300), summary(10, 0)];
        for note in &notes {
            let mut batch = MetaBatch::default();
            note.put(&mut batch, &meta).expect("puts");
            meta.commit(&batch).expect("commits");
        }
        let found = |instance| Summary::all(&meta, InstanceNumber(instance)).expect("reads");
        assert_eq!(found(3), notes);
        assert_eq!(found(2), []);
        let mut batch = MetaBatch::default();
        Summary::forget((InstanceNumber(3), 9), &mut batch, &meta).expect("reads");
        meta.commit(&batch).expect("commits");
        assert_eq!(found(3), notes[1..]);
    }

    #[test]
    fn a_note_has_the_length_of_the_format() {
        assert_eq!(summary(1, 3).encode().len(), 40 + 3 * TOPIC_BYTES);
    }
}
