//! Sealing: which journal file is next, a piece of it, and the change from one form to the other.

use std::{io, sync::Arc, time::Duration};

use super::{Keeper, KeeperEvent, KeeperStep, RETRY, happened, rest_after};
use crate::{
    error::StorageError,
    journal::Now,
    journal_file,
    log::FileFacts,
    meta::MetaBatch,
    recover::footer::{Check, read_head},
    sealed::{
        self,
        seal::{SealError, Sealing, Stamp, Written},
    },
};

/// The oldest journal file that may be sealed, as far as the durable end tells: there are two newer ones, so that two
/// checkpoint frames are always in journal files.
fn next_to_seal(
    files: &[(u64, FileFacts)],
    is_damaged: impl Fn(u64) -> bool,
    noted_file: u64,
) -> Option<u64> {
    let next = files.iter().find(|(number, facts)| {
        facts.sealed.is_none() && !is_damaged(*number) && number.saturating_add(2) <= noted_file
    });
    next.map(|(number, _)| *number)
}

impl Keeper {
    /// The next piece of sealing; `None`: nothing can be sealed now.
    pub(super) fn seal(&mut self, now: Now) -> Result<Option<KeeperStep>, StorageError> {
        let Some((file, sealing)) = self.sealing.take() else {
            return self.begin_next(now);
        };
        match self.seal_piece(file, sealing, now) {
            Ok(step) => step.map(Some),
            Err(error) => Ok(Some(self.give_up(file, error, now))),
        }
    }

    fn begin_next(&mut self, now: Now) -> Result<Option<KeeperStep>, StorageError> {
        let files = self.setup.log.all_files();
        let noted = self.setup.log.noted_file();
        let next = next_to_seal(&files, |n| self.damaged.contains(&n), noted);
        let Some(file) = next else {
            return Ok(None);
        };
        match self.begin(file, noted) {
            Ok(Some(sealing)) => {
                self.sealing = Some((file, sealing));
                Ok(Some(KeeperStep {
                    rest: Duration::ZERO,
                    event: None,
                }))
            }
            Ok(None) => Ok(None),
            Err(error) => Ok(Some(self.give_up(file, error, now))),
        }
    }

    /// `None`: a group that `file` ends with goes on too near the end.
    fn begin(&mut self, file: u64, noted: u64) -> Result<Option<Sealing>, SealError> {
        if !self.ends_before(file, noted)? {
            return Ok(None);
        }
        let disk = self.setup.disk.as_ref();
        let journal = disk.open(&journal_file::name(&self.folder, file))?;
        Sealing::begin(disk, &self.folder, file, journal).map(Some)
    }

    /// Whether the group that `file` ends with, if there is one, ends in a file before the two newest ones. What that
    /// file ends with is a question of its own: where every file ends inside some group, all of them are sealed in turn.
    fn ends_before(&mut self, file: u64, noted: u64) -> Result<bool, SealError> {
        let is_known = |(from, to): (u64, u64)| (from..=to).contains(&file);
        if self.chain.is_some_and(is_known) {
            return Ok(true);
        }
        let group = self.open_group(file)?;
        let mut last = file;
        while group != 0 && self.open_group(last)? == group {
            last += 1;
            if last + 2 > noted {
                return Ok(false);
            }
        }
        self.chain = Some((file, last.saturating_sub(1).max(file)));
        Ok(true)
    }

    /// The group that goes on in the next file; 0 for none.
    fn open_group(&self, file: u64) -> Result<u64, SealError> {
        let handle = self
            .setup
            .disk
            .open(&journal_file::name(&self.folder, file))?;
        let length = handle.length()?;
        let head = read_head(handle.as_ref(), (file, length), Check::Head);
        match head.map_err(io::Error::other)? {
            Some((_, head)) => Ok(head.open_group),
            None => Err(SealError::Damaged {
                from: 0,
                to: length,
            }),
        }
    }

    fn seal_piece(
        &mut self,
        file: u64,
        mut sealing: Sealing,
        now: Now,
    ) -> Result<Result<KeeperStep, StorageError>, SealError> {
        let options = &self.setup.options;
        let copied = sealing.copy(options.step_bytes)?;
        if copied > 0 {
            self.sealing = Some((file, sealing));
            return Ok(Ok(KeeperStep {
                rest: rest_after(copied, options.seal_bytes_per_second),
                event: None,
            }));
        }
        let written = sealing.finish(Stamp {
            instance: self.setup.instance,
            sealed_at: self.running.now(now.monotonic),
            created_ms: now.wall_ms,
        })?;
        Ok(self.change_over(&written).map(happened))
    }

    /// The segment gets its name and takes the journal file's place.
    fn change_over(&mut self, written: &Written) -> Result<KeeperEvent, StorageError> {
        let summary = &written.summary;
        written
            .publish(self.setup.disk.as_ref(), &self.folder)
            .map_err(|error| StorageError::Poisoned(format!("{}: {error}", self.folder)))?;
        let mut batch = MetaBatch::default();
        summary.put(&mut batch, self.setup.meta.as_ref())?;
        self.setup.meta.commit(&batch)?;
        self.setup.log.put_sealed(summary);
        let readers = self.setup.log.retire_journal(summary.file);
        self.retired.push((summary.file, readers));
        // There may be something to delete now.
        self.retention_at = Duration::ZERO;
        Ok(KeeperEvent::Sealed {
            file: summary.file,
            bytes: summary.bytes,
        })
    }

    /// Nothing was changed but the temporary file.
    fn give_up(&mut self, file: u64, error: SealError, now: Now) -> KeeperStep {
        let temporary = sealed::new_name(&self.folder, file);
        match self.setup.disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(temporary, %error, "cannot remove what was being sealed");
            }
            Ok(()) | Err(_) => {}
        }
        happened(match error {
            SealError::Damaged { from, to } => {
                self.damaged.insert(file);
                KeeperEvent::Damaged { file, from, to }
            }
            SealError::Io(error) => {
                self.retry_at = now.monotonic + RETRY;
                KeeperEvent::SealFailed {
                    file,
                    why: error.to_string(),
                }
            }
        })
    }

    /// Journal files that have their sealed form and no reader any more: one waits to be used again, the others are removed.
    pub(super) fn dispose(&mut self) {
        self.reuse_or_free();
        let retired = std::mem::take(&mut self.retired);
        for (file, readers) in retired {
            if readers.iter().any(|reader| reader.strong_count() > 0) {
                self.retired.push((file, readers));
                continue;
            }
            let bytes = self.journal_bytes(file);
            if self.wanted > 0 || !self.setup.log.spare().offer(file, bytes) {
                self.remove_journal(file);
            }
        }
    }

    /// What became of the file that waited to be used again. Where space is wanted, it goes first.
    fn reuse_or_free(&mut self) {
        let log = Arc::clone(&self.setup.log);
        for file in log.spare().take_gone() {
            log.journal_is_gone(file);
        }
        if self.wanted > 0
            && let Some(file) = log.spare().take()
        {
            self.wanted = self.wanted.saturating_sub(self.journal_bytes(file));
            self.remove_journal(file);
        }
    }

    /// 0 for one that cannot be read.
    fn journal_bytes(&self, file: u64) -> u64 {
        let name = journal_file::name(&self.folder, file);
        let opened = self.setup.disk.open(&name);
        opened.and_then(|file| file.length()).unwrap_or(0)
    }

    fn remove_journal(&self, file: u64) {
        let name = journal_file::name(&self.folder, file);
        match self.setup.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(name, %error, "cannot remove a journal file that was sealed");
            }
            Ok(()) | Err(_) => {}
        }
        self.setup.log.journal_is_gone(file);
    }
}
