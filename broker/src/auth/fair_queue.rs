//! A bounded queue that is fair per key: keys take turns, however much one of them has queued. No clock, no threads.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items by key, each key's in order of arrival.
#[derive(Debug)]
pub(super) struct FairQueue<K, T> {
    /// None is empty.
    queues: HashMap<K, VecDeque<T>>,
    /// Each key of `queues` once, the next first.
    turns: VecDeque<K>,
    len: usize,
    len_max: usize,
    per_key_max: usize,
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    /// A queue for `len_max` items, of which a key may have `per_key_max`.
    pub(super) fn new(len_max: usize, per_key_max: usize) -> Self {
        Self {
            queues: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
            len_max,
            per_key_max,
        }
    }

    /// Queues an item; gives it back if there is no room for it.
    pub(super) fn push(&mut self, key: K, item: T) -> Result<(), T> {
        let queued = self.queues.get(&key).map_or(0, VecDeque::len);
        if self.len >= self.len_max || queued >= self.per_key_max {
            return Err(item);
        }
        if queued == 0 {
            self.turns.push_back(key);
        }
        self.queues.entry(key).or_default().push_back(item);
        self.len += 1;
        Ok(())
    }

    /// The oldest item of the key whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let key = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.len = self.len.saturating_sub(usize::from(item.is_some()));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns_however_much_one_of_them_has_queued() {
        let mut queue = FairQueue::new(100, 50);
        for number in 0..50 {
            queue.push('a', number).expect("there is room");
        }
        queue.push('b', 1000).expect("there is room");
        queue.push('b', 1001).expect("there is room");
        queue.push('c', 2000).expect("there is room");
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order[..7], [0, 1000, 2000, 1, 1001, 2, 3]);
        assert_eq!(order.len(), 53);
        assert!(queue.queues.is_empty() && queue.turns.is_empty() && queue.len == 0);
    }

    #[test]
    fn one_key_cannot_take_all_room_and_all_together_have_a_bound() {
        let mut queue = FairQueue::new(3, 2);
        assert_eq!(queue.push('a', 1), Ok(()));
        assert_eq!(queue.push('a', 2), Ok(()));
        assert_eq!(queue.push('a', 3), Err(3));
        assert_eq!(queue.push('b', 4), Ok(()));
        assert_eq!(queue.push('c', 5), Err(5));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.push('c', 5), Ok(()));
    }
}
