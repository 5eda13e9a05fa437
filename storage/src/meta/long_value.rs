//! Values longer than one key may hold, under consecutive keys: the key itself and a chunk number, u16 big
//! endian from 0.
//!
//! | chunk    | value                                                                  |
//! |----------|------------------------------------------------------------------------|
//! | 0        | length of the whole value u32, crc32 of the whole value u32, its start |
//! | 1, 2, .. | what follows, [`VALUE_BYTES_MAX`] bytes each but the last              |
//!
//! Chunk 0 is put last and makes the value: without it the others are what a commit in several steps left behind
//! when it ended early, and count for nothing.

use std::collections::BTreeMap;

use super::{MetaBatch, MetaStore, Pair, VALUE_BYTES_MAX};
use crate::error::StorageError;

const HEADER_BYTES: usize = 8;
const CHUNK_NUMBER_BYTES: usize = 2;

/// Longest value, bytes: 65,536 chunks, less the header.
pub const LONG_VALUE_BYTES_MAX: usize = (1 << 16) * VALUE_BYTES_MAX - HEADER_BYTES;

/// Adds to `batch` what makes `value` the value of `key`; chunks of an older, longer value are removed.
///
/// # Errors
/// [`StorageError::Invalid`] over [`LONG_VALUE_BYTES_MAX`]; as [`MetaStore::scan`].
pub fn put(
    batch: &mut MetaBatch,
    store: &dyn MetaStore,
    key: &[u8],
    value: &[u8],
) -> Result<(), StorageError> {
    let length = u32::try_from(value.len())
        .ok()
        .filter(|_| value.len() <= LONG_VALUE_BYTES_MAX);
    let length = length.ok_or_else(|| {
        let (bytes, limit) = (value.len(), LONG_VALUE_BYTES_MAX);
        StorageError::Invalid(format!("value too long bytes={bytes} limit={limit}"))
    })?;
    let header = [length.to_be_bytes(), crc32fast::hash(value).to_be_bytes()].concat();
    let whole = [&header, value].concat();
    let old = store.scan(key)?.into_iter().map(|(key, _)| (key, None));
    let mut chunks: BTreeMap<Vec<u8>, Option<Vec<u8>>> = old.collect();
    for (number, chunk) in (0..=u16::MAX).zip(whole.chunks(VALUE_BYTES_MAX)) {
        chunks.insert([key, &number.to_be_bytes()].concat(), Some(chunk.to_vec()));
    }
    batch.changes.extend(chunks.into_iter().rev());
    Ok(())
}

/// The value of `key`; `None` if it was never put.
///
/// # Errors
/// [`StorageError::Damaged`] where a chunk is missing or of another value; as [`MetaStore::scan`].
pub fn get(store: &dyn MetaStore, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    let chunks = store.scan(key)?;
    if is_put(&chunks) {
        join(key, &chunks).map(Some)
    } else {
        Ok(None)
    }
}

/// All values whose keys begin with `prefix` and are `key_bytes` long (without the chunk number), in key order.
///
/// # Errors
/// As [`get`].
pub fn scan(
    store: &dyn MetaStore,
    prefix: &[u8],
    key_bytes: usize,
) -> Result<Vec<Pair>, StorageError> {
    let chunks = store.scan(prefix)?;
    let key_of = |pair: &Pair| pair.0.get(..key_bytes).unwrap_or(&pair.0).to_vec();
    let values = chunks
        .chunk_by(|a, b| key_of(a) == key_of(b))
        .filter(|chunks| is_put(chunks));
    let keyed = values.filter_map(|chunks| Some((key_of(chunks.first()?), chunks)));
    keyed
        .map(|(key, chunks)| join(&key, chunks).map(|value| (key, value)))
        .collect()
}

fn is_put(chunks: &[Pair]) -> bool {
    chunks
        .first()
        .is_some_and(|(key, _)| key.ends_with(&[0; CHUNK_NUMBER_BYTES]))
}

fn join(key: &[u8], chunks: &[Pair]) -> Result<Vec<u8>, StorageError> {
    try_join(key, chunks).ok_or_else(|| {
        let chunks = chunks.len();
        StorageError::Damaged(format!(
            "sled: value does not fit its header key={key:02x?} chunks={chunks}"
        ))
    })
}

fn try_join(key: &[u8], chunks: &[Pair]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    for (number, (chunk_key, chunk)) in (0..=u16::MAX).zip(chunks) {
        if *chunk_key != [key, &number.to_be_bytes()].concat() {
            return None;
        }
        whole.extend_from_slice(chunk);
    }
    let (length, rest) = whole.split_first_chunk()?;
    let (checksum, value) = rest.split_first_chunk()?;
    let fits = u32::from_be_bytes(*length) as usize == value.len()
        && u32::from_be_bytes(*checksum) == crc32fast::hash(value);
    fits.then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::memory::{CommitEnd, MemoryMeta};

    fn store(store: &MemoryMeta, key: &[u8], value: &[u8]) {
        let mut batch = MetaBatch::default();
        put(&mut batch, store, key, value).expect("fits");
        store.commit(&batch).expect("commits");
    }

    #[test]
    fn a_value_of_any_length_comes_back() {
        let meta = MemoryMeta::new();
        for length in [0, 1, 4087, 4088, 4089, 8184, 8185, 100_000, 7] {
            let value: Vec<u8> = (0..=250).cycle().take(length).collect();
            store(&meta, b"k", &value);
            assert_eq!(
                get(&meta, b"k").expect("reads"),
                Some(value),
                "length {length}"
            );
        }
        assert_eq!(
            meta.scan(b"k").expect("scans").len(),
            1,
            "longer values left nothing behind"
        );
        assert_eq!(get(&meta, b"other").expect("reads"), None);
    }

    #[test]
    fn a_scan_joins_each_value_by_itself() {
        let meta = MemoryMeta::new();
        let long = vec![9; 10_000];
        store(&meta, b"k1", &long);
        store(&meta, b"k2", b"two");
        let found = scan(&meta, b"k", 2).expect("scans");
        assert_eq!(
            found,
            [(b"k1".to_vec(), long), (b"k2".to_vec(), b"two".to_vec())]
        );
    }

    #[test]
    fn a_missing_or_foreign_chunk_is_damage() {
        for damage in [
            (b"k\0\x01".to_vec(), None),
            (b"k\0\x01".to_vec(), Some(vec![1; 4096])),
        ] {
            let meta = MemoryMeta::new();
            store(&meta, b"k", &vec![9; 10_000]);
            meta.commit(&MetaBatch {
                changes: vec![damage],
            })
            .expect("commits");
            assert!(matches!(get(&meta, b"k"), Err(StorageError::Damaged(_))));
        }
    }

    #[test]
    fn a_value_whose_commit_ended_early_is_not_there() {
        let long = vec![9; 1_000_000];
        for steps in 0..4 {
            let meta = MemoryMeta::new();
            meta.fail_at(steps, CommitEnd::Before);
            let mut batch = MetaBatch::default();
            put(&mut batch, &meta, b"k", &long).expect("fits");
            let done = meta.commit(&batch).is_ok();
            let meta = meta.restart();
            assert!(
                !done && get(&meta, b"k").expect("reads").is_none(),
                "steps {steps}"
            );
            assert!(scan(&meta, b"k", 1).expect("scans").is_empty());
            store(&meta, b"k", &long);
            assert_eq!(get(&meta, b"k").expect("reads"), Some(long.clone()));
        }
    }

    #[test]
    fn a_value_over_the_limit_is_refused() {
        let mut batch = MetaBatch::default();
        let long = vec![0; LONG_VALUE_BYTES_MAX + 1];
        let refused = put(&mut batch, &MemoryMeta::new(), b"k", &long);
        assert!(matches!(refused, Err(StorageError::Invalid(_))));
    }
}
