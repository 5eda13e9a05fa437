//! Which history entries of a group stay: bounded by count, bytes and age. Pure.

use std::collections::VecDeque;

use crate::number::GroupNumber;

/// An ordinary commit is kept at most this often.
const COMMIT_INTERVAL_MS: i64 = 60_000;

/// Entries older than this go, but for the newest [`KEPT_WHATEVER_THEIR_AGE`]: the wall clock may have jumped.
const AGE_MAX_MS: i64 = 30 * 24 * 60 * 60 * 1000;
const KEPT_WHATEVER_THEIR_AGE: usize = 100;

/// Most that is kept of one group.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    entries: usize,
    bytes: usize,
}

const CATALOG_GROUP: Bounds = Bounds {
    entries: 1_000,
    bytes: 1 << 20,
};

/// Anyone who reaches the listener can make many of these.
const FIRST_USE_GROUP: Bounds = Bounds {
    entries: 100,
    bytes: 64 << 10,
};

/// What is known of a stored entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) sequence: u64,
    pub(super) bytes: usize,
    pub(super) at_ms: i64,
}

/// The entries of one group, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    kept: VecDeque<Kept>,
    bytes: usize,
    last_commit_ms: Option<i64>,
}

impl History {
    /// Takes in an entry that is stored. Entries come in the order of their sequences.
    pub(super) fn push(&mut self, entry: Kept, is_commit: bool) {
        self.bytes += entry.bytes;
        self.kept.push_back(entry);
        if is_commit {
            self.last_commit_ms = Some(entry.at_ms);
        }
    }

    /// The sequence of the next entry, from 1.
    pub(super) fn next_sequence(&self) -> u64 {
        self.kept.back().map_or(1, |last| last.sequence + 1)
    }

    /// Whether an ordinary commit at `now_ms` is to be kept. A clock that went back keeps it.
    pub(super) fn wants_commit(&self, now_ms: i64) -> bool {
        self.last_commit_ms
            .is_none_or(|last| !(0..COMMIT_INTERVAL_MS).contains(&(now_ms.saturating_sub(last))))
    }

    /// Takes off the oldest entries over the bounds, so that they can be removed. The newest one always stays.
    pub(super) fn trim(&mut self, group: GroupNumber, now_ms: i64) -> Vec<Kept> {
        let bounds = if group.is_first_use() {
            FIRST_USE_GROUP
        } else {
            CATALOG_GROUP
        };
        let mut gone = Vec::new();
        while self.kept.len() > 1 && self.is_over(bounds, now_ms) {
            if let Some(oldest) = self.kept.pop_front() {
                self.bytes -= oldest.bytes;
                gone.push(oldest);
            }
        }
        gone
    }

    fn is_over(&self, bounds: Bounds, now_ms: i64) -> bool {
        let old = self
            .kept
            .front()
            .is_some_and(|oldest| now_ms.saturating_sub(oldest.at_ms) > AGE_MAX_MS);
        self.kept.len() > bounds.entries
            || self.bytes > bounds.bytes
            || (old && self.kept.len() > KEPT_WHATEVER_THEIR_AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: GroupNumber = GroupNumber(1);

    fn filled(entries: u64, bytes: usize) -> History {
        let mut history = History::default();
        for sequence in 1..=entries {
            let at_ms = i64::try_from(sequence).expect("is small");
            history.push(
                Kept {
                    sequence,
                    bytes,
                    at_ms,
                },
                false,
            );
        }
        history
    }

    #[test]
    fn the_oldest_entries_go_by_count_bytes_and_age() {
        assert_eq!(filled(1_000, 10).trim(OPERATORS, 2_000), []);
        let gone = filled(1_003, 10).trim(OPERATORS, 2_000);
        let sequences: Vec<u64> = gone.iter().map(|kept| kept.sequence).collect();
        assert_eq!(sequences, [1, 2, 3]);
        assert_eq!(filled(12, 100 << 10).trim(OPERATORS, 0).len(), 2);
        assert_eq!(
            filled(150, 10).trim(OPERATORS, AGE_MAX_MS + 1_000).len(),
            50
        );
        assert_eq!(filled(150, 10).trim(GroupNumber::FIRST_USE, 0).len(), 50);
    }

    #[test]
    fn the_newest_entry_stays_however_large() {
        let mut history = filled(3, 2 << 20);
        assert_eq!(history.trim(OPERATORS, 0).len(), 2);
        assert_eq!(history.next_sequence(), 4);
    }

    #[test]
    fn one_ordinary_commit_a_minute_is_kept_and_a_clock_that_steps_back_stops_nothing() {
        let mut history = History::default();
        assert!(history.wants_commit(0));
        let at_ms = 1_000_000;
        history.push(
            Kept {
                sequence: 1,
                bytes: 1,
                at_ms,
            },
            true,
        );
        assert!(!history.wants_commit(at_ms));
        assert!(!history.wants_commit(at_ms + 59_999));
        assert!(history.wants_commit(at_ms + 60_000));
        assert!(history.wants_commit(at_ms - 1));
    }
}
