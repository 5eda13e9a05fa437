//! sled writes when it is opened, and locks; so a copy of its few MiB is opened, in the system's temporary directory.

use std::{fs, io, path::Path, time::SystemTime};

use tempfile::TempDir;

use crate::meta::{MetaStore, folder::META, sled_meta::SledMeta};

/// A copy that a running broker wrote into is made again, so many times.
const ATTEMPTS: usize = 5;

/// A folder larger than this is no catalog of ours, bytes.
const COPY_BYTES_MAX: u64 = 4 << 30;

/// The open copy. Gone when this is dropped.
#[derive(Debug)]
pub(super) struct SledCopy {
    meta: SledMeta,
    _folder: TempDir,
}

impl SledCopy {
    pub(super) fn meta(&self) -> &dyn MetaStore {
        &self.meta
    }
}

/// Copies and opens the sled of the data directory `path`; or why it cannot be. A broker that is online may be
/// writing: a copy that cannot be opened is made again.
pub(super) fn open(path: &Path, online: bool) -> Result<SledCopy, String> {
    let meta = path.join(META);
    if !meta.is_dir() {
        return Err("sled (folder meta) is missing".to_owned());
    }
    let attempts = if online { ATTEMPTS } else { 1 };
    let mut why = String::new();
    for _ in 0..attempts {
        match try_open(&meta) {
            Ok(copy) => return Ok(copy),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn try_open(meta: &Path) -> Result<SledCopy, String> {
    let failed =
        |error: io::Error| format!("sled (folder meta) cannot be copied to be read: {error}");
    let folder = tempfile::tempdir().map_err(failed)?;
    let before = stamps(meta).map_err(failed)?;
    copy(meta, folder.path()).map_err(failed)?;
    if stamps(meta).map_err(failed)? != before {
        return Err("sled (folder meta) is written all the time, it could not be read".to_owned());
    }
    let meta = SledMeta::open(folder.path());
    let meta = meta.map_err(|error| format!("sled (folder meta) cannot be read: {error}"))?;
    Ok(SledCopy {
        meta,
        _folder: folder,
    })
}

/// Length and time of every file.
fn stamps(folder: &Path) -> io::Result<Vec<(String, u64, SystemTime)>> {
    let mut stamps = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        stamps.push((name, found.len(), found.modified()?));
    }
    stamps.sort();
    let bytes: u64 = stamps.iter().map(|(_, bytes, _)| bytes).sum();
    if bytes > COPY_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(stamps)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
