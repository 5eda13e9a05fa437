//! The operating system's disk.
//!
//! One `pwritev` a write where the system takes it whole, `fdatasync`, and `fsync` of directories. Files are created
//! with mode 0600 and close-on-exec. Space is written with zeros rather than allocated: only then need a later
//! sync write no metadata. No caching and no retries here: an error is the caller's to judge.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, IoSliceMut},
    num::NonZeroU64,
    os::{
        fd::BorrowedFd,
        unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{fs::Advice, io::ReadWriteFlags};

use super::{SegmentFile, SegmentStore};

/// Zeros written at once.
const ZEROS_BYTES: usize = 1024 * 1024;
/// Zeros written between two syncs: a commit that syncs meanwhile waits for no more than this.
const ZEROS_PER_SYNC: u64 = 8 * 1024 * 1024;
/// Most slices a `pwritev` takes (Linux: `UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// A directory.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Nothing is ever changed.
    read_only: bool,
}

impl RealDisk {
    /// The existing directory `root`.
    ///
    /// # Errors
    /// What the system says, `NotADirectory` included.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            root,
            read_only: false,
        })
    }

    /// The same, for reading only: whatever would change something is refused.
    ///
    /// # Errors
    /// As [`RealDisk::open`].
    pub fn read_only(root: &Path) -> io::Result<Self> {
        Ok(Self {
            read_only: true,
            ..Self::open(root)?
        })
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        }
    }
}

impl SegmentStore for RealDisk {
    fn create(&self, name: &str, zeros: u64) -> io::Result<Arc<dyn SegmentFile>> {
        self.writable()?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(self.path(name))?;
        write_zeros(&file, zeros)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(!self.read_only)
            .open(self.path(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) = (
                entry.file_type()?.is_file(),
                entry.file_name().into_string(),
            ) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        fs::remove_file(self.path(name))
    }

    /// The parent is synced also where the folder is there already: its maker may have died before doing so.
    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.writable()?;
        let path = self.path(folder);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
        path.parent().map_or(Ok(()), sync_directory)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.root)
    }

    fn sync_directory(&self, folder: &str) -> io::Result<()> {
        sync_directory(&self.path(folder))
    }
}

/// Bytes that the file system of `path` has for this user.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write_zeros(file: &File, zeros: u64) -> io::Result<()> {
    let buffer = vec![0; ZEROS_BYTES];
    let mut position = 0;
    while position < zeros {
        let rest = usize::try_from(zeros - position).unwrap_or(ZEROS_BYTES);
        let piece = buffer.get(..rest).unwrap_or(&buffer);
        file.write_all_at(piece, position)?;
        position += piece.len() as u64;
        if position % ZEROS_PER_SYNC == 0 || position == zeros {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// An open file.
#[derive(Debug)]
struct RealFile {
    file: File,
}

impl SegmentFile for RealFile {
    fn write_at(&self, position: u64, slices: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut rest = slices.as_mut_slice();
        let mut position = position;
        while !rest.is_empty() {
            let some = rest.get(..SLICES_MAX).unwrap_or(rest);
            match rustix::io::pwritev(&self.file, some, position) {
                Ok(0) if some.iter().all(|slice| slice.is_empty()) => {
                    let count = some.len();
                    rest = rest.get_mut(count..).unwrap_or_default();
                }
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn will_need(&self, position: u64, length: u64) {
        let length = NonZeroU64::new(length);
        let hint = rustix::fs::fadvise(&self.file, position, length, Advice::WillNeed);
        // What is not fetched ahead is read when it is wanted.
        hint.unwrap_or(());
    }

    fn is_in_memory(&self, position: u64) -> bool {
        let byte = &mut [0];
        let mut into = [IoSliceMut::new(byte)];
        let read = rustix::io::preadv2(&self.file, &mut into, position, ReadWriteFlags::NOWAIT);
        read.is_ok_and(|read| read == 1)
    }

    fn send(&self, position: u64, length: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut position = position;
        loop {
            match rustix::fs::sendfile(socket, &self.file, Some(&mut position), length) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = RealDisk::open(directory.path()).expect("is a directory");
        (directory, disk)
    }

    #[test]
    fn more_slices_than_one_call_takes_are_written_in_order() {
        let (_directory, disk) = disk();
        let file = disk.create("a", 16).expect("creates");
        let bytes: Vec<[u8; 2]> = (0..3000u16).map(u16::to_be_bytes).collect();
        let mut slices: Vec<&[u8]> = bytes.iter().map(<[u8; 2]>::as_slice).collect();
        slices.insert(1500, &[]);
        file.write_at(10, &slices).expect("writes");
        let mut found = vec![0; 7000];
        assert_eq!(file.read_at(0, &mut found).expect("reads"), 6010);
        assert_eq!(found[..10], [0; 10]);
        assert_eq!(found[10..6010], bytes.concat());
        assert_eq!(file.length().expect("has a length"), 6010);
    }

    #[test]
    fn a_new_file_reads_as_zeros_of_the_length_asked_for() {
        let (_directory, disk) = disk();
        let bytes = usize::try_from(ZEROS_PER_SYNC + 4097).expect("small");
        let file = disk.create("a", bytes as u64).expect("creates");
        let mut found = vec![7; bytes + 1];
        assert_eq!(file.read_at(0, &mut found).expect("reads"), bytes);
        assert!(found[..bytes].iter().all(|byte| *byte == 0));
        let again = disk.create("a", 0).expect_err("it exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn folders_are_made_once_and_listed_without_folders_in_them() {
        let (_directory, disk) = disk();
        disk.create_folder("journal").expect("makes");
        disk.create_folder("journal").expect("is there");
        disk.create_folder("journal/1").expect("makes");
        drop(disk.create("journal/b", 0).expect("creates"));
        drop(disk.create("journal/c", 0).expect("creates"));
        disk.rename("journal/c", "journal/a").expect("renames");
        disk.sync_directory("journal").expect("syncs");
        assert_eq!(disk.list("journal").expect("lists"), ["a", "b"]);
        disk.remove("journal/a").expect("removes");
        assert_eq!(disk.list("journal").expect("lists"), ["b"]);
        assert!(disk.list("missing").expect("lists").is_empty());
        let missing = disk.open("journal/a").expect_err("it is gone");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
