//! The catalog in sled: one value per instance, feed, topic, schema version and group ([`key`]), and the number of the
//! change up to which they are there.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Catalog, CatalogChange, Instance};
use crate::{
    error::StorageError,
    meta::{COMMIT_BYTES_MAX, MetaBatch, MetaStore, key, long_value},
};

/// Version of everything in sled.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct DirectoryRecord {
    format: u32,
    directory_id: Uuid,
}

/// Whose catalog this sled has; `None` if it is new.
pub(super) fn directory_id(meta: &dyn MetaStore) -> Result<Option<Uuid>, StorageError> {
    let Some(value) = meta.get(key::DIRECTORY)? else {
        return Ok(None);
    };
    let record: DirectoryRecord = from_json("sled: directory record", &value)?;
    if record.format > FORMAT {
        let format = record.format;
        return Err(StorageError::Refused(format!(
            "sled (folder meta) has format {format}, this headwater reads up to {FORMAT}; \
             run the newer headwater"
        )));
    }
    Ok(Some(record.directory_id))
}

/// Makes a new sled this directory's.
pub(super) fn put_directory_id(
    meta: &dyn MetaStore,
    directory_id: Uuid,
) -> Result<(), StorageError> {
    let record = to_json(&DirectoryRecord {
        format: FORMAT,
        directory_id,
    })?;
    meta.commit(&MetaBatch {
        changes: vec![(key::DIRECTORY.to_vec(), Some(record))],
    })
}

/// The catalog as sled has it.
pub(super) fn load(meta: &dyn MetaStore) -> Result<Catalog, StorageError> {
    let mut catalog = Catalog::default();
    for change in all(meta)? {
        let applied = catalog.apply(&change);
        applied.map_err(|error| StorageError::Damaged(format!("sled's catalog: {error}")))?;
    }
    catalog.change_number = match meta.get(key::CATALOG_CHANGE)? {
        None => 0,
        Some(value) => number(&value)?,
    };
    Ok(catalog)
}

/// Everything that sled has, as changes that make it, in an order in which they can be made. Behind a crash
/// between two steps of a commit, that is also the beginning of a change whose number it does not have yet.
pub(super) fn all(meta: &dyn MetaStore) -> Result<Vec<CatalogChange>, StorageError> {
    let mut changes = Vec::new();
    changes.extend(values::<Instance>(meta, key::INSTANCES, 4)?.map(CatalogChange::Instance));
    changes.extend(values(meta, key::FEEDS, 4)?.map(CatalogChange::Feed));
    changes.extend(values(meta, key::TOPICS, 4)?.map(CatalogChange::Topic));
    changes.extend(values(meta, key::SCHEMAS, 8)?.map(CatalogChange::Schema));
    changes.extend(values(meta, key::GROUPS, 4)?.map(CatalogChange::Group));
    changes.extend(values(meta, key::OLDEST_FILES, 4)?.map(CatalogChange::OldestFile));
    Ok(changes)
}

/// Makes `changes`, number `change_number`, durable in sled. The number comes last, so that a change that takes
/// several commits counts only when all of it is there. Each thing is changed by one commit (one over
/// [`COMMIT_BYTES_MAX`] can only be a new schema version, which [`long_value`] takes care of).
pub(super) fn commit(
    meta: &dyn MetaStore,
    change_number: u64,
    changes: &[CatalogChange],
) -> Result<(), StorageError> {
    let mut batch = MetaBatch::default();
    for change in changes {
        let (key, value) = pair(change)?;
        let mut thing = MetaBatch::default();
        long_value::put(&mut thing, meta, &key, &value)?;
        if batch.bytes() + thing.bytes() > COMMIT_BYTES_MAX {
            meta.commit(&std::mem::take(&mut batch))?;
        }
        batch.changes.append(&mut thing.changes);
    }
    let number = change_number.to_be_bytes().to_vec();
    batch
        .changes
        .push((key::CATALOG_CHANGE.to_vec(), Some(number)));
    meta.commit(&batch)
}

fn pair(change: &CatalogChange) -> Result<(Vec<u8>, Vec<u8>), StorageError> {
    let value = match change {
        CatalogChange::Instance(instance) => to_json(instance)?,
        CatalogChange::Feed(feed) => to_json(feed)?,
        CatalogChange::Topic(topic) => to_json(topic)?,
        CatalogChange::Schema(schema) => to_json(schema)?,
        CatalogChange::Group(group) => to_json(group)?,
        CatalogChange::OldestFile(oldest) => to_json(oldest)?,
    };
    Ok((key_of(change), value))
}

/// Key of the thing that is changed. Keys sort in an order in which things can be made.
pub(super) fn key_of(change: &CatalogChange) -> Vec<u8> {
    match change {
        CatalogChange::Instance(instance) => key::instance(instance.number),
        CatalogChange::Feed(feed) => key::feed(feed.number),
        CatalogChange::Topic(topic) => key::topic(topic.number),
        CatalogChange::Schema(schema) => key::schema(schema.version),
        CatalogChange::Group(group) => key::group(group.number),
        CatalogChange::OldestFile(oldest) => key::oldest_file(oldest.instance),
    }
}

fn values<T: DeserializeOwned>(
    meta: &dyn MetaStore,
    prefix: &[u8],
    number_bytes: usize,
) -> Result<impl Iterator<Item = T>, StorageError> {
    let pairs = long_value::scan(meta, prefix, prefix.len() + number_bytes)?;
    let values = pairs
        .iter()
        .map(|(_, value)| from_json("sled's catalog", value));
    Ok(values.collect::<Result<Vec<T>, _>>()?.into_iter())
}

fn number(value: &[u8]) -> Result<u64, StorageError> {
    let bytes = value.try_into().map_err(|_| {
        let bytes = value.len();
        StorageError::Damaged(format!("sled: catalog change number has {bytes} bytes"))
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// JSON of a value of ours.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value).map_err(|error| StorageError::Invalid(format!("not JSON: {error}")))
}

/// A value of ours from JSON whose checksum fits: what cannot be read was written by a newer version.
pub(crate) fn from_json<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(json).map_err(|error| {
        StorageError::Refused(format!(
            "{what} holds something that this headwater does not know ({error}); run the newer headwater"
        ))
    })
}
