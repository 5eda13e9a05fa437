//! Bytes shared by all connections: counted, bounded, given back when the holder is dropped. No clock, no socket.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A number of bytes that all holders together should not exceed.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    held: AtomicUsize,
}

/// A part of a [`Budget`]. Dropping it gives the bytes back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            held: AtomicUsize::new(0),
        })
    }

    /// Takes as much of `want` as is left, possibly nothing.
    #[must_use]
    pub fn take_up_to(self: &Arc<Self>, want: usize) -> Share {
        let mut held = self.held.load(Ordering::Relaxed);
        loop {
            let bytes = want.min(self.bytes_max.saturating_sub(held));
            match self.held.compare_exchange_weak(
                held,
                held + bytes,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Share {
                        budget: Arc::clone(self),
                        bytes,
                    };
                }
                Err(now) => held = now,
            }
        }
    }

    /// An empty share, to be grown.
    #[must_use]
    pub fn nothing(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    /// Bytes held now. May be over the bound by what [`Share::set`] was forced to take.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Bytes of this share.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the share hold exactly `bytes`, over the bound if need be: a first batch must go out whole
    /// (KIP-74), however large.
    pub fn set(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget
                .held
                .fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget
                .held
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Grows to `bytes` if the budget has it; says whether it had. Never shrinks.
    #[must_use]
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let Some(missing) = bytes.checked_sub(self.bytes) else {
            return true;
        };
        let mut more = self.budget.take_up_to(missing);
        if more.bytes < missing {
            return false;
        }
        self.bytes += more.bytes;
        more.bytes = 0;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_gives_what_is_left_and_takes_it_back() {
        let budget = Budget::new(100);
        let first = budget.take_up_to(70);
        let second = budget.take_up_to(70);
        assert_eq!(
            (first.bytes(), second.bytes(), budget.held()),
            (70, 30, 100)
        );
        drop(first);
        assert_eq!(budget.held(), 30);
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_first_batch_may_exceed_the_budget_and_others_then_get_nothing() {
        let budget = Budget::new(100);
        let mut large = budget.take_up_to(100);
        large.set(500);
        assert_eq!(budget.take_up_to(1).bytes(), 0);
        large.set(40);
        assert_eq!(budget.take_up_to(100).bytes(), 60);
    }

    #[test]
    fn growing_is_all_or_nothing() {
        let budget = Budget::new(100);
        let mut one = budget.nothing();
        let mut two = budget.nothing();
        assert!(one.try_grow_to(60));
        assert!(!two.try_grow_to(60));
        assert_eq!((two.bytes(), budget.held()), (0, 60));
        assert!(one.try_grow_to(10), "already there");
        drop(one);
        assert!(two.try_grow_to(60));
        assert_eq!(budget.held(), 60);
    }
}
