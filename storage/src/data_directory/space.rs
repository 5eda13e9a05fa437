//! Space at a start: sled and `catalog.log` write before anything can be read, so some must be there first. A
//! healthy sled that could not write must never be taken for a damaged one.

use std::path::Path;

use crate::{
    ballast::{Ballast, OPEN_BYTES_MIN},
    error::StorageError,
    open_error::open_error,
};

/// After a start, the ballast is made again only where so much stays free beside it, as a multiple of it.
const ROOM_BESIDE: u64 = 2;

/// Sees to it that [`OPEN_BYTES_MIN`] is free, with the ballast's space if need be.
///
/// # Errors
/// [`StorageError::NoSpace`] where even that is not enough. Nothing else was touched.
pub(super) fn make_room(path: &Path, ballast: &Ballast) -> Result<(), StorageError> {
    let free = free_bytes(path, ballast)?;
    if free >= OPEN_BYTES_MIN {
        return Ok(());
    }
    release(path, ballast)?;
    let free = free_bytes(path, ballast)?;
    if free >= OPEN_BYTES_MIN {
        return Ok(());
    }
    let missing = (OPEN_BYTES_MIN - free).div_ceil(1024);
    Err(StorageError::NoSpace(format!(
        "data directory {}: its disk is full ({free} bytes free, the ballast is given up); free {missing} KiB more \
         there and start again",
        path.display()
    )))
}

/// Gives the ballast up; whether there was one.
pub(super) fn release(path: &Path, ballast: &Ballast) -> Result<bool, StorageError> {
    let released = ballast.release().map_err(|error| open_error(path, error))?;
    if released {
        tracing::warn!("the disk is full: gave up the ballast to open the data directory");
    }
    Ok(released)
}

/// Makes the ballast where there is room. Without it everything works, until the disk is full.
pub(super) fn keep_some(ballast: &Ballast) {
    let wanted = ballast.bytes();
    let roomy = |free: u64| free >= wanted.saturating_mul(1 + ROOM_BESIDE);
    if wanted == 0 || ballast.is_there() || !ballast.free_bytes().is_ok_and(roomy) {
        return;
    }
    if let Err(error) = ballast.restore() {
        tracing::warn!(%error, "cannot make the ballast");
    }
}

fn free_bytes(path: &Path, ballast: &Ballast) -> Result<u64, StorageError> {
    ballast
        .free_bytes()
        .map_err(|error| open_error(path, error))
}
