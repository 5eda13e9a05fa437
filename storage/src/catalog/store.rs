//! The catalog on disk: `catalog.log` first, then sled, then everybody sees it.
//!
//! A change has a number. It is appended to `catalog.log` and synced, committed to sled with its number, and
//! then answered. So sled is at most one answered change behind the log, and a start replays what it lacks.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use uuid::Uuid;

use super::{Catalog, CatalogChange, stored};
use crate::{
    catalog_log::{CatalogLog, Found, Thing},
    disk::SegmentStore,
    error::StorageError,
    meta::MetaStore,
};

/// Longest thing, bytes of JSON. A table of 1,600 columns takes some hundred KiB.
const THING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The catalog of an open data directory.
#[derive(Debug)]
pub struct CatalogStore {
    meta: Arc<dyn MetaStore>,
    current: RwLock<Arc<Catalog>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    log: CatalogLog,
    /// Why no more changes are taken.
    failed: Option<String>,
}

impl CatalogStore {
    /// Opens the catalog of directory `directory_id`, or makes it. All that it shows afterwards is durable. A new
    /// one calls `before_new`, which makes durable what must be there before sled takes the directory's id.
    ///
    /// # Errors
    /// [`StorageError::Refused`] where sled or `catalog.log` is of another directory or version, or sled is
    /// empty and the log is not; [`StorageError::Damaged`] where neither has a change;
    /// [`StorageError::Poisoned`] where a write fails; [`StorageError::Read`].
    pub fn open(
        disk: &dyn SegmentStore,
        meta: Arc<dyn MetaStore>,
        directory_id: Uuid,
        before_new: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<Self, StorageError> {
        let (catalog, log) = match stored::directory_id(&*meta)? {
            None => create(disk, &*meta, directory_id, before_new)?,
            Some(id) if id == directory_id => recover(disk, &*meta, directory_id)?,
            Some(other) => return Err(wrong_directory(other, directory_id)),
        };
        let writer = Mutex::new(Writer { log, failed: None });
        Ok(Self {
            meta,
            current: RwLock::new(Arc::new(catalog)),
            writer,
        })
    }

    /// What exists now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one change of all of `changes`, in order; durable and visible when it returns, or not at all.
    /// Nothing to change changes nothing.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for the first that may not be, nothing was changed;
    /// [`StorageError::Poisoned`] when a write or sync failed, now or before.
    pub fn change(&self, changes: &[CatalogChange]) -> Result<Arc<Catalog>, StorageError> {
        // A writer that panicked has not answered, and left nothing that a start cannot sort out.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = &writer.failed {
            return Err(StorageError::Poisoned(failed.clone()));
        }
        let before = self.catalog();
        let next = before.with(changes)?;
        if before.same_things(&next) {
            return Ok(before);
        }
        let written = write(&mut writer.log, &*self.meta, next.change_number, changes);
        if let Err(StorageError::Poisoned(failed)) = &written {
            writer.failed = Some(failed.clone());
        }
        written?;
        let next = Arc::new(next);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok(next)
    }
}

fn write(
    log: &mut CatalogLog,
    meta: &dyn MetaStore,
    number: u64,
    changes: &[CatalogChange],
) -> Result<(), StorageError> {
    log.append(number, &things(changes)?)?;
    // From here on the change will be: a start replays it. So whatever sled says, nothing may follow it.
    stored::commit(meta, number, changes).map_err(|error| {
        let poisoned = matches!(error, StorageError::Poisoned(_));
        if poisoned {
            error
        } else {
            StorageError::Poisoned(error.to_string())
        }
    })
}

fn things(changes: &[CatalogChange]) -> Result<Vec<Thing>, StorageError> {
    let things = changes
        .iter()
        .map(stored::to_json)
        .collect::<Result<Vec<_>, _>>()?;
    match things.iter().map(Vec::len).max() {
        Some(bytes) if bytes > THING_BYTES_MAX => Err(StorageError::Invalid(format!(
            "too large for the catalog bytes={bytes} limit={THING_BYTES_MAX}"
        ))),
        _ => Ok(things),
    }
}

/// The first start, or one after a crash within it.
fn create(
    disk: &dyn SegmentStore,
    meta: &dyn MetaStore,
    directory_id: Uuid,
    before_new: impl FnOnce() -> Result<(), StorageError>,
) -> Result<(Catalog, CatalogLog), StorageError> {
    let found = CatalogLog::find(disk, directory_id, 0)?;
    if let Some((last, _)) = found.replay.last() {
        return Err(StorageError::Refused(format!(
            "sled (folder meta) is empty, but catalog.log has {last} changes; \
             restore the whole data directory from one backup, or start with an empty one"
        )));
    }
    before_new()?;
    let log = CatalogLog::rewrite(disk, directory_id, 0, &[])?;
    stored::put_directory_id(meta, directory_id)?;
    Ok((Catalog::default(), log))
}

fn recover(
    disk: &dyn SegmentStore,
    meta: &dyn MetaStore,
    directory_id: Uuid,
) -> Result<(Catalog, CatalogLog), StorageError> {
    let catalog = stored::load(meta)?;
    let found = CatalogLog::find(disk, directory_id, catalog.change_number)?;
    let (catalog, changes) = replayed(catalog, &found)?;
    // The log first, as ever: what sled has is always in it, durable.
    let log = found.keep(disk)?;
    for (number, changes) in &changes {
        stored::commit(meta, *number, changes)?;
    }
    if let Some(log) = log {
        return Ok((catalog, log));
    }
    tracing::warn!("catalog.log was damaged or missing; it is written anew from sled");
    let things = things(&stored::all(meta)?)?;
    let log = CatalogLog::rewrite(disk, directory_id, catalog.change_number, &things)?;
    Ok((catalog, log))
}

type Numbered = Vec<(u64, Vec<CatalogChange>)>;

/// The catalog with what sled lacks, and that itself.
fn replayed(mut catalog: Catalog, found: &Found) -> Result<(Catalog, Numbered), StorageError> {
    let mut all = Vec::new();
    for (number, payloads) in &found.replay {
        let mut changes = Vec::new();
        for payload in payloads {
            changes.extend(stored::from_json::<Vec<CatalogChange>>(
                "catalog.log",
                payload,
            )?);
        }
        // A crash between two steps of sled's commit may have left the beginning of this very change there.
        let there = catalog.schema_version();
        changes.retain(|c| !matches!(c, CatalogChange::Schema(schema) if schema.version <= there));
        let next = catalog.with(&changes);
        catalog = next.map_err(|error| {
            StorageError::Damaged(format!(
                "catalog.log: change {number} does not fit sled's catalog: {error}"
            ))
        })?;
        catalog.change_number = *number;
        all.push((*number, changes));
    }
    Ok((catalog, all))
}

fn wrong_directory(found: Uuid, directory_id: Uuid) -> StorageError {
    StorageError::Refused(format!(
        "sled (folder meta) belongs to data directory {found}, not to {directory_id}; \
         restore the whole data directory from one backup"
    ))
}
