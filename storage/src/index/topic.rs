//! The visible part of one topic over all files: what readers search.
//!
//! Of the open journal file every frame, of finished ones the entries of their footers, one each 64 KiB of the topic and
//! each 128 KiB of the file (between two entries a reader walks frame headers), of sealed segments only where the topic's own index is: 16
//! segments a GiB, below 100 bytes each.

use super::{FooterEntry, FooterTopic, IndexedFrame};
use crate::sealed::{layout::BLOCK_BYTES, summary::SummaryTopic};

/// A place in a journal file to start reading from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanEntry {
    pub(crate) base_offset: i64,
    pub(crate) max_before: i64,
    pub(crate) position: u64,
}

/// Where a topic's run in a sealed segment has its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunPlace {
    pub(crate) index: u64,
    pub(crate) blocks: u32,
}

impl RunPlace {
    /// How long index, rows and run are together, which follow each other: somewhat less for many small batches, up to a
    /// block more for a run of few.
    pub(crate) fn bytes_about(&self) -> u64 {
        u64::from(self.blocks) * BLOCK_BYTES
    }
}

/// In which form a file has a topic's batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Frames, at these places and between them. Ascending, not empty.
    Journal(Vec<SpanEntry>),
    /// One run.
    Sealed(RunPlace),
}

/// What one file holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: u64,
    pub(crate) first_offset: i64,
    pub(crate) end_offset: i64,
    /// Highest in this file.
    pub(crate) highest_timestamp: i64,
    /// Running maximum at its end. Not known of a sealed run: there it is its highest.
    pub(crate) max_timestamp: i64,
    pub(crate) stored: Stored,
}

impl Span {
    pub(crate) fn of_footer(file: u64, topic: &FooterTopic) -> Option<Self> {
        let entry = |entry: &FooterEntry| SpanEntry {
            base_offset: entry.base_offset,
            max_before: entry.max_before,
            position: entry.position,
        };
        let entries: Vec<_> = topic.entries.iter().map(entry).collect();
        let first_offset = entries.first()?.base_offset;
        Some(Self {
            file,
            first_offset,
            end_offset: topic.end_offset,
            highest_timestamp: topic.highest_timestamp,
            max_timestamp: topic.max_timestamp,
            stored: Stored::Journal(entries),
        })
    }

    pub(crate) fn of_sealed(file: u64, topic: &SummaryTopic) -> Self {
        Self {
            file,
            first_offset: topic.first_offset,
            end_offset: topic.end_offset,
            highest_timestamp: topic.highest_timestamp,
            max_timestamp: topic.highest_timestamp,
            stored: Stored::Sealed(RunPlace {
                index: topic.index,
                blocks: topic.blocks,
            }),
        }
    }

    fn of_frame(frame: &IndexedFrame) -> Self {
        Self {
            file: frame.file,
            first_offset: frame.base_offset,
            end_offset: frame.end_offset,
            highest_timestamp: frame.max_timestamp,
            max_timestamp: frame.max_after(),
            stored: Stored::Journal(vec![entry_of(frame)]),
        }
    }

    fn push_frame(&mut self, frame: &IndexedFrame) {
        if let Stored::Journal(entries) = &mut self.stored {
            entries.push(entry_of(frame));
        }
        self.end_offset = frame.end_offset;
        self.highest_timestamp = self.highest_timestamp.max(frame.max_timestamp);
        self.max_timestamp = frame.max_after();
    }

    /// A start at the entry before the one that is the first not to be `before`, or at the first.
    fn start(&self, before: impl Fn(&SpanEntry) -> bool) -> Start {
        let stored = match &self.stored {
            Stored::Sealed(run) => Stored::Sealed(*run),
            Stored::Journal(entries) => {
                let behind = entries.partition_point(before);
                let entries = entries.iter().skip(behind.saturating_sub(1));
                Stored::Journal(entries.take(ENTRIES_PER_READ).copied().collect())
            }
        };
        Start {
            file: self.file,
            first_offset: self.first_offset,
            end_offset: self.end_offset,
            stored,
            ahead: Vec::new(),
        }
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
    /// Of the topic in this file.
    pub(crate) first_offset: i64,
    /// Where the file's records of the topic end (as visible when asked).
    pub(crate) end_offset: i64,
    /// In a journal file the first entry is where to start; the others are places to jump to on the way.
    pub(crate) stored: Stored,
    /// The runs that come next, by file, of some [`AHEAD_BYTES`] together: where a reader is who goes on. Only told where
    /// it begins the run before them.
    pub(crate) ahead: Vec<(u64, RunPlace)>,
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

/// Where a time is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LocatedTime {
    At(Start),
    /// Offsets that no file has come before it: one of them may be the one.
    Hole {
        from: i64,
        /// Exclusive.
        to: i64,
    },
}

/// What a reader who begins a run is told of the runs behind it: two fetches of the usual size.
const AHEAD_BYTES: u64 = 2 * 1024 * 1024;

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
            Some(span) if span.file == frame.file => span.push_frame(frame),
            Some(_) | None => self.spans.push(Span::of_frame(frame)),
        }
    }

    /// Puts `span` among the others, or in the place of the one of the same file.
    pub(crate) fn put_span(&mut self, span: Span) {
        match self
            .spans
            .binary_search_by_key(&span.file, |span| span.file)
        {
            Ok(at) => self.spans[at] = span,
            Err(at) => self.spans.insert(at, span),
        }
    }

    /// First offset that any file has.
    pub(crate) fn first_offset(&self) -> Option<i64> {
        self.spans.first().map(|span| span.first_offset)
    }

    /// Offset behind what files before `file` have, if they have anything.
    pub(crate) fn end_before(&self, file: u64) -> Option<i64> {
        let count = self.spans.partition_point(|span| span.file < file);
        let last = count.checked_sub(1).and_then(|at| self.spans.get(at));
        last.map(|span| span.end_offset)
    }

    /// Forgets the files before `file`.
    pub(crate) fn trim(&mut self, file: u64) {
        let count = self.spans.partition_point(|span| span.file < file);
        self.spans.drain(..count);
    }

    /// Highest timestamp in any of the files.
    pub(crate) fn highest_timestamp(&self) -> Option<i64> {
        self.spans.iter().map(|span| span.highest_timestamp).max()
    }

    /// Where to start reading for `offset`.
    pub(crate) fn locate(&self, offset: i64) -> Located {
        let at = self.spans.partition_point(|span| span.end_offset <= offset);
        let Some(span) = self.spans.get(at) else {
            return Located::Hole { to: None };
        };
        if offset < span.first_offset {
            return Located::Hole {
                to: Some(span.first_offset),
            };
        }
        let mut start = span.start(|entry| entry.base_offset <= offset);
        if offset == span.first_offset {
            start.ahead = self.runs_behind(at);
        }
        Located::At(start)
    }

    /// The runs behind span `at`, as far as [`AHEAD_BYTES`] reach.
    fn runs_behind(&self, at: usize) -> Vec<(u64, RunPlace)> {
        let mut bytes = 0;
        let runs = self.spans.iter().skip(at + 1).map_while(|span| {
            let Stored::Sealed(run) = &span.stored else {
                return None;
            };
            let is_wanted = bytes < AHEAD_BYTES;
            bytes += run.bytes_about();
            is_wanted.then_some((span.file, *run))
        });
        runs.collect()
    }

    /// Where to start looking for the first batch from offset `start` on with a timestamp of at least `timestamp`; `None`:
    /// there is none.
    pub(crate) fn locate_time(&self, start: i64, timestamp: i64) -> Option<LocatedTime> {
        let mut next = start;
        // Files are few, and each knows its own highest: what retention has deleted does not count.
        for span in &self.spans {
            if span.first_offset > next {
                let to = span.first_offset;
                return Some(LocatedTime::Hole { from: next, to });
            }
            next = span.end_offset;
            if span.highest_timestamp >= timestamp {
                // Everything before an entry is older than its `max_before`: the batch is behind the last entry that
                // has only older ones before it.
                let start = span.start(|entry| entry.max_before < timestamp);
                return Some(LocatedTime::At(start));
            }
        }
        None
    }
}
