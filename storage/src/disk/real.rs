//! The operating system's files behind [`SegmentStore`]. Every error is the system's own; names are relative to
//! the root folder and come from this crate, never from outside.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{SegmentFile, SegmentStore};

/// Zeros are written in pieces of this length, bytes.
const ZEROS: &[u8] = &[0; 1 << 20];

/// Slices that one `pwritev` takes (`IOV_MAX` on Linux).
const SLICES_MAX: usize = 1024;

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The files under `root`, a folder that exists.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.canonicalize()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        }
    }

    fn open_file(&self, name: &str, new: bool) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(new).mode(0o600);
        Ok(RealFile {
            file: options.open(self.path(name))?,
        })
    }
}

impl SegmentStore for RealDisk {
    fn create(&self, name: &str, zeros: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let file = self.open_file(name, true)?;
        let mut position = 0;
        while position < zeros {
            let left = usize::try_from(zeros - position).unwrap_or(usize::MAX);
            let piece = ZEROS.get(..left).unwrap_or(ZEROS);
            file.write_at(position, &[piece])?;
            position += piece.len() as u64;
        }
        if zeros > 0 {
            // The length too: `fdatasync` saves what is needed to read the bytes back.
            file.sync()?;
        }
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(self.open_file(name, false)?))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.path(folder)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Also where it existed: whoever made it may have died before this.
        let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.sync_directory(parent)
    }

    fn sync_directory(&self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl SegmentFile for RealFile {
    fn write_at(&self, position: u64, slices: &[&[u8]]) -> io::Result<()> {
        let mut position = position;
        for slices in slices.chunks(SLICES_MAX) {
            let mut slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            position = write_all_at(&self.file, position, &mut slices)?;
        }
        Ok(())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Where the bytes end that were written.
fn write_all_at(file: &File, start: u64, slices: &mut [IoSlice<'_>]) -> io::Result<u64> {
    let mut position = start;
    let mut rest = slices;
    // Drops leading empty slices, which would make a write of nothing look like a full disk.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let written = match rustix::io::pwritev(file, rest, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(rustix::io::Errno::INTR) => continue,
            written => written?,
        };
        position += written as u64;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let folder = tempfile::tempdir().expect("makes a folder");
        let disk = RealDisk::open(folder.path()).expect("opens");
        (folder, disk)
    }

    #[test]
    fn slices_are_written_one_behind_the_other_however_many() {
        let (_folder, disk) = disk();
        let file = disk.create("a", 4).expect("creates");
        let bytes: Vec<[u8; 2]> = (0..3000u16).map(u16::to_be_bytes).collect();
        let mut slices: Vec<&[u8]> = vec![b""];
        slices.extend(bytes.iter().map(|pair| &pair[..]));
        file.write_at(2, &slices).expect("writes");
        file.write_at(0, &[]).expect("writes nothing");
        file.sync().expect("syncs");
        let mut found = vec![9; 7000];
        assert_eq!(file.read_at(0, &mut found).expect("reads"), 6002);
        assert_eq!(found[..6002], [&[0, 0], &bytes.concat()[..]].concat());
        assert_eq!(file.length().expect("has one"), 6002);
    }

    #[test]
    fn a_new_file_is_full_of_zeros_and_an_old_one_is_not_made_again() {
        let (_folder, disk) = disk();
        disk.create_folder("f").expect("creates");
        disk.create_folder("f").expect("is there");
        let bytes = 3 * (1 << 20) + 5;
        let file = disk.create("f/a", bytes).expect("creates");
        assert_eq!(file.length().expect("has one"), bytes);
        let again = disk.create("f/a", 0).expect_err("exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        disk.rename("f/a", "f/b").expect("renames");
        disk.sync_directory("f").expect("syncs");
        assert_eq!(disk.list("f").expect("lists"), ["b"]);
        assert_eq!(
            disk.list("").expect("lists"),
            Vec::<String>::new(),
            "folders are not files"
        );
        disk.remove("f/b").expect("removes");
        assert_eq!(
            disk.open("f/b").expect_err("is gone").kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(disk.list("none").expect("is empty"), Vec::<String>::new());
    }
}
