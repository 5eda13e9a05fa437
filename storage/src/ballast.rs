//! The ballast: a file that takes space so that it can be given back. A full disk cannot even be opened (sled and
//! `catalog.log` write at a start); without the ballast it can, and its oldest records can be trimmed.
//!
//! Its bytes mean nothing and are never read. The space is allocated, not written: what matters is that the file
//! system holds it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use crate::disk::real::free_bytes;

/// Its name in the data directory.
const BALLAST: &str = "ballast";

/// How large it is by default, bytes: one journal file, and some hundred catalog changes.
pub const BALLAST_BYTES: u64 = 64 * 1024 * 1024;

/// A start wants this much before it touches anything, bytes: sled writes segments of 512 KiB.
pub const OPEN_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Zeros written at once where the file system cannot allocate.
const ZEROS_BYTES: usize = 1024 * 1024;

/// The ballast of a data directory.
#[derive(Debug, Clone)]
pub struct Ballast {
    directory: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// Of the data directory `directory`, to be of `bytes`; 0 for none.
    #[must_use]
    pub fn new(directory: &Path, bytes: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            bytes,
        }
    }

    /// Bytes that the file system of the data directory has for us.
    ///
    /// # Errors
    /// What the system says.
    pub fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.directory)
    }

    /// How large it should be, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there is one, of whatever size.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.path().exists()
    }

    /// Gives its space back. Whether there was any.
    ///
    /// # Errors
    /// What the system says.
    pub fn release(&self) -> io::Result<bool> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(true)
    }

    /// Makes it, unless it is there in full size. One that does not fit is not left in part.
    ///
    /// # Errors
    /// What the system says, `StorageFull` included.
    pub fn restore(&self) -> io::Result<()> {
        let length = fs::metadata(self.path()).map_or(0, |found| found.len());
        if length == self.bytes {
            return Ok(());
        }
        self.release()?;
        self.make().inspect_err(|_| {
            // What cannot be removed either is found by the next one who tries.
            fs::remove_file(self.path()).unwrap_or(());
        })
    }

    fn make(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path())?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(&file, self.bytes)?,
            allocated => allocated?,
        }
        file.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.directory.join(BALLAST)
    }
}

fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut position = 0;
    while position < bytes {
        let rest = usize::try_from(bytes - position).unwrap_or(ZEROS_BYTES);
        let piece = zeros.get(..rest).unwrap_or(&zeros);
        file.write_all_at(piece, position)?;
        position += piece.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_of_the_size_asked_for_and_gives_its_space_back() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let ballast = Ballast::new(folder.path(), 1 << 20);
        assert!(!ballast.release().expect("is not there"));
        ballast.restore().expect("makes it");
        ballast.restore().expect("is there");
        let length = || fs::metadata(folder.path().join(BALLAST)).map_or(0, |m| m.len());
        assert_eq!(length(), 1 << 20);
        let larger = Ballast::new(folder.path(), 2 << 20);
        larger.restore().expect("makes it larger");
        assert_eq!(length(), 2 << 20);
        assert!(larger.release().expect("removes"));
        assert!(!larger.is_there());
    }

    #[test]
    fn one_that_cannot_fit_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let ballast = Ballast::new(folder.path(), 1 << 60);
        ballast.restore().expect_err("does not fit");
        assert!(!ballast.is_there());
    }
}
