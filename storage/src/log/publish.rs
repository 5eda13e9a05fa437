//! What the journal changes in the log: a synced group becomes visible, files come and are finished.

use bytes::Bytes;

use super::{FileFacts, Log, Visible};
use crate::{
    frame::commit::TopicEntry,
    index::{FileIndex, IndexedFrame, Span},
    number::TopicNumber,
    ring::RingBatch,
};

/// A data frame of a group.
#[derive(Debug)]
pub(crate) struct PublishedFrame {
    pub(crate) frame: IndexedFrame,
    /// For the ring. `None` in a group larger than the ring: its older batches, and all before, are read from files.
    pub(crate) batch: Option<Bytes>,
    /// Memory that `batch` holds.
    pub(crate) memory: usize,
}

/// A synced group.
#[derive(Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) group: u64,
    pub(crate) commit_time_ms: Option<i64>,
    /// In log order.
    pub(crate) frames: Vec<PublishedFrame>,
    pub(crate) ends: &'a [TopicEntry],
}

impl Log {
    /// Makes a group visible: all topics in one step.
    pub(crate) fn publish(&self, publication: Publication<'_>) {
        // Freed behind the lock.
        let mut out = Vec::new();
        {
            let mut visible = self.write_visible();
            for frame in publication.frames {
                visible.put_frame(frame, &mut out);
            }
            for end in publication.ends {
                if let Some(view) = visible.topics.get_mut(&end.topic) {
                    view.end = end.end_offset;
                }
            }
            visible.group = publication.group;
            visible.commit_time_ms = publication.commit_time_ms.or(visible.commit_time_ms);
        }
        drop(out);
    }

    /// A file that the journal writes from now on.
    pub(crate) fn put_file(&self, number: u64, facts: FileFacts) {
        self.write_visible().files.insert(number, facts);
    }

    /// A file that was never visible and is gone.
    pub(crate) fn remove_file(&self, number: u64) {
        self.write_visible().files.remove(&number);
    }

    /// Replaces what is known of a finished file, frame by frame, by the entries of its footer.
    pub(crate) fn thin(&self, file: u64, index: &FileIndex) {
        let spans: Vec<(TopicNumber, Span)> = index
            .topics()
            .filter_map(|topic| Some((topic.topic, Span::of_footer(file, topic)?)))
            .collect();
        let mut visible = self.write_visible();
        for (topic, span) in spans {
            if let Some(view) = visible.topics.get_mut(&topic) {
                view.index.put_span(span);
            }
        }
    }

    /// A finished file found at the start.
    pub(crate) fn put_span(&self, topic: TopicNumber, span: Span) {
        if let Some(view) = self.write_visible().topics.get_mut(&topic) {
            view.index.put_span(span);
        }
    }

    /// Frames found at the start.
    pub(crate) fn put_frames(&self, frames: &[IndexedFrame]) {
        let mut visible = self.write_visible();
        for frame in frames {
            if let Some(view) = visible.topics.get_mut(&frame.topic) {
                view.index.push_frame(frame);
            }
        }
    }

    /// The last group found at the start.
    pub(crate) fn put_last(&self, group: u64, commit_time_ms: Option<i64>) {
        let mut visible = self.write_visible();
        visible.group = group;
        visible.commit_time_ms = commit_time_ms;
    }
}

impl Visible {
    fn put_frame(&mut self, published: PublishedFrame, out: &mut Vec<Bytes>) {
        let frame = published.frame;
        let Some(view) = self.topics.get_mut(&frame.topic) else {
            return;
        };
        view.index.push_frame(&frame);
        view.max_timestamp = view.max_timestamp.max(frame.max_timestamp);
        let Some(bytes) = published.batch else {
            self.ring.clear(out);
            return;
        };
        let batch = RingBatch {
            base_offset: frame.base_offset,
            end_offset: frame.end_offset,
            max_before: frame.max_before,
            memory: published.memory,
            bytes,
        };
        self.ring.push(frame.topic, batch, out);
    }
}
