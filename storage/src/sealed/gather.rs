//! Batches of all topics, as they come in a journal's order, put to their places in the runs of a sealed segment.
//!
//! The footer of the journal file says how many bytes and batches each topic has, so every place is known before the
//! first byte is copied. What topics have by turns is gathered in memory, up to [`GATHER_BYTES`], so that hundreds of
//! topics cost writes of many batches and not one write a batch. What comes is held against the plan.

use std::{collections::BTreeMap, io};

use super::layout::{
    BLOCK_BYTES, BLOCK_ENTRY_BYTES, BatchRow, BlockEntry, DirectoryRow, HEADER_BYTES, ROW_BYTES,
    blocks_max,
};
use crate::{
    disk::SegmentFile,
    frame::{FrameHeader, footer::FooterTopic},
    number::TopicNumber,
};

/// Memory for batches that wait to be written.
const GATHER_BYTES: usize = 8 * 1024 * 1024;

/// The frames of a file are not those that its footer tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unplanned;

/// All runs of one segment.
#[derive(Debug)]
pub(crate) struct Runs {
    runs: BTreeMap<TopicNumber, Run>,
    gathered: usize,
    /// Position behind the last run.
    end: u64,
}

#[derive(Debug)]
struct Run {
    /// As planned; checksum and blocks are filled in at the end.
    plan: DirectoryRow,
    data: Gathered,
    rows: Gathered,
    /// Encoded block entries of closed blocks.
    index: Vec<u8>,
    block: Block,
    next_offset: i64,
    batches: u32,
    /// Running maximum up to here.
    max_timestamp: i64,
    crc: crc32fast::Hasher,
}

/// The block that is open.
#[derive(Debug, Default)]
struct Block {
    base_offset: i64,
    max_before: i64,
    bytes: u64,
    batches: u32,
    records: u32,
    rows_crc: crc32fast::Hasher,
}

/// Bytes that follow each other in the file, the last of them in memory.
#[derive(Debug)]
struct Gathered {
    /// Of the first byte in memory.
    position: u64,
    bytes: Vec<u8>,
    /// Where they must end.
    end: u64,
}

impl Gathered {
    fn new(position: u64, end: u64) -> Self {
        Self {
            position,
            bytes: Vec::new(),
            end,
        }
    }

    fn next_position(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }

    fn room(&self) -> u64 {
        self.end.saturating_sub(self.next_position())
    }

    fn write(&mut self, file: &dyn SegmentFile) -> io::Result<()> {
        if !self.bytes.is_empty() {
            file.write_at(self.position, &[&self.bytes])?;
            self.position = self.next_position();
            // The memory goes too: a topic that is done must not keep it.
            self.bytes = Vec::new();
        }
        Ok(())
    }
}

impl Runs {
    /// Places for what the footer tells of.
    pub(crate) fn plan(topics: &[FooterTopic]) -> Result<Self, Unplanned> {
        let mut runs = BTreeMap::new();
        let mut position = HEADER_BYTES as u64;
        for topic in topics {
            let run = Run::plan(topic, position).ok_or(Unplanned)?;
            position = run.data.end;
            if runs.insert(topic.topic, run).is_some() {
                return Err(Unplanned);
            }
        }
        Ok(Self {
            runs,
            gathered: 0,
            end: position,
        })
    }

    /// Position behind the last run.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The batch of `header` comes next.
    pub(crate) fn begin(&self, header: &FrameHeader) -> Result<(), Unplanned> {
        let run = self.runs.get(&header.topic).ok_or(Unplanned)?;
        let fits = header.base_offset == run.next_offset
            && u64::from(header.length) <= run.data.room()
            && run.rows.room() >= ROW_BYTES as u64;
        if fits { Ok(()) } else { Err(Unplanned) }
    }

    /// The next bytes of the batch that was begun.
    pub(crate) fn push(&mut self, topic: TopicNumber, piece: &[u8]) {
        if let Some(run) = self.runs.get_mut(&topic) {
            run.data.bytes.extend_from_slice(piece);
            run.crc.update(piece);
            self.gathered += piece.len();
        }
    }

    /// The batch is whole; `crc` is its checksum.
    pub(crate) fn end_batch(&mut self, header: &FrameHeader, crc: u32) {
        if let Some(run) = self.runs.get_mut(&header.topic) {
            run.end_batch(header, crc);
            self.gathered += ROW_BYTES;
        }
    }

    /// Writes what was gathered, if it is much.
    pub(crate) fn write_if_much(&mut self, file: &dyn SegmentFile) -> io::Result<()> {
        if self.gathered >= GATHER_BYTES {
            self.write(file)?;
        }
        Ok(())
    }

    /// Writes everything that was gathered.
    pub(crate) fn write(&mut self, file: &dyn SegmentFile) -> io::Result<()> {
        for run in self.runs.values_mut() {
            run.rows.write(file)?;
            run.data.write(file)?;
        }
        self.gathered = 0;
        Ok(())
    }

    /// Closes the runs and writes their indexes; everything else is written. Gives the directory.
    pub(crate) fn finish(self, file: &dyn SegmentFile) -> io::Result<Result<Directory, Unplanned>> {
        let mut directory = Vec::new();
        for run in self.runs.into_values() {
            let Ok((row, index)) = run.finish() else {
                return Ok(Err(Unplanned));
            };
            file.write_at(row.index, &[&index])?;
            directory.push(row);
        }
        Ok(Ok(directory))
    }
}

/// What a segment holds, by topic number.
pub(crate) type Directory = Vec<DirectoryRow>;

impl Run {
    /// `None`: numbers that cannot be.
    fn plan(topic: &FooterTopic, index: u64) -> Option<Self> {
        let room = blocks_max(topic.bytes).checked_mul(BLOCK_ENTRY_BYTES as u64)?;
        let rows = index.checked_add(room)?;
        let run = rows.checked_add(u64::from(topic.batches) * ROW_BYTES as u64)?;
        let end = run.checked_add(topic.bytes)?;
        let max_before = topic.entries.first()?.max_before;
        let plan = DirectoryRow {
            topic: topic.topic,
            batches: topic.batches,
            blocks: 0,
            first_offset: topic.first_offset,
            end_offset: topic.end_offset,
            records: topic.records,
            bytes: topic.bytes,
            highest_timestamp: topic.highest_timestamp,
            max_timestamp: topic.max_timestamp,
            index,
            rows,
            run,
            run_crc: 0,
        };
        Some(Self {
            plan,
            data: Gathered::new(run, end),
            rows: Gathered::new(rows, run),
            index: Vec::new(),
            block: Block::default(),
            next_offset: topic.first_offset,
            batches: 0,
            max_timestamp: max_before,
            crc: crc32fast::Hasher::new(),
        })
    }

    fn end_batch(&mut self, header: &FrameHeader, crc: u32) {
        let block = &mut self.block;
        if block.batches == 0 {
            block.base_offset = header.base_offset;
            block.max_before = self.max_timestamp;
        }
        let row = BatchRow {
            bytes: header.length,
            records: header.record_count,
            crc,
            max_timestamp: header.max_timestamp,
        };
        let from = self.rows.bytes.len();
        row.encode(&mut self.rows.bytes);
        let encoded = self.rows.bytes.get(from..).unwrap_or_default();
        block.rows_crc.update(encoded);
        block.batches += 1;
        block.records = block.records.saturating_add(header.record_count);
        block.bytes += u64::from(header.length);
        self.batches += 1;
        self.next_offset = header.end_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        if self.block.bytes >= BLOCK_BYTES {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block.batches == 0 {
            return;
        }
        let entry = BlockEntry {
            base_offset: block.base_offset,
            max_before: block.max_before,
            position: self.data.next_position() - block.bytes,
            bytes: u32::try_from(block.bytes).expect("below 256 KiB and one batch of 2 GiB"),
            batches: block.batches,
            rows: self.rows.next_position() - u64::from(block.batches) * ROW_BYTES as u64,
            records: block.records,
            topic: self.plan.topic,
            rows_crc: block.rows_crc.finalize(),
        };
        self.plan.blocks += 1;
        self.index.extend(entry.encode());
    }

    /// The row of the directory, and the index with zeros behind its last entry.
    fn finish(mut self) -> Result<(DirectoryRow, Vec<u8>), Unplanned> {
        self.close_block();
        let plan = &self.plan;
        let is_planned = self.data.room() == 0
            && self.rows.room() == 0
            && self.next_offset == plan.end_offset
            && self.max_timestamp == plan.max_timestamp
            && i64::try_from(plan.records) == Ok(plan.end_offset - plan.first_offset);
        if !is_planned {
            return Err(Unplanned);
        }
        let room = usize::try_from(plan.rows - plan.index).map_err(|_| Unplanned)?;
        self.index.resize(room, 0);
        self.plan.run_crc = self.crc.finalize();
        Ok((self.plan, self.index))
    }
}
