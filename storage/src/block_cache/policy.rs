//! What stays in the cache and what goes: a segmented LRU whose second part is entered only by being read again.
//! Pure.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    ops::Range,
};

/// One part in so many of the memory is for what was read once.
const ONCE_PARTS: usize = 4;

/// Keys in the order in which they go, with the memory of each.
#[derive(Debug)]
pub(super) struct Policy<K> {
    limit: usize,
    entries: HashMap<K, Entry>,
    /// By ticket: the lowest came, or was read, longest ago.
    once: Queue<K>,
    again: Queue<K>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Entry {
    memory: usize,
    ticket: u64,
    is_again: bool,
    /// How far it was read.
    read_to: usize,
}

#[derive(Debug)]
struct Queue<K> {
    keys: BTreeMap<u64, K>,
    used: usize,
}

impl<K: Copy> Queue<K> {
    fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            used: 0,
        }
    }

    fn put(&mut self, ticket: u64, key: K, memory: usize) {
        self.keys.insert(ticket, key);
        self.used += memory;
    }

    fn take(&mut self, ticket: u64, memory: usize) {
        if self.keys.remove(&ticket).is_some() {
            self.used -= memory;
        }
    }

    fn oldest(&self) -> Option<K> {
        self.keys.first_key_value().map(|(_, key)| *key)
    }
}

impl<K: Copy + Eq + Hash> Policy<K> {
    /// `limit`: bytes of memory.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: HashMap::new(),
            once: Queue::new(),
            again: Queue::new(),
            next_ticket: 0,
        }
    }

    /// Memory held.
    pub(super) fn used(&self) -> usize {
        self.once.used + self.again.used
    }

    /// Takes `key` in. Gives the keys that go for it: itself, if it is too large to stay.
    pub(super) fn insert(&mut self, key: K, memory: usize) -> Vec<K> {
        if memory > self.once_limit() {
            return vec![key];
        }
        let ticket = self.ticket();
        self.once.put(ticket, key, memory);
        let entry = Entry {
            memory,
            ticket,
            is_again: false,
            read_to: 0,
        };
        self.entries.insert(key, entry);
        self.evict()
    }

    /// Bytes of `key` were read.
    pub(super) fn was_read(&mut self, key: K, range: Range<usize>) {
        let ticket = self.ticket();
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        // One reader who goes on where he stopped reads nothing again.
        let is_again = entry.is_again || range.start < entry.read_to;
        entry.read_to = entry.read_to.max(range.end);
        if !is_again {
            return;
        }
        let (memory, old) = (entry.memory, entry.ticket);
        let queue = if entry.is_again {
            &mut self.again
        } else {
            &mut self.once
        };
        queue.take(old, memory);
        entry.is_again = true;
        entry.ticket = ticket;
        self.again.put(ticket, key, memory);
        self.demote();
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            let queue = if entry.is_again {
                &mut self.again
            } else {
                &mut self.once
            };
            queue.take(entry.ticket, entry.memory);
        }
    }

    fn once_limit(&self) -> usize {
        self.limit / ONCE_PARTS
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// What was not read for longest goes back among what was read once.
    fn demote(&mut self) {
        while self.again.used > self.limit - self.once_limit() {
            let Some(key) = self.again.oldest() else {
                return;
            };
            let ticket = self.ticket();
            let Some(entry) = self.entries.get_mut(&key) else {
                return;
            };
            self.again.take(entry.ticket, entry.memory);
            entry.ticket = ticket;
            entry.is_again = false;
            self.once.put(ticket, key, entry.memory);
        }
    }

    fn evict(&mut self) -> Vec<K> {
        let mut out = Vec::new();
        while self.used() > self.limit || self.once.used > self.once_limit() {
            let Some(key) = self.once.oldest() else { break };
            self.remove(&key);
            out.push(key);
        }
        out
    }
}
