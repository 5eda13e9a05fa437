//! The cache of pieces of sealed segments: one for all readers of the broker.
//!
//! - Each piece is loaded once, however many readers want it: the others wait for the one that loads.
//! - Memory is bounded. What is read once passes through a quarter of it and is gone; only a piece of which the same
//!   bytes are read **again** moves to the rest, where the longest unread one goes first (a segmented LRU). So a reader far
//!   behind, who reads every byte once, never takes away what several others read.
//! - A piece too large to stay (one large record) is shared by those who send it at the same time.
//! - Memory is used again: an evicted block's buffer goes back to a small stock when the last response lets go of it.
//!   A fresh buffer of this size costs as much in page faults as the copy into it.
//!
//! What a piece is, and whether it is whole, is the loader's business ([`Piece`]). Positions are those in the file.

mod buffer;
mod policy;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

pub(crate) use self::buffer::{Buffers, SharedKey};
use self::policy::Policy;
use crate::sealed::layout::BlockEntry;

/// Memory of the cache, unless told otherwise.
pub const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Which piece: of which log, which file, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PieceKey {
    /// Given by [`BlockCache::new_log`].
    pub(crate) log: u64,
    pub(crate) file: u64,
    pub(crate) position: u64,
}

/// One batch of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CachedBatch {
    /// Position behind it, in the block.
    pub(crate) end: usize,
    pub(crate) end_offset: i64,
    pub(crate) max_timestamp: i64,
    /// Its checksum is right.
    pub(crate) whole: bool,
}

/// Whole batches.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Bytes,
    pub(crate) base_offset: i64,
    /// In order, not empty.
    pub(crate) batches: Vec<CachedBatch>,
}

/// What is cached.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The entries of a run; `None` for one that is damaged.
    Index(Vec<Option<BlockEntry>>),
    /// A block of a run.
    Block(Block),
    /// The batches of a block whose bytes are sent from the file.
    Batches(Vec<CachedBatch>),
}

impl Piece {
    fn memory(&self) -> usize {
        match self {
            Self::Index(entries) => entries.len() * size_of::<Option<BlockEntry>>(),
            Self::Batches(batches) => batches.len() * size_of::<CachedBatch>(),
            Self::Block(block) => {
                block.bytes.len().next_multiple_of(buffer::STEP_BYTES)
                    + block.batches.len() * size_of::<CachedBatch>()
            }
        }
    }
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups that found the piece, or somebody loading it.
    pub hits: u64,
    /// Pieces loaded.
    pub misses: u64,
    /// Memory held, bytes; what responses hold beyond it is in their own budget.
    pub bytes: u64,
}

/// The cache. See the module's page.
#[derive(Debug)]
pub struct BlockCache {
    state: Mutex<State>,
    buffers: Arc<Buffers>,
    logs: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct State {
    pieces: HashMap<PieceKey, Slot>,
    policy: Policy<PieceKey>,
}

#[derive(Debug)]
enum Slot {
    Loading(Arc<Flight>),
    Ready(Arc<Piece>),
}

/// A load that others wait for.
#[derive(Debug, Default)]
struct Flight {
    landed: Mutex<Option<Landing>>,
    landing: Condvar,
}

#[derive(Debug, Clone)]
enum Landing {
    Loaded(Arc<Piece>),
    /// Whoever waited tries for himself.
    Failed,
}

impl Flight {
    fn wait(&self) -> Landing {
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(landing) = landed.clone() {
                return landing;
            }
            landed = self
                .landing
                .wait(landed)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn land(&self, landing: Landing) {
        *self.landed.lock().unwrap_or_else(PoisonError::into_inner) = Some(landing);
        self.landing.notify_all();
    }
}

impl Default for BlockCache {
    fn default() -> Self {
        Self::new(CACHE_BYTES)
    }
}

impl BlockCache {
    /// A cache of at most `bytes` of memory.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                pieces: HashMap::new(),
                policy: Policy::new(bytes),
            }),
            buffers: Arc::new(Buffers::default()),
            logs: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.lock().policy.used() as u64,
        }
    }

    /// Memory for what is read and not cached.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// A number for [`PieceKey::log`].
    pub(crate) fn new_log(&self) -> u64 {
        self.logs.fetch_add(1, Ordering::Relaxed)
    }

    /// The piece, if it is here.
    pub(crate) fn peek(&self, key: PieceKey) -> Option<Arc<Piece>> {
        let state = self.lock();
        let Some(Slot::Ready(piece)) = state.pieces.get(&key) else {
            return None;
        };
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(piece))
    }

    /// The piece, loaded by `load` if it is not here. Blocks while somebody else loads it.
    pub(crate) fn get<E>(
        &self,
        key: PieceKey,
        mut load: impl FnMut(&Arc<Buffers>) -> Result<Piece, E>,
    ) -> Result<Arc<Piece>, E> {
        loop {
            let flight = {
                let mut state = self.lock();
                match state.pieces.get(&key) {
                    Some(Slot::Ready(piece)) => {
                        self.hits.fetch_add(1, Ordering::Relaxed);
                        return Ok(Arc::clone(piece));
                    }
                    Some(Slot::Loading(flight)) => Arc::clone(flight),
                    None => {
                        let flight = Arc::new(Flight::default());
                        let slot = Slot::Loading(Arc::clone(&flight));
                        state.pieces.insert(key, slot);
                        drop(state);
                        return self.load(key, flight, || load(&self.buffers));
                    }
                }
            };
            if let Landing::Loaded(piece) = flight.wait() {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(piece);
            }
        }
    }

    /// These bytes of the piece were read; what is read again stays longer.
    pub(crate) fn was_read(&self, key: PieceKey, range: Range<usize>) {
        self.lock().policy.was_read(key, range);
    }

    /// Forgets what it has of a log's files that are no longer `kept`.
    pub(crate) fn forget(&self, log: u64, kept: impl Fn(u64) -> bool) {
        let mut out = Vec::new();
        let mut state = self.lock();
        let State { pieces, policy } = &mut *state;
        pieces.retain(|key, slot| {
            let gone = key.log == log && !kept(key.file);
            if let (true, Slot::Ready(piece)) = (gone, &*slot) {
                policy.remove(key);
                out.push(Arc::clone(piece));
                return false;
            }
            true
        });
        drop(state);
        drop(out);
    }

    fn load<E>(
        &self,
        key: PieceKey,
        flight: Arc<Flight>,
        load: impl FnOnce() -> Result<Piece, E>,
    ) -> Result<Arc<Piece>, E> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        // Dropped without a landing when `load` fails or panics: then those who wait try for themselves.
        let mut loading = Loading {
            cache: self,
            key,
            flight,
            piece: None,
        };
        let piece = Arc::new(load()?);
        loading.piece = Some(Arc::clone(&piece));
        Ok(piece)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Loading<'c> {
    cache: &'c BlockCache,
    key: PieceKey,
    flight: Arc<Flight>,
    piece: Option<Arc<Piece>>,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut out = Vec::new();
        let mut state = self.cache.lock();
        let State { pieces, policy } = &mut *state;
        let landing = match self.piece.take() {
            None => {
                pieces.remove(&self.key);
                Landing::Failed
            }
            Some(piece) => {
                pieces.insert(self.key, Slot::Ready(Arc::clone(&piece)));
                for key in policy.insert(self.key, piece.memory()) {
                    out.extend(pieces.remove(&key));
                }
                Landing::Loaded(piece)
            }
        };
        drop(state);
        self.flight.land(landing);
        // Freed behind the lock.
        drop(out);
    }
}

#[cfg(test)]
mod tests;
