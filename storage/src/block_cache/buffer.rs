//! Memory for blocks, used again; and for what is too large for the cache, shared by those who read it at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;

/// Buffers have a multiple of this length.
pub(super) const STEP_BYTES: usize = 64 * 1024;
/// Longer ones are freed.
const KEPT_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// Memory in stock, at most.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A stock of buffers, the one used last on top: its memory is the most likely to be in the processor's cache.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Stock>,
    /// By where it stands: what readers have of it.
    shared: Mutex<HashMap<SharedKey, Place>>,
}

/// Bytes of a file that never change while the file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SharedKey {
    /// Given by [`BlockCache::new_log`](super::BlockCache::new_log).
    pub(crate) log: u64,
    pub(crate) file: u64,
    pub(crate) is_sealed: bool,
    pub(crate) position: u64,
}

/// Locked while somebody reads the bytes: the others wait for them.
type Place = Arc<Mutex<Weak<Buffer>>>;

#[derive(Debug, Default)]
struct Stock {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// `count` bytes from `key`, or as many as `fill` finds there. Those over 1 MiB are read once, however many have them
    /// at the same time: memory for one large record does not grow with its readers.
    pub(crate) fn shared<E>(
        self: &Arc<Self>,
        key: SharedKey,
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Bytes, E> {
        if count <= KEPT_BUFFER_BYTES_MAX {
            return self.buffer(count, fill).map(Bytes::from_owner);
        }
        let place = self.place(key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        let there = held.upgrade().filter(|buffer| buffer.used == count);
        if let Some(buffer) = there {
            return Ok(Bytes::from_owner(Shared(buffer)));
        }
        let buffer = Arc::new(self.buffer(count, fill)?);
        *held = Arc::downgrade(&buffer);
        Ok(Bytes::from_owner(Shared(buffer)))
    }

    /// Those that nobody has any more are forgotten.
    fn place(&self, key: SharedKey) -> Place {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, place| {
            // Who has the place is about to have the bytes.
            let is_free = |held: &Weak<Buffer>| held.strong_count() == 0;
            Arc::strong_count(place) > 1 || !place.try_lock().is_ok_and(|held| is_free(&held))
        });
        Arc::clone(shared.entry(key).or_default())
    }

    fn buffer<E>(
        self: &Arc<Self>,
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Buffer, E> {
        let mut buffer = Buffer {
            bytes: self.take(count),
            used: count,
            stock: Arc::clone(self),
        };
        let bytes = buffer.bytes.get_mut(..count).unwrap_or_default();
        buffer.used = fill(bytes)?.min(count);
        Ok(buffer)
    }

    fn take(&self, count: usize) -> Vec<u8> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |bytes: &Vec<u8>| bytes.len() >= count;
        let Some(at) = free.buffers.iter().rposition(fits) else {
            drop(free);
            return vec![0; count.next_multiple_of(STEP_BYTES)];
        };
        let bytes = free.buffers.remove(at);
        free.bytes -= bytes.len();
        bytes
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_BYTES_MAX - free.bytes;
        if bytes.len() <= room.min(KEPT_BUFFER_BYTES_MAX) {
            free.bytes += bytes.len();
            free.buffers.push(bytes);
        }
    }
}

/// Goes back to the stock when nobody refers to it any more.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    stock: Arc<Buffers>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&self.bytes)
    }
}

/// One reader's hold of a buffer that others may have too.
struct Shared(Arc<Buffer>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.stock.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_slice_of_it_is_gone() {
        let stock = Arc::new(Buffers::default());
        let fill = |bytes: &mut [u8]| -> Result<usize, ()> {
            bytes.fill(7);
            Ok(bytes.len())
        };
        let first = stock.shared(key(1), 100_000, fill).expect("fills");
        let slice = first.slice(10..20);
        drop(first);
        let other = stock.shared(key(2), 10, fill).expect("fills");
        let address = slice.as_ptr() as usize;
        assert_eq!(&slice[..], [7; 10]);
        drop(slice);
        let again = stock.shared(key(3), 100_001, fill).expect("fills");
        assert_eq!(again.as_ptr() as usize + 10, address, "the same memory");
        assert_eq!((again.len(), other.len()), (100_001, 10));
    }

    #[test]
    fn the_stock_keeps_no_more_than_its_bound() {
        let stock = Arc::new(Buffers::default());
        let fill = |bytes: &mut [u8]| -> Result<usize, ()> { Ok(bytes.len()) };
        let many: Vec<_> = (0..100)
            .map(|_| stock.shared(key(1), 300_000, fill).expect("fills"))
            .collect();
        let huge = stock.shared(key(2), KEPT_BUFFER_BYTES_MAX + 1, fill);
        drop((many, huge));
        let kept = || {
            let free = stock.free.lock().expect("not poisoned");
            let bytes: usize = free.buffers.iter().map(Vec::len).sum();
            assert_eq!(free.bytes, bytes);
            bytes
        };
        let full = kept();
        assert!(
            full <= KEPT_BYTES_MAX && full > KEPT_BYTES_MAX - 400_000,
            "{full}"
        );
        let one = stock.shared(key(3), 1, fill).expect("fills");
        assert!(kept() < full);
        drop(one);
        assert_eq!(kept(), full);
    }

    const LARGE: usize = 2 * KEPT_BUFFER_BYTES_MAX;

    fn key(position: u64) -> SharedKey {
        SharedKey {
            log: 0,
            file: 1,
            is_sealed: false,
            position,
        }
    }

    #[test]
    fn what_is_large_is_read_once_for_all_who_have_it_at_the_same_time() {
        let stock = Arc::new(Buffers::default());
        let reads = AtomicUsize::new(0);
        let read = |position| {
            let fill = |bytes: &mut [u8]| -> Result<usize, ()> {
                reads.fetch_add(1, Ordering::Relaxed);
                bytes.fill(7);
                Ok(bytes.len())
            };
            stock.shared(key(position), LARGE, fill).expect("fills")
        };
        let readers = thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| read(5))).collect();
            readers
                .into_iter()
                .map(|reader| reader.join())
                .collect::<Vec<_>>()
        });
        let readers: Vec<_> = readers
            .into_iter()
            .map(|read| read.expect("reads"))
            .collect();
        let first = readers.first().expect("there are eight").as_ptr();
        assert!(
            readers
                .iter()
                .all(|bytes| bytes.as_ptr() == first && bytes.len() == LARGE)
        );
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert_ne!(read(6).as_ptr(), first, "other bytes");
        drop(readers);
        read(5);
        assert_eq!(reads.load(Ordering::Relaxed), 3, "nobody had them any more");
        read(7);
        assert_eq!(
            stock.shared.lock().expect("not poisoned").len(),
            1,
            "the others are forgotten"
        );
    }

    #[test]
    fn what_could_not_be_read_whole_is_nobody_elses() {
        let stock = Arc::new(Buffers::default());
        let failed = stock.shared(key(5), LARGE, |_| Err(()));
        assert!(failed.is_err());
        let short = stock
            .shared(key(5), LARGE, |_| Ok::<_, ()>(10))
            .expect("is read");
        let whole = stock
            .shared(key(5), LARGE, |_| Ok::<_, ()>(LARGE))
            .expect("is read");
        assert_eq!((short.len(), whole.len()), (10, LARGE));
    }
}
