//! Reading batches: by offset and by time, from the ring or from the files.

use std::{cmp::Ordering, io, sync::Arc};

use bytes::Bytes;

use super::{Log, ReadError, RingRead, TopicView, Visible};
use crate::{
    disk::SegmentFile,
    frame::{FrameHeader, Kind},
    index::{Located, Start},
    number::TopicNumber,
    walk::{Identity, Step, WalkError, Walker},
};

/// How much of a file is read at once while headers are walked.
const WINDOW_BYTES: usize = 32 * 1024;

/// What a reader needs of the files, taken under the lock.
struct FileRead {
    topic: TopicNumber,
    start: Start,
    identity: Identity,
    /// Length of the file.
    bytes: u64,
}

impl Log {
    /// Whole stored batches from the one that holds `offset` on, at most `bytes_max` bytes but at least one batch.
    /// Never past the high watermark. Takes no system call and never blocks on the disk.
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

    /// As [`Log::read_ring`], from the files where the ring does not reach. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &self,
        topic: TopicNumber,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        match self.read_ring(topic, offset, bytes_max) {
            RingRead::Batches(batches) => Ok(batches),
            RingRead::OutOfRange { start, end } => Err(ReadError::OutOfRange { start, end }),
            RingRead::UnknownTopic => Err(ReadError::UnknownTopic(topic)),
            RingRead::NotInRing => {
                let read = self.locate(topic, offset)?;
                let file = self.open(&read)?;
                BatchReader::new(&read, file.as_ref()).read(offset, bytes_max)
            }
        }
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
        let read = {
            let visible = self.read_visible();
            let view = visible.view(topic)?;
            if view.max_timestamp < timestamp_ms || view.start == view.end {
                return Ok(None);
            }
            if let Some(batch) = visible.ring.at_time(topic, timestamp_ms) {
                return Ok(Some(batch));
            }
            match view.index.locate_time(timestamp_ms) {
                Some(start) => visible.file_read(topic, start),
                None => return Ok(None),
            }
        };
        let file = self.open(&read)?;
        BatchReader::new(&read, file.as_ref()).at_time(timestamp_ms)
    }

    /// The first stored batch that holds the topic's highest timestamp. `None`: the topic is empty. Blocks on
    /// the disk. (Kafka: ListOffsets with timestamp -3, KIP-734.)
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn batch_of_max_timestamp(&self, topic: TopicNumber) -> Result<Option<Bytes>, ReadError> {
        let highest = self.read_visible().view(topic)?.max_timestamp;
        self.batch_at_time(topic, highest)
    }

    fn locate(&self, topic: TopicNumber, offset: i64) -> Result<FileRead, ReadError> {
        let visible = self.read_visible();
        let view = visible.view(topic)?;
        match view.index.locate(offset) {
            Located::At(start) => Ok(visible.file_read(topic, start)),
            Located::Hole { to } => Err(ReadError::Corrupt {
                topic,
                file: 0,
                from: offset,
                to: to.unwrap_or(view.end),
            }),
        }
    }

    fn open(&self, read: &FileRead) -> Result<Arc<dyn SegmentFile>, ReadError> {
        let file = read.start.file;
        self.files
            .get(file)
            .map_err(|source| ReadError::Io { file, source })
    }
}

impl Visible {
    fn view(&self, topic: TopicNumber) -> Result<&TopicView, ReadError> {
        self.topics
            .get(&topic)
            .ok_or(ReadError::UnknownTopic(topic))
    }

    fn file_read(&self, topic: TopicNumber, start: Start) -> FileRead {
        let number = start.file;
        let facts = self.files.get(&number).copied().unwrap_or_default();
        let salt = facts.salt;
        FileRead {
            topic,
            start,
            identity: Identity { number, salt },
            bytes: facts.bytes,
        }
    }
}

/// Reads one topic's batches out of one file.
struct BatchReader<'a> {
    read: &'a FileRead,
    walker: Walker<'a>,
    /// Places to jump to, not yet passed.
    ahead: std::slice::Iter<'a, crate::index::SpanEntry>,
}

impl<'a> BatchReader<'a> {
    fn new(read: &'a FileRead, file: &'a dyn SegmentFile) -> Self {
        let mut ahead = read.start.entries.iter();
        let from = ahead.next().map_or(0, |entry| entry.position);
        Self {
            read,
            walker: Walker::new(file, read.identity, from, read.bytes, WINDOW_BYTES),
            ahead,
        }
    }

    fn read(&mut self, offset: i64, bytes_max: usize) -> Result<Vec<Bytes>, ReadError> {
        let mut found = Vec::new();
        let mut next = offset;
        let mut size = 0;
        while next < self.read.start.end_offset {
            let Some((position, header)) = self.find(|header| header.end_offset() > next)? else {
                break;
            };
            size += usize::try_from(header.length).unwrap_or(usize::MAX);
            let hole = header.base_offset > next;
            if !found.is_empty() && (hole || size > bytes_max) {
                return Ok(found);
            }
            if hole {
                return Err(self.corrupt(next, header.base_offset));
            }
            match self.body(position, &header) {
                Ok(batch) => found.push(batch),
                Err(ReadError::Corrupt { .. }) if !found.is_empty() => return Ok(found),
                Err(error) => return Err(error),
            }
            next = header.end_offset();
        }
        if found.is_empty() {
            return Err(self.corrupt(next, self.read.start.end_offset));
        }
        Ok(found)
    }

    fn at_time(&mut self, timestamp_ms: i64) -> Result<Option<Bytes>, ReadError> {
        let end = self.read.start.end_offset;
        let wanted = |header: &FrameHeader| {
            header.max_timestamp >= timestamp_ms || header.base_offset >= end
        };
        match self.find(wanted)? {
            Some((position, header)) if header.base_offset < end => {
                self.body(position, &header).map(Some)
            }
            // The index says it is here: the frame that had it is damaged.
            Some(_) | None => {
                let first = self.read.start.entries.first();
                Err(self.corrupt(first.map_or(end, |entry| entry.base_offset), end))
            }
        }
    }

    /// The next data frame of the topic that is `wanted`.
    fn find(
        &mut self,
        wanted: impl Fn(&FrameHeader) -> bool,
    ) -> Result<Option<(u64, FrameHeader)>, ReadError> {
        loop {
            match self.walker.step().map_err(|error| self.failed(error))? {
                Step::Frame { position, header } => {
                    if header.kind != Kind::Data || header.topic != self.read.topic {
                        continue;
                    }
                    if wanted(&header) {
                        return Ok(Some((position, header)));
                    }
                    self.jump_over(position, &header);
                }
                Step::Gap { .. } => {}
                Step::End { .. } => return Ok(None),
            }
        }
    }

    /// Goes on at the next entry where it is known to be the topic's next frame.
    fn jump_over(&mut self, position: u64, header: &FrameHeader) {
        while let Some(entry) = self.ahead.as_slice().first() {
            match entry.base_offset.cmp(&header.end_offset()) {
                Ordering::Less => {
                    self.ahead.next();
                }
                Ordering::Equal if entry.position > position => {
                    self.walker.jump(entry.position);
                    return;
                }
                Ordering::Equal | Ordering::Greater => return,
            }
        }
    }

    fn body(&mut self, position: u64, header: &FrameHeader) -> Result<Bytes, ReadError> {
        let body = self.walker.body(position, header);
        let body = body.map_err(|error| self.failed(error.into()))?;
        if !header.covers(&body) {
            return Err(self.corrupt(header.base_offset, header.end_offset()));
        }
        self.jump_over(position, header);
        Ok(Bytes::from(body))
    }

    fn corrupt(&self, from: i64, to: i64) -> ReadError {
        ReadError::Corrupt {
            topic: self.read.topic,
            file: self.read.start.file,
            from,
            to,
        }
    }

    fn failed(&self, error: WalkError) -> ReadError {
        let source = match error {
            WalkError::Io(source) => source,
            WalkError::Frame(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        };
        ReadError::Io {
            file: self.read.start.file,
            source,
        }
    }
}
