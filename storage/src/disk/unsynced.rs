//! The real disk without its syncs, for benches that make logs of gigabytes: they fill them in seconds and sync once
//! behind. Not for production: nothing is durable before [`sync_all`].

use std::{fmt, fs::File, io, path::Path, sync::Arc};

use super::{SegmentFile, SegmentStore, real::RealDisk};

/// A disk, or a file of it, whose `sync` does nothing.
pub struct Unsynced<T: ?Sized>(T);

impl Unsynced<RealDisk> {
    /// The existing directory `root`.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(root: &Path) -> io::Result<Self> {
        RealDisk::open(root).map(Self)
    }
}

/// Everything below `folder`, to the disk.
///
/// # Errors
/// What the system says.
pub fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            File::open(path)?.sync_all()?;
        }
    }
    Ok(())
}

impl<T: ?Sized> fmt::Debug for Unsynced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a disk that is synced later")
    }
}

impl SegmentStore for Unsynced<RealDisk> {
    fn create(&self, name: &str, zeros: u64) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(Unsynced(self.0.create(name, zeros)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(Unsynced(self.0.open(name)?)))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.0.create_folder(folder)
    }

    fn sync_directory(&self, folder: &str) -> io::Result<()> {
        self.0.sync_directory(folder)
    }
}

impl SegmentFile for Unsynced<Arc<dyn SegmentFile>> {
    fn write_at(&self, position: u64, slices: &[&[u8]]) -> io::Result<()> {
        self.0.write_at(position, slices)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(position, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}
