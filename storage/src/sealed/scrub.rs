//! Rereading one sealed segment, a piece at a time, past the block cache: whether each part is still what its checksum
//! says. Changes nothing.
//!
//! A run is summed whole; only where that is wrong are its batches summed one by one, so that what is told is what
//! readers cannot have. Rows and block entries have checksums of their own.

use std::{collections::VecDeque, io, sync::Arc};

use super::{
    layout::{
        BLOCK_ENTRY_BYTES, BatchRow, BlockEntry, DIRECTORY_ROW_BYTES, DirectoryRow, HEADER_BYTES,
        Part, ROW_BYTES, TRAILER_BYTES, header,
    },
    summary::read_trailer,
};
use crate::{codec::Input, disk::SegmentFile, number::TopicNumber, walk::read_full};

/// Bytes of batches that are read at once.
const PIECE_BYTES: u64 = 128 * 1024;

/// Bytes of a sealed segment that are not what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentDamage {
    /// Number of the file.
    pub file: u64,
    /// First byte.
    pub from: u64,
    /// Exclusive.
    pub to: u64,
    /// What readers do not get for it; `None`: they get everything (the file's directory, ends or commit times).
    pub lost: Option<LostOffsets>,
}

/// Offsets of one topic that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostOffsets {
    /// The topic.
    pub topic: TopicNumber,
    /// First offset.
    pub from: i64,
    /// Exclusive.
    pub to: i64,
}

/// What one step read and found.
#[derive(Debug, Default)]
pub(crate) struct Scrubbed {
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// Neighbours are told as one.
    pub(crate) damage: Vec<SegmentDamage>,
    /// The segment was read to its end.
    pub(crate) is_done: bool,
}

#[derive(Debug)]
enum Work {
    /// Header, trailer and directory.
    Frame,
    Sum(Sum),
    /// The block entries of a topic.
    Index(DirectoryRow),
    /// The rows of a block.
    Rows(BlockEntry),
    /// A block of a run that is not whole: which of its batches are not.
    Batches(BlockEntry),
}

/// Bytes under one checksum.
#[derive(Debug)]
struct Sum {
    from: u64,
    to: u64,
    crc: u32,
    of: Summed,
    /// Up to here they are in the hasher.
    at: u64,
    hasher: crc32fast::Hasher,
}

#[derive(Debug)]
enum Summed {
    /// Ends or commits.
    Part,
    /// A run, and those of its block entries that are whole.
    Run(Vec<BlockEntry>),
    Batch(LostOffsets),
}

impl Sum {
    fn new((from, bytes): (u64, u64), crc: u32, of: Summed) -> Self {
        Self {
            from,
            to: from.saturating_add(bytes),
            crc,
            of,
            at: from,
            hasher: crc32fast::Hasher::new(),
        }
    }

    fn of_part(part: &Part) -> Work {
        Work::Sum(Self::new(
            (part.position, part.bytes),
            part.crc,
            Summed::Part,
        ))
    }
}

/// A segment that is being read.
#[derive(Debug)]
pub(crate) struct Scrubbing {
    file: Arc<dyn SegmentFile>,
    number: u64,
    length: u64,
    work: VecDeque<Work>,
    /// The last one that was found: the next may go on from it.
    last: Option<SegmentDamage>,
    step: Scrubbed,
}

impl Scrubbing {
    /// `length` as it was when the segment was sealed.
    pub(crate) fn new(file: Arc<dyn SegmentFile>, number: u64, length: u64) -> Self {
        Self {
            file,
            number,
            length,
            work: VecDeque::from([Work::Frame]),
            last: None,
            step: Scrubbed::default(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next piece. `is_verified`: whether readers have verified the block at a position; a topic whose blocks they
    /// all have is left out.
    ///
    /// # Errors
    /// What the system says; the segment cannot be read on.
    pub(crate) fn step(&mut self, is_verified: impl Fn(u64) -> bool) -> io::Result<Scrubbed> {
        match self.work.pop_front() {
            Some(Work::Frame) => self.frame()?,
            Some(Work::Sum(sum)) => self.sum(sum)?,
            Some(Work::Index(row)) => self.index(&row, is_verified)?,
            Some(Work::Rows(entry)) => {
                self.rows(&entry, true)?;
            }
            Some(Work::Batches(entry)) => self.batches(&entry)?,
            None => {
                self.step.damage.extend(self.last.take());
                self.step.is_done = true;
            }
        }
        Ok(std::mem::take(&mut self.step))
    }

    fn frame(&mut self) -> io::Result<()> {
        let start = HEADER_BYTES as u64;
        if self.bytes(0, start)? != header() {
            self.found((0, start), None);
        }
        let Ok((_, trailer)) = read_trailer(self.file.as_ref(), self.length)? else {
            let trailer = self.length.saturating_sub(TRAILER_BYTES as u64);
            self.found((trailer, self.length), None);
            return Ok(());
        };
        let row = DIRECTORY_ROW_BYTES as u64;
        let directory = self.bytes(trailer.directory, u64::from(trailer.topics) * row)?;
        let mut at = trailer.directory;
        for bytes in directory.chunks(DIRECTORY_ROW_BYTES) {
            match DirectoryRow::decode(bytes) {
                Ok(row) => self.work.push_back(Work::Index(row)),
                Err(_) => self.found((at, at + row), None),
            }
            at += row;
        }
        self.work.push_back(Sum::of_part(&trailer.ends));
        self.work.push_back(Sum::of_part(&trailer.commits));
        Ok(())
    }

    fn index(&mut self, row: &DirectoryRow, is_verified: impl Fn(u64) -> bool) -> io::Result<()> {
        let size = BLOCK_ENTRY_BYTES as u64;
        let bytes = self.bytes(row.index, u64::from(row.blocks) * size)?;
        let decoded = bytes.chunks(BLOCK_ENTRY_BYTES).map(|bytes| {
            let entry = BlockEntry::decode(bytes).ok();
            entry.filter(|entry| entry.topic == row.topic)
        });
        let decoded: Vec<_> = decoded.collect();
        let whole: Vec<_> = decoded.iter().flatten().copied().collect();
        let (mut at, mut next) = (row.index, row.first_offset);
        for (index, entry) in decoded.iter().enumerate() {
            if entry.is_none() {
                let behind = decoded.iter().skip(index).flatten().next();
                let to = behind.map_or(row.end_offset, |entry| entry.base_offset);
                let (topic, from) = (row.topic, next);
                self.found((at, at + size), Some(LostOffsets { topic, from, to }));
            }
            next = entry.map_or(next, |entry| entry.end_offset());
            at += size;
        }
        let is_known = whole.len() == row.blocks as usize;
        if is_known && whole.iter().all(|entry| is_verified(entry.position)) {
            return Ok(());
        }
        let run = (row.run, row.bytes);
        let sum = Sum::new(run, row.run_crc, Summed::Run(whole.clone()));
        self.work.push_front(Work::Sum(sum));
        self.first(whole.into_iter().map(Work::Rows));
        Ok(())
    }

    /// The rows of a block; `None` if they are damaged, which is `told` or was.
    fn rows(&mut self, entry: &BlockEntry, tell: bool) -> io::Result<Option<Vec<BatchRow>>> {
        let count = u64::from(entry.batches) * ROW_BYTES as u64;
        let bytes = self.bytes(entry.rows, count)?;
        let is_whole = bytes.len() as u64 == count && crc32fast::hash(&bytes) == entry.rows_crc;
        let mut input = Input::new(&bytes);
        let rows = (0..entry.batches).map(|_| BatchRow::decode(&mut input));
        if is_whole && let Ok(rows) = rows.collect() {
            return Ok(Some(rows));
        }
        if tell {
            let (topic, from, to) = (entry.topic, entry.base_offset, entry.end_offset());
            let lost = LostOffsets { topic, from, to };
            self.found((entry.rows, entry.rows.saturating_add(count)), Some(lost));
        }
        Ok(None)
    }

    fn batches(&mut self, entry: &BlockEntry) -> io::Result<()> {
        let rows = self.rows(entry, false)?.unwrap_or_default();
        let (mut position, mut from) = (entry.position, entry.base_offset);
        let topic = entry.topic;
        let sums: Vec<_> = rows
            .iter()
            .map(|row| {
                let to = from.saturating_add(i64::from(row.records));
                let bytes = u64::from(row.bytes);
                let lost = LostOffsets { topic, from, to };
                let sum = Sum::new((position, bytes), row.crc, Summed::Batch(lost));
                (position, from) = (position.saturating_add(bytes), to);
                Work::Sum(sum)
            })
            .collect();
        self.first(sums.into_iter());
        Ok(())
    }

    fn sum(&mut self, mut sum: Sum) -> io::Result<()> {
        let piece = self.bytes(sum.at, (sum.to - sum.at).min(PIECE_BYTES))?;
        sum.hasher.update(&piece);
        sum.at += piece.len() as u64;
        if sum.at < sum.to && !piece.is_empty() {
            self.work.push_front(Work::Sum(sum));
            return Ok(());
        }
        if sum.at == sum.to && sum.hasher.finalize() == sum.crc {
            return Ok(());
        }
        match sum.of {
            Summed::Part => self.found((sum.from, sum.to), None),
            Summed::Run(entries) => self.first(entries.into_iter().map(Work::Batches)),
            Summed::Batch(lost) => self.found((sum.from, sum.to), Some(lost)),
        }
        Ok(())
    }

    /// To be done next, in this order.
    fn first(&mut self, work: impl DoubleEndedIterator<Item = Work>) {
        for work in work.rev() {
            self.work.push_front(work);
        }
    }

    fn found(&mut self, (from, to): (u64, u64), lost: Option<LostOffsets>) {
        let file = self.number;
        let found = SegmentDamage {
            file,
            from,
            to,
            lost,
        };
        match self.last.as_mut().filter(|last| goes_on(last, &found)) {
            Some(last) => {
                last.to = to;
                last.lost = last.lost.zip(lost).map(|(last, lost)| LostOffsets {
                    to: lost.to,
                    ..last
                });
            }
            None => self.step.damage.extend(self.last.replace(found)),
        }
    }

    /// Up to `count` bytes from `position` on; fewer at the end of the file.
    fn bytes(&mut self, position: u64, count: u64) -> io::Result<Vec<u8>> {
        let count = count.min(self.length.saturating_sub(position));
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        let read = read_full(self.file.as_ref(), position, &mut bytes)?;
        bytes.truncate(read);
        self.step.bytes += read as u64;
        Ok(bytes)
    }
}

/// Whether `next` stands right behind `last`, in bytes and in offsets.
fn goes_on(last: &SegmentDamage, next: &SegmentDamage) -> bool {
    let offsets = match (last.lost, next.lost) {
        (None, None) => true,
        (Some(last), Some(next)) => (last.topic, last.to) == (next.topic, next.from),
        (Some(_), None) | (None, Some(_)) => false,
    };
    last.to == next.from && offsets
}
