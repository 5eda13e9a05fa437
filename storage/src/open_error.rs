//! What the system says when a data directory cannot be opened, as one line that names the fix.

use std::{io, path::Path};

use crate::error::StorageError;

/// `path` could not be opened, made or made durable.
pub(crate) fn open_error(path: &Path, error: io::Error) -> StorageError {
    let path = path.display();
    let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
    if is(&[
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ]) {
        return StorageError::Refused(format!(
            "cannot write {path}: {error}; make the data directory writable for the user that headwater \
             runs as"
        ));
    }
    if is(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]) {
        return StorageError::NoSpace(format!(
            "cannot write {path}: {error}; free some space there and start again"
        ));
    }
    if is(&[io::ErrorKind::NotADirectory]) {
        return StorageError::Refused(format!(
            "{path} is not a directory; name another data directory or move the file away"
        ));
    }
    StorageError::Read {
        what: path.to_string(),
        source: error,
    }
}
