//! Where each topic's batches stand in the files.
//!
//! [`FileIndex`] grows with the file that is written and becomes its footer. [`TopicIndex`] is what readers search:
//! every frame of the open file, and of finished files the entries of their footers, one each 64 KiB of the
//! topic. Between two entries a reader walks frame headers. No I/O here.

use std::collections::BTreeMap;

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
        let last = topic.entries.last().map(|entry| entry.run_position);
        if last.is_none_or(|last| topic.bytes - last >= INDEX_SPACING_BYTES) {
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

    /// What the footer says of each topic.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &FooterTopic> {
        self.topics.values()
    }
}

/// A place to start reading from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanEntry {
    pub(crate) base_offset: i64,
    pub(crate) max_before: i64,
    pub(crate) position: u64,
}

/// What one file holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: u64,
    pub(crate) end_offset: i64,
    /// Running maximum at its end.
    pub(crate) max_timestamp: i64,
    /// Ascending, not empty.
    pub(crate) entries: Vec<SpanEntry>,
}

impl Span {
    pub(crate) fn of_footer(file: u64, topic: &FooterTopic) -> Option<Self> {
        let entry = |entry: &FooterEntry| SpanEntry {
            base_offset: entry.base_offset,
            max_before: entry.max_before,
            position: entry.position,
        };
        let span = Self {
            file,
            end_offset: topic.end_offset,
            max_timestamp: topic.max_timestamp,
            entries: topic.entries.iter().map(entry).collect(),
        };
        (!span.entries.is_empty()).then_some(span)
    }

    fn of_frame(frame: &IndexedFrame) -> Self {
        Self {
            file: frame.file,
            end_offset: frame.end_offset,
            max_timestamp: frame.max_after(),
            entries: vec![entry_of(frame)],
        }
    }

    /// First offset.
    pub(crate) fn first_offset(&self) -> i64 {
        self.entries
            .first()
            .map_or(self.end_offset, |entry| entry.base_offset)
    }
}

fn entry_of(frame: &IndexedFrame) -> SpanEntry {
    SpanEntry {
        base_offset: frame.base_offset,
        max_before: frame.max_before,
        position: frame.position,
    }
}

/// Where to read, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) file: u64,
    /// The first is where to start; the others are places to jump to on the way.
    pub(crate) entries: Vec<SpanEntry>,
    /// Where the file's records of the topic end (as visible when asked).
    pub(crate) end_offset: i64,
}

/// Where an offset is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Located {
    At(Start),
    /// No file has it; `to` is the next offset that one has.
    Hole {
        to: Option<i64>,
    },
}

/// Most entries handed to one read: with 64 KiB batches they cover 64 MiB.
const ENTRIES_PER_READ: usize = 1024;

/// The visible part of one topic over all files.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicIndex {
    /// Ascending by file and offset.
    spans: Vec<Span>,
}

impl TopicIndex {
    pub(crate) fn push_frame(&mut self, frame: &IndexedFrame) {
        match self.spans.last_mut() {
            Some(span) if span.file == frame.file => {
                span.entries.push(entry_of(frame));
                span.end_offset = frame.end_offset;
                span.max_timestamp = frame.max_after();
            }
            Some(_) | None => self.spans.push(Span::of_frame(frame)),
        }
    }

    /// Puts `span` behind the others, or in the place of the one of the same file.
    pub(crate) fn put_span(&mut self, span: Span) {
        match self
            .spans
            .binary_search_by_key(&span.file, |span| span.file)
        {
            Ok(at) => self.spans[at] = span,
            Err(at) => self.spans.insert(at, span),
        }
    }

    /// Where to start reading for `offset`.
    pub(crate) fn locate(&self, offset: i64) -> Located {
        let at = self.spans.partition_point(|span| span.end_offset <= offset);
        let Some(span) = self.spans.get(at) else {
            return Located::Hole { to: None };
        };
        if offset < span.first_offset() {
            return Located::Hole {
                to: Some(span.first_offset()),
            };
        }
        let behind = span
            .entries
            .partition_point(|entry| entry.base_offset <= offset);
        Located::At(start(span, behind))
    }

    /// Where to start looking for the first batch with a timestamp of at least `timestamp`; `None`: there is none.
    pub(crate) fn locate_time(&self, timestamp: i64) -> Option<Start> {
        let at = self
            .spans
            .partition_point(|span| span.max_timestamp < timestamp);
        let span = self.spans.get(at)?;
        // Everything before an entry is older than its `max_before`: the batch is behind the last entry that has
        // only older ones before it.
        let behind = span
            .entries
            .partition_point(|entry| entry.max_before < timestamp);
        Some(start(span, behind))
    }
}

/// A start at the entry before `behind`.
fn start(span: &Span, behind: usize) -> Start {
    let entries = span.entries.iter().skip(behind.saturating_sub(1));
    Start {
        file: span.file,
        entries: entries.take(ENTRIES_PER_READ).copied().collect(),
        end_offset: span.end_offset,
    }
}

#[cfg(test)]
mod tests;
