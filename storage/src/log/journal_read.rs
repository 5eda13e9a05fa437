//! Reading one topic's batches out of a journal file: frame headers are walked, bodies read and checked.

use std::{cmp::Ordering, io, sync::Arc};

use bytes::Bytes;

use super::{
    Batches, ReadError,
    read::{FileRead, Frames, Part, Want},
};
use crate::{
    block_cache::{Buffers, SharedKey},
    disk::SegmentFile,
    frame::{FrameHeader, Kind},
    index::SpanEntry,
    walk::{Step, WalkError, Walker},
};

/// How much of a file is read at once while headers are walked.
const WINDOW_BYTES: usize = 32 * 1024;
/// Most batches that the disk is told of ahead of one read: 1 MiB of batches of 8 KiB.
const AHEAD_BATCHES_MAX: usize = 128;
/// What is read at once ends where a page does.
const PAGE_BYTES: u64 = 4096;

/// Reads one topic's batches out of one file.
pub(super) struct BatchReader<'a> {
    read: &'a FileRead,
    walker: Walker<'a>,
    buffers: &'a Arc<Buffers>,
    /// Its number in the keys of what is shared.
    log: u64,
    /// Places to jump to, not yet passed.
    ahead: std::slice::Iter<'a, SpanEntry>,
}

impl<'a> BatchReader<'a> {
    /// `buffers`: for large batches of the log of this number.
    pub(super) fn new(
        read: &'a FileRead,
        frames: &'a Frames,
        file: &'a dyn SegmentFile,
        (buffers, log): (&'a Arc<Buffers>, u64),
    ) -> Self {
        let mut ahead = frames.entries.iter();
        let from = ahead.next().map_or(0, |entry| entry.position);
        Self {
            read,
            walker: Walker::new(file, frames.identity, from, frames.bytes, WINDOW_BYTES),
            buffers,
            log,
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
            if part.pieces.is_empty() {
                self.announce(&header, want.bytes_max.saturating_sub(length));
            }
            part.pieces.push(Batches::Memory(batch));
            part.bytes += length;
            part.next = header.end_offset();
        }
        Ok(part)
    }

    /// Tells the disk where the next batches are, as many as fit `bytes_max` if they are like the one of `header`: those of
    /// a topic among hundreds lie apart, so that each would be waited for by itself.
    fn announce(&self, header: &FrameHeader, bytes_max: usize) {
        for entry in apart(self.ahead.as_slice(), header, bytes_max) {
            self.walker
                .announce(entry.position, probable_bytes(header) as u64);
        }
    }

    /// Whether what was read last tells nothing of `entry`.
    fn is_far(&self, entry: &SpanEntry) -> bool {
        let distance = entry.position.checked_sub(self.walker.position());
        distance.is_some_and(|distance| distance >= WINDOW_BYTES as u64)
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
                    let bytes = if self.is_far(entry) {
                        probable_bytes(header)
                    } else {
                        WINDOW_BYTES
                    };
                    self.walker.jump(entry.position, bytes);
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
        let key = SharedKey {
            log: self.log,
            file: self.read.file,
            is_sealed: false,
            position,
        };
        let walker = &mut self.walker;
        let fill = |buffer: &mut [u8]| walker.read_body(position, buffer);
        self.buffers.shared(key, length, fill)
    }

    fn failed(&self, error: WalkError) -> ReadError {
        self.read.failed(match error {
            WalkError::Io(source) => source,
            WalkError::Frame(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}

/// Bytes of the topic's next frame, if it is like the one of `header`.
fn probable_bytes(header: &FrameHeader) -> usize {
    let bytes = header.frame_bytes().saturating_mul(5) / 4;
    usize::try_from(bytes.next_multiple_of(PAGE_BYTES)).unwrap_or(usize::MAX)
}

/// Of `entries`, the first of which is read next, those of batches that will be read behind it up to `bytes_max`, and that
/// stand alone between other topics' frames: if all of the topic's batches are like the one of `header`.
fn apart<'a>(
    entries: &'a [SpanEntry],
    header: &FrameHeader,
    bytes_max: usize,
) -> impl Iterator<Item = &'a SpanEntry> {
    let batches = bytes_max as u64 / u64::from(header.length.max(1));
    let records = i64::from(header.record_count.max(1));
    let records_max =
        i64::try_from(batches).map_or(i64::MAX, |count| count.saturating_mul(records));
    let end = header.base_offset.saturating_add(records_max);
    let frame_bytes = header.frame_bytes();
    let stands_alone = move |before: &SpanEntry, entry: &SpanEntry| {
        let between = entry.base_offset.saturating_sub(before.base_offset) / records;
        let own = u64::try_from(between)
            .unwrap_or(0)
            .saturating_mul(frame_bytes);
        let distance = entry.position.saturating_sub(before.position);
        distance >= own.saturating_add(WINDOW_BYTES as u64)
    };
    let pairs = entries.iter().zip(entries.iter().skip(1));
    let wanted = pairs.take_while(move |(_, entry)| entry.base_offset < end);
    wanted
        .filter(move |(before, entry)| stands_alone(before, entry))
        .map(|(_, entry)| entry)
        .take(AHEAD_BATCHES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::TopicNumber;

    /// Batches of ten records and 8 KiB.
    fn header() -> FrameHeader {
        FrameHeader {
            topic: TopicNumber(1),
            record_count: 10,
            length: 8192,
            ..FrameHeader::new(Kind::Data, 1, 7, 1)
        }
    }

    fn entries(count: u64, records: i64, distance: u64) -> Vec<SpanEntry> {
        let entry = |(number, offset)| SpanEntry {
            base_offset: offset * records,
            max_before: 0,
            position: number * distance,
        };
        (1..=count).zip(1..).map(entry).collect()
    }

    #[test]
    fn batches_that_lie_apart_are_announced_as_far_as_the_reader_wants() {
        let entries = entries(500, 10, 1_600_000);
        let announced: Vec<i64> = apart(&entries, &header(), 10 * 8192)
            .map(|entry| entry.base_offset)
            .collect();
        assert_eq!(announced, [20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!(
            apart(&entries, &header(), usize::MAX).count(),
            AHEAD_BATCHES_MAX
        );
    }

    #[test]
    fn batches_that_follow_each_other_are_not_announced() {
        // An entry each eight batches, and nothing between them but a commit frame each.
        let entries = entries(500, 80, 8 * (8192 + 64 + 112));
        assert_eq!(apart(&entries, &header(), 1 << 20).count(), 0);
    }
}
