//! A journal file that is whole, and not the one that was there: of another directory, or of an older backup. Its
//! frames pass every checksum, so it is known by what the files beside it, and sled, say of it.
//!
//! Only files up to the durable end are judged: behind it, a file that was removed may be back after a power cut, and
//! what counts of it is decided by `accepted`.

use super::{
    Item, Place, What,
    scan::{Seen, SeenFile, read_checkpoint},
};
use crate::{error::StorageError, frame::commit::CommitPlace, journal::DurableEnd};

/// Refuses a journal with such a file.
///
/// # Errors
/// [`StorageError::Damaged`]; [`StorageError::Read`].
pub(crate) fn refuse(seen: &Seen, durable_end: Option<DurableEnd>) -> Result<(), StorageError> {
    let Some(end) = durable_end else {
        return Ok(());
    };
    let files = || seen.old.iter().chain(&seen.scanned);
    let pairs = files().zip(files().skip(1));
    let successors = pairs.filter(|(before, file)| file.number == before.number + 1);
    for (before, file) in successors.filter(|(_, file)| file.number <= end.file) {
        refuse_successor(before, file)?;
    }
    refuse_end(seen, end)
}

/// The footer of a file and the checkpoint of the next one were written one behind the other: both say which commit
/// frame was the last, and where it stands. Damaged ones say nothing.
fn refuse_successor(before: &SeenFile, file: &SeenFile) -> Result<(), StorageError> {
    let (Some(footer), Some(checkpoint)) = (&before.footer, read_checkpoint(file)?) else {
        return Ok(());
    };
    let last = checkpoint.state.last;
    let follows = match footer.last_commit {
        Some(position) => {
            last == CommitPlace {
                group: before.footer_group,
                file: before.number,
                position,
            }
        }
        None => last.group == before.footer_group && last.file < before.number,
    };
    if follows {
        return Ok(());
    }
    let (number, stated) = (before.number, last.group);
    Err(foreign(
        &format!(
            "journal files {number} and {} are whole, and one of them is",
            file.number
        ),
        &format!(
            "file {number} does not end as the checkpoint behind it says (with group {stated})"
        ),
    ))
}

/// Where nothing is damaged up to the durable end, the group that is noted with it is the last one before it.
fn refuse_end(seen: &Seen, end: DurableEnd) -> Result<(), StorageError> {
    let noted = Place {
        file: end.file,
        position: end.position,
    };
    let of_file = seen.items.iter().filter(|item| item.place.file == end.file);
    let before: Vec<&Item> = of_file.filter(|item| item.place < noted).collect();
    if before.iter().any(|item| matches!(item.what, What::Bad(_))) {
        return Ok(());
    }
    let mut groups = before.iter().filter_map(|item| match &item.what {
        What::Commit { group, .. } => Some(*group),
        What::Checkpoint(checkpoint) => Some(checkpoint.state.last.group),
        What::Data { .. } | What::Bad(_) => None,
    });
    let reaches = before.last().is_none_or(|last| last.end == end.position);
    match groups.next_back() {
        Some(group) if group != end.group || !reaches => Err(foreign(
            &format!("journal file {} is whole, and", end.file),
            &format!(
                "group {} was the last one before position={}, and it is not there",
                end.group, end.position
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn foreign(which: &str, why: &str) -> StorageError {
    StorageError::Damaged(format!(
        "{which} not the one that was there: {why}; put the right file back, or restore the whole data directory from \
         one backup"
    ))
}
