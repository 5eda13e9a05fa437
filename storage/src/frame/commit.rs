//! The commit frame's body: it ends a group and makes it count (`docs/format.md`, "Commit frame").
//!
//! ```text
//!  0 predecessor group u64, file u64, position u64   24 commit time i64   32 schema version u64
//! 40 sources u16   42 zero u16   44 topics u32   48 source entries, topic entries
//! source: number u16, mode u8, zero u8, length u32, bytes, zeros to a multiple of 8
//! topic:  number u32, partition u16, zero u16, end offset i64
//! ```

use super::FrameError;
use crate::{
    codec::{Input, Output, raw_time, time_or_none},
    number::TopicNumber,
};

/// Bytes of a topic entry.
pub(crate) const TOPIC_ENTRY_BYTES: usize = 16;
const SOURCE_ENTRY_BYTES_MIN: usize = 8;
/// A source entry whose bytes replace the position as a whole.
const MODE_WHOLE: u8 = 0;

/// A commit frame and where it stands. The default is "none yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitPlace {
    /// Group number; 0 for none.
    pub group: u64,
    /// File number.
    pub file: u64,
    /// Position of its header.
    pub position: u64,
}

/// The position of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// The source's number inside the instance.
    pub source: u16,
    /// The whole position, as capture encodes it.
    pub position: Vec<u8>,
}

/// Where a topic ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicEntry {
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: u16,
    /// Exclusive.
    pub end_offset: i64,
}

/// What a commit frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFrame {
    /// The commit frame before this one.
    pub predecessor: CommitPlace,
    /// Highest source commit time, ms.
    pub commit_time_ms: Option<i64>,
    /// Highest schema version in force.
    pub schema_version: u64,
    /// Sources touched.
    pub sources: Vec<SourceEntry>,
    /// Topics touched.
    pub topics: Vec<TopicEntry>,
}

impl CommitFrame {
    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(48 + 48 * self.sources.len() + 16 * self.topics.len());
        body.u64(self.predecessor.group);
        body.u64(self.predecessor.file);
        body.u64(self.predecessor.position);
        body.i64(raw_time(self.commit_time_ms));
        body.u64(self.schema_version);
        body.u16(source_count(self.sources.len()));
        body.u16(0);
        body.count(self.topics.len());
        for source in &self.sources {
            source.encode(&mut body);
        }
        for topic in &self.topics {
            topic.encode(&mut body);
        }
        body
    }

    /// Reads a body whose checksum is right.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut input = Input::new(body);
        let predecessor = CommitPlace {
            group: input.u64()?,
            file: input.u64()?,
            position: input.u64()?,
        };
        let commit_time_ms = time_or_none(input.i64()?);
        let schema_version = input.u64()?;
        let source_count = input.u16()?;
        input.zeros(2)?;
        let topic_count = input.u32()?;
        let sources = SourceEntry::list(&mut input, source_count)?;
        let topics = input.list(topic_count, TOPIC_ENTRY_BYTES, TopicEntry::decode)?;
        input.end()?;
        Ok(Self {
            predecessor,
            commit_time_ms,
            schema_version,
            sources,
            topics,
        })
    }
}

impl SourceEntry {
    pub(super) fn encode(&self, body: &mut Vec<u8>) {
        body.u16(self.source);
        body.u8(MODE_WHOLE);
        body.u8(0);
        body.count(self.position.len());
        body.extend_from_slice(&self.position);
        body.resize(body.len().next_multiple_of(8), 0);
    }

    pub(super) fn list(input: &mut Input<'_>, count: u16) -> Result<Vec<Self>, FrameError> {
        input.list(u32::from(count), SOURCE_ENTRY_BYTES_MIN, Self::decode)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, FrameError> {
        let source = input.u16()?;
        if input.u8()? != MODE_WHOLE {
            return Err(FrameError::Newer("position mode"));
        }
        input.zeros(1)?;
        let length = usize::try_from(input.u32()?).map_err(|_| FrameError::Malformed)?;
        let position = input.bytes(length)?.to_vec();
        input.zeros(length.next_multiple_of(8) - length)?;
        Ok(Self { source, position })
    }
}

impl TopicEntry {
    pub(crate) fn encode(&self, body: &mut Vec<u8>) {
        body.u32(self.topic.0);
        body.u16(self.partition);
        body.u16(0);
        body.i64(self.end_offset);
    }

    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Self, FrameError> {
        let (topic, partition) = (TopicNumber(input.u32()?), input.u16()?);
        input.zeros(2)?;
        Ok(Self {
            topic,
            partition,
            end_offset: input.i64()?,
        })
    }
}

/// A number of sources as a field.
pub(super) fn source_count(count: usize) -> u16 {
    u16::try_from(count).expect("sources are told apart by a u16, each stands at most once")
}
