//! The bytes of a sealed segment (`docs/format.md`, "Sealed segment"). Pure. All integers are big endian.
//!
//! ```text
//! header 16 | per topic: index (block entries, 56 each), rows (24 each), run | directory (96 each)
//! | ends (16 each) | commits | trailer 112
//! ```

use crate::{
    codec::{Input, Output, raw_time, time_or_none},
    frame::FrameError,
    number::{InstanceNumber, TopicNumber},
};

/// A block is closed by the batch with which it has this many bytes.
pub(crate) const BLOCK_BYTES: u64 = 256 * 1024;
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const BLOCK_ENTRY_BYTES: usize = 56;
pub(crate) const ROW_BYTES: usize = 24;
pub(crate) const DIRECTORY_ROW_BYTES: usize = 96;
pub(crate) const TRAILER_BYTES: usize = 112;

const MAGIC: &[u8; 8] = b"HWSEALED";
const VERSION: u32 = 1;

/// The header.
pub(crate) fn header() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.u32(VERSION);
    close(bytes)
}

/// Appends the checksum of what is there.
fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.u32(crc);
    bytes
}

/// What the checksum at the end of `bytes` covers, if it is right.
fn covered(bytes: &[u8]) -> Result<Input<'_>, FrameError> {
    let (covered, crc) = bytes.split_last_chunk::<4>().ok_or(FrameError::Malformed)?;
    if crc32fast::hash(covered) == u32::from_be_bytes(*crc) {
        Ok(Input::new(covered))
    } else {
        Err(FrameError::Malformed)
    }
}

/// Block entries that a run of `bytes` has room for: no run has more.
pub(crate) fn blocks_max(bytes: u64) -> u64 {
    bytes / BLOCK_BYTES + 1
}

/// Whole batches of a run: what readers load at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    /// Of its first batch.
    pub(crate) base_offset: i64,
    /// Running maximum timestamp of the topic before it.
    pub(crate) max_before: i64,
    pub(crate) position: u64,
    pub(crate) bytes: u32,
    pub(crate) batches: u32,
    /// Position of its batches' rows.
    pub(crate) rows: u64,
    pub(crate) records: u32,
    pub(crate) topic: TopicNumber,
    pub(crate) rows_crc: u32,
}

impl BlockEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_ENTRY_BYTES);
        bytes.i64(self.base_offset);
        bytes.i64(self.max_before);
        bytes.u64(self.position);
        bytes.u32(self.bytes);
        bytes.u32(self.batches);
        bytes.u64(self.rows);
        bytes.u32(self.records);
        bytes.u32(self.topic.0);
        bytes.u32(self.rows_crc);
        close(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut input = covered(bytes)?;
        let entry = Self {
            base_offset: input.i64()?,
            max_before: input.i64()?,
            position: input.u64()?,
            bytes: input.u32()?,
            batches: input.u32()?,
            rows: input.u64()?,
            records: input.u32()?,
            topic: TopicNumber(input.u32()?),
            rows_crc: input.u32()?,
        };
        input.end()?;
        Ok(entry)
    }

    /// Exclusive.
    pub(crate) fn end_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.records))
    }
}

/// One batch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchRow {
    pub(crate) bytes: u32,
    pub(crate) records: u32,
    pub(crate) crc: u32,
    pub(crate) max_timestamp: i64,
}

impl BatchRow {
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        to.u32(self.bytes);
        to.u32(self.records);
        to.u32(self.crc);
        to.u32(0);
        to.i64(self.max_timestamp);
    }

    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Self, FrameError> {
        let (bytes, records, crc) = (input.u32()?, input.u32()?, input.u32()?);
        input.zeros(4)?;
        Ok(Self {
            bytes,
            records,
            crc,
            max_timestamp: input.i64()?,
        })
    }
}

/// What a segment holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectoryRow {
    pub(crate) topic: TopicNumber,
    pub(crate) batches: u32,
    pub(crate) blocks: u32,
    pub(crate) first_offset: i64,
    /// Exclusive.
    pub(crate) end_offset: i64,
    pub(crate) records: u64,
    /// Of the run.
    pub(crate) bytes: u64,
    pub(crate) highest_timestamp: i64,
    /// Running maximum at the end of this file.
    pub(crate) max_timestamp: i64,
    pub(crate) index: u64,
    pub(crate) rows: u64,
    pub(crate) run: u64,
    pub(crate) run_crc: u32,
}

impl DirectoryRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(DIRECTORY_ROW_BYTES);
        bytes.u32(self.topic.0);
        bytes.u32(0);
        bytes.u32(self.batches);
        bytes.u32(self.blocks);
        bytes.i64(self.first_offset);
        bytes.i64(self.end_offset);
        bytes.u64(self.records);
        bytes.u64(self.bytes);
        bytes.i64(self.highest_timestamp);
        bytes.i64(self.max_timestamp);
        bytes.u64(self.index);
        bytes.u64(self.rows);
        bytes.u64(self.run);
        bytes.u32(self.run_crc);
        close(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut input = covered(bytes)?;
        let topic = TopicNumber(input.u32()?);
        if input.u16()? != 0 {
            return Err(FrameError::Newer("second partition"));
        }
        input.zeros(2)?;
        let row = Self {
            topic,
            batches: input.u32()?,
            blocks: input.u32()?,
            first_offset: input.i64()?,
            end_offset: input.i64()?,
            records: input.u64()?,
            bytes: input.u64()?,
            highest_timestamp: input.i64()?,
            max_timestamp: input.i64()?,
            index: input.u64()?,
            rows: input.u64()?,
            run: input.u64()?,
            run_crc: input.u32()?,
        };
        input.end()?;
        Ok(row)
    }
}

/// A part of the file with a checksum of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    /// Things in it.
    pub(crate) count: u32,
    pub(crate) crc: u32,
}

/// The end of the file: whose it is, and where its parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) instance: InstanceNumber,
    pub(crate) file: u64,
    /// Running time, seconds.
    pub(crate) sealed_at: u64,
    /// Wall clock, ms. For people.
    pub(crate) created_ms: i64,
    /// In this file, ms.
    pub(crate) highest_commit_ms: Option<i64>,
    pub(crate) directory: u64,
    pub(crate) topics: u32,
    pub(crate) ends: Part,
    pub(crate) commits: Part,
}

impl Trailer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.u32(VERSION);
        bytes.u32(self.instance.0);
        bytes.u64(self.file);
        bytes.u64(self.sealed_at);
        bytes.i64(self.created_ms);
        bytes.i64(raw_time(self.highest_commit_ms));
        bytes.u64(self.directory);
        bytes.u32(self.topics);
        bytes.u32(0);
        bytes.u64(self.ends.position);
        bytes.u32(self.ends.count);
        bytes.u32(self.ends.crc);
        bytes.u64(self.commits.position);
        bytes.u64(self.commits.bytes);
        bytes.u32(self.commits.count);
        bytes.u32(self.commits.crc);
        bytes.u32(0);
        close(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut input = covered(bytes)?;
        if input.bytes(MAGIC.len())? != MAGIC {
            return Err(FrameError::Malformed);
        }
        if input.u32()? != VERSION {
            return Err(FrameError::Newer("sealed segment"));
        }
        let (instance, file) = (InstanceNumber(input.u32()?), input.u64()?);
        let (sealed_at, created_ms) = (input.u64()?, input.i64()?);
        let highest_commit_ms = time_or_none(input.i64()?);
        let (directory, topics) = (input.u64()?, input.u32()?);
        input.zeros(4)?;
        let (position, count, crc) = (input.u64()?, input.u32()?, input.u32()?);
        let ends = Part {
            position,
            bytes: u64::from(count) * crate::frame::commit::TOPIC_ENTRY_BYTES as u64,
            count,
            crc,
        };
        let commits = Part {
            position: input.u64()?,
            bytes: input.u64()?,
            count: input.u32()?,
            crc: input.u32()?,
        };
        input.zeros(4)?;
        input.end()?;
        Ok(Self {
            instance,
            file,
            sealed_at,
            created_ms,
            highest_commit_ms,
            directory,
            topics,
            ends,
            commits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailer() -> Trailer {
        let part = |position| Part {
            position,
            bytes: 32,
            count: 2,
            crc: 9,
        };
        Trailer {
            instance: InstanceNumber(1),
            file: 7,
            sealed_at: 3600,
            created_ms: 1_790_000_000_000,
            highest_commit_ms: None,
            directory: 5000,
            topics: 2,
            ends: part(6000),
            commits: part(6032),
        }
    }

    #[test]
    fn everything_reads_back_and_has_the_length_of_the_format() {
        assert_eq!(header().len(), HEADER_BYTES);
        let bytes = trailer().encode();
        assert_eq!(bytes.len(), TRAILER_BYTES);
        assert_eq!(Trailer::decode(&bytes), Ok(trailer()));
        let entry = BlockEntry {
            base_offset: 5,
            max_before: i64::MIN,
            position: 100,
            bytes: 300_000,
            batches: 3,
            rows: 50,
            records: 12,
            topic: TopicNumber(4),
            rows_crc: 77,
        };
        assert_eq!(entry.encode().len(), BLOCK_ENTRY_BYTES);
        assert_eq!(BlockEntry::decode(&entry.encode()), Ok(entry));
        let row = DirectoryRow {
            topic: TopicNumber(4),
            batches: 3,
            blocks: 1,
            first_offset: 5,
            end_offset: 17,
            records: 12,
            bytes: 300_000,
            highest_timestamp: 1,
            max_timestamp: 2,
            index: 16,
            rows: 128,
            run: 200,
            run_crc: 3,
        };
        assert_eq!(row.encode().len(), DIRECTORY_ROW_BYTES);
        assert_eq!(DirectoryRow::decode(&row.encode()), Ok(row));
        let mut rows = Vec::new();
        let batch = BatchRow {
            bytes: 62,
            records: 1,
            crc: 5,
            max_timestamp: -1,
        };
        batch.encode(&mut rows);
        assert_eq!(rows.len(), ROW_BYTES);
        assert_eq!(BatchRow::decode(&mut Input::new(&rows)), Ok(batch));
    }

    #[test]
    fn any_flipped_bit_of_a_trailer_is_noticed_and_a_newer_version_told() {
        let bytes = trailer().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Trailer::decode(&damaged),
                Err(FrameError::Malformed),
                "{bit}"
            );
        }
        let mut newer = bytes[..TRAILER_BYTES - 4].to_vec();
        newer[11] = 2;
        assert_eq!(
            Trailer::decode(&close(newer)),
            Err(FrameError::Newer("sealed segment"))
        );
    }

    #[test]
    fn a_run_has_no_more_blocks_than_there_is_room_for() {
        assert_eq!(blocks_max(1), 1);
        assert_eq!(blocks_max(BLOCK_BYTES), 2, "one more than needed");
        assert_eq!(blocks_max(2 * BLOCK_BYTES - 1), 2);
    }
}
