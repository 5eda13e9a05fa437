//! A [`MetaStore`] in memory, for tests: each part of a commit is durable whole or not at all, and a test says
//! where the process dies. Not for production.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{MetaBatch, MetaStore, Pair, check, parts};
use crate::error::StorageError;

/// Where a commit ends that does not return well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitEnd {
    /// Before anything of it is durable.
    Before,
    /// When it is durable, but before its caller hears of it.
    After,
}

/// An ordered map that can be crashed.
#[derive(Debug, Default)]
pub struct MemoryMeta {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    commits: u64,
    fails: Option<(u64, CommitEnd)>,
    failed: bool,
}

impl MemoryMeta {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a new process finds: everything durable, no faults.
    #[must_use]
    pub fn restart(&self) -> Self {
        let state = State {
            pairs: self.lock().pairs.clone(),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Lets commit `number` (from 0; a commit that is split counts once for each part) fail or die at `end`.
    /// Every later commit fails too, as after a failed sync.
    pub fn fail_at(&self, number: u64, end: CommitEnd) {
        self.lock().fails = Some((number, end));
    }

    /// How many commits (parts of commits) there were.
    #[must_use]
    pub fn commit_count(&self) -> u64 {
        self.lock().commits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, part: &[super::Change]) -> Result<(), StorageError> {
        let end = self
            .fails
            .filter(|(number, _)| *number == self.commits)
            .map(|(_, end)| end);
        self.commits += 1;
        if self.failed || end == Some(CommitEnd::Before) {
            return self.fail();
        }
        for (key, value) in part {
            match value {
                Some(value) => self.pairs.insert(key.clone(), value.clone()),
                None => self.pairs.remove(key),
            };
        }
        if end.is_some() { self.fail() } else { Ok(()) }
    }

    fn fail(&mut self) -> Result<(), StorageError> {
        self.failed = true;
        Err(StorageError::Poisoned(
            "the modelled commit failed".to_owned(),
        ))
    }
}

impl MetaStore for MemoryMeta {
    fn commit(&self, batch: &MetaBatch) -> Result<(), StorageError> {
        check(batch)?;
        let mut state = self.lock();
        parts(batch).try_for_each(|part| state.commit(part))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.lock().pairs.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StorageError> {
        let state = self.lock();
        let from = state.pairs.range(prefix.to_vec()..);
        let found = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
