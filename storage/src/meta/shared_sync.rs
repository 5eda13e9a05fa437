//! Commits that share a sync: whoever comes while one runs is covered by the next, which one of them leads.
//!
//! A commit is covered only by a sync that started after it was applied. At most [`COMMIT_BYTES_MAX`] bytes are
//! applied and not yet synced; who comes then waits. The first failure is final for all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::COMMIT_BYTES_MAX;
use crate::error::StorageError;

#[derive(Debug, Default)]
pub(super) struct SharedSync {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many commits were applied; each one's ticket is the count that includes it.
    applied: u64,
    /// The highest ticket that is durable.
    synced: u64,
    /// Bytes applied and not yet durable, those of a sync that runs included.
    unsynced_bytes: usize,
    syncing: bool,
    failed: Option<String>,
}

impl SharedSync {
    /// Runs `apply` alone, then waits until a `sync` that started later has returned.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] once either has failed for anyone.
    pub(super) fn commit(
        &self,
        bytes: usize,
        apply: impl FnOnce() -> Result<(), String>,
        sync: impl Fn() -> Result<(), String>,
    ) -> Result<(), StorageError> {
        let mut state = self.wait_for_room(bytes);
        state.poisoned()?;
        state.failed = apply().err();
        state.applied += 1;
        state.unsynced_bytes += bytes;
        let ticket = state.applied;
        // The lock is held from apply to here, so bytes that wait for a sync always have someone to lead it.
        while state.synced < ticket {
            state.poisoned()?;
            state = if state.syncing {
                self.wait(state)
            } else {
                self.lead(state, &sync)
            };
        }
        Ok(())
    }

    fn wait_for_room(&self, bytes: usize) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.failed.is_none()
            && state.unsynced_bytes > 0
            && state.unsynced_bytes + bytes > COMMIT_BYTES_MAX
        {
            state = self.wait(state);
        }
        state
    }

    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sync: impl Fn() -> Result<(), String>,
    ) -> MutexGuard<'a, State> {
        let (ticket, bytes) = (state.applied, state.unsynced_bytes);
        state.syncing = true;
        drop(state);
        let result = sync();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.syncing = false;
        match result {
            Ok(()) => {
                state.synced = ticket;
                state.unsynced_bytes -= bytes;
            }
            Err(failed) => state.failed = state.failed.take().or(Some(failed)),
        }
        self.changed.notify_all();
        state
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poisoned(&self) -> Result<(), StorageError> {
        self.failed
            .clone()
            .map_or(Ok(()), |failed| Err(StorageError::Poisoned(failed)))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU64, Ordering},
        },
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn commits_that_meet_share_a_sync_that_started_after_them() {
        let shared = SharedSync::default();
        let (applied, durable, syncs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let start = Barrier::new(8);
        let sync = || {
            let covered = applied.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
            durable.fetch_max(covered, Ordering::SeqCst);
            syncs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let commit_often = || {
            start.wait();
            for _ in 0..20 {
                let mine = AtomicU64::new(0);
                let apply = || {
                    mine.store(applied.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    Ok(())
                };
                shared.commit(1, apply, sync).expect("commits");
                assert!(durable.load(Ordering::SeqCst) >= mine.load(Ordering::SeqCst));
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(commit_often);
            }
        });
        assert_eq!(applied.load(Ordering::SeqCst), 160);
        assert!(syncs.load(Ordering::SeqCst) < 100, "they did not share");
    }

    #[test]
    fn no_more_than_the_limit_is_applied_and_not_synced() {
        let shared = SharedSync::default();
        let unsynced = AtomicU64::new(0);
        let half = COMMIT_BYTES_MAX / 2 + 1;
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let apply = || {
                        assert_eq!(unsynced.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                        Ok(())
                    };
                    let sync = || {
                        thread::sleep(Duration::from_millis(2));
                        unsynced.store(0, Ordering::SeqCst);
                        Ok(())
                    };
                    shared.commit(half, apply, sync).expect("commits");
                });
            }
        });
    }

    #[test]
    fn the_first_failure_is_final() {
        let shared = SharedSync::default();
        let failed = shared.commit(1, || Ok(()), || Err("sync failed".to_owned()));
        assert!(matches!(failed, Err(StorageError::Poisoned(text)) if text == "sync failed"));
        let later = shared.commit(1, || unreachable!("nothing is applied"), || Ok(()));
        assert!(matches!(later, Err(StorageError::Poisoned(_))));

        let shared = SharedSync::default();
        let failed = shared.commit(1, || Err("apply failed".to_owned()), || Ok(()));
        assert!(matches!(failed, Err(StorageError::Poisoned(text)) if text == "apply failed"));
    }
}
