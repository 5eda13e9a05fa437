//! Where topics begin since retention moved their starts: kept in sled, derived from the files that are left.

use std::collections::BTreeMap;

use crate::{
    error::StorageError,
    log::Log,
    meta::{MetaBatch, MetaStore, key},
    number::{InstanceNumber, TopicNumber},
};

/// Adds to `batch` the new starts as of `oldest`, the oldest file.
pub(crate) fn put(
    batch: &mut MetaBatch,
    (instance, oldest): (InstanceNumber, u64),
    starts: impl IntoIterator<Item = (TopicNumber, i64)>,
) {
    for (topic, start) in starts {
        let key = key::log_start(instance, topic);
        batch
            .changes
            .push((key, Some(start.to_be_bytes().to_vec())));
    }
    // Last: it says that all the others are there.
    let key = key::log_starts_of(instance);
    batch
        .changes
        .push((key, Some(oldest.to_be_bytes().to_vec())));
}

/// Gives the log, which has all its files, the starts as of `oldest`, its oldest file. Where sled has those of another
/// file (it is new, or a crash came between `catalog.log` and sled), a start is the first offset that any file has, or
/// the end; sled gets them.
pub(crate) fn restore(
    meta: &dyn MetaStore,
    instance: InstanceNumber,
    log: &Log,
    oldest: u64,
) -> Result<(), StorageError> {
    let mut starts = BTreeMap::new();
    let mut as_of = 1;
    for (key, value) in meta.scan(&key::log_starts_of(instance))? {
        let Some(value) = value.first_chunk::<8>() else {
            continue;
        };
        match key.strip_prefix(&key::log_starts_of(instance)[..]) {
            Some([]) => as_of = u64::from_be_bytes(*value),
            Some(&[a, b, c, d]) => {
                let topic = TopicNumber(u32::from_be_bytes([a, b, c, d]));
                starts.insert(topic, i64::from_be_bytes(*value));
            }
            Some(_) | None => {}
        }
    }
    if as_of != oldest {
        for (topic, first) in log.first_offsets() {
            let start = starts.entry(topic).or_insert(first);
            *start = first.max(*start);
        }
        let mut batch = MetaBatch::default();
        put(&mut batch, (instance, oldest), starts.clone());
        meta.commit(&batch)?;
    }
    log.trim(oldest, starts);
    Ok(())
}
