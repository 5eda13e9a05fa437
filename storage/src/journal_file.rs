//! The files of a journal: their names, and the next one, zero-written or recycled, that waits for its turn.
//!
//! `journal/<instance, 10 digits>/<number, 20 digits>.journal` (`docs/format.md`, "Files"). What is in them: `frame`, `walk`.

use std::{io, sync::Arc, thread::JoinHandle};

use crate::{
    disk::{SegmentFile, SegmentStore},
    error::StorageError,
    number::InstanceNumber,
    recycled::{Head, Spare, reuse},
    salt::new_salt,
};

const SUFFIX: &str = ".journal";
/// What a name has behind it while it is given anew.
const AGAIN_SUFFIX: &str = ".again";
const NUMBER_DIGITS: usize = 20;

/// The folder of an instance's journal.
pub(crate) fn folder(instance: InstanceNumber) -> String {
    format!("journal/{:010}", instance.0)
}

/// The name of file `number` in `folder`.
pub(crate) fn name(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}{SUFFIX}")
}

/// The numbers of the files in `folder`, ascending. Other names are left alone. A start that died in [`name_again`] is
/// completed.
pub(crate) fn list(disk: &dyn SegmentStore, folder: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in disk.list(folder)? {
        if let Some(number) = number_of(&file) {
            numbers.push(number);
        } else if let Some(number) = file.strip_suffix(AGAIN_SUFFIX).and_then(number_of) {
            disk.rename(&format!("{folder}/{file}"), &name(folder, number))?;
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Number and path of each file in `folder`, ascending. Changes nothing.
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
        let number = number_of(file.strip_suffix(AGAIN_SUFFIX).unwrap_or(&file));
        names.extend(number.map(|number| (number, format!("{folder}/{file}"))));
    }
    names.sort_unstable();
    Ok(names)
}

/// The number of the first file in `folder`. Changes nothing.
///
/// # Errors
/// [`StorageError::Read`].
pub(crate) fn first(disk: &dyn SegmentStore, folder: &str) -> Result<Option<u64>, StorageError> {
    Ok(names(disk, folder)?.first().map(|(number, _)| *number))
}

/// Gives file `number` its name anew, as writing again does for bytes: after a failed directory sync the kernel may
/// call an entry durable that is not. To be followed by a sync of `folder`.
pub(crate) fn name_again(disk: &dyn SegmentStore, folder: &str, number: u64) -> io::Result<()> {
    let name = name(folder, number);
    let aside = format!("{name}{AGAIN_SUFFIX}");
    disk.rename(&name, &aside)?;
    disk.rename(&aside, &name)
}

fn number_of(file: &str) -> Option<u64> {
    parse_number(file.strip_suffix(SUFFIX)?)
}

/// A file number as it stands in names.
pub(crate) fn parse_number(digits: &str) -> Option<u64> {
    let plain = digits.len() == NUMBER_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A file to write next.
#[derive(Debug)]
pub(crate) struct NextFile {
    pub(crate) handle: Arc<dyn SegmentFile>,
    /// How it begins.
    pub(crate) head: Head,
    /// Its name survives a power cut already.
    pub(crate) is_named: bool,
}

/// A file, and how it begins.
type Made = io::Result<(Arc<dyn SegmentFile>, Head)>;

/// Why there is no next file.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The disk is full: no byte of a group is lost or doubtful by that.
    NoSpace(io::Error),
    Failed(io::Error),
}

/// Whether the disk, or a quota, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Makes file `number`, name and zeros durable. One that cannot be made whole is taken away again, and its space with
/// it.
fn make(disk: &dyn SegmentStore, folder: &str, number: u64, bytes: u64) -> Made {
    let name = name(folder, number);
    let handle = disk.create(&name, bytes);
    let made = handle.and_then(|handle| {
        disk.sync_directory(folder)?;
        Ok((handle, Head::default()))
    });
    if let Err(error) = &made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        // What cannot be removed is removed by a start: it stands behind the last file used.
        disk.remove(&name).unwrap_or(());
    }
    made
}

/// Makes file `number` from the one that waits, if one does, or else of zeros.
fn make_either(
    (disk, spare): (&dyn SegmentStore, &Spare),
    folder: &str,
    number: u64,
    bytes: u64,
) -> Made {
    let Some(former) = spare.take() else {
        return make(disk, folder, number, bytes);
    };
    let salt = new_salt();
    let made = reuse(disk, folder, (former, number, salt));
    spare.is_gone(former);
    match made {
        Ok(handle) => Ok((handle, Head::of_recycled(salt))),
        // Somebody removed it, or the file system has no room even for this: its own space is free now.
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_full(&error) => {
            make(disk, folder, number, bytes)
        }
        Err(error) => Err(error),
    }
}

/// Makes files ahead of need, on a thread of its own: writing 64 MiB of zeros would stall a commit, and so would the
/// directory sync, for which the file system may first write what other processes have written.
#[derive(Debug)]
pub(crate) struct FileMaker {
    disk: Arc<dyn SegmentStore>,
    spare: Arc<Spare>,
    folder: String,
    bytes: u64,
    in_background: bool,
    prepared: Option<(u64, Prepared)>,
}

#[derive(Debug)]
enum Prepared {
    Being(JoinHandle<Made>),
    Done(Made),
}

impl Prepared {
    fn finish(self) -> Made {
        let failed = |_| Err(io::Error::other("the thread that prepares files panicked"));
        match self {
            Self::Being(thread) => thread.join().unwrap_or_else(failed),
            Self::Done(made) => made,
        }
    }
}

impl FileMaker {
    /// Files of `bytes`, zeros or recycled. Without `in_background`, [`FileMaker::prepare`] returns when the file is made.
    pub(crate) fn new(
        (disk, spare): (Arc<dyn SegmentStore>, Arc<Spare>),
        folder: String,
        bytes: u64,
        in_background: bool,
    ) -> Self {
        Self {
            disk,
            spare,
            folder,
            bytes,
            in_background,
            prepared: None,
        }
    }

    /// Most bytes that a file has before its checkpoint.
    pub(crate) fn head_bytes_max(&self) -> u64 {
        self.spare.head_bytes()
    }

    /// Begins to make file `number` durable, name included, unless one is made already.
    pub(crate) fn prepare(&mut self, number: u64) {
        if self.prepared.is_some() {
            return;
        }
        let (disk, folder) = (Arc::clone(&self.disk), self.folder.clone());
        let (spare, bytes) = (Arc::clone(&self.spare), self.bytes);
        let job = move || make_either((&*disk, &spare), &folder, number, bytes);
        let prepared = if self.in_background {
            let thread = std::thread::Builder::new().name("journal-file".to_owned());
            thread.spawn(job).map(Prepared::Being)
        } else {
            Ok(Prepared::Done(job()))
        };
        // Without a thread it is made when it is needed.
        self.prepared = prepared.ok().map(|prepared| (number, prepared));
    }

    /// Sees to it that [`FileMaker::take`] will not have to make file `number`: waits for it, or makes it now.
    ///
    /// # Errors
    /// [`Missing`]; nothing is left of the file, and the next call tries anew.
    pub(crate) fn make_sure(&mut self, number: u64) -> Result<(), Missing> {
        let (number, made) = self.finished(number).unwrap_or_else(|| {
            let parts = (&*self.disk, &*self.spare);
            (number, make_either(parts, &self.folder, number, self.bytes))
        });
        match made {
            Ok(made) => {
                self.prepared = Some((number, Prepared::Done(Ok(made))));
                Ok(())
            }
            Err(error) if is_full(&error) => Err(Missing::NoSpace(error)),
            Err(error) => Err(Missing::Failed(error)),
        }
    }

    /// File `number`: the prepared one, if need be under another name than thought, or one made now.
    pub(crate) fn take(&mut self, number: u64) -> io::Result<NextFile> {
        let wanted = name(&self.folder, number);
        let Some((prepared_number, made)) = self.finished(number) else {
            let handle = self.disk.create(&wanted, self.bytes)?;
            return Ok(NextFile {
                handle,
                head: Head::default(),
                is_named: false,
            });
        };
        let (handle, head) = made?;
        let is_named = prepared_number == number;
        if !is_named {
            self.disk
                .rename(&name(&self.folder, prepared_number), &wanted)?;
        }
        Ok(NextFile {
            handle,
            head,
            is_named,
        })
    }

    /// The file that was prepared, and its number. A recycled one of another number than `wanted` is removed: its number
    /// stands in it.
    fn finished(&mut self, wanted: u64) -> Option<(u64, Made)> {
        let (number, prepared) = self.prepared.take()?;
        let made = prepared.finish();
        let is_recycled = matches!(&made, Ok((_, head)) if head.salt.is_some());
        if is_recycled && number != wanted {
            // What cannot be removed is removed by a start: it stands behind the last file used.
            self.disk.remove(&name(&self.folder, number)).unwrap_or(());
            return None;
        }
        Some((number, made))
    }
}

impl Drop for FileMaker {
    /// The thread must not write in the directory when somebody else may have it.
    fn drop(&mut self) {
        if let Some((_, prepared)) = self.prepared.take() {
            drop(prepared.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_read_back_and_strange_names_are_left_alone() {
        assert_eq!(folder(InstanceNumber(7)), "journal/0000000007");
        assert_eq!(
            name("journal/0000000007", 12),
            "journal/0000000007/00000000000000000012.journal"
        );
        assert_eq!(number_of("00000000000000000012.journal"), Some(12));
        for strange in [
            "12.journal",
            "+0000000000000000012.journal",
            "x",
            "99999999999999999999.journal",
        ] {
            assert_eq!(number_of(strange), None, "{strange}");
        }
    }
}
