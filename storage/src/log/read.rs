//! Reading batches: by offset and by time, from the ring or from the files.
//!
//! Where a batch is, is looked up under the lock; the file is read after it. Meanwhile the file may have been sealed or
//! deleted: then it is not found, and the place is looked up again.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    Batches, Log, ReadError, RingRead, TopicView, Visible, files::Form, journal_read::BatchReader,
    sealed_read::RunReader,
};
use crate::{
    block_cache::Buffers,
    disk::SegmentFile,
    index::{Located, LocatedTime, RunPlace, SpanEntry, Start, Stored},
    number::TopicNumber,
    walk::Identity,
};

/// A file that is gone may have been sealed, and its sealed form deleted.
const LOOK_UPS_MAX: usize = 3;
/// Of a stretch that is to be sent: more is read by who sends so much.
pub const WARMED_BYTES: usize = 4 * 1024 * 1024;
/// Of one run; the system itself reads ahead in a long one.
const ANNOUNCED_BYTES_MAX: u64 = 1024 * 1024;

/// What a reader needs of a file, taken under the lock.
#[derive(Debug)]
pub(super) struct FileRead {
    pub(super) topic: TopicNumber,
    pub(super) file: u64,
    /// Of the topic in this file.
    pub(super) first_offset: i64,
    pub(super) end_offset: i64,
    pub(super) place: Place,
    /// Runs that a reader who begins this one comes to next.
    pub(super) ahead: Vec<(u64, RunPlace)>,
}

/// Where in the file.
#[derive(Debug)]
pub(super) enum Place {
    Journal(Frames),
    Sealed(RunPlace),
}

/// In a journal file.
#[derive(Debug)]
pub(super) struct Frames {
    /// The first is where to start; the others are places to jump to on the way.
    pub(super) entries: Vec<SpanEntry>,
    pub(super) identity: Identity,
    /// Length of the file.
    pub(super) bytes: u64,
}

/// What a reader wants: whole batches from the one that holds `offset` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) offset: i64,
    /// One batch is given also if it is larger, unless something was found before.
    pub(super) bytes_max: usize,
    pub(super) is_first: bool,
    /// Places in files are as good as bytes.
    pub(super) may_send: bool,
}

impl Want {
    fn first(offset: i64, bytes_max: usize, may_send: bool) -> Self {
        Self {
            offset,
            bytes_max,
            is_first: true,
            may_send,
        }
    }

    /// What is wanted behind `part`.
    fn behind(self, part: &Part) -> Self {
        Self {
            offset: part.next,
            bytes_max: self.bytes_max.saturating_sub(part.bytes),
            is_first: false,
            ..self
        }
    }
}

/// What one file gave.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) pieces: Vec<Batches>,
    pub(super) bytes: usize,
    /// Behind the last batch.
    pub(super) next: i64,
    /// The next batch does not fit any more, or cannot be read.
    pub(super) is_full: bool,
}

impl FileRead {
    pub(super) fn form(&self) -> Form {
        match self.place {
            Place::Journal(_) => Form::Journal,
            Place::Sealed(_) => Form::Sealed,
        }
    }

    pub(super) fn corrupt(&self, from: i64, to: i64) -> ReadError {
        ReadError::Corrupt {
            topic: self.topic,
            file: self.file,
            from,
            to,
        }
    }

    pub(super) fn failed(&self, source: io::Error) -> ReadError {
        ReadError::Io {
            file: self.file,
            source,
        }
    }
}

impl Log {
    /// Whole stored batches from the one that holds `offset` on, at most `bytes_max` bytes but at least one batch;
    /// none where the offset is the end. Never past the high watermark. Takes no system call and never blocks on
    /// the disk.
    #[must_use]
    pub fn read_ring(&self, topic: TopicNumber, offset: i64, bytes_max: usize) -> RingRead {
        let visible = self.read_visible();
        let Some(view) = visible.topics.get(&topic) else {
            return RingRead::UnknownTopic;
        };
        let (start, end) = (view.start, view.end);
        if offset < start || offset > end {
            return RingRead::OutOfRange { start, end };
        }
        if offset == end {
            return RingRead::Batches(Vec::new());
        }
        let found = visible.ring.read(topic, offset, bytes_max);
        found.map_or(RingRead::NotInRing, RingRead::Batches)
    }

    /// As [`Log::read_ring`], from the files where the ring does not reach. What is given are pieces of one or more
    /// whole batches each, which follow each other. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &self,
        topic: TopicNumber,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let want = Want::first(offset, bytes_max, false);
        let bytes = |batches| match batches {
            Batches::Memory(bytes) => bytes,
            Batches::File(range) => {
                debug_assert!(false, "a place was not asked for: {range:?}");
                Bytes::new()
            }
        };
        let read = self.read_wanted(topic, want)?;
        Ok(read.into_iter().map(bytes).collect())
    }

    /// As [`Log::read`], but of what was verified before only the place is given, in memory as far as the system can keep it
    /// there: for a socket that takes it from there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_to_send(
        &self,
        topic: TopicNumber,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<Batches>, ReadError> {
        let read = self.read_wanted(topic, Want::first(offset, bytes_max, true))?;
        for batches in &read {
            if let Batches::File(range) = batches {
                range.warm(0..range.size().min(WARMED_BYTES));
            }
        }
        Ok(read)
    }

    /// As [`Log::read_to_send`], where that takes no disk and nothing is to be verified: only of sealed segments. `None`: ask
    /// that, off the runtime.
    #[must_use]
    pub fn send_at_once(
        &self,
        topic: TopicNumber,
        offset: i64,
        bytes_max: usize,
    ) -> Option<Vec<Batches>> {
        let mut pieces = Vec::new();
        let mut want = Want::first(offset, bytes_max, true);
        loop {
            let part = self.run_at_once(topic, want)?;
            want = want.behind(&part);
            pieces.extend(part.pieces);
            if part.is_full || want.bytes_max == 0 || self.is_in_ring(topic, want.offset) {
                break;
            }
        }
        let is_ready = |batches: &Batches| match batches {
            Batches::Memory(_) => true,
            Batches::File(range) => range.is_warm(0..range.size().min(WARMED_BYTES)),
        };
        pieces.iter().all(is_ready).then_some(pieces)
    }

    fn run_at_once(&self, topic: TopicNumber, want: Want) -> Option<Part> {
        let read = self.read_visible().locate(topic, want.offset).ok()?;
        let Place::Sealed(run) = read.place else {
            return None;
        };
        let handle = self.files.open(read.file, Form::Sealed)?;
        RunReader::new(self, &read, run, &handle).at_once(want)
    }

    fn read_wanted(&self, topic: TopicNumber, want: Want) -> Result<Vec<Batches>, ReadError> {
        match self.read_ring(topic, want.offset, want.bytes_max) {
            RingRead::Batches(batches) => Ok(batches.into_iter().map(Batches::Memory).collect()),
            RingRead::OutOfRange { start, end } => Err(ReadError::OutOfRange { start, end }),
            RingRead::UnknownTopic => Err(ReadError::UnknownTopic(topic)),
            RingRead::NotInRing => self.read_files(topic, want),
        }
    }

    /// A topic that has little in each file is read from several at once.
    fn read_files(&self, topic: TopicNumber, mut want: Want) -> Result<Vec<Batches>, ReadError> {
        let mut pieces = Vec::new();
        loop {
            let part = self.look_up(
                |visible| visible.locate(topic, want.offset).map(Some),
                |read, handle| match &read.place {
                    Place::Journal(frames) => {
                        BatchReader::new(read, frames, handle.as_ref(), self.large_batches())
                            .read(want)
                    }
                    Place::Sealed(run) => {
                        self.announce(&read.ahead);
                        RunReader::new(self, read, *run, handle).read(want)
                    }
                },
            );
            let part = match part {
                // What stands before a bad place is given first.
                Err(_) if !want.is_first => return Ok(pieces),
                part => part?,
            };
            want = want.behind(&part);
            pieces.extend(part.pieces);
            if part.is_full || want.bytes_max == 0 || self.is_in_ring(topic, want.offset) {
                return Ok(pieces);
            }
        }
    }

    /// Memory for batches that are not cached, and this log's number there.
    fn large_batches(&self) -> (&Arc<Buffers>, u64) {
        (self.cache.buffers(), self.cache_number)
    }

    /// Lets the disk fetch runs while those before them are read.
    fn announce(&self, runs: &[(u64, RunPlace)]) {
        for (file, run) in runs {
            // One that is gone is missed when it is read.
            if let Ok(handle) = self.files.get(*file, Form::Sealed) {
                handle.will_need(run.index, run.bytes_about().min(ANNOUNCED_BYTES_MAX));
            }
        }
    }

    /// Whether the ring, and not a file, is to be asked for `offset`; the end counts too.
    fn is_in_ring(&self, topic: TopicNumber, offset: i64) -> bool {
        !matches!(self.read_ring(topic, offset, 0), RingRead::NotInRing)
    }

    /// The first stored batch, in offset order, that has a record with a timestamp of at least `timestamp_ms`.
    /// `None`: there is none. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn batch_at_time(
        &self,
        topic: TopicNumber,
        timestamp_ms: i64,
    ) -> Result<Option<Bytes>, ReadError> {
        {
            let visible = self.read_visible();
            let view = visible.view(topic)?;
            if view.max_timestamp < timestamp_ms || view.start == view.end {
                return Ok(None);
            }
            if let Some(batch) = visible.ring.at_time(topic, timestamp_ms) {
                return Ok(Some(batch));
            }
        }
        self.look_up(
            |visible| {
                let view = visible.view(topic)?;
                match view.index.locate_time(view.start, timestamp_ms) {
                    None => Ok(None),
                    Some(LocatedTime::At(start)) => Ok(Some(visible.file_read(topic, start))),
                    Some(LocatedTime::Hole { from, to }) => Err(ReadError::Corrupt {
                        topic,
                        file: 0,
                        from,
                        to,
                    }),
                }
            },
            |read, handle| match &read.place {
                Place::Journal(frames) => {
                    BatchReader::new(read, frames, handle.as_ref(), self.large_batches())
                        .at_time(timestamp_ms)
                }
                Place::Sealed(run) => {
                    RunReader::new(self, read, *run, handle).at_time(timestamp_ms)
                }
            },
        )
    }

    /// The first stored batch that holds the topic's highest timestamp. `None`: the topic is empty. Blocks on
    /// the disk. (Kafka: ListOffsets with timestamp -3, KIP-734.)
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn batch_of_max_timestamp(&self, topic: TopicNumber) -> Result<Option<Bytes>, ReadError> {
        let highest = self.read_visible().view(topic)?.index.highest_timestamp();
        highest.map_or(Ok(None), |highest| self.batch_at_time(topic, highest))
    }
}

impl Log {
    /// Looks up a place under the lock, and reads the file behind it; again where the file is gone by then. Where there
    /// is no place, the answer is the default.
    fn look_up<T: Default>(
        &self,
        locate: impl Fn(&Visible) -> Result<Option<FileRead>, ReadError>,
        read: impl Fn(&FileRead, &Arc<dyn SegmentFile>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut look_ups = 1;
        loop {
            let Some(place) = locate(&self.read_visible())? else {
                return Ok(T::default());
            };
            match self.files.get(place.file, place.form()) {
                Ok(handle) => return read(&place, &handle),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(place.failed(error));
                }
                Err(_) if look_ups < LOOK_UPS_MAX => look_ups += 1,
                // It is missing where it should be.
                Err(_) => return Err(place.corrupt(place.first_offset, place.end_offset)),
            }
        }
    }
}

impl Visible {
    pub(super) fn view(&self, topic: TopicNumber) -> Result<&TopicView, ReadError> {
        self.topics
            .get(&topic)
            .ok_or(ReadError::UnknownTopic(topic))
    }

    fn locate(&self, topic: TopicNumber, offset: i64) -> Result<FileRead, ReadError> {
        let view = self.view(topic)?;
        let (start, end) = (view.start, view.end);
        if offset < start || offset > end {
            return Err(ReadError::OutOfRange { start, end });
        }
        match view.index.locate(offset) {
            Located::At(start) => Ok(self.file_read(topic, start)),
            Located::Hole { to } => Err(ReadError::Corrupt {
                topic,
                file: 0,
                from: offset,
                to: to.unwrap_or(view.end),
            }),
        }
    }

    fn file_read(&self, topic: TopicNumber, start: Start) -> FileRead {
        let number = start.file;
        let place = match start.stored {
            Stored::Sealed(run) => Place::Sealed(run),
            Stored::Journal(entries) => {
                let facts = self.files.get(&number).copied().unwrap_or_default();
                Place::Journal(Frames {
                    entries,
                    identity: Identity {
                        number,
                        salt: facts.salt,
                    },
                    bytes: facts.bytes,
                })
            }
        };
        FileRead {
            topic,
            file: number,
            first_offset: start.first_offset,
            end_offset: start.end_offset,
            place,
            ahead: start.ahead,
        }
    }
}
