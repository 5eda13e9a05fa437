//! `FORMAT`, `catalog.log` and sled, and whether they agree.

use std::path::Path;

use uuid::Uuid;

use super::Report;
use crate::{
    catalog::{Catalog, store},
    catalog_log::CATALOG_LOG,
    data_directory::format_file::{self, FORMAT},
    disk::SegmentStore,
    error::StorageError,
    meta::{MetaStore, folder::META},
    whole_file,
};

/// A directory without `FORMAT` is none of ours.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), StorageError> {
    if path.join(FORMAT).exists() || path.join(CATALOG_LOG).exists() {
        return Ok(());
    }
    Err(StorageError::Refused(format!(
        "{} is no data directory of headwater: it has no {FORMAT}; name the directory that server.data_dir or --data names",
        path.display()
    )))
}

/// Gives the catalog that a start would have.
pub(super) fn check(
    disk: &dyn SegmentStore,
    meta: &Result<&dyn MetaStore, String>,
    report: &mut Report,
) -> Result<Catalog, StorageError> {
    let directory_id = check_format(disk, report)?;
    let (by_sled, known) = check_sled(meta, directory_id, report)?;
    let by_the_log = check_log(disk, directory_id, known, report)?;
    match (by_sled, by_the_log) {
        (Some(sled), Some(log)) => {
            // A running broker may have gone on between the two; sled is read first, and never ahead.
            if sled.change_number() == log.change_number() && sled != log {
                let what =
                    "sled does not fit catalog.log; the next start makes it again from there";
                report.add_file(META, (0, 0), what);
            }
            Ok(log)
        }
        (None, Some(catalog)) | (Some(catalog), None) => Ok(catalog),
        (None, None) => {
            let what = "neither sled nor catalog.log gives the catalog: a start is refused";
            report.add_file(CATALOG_LOG, (0, 0), what);
            Ok(Catalog::default())
        }
    }
}

fn check_format(
    disk: &dyn SegmentStore,
    report: &mut Report,
) -> Result<Option<Uuid>, StorageError> {
    match format_file::read(disk) {
        Ok(Some(id)) => Ok(Some(id)),
        Ok(None) => {
            report.add_file(FORMAT, (0, 0), "is missing: a start is refused");
            Ok(None)
        }
        Err(error) if format_file::is_newer(disk) => Err(error),
        Err(StorageError::Refused(why) | StorageError::Damaged(why)) => {
            let bytes = whole_file::read(disk, FORMAT, usize::MAX).ok().flatten();
            let length = bytes.map_or(0, |(_, bytes)| bytes.len() as u64);
            report.add_file(FORMAT, (0, length), why);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// sled's catalog, and the number of its last change.
fn check_sled(
    meta: &Result<&dyn MetaStore, String>,
    directory_id: Option<Uuid>,
    report: &mut Report,
) -> Result<(Option<Catalog>, u64), StorageError> {
    let again = "the next start makes it again from catalog.log";
    let meta = match meta {
        Ok(meta) => *meta,
        Err(why) => {
            report.add_file(META, (0, 0), format!("{why}; {again}"));
            return Ok((None, 0));
        }
    };
    match store::of_sled(meta) {
        Ok(Some((id, catalog))) => {
            if directory_id.is_some_and(|own| own != id) {
                let what = format!("sled belongs to data directory {id}; {again}");
                report.add_file(META, (0, 0), what);
                return Ok((None, 0));
            }
            let known = catalog.change_number();
            Ok((Some(catalog), known))
        }
        Ok(None) => {
            report.add_file(META, (0, 0), format!("sled is empty; {again}"));
            Ok((None, 0))
        }
        Err(newer @ StorageError::Refused(_)) => Err(newer),
        Err(error) => {
            report.add_file(META, (0, 0), format!("sled: {error}; {again}"));
            Ok((None, 0))
        }
    }
}

fn check_log(
    disk: &dyn SegmentStore,
    directory_id: Option<Uuid>,
    known: u64,
    report: &mut Report,
) -> Result<Option<Catalog>, StorageError> {
    let surveyed = store::of_log(disk, directory_id, known)?;
    let Some(survey) = surveyed else {
        let what = "is missing; a start writes it anew from sled";
        report.add_file(CATALOG_LOG, (0, 0), what);
        return Ok(None);
    };
    for range in survey.damaged {
        let what = "damaged: no whole change of the catalog stands here; a start writes the file anew from sled, if that is whole";
        report.add_file(CATALOG_LOG, (range.start as u64, range.end as u64), what);
    }
    if let Some(from) = survey.torn {
        report.notes.push(format!(
            "{CATALOG_LOG} ends with a change that is not whole at byte {from}; it was not answered"
        ));
    }
    Ok(survey.catalog)
}
