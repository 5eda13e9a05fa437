//! `catalog.log`: every change of the catalog, append-only and checksummed, durable before sled has it. From it
//! and the journal, sled can be made again; from sled, it can.
//!
//! [`record`] has the bytes, [`plan`] what a start makes of what it finds. Here is what touches the disk. What a
//! change means is the catalog's business: here it is a list of JSON objects.

mod plan;
mod record;

use std::{io, ops::Range, sync::Arc};

use uuid::Uuid;

use self::{
    plan::{Keep, Plan},
    record::{Record, VERSION, decode_header, encode_change, encode_header},
};
use crate::{
    disk::{SegmentFile, SegmentStore},
    error::StorageError,
    whole_file::{self, WholeFile},
};

/// Its name in the data directory.
pub(crate) const CATALOG_LOG: &str = "catalog.log";

/// One thing of a change, as JSON.
pub(crate) type Thing = Vec<u8>;

/// The log, open for appending. Everything in it is durable.
#[derive(Debug)]
pub(crate) struct CatalogLog {
    file: Arc<dyn SegmentFile>,
    end: u64,
}

/// What a start found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Changes that sled does not know, in order: number and the payloads of their records, JSON arrays.
    pub(crate) replay: Vec<(u64, Vec<Vec<u8>>)>,
    /// The changes before those, if the log is whole.
    known: Vec<(u64, Vec<Vec<u8>>)>,
    file: Option<(Arc<dyn SegmentFile>, Vec<u8>, Keep)>,
}

impl CatalogLog {
    /// Reads what is there and decides; changes nothing. `known` is the last change that sled has.
    ///
    /// # Errors
    /// [`StorageError::Refused`] for a log of a newer version or of another directory;
    /// [`StorageError::Damaged`] where a change is lost that sled does not know; [`StorageError::Read`].
    pub(crate) fn find(
        disk: &dyn SegmentStore,
        directory_id: Uuid,
        known: u64,
    ) -> Result<Found, StorageError> {
        let Some((file, bytes)) = read(disk)? else {
            return Ok(Found {
                replay: Vec::new(),
                known: Vec::new(),
                file: None,
            });
        };
        check_header(&bytes, directory_id)?;
        let plan = plan::plan(&bytes, known)?;
        Ok(Found::of(plan, file, bytes))
    }

    /// Looks at every byte; changes nothing. `None` if there is no log.
    ///
    /// # Errors
    /// As [`CatalogLog::find`], but for damage.
    pub(crate) fn survey(
        disk: &dyn SegmentStore,
        directory_id: Option<Uuid>,
        known: u64,
    ) -> Result<Option<Survey>, StorageError> {
        let Some((file, bytes)) = read(disk)? else {
            return Ok(None);
        };
        let own = decode_header(&bytes).map(|header| header.directory_id);
        if let Some(id) = directory_id.or(own) {
            check_header(&bytes, id)?;
        }
        let plan = plan::plan(&bytes, known).ok();
        let keep = plan.as_ref().and_then(|plan| plan.keep.clone());
        let Some(keep) = keep else {
            return Ok(Some(Survey {
                everything: None,
                damaged: record::gaps(&bytes),
                torn: None,
            }));
        };
        let torn = keep.torn.then_some(keep.unknown.end);
        let found = plan.map(|plan| Found::of(plan, file, bytes));
        let everything = found.and_then(|found| Some(found.everything()?.cloned().collect()));
        Ok(Some(Survey {
            everything,
            damaged: Vec::new(),
            torn,
        }))
    }

    /// Whether there is a log, whole or not.
    ///
    /// # Errors
    /// [`StorageError::Read`].
    pub(crate) fn is_there(disk: &dyn SegmentStore) -> Result<bool, StorageError> {
        read(disk).map(|found| found.is_some())
    }

    /// Writes the log anew: one change with everything that exists. Temporary name, sync, rename, directory.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`].
    pub(crate) fn rewrite(
        disk: &dyn SegmentStore,
        directory_id: Uuid,
        number: u64,
        things: &[Thing],
    ) -> Result<Self, StorageError> {
        let bytes = [encode_header(directory_id), encode_change(number, things)].concat();
        let file = whole_file::replace(disk, CATALOG_LOG, &bytes)
            .map_err(|error| poisoned("write", &error))?;
        Ok(Self {
            file,
            end: bytes.len() as u64,
        })
    }

    /// Appends one change; durable when it returns. An error is final.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`].
    pub(crate) fn append(&mut self, number: u64, things: &[Thing]) -> Result<(), StorageError> {
        let bytes = encode_change(number, things);
        self.file
            .write_at(self.end, &[&bytes])
            .map_err(|error| poisoned("write", &error))?;
        self.file.sync().map_err(|error| poisoned("sync", &error))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// What [`CatalogLog::survey`] saw.
#[derive(Debug)]
pub(crate) struct Survey {
    /// All changes, if none is missing.
    pub(crate) everything: Option<Vec<(u64, Vec<Vec<u8>>)>>,
    /// What is neither header nor record, where something is missing.
    pub(crate) damaged: Vec<Range<usize>>,
    /// Where an unfinished change begins.
    pub(crate) torn: Option<usize>,
}

impl Found {
    fn of(plan: Plan, file: Arc<dyn SegmentFile>, bytes: Vec<u8>) -> Self {
        let payloads =
            |records: Vec<Record>| records.iter().map(|r| r.payload(&bytes).to_vec()).collect();
        let numbered = |changes: Vec<(u64, Vec<Record>)>| {
            let changes = changes.into_iter();
            changes
                .map(|(number, records)| (number, payloads(records)))
                .collect()
        };
        Self {
            replay: numbered(plan.replay),
            known: numbered(plan.known),
            file: plan.keep.map(|keep| (file, bytes, keep)),
        }
    }

    /// All changes of a whole log, in order: the whole catalog. `None` where the log is damaged or missing.
    pub(crate) fn everything(&self) -> Option<impl Iterator<Item = &(u64, Vec<Vec<u8>>)>> {
        let all = self.known.iter().chain(&self.replay);
        self.file.is_some().then_some(all)
    }

    /// Whether something that is no whole change stands behind the last one.
    pub(crate) fn is_torn(&self) -> bool {
        self.file.as_ref().is_some_and(|(_, _, keep)| keep.torn)
    }

    /// The log that was found, if it can stay, with everything in it durable: what sled does not know is
    /// written again in place, since it may be in the page cache only and called clean there, and a torn end
    /// is overwritten with zeros.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`].
    pub(crate) fn keep(self, disk: &dyn SegmentStore) -> Result<Option<CatalogLog>, StorageError> {
        let Some((file, bytes, keep)) = self.file else {
            return Ok(None);
        };
        if keep.torn {
            tracing::warn!(
                position = keep.unknown.end,
                "catalog.log: cut a torn change at its end"
            );
        }
        let end = keep.unknown.end as u64;
        write_again(&*file, &bytes, &keep)
            .and_then(|()| disk.sync_directory(""))
            .map_err(|error| poisoned("write", &error))?;
        Ok(Some(CatalogLog { file, end }))
    }
}

fn write_again(file: &dyn SegmentFile, bytes: &[u8], keep: &Keep) -> io::Result<()> {
    let unknown = bytes.get(keep.unknown.clone()).unwrap_or_default();
    let zeros = vec![0; bytes.len().saturating_sub(keep.unknown.end)];
    if !unknown.is_empty() || !zeros.is_empty() {
        file.write_at(keep.unknown.start as u64, &[unknown, &zeros])?;
        file.sync()?;
    }
    Ok(())
}

fn check_header(file: &[u8], directory_id: Uuid) -> Result<(), StorageError> {
    let Some(header) = decode_header(file) else {
        return Ok(());
    };
    if header.version > VERSION {
        let version = header.version;
        return Err(StorageError::Refused(format!(
            "catalog.log has version {version}, this headwater reads up to {VERSION}; run the newer headwater"
        )));
    }
    if header.directory_id != directory_id {
        let other = header.directory_id;
        return Err(StorageError::Refused(format!(
            "catalog.log belongs to data directory {other}, not to {directory_id}; restore the whole data \
             directory from one backup"
        )));
    }
    Ok(())
}

fn read(disk: &dyn SegmentStore) -> Result<Option<WholeFile>, StorageError> {
    whole_file::read(disk, CATALOG_LOG, usize::MAX).map_err(|source| StorageError::Read {
        what: CATALOG_LOG.to_owned(),
        source,
    })
}

fn poisoned(what: &str, error: &io::Error) -> StorageError {
    StorageError::Poisoned(format!("cannot {what} catalog.log: {error}"))
}
