//! Acting: what counts is written again, what does not is cut.

use std::io;

use super::{
    Place, TornTail,
    scan::{Seen, SeenFile},
};
use crate::{
    disk::{SegmentFile, SegmentStore},
    journal::{DurableEnd, write_zeros},
    journal_file,
    walk::{is_zero, read_full},
};

/// Bytes read and written at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// Zeros are looked for in pieces of this size.
const ZEROS_BYTES: u64 = 64 * 1024;

/// Writes everything behind the remembered durable end up to `tail` again in place, and syncs it, names included: it
/// may be in the page cache only. Gives the bytes written.
pub(crate) fn rewrite(
    disk: &dyn SegmentStore,
    folder: &str,
    seen: &Seen,
    durable_end: Option<DurableEnd>,
    tail: Place,
) -> io::Result<u64> {
    let mut bytes = 0;
    for file in seen.scanned.iter().filter(|file| file.number <= tail.file) {
        let from = match durable_end {
            Some(end) if file.number == end.file => end.position,
            Some(end) if file.number < end.file => continue,
            Some(_) | None => 0,
        };
        let to = if file.number == tail.file {
            tail.position
        } else {
            file.frames_end
        };
        let mut written = rewrite_range(file.handle.as_ref(), from, to)?;
        if let Some(footer) = file.footer.as_ref().filter(|_| file.number < tail.file) {
            written += rewrite_range(file.handle.as_ref(), footer.position, file.length)?;
        }
        if written > 0 {
            file.handle.sync()?;
        }
        bytes += written;
        if durable_end.is_none_or(|end| file.number > end.file) {
            journal_file::name_again(disk, folder, file.number)?;
        }
    }
    disk.sync_directory(folder)?;
    Ok(bytes)
}

fn rewrite_range(file: &dyn SegmentFile, from: u64, to: u64) -> io::Result<u64> {
    let length = usize::try_from(to.saturating_sub(from)).unwrap_or(PIECE_BYTES);
    let mut buffer = vec![0; length.min(PIECE_BYTES)];
    let mut position = from;
    while position < to {
        let count = read_full(file, position, &mut buffer)?;
        let wanted = usize::try_from(to - position).unwrap_or(PIECE_BYTES);
        let piece = buffer.get(..count.min(wanted));
        let Some(piece) = piece.filter(|piece| !piece.is_empty()) else {
            break;
        };
        file.write_at(position, &[piece])?;
        position += piece.len() as u64;
    }
    Ok(position.saturating_sub(from))
}

/// Takes everything behind `tail` off the disk: later files, the last first, then what is not zeros behind it. Synced.
pub(crate) fn cut(
    disk: &dyn SegmentStore,
    folder: &str,
    seen: &Seen,
    tail: Place,
) -> io::Result<Option<TornTail>> {
    let mut bytes = 0;
    let mut is_removed = false;
    for file in seen
        .scanned
        .iter()
        .rev()
        .filter(|file| file.number > tail.file)
    {
        disk.remove(&journal_file::name(folder, file.number))?;
        is_removed = true;
        // A file that was prepared and never used is nothing to speak of.
        if file.dirty || file.frames_end > file.head.first {
            bytes += file.length;
        }
    }
    if is_removed {
        disk.sync_directory(folder)?;
    }
    let last = seen.scanned.iter().find(|file| file.number == tail.file);
    if let Some(file) = last.filter(|file| may_be_dirty(file, tail)) {
        let zeroed = clear(file, tail.position)?;
        if zeroed > 0 {
            file.handle.sync()?;
        }
        bytes += zeroed;
    }
    Ok((bytes > 0).then_some(TornTail {
        file: tail.file,
        position: tail.position,
        bytes,
    }))
}

/// Unless the scan saw that only zeros follow.
fn may_be_dirty(file: &SeenFile, tail: Place) -> bool {
    file.dirty || file.footer.is_some() || file.frames_end != tail.position
}

/// Zeros over what is not zeros from `from` on; in a recycled file only over what has its salt. Gives the bytes written.
fn clear(file: &SeenFile, from: u64) -> io::Result<u64> {
    if !file.is_recycled {
        return clear_all(file, from);
    }
    let footer = file.footer.as_ref();
    let footer = footer.map_or(file.length, |footer| footer.position);
    let mut zeroed = 0;
    for (from, to) in [(from, file.frames_end), (footer.max(from), file.length)] {
        if from < to {
            write_zeros(file.handle.as_ref(), from, to)?;
            zeroed += to - from;
        }
    }
    Ok(zeroed)
}

fn clear_all(file: &SeenFile, from: u64) -> io::Result<u64> {
    let mut buffer = vec![0; usize::try_from(ZEROS_BYTES).unwrap_or(0)];
    let mut position = from;
    let mut zeroed = 0;
    while position < file.length {
        let count = read_full(file.handle.as_ref(), position, &mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            break;
        };
        let end = position + count as u64;
        if !is_zero(piece) {
            write_zeros(file.handle.as_ref(), position, end)?;
            zeroed += count as u64;
        }
        position = end;
    }
    Ok(zeroed)
}
