//! What sealing and retention change in the log: a file gets its other form, the oldest ones go.

use std::sync::{PoisonError, Weak, atomic::Ordering};

use super::{FileFacts, Log, SealedFacts};
use crate::{
    disk::SegmentFile, index::Span, number::TopicNumber, recycled::Spare, sealed::summary::Summary,
};

/// A topic whose first offset moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedRange {
    /// The topic.
    pub topic: TopicNumber,
    /// First deleted offset: the log start until now.
    pub from: i64,
    /// Exclusive: the new log start.
    pub to: i64,
}

impl Log {
    /// A sealed segment takes the place of its journal file, in one step, or is found at the start.
    pub(crate) fn put_sealed(&self, summary: &Summary) {
        let file = summary.file;
        let spans: Vec<(TopicNumber, Span)> = summary
            .topics
            .iter()
            .map(|topic| (topic.topic, Span::of_sealed(file, topic)))
            .collect();
        let facts = FileFacts {
            bytes: summary.bytes,
            sealed: Some(SealedFacts {
                at: summary.sealed_at,
                highest_commit_ms: summary.highest_commit_ms,
            }),
            ..FileFacts::default()
        };
        let mut visible = self.write_visible();
        visible.files.insert(file, facts);
        for (topic, span) in spans {
            if let Some(view) = visible.topics.get_mut(&topic) {
                view.index.put_span(span);
            }
        }
    }

    /// All files and what is known of them, ascending.
    pub(crate) fn all_files(&self) -> Vec<(u64, FileFacts)> {
        let visible = self.read_visible();
        let files = visible.files.iter();
        files.map(|(number, facts)| (*number, *facts)).collect()
    }

    /// Length of all files behind file `number`, bytes.
    pub(crate) fn bytes_behind(&self, number: u64) -> u64 {
        let visible = self.read_visible();
        let behind = visible.files.range(number.saturating_add(1)..);
        behind.map(|(_, facts)| facts.bytes).sum()
    }

    /// What readers would lose if all files before `oldest` were deleted.
    pub(crate) fn before(&self, oldest: u64) -> Vec<DeletedRange> {
        let visible = self.read_visible();
        let mut ranges = Vec::new();
        for (topic, view) in &visible.topics {
            let end = view.index.end_before(oldest);
            if let Some(to) = end.filter(|end| *end > view.start) {
                let (topic, from) = (*topic, view.start);
                ranges.push(DeletedRange { topic, from, to });
            }
        }
        drop(visible);
        ranges.sort_by_key(|range| range.topic);
        ranges
    }

    /// Of each topic the first offset that any file has, or else its end.
    pub(crate) fn first_offsets(&self) -> Vec<(TopicNumber, i64)> {
        let visible = self.read_visible();
        let topics = visible.topics.iter();
        let first = topics.map(|(topic, view)| {
            let first = view.index.first_offset().unwrap_or(view.end);
            (*topic, first)
        });
        first.collect()
    }

    /// Forgets all files before `oldest`; `starts` are the log starts from now on. They only rise.
    pub(crate) fn trim(&self, oldest: u64, starts: impl IntoIterator<Item = (TopicNumber, i64)>) {
        let mut out = Vec::new();
        {
            let mut guard = self.write_visible();
            let visible = &mut *guard;
            visible.oldest_file = oldest;
            visible.files = visible.files.split_off(&oldest);
            for (topic, start) in starts {
                if let Some(view) = visible.topics.get_mut(&topic) {
                    view.start = view.start.max(start);
                }
            }
            for view in visible.topics.values_mut() {
                view.index.trim(oldest);
            }
            let start = |topic| visible.topics.get(&topic).map_or(0, |view| view.start);
            visible.ring.trim(start, &mut out);
        }
        drop(out);
        self.files.close_before(oldest);
        self.verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|file, _| *file >= oldest);
        self.cache.forget(self.cache_number, |file| file >= oldest);
    }

    /// From now on nobody opens journal file `number`. Gives what tells whether readers still have it.
    pub(crate) fn retire_journal(&self, number: u64) -> Vec<Weak<dyn SegmentFile>> {
        self.files.retire(number)
    }

    /// Journal file `number` has its name no more.
    pub(crate) fn journal_is_gone(&self, number: u64) {
        self.files.is_gone(number);
    }

    /// The sealed journal file that waits to be used again.
    pub(crate) fn spare(&self) -> &Spare {
        &self.spare
    }

    /// The file of the durable end that the meta store has: no start looks at what is before it, except for checkpoints.
    pub(crate) fn noted_file(&self) -> u64 {
        self.noted_file.load(Ordering::Acquire)
    }

    /// The meta store has this file's durable end.
    pub(crate) fn note_file(&self, file: u64) {
        self.noted_file.store(file, Ordering::Release);
    }
}
