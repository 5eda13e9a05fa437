//! Small files that are read whole, and replaced whole or not at all.

use std::{io, sync::Arc};

use crate::disk::{SegmentFile, SegmentStore};

/// A file and all its bytes.
pub(crate) type WholeFile = (Arc<dyn SegmentFile>, Vec<u8>);

/// A file and all its bytes; `None` if there is none.
pub(crate) fn read(
    disk: &dyn SegmentStore,
    name: &str,
    bytes_max: usize,
) -> io::Result<Option<WholeFile>> {
    match disk.open(name) {
        Ok(file) => read_all(&*file, bytes_max).map(|bytes| Some((file, bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_all(file: &dyn SegmentFile, bytes_max: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(filled as u64, rest)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Makes `bytes` the file `name` in the root folder, durable when it returns: temporary name (`name.new`), sync,
/// rename, directory sync. Whenever this ends early, the old file or the new one is there, whole.
pub(crate) fn replace(
    disk: &dyn SegmentStore,
    name: &str,
    bytes: &[u8],
) -> io::Result<Arc<dyn SegmentFile>> {
    let new = format!("{name}.new");
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = disk.create(&new, 0)?;
    file.write_at(0, &[bytes])?;
    file.sync()?;
    disk.rename(&new, name)?;
    disk.sync_directory("")?;
    Ok(file)
}
