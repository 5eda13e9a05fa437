//! Small values found by key: the trait, and sled behind it.

use std::fmt;

use crate::error::StorageError;

/// Longest value one key may hold, bytes. Longer ones are split by the caller (sled spills larger pages into
/// files that it never syncs: `docs/format.md`).
pub const VALUE_BYTES_MAX: usize = 4096;

/// Changes that become durable together.
#[derive(Debug, Default, Clone)]
pub struct MetaBatch {
    /// `None` removes the key. Later entries win.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Key and value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An ordered map of small values. Synchronous; one process.
pub trait MetaStore: fmt::Debug + Send + Sync {
    /// Applies `batch` atomically; durable (power loss included) when it returns.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a value over [`VALUE_BYTES_MAX`]; [`StorageError::Poisoned`] when a
    /// write or sync failed.
    fn commit(&self, batch: &MetaBatch) -> Result<(), StorageError>;

    /// The value of `key`.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] or [`StorageError::Read`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// All pairs whose key starts with `prefix`, in key order.
    ///
    /// # Errors
    /// As [`MetaStore::get`].
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StorageError>;
}
