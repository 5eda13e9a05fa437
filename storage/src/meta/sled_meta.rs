//! sled 0.34.7 as a [`MetaStore`], made durable.
//!
//! sled's `flush` is not an fsync on Linux: it ends in `sync_file_range`, which saves neither the file's size nor
//! the drive's cache, and measured stores opened empty after a power cut. So:
//!
//! - A commit is `apply_batch`, `flush`, and `fdatasync` of our own descriptor of the file `db`; the background
//!   flusher, whose errors nobody would see, is off.
//! - Values and commits stay small ([`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX),
//!   [`COMMIT_BYTES_MAX`](super::COMMIT_BYTES_MAX)): larger pages would become files that sled never syncs.
//! - Before opening, sled's files are synced and dropped from the page cache: after a failed sync they might show
//!   bytes there that are not on the disk. After opening, the new names and `conf` are synced.
//! - sled reads a snapshot that it had only begun to write as if it was whole: such files are removed.
//! - sled reports some damage by a panic; every call here turns that into an error.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use rustix::fs::Advice;

use super::{
    Change, MetaBatch, MetaStore, Pair, change_bytes, check, parts, shared_sync::SharedSync,
};
use crate::{error::StorageError, open_error::open_error};

/// What sled may keep of its pages in memory, bytes. The catalog of thousands of topics fits.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// sled lets go of its lock some time after it was dropped (spacejam/sled#1234).
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What sled calls a snapshot until it is whole.
const UNFINISHED_SNAPSHOT: &str = ".generating";

/// An open sled store.
pub struct SledMeta {
    db: sled::Db,
    /// Our own descriptor of sled's file, opened once so that no error of it is missed.
    db_file: File,
    sync: SharedSync,
}

impl SledMeta {
    /// Opens the store in `folder`, or makes it.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] where sled cannot read its files; [`StorageError::Refused`] or
    /// [`StorageError::Read`] where the system does not let it.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let at = |error| open_error(folder, error);
        make_folder(folder).map_err(at)?;
        settle(folder).map_err(at)?;
        let db = open_when_unlocked(folder)?;
        let db_file = File::open(folder.join("db")).map_err(at)?;
        db_file.sync_all().map_err(at)?;
        sync(&folder.join("conf")).map_err(at)?;
        sync(folder).map_err(at)?;
        Ok(Self {
            db,
            db_file,
            sync: SharedSync::default(),
        })
    }

    fn commit_part(&self, part: &[Change]) -> Result<(), StorageError> {
        let mut batch = sled::Batch::default();
        for (key, value) in part {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        let bytes = part.iter().map(change_bytes).sum();
        self.sync.commit(
            bytes,
            || failure(|| self.db.apply_batch(batch)),
            || self.flush(),
        )
    }

    fn flush(&self) -> Result<(), String> {
        failure(|| self.db.flush())?;
        self.db_file
            .sync_data()
            .map_err(|error| format!("cannot sync sled's db file: {error}"))
    }
}

impl fmt::Debug for SledMeta {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SledMeta")
            .field("db_file", &self.db_file)
            .finish_non_exhaustive()
    }
}

impl MetaStore for SledMeta {
    fn commit(&self, batch: &MetaBatch) -> Result<(), StorageError> {
        check(batch)?;
        parts(batch).try_for_each(|part| self.commit_part(part))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        read(|| Ok(self.db.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StorageError> {
        let pair = |(key, value): (sled::IVec, sled::IVec)| (key.to_vec(), value.to_vec());
        read(|| {
            self.db
                .scan_prefix(prefix)
                .map(|found| found.map(pair))
                .collect()
        })
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => folder.parent().map_or(Ok(()), sync),
    }
}

/// Makes sled's files durable as they are, and lets the next read come from the disk. Removes snapshots that sled
/// had begun when it died or the disk was full: it would take one for its newest and find it damaged.
fn settle(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .ends_with(UNFINISHED_SNAPSHOT)
        {
            fs::remove_file(entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    sync(folder)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn open_when_unlocked(folder: &Path) -> Result<sled::Db, StorageError> {
    for _ in 1..LOCK_ATTEMPTS {
        match guarded(|| configuration(folder).open()) {
            Ok(Err(error)) if is_locked(&error) => thread::sleep(LOCK_PAUSE),
            result => return opened(folder, result),
        }
    }
    opened(folder, guarded(|| configuration(folder).open()))
}

fn configuration(folder: &Path) -> sled::Config {
    sled::Config::new()
        .path(folder)
        .flush_every_ms(None)
        .cache_capacity(CACHE_BYTES)
}

/// sled wraps the system's `WouldBlock` into text.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

fn opened(
    folder: &Path,
    result: Result<sled::Result<sled::Db>, String>,
) -> Result<sled::Db, StorageError> {
    let path = folder.display().to_string();
    match result {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) if is_locked(&error) => Err(StorageError::Locked { path }),
        Ok(Err(sled::Error::Io(error))) => Err(open_error(folder, error)),
        Ok(Err(error)) => Err(damaged(folder, &error)),
        Err(panic) => Err(damaged(folder, &panic)),
    }
}

fn damaged(folder: &Path, why: &dyn fmt::Display) -> StorageError {
    let folder = folder.display();
    StorageError::Damaged(format!(
        "sled cannot open {folder}: {why}; restore the whole data directory from one backup, or start with \
         an empty one"
    ))
}

/// A change of sled; what went wrong as text.
fn failure<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    guarded(call)?.map_err(|error| format!("sled: {error}"))
}

fn read<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StorageError> {
    match guarded(call) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(sled::Error::Io(source))) => Err(StorageError::Read {
            what: "sled".into(),
            source,
        }),
        Ok(Err(error)) => Err(StorageError::Damaged(format!("sled: {error}"))),
        Err(panic) => Err(StorageError::Damaged(panic)),
    }
}

/// Runs a call of sled, whose panics become text. Nothing of ours is changed inside.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("sled panicked: {}", text.unwrap_or("no message"))
    })
}
