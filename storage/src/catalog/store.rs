//! The catalog on disk: `catalog.log` first, then sled, then everybody sees it.
//!
//! A change has a number. It is appended to `catalog.log` and synced, committed to sled with its number, and
//! then answered. So sled is at most one answered change behind the log, and a start replays what it lacks.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustix::io::Errno;
use uuid::Uuid;

use super::{Catalog, CatalogChange, stored};
use crate::{
    catalog_log::{CatalogLog, Thing},
    disk::SegmentStore,
    error::StorageError,
    meta::{MetaBatch, MetaStore},
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

/// Why a catalog could not be opened. Nothing was changed.
#[derive(Debug)]
pub enum Unopened {
    /// The meta store is damaged, empty, or another's: [`CatalogStore::derive`] makes a new one. The text goes on
    /// behind "sled (folder meta) ".
    Meta(String),
    /// Anything else.
    Final(StorageError),
}

impl From<StorageError> for Unopened {
    fn from(error: StorageError) -> Self {
        Self::Final(error)
    }
}

impl Unopened {
    /// Of an error that the meta store gave.
    pub fn of_meta(error: StorageError) -> Self {
        match &error {
            StorageError::Damaged(why) => Self::Meta(format!("is damaged ({why})")),
            StorageError::Read { what, source } if !is_shortage(source) => {
                Self::Meta(format!("cannot be read ({what}: {source})"))
            }
            StorageError::Locked { .. }
            | StorageError::Refused(_)
            | StorageError::NoSpace(_)
            | StorageError::Poisoned(_)
            | StorageError::Read { .. }
            | StorageError::Invalid(_) => Self::Final(error),
        }
    }
}

/// The system lacks something now: no fault of the files.
fn is_shortage(error: &io::Error) -> bool {
    let raw = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        raw,
        Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::INTR)
    )
}

impl CatalogStore {
    /// Opens the catalog of directory `directory_id`, or makes it. All that it shows afterwards is durable. A new
    /// one calls `before_new`, which makes durable what must be there before sled takes the directory's id.
    ///
    /// # Errors
    /// [`Unopened::Meta`] where `catalog.log` may have what sled has not. Otherwise [`StorageError::Refused`] where
    /// the log is of another directory, or one of both of a newer version; [`StorageError::Damaged`] where neither
    /// has a change; [`StorageError::Poisoned`] where a write fails; [`StorageError::Read`].
    pub fn open(
        disk: &dyn SegmentStore,
        meta: Arc<dyn MetaStore>,
        directory_id: Uuid,
        before_new: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<Self, Unopened> {
        let id = stored::directory_id(&*meta).map_err(Unopened::of_meta)?;
        let opened = match id {
            None => create(disk, &*meta, directory_id, before_new)?,
            Some(id) if id == directory_id => recover(disk, &*meta, directory_id)?,
            Some(other) => {
                let why = format!("belongs to data directory {other}, not to {directory_id}");
                return Err(Unopened::Meta(why));
            }
        };
        Ok(Self::new(meta, opened))
    }

    /// Fills a new meta store from `catalog.log`, which must have been seen to be whole ([`CatalogStore::by_the_log`]).
    /// `before_new` comes before anything is written; `and_then` puts in what other files have, before the store counts.
    ///
    /// # Errors
    /// As [`CatalogStore::open`].
    pub fn derive(
        disk: &dyn SegmentStore,
        meta: Arc<dyn MetaStore>,
        directory_id: Uuid,
        before_new: impl FnOnce() -> Result<(), StorageError>,
        and_then: impl FnOnce(&Catalog) -> Result<(), StorageError>,
    ) -> Result<Self, StorageError> {
        let derived = derive(disk, &*meta, directory_id, before_new, and_then)?;
        Ok(Self::new(meta, derived))
    }

    /// The catalog that `catalog.log` alone gives. Changes nothing.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] where it has not every change: answered ones are lost; as [`CatalogStore::open`].
    pub fn by_the_log(
        disk: &dyn SegmentStore,
        directory_id: Uuid,
    ) -> Result<Catalog, StorageError> {
        by_the_log(disk, directory_id).map(|(catalog, _)| catalog)
    }

    fn new(meta: Arc<dyn MetaStore>, (catalog, log): (Catalog, CatalogLog)) -> Self {
        let writer = Mutex::new(Writer { log, failed: None });
        Self {
            meta,
            current: RwLock::new(Arc::new(catalog)),
            writer,
        }
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

/// sled's directory id and catalog; `None` if it has none. Changes nothing.
pub(crate) fn of_sled(meta: &dyn MetaStore) -> Result<Option<(Uuid, Catalog)>, StorageError> {
    match stored::directory_id(meta)? {
        Some(id) => Ok(Some((id, stored::load(meta)?))),
        None => Ok(None),
    }
}

/// What `catalog.log` is worth.
#[derive(Debug)]
pub(crate) struct LogSurvey {
    /// The catalog it gives, if it is whole.
    pub(crate) catalog: Option<Catalog>,
    /// Bytes in which something that counts was.
    pub(crate) damaged: Vec<Range<usize>>,
    /// Where a change begins that was never answered.
    pub(crate) torn: Option<usize>,
}

/// Looks at the whole log; `None` if there is none. Changes nothing. `known` is the last change that sled has.
pub(crate) fn of_log(
    disk: &dyn SegmentStore,
    directory_id: Option<Uuid>,
    known: u64,
) -> Result<Option<LogSurvey>, StorageError> {
    let Some(survey) = CatalogLog::survey(disk, directory_id, known)? else {
        return Ok(None);
    };
    let catalog = match &survey.everything {
        Some(everything) => Some(folded(&parsed(everything)?)?),
        None => None,
    };
    Ok(Some(LogSurvey {
        catalog,
        damaged: survey.damaged,
        torn: survey.torn,
    }))
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
) -> Result<(Catalog, CatalogLog), Unopened> {
    let found = CatalogLog::find(disk, directory_id, 0)?;
    if let Some((last, _)) = found.replay.last() {
        let why = format!("is empty, but catalog.log has {last} changes");
        return Err(Unopened::Meta(why));
    }
    if CatalogLog::is_there(disk)? && found.everything().is_none() {
        return Err(both_lost("is empty").into());
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
) -> Result<(Catalog, CatalogLog), Unopened> {
    let catalog = stored::load(meta).map_err(Unopened::of_meta)?;
    let found = CatalogLog::find(disk, directory_id, catalog.change_number)?;
    let changes = parsed(&found.replay)?;
    let replayed = replayed(catalog, &changes);
    if let Some(everything) = found.everything() {
        // Two copies of the same: where they differ, sled has lost something that its checksums did not show.
        let by_the_log = folded(&parsed(everything)?)?;
        if replayed.as_ref().ok() != Some(&by_the_log) {
            return Err(Unopened::Meta("does not fit catalog.log".to_owned()));
        }
    }
    let catalog = replayed?;
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

/// A new meta store from `catalog.log`. The log is written anew first: of what it holds, nothing says that it is on
/// the disk and not in the page cache only. The directory id is put last: without it a start begins again.
fn derive(
    disk: &dyn SegmentStore,
    meta: &dyn MetaStore,
    directory_id: Uuid,
    before_new: impl FnOnce() -> Result<(), StorageError>,
    and_then: impl FnOnce(&Catalog) -> Result<(), StorageError>,
) -> Result<(Catalog, CatalogLog), StorageError> {
    let (catalog, changes) = by_the_log(disk, directory_id)?;
    let all = newest(&changes);
    before_new()?;
    let log = CatalogLog::rewrite(disk, directory_id, catalog.change_number, &things(&all)?)?;
    clear(meta)?;
    stored::commit(meta, catalog.change_number, &all)?;
    and_then(&catalog)?;
    stored::put_directory_id(meta, directory_id)?;
    Ok((catalog, log))
}

/// The catalog that the log alone gives, and the changes that make it.
fn by_the_log(
    disk: &dyn SegmentStore,
    directory_id: Uuid,
) -> Result<(Catalog, Numbered), StorageError> {
    let found = match CatalogLog::find(disk, directory_id, 0) {
        Err(StorageError::Damaged(why)) => {
            let why = format!("sled (folder meta) cannot be used, and {why}");
            return Err(StorageError::Damaged(why));
        }
        found => found?,
    };
    if found.replay.is_empty() && found.everything().is_none() {
        return Err(both_lost("cannot be used"));
    }
    if found.is_torn() {
        tracing::warn!(
            "catalog.log: dropped a change at its end that is not whole; sled, which could tell whether it was \
             answered, is not there"
        );
    }
    let changes = parsed(&found.replay)?;
    Ok((folded(&changes)?, changes))
}

fn both_lost(sled: &str) -> StorageError {
    StorageError::Damaged(format!(
        "sled (folder meta) {sled}, and catalog.log is damaged or missing: nothing else says which topics there are; \
         restore the whole data directory from one backup, or start with an empty one"
    ))
}

type Numbered = Vec<(u64, Vec<CatalogChange>)>;

/// Changes as the log has them.
fn parsed<'a>(
    found: impl IntoIterator<Item = &'a (u64, Vec<Vec<u8>>)>,
) -> Result<Numbered, StorageError> {
    let parse = |(number, payloads): &(u64, Vec<Vec<u8>>)| {
        let mut changes = Vec::new();
        for payload in payloads {
            let some = stored::from_json::<Vec<CatalogChange>>("catalog.log", payload)?;
            changes.extend(some);
        }
        Ok((*number, changes))
    };
    found.into_iter().map(parse).collect()
}

/// sled's catalog with what it lacks.
fn replayed(mut catalog: Catalog, lacking: &Numbered) -> Result<Catalog, StorageError> {
    for (number, changes) in lacking {
        // A crash between two steps of sled's commit may have left the beginning of this very change there.
        let there = catalog.schema_version();
        let is_there =
            |c: &&CatalogChange| matches!(c, CatalogChange::Schema(s) if s.version <= there);
        apply(
            &mut catalog,
            *number,
            changes.iter().filter(|c| !is_there(c)),
        )?;
    }
    Ok(catalog)
}

/// The catalog that `changes` alone make.
fn folded(changes: &Numbered) -> Result<Catalog, StorageError> {
    let mut catalog = Catalog::default();
    for (number, changes) in changes {
        apply(&mut catalog, *number, changes.iter())?;
    }
    Ok(catalog)
}

fn apply<'a>(
    catalog: &mut Catalog,
    number: u64,
    mut changes: impl Iterator<Item = &'a CatalogChange>,
) -> Result<(), StorageError> {
    let applied = changes.try_for_each(|change| catalog.apply(change));
    catalog.change_number = number;
    applied.map_err(|error| {
        StorageError::Damaged(format!(
            "catalog.log: change {number} does not fit the catalog before it: {error}"
        ))
    })
}

/// The newest value of each thing, in an order in which they can be made.
fn newest(changes: &Numbered) -> Vec<CatalogChange> {
    let mut newest = BTreeMap::new();
    for change in changes.iter().flat_map(|(_, changes)| changes) {
        newest.insert(stored::key_of(change), change.clone());
    }
    newest.into_values().collect()
}

/// Removes what a derivation that ended early has left: of a log that may have become another since.
fn clear(meta: &dyn MetaStore) -> Result<(), StorageError> {
    let there = meta.scan(&[])?.into_iter();
    meta.commit(&MetaBatch {
        changes: there.map(|(key, _)| (key, None)).collect(),
    })
}
