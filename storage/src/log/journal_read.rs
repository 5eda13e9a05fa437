//! Reading one topic's batches out of a journal file: frame headers are walked, bodies read and checked.

use std::{cmp::Ordering, io, sync::Arc};

use bytes::Bytes;

use super::{
    ReadError,
    read::{FileRead, Frames, Part, Want},
};
use crate::{
    block_cache::Buffers,
    disk::SegmentFile,
    frame::{FrameHeader, Kind},
    index::SpanEntry,
    walk::{Step, WalkError, Walker},
};

/// How much of a file is read at once while headers are walked.
const WINDOW_BYTES: usize = 32 * 1024;

/// Reads one topic's batches out of one file.
pub(super) struct BatchReader<'a> {
    read: &'a FileRead,
    walker: Walker<'a>,
    buffers: &'a Arc<Buffers>,
    /// Places to jump to, not yet passed.
    ahead: std::slice::Iter<'a, SpanEntry>,
}

impl<'a> BatchReader<'a> {
    /// `buffers`: for large batches.
    pub(super) fn new(
        read: &'a FileRead,
        frames: &'a Frames,
        file: &'a dyn SegmentFile,
        buffers: &'a Arc<Buffers>,
    ) -> Self {
        let mut ahead = frames.entries.iter();
        let from = ahead.next().map_or(0, |entry| entry.position);
        Self {
            read,
            walker: Walker::new(file, frames.identity, from, frames.bytes, WINDOW_BYTES),
            buffers,
            ahead,
        }
    }

    pub(super) fn read(&mut self, want: Want) -> Result<Part, ReadError> {
        let mut part = Part {
            next: want.offset,
            ..Part::default()
        };
        while part.next < self.read.end_offset {
            let next = part.next;
            let Some((position, header)) = self.find(|header| header.end_offset() > next)? else {
                return self.bad(part, self.read.end_offset);
            };
            if header.base_offset > next {
                return self.bad(part, header.base_offset);
            }
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let must = want.is_first && part.pieces.is_empty();
            if !must && length > want.bytes_max.saturating_sub(part.bytes) {
                part.is_full = true;
                return Ok(part);
            }
            let Some(batch) = self.body(position, &header)? else {
                return self.bad(part, header.end_offset());
            };
            part.pieces.push(batch);
            part.bytes += length;
            part.next = header.end_offset();
        }
        Ok(part)
    }

    /// What stands before a bad place, if anything does.
    fn bad(&self, mut part: Part, to: i64) -> Result<Part, ReadError> {
        if part.pieces.is_empty() {
            return Err(self.read.corrupt(part.next, to));
        }
        part.is_full = true;
        Ok(part)
    }

    pub(super) fn at_time(&mut self, timestamp_ms: i64) -> Result<Option<Bytes>, ReadError> {
        let end = self.read.end_offset;
        let wanted = |header: &FrameHeader| {
            header.max_timestamp >= timestamp_ms || header.base_offset >= end
        };
        let found = self.find(wanted)?;
        // Where there is none, the index says it is here: the frame that had it is damaged.
        let Some((position, header)) = found.filter(|(_, header)| header.base_offset < end) else {
            return Err(self.read.corrupt(self.read.first_offset, end));
        };
        match self.body(position, &header)? {
            Some(batch) => Ok(Some(batch)),
            None => Err(self.read.corrupt(header.base_offset, header.end_offset())),
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

    /// The batch; `None` if it is damaged.
    fn body(&mut self, position: u64, header: &FrameHeader) -> Result<Option<Bytes>, ReadError> {
        let body = self.bytes(position, header);
        let body = body.map_err(|error| self.failed(error.into()))?;
        if !header.covers(&body) {
            return Ok(None);
        }
        self.jump_over(position, header);
        Ok(Some(body))
    }

    /// The body, as it stands there. Memory of its own for each large one would cost as much in page faults as the read.
    fn bytes(&mut self, position: u64, header: &FrameHeader) -> io::Result<Bytes> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if length <= WINDOW_BYTES {
            return self.walker.body(position, header).map(Bytes::from);
        }
        let mut count = 0;
        let body = self.buffers.filled(length, |buffer| {
            count = self.walker.read_body(position, buffer)?;
            Ok::<_, io::Error>(())
        })?;
        Ok(body.slice(..count))
    }

    fn failed(&self, error: WalkError) -> ReadError {
        self.read.failed(match error {
            WalkError::Io(source) => source,
            WalkError::Frame(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}
