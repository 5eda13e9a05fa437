//! Where each topic's batches stand in the files.
//!
//! [`FileIndex`] grows with the file that is written and becomes its footer. [`TopicIndex`] is what readers search.
//! No I/O here.

mod topic;

use std::collections::BTreeMap;

pub(crate) use self::topic::{
    Located, LocatedTime, RunPlace, Span, SpanEntry, Start, Stored, TopicIndex,
};

use crate::{
    frame::{
        FrameHeader,
        commit::TOPIC_ENTRY_BYTES,
        footer::{
            COMMIT_ENTRY_BYTES, EncodedCommits, FIXED_BYTES, Footer, FooterCommit, FooterEntry,
            FooterTopic, INDEX_ENTRY_BYTES, TOPIC_BLOCK_BYTES, encode,
        },
        frame_bytes,
    },
    number::TopicNumber,
};

/// Bytes of a topic's batches between two index entries of a footer.
pub(crate) const INDEX_SPACING_BYTES: u64 = 64 * 1024;
/// Bytes of the file between two index entries of a topic that has little in it: else its readers would walk the headers of
/// all others.
pub(crate) const INDEX_DISTANCE_BYTES: u64 = 128 * 1024;
/// So many entries made for [`INDEX_DISTANCE_BYTES`] double it, again and again: a file of tiny batches of thousands of
/// topics would have one for each batch. At a distance of 64 MiB they are ten times as many, some 5 MB.
pub(crate) const DISTANT_ENTRIES: u64 = 16 * 1024;

/// A data frame that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexedFrame {
    pub(crate) topic: TopicNumber,
    pub(crate) file: u64,
    pub(crate) position: u64,
    pub(crate) base_offset: i64,
    pub(crate) end_offset: i64,
    /// Bytes of the batch.
    pub(crate) length: u32,
    pub(crate) max_timestamp: i64,
    /// Running maximum of the topic before this batch.
    pub(crate) max_before: i64,
}

impl IndexedFrame {
    /// The data frame of `header` at `position`.
    pub(crate) fn new(header: &FrameHeader, position: u64, max_before: i64) -> Self {
        Self {
            topic: header.topic,
            file: header.file,
            position,
            base_offset: header.base_offset,
            end_offset: header.end_offset(),
            length: header.length,
            max_timestamp: header.max_timestamp,
            max_before,
        }
    }

    fn max_after(&self) -> i64 {
        self.max_before.max(self.max_timestamp)
    }
}

/// The index of the file that is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileIndex {
    topics: BTreeMap<TopicNumber, FooterTopic>,
    commits: EncodedCommits,
    /// Bytes of the topic blocks and commit entries.
    bytes: u64,
    /// Index entries that are there for [`INDEX_DISTANCE_BYTES`].
    distant: u64,
}

impl FileIndex {
    /// The most by which a data frame makes the footer longer.
    pub(crate) const DATA_GROWTH: u64 = TOPIC_BLOCK_BYTES + INDEX_ENTRY_BYTES;

    /// By how much a commit frame of `topics` topics makes the footer longer.
    pub(crate) fn commit_growth(topics: usize) -> u64 {
        COMMIT_ENTRY_BYTES + (topics * TOPIC_ENTRY_BYTES) as u64
    }

    /// Bytes of the footer frame, with `growth` to come.
    pub(crate) fn footer_bytes(&self, growth: u64) -> u64 {
        frame_bytes(FIXED_BYTES + self.bytes + growth)
    }

    pub(crate) fn add_data(&mut self, frame: &IndexedFrame) {
        let records = u64::try_from(frame.end_offset - frame.base_offset).unwrap_or(0);
        let topic = self.topics.entry(frame.topic).or_insert_with(|| {
            self.bytes += TOPIC_BLOCK_BYTES;
            FooterTopic {
                topic: frame.topic,
                batches: 0,
                first_offset: frame.base_offset,
                end_offset: frame.base_offset,
                records: 0,
                bytes: 0,
                highest_timestamp: i64::MIN,
                max_timestamp: frame.max_before,
                entries: Vec::new(),
            }
        });
        let last = topic.entries.last();
        let is_spaced =
            last.is_none_or(|last| topic.bytes - last.run_position >= INDEX_SPACING_BYTES);
        let distance = distance_after(self.distant);
        let is_distant = last.is_some_and(|last| frame.position - last.position >= distance);
        if is_spaced || is_distant {
            self.distant += u64::from(!is_spaced);
            self.bytes += INDEX_ENTRY_BYTES;
            topic.entries.push(FooterEntry {
                base_offset: frame.base_offset,
                max_before: frame.max_before,
                position: frame.position,
                run_position: topic.bytes,
            });
        }
        topic.batches += 1;
        topic.end_offset = frame.end_offset;
        topic.records += records;
        topic.bytes += u64::from(frame.length);
        topic.highest_timestamp = topic.highest_timestamp.max(frame.max_timestamp);
        topic.max_timestamp = frame.max_after();
    }

    pub(crate) fn add_commit(&mut self, commit: &FooterCommit) {
        self.bytes += Self::commit_growth(commit.topics.len());
        self.commits.push(commit);
    }

    /// The body of the footer frame whose header will stand at `position`.
    pub(crate) fn footer(&self, frames_end: u64, open_group: u64, position: u64) -> Vec<u8> {
        let fixed = Footer {
            frames_end,
            open_group,
            position,
            ..Footer::default()
        };
        encode(&fixed, self.topics.values(), &self.commits)
    }

    /// Marks in the header of the footer frame which part of `body` a start needs.
    pub(crate) fn mark_head(&self, header: &mut FrameHeader, body: &[u8]) {
        self.commits.mark_head(header, body);
    }

    /// What the footer says of each topic.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &FooterTopic> {
        self.topics.values()
    }
}

/// Bytes of the file behind which a topic gets an entry, when there are so many for that.
fn distance_after(distant: u64) -> u64 {
    let doublings = u32::try_from(distant / DISTANT_ENTRIES).unwrap_or(u32::MAX);
    INDEX_DISTANCE_BYTES.saturating_mul(2u64.saturating_pow(doublings))
}

#[cfg(test)]
mod tests;
