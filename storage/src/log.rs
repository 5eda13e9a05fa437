//! The log as readers see it: ends, batches by offset and by time, leader epochs.
//!
//! Shared by any number of threads. What is visible changes only when the journal publishes a synced group: all
//! its topics in one step, under one lock. Batches come from the ring, or else from the files, where checksums are
//! verified; nothing is decoded. The writing side is [`Journal`](crate::journal::Journal).
//!
//! | part | does |
//! |---|---|
//! | [`read`] | finds the place, and reads from one file after another |
//! | [`journal_read`], [`sealed_read`] | one topic's batches out of a file of either form |
//! | [`stored`] | what a read gives |
//! | [`times`] | from a time to the ends of all topics at one transaction boundary |
//! | [`publish`], [`keep`] | what the journal changes, and what sealing and retention do |

mod files;
mod journal_read;
mod keep;
mod publish;
mod read;
mod sealed_read;
mod stored;
mod times;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicU64},
};

use bytes::Bytes;

use self::files::Files;
pub(crate) use self::publish::{Publication, PublishedFrame};
pub use self::{
    keep::DeletedRange,
    read::WARMED_BYTES,
    stored::{Batches, FileRange},
    times::EndsAtTime,
};
use crate::{
    block_cache::BlockCache,
    disk::SegmentStore,
    frame::checkpoint::TopicState,
    index::TopicIndex,
    number::{LeaderEpoch, TopicNumber},
    recycled::Spare,
    ring::Ring,
};

/// Where a topic begins and ends for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// First offset (Kafka: log start offset).
    pub start: i64,
    /// Offset behind the last visible record (Kafka: high watermark).
    pub end: i64,
    /// The leader epoch in force.
    pub epoch: i32,
}

/// What the ring has for an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingRead {
    /// Whole batches, as stored; none where the offset is the end.
    Batches(Vec<Bytes>),
    /// Older than the ring: ask [`Log::read`], off the runtime.
    NotInRing,
    /// Not between start and end.
    OutOfRange {
        /// First offset.
        start: i64,
        /// Offset behind the last visible record.
        end: i64,
    },
    /// No topic of this log.
    UnknownTopic,
}

/// Why a read gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No topic of this log.
    #[error("topic {0} is not in this log")]
    UnknownTopic(TopicNumber),
    /// Not between start and end.
    #[error("offset is outside of {start}..={end}")]
    OutOfRange {
        /// First offset.
        start: i64,
        /// Offset behind the last visible record.
        end: i64,
    },
    /// These offsets were durable and are damaged; those from `to` on may be readable.
    #[error("offsets {from}..{to} of topic {topic} are damaged in file {file} of the log")]
    Corrupt {
        /// The topic.
        topic: TopicNumber,
        /// Number of the file; 0 where no file has them.
        file: u64,
        /// First damaged offset that was asked for.
        from: i64,
        /// Exclusive.
        to: i64,
    },
    /// The disk failed.
    #[error("cannot read file {file} of the log: {source}")]
    Io {
        /// Number of the file.
        file: u64,
        /// The system's error.
        source: io::Error,
    },
}

/// Figures for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Files, the open one included.
    pub files: u64,
    /// Their length, bytes.
    pub bytes: u64,
    /// Those of them that are sealed segments.
    pub sealed_files: u64,
    /// Their length, bytes.
    pub sealed_bytes: u64,
    /// Oldest file's number.
    pub oldest_file: u64,
    /// The open file's number.
    pub newest_file: u64,
    /// Memory held by the ring, bytes.
    pub ring_bytes: u64,
    /// Number of the last visible group; 0 for none.
    pub group: u64,
    /// Highest source commit time of the last visible group that had one, ms.
    pub commit_time_ms: Option<i64>,
}

/// The visible log of one instance.
#[derive(Debug)]
pub struct Log {
    files: Files,
    visible: RwLock<Visible>,
    cache: Arc<BlockCache>,
    /// This log in the cache's keys.
    cache_number: u64,
    /// Positions of blocks, by file, whose batches were all right when they were first read.
    verified: Mutex<HashMap<u64, HashSet<u64>>>,
    noted_file: AtomicU64,
    spare: Arc<Spare>,
}

#[derive(Debug)]
struct Visible {
    topics: HashMap<TopicNumber, TopicView>,
    ring: Ring,
    /// What retention has left begins here.
    oldest_file: u64,
    files: BTreeMap<u64, FileFacts>,
    group: u64,
    commit_time_ms: Option<i64>,
}

/// What readers have to know of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// `None`: no frame of it could be read.
    pub(crate) salt: Option<u32>,
    /// Where its first frame stands that is not an identity frame.
    pub(crate) first: u64,
    pub(crate) bytes: u64,
    /// `None`: a journal file.
    pub(crate) sealed: Option<SealedFacts>,
}

/// What is known of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedFacts {
    /// Running time, seconds.
    pub(crate) at: u64,
    pub(crate) highest_commit_ms: Option<i64>,
}

#[derive(Debug)]
struct TopicView {
    start: i64,
    end: i64,
    max_timestamp: i64,
    /// Ascending, not empty.
    epochs: Vec<LeaderEpoch>,
    index: TopicIndex,
}

impl TopicView {
    fn epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |last| last.epoch)
    }

    fn ends(&self) -> Ends {
        Ends {
            start: self.start,
            end: self.end,
            epoch: self.epoch(),
        }
    }
}

impl Log {
    pub(crate) fn new(
        (disk, spare): (Arc<dyn SegmentStore>, Arc<Spare>),
        folder: String,
        ring_bytes: usize,
        cache: Arc<BlockCache>,
    ) -> Self {
        Self {
            cache_number: cache.new_log(),
            cache,
            verified: Mutex::default(),
            noted_file: AtomicU64::new(0),
            spare,
            files: Files::new(disk, folder),
            visible: RwLock::new(Visible {
                topics: HashMap::new(),
                ring: Ring::new(ring_bytes),
                oldest_file: 1,
                files: BTreeMap::new(),
                group: 0,
                commit_time_ms: None,
            }),
        }
    }

    /// Start, end and epoch of a topic.
    #[must_use]
    pub fn ends(&self, topic: TopicNumber) -> Option<Ends> {
        self.read_visible().topics.get(&topic).map(TopicView::ends)
    }

    /// [`Log::ends`] of several topics, all at the same point of the commit order.
    #[must_use]
    pub fn all_ends(&self, topics: &[TopicNumber]) -> Vec<Option<Ends>> {
        let visible = self.read_visible();
        let ends = |topic| visible.topics.get(topic).map(TopicView::ends);
        topics.iter().map(ends).collect()
    }

    /// The leader epoch that answers for `epoch`, and the offset behind its last record: the largest known epoch
    /// not above `epoch` and where the next one starts, or the high watermark for the epoch in force. `None`
    /// for an unknown topic, a negative epoch, and one above the epoch in force. An epoch below the first known one
    /// answers itself and the first one's start. (Kafka's `LeaderEpochFileCache.endOffsetFor`, KIP-101, KIP-279.)
    #[must_use]
    pub fn epoch_end(&self, topic: TopicNumber, epoch: i32) -> Option<(i32, i64)> {
        let visible = self.read_visible();
        let view = visible.topics.get(&topic)?;
        if epoch < 0 || epoch > view.epoch() {
            return None;
        }
        let above = view.epochs.partition_point(|known| known.epoch <= epoch);
        let end = view
            .epochs
            .get(above)
            .map_or(view.end, |next| next.start_offset);
        let floor = above.checked_sub(1).and_then(|at| view.epochs.get(at));
        Some((floor.map_or(epoch, |floor| floor.epoch), end))
    }

    /// Figures for status and metrics.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let visible = self.read_visible();
        let sealed = || visible.files.values().filter(|file| file.sealed.is_some());
        let number = |entry: Option<(&u64, &FileFacts)>| entry.map_or(0, |(number, _)| *number);
        LogStats {
            files: visible.files.len() as u64,
            bytes: visible.files.values().map(|file| file.bytes).sum(),
            sealed_files: sealed().count() as u64,
            sealed_bytes: sealed().map(|file| file.bytes).sum(),
            oldest_file: number(visible.files.first_key_value()),
            newest_file: number(visible.files.last_key_value()),
            ring_bytes: visible.ring.used() as u64,
            group: visible.group,
            commit_time_ms: visible.commit_time_ms,
        }
    }

    /// Puts in a topic, or its later epochs. `state` counts only for a topic that is new here.
    pub(crate) fn put_topic(&self, topic: TopicNumber, epochs: &[LeaderEpoch], state: &TopicState) {
        let epochs = if epochs.is_empty() {
            vec![state.epoch]
        } else {
            epochs.to_vec()
        };
        let mut visible = self.write_visible();
        match visible.topics.get_mut(&topic) {
            Some(view) => view.epochs = epochs,
            None => {
                let view = TopicView {
                    start: state.start,
                    end: state.end,
                    max_timestamp: state.max_timestamp,
                    epochs,
                    index: TopicIndex::default(),
                };
                visible.topics.insert(topic, view);
            }
        }
    }

    fn read_visible(&self) -> RwLockReadGuard<'_, Visible> {
        // Nothing under the write lock can panic half-way: it only moves prepared values in.
        self.visible.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_visible(&self) -> RwLockWriteGuard<'_, Visible> {
        self.visible.write().unwrap_or_else(PoisonError::into_inner)
    }
}
