//! Sealed segments: finished journal files rewritten once, the same batches contiguous by topic.
//!
//! | part | does |
//! |---|---|
//! | [`layout`] | the bytes (`docs/format.md`, "Sealed segment") |
//! | [`gather`] | batches of all topics, in the order of a journal, to their places in the runs |
//! | [`seal`] | one journal file becomes a sealed segment, a piece at a time |
//! | [`scrub`] | whether a segment is still what its checksums say, a piece at a time |
//! | [`summary`] | what sled keeps of a segment, and where it is derived again from |
//! | [`adopt`] | what a start makes of the segments that are there |
//! | [`times`] | commit entries: from a time to the ends of all topics |
//!
//! Reading is in `log`, deciding what to seal or delete in `keeper`.

pub(crate) mod adopt;
pub(crate) mod gather;
pub(crate) mod layout;
pub(crate) mod scrub;
pub(crate) mod seal;
pub(crate) mod summary;
pub(crate) mod times;

use crate::{disk::SegmentStore, error::StorageError};

const SUFFIX: &str = ".sealed";
const NEW_SUFFIX: &str = ".sealed.new";

/// The name of sealed segment `number` in `folder`.
pub(crate) fn name(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}{SUFFIX}")
}

/// Its name while it is written.
pub(crate) fn new_name(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}{NEW_SUFFIX}")
}

/// Number and path of each segment in `folder`, one that is being given its name anew included. Changes nothing.
///
/// # Errors
/// [`StorageError::Read`].
pub(crate) fn names(
    disk: &dyn SegmentStore,
    folder: &str,
) -> Result<Vec<(u64, String)>, StorageError> {
    let listed = disk.list(folder).map_err(|source| StorageError::Read {
        what: folder.to_owned(),
        source,
    })?;
    let mut names = Vec::new();
    for file in listed {
        let number = number_of(file.strip_suffix(adopt::AGAIN_SUFFIX).unwrap_or(&file));
        names.extend(number.map(|number| (number, format!("{folder}/{file}"))));
    }
    Ok(names)
}

/// The number of the segment that a file is, by its name.
pub(crate) fn number_of(file: &str) -> Option<u64> {
    crate::journal_file::parse_number(file.strip_suffix(SUFFIX)?)
}

/// Whether a file is one that was being written.
pub(crate) fn is_unfinished(file: &str) -> bool {
    file.strip_suffix(NEW_SUFFIX)
        .is_some_and(|digits| crate::journal_file::parse_number(digits).is_some())
}
