//! The single writer of an instance's log.
//!
//! A group's life: [`Journal::append`] stamps offsets and epoch into each batch and writes its frame;
//! [`Journal::commit`] writes the commit frame, syncs once, and makes the group visible in the [`Log`];
//! [`Journal::rewind`] takes an unfinished one back. No byte of a group is written before the sync of the one
//! before it returned. The first failed write or sync poisons the journal for ever; a full disk is met before a group
//! needs the space ([`Journal::ready_to_append`]).
//!
//! ```text
//! append -> frame -> WriteBuffer -(1 MiB, or commit)-> file     file full -> footer, sync, next file (roll)
//! commit -> commit frame -> file -> fdatasync -> Log::publish   rewind -> later files removed, zeros, sync
//! ```
//!
//! Synchronous, for a thread of its own; time is an argument. Bytes: `docs/format.md`. Opening: `recover`.

mod commit;
mod file;
mod memo;
mod open;
mod ready;
mod rewind;
mod roll;
mod write_buffer;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;

pub(crate) use self::memo::{DurableEnd, Memo};
pub use self::open::{JournalSetup, TopicEpochs};
pub(crate) use self::rewind::write_zeros;
use self::{file::OpenFile, roll::Room};
use crate::{
    disk::SegmentStore,
    error::StorageError,
    frame::{
        BODY_BYTES_MAX, FrameHeader, Kind,
        checkpoint::{LogState, TopicState},
        frame_bytes,
    },
    index::{FileIndex, IndexedFrame},
    journal_file::FileMaker,
    log::{Log, PublishedFrame},
    number::TopicNumber,
};

/// The time, as the caller's clock has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970. Only noted for people; decides nothing.
    pub wall_ms: i64,
    /// Since some fixed point; never goes back.
    pub monotonic: Duration,
}

/// Sizes and intervals. [`JournalOptions::default`] is what production uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Length of a journal file, bytes; a multiple of 8.
    pub file_bytes: u64,
    /// A file with at least one group is finished after this time ([`Journal::roll_if_due`]).
    pub file_age: Duration,
    /// Memory for the newest batches, bytes.
    pub ring_bytes: usize,
    /// Frames of an unfinished group are written when this many bytes have gathered.
    pub write_bytes: usize,
    /// The next file is made by a thread. Otherwise at once, which delays a commit.
    pub prepare_in_background: bool,
    /// A journal file that was sealed is used again as one of the next. Otherwise each is written with zeros first.
    pub recycle: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            file_bytes: 64 * 1024 * 1024,
            file_age: Duration::from_secs(3600),
            ring_bytes: 32 * 1024 * 1024,
            write_bytes: 1024 * 1024,
            prepare_in_background: true,
            recycle: true,
        }
    }
}

/// A batch to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// Known by [`Journal::add_topic`], or from the catalog when the journal was opened.
    pub topic: TopicNumber,
    /// 0: topics have one partition.
    pub partition: i32,
    /// A finished Kafka v2 batch. Base offset (0..8) and leader epoch (12..16) are stamped here; both are outside
    /// its CRC. Nothing else is looked at.
    pub bytes: Vec<u8>,
    /// Records in it, at least 1.
    pub record_count: u32,
    /// Highest timestamp of its records, ms.
    pub max_timestamp: i64,
}

/// Where a source stands after a group: the whole position, as capture encodes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionChange(pub Vec<u8>);

/// What a group's commit frame says beside the ends of its topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitGroup {
    /// By source number; each source at most once. Sources not named stay where they are.
    pub positions: Vec<(u16, PositionChange)>,
    /// Highest source commit time, ms; `None` for an idle advance.
    pub commit_time_ms: Option<i64>,
    /// Highest schema version in force at the end of the group.
    pub schema_version: u64,
}

/// A group that is durable and visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub group: u64,
    /// The topics whose end moved, and their new high watermarks.
    pub topics: Vec<(TopicNumber, i64)>,
    /// Bytes of the group in the journal.
    pub synced_bytes: u64,
}

/// What the open group takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenSize {
    /// Bytes of its frames; 0: no group is open.
    pub bytes: u64,
    /// Bytes on the disk that [`Journal::rewind`] would give back: the files that hold nothing else.
    pub gives_back: u64,
}

/// The writer. See the module's page.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn SegmentStore>,
    memo: Memo,
    folder: String,
    options: JournalOptions,
    log: Arc<Log>,
    /// As of the last commit frame.
    state: LogState,
    file: OpenFile,
    /// Behind the last commit frame, or behind the checkpoint of a file opened after it, in `file` or `held`.
    tail: u64,
    /// The file with the tail, when the open group has gone on to others.
    held: Option<OpenFile>,
    open: OpenGroup,
    /// Number of the next group; never goes back.
    next_group: u64,
    files: FileMaker,
    /// A file got its name since the directory was last synced.
    directory_dirty: bool,
    /// Why nothing is written any more.
    stopped: Option<Stopped>,
    /// What a start may rely on.
    durable: DurableEnd,
}

#[derive(Debug, Clone)]
enum Stopped {
    Poisoned(String),
    /// The position of a source is lost with damaged bytes.
    Damaged(String),
}

/// The group that is being written. Empty between groups.
#[derive(Debug, Default)]
struct OpenGroup {
    /// `None` until the first frame.
    number: Option<u64>,
    ends: BTreeMap<TopicNumber, OpenEnd>,
    frames: Vec<PublishedFrame>,
    /// Memory of the batches in `frames` that are kept for the ring, and how many of the oldest are not.
    kept_memory: usize,
    dropped: usize,
    /// By how much its frames in the open file make that one's footer longer, at most.
    footer_growth: u64,
    /// Files finished while it was open.
    finished: Vec<(u64, FileIndex)>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct OpenEnd {
    end: i64,
    max_timestamp: i64,
}

impl Journal {
    /// Appends a batch to the open group: stamps offsets and epoch, and writes its frame (gathered up to
    /// [`JournalOptions::write_bytes`]). Neither visible nor durable before [`Journal::commit`].
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for an unknown topic or a batch that cannot be one (nothing changed);
    /// [`StorageError::Poisoned`] and [`StorageError::Damaged`] as for [`Journal::commit`].
    pub fn append(&mut self, now: Now, batch: NewBatch) -> Result<(), StorageError> {
        self.check_writable()?;
        let state = self.accept(&batch)?;
        self.guarded(|journal| journal.append_accepted(now, batch, state))
    }

    /// Puts in a topic, or its later leader epochs, after the catalog has them and before the first append.
    pub fn add_topic(&mut self, topic: impl Into<TopicEpochs>) {
        let TopicEpochs { topic, epochs } = topic.into();
        let state = open::with_epochs(self.state.topics.get(&topic).copied(), &epochs);
        self.state.topics.insert(topic, state);
        self.log.put_topic(topic, &epochs, &state);
    }

    /// The position of a source as of the last commit.
    #[must_use]
    pub fn position(&self, source: u16) -> Option<&[u8]> {
        self.state.positions.get(&source).map(Vec::as_slice)
    }

    /// Every topic that the journal knows.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicNumber> {
        self.state.topics.keys().copied()
    }

    /// The highest schema version that a committed group named.
    pub(crate) fn schema_version(&self) -> u64 {
        self.state.schema_version
    }

    /// What the open group takes.
    #[must_use]
    pub fn open_size(&self) -> OpenSize {
        let first = self.held.as_ref().map(|held| held.number);
        let gives_back = first.map_or(0, |first| self.log.bytes_behind(first));
        OpenSize {
            bytes: self.open.bytes,
            gives_back,
        }
    }

    /// Length of a file that is not longer for one large frame, bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.options.file_bytes
    }

    /// The readers' side.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The topic's state, or why the batch is refused.
    fn accept(&self, batch: &NewBatch) -> Result<TopicState, StorageError> {
        let topic = batch.topic;
        let refuse = |why: &str| Err(StorageError::Invalid(format!("topic {topic}: {why}")));
        let Some(state) = self.state.topics.get(&topic) else {
            return refuse("not added to the journal");
        };
        let length = batch.bytes.len();
        if batch.partition != 0 {
            return refuse("topics have one partition");
        }
        if batch.record_count == 0 || length < STAMPED_BYTES {
            return refuse("a batch without records");
        }
        if u32::try_from(length).is_ok_and(|length| length <= BODY_BYTES_MAX) {
            Ok(*state)
        } else {
            refuse("a batch over 2 GiB")
        }
    }

    fn append_accepted(
        &mut self,
        now: Now,
        mut batch: NewBatch,
        state: TopicState,
    ) -> io::Result<()> {
        let bytes = frame_bytes(batch.bytes.len() as u64);
        self.make_room(now, Room::data(bytes))?;
        let before = self.open.ends.get(&batch.topic).copied();
        let before = before.unwrap_or(OpenEnd {
            end: state.end,
            max_timestamp: state.max_timestamp,
        });
        stamp(&mut batch.bytes, before.end, state.epoch.epoch);
        let header = FrameHeader {
            base_offset: before.end,
            max_timestamp: batch.max_timestamp,
            topic: batch.topic,
            record_count: batch.record_count,
            ..self.header(Kind::Data)
        };
        let memory = batch.bytes.capacity();
        let body = Bytes::from(batch.bytes);
        let (position, header) = self.file.push(header, body.clone());
        self.open.add(&header, position, before, (body, memory));
        self.open.drop_oldest(self.options.ring_bytes);
        if self.file.buffered() >= self.options.write_bytes {
            self.file.flush()?;
        }
        Ok(())
    }

    /// A header of the open group in the open file. Begins a group where none is open.
    fn header(&mut self, kind: Kind) -> FrameHeader {
        let number = *self.open.number.get_or_insert_with(|| {
            self.next_group += 1;
            self.next_group - 1
        });
        FrameHeader::new(kind, self.file.number, self.file.salt, number)
    }

    fn check_writable(&self) -> Result<(), StorageError> {
        match &self.stopped {
            None => Ok(()),
            Some(Stopped::Poisoned(why)) => Err(StorageError::Poisoned(why.clone())),
            Some(Stopped::Damaged(why)) => Err(StorageError::Damaged(why.clone())),
        }
    }

    /// Does `step`; its first error is final. A retry could report as durable what the kernel has dropped.
    fn guarded<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        self.check_writable()?;
        step(self).map_err(|error| {
            let why = format!("{}: {error}", self.folder);
            self.stopped = Some(Stopped::Poisoned(why.clone()));
            StorageError::Poisoned(why)
        })
    }
}

/// Bytes of a batch up to the end of the leader epoch.
const STAMPED_BYTES: usize = 16;

/// Puts base offset and leader epoch where a v2 batch has them.
fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..STAMPED_BYTES].copy_from_slice(&leader_epoch.to_be_bytes());
}

impl OpenGroup {
    fn add(
        &mut self,
        header: &FrameHeader,
        position: u64,
        before: OpenEnd,
        (body, memory): (Bytes, usize),
    ) {
        let end = OpenEnd {
            end: header.end_offset(),
            max_timestamp: before.max_timestamp.max(header.max_timestamp),
        };
        self.ends.insert(header.topic, end);
        self.footer_growth += FileIndex::DATA_GROWTH;
        self.bytes += header.frame_bytes();
        self.kept_memory += memory;
        self.frames.push(PublishedFrame {
            frame: IndexedFrame::new(header, position, before.max_timestamp),
            batch: Some(body),
            memory,
        });
    }

    /// Forgets batches that would not stay in the ring anyway: a group may be larger than memory.
    fn drop_oldest(&mut self, ring_bytes: usize) {
        while self.kept_memory > ring_bytes {
            let Some(oldest) = self.frames.get_mut(self.dropped) else {
                return;
            };
            oldest.batch = None;
            self.kept_memory -= oldest.memory;
            self.dropped += 1;
        }
    }

    /// Its frames in file `number`, put into that file's index.
    fn index_into(&self, number: u64, index: &mut FileIndex) {
        let frames = self.frames.iter().map(|published| &published.frame);
        // Files ascend: those of the open file are the last ones.
        let first = frames
            .clone()
            .rev()
            .take_while(|frame| frame.file == number);
        let count = first.count();
        for frame in frames.skip(self.frames.len() - count) {
            index.add_data(frame);
        }
    }
}
