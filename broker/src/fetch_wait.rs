//! Parked fetches: who waits for which topic, and for how many bytes more.
//!
//! The log thread reports the bytes that a commit made visible, topic by topic; a waiter is woken once the
//! bytes it asked for may be there, and by nothing else. So a commit costs nothing to those who wait for other
//! topics, and 10,000 parked fetches cost nothing while nothing happens.
//!
//! Order of use, so that no commit falls between looking and parking: [`FetchWaits::park`], then look at the
//! ends, then [`Parked::woken`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use headwater_storage::TopicNumber;
use tokio::sync::Notify;

/// All parked fetches of a broker.
#[derive(Debug, Default)]
pub struct FetchWaits {
    topics: Mutex<HashMap<TopicNumber, HashMap<u64, Arc<Waiter>>>>,
    next_id: AtomicU64,
    parked: AtomicUsize,
}

#[derive(Debug)]
struct Waiter {
    /// Bytes that must still come before this fetch is worth answering.
    missing: AtomicI64,
    woken: Notify,
}

/// One fetch, parked. Dropping it takes it off all lists.
#[derive(Debug)]
pub struct Parked<'a> {
    waits: &'a FetchWaits,
    id: u64,
    topics: Vec<TopicNumber>,
    waiter: Arc<Waiter>,
}

impl FetchWaits {
    /// Parks a fetch of `topics` until `missing` bytes more have become visible in them.
    #[must_use]
    pub fn park(&self, topics: Vec<TopicNumber>, missing: u64) -> Parked<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let missing = i64::try_from(missing).unwrap_or(i64::MAX).max(1);
        let waiter = Arc::new(Waiter {
            missing: AtomicI64::new(missing),
            woken: Notify::new(),
        });
        let mut lists = self.lists();
        for topic in &topics {
            lists
                .entry(*topic)
                .or_default()
                .insert(id, Arc::clone(&waiter));
        }
        drop(lists);
        self.parked.fetch_add(1, Ordering::Relaxed);
        Parked {
            waits: self,
            id,
            topics,
            waiter,
        }
    }

    /// Reports what a commit made visible. Called by log threads, after the ends have moved.
    pub fn became_visible(&self, appended: impl IntoIterator<Item = (TopicNumber, u64)>) {
        let lists = self.lists();
        for (topic, bytes) in appended {
            for waiter in lists.get(&topic).into_iter().flat_map(HashMap::values) {
                waiter.came(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
    }

    /// Fetches parked now.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<TopicNumber, HashMap<u64, Arc<Waiter>>>> {
        // Every change under the lock is one insert or remove, whole whatever panicked elsewhere.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn came(&self, bytes: i64) {
        let before = self.missing.fetch_sub(bytes, Ordering::Relaxed);
        if before > 0 && before <= bytes {
            self.woken.notify_one();
        }
    }
}

impl Parked<'_> {
    /// Lowers what is waited for to `missing`, found by a look at the log after the parking. Bytes that came in
    /// between count twice, so the wake may be early, never late.
    pub fn expect(&self, missing: u64) {
        let missing = i64::try_from(missing).unwrap_or(i64::MAX);
        let before = self.waiter.missing.fetch_min(missing, Ordering::Relaxed);
        if before <= 0 {
            self.waiter.woken.notify_one();
        }
    }

    /// Returns when the missing bytes may be there. Cancel safe.
    pub async fn woken(&self) {
        self.waiter.woken.notified().await;
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut lists = self.waits.lists();
        for topic in &self.topics {
            if let Some(list) = lists.get_mut(topic) {
                list.remove(&self.id);
                if list.is_empty() {
                    lists.remove(topic);
                }
            }
        }
        drop(lists);
        self.waits.parked.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, task::Poll, task::Waker};

    use super::*;

    const ORDERS: TopicNumber = TopicNumber(1);
    const LINES: TopicNumber = TopicNumber(2);

    fn is_woken(parked: &Parked<'_>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(pin!(parked.woken()).poll(&mut context), Poll::Ready(()))
    }

    #[test]
    fn a_commit_wakes_only_those_who_wait_for_its_topics() {
        let waits = FetchWaits::default();
        let orders = waits.park(vec![ORDERS], 1);
        let lines = waits.park(vec![LINES], 1);
        let both = waits.park(vec![ORDERS, LINES], 1);
        waits.became_visible([(ORDERS, 100)]);
        assert!(is_woken(&orders));
        assert!(!is_woken(&lines));
        assert!(is_woken(&both));
    }

    #[test]
    fn a_fetch_of_many_bytes_sleeps_until_they_may_be_there() {
        let waits = FetchWaits::default();
        let parked = waits.park(vec![ORDERS, LINES], 250);
        waits.became_visible([(ORDERS, 100)]);
        waits.became_visible([(LINES, 100)]);
        assert!(!is_woken(&parked));
        waits.became_visible([(ORDERS, 50)]);
        assert!(is_woken(&parked));
        waits.became_visible([(ORDERS, 50)]);
        assert!(!is_woken(&parked), "woken once");
    }

    #[test]
    fn expecting_less_wakes_earlier() {
        let waits = FetchWaits::default();
        let parked = waits.park(vec![ORDERS], 250);
        parked.expect(100);
        assert!(!is_woken(&parked));
        waits.became_visible([(ORDERS, 100)]);
        assert!(is_woken(&parked));
    }

    #[test]
    fn a_dropped_fetch_leaves_nothing_behind() {
        let waits = FetchWaits::default();
        let parked = waits.park(vec![ORDERS, LINES, ORDERS], 1);
        assert_eq!(waits.parked(), 1);
        drop(parked);
        assert_eq!(waits.parked(), 0);
        assert!(waits.lists().is_empty());
    }

    #[test]
    fn a_wake_before_the_wait_is_not_lost() {
        let waits = FetchWaits::default();
        let parked = waits.park(vec![ORDERS], 1);
        waits.became_visible([(ORDERS, 1)]);
        assert!(is_woken(&parked));
    }
}
