//! Reading one topic's batches out of a sealed segment, through the block cache.
//!
//! A run's index names its blocks; a block is loaded whole, with the rows of its batches. The rows have a checksum that is
//! always verified; the batches' checksums are verified when a block is loaded for the first time after a start, and
//! that they were right is remembered. A piece that is given out is a slice of the cache's memory.

use std::{
    convert::Infallible,
    ops::Range,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;

use super::{
    Batches, FileRange, Log, ReadError,
    read::{FileRead, Part, Want},
};
use crate::{
    block_cache::{Block, Buffers, CachedBatch, Piece, PieceKey, SharedKey},
    codec::Input,
    disk::SegmentFile,
    index::RunPlace,
    sealed::layout::{BLOCK_ENTRY_BYTES, BatchRow, BlockEntry, ROW_BYTES},
    walk::read_full,
};

/// Reads one run.
pub(super) struct RunReader<'a> {
    log: &'a Log,
    read: &'a FileRead,
    place: RunPlace,
    file: &'a Arc<dyn SegmentFile>,
}

/// Where in the index an offset is.
enum Found {
    Block(BlockEntry),
    /// The entry that has it is damaged; exclusive end.
    Damaged(i64),
}

impl<'a> RunReader<'a> {
    pub(super) fn new(
        log: &'a Log,
        read: &'a FileRead,
        place: RunPlace,
        file: &'a Arc<dyn SegmentFile>,
    ) -> Self {
        Self {
            log,
            read,
            place,
            file,
        }
    }

    pub(super) fn read(&self, want: Want) -> Result<Part, ReadError> {
        let index = self.index()?;
        let Piece::Index(entries) = index.as_ref() else {
            return Err(self.read.corrupt(want.offset, self.read.end_offset));
        };
        let mut part = Part {
            next: want.offset,
            ..Part::default()
        };
        while part.next < self.read.end_offset && !part.is_full {
            match self.find(entries, part.next) {
                Found::Block(entry) if self.may_send(&entry, want) => {
                    self.place_block(&entry, want, &mut part)?;
                }
                Found::Block(entry) => self.read_block(&entry, want, &mut part)?,
                Found::Damaged(to) if part.pieces.is_empty() => {
                    return Err(self.read.corrupt(part.next, to));
                }
                Found::Damaged(_) => part.is_full = true,
            }
        }
        Ok(part)
    }

    fn may_send(&self, entry: &BlockEntry, want: Want) -> bool {
        want.may_send && self.log.has_verified(self.read.file, entry.position)
    }

    /// As [`RunReader::read_block`], without its bytes.
    fn place_block(
        &self,
        entry: &BlockEntry,
        want: Want,
        part: &mut Part,
    ) -> Result<(), ReadError> {
        let piece = self.batches(entry)?;
        let Some(Piece::Batches(batches)) = piece.as_deref() else {
            return self.bad(part, entry.end_offset());
        };
        if self.place_batches(entry, batches, want, part) {
            return Ok(());
        }
        self.bad(part, entry.end_offset())
    }

    /// [`RunReader::read`] where everything that it needs is in the cache, and what it gives was verified.
    pub(super) fn at_once(&self, want: Want) -> Option<Part> {
        let cache = &self.log.cache;
        let index = cache.peek(self.key(self.place.index))?;
        let Piece::Index(entries) = index.as_ref() else {
            return None;
        };
        let mut part = Part {
            next: want.offset,
            ..Part::default()
        };
        while part.next < self.read.end_offset && !part.is_full {
            let Found::Block(entry) = self.find(entries, part.next) else {
                return None;
            };
            let rows = cache.peek(self.key(entry.rows))?;
            let Piece::Batches(batches) = rows.as_ref() else {
                return None;
            };
            let is_placed =
                self.may_send(&entry, want) && self.place_batches(&entry, batches, want, &mut part);
            if !is_placed {
                return None;
            }
        }
        Some(part)
    }

    /// `false` where the batches end before the entry says.
    fn place_batches(
        &self,
        entry: &BlockEntry,
        batches: &[CachedBatch],
        want: Want,
        part: &mut Part,
    ) -> bool {
        let taken = take(batches, want, part);
        part.is_full = taken.is_full;
        if taken.range.is_empty() {
            return taken.is_full;
        }
        let place = (self.read.file, entry.position + taken.range.start as u64);
        let range = FileRange::new(self.file, place, taken.range.len());
        part.bytes += range.size();
        part.next = taken.next;
        let extended = match part.pieces.last_mut() {
            Some(Batches::File(before)) => before.extend(&range),
            _ => false,
        };
        if !extended {
            part.pieces.push(Batches::File(range));
        }
        true
    }

    /// What the block has from `part.next` on, as far as it fits.
    fn read_block(&self, entry: &BlockEntry, want: Want, part: &mut Part) -> Result<(), ReadError> {
        let key = self.key(entry.position);
        let Some(piece) = self.block(key, entry)? else {
            return self.bad(part, entry.end_offset());
        };
        let Piece::Block(block) = piece.as_ref() else {
            return self.bad(part, entry.end_offset());
        };
        let taken = take(&block.batches, want, part);
        if let Some(to) = taken.damaged_to {
            return self.bad(part, to);
        }
        if taken.range.is_empty() && !taken.is_full {
            // The rows end before the entry says.
            return self.bad(part, entry.end_offset());
        }
        part.is_full = taken.is_full;
        if !taken.range.is_empty() {
            self.log.cache.was_read(key, taken.range.clone());
            part.bytes += taken.range.len();
            let bytes = block.bytes.slice(taken.range);
            part.pieces.push(Batches::Memory(bytes));
            part.next = taken.next;
        }
        Ok(())
    }

    /// What stands before a bad place is given, if anything does.
    fn bad(&self, part: &mut Part, to: i64) -> Result<(), ReadError> {
        if part.pieces.is_empty() {
            return Err(self.read.corrupt(part.next, to));
        }
        part.is_full = true;
        Ok(())
    }

    /// The first batch with a timestamp of at least `timestamp_ms`; the index of the topic says that it is here.
    pub(super) fn at_time(&self, timestamp_ms: i64) -> Result<Option<Bytes>, ReadError> {
        let nowhere = || {
            self.read
                .corrupt(self.read.first_offset, self.read.end_offset)
        };
        let index = self.index()?;
        let Piece::Index(entries) = index.as_ref() else {
            return Err(nowhere());
        };
        // Everything before a block is older than its `max_before`.
        let older = |entry: &Option<BlockEntry>| entry.is_some_and(|e| e.max_before < timestamp_ms);
        let from = entries.iter().rposition(older).unwrap_or(0);
        for entry in entries.iter().skip(from) {
            let Some(entry) = entry else {
                return Err(nowhere());
            };
            let Some(piece) = self.block(self.key(entry.position), entry)? else {
                return Err(self.read.corrupt(entry.base_offset, entry.end_offset()));
            };
            let Piece::Block(block) = piece.as_ref() else {
                return Err(nowhere());
            };
            let found = block
                .batches
                .iter()
                .position(|batch| batch.max_timestamp >= timestamp_ms);
            if let Some(at) = found {
                return self.one(block, at).map(Some);
            }
        }
        Err(nowhere())
    }

    /// One batch.
    fn one(&self, block: &Block, at: usize) -> Result<Bytes, ReadError> {
        let before = at.checked_sub(1).and_then(|at| block.batches.get(at));
        let from = before.map_or(0, |batch| batch.end);
        let base = before.map_or(block.base_offset, |batch| batch.end_offset);
        match block.batches.get(at).filter(|batch| batch.whole) {
            Some(batch) => Ok(block.bytes.slice(from..batch.end)),
            None => {
                let end = block.batches.get(at).map_or(base, |batch| batch.end_offset);
                Err(self.read.corrupt(base, end))
            }
        }
    }

    fn find(&self, entries: &[Option<BlockEntry>], offset: i64) -> Found {
        let starts = |entry: &Option<BlockEntry>| entry.is_some_and(|e| e.base_offset <= offset);
        let at = entries.iter().rposition(starts);
        if let Some(entry) = at.and_then(|at| entries.get(at).copied().flatten())
            && offset < entry.end_offset()
        {
            return Found::Block(entry);
        }
        let behind = entries.iter().skip(at.map_or(0, |at| at + 1));
        let next = behind.flatten().next().map(|entry| entry.base_offset);
        Found::Damaged(next.unwrap_or(self.read.end_offset))
    }

    fn key(&self, position: u64) -> PieceKey {
        PieceKey {
            log: self.log.cache_number,
            file: self.read.file,
            position,
        }
    }

    fn index(&self) -> Result<Arc<Piece>, ReadError> {
        let key = self.key(self.place.index);
        let piece = self.log.cache.get(key, |_| {
            load_index(self.file.as_ref(), self.place, self.read.topic)
                .map_err(|error| self.read.failed(error))
        })?;
        // Every use counts as one more: an index is small, and every read of the run needs it.
        self.log.cache.was_read(key, 0..1);
        Ok(piece)
    }

    /// The block's batches alone, all of them whole; `None` if their rows are damaged.
    fn batches(&self, entry: &BlockEntry) -> Result<Option<Arc<Piece>>, ReadError> {
        let loaded = self.log.cache.get(self.key(entry.rows), |_| {
            let rows = load_rows(self.file.as_ref(), entry)
                .map_err(|error| Some(self.read.failed(error)))?;
            let rows = rows.ok_or(None)?;
            Ok(Piece::Batches(batches_of(entry, &rows, |_, _| true)))
        });
        found(loaded)
    }

    /// Who reads the block next is given places in it.
    fn keep_batches(&self, entry: &BlockEntry, batches: &[CachedBatch]) {
        let keep = |_: &_| Ok::<_, Infallible>(Piece::Batches(batches.to_vec()));
        let Ok(_kept) = self.log.cache.get(self.key(entry.rows), keep);
    }

    /// The block; `None` if its rows are damaged.
    fn block(&self, key: PieceKey, entry: &BlockEntry) -> Result<Option<Arc<Piece>>, ReadError> {
        let loaded = self.log.cache.get(key, |buffers| {
            let rows = load_rows(self.file.as_ref(), entry)
                .map_err(|error| Some(self.read.failed(error)))?;
            let rows = rows.ok_or(None)?;
            let verify = !self.log.has_verified(key.file, key.position);
            let block = load_block((self.file.as_ref(), key), entry, &rows, buffers, verify);
            let block = block.map_err(|error| Some(self.read.failed(error)))?;
            if verify && block.batches.iter().all(|batch| batch.whole) {
                self.log.remember_verified(key);
                self.keep_batches(entry, &block.batches);
            }
            Ok(Piece::Block(block))
        });
        found(loaded)
    }
}

/// `Err(None)`: there are no rows.
fn found(loaded: Result<Arc<Piece>, Option<ReadError>>) -> Result<Option<Arc<Piece>>, ReadError> {
    match loaded {
        Ok(piece) => Ok(Some(piece)),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

/// What a read takes of a block.
#[derive(Debug, Default)]
struct Taken {
    range: Range<usize>,
    /// Offset behind it.
    next: i64,
    /// The next batch does not fit, or is damaged.
    is_full: bool,
    /// The first one is damaged, and those behind it up to this offset.
    damaged_to: Option<i64>,
}

/// Whole batches from the one that holds the offset where `part` is on, of as many bytes as are still wanted; one at least
/// if it must be.
fn take(batches: &[CachedBatch], want: Want, part: &Part) -> Taken {
    let offset = part.next;
    let bytes_max = want.bytes_max.saturating_sub(part.bytes);
    let must = want.is_first && part.pieces.is_empty();
    let at = batches.partition_point(|batch| batch.end_offset <= offset);
    let from = at.checked_sub(1).and_then(|at| batches.get(at));
    let from = from.map_or(0, |batch| batch.end);
    let rest = batches.get(at..).unwrap_or_default();
    if rest.first().is_some_and(|batch| !batch.whole) {
        let bad = rest.iter().take_while(|batch| !batch.whole);
        return Taken {
            damaged_to: bad.last().map(|batch| batch.end_offset),
            ..Taken::default()
        };
    }
    let fits = |(index, batch): &(usize, &CachedBatch)| {
        batch.whole && (batch.end - from <= bytes_max || (must && *index == 0))
    };
    let taken = rest.iter().enumerate().take_while(fits).last();
    let (count, end, next) = taken.map_or((0, from, offset), |(index, batch)| {
        (index + 1, batch.end, batch.end_offset)
    });
    Taken {
        range: from..end,
        next,
        is_full: count < rest.len(),
        damaged_to: None,
    }
}

fn load_index(
    file: &dyn SegmentFile,
    place: RunPlace,
    topic: crate::number::TopicNumber,
) -> std::io::Result<Piece> {
    let mut bytes = vec![0; place.blocks as usize * BLOCK_ENTRY_BYTES];
    let count = read_full(file, place.index, &mut bytes)?;
    let whole = bytes.get(..count).unwrap_or_default();
    let entry = |bytes: &[u8]| {
        let entry = BlockEntry::decode(bytes).ok();
        entry.filter(|entry| entry.topic == topic)
    };
    let entries = whole.chunks_exact(BLOCK_ENTRY_BYTES).map(entry);
    let missing = place.blocks as usize - count / BLOCK_ENTRY_BYTES;
    Ok(Piece::Index(
        entries.chain(std::iter::repeat_n(None, missing)).collect(),
    ))
}

/// The rows of a block's batches; `None` if they are damaged.
fn load_rows(file: &dyn SegmentFile, entry: &BlockEntry) -> std::io::Result<Option<Vec<BatchRow>>> {
    // The entry's checksum was right: these lengths are ours.
    let mut bytes = vec![0; entry.batches as usize * ROW_BYTES];
    let count = read_full(file, entry.rows, &mut bytes)?;
    if count < bytes.len() || crc32fast::hash(&bytes) != entry.rows_crc {
        return Ok(None);
    }
    let mut input = Input::new(&bytes);
    let rows: Result<Vec<_>, _> = (0..entry.batches)
        .map(|_| BatchRow::decode(&mut input))
        .collect();
    Ok(rows.ok())
}

fn load_block(
    (file, key): (&dyn SegmentFile, PieceKey),
    entry: &BlockEntry,
    rows: &[BatchRow],
    buffers: &Arc<Buffers>,
    verify: bool,
) -> std::io::Result<Block> {
    let key = SharedKey {
        log: key.log,
        file: key.file,
        is_sealed: true,
        position: key.position,
    };
    let bytes = buffers.shared(key, entry.bytes as usize, |bytes| {
        read_full(file, entry.position, bytes)
    })?;
    let is_whole = |range: Range<usize>, row: &BatchRow| {
        let stored = bytes.get(range);
        stored.is_some_and(|stored| !verify || crc32fast::hash(stored) == row.crc)
    };
    Ok(Block {
        base_offset: entry.base_offset,
        batches: batches_of(entry, rows, is_whole),
        bytes,
    })
}

/// Where the block's batches lie in it.
fn batches_of(
    entry: &BlockEntry,
    rows: &[BatchRow],
    is_whole: impl Fn(Range<usize>, &BatchRow) -> bool,
) -> Vec<CachedBatch> {
    let (mut from, mut offset) = (0, entry.base_offset);
    let batch = |row: &BatchRow| {
        let end = from + row.bytes as usize;
        let whole = is_whole(from..end, row);
        (from, offset) = (end, offset.saturating_add(i64::from(row.records)));
        CachedBatch {
            end,
            end_offset: offset,
            max_timestamp: row.max_timestamp,
            whole,
        }
    };
    rows.iter().map(batch).collect()
}

impl Log {
    /// Whether the batches of the block at `position` were all right when it was first read.
    pub(crate) fn has_verified(&self, file: u64, position: u64) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let of_file = verified.get(&file);
        of_file.is_some_and(|positions| positions.contains(&position))
    }

    /// The file is not what it was: blocks that are loaded from now on are verified again, and those in the cache are
    /// loaded again.
    pub(crate) fn forget_verified(&self, file: u64) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.remove(&file);
        drop(verified);
        self.cache.forget(self.cache_number, |other| other != file);
    }

    fn remember_verified(&self, key: PieceKey) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.entry(key.file).or_default().insert(key.position);
    }
}
