//! The footer frame's body: the index of a finished file (`docs/format.md`, "Footer frame").
//!
//! ```text
//!  0 frames end u64   8 open group u64   16 topics u32   20 commits u32   24 topic blocks, commit entries
//! topic:  number u32, partition u16, zero u16, batches u32, index entries u32, first offset i64, end offset i64,
//!         records u64, bytes u64, highest timestamp i64, running maximum timestamp i64, index entries
//! index:  base offset i64, running maximum before i64, position u64, position in the run u64
//! commit: group u64, commit time i64, position u64, topics u32, zero u32, topic entries as in a commit frame
//! end:    own position u64
//! ```

pub(crate) mod head;

use super::{
    FrameError,
    commit::{TOPIC_ENTRY_BYTES, TopicEntry},
};
use crate::{
    codec::{Input, Output, raw_time, time_or_none},
    number::TopicNumber,
};

/// Bytes of a body without topics and commits.
pub(crate) const FIXED_BYTES: u64 = 32;
/// Bytes of a topic block without its index entries.
pub(crate) const TOPIC_BLOCK_BYTES: u64 = 64;
/// Bytes of an index entry.
pub(crate) const INDEX_ENTRY_BYTES: u64 = 32;
/// Bytes of a commit entry without its topics.
pub(crate) const COMMIT_ENTRY_BYTES: u64 = 32;

/// One place to start reading a topic from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterEntry {
    /// Base offset of the batch.
    pub base_offset: i64,
    /// Running maximum timestamp of the topic before this batch; `i64::MIN` for none.
    pub max_before: i64,
    /// Position of the frame in the file.
    pub position: u64,
    /// Position of the batch among this file's batches of the topic, one behind the other.
    pub run_position: u64,
}

/// What a file holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FooterTopic {
    /// The topic.
    pub topic: TopicNumber,
    /// Data frames.
    pub batches: u32,
    /// First offset.
    pub first_offset: i64,
    /// Exclusive.
    pub end_offset: i64,
    /// Records.
    pub records: u64,
    /// Bytes of the batches.
    pub bytes: u64,
    /// Highest timestamp in this file.
    pub highest_timestamp: i64,
    /// Running maximum at the end of this file.
    pub max_timestamp: i64,
    /// At least the first batch's.
    pub entries: Vec<FooterEntry>,
}

/// A commit frame of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FooterCommit {
    /// Group number.
    pub group: u64,
    /// Highest source commit time, ms.
    pub commit_time_ms: Option<i64>,
    /// Position of the commit frame.
    pub position: u64,
    /// Ends of the topics touched.
    pub topics: Vec<TopicEntry>,
}

/// What a footer frame says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footer {
    /// Position behind the last frame before the footer.
    pub frames_end: u64,
    /// The group that goes on in the next file; 0 for none.
    pub open_group: u64,
    /// By topic number.
    pub topics: Vec<FooterTopic>,
    /// In order.
    pub commits: Vec<FooterCommit>,
    /// Where the footer's header stands.
    pub position: u64,
}

impl Footer {
    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut commits = EncodedCommits::default();
        for commit in &self.commits {
            commits.push(commit);
        }
        encode(self, &self.topics, &commits)
    }

    /// Reads a body whose checksum is right.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut input = Input::new(body);
        let (frames_end, open_group) = (input.u64()?, input.u64()?);
        let (topic_count, commit_count) = (input.u32()?, input.u32()?);
        let topics = input.list(topic_count, bytes(TOPIC_BLOCK_BYTES), FooterTopic::decode)?;
        let commits = input.list(
            commit_count,
            bytes(COMMIT_ENTRY_BYTES),
            FooterCommit::decode,
        )?;
        let position = input.u64()?;
        input.end()?;
        Ok(Self {
            frames_end,
            open_group,
            topics,
            commits,
            position,
        })
    }
}

/// Commit entries as they will stand in the footer. A file of small groups has tens of thousands.
#[derive(Debug, Clone, Default)]
pub(crate) struct EncodedCommits {
    bytes: Vec<u8>,
    count: usize,
    /// Position of the last commit frame; 0 for none.
    last_position: u64,
}

impl EncodedCommits {
    pub(crate) fn push(&mut self, commit: &FooterCommit) {
        commit.encode(&mut self.bytes);
        self.count += 1;
        self.last_position = commit.position;
    }
}

/// The body of a footer with these topics and commits; of `footer`, only the fixed fields count.
pub(crate) fn encode<'a>(
    footer: &Footer,
    topics: impl IntoIterator<Item = &'a FooterTopic, IntoIter: ExactSizeIterator>,
    commits: &EncodedCommits,
) -> Vec<u8> {
    let topics = topics.into_iter();
    let mut body = Vec::new();
    body.u64(footer.frames_end);
    body.u64(footer.open_group);
    body.count(topics.len());
    body.count(commits.count);
    for topic in topics {
        topic.encode(&mut body);
    }
    body.extend_from_slice(&commits.bytes);
    body.u64(footer.position);
    body
}

impl FooterTopic {
    fn encode(&self, body: &mut Vec<u8>) {
        body.u32(self.topic.0);
        body.u32(0);
        body.u32(self.batches);
        body.count(self.entries.len());
        body.i64(self.first_offset);
        body.i64(self.end_offset);
        body.u64(self.records);
        body.u64(self.bytes);
        body.i64(self.highest_timestamp);
        body.i64(self.max_timestamp);
        for entry in &self.entries {
            body.i64(entry.base_offset);
            body.i64(entry.max_before);
            body.u64(entry.position);
            body.u64(entry.run_position);
        }
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, FrameError> {
        let topic = TopicNumber(input.u32()?);
        if input.u16()? != 0 {
            return Err(FrameError::Newer("second partition"));
        }
        input.zeros(2)?;
        let (batches, entry_count) = (input.u32()?, input.u32()?);
        let (first_offset, end_offset) = (input.i64()?, input.i64()?);
        let (records, run_bytes) = (input.u64()?, input.u64()?);
        let (highest_timestamp, max_timestamp) = (input.i64()?, input.i64()?);
        let entries = input.list(entry_count, bytes(INDEX_ENTRY_BYTES), |input| {
            Ok(FooterEntry {
                base_offset: input.i64()?,
                max_before: input.i64()?,
                position: input.u64()?,
                run_position: input.u64()?,
            })
        })?;
        Ok(Self {
            topic,
            batches,
            first_offset,
            end_offset,
            records,
            bytes: run_bytes,
            highest_timestamp,
            max_timestamp,
            entries,
        })
    }
}

impl FooterCommit {
    pub(crate) fn encode(&self, body: &mut Vec<u8>) {
        body.u64(self.group);
        body.i64(raw_time(self.commit_time_ms));
        body.u64(self.position);
        body.count(self.topics.len());
        body.u32(0);
        for topic in &self.topics {
            topic.encode(body);
        }
    }

    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Self, FrameError> {
        let group = input.u64()?;
        let commit_time_ms = time_or_none(input.i64()?);
        let position = input.u64()?;
        let topic_count = input.u32()?;
        input.zeros(4)?;
        Ok(Self {
            group,
            commit_time_ms,
            position,
            topics: input.list(topic_count, TOPIC_ENTRY_BYTES, TopicEntry::decode)?,
        })
    }
}

fn bytes(length: u64) -> usize {
    usize::try_from(length).expect("the entry sizes above are below 100")
}
