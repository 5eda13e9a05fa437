//! Opening the meta store and the catalog in it; or, where the meta store cannot be used, making it again.
//!
//! | in the meta store                      | made again from                                                     |
//! |----------------------------------------|---------------------------------------------------------------------|
//! | directory id, catalog, change number   | `FORMAT`, `catalog.log`                                             |
//! | durable end of a journal               | nothing: without it a start reads more and writes more again        |
//! | positions of consumer groups           | `positions.copy`; every group is marked as restored                 |
//! | number of a journal's last start       | the frames of the journal ([`crate::journal`] leaves room for more) |
//!
//! What is unusable is moved aside only when `catalog.log` was seen to have everything.

use std::sync::Arc;

use uuid::Uuid;

use super::format_file;
use crate::{
    catalog::{
        Catalog,
        store::{CatalogStore, Unopened},
    },
    catalog_log::CatalogLog,
    disk::SegmentStore,
    error::StorageError,
    frame::{FrameHeader, HEADER_BYTES, Kind},
    journal::{DurableEnd, Memo},
    journal_file,
    meta::{MetaStore, folder::MetaFolder},
    number::InstanceNumber,
    positions::{RestoredPositions, restore_positions},
    recycled,
};

/// Both, open and agreeing with each other.
pub(super) type Opened = (Arc<dyn MetaStore>, CatalogStore);

/// Opens both, or derives the meta store.
///
/// # Errors
/// As [`super::DataDirectory::open`].
pub(super) fn open(
    disk: &dyn SegmentStore,
    folder: &dyn MetaFolder,
    (directory_id, now_ms): (Uuid, i64),
) -> Result<Opened, StorageError> {
    match try_open(disk, folder, directory_id) {
        Ok(opened) => Ok(opened),
        Err(Unopened::Final(error)) => Err(error),
        Err(Unopened::Meta(why)) if is_unused(disk)? => {
            let aside = folder.set_aside()?;
            tracing::warn!(
                aside,
                "sled {why}: the first start did not finish; made anew"
            );
            try_open(disk, folder, directory_id).map_err(refused)
        }
        Err(Unopened::Meta(why)) => derive(disk, folder, (directory_id, now_ms), &why),
    }
}

fn try_open(
    disk: &dyn SegmentStore,
    folder: &dyn MetaFolder,
    directory_id: Uuid,
) -> Result<Opened, Unopened> {
    let meta = folder.open().map_err(Unopened::of_meta)?;
    let before_new = || {
        refuse_orphan(disk, &Catalog::default())?;
        // A start that died after a failed sync left a FORMAT that only the page cache may have.
        format_file::write(disk, directory_id)
    };
    let catalog = CatalogStore::open(disk, Arc::clone(&meta), directory_id, before_new)?;
    refuse_orphan(disk, &catalog.catalog())?;
    check_age(disk, &meta, &catalog.catalog())?;
    Ok((meta, catalog))
}

fn derive(
    disk: &dyn SegmentStore,
    folder: &dyn MetaFolder,
    (directory_id, now_ms): (Uuid, i64),
    why: &str,
) -> Result<Opened, StorageError> {
    let catalog = CatalogStore::by_the_log(disk, directory_id)?;
    refuse_orphan(disk, &catalog)?;
    let aside = folder.set_aside()?;
    tracing::warn!(
        aside,
        changes = catalog.change_number(),
        "sled (folder meta) {why}; it is made again from catalog.log and the journals"
    );
    let meta = folder.open()?;
    let before = || format_file::write(disk, directory_id);
    let positions = |catalog: &Catalog| {
        restore_positions(disk, &*meta, catalog, directory_id, now_ms).map(tell_restored)
    };
    let catalog = CatalogStore::derive(disk, Arc::clone(&meta), directory_id, before, positions)?;
    Ok((meta, catalog))
}

fn tell_restored(restored: RestoredPositions) {
    let RestoredPositions {
        from_ms,
        groups,
        marked,
    } = restored;
    if marked > 0 {
        tracing::warn!(
            from_ms,
            groups,
            marked,
            "consumer groups have the positions of a copy; all of them are marked as restored"
        );
    }
}

/// Whether nothing was ever kept here: the first start did not come to write `catalog.log`.
fn is_unused(disk: &dyn SegmentStore) -> Result<bool, StorageError> {
    Ok(!CatalogLog::is_there(disk)? && !has_journal(disk, InstanceNumber(1))?)
}

/// A journal of an instance that the catalog does not know: `catalog.log` has lost its end.
fn refuse_orphan(disk: &dyn SegmentStore, catalog: &Catalog) -> Result<(), StorageError> {
    let next = catalog.next_instance();
    if !has_journal(disk, next)? {
        return Ok(());
    }
    Err(StorageError::Damaged(format!(
        "{} is there, but the catalog does not know instance {next}: catalog.log and sled (folder meta) have lost \
         it; restore the whole data directory from one backup, or start with an empty one",
        journal_file::folder(next)
    )))
}

fn has_journal(disk: &dyn SegmentStore, instance: InstanceNumber) -> Result<bool, StorageError> {
    let folder = journal_file::folder(instance);
    let names = disk.list(&folder);
    names
        .map(|names| !names.is_empty())
        .map_err(|source| StorageError::Read {
            what: folder,
            source,
        })
}

/// What sled notes of each journal must be of this age: not of a backup, nor from before something that sled lost.
fn check_age(
    disk: &dyn SegmentStore,
    meta: &Arc<dyn MetaStore>,
    catalog: &Catalog,
) -> Result<(), Unopened> {
    for instance in catalog.instances() {
        let number = instance.number;
        let memo = Memo::new(Arc::clone(meta), number);
        memo.last_start().map_err(Unopened::of_meta)?;
        let Some(noted) = memo.durable_end().map_err(Unopened::of_meta)? else {
            continue;
        };
        let folder = journal_file::folder(number);
        let first = journal_file::first(disk, &folder)?;
        let is_old = first.is_some_and(|first| noted.file < first)
            || (noted.clean && goes_on(disk, &folder, &noted));
        if is_old {
            return Err(Unopened::Meta(format!(
                "is of another age: the journal of instance {number} goes on behind its end there, file {} \
                 position={}",
                noted.file, noted.position
            )));
        }
    }
    Ok(())
}

/// Whether a frame stands behind a clean end. Files that cannot be read are for the journal's start to tell of.
fn goes_on(disk: &dyn SegmentStore, folder: &str, end: &DurableEnd) -> bool {
    let has_frame = |file: u64, position: u64| {
        let opened = disk.open(&journal_file::name(folder, file)).ok()?;
        let head = recycled::head(opened.as_ref(), file).ok()?;
        let mut bytes = [0; HEADER_BYTES];
        opened.read_at(position.max(head.first), &mut bytes).ok()?;
        let header = FrameHeader::parse(&bytes).ok()?;
        let is_of_file = header.file == file && head.allows(&header);
        Some(is_of_file && header.kind != Kind::Footer)
    };
    let has_frame = |file, position| has_frame(file, position).unwrap_or(false);
    has_frame(end.file, end.position) || has_frame(end.file + 1, 0)
}

/// A new store that cannot be opened either.
fn refused(error: Unopened) -> StorageError {
    match error {
        Unopened::Final(error) => error,
        Unopened::Meta(why) => StorageError::Damaged(format!("sled (folder meta) {why}")),
    }
}
