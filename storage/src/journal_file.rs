//! The files of a journal: their names, and the zero-written one that waits for its turn.
//!
//! `journal/<instance, 10 digits>/<number, 20 digits>.journal`; a waiting file ends in `.spare`
//! (`docs/format.md`, "Files"). What is in them: `frame`, `walk`.

use std::{io, sync::Arc, thread::JoinHandle};

use crate::{
    disk::{SegmentFile, SegmentStore},
    number::InstanceNumber,
};

const SUFFIX: &str = ".journal";
const SPARE_SUFFIX: &str = ".spare";
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

/// What is in a journal's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Ascending.
    pub(crate) numbers: Vec<u64>,
    /// Whole names.
    pub(crate) spares: Vec<String>,
}

/// Lists `folder`. Names that are neither a journal file nor a spare are left alone. A start that died in
/// [`name_again`] is completed.
pub(crate) fn list(disk: &dyn SegmentStore, folder: &str) -> io::Result<Listing> {
    for file in disk.list(folder)? {
        let number = file.strip_suffix(AGAIN_SUFFIX).and_then(number_of);
        if let Some(number) = number {
            disk.rename(&format!("{folder}/{file}"), &name(folder, number))?;
        }
    }
    let mut listing = Listing::default();
    for file in disk.list(folder)? {
        if let Some(number) = number_of(&file) {
            listing.numbers.push(number);
        } else if file.ends_with(SPARE_SUFFIX) {
            listing.spares.push(format!("{folder}/{file}"));
        }
    }
    listing.numbers.sort_unstable();
    Ok(listing)
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
    let digits = file.strip_suffix(SUFFIX)?;
    let plain = digits.len() == NUMBER_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A file written with zeros and synced, under a spare's name.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) handle: Arc<dyn SegmentFile>,
}

/// Keeps one spare ahead of need, made on a thread of its own: writing 64 MiB of zeros would stall a commit.
#[derive(Debug)]
pub(crate) struct SpareMaker {
    disk: Arc<dyn SegmentStore>,
    folder: String,
    bytes: u64,
    /// Number of the next spare's name, in this run.
    next: u64,
    in_background: bool,
    waiting: Option<JoinHandle<io::Result<Spare>>>,
}

impl SpareMaker {
    pub(crate) fn new(
        disk: Arc<dyn SegmentStore>,
        folder: String,
        bytes: u64,
        in_background: bool,
    ) -> Self {
        Self {
            disk,
            folder,
            bytes,
            next: 1,
            in_background,
            waiting: None,
        }
    }

    /// Starts to make the next spare, unless it is made or being made. Does nothing where spares are made when
    /// they are taken, or no thread is to be had.
    pub(crate) fn prepare(&mut self) {
        if self.waiting.is_some() || !self.in_background {
            return;
        }
        let job = self.job();
        let thread = std::thread::Builder::new().name("journal-spare".to_owned());
        self.waiting = thread.spawn(job).ok();
    }

    /// The prepared spare; waits for it, or makes it now.
    pub(crate) fn take(&mut self) -> io::Result<Spare> {
        match self.waiting.take() {
            Some(thread) => finish(thread),
            None => self.job()(),
        }
    }

    fn job(&mut self) -> impl FnOnce() -> io::Result<Spare> + Send + 'static {
        let disk = Arc::clone(&self.disk);
        let name = format!("{}/{:020}{SPARE_SUFFIX}", self.folder, self.next);
        let bytes = self.bytes;
        self.next += 1;
        move || {
            let handle = disk.create(&name, bytes)?;
            Ok(Spare { name, handle })
        }
    }
}

impl Drop for SpareMaker {
    /// The thread must not write in the directory when somebody else may have it.
    fn drop(&mut self) {
        if let Some(thread) = self.waiting.take() {
            drop(finish(thread));
        }
    }
}

fn finish(thread: JoinHandle<io::Result<Spare>>) -> io::Result<Spare> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that prepares files panicked")))
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
