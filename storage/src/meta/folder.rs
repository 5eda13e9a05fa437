//! Where the meta store is kept, so that one that cannot be used makes room for a new one.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{MetaBatch, MetaStore, sled_meta::SledMeta};
use crate::{error::StorageError, open_error::open_error};

/// sled's folder in the data directory.
pub(crate) const META: &str = "meta";

/// What a folder that was moved aside is called, with a number behind it; the highest is the newest.
const ASIDE: &str = "meta.damaged-";

/// So many of them are kept, for people to look at; nothing reads them again.
pub const KEPT_ASIDE: usize = 3;

/// A place for one meta store.
pub trait MetaFolder: fmt::Debug {
    /// Opens what is there, or makes a new one.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] or [`StorageError::Read`] where it cannot be read; [`StorageError::Locked`],
    /// [`StorageError::Refused`], [`StorageError::NoSpace`] where the system does not let it.
    fn open(&self) -> Result<Arc<dyn MetaStore>, StorageError>;

    /// Moves what is there aside, durably, and says where to. Nobody uses it any more.
    ///
    /// # Errors
    /// [`StorageError::Refused`] or [`StorageError::Read`].
    fn set_aside(&self) -> Result<String, StorageError>;
}

/// sled's folder.
#[derive(Debug)]
pub struct SledFolder {
    directory: PathBuf,
}

impl SledFolder {
    /// The one in the data directory `directory`.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    fn move_aside(&self) -> io::Result<String> {
        let mut numbers = numbers_aside(&self.directory)?;
        let number = numbers.last().map_or(1, |last| last + 1);
        let name = format!("{ASIDE}{number}");
        match fs::rename(self.directory.join(META), self.directory.join(&name)) {
            // Deleted by somebody: nothing is there to keep.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok("nowhere".to_owned());
            }
            moved => moved?,
        }
        File::open(&self.directory)?.sync_all()?;
        numbers.push(number);
        let surplus = numbers.len().saturating_sub(KEPT_ASIDE);
        for old in numbers.into_iter().take(surplus) {
            fs::remove_dir_all(self.directory.join(format!("{ASIDE}{old}")))?;
        }
        Ok(name)
    }
}

impl MetaFolder for SledFolder {
    fn open(&self) -> Result<Arc<dyn MetaStore>, StorageError> {
        Ok(Arc::new(SledMeta::open(&self.directory.join(META))?))
    }

    fn set_aside(&self) -> Result<String, StorageError> {
        let at = self.directory.join(META);
        self.move_aside().map_err(|error| open_error(&at, error))
    }
}

/// The numbers of the folders that were moved aside, ascending.
fn numbers_aside(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A store that is open already, as tests have it: moved aside, it is emptied.
#[derive(Debug)]
pub(crate) struct Given(pub(crate) Arc<dyn MetaStore>);

impl MetaFolder for Given {
    fn open(&self) -> Result<Arc<dyn MetaStore>, StorageError> {
        Ok(Arc::clone(&self.0))
    }

    fn set_aside(&self) -> Result<String, StorageError> {
        let there = self.0.scan(&[])?.into_iter();
        self.0.commit(&MetaBatch {
            changes: there.map(|(key, _)| (key, None)).collect(),
        })?;
        Ok("nowhere".to_owned())
    }
}
