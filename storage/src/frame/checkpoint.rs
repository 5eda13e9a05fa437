//! The checkpoint frame's body: the whole state, first in every file (`docs/format.md`, "Checkpoint frame").
//!
//! ```text
//!  0 last commit's file u64, position u64   16 created i64   24 schema version u64   32 commit time i64
//! 40 sources u16   42 former u16   44 topics u32   48 source entries as in a commit frame, topic entries
//! topic: number u32, partition u16, zero u16, start i64, end i64, epoch i32, zero u32, epoch start i64,
//!        running maximum timestamp i64
//! ```

use std::collections::BTreeMap;

use super::{
    FrameError,
    commit::{CommitPlace, SourceEntry, source_count},
};
use crate::{
    codec::{Input, Output, raw_time, time_or_none},
    number::{LeaderEpoch, TopicNumber},
};

const TOPIC_ENTRY_BYTES: usize = 48;

/// The state of one topic as of a commit frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicState {
    /// First offset.
    pub start: i64,
    /// Offset behind the last record.
    pub end: i64,
    /// The leader epoch in force.
    pub epoch: LeaderEpoch,
    /// Highest timestamp the topic ever had; `i64::MIN` for none.
    pub max_timestamp: i64,
}

/// What a log knows as of a commit frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogState {
    /// That commit frame.
    pub last: CommitPlace,
    /// Position of every source that ever had one.
    pub positions: BTreeMap<u16, Vec<u8>>,
    /// Every topic of the instance.
    pub topics: BTreeMap<TopicNumber, TopicState>,
    /// Commit time of the last commit frame that had one, ms.
    pub commit_time_ms: Option<i64>,
    /// Schema version of the last commit frame.
    pub schema_version: u64,
}

/// What a checkpoint frame says; the last group's number stands in its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// As of the last commit frame.
    pub state: LogState,
    /// When the file was opened, wall clock, ms. For people.
    pub created_ms: i64,
    /// The file was used before and not zeroed.
    pub former: bool,
}

impl Checkpoint {
    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let state = &self.state;
        let mut body = Vec::with_capacity(48 + TOPIC_ENTRY_BYTES * state.topics.len());
        body.u64(state.last.file);
        body.u64(state.last.position);
        body.i64(self.created_ms);
        body.u64(state.schema_version);
        body.i64(raw_time(state.commit_time_ms));
        body.u16(source_count(state.positions.len()));
        body.u16(u16::from(self.former));
        body.count(state.topics.len());
        for (source, position) in &state.positions {
            let entry = SourceEntry {
                source: *source,
                position: position.clone(),
            };
            entry.encode(&mut body);
        }
        for (topic, state) in &state.topics {
            state.encode(*topic, &mut body);
        }
        body
    }

    /// Reads a body whose checksum is right. `group` is the header's.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode(group: u64, body: &[u8]) -> Result<Self, FrameError> {
        let mut input = Input::new(body);
        let (file, position) = (input.u64()?, input.u64()?);
        let created_ms = input.i64()?;
        let schema_version = input.u64()?;
        let commit_time_ms = time_or_none(input.i64()?);
        let source_count = input.u16()?;
        let former = match input.u16()? {
            0 => false,
            1 => true,
            _ => return Err(FrameError::Newer("checkpoint")),
        };
        let topic_count = input.u32()?;
        let sources = SourceEntry::list(&mut input, source_count)?;
        let topics = input.list(topic_count, TOPIC_ENTRY_BYTES, TopicState::decode)?;
        input.end()?;
        let state = LogState {
            last: CommitPlace {
                group,
                file,
                position,
            },
            positions: sources
                .into_iter()
                .map(|entry| (entry.source, entry.position))
                .collect(),
            topics: topics.into_iter().collect(),
            commit_time_ms,
            schema_version,
        };
        Ok(Self {
            state,
            created_ms,
            former,
        })
    }
}

impl TopicState {
    /// A topic without a record, which begins at `epoch`'s start.
    #[must_use]
    pub fn empty(epoch: LeaderEpoch) -> Self {
        Self {
            start: epoch.start_offset,
            end: epoch.start_offset,
            epoch,
            max_timestamp: i64::MIN,
        }
    }

    fn encode(&self, topic: TopicNumber, body: &mut Vec<u8>) {
        body.u32(topic.0);
        body.u32(0);
        body.i64(self.start);
        body.i64(self.end);
        body.i32(self.epoch.epoch);
        body.u32(0);
        body.i64(self.epoch.start_offset);
        body.i64(self.max_timestamp);
    }

    fn decode(input: &mut Input<'_>) -> Result<(TopicNumber, Self), FrameError> {
        let topic = TopicNumber(input.u32()?);
        if input.u16()? != 0 {
            return Err(FrameError::Newer("second partition"));
        }
        input.zeros(2)?;
        let (start, end) = (input.i64()?, input.i64()?);
        let epoch = input.i32()?;
        input.zeros(4)?;
        let start_offset = input.i64()?;
        let state = Self {
            start,
            end,
            epoch: LeaderEpoch {
                epoch,
                start_offset,
            },
            max_timestamp: input.i64()?,
        };
        Ok((topic, state))
    }
}
