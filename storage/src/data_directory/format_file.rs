//! The file `FORMAT`: one line of text that says whose the directory is, which version of `docs/format.md` its
//! files follow, and its id. It is written first and never changed.
//!
//! ```text
//! headwater-data-directory format=1 id=0b7c7d1e-52a5-4c1c-9f0b-3f4c2a3c9d10 crc32=057a7101
//! ```
//!
//! The checksum, 8 lower case hexadecimal digits, covers what stands before ` crc32=`. A newer version keeps the
//! line's beginning up to the version.

use std::io;

use uuid::Uuid;

use crate::{catalog::random_id, disk::SegmentStore, error::StorageError, whole_file};

/// Its name.
pub(crate) const FORMAT: &str = "FORMAT";

/// Version of everything in the directory.
const VERSION: u32 = 1;

const PREFIX: &str = "headwater-data-directory format=";
const BYTES_MAX: usize = 4096;

/// The directory's id; makes one, durably, if there is no `FORMAT` yet.
pub(super) fn open(disk: &dyn SegmentStore) -> Result<Uuid, StorageError> {
    if let Some(id) = read(disk)? {
        return Ok(id);
    }
    let id = random_id();
    write(disk, id)?;
    Ok(id)
}

/// The directory's id, if there is a `FORMAT`. Changes nothing.
pub(crate) fn read(disk: &dyn SegmentStore) -> Result<Option<Uuid>, StorageError> {
    let found = bytes(disk).map_err(|source| StorageError::Read {
        what: FORMAT.to_owned(),
        source,
    })?;
    found.map(|bytes| parse(&bytes)).transpose()
}

/// Whether what is there was written by a newer version.
pub(crate) fn is_newer(disk: &dyn SegmentStore) -> bool {
    let found = bytes(disk).ok().flatten().unwrap_or_default();
    let version = version(str::from_utf8(&found).unwrap_or_default());
    version.is_some_and(|version| version > VERSION)
}

fn bytes(disk: &dyn SegmentStore) -> io::Result<Option<Vec<u8>>> {
    let found = whole_file::read(disk, FORMAT, BYTES_MAX)?;
    Ok(found.map(|(_, bytes)| bytes))
}

/// Writes the file, again or for the first time.
pub(super) fn write(disk: &dyn SegmentStore, id: Uuid) -> Result<(), StorageError> {
    let written = whole_file::replace(disk, FORMAT, line(id).as_bytes());
    written.map(|_| ()).map_err(|error| refused_write(&error))
}

fn refused_write(error: &io::Error) -> StorageError {
    StorageError::Refused(format!(
        "cannot write {FORMAT}: {error}; make the directory writable, with space to spare, and start again"
    ))
}

fn line(id: Uuid) -> String {
    let text = format!("{PREFIX}{VERSION} id={id}");
    format!("{text} crc32={:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn parse(bytes: &[u8]) -> Result<Uuid, StorageError> {
    let text = str::from_utf8(bytes).unwrap_or_default();
    let version = version(text).ok_or_else(damaged)?;
    if version > VERSION {
        return Err(StorageError::Refused(format!(
            "{FORMAT} says format {version}, this headwater knows formats up to {VERSION}; \
             run the newer headwater"
        )));
    }
    let id = text.split_once(" id=").and_then(|(_, rest)| rest.get(..36));
    let id = id
        .and_then(|id| Uuid::parse_str(id).ok())
        .ok_or_else(damaged)?;
    if line(id) == text {
        Ok(id)
    } else {
        Err(damaged())
    }
}

fn version(text: &str) -> Option<u32> {
    text.strip_prefix(PREFIX)?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

fn damaged() -> StorageError {
    StorageError::Refused(format!(
        "{FORMAT} is damaged or not headwater's; restore the whole data directory from one backup, \
         or name another directory"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::model::ModelDisk;

    #[test]
    fn a_new_directory_gets_an_id_and_keeps_it() {
        let disk = ModelDisk::new();
        let id = open(&disk).expect("creates");
        assert_eq!(open(&disk).expect("opens"), id);
        assert_ne!(open(&ModelDisk::new()).expect("creates"), id);
        assert_eq!(disk.list("").expect("lists"), [FORMAT]);
    }

    #[test]
    fn the_documented_line_is_read() {
        let documented = "headwater-data-directory format=1 \
            id=0b7c7d1e-52a5-4c1c-9f0b-3f4c2a3c9d10 crc32=057a7101\n";
        let id = parse(documented.as_bytes()).expect("is whole");
        assert_eq!(line(id), documented);
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let whole = line(Uuid::from_u128(5));
        assert_eq!(
            parse(whole.as_bytes()).expect("is whole"),
            Uuid::from_u128(5)
        );
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let refused = parse(&damaged).expect_err("is damaged");
            assert!(
                refused.to_string().starts_with("FORMAT "),
                "bit {bit}: {refused}"
            );
        }
        assert!((0..whole.len()).all(|length| parse(&whole.as_bytes()[..length]).is_err()));
    }

    #[test]
    fn a_newer_format_is_named_whatever_follows_it() {
        let refused = parse(b"headwater-data-directory format=2 anything").expect_err("is newer");
        assert!(
            refused
                .to_string()
                .contains("format 2, this headwater knows formats up to 1")
        );
    }
}
