//! Small values found by key: the trait, what every implementation shares, and sled behind it
//! ([`sled_meta`]). [`key`] has all keys, [`long_value`] what does not fit one.

pub mod folder;
pub mod key;
pub mod long_value;
pub mod memory;
mod shared_sync;
pub mod sled_meta;

use std::fmt;

use crate::error::StorageError;

/// Longest value one key may hold, bytes. Longer ones go through [`long_value`] (sled spills larger pages into
/// files that it never syncs: `docs/format.md`).
pub const VALUE_BYTES_MAX: usize = 4096;

/// Longest key, bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// Most bytes of keys and values that one step of a commit holds. It is far below sled's segment of 512 KiB,
/// so that sled cannot free and overwrite a segment whose moved copies are not durable yet.
pub const COMMIT_BYTES_MAX: usize = 256 * 1024;

/// A key and its new value; `None` removes it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Changes that become durable together.
#[derive(Debug, Default, Clone)]
pub struct MetaBatch {
    /// `None` removes the key. Later entries win.
    pub changes: Vec<Change>,
}

impl MetaBatch {
    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.changes.iter().map(change_bytes).sum()
    }
}

/// An ordered map of small values. Synchronous; one process.
pub trait MetaStore: fmt::Debug + Send + Sync {
    /// Applies `batch`; durable (power loss included) when it returns. Atomic up to [`COMMIT_BYTES_MAX`] bytes
    /// of keys and values. A longer one is applied in several steps, each atomic and durable before the next, in
    /// the order of its changes: put last what says that the rest is there.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a value over [`VALUE_BYTES_MAX`] or a key over [`KEY_BYTES_MAX`], nothing
    /// was applied; [`StorageError::Poisoned`] when a write or sync failed, now or before.
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

fn check(batch: &MetaBatch) -> Result<(), StorageError> {
    for (key, value) in &batch.changes {
        let bytes = value.as_ref().map_or(0, Vec::len);
        if bytes > VALUE_BYTES_MAX || key.len() > KEY_BYTES_MAX {
            let key_bytes = key.len();
            return Err(StorageError::Invalid(format!(
                "sled: key or value too long key_bytes={key_bytes} value_bytes={bytes} \
                 limits={KEY_BYTES_MAX},{VALUE_BYTES_MAX}"
            )));
        }
    }
    Ok(())
}

/// The steps of a commit: at most [`COMMIT_BYTES_MAX`] each, in order. None for an empty batch.
fn parts(batch: &MetaBatch) -> impl Iterator<Item = &[Change]> {
    let mut rest = batch.changes.as_slice();
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|change| {
            bytes += change_bytes(change);
            bytes <= COMMIT_BYTES_MAX
        });
        let (part, behind) = rest.split_at(fits.count());
        rest = behind;
        (!part.is_empty()).then_some(part)
    })
}

fn change_bytes((key, value): &Change) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(values: &[usize]) -> MetaBatch {
        let changes = values
            .iter()
            .map(|bytes| (vec![0; 4], Some(vec![0; *bytes])));
        MetaBatch {
            changes: changes.collect(),
        }
    }

    #[test]
    fn a_long_commit_is_split_in_order_at_the_limit() {
        let batch = batch(&[4092; 130]);
        let sizes: Vec<usize> = parts(&batch).map(<[Change]>::len).collect();
        assert_eq!(sizes, [64, 64, 2]);
        assert_eq!(parts(&MetaBatch::default()).count(), 0);
    }

    #[test]
    fn a_value_over_4_kib_is_refused() {
        assert!(check(&batch(&[4096])).is_ok());
        assert!(matches!(
            check(&batch(&[4097])),
            Err(StorageError::Invalid(_))
        ));
    }
}
