//! Deleting the oldest files, in the order in which a crash may end it anywhere (`docs/format.md`, "Retention").

use std::io;

use super::{Keeper, KeeperEvent, starts};
use crate::{
    catalog::{CatalogChange, OldestFile},
    error::StorageError,
    journal::Now,
    journal_file,
    log::FileFacts,
    meta::MetaBatch,
    retention::{DeletedBecause, File, FileState, RetentionLimits, decide},
    sealed::{self, summary::Summary},
};

impl Keeper {
    /// Deletes what is to be deleted now.
    pub(super) fn delete(&mut self, now: Now) -> Result<Option<KeeperEvent>, StorageError> {
        let all = self.setup.log.all_files();
        let files: Vec<_> = all.iter().map(|(n, facts)| self.file(*n, *facts)).collect();
        let running = self.running.now(now.monotonic);
        let own = self.setup.options.retention;
        let total: u64 = files.iter().map(|file| file.bytes).sum();
        let limits = RetentionLimits {
            bytes: own.bytes.min(total.saturating_sub(self.wanted)),
            ..own
        };
        let Some((oldest, because)) = decide(&files, &limits, running) else {
            return Ok(None);
        };
        let because = match because {
            DeletedBecause::Size if total <= own.bytes => DeletedBecause::Space,
            DeletedBecause::Age | DeletedBecause::Size | DeletedBecause::Space => because,
        };
        let gone: Vec<_> = all.into_iter().filter(|(n, _)| *n < oldest).collect();
        if self.sealing.as_ref().is_some_and(|(n, _)| *n < oldest) {
            // A damaged one before it cannot have let it be begun; but nothing is lost by beginning anew.
            self.sealing = None;
        }
        let instance = self.setup.instance;
        let file = oldest;
        let change = CatalogChange::OldestFile(OldestFile { instance, file });
        self.setup.catalog.change(&[change])?;

        let ranges = self.setup.log.before(oldest);
        let mut batch = MetaBatch::default();
        let moved = || ranges.iter().map(|range| (range.topic, range.to));
        starts::put(&mut batch, (instance, oldest), moved());
        for (number, _) in &gone {
            Summary::forget((instance, *number), &mut batch, self.setup.meta.as_ref())?;
        }
        self.setup.meta.commit(&batch)?;

        self.setup.log.trim(oldest, moved());
        for (number, facts) in &gone {
            self.unlink(*number, *facts);
        }
        self.damaged = self.damaged.split_off(&oldest);
        self.scrub.trim(oldest);
        Ok(Some(KeeperEvent::Deleted {
            files: gone.len() as u64,
            bytes: gone.iter().map(|(_, facts)| facts.bytes).sum(),
            because,
            ranges,
        }))
    }

    fn file(&self, number: u64, facts: FileFacts) -> File {
        let state = match facts.sealed {
            Some(sealed) => FileState::Sealed(sealed.at),
            None if self.damaged.contains(&number) => FileState::Damaged,
            None => FileState::Open,
        };
        File {
            number,
            bytes: facts.bytes,
            state,
        }
    }

    /// A file that cannot be removed now is removed by the next start.
    fn unlink(&self, number: u64, facts: FileFacts) {
        let name = match facts.sealed {
            Some(_) => sealed::name(&self.folder, number),
            None => journal_file::name(&self.folder, number),
        };
        match self.setup.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(name, %error, "cannot remove a file that retention deleted");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
