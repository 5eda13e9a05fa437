//! The folder itself: made if missing, refused if it is somebody else's, and locked for one process.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    thread,
    time::Duration,
};

use super::format_file::FORMAT;
use crate::{error::StorageError, open_error::open_error};

/// The lock file's name. It stays when the process goes; the lock does not.
const LOCK: &str = "lock";

/// What a directory without `FORMAT` may hold: what a start that ended early left, or the file system's own.
const EXPECTED_BEFORE_FORMAT: [&str; 3] = [LOCK, "FORMAT.new", "lost+found"];

/// How often the lock is tried, and how long it is waited in between: half a second in all. A holder may just be on its
/// way out, or a process that it starts may still have all its descriptors, between fork and exec.
const ATTEMPTS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// Names that a refusal lists.
const NAMES_SHOWN: usize = 3;

/// Makes or checks the folder `path` and locks it. The lock goes with the file.
pub(super) fn lock(path: &Path) -> Result<File, StorageError> {
    let at = |error| open_error(path, error);
    make_folder(path).map_err(at)?;
    refuse_foreign(path, foreign_names(path).map_err(at)?)?;
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path.join(LOCK)).map_err(at)?;
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
    }
    Err(StorageError::Locked {
        path: path.display().to_string(),
    })
}

fn make_folder(path: &Path) -> io::Result<()> {
    match make(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Or another headwater made it meanwhile: the lock decides.
        Ok(()) | Err(_) if path.is_dir() => Ok(()),
        Ok(()) | Err(_) => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Only the folder itself is for its owner alone: the ones above it are somebody else's.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    DirBuilder::new().mode(0o700).create(path)?;
    File::open(parent)?.sync_all()
}

/// Names that do not belong into a data directory, sorted; none if it has a `FORMAT`.
fn foreign_names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    if names.iter().any(|name| name == FORMAT) {
        return Ok(Vec::new());
    }
    names.retain(|name| !EXPECTED_BEFORE_FORMAT.contains(&name.as_str()));
    names.sort();
    Ok(names)
}

fn refuse_foreign(path: &Path, names: Vec<String>) -> Result<(), StorageError> {
    if names.is_empty() {
        return Ok(());
    }
    let path = path.display();
    let more = if names.len() > NAMES_SHOWN {
        ", .."
    } else {
        ""
    };
    let names: Vec<_> = names.into_iter().take(NAMES_SHOWN).collect();
    let names = names.join(", ");
    Err(StorageError::Refused(format!(
        "{path} is not empty and not a data directory (no {FORMAT} file; it holds {names}{more}); \
         name a new or empty directory"
    )))
}
