//! Memory for blocks, used again.

use std::sync::{Arc, Mutex, PoisonError};

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
}

#[derive(Debug, Default)]
struct Stock {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// `count` bytes with anything in them, for `fill` to overwrite.
    pub(crate) fn filled<E>(
        self: &Arc<Self>,
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        let mut buffer = Buffer {
            bytes: self.take(count),
            used: count,
            stock: Arc::clone(self),
        };
        let bytes = buffer.bytes.get_mut(..count).unwrap_or_default();
        fill(bytes)?;
        Ok(Bytes::from_owner(buffer))
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

impl Drop for Buffer {
    fn drop(&mut self) {
        self.stock.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_slice_of_it_is_gone() {
        let stock = Arc::new(Buffers::default());
        let fill = |bytes: &mut [u8]| -> Result<(), ()> {
            bytes.fill(7);
            Ok(())
        };
        let first = stock.filled(100_000, fill).expect("fills");
        let slice = first.slice(10..20);
        drop(first);
        let other = stock.filled(10, fill).expect("fills");
        let address = slice.as_ptr() as usize;
        assert_eq!(&slice[..], [7; 10]);
        drop(slice);
        let again = stock.filled(100_001, fill).expect("fills");
        assert_eq!(again.as_ptr() as usize + 10, address, "the same memory");
        assert_eq!((again.len(), other.len()), (100_001, 10));
    }

    #[test]
    fn the_stock_keeps_no_more_than_its_bound() {
        let stock = Arc::new(Buffers::default());
        let fill = |_: &mut [u8]| -> Result<(), ()> { Ok(()) };
        let many: Vec<_> = (0..100)
            .map(|_| stock.filled(300_000, fill).expect("fills"))
            .collect();
        let huge = stock.filled(KEPT_BUFFER_BYTES_MAX + 1, fill);
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
        let one = stock.filled(1, fill).expect("fills");
        assert!(kept() < full);
        drop(one);
        assert_eq!(kept(), full);
    }
}
