//! What a start makes of the sealed segments that are there (`docs/format.md`, "Sealing" and "Retention").
//!
//! Files before the oldest number go. A segment that sled has a note of counts as it stands; any other gets its name again
//! and is read. Where both forms of a file are there, the sealed one counts and the journal file goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{is_unfinished, name, number_of, summary::Summary};
use crate::{
    disk::SegmentStore,
    error::StorageError,
    frame::FrameError,
    journal_file,
    meta::{MetaBatch, MetaStore},
    number::InstanceNumber,
    recover::Damage,
};

/// Whose files, and from which number on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) instance: InstanceNumber,
    pub(crate) folder: &'a str,
    /// What is before it was deleted by retention, or should have been.
    pub(crate) oldest: u64,
}

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    /// Ascending. One whose file is missing is among them: its readers are told.
    pub(crate) segments: Vec<Summary>,
    /// Numbers of the journal files, ascending.
    pub(crate) journals: Vec<u64>,
    pub(crate) damage: Vec<Damage>,
}

/// Sorts out the folder.
pub(crate) fn adopt(
    disk: &dyn SegmentStore,
    meta: &dyn MetaStore,
    kept: Kept<'_>,
) -> Result<Adopted, StorageError> {
    let failed = |error: &io::Error| StorageError::Poisoned(format!("{}: {error}", kept.folder));
    let files = list(disk, kept).map_err(|error| failed(&error))?;
    let notes = notes(meta, kept)?;
    let mut starting = Starting {
        disk,
        meta,
        kept,
        journals: files.journals,
        adopted: Adopted::default(),
    };
    starting
        .name_again(&files.sealed, &notes)
        .map_err(|error| failed(&error))?;
    for number in &files.sealed {
        match notes.get(number) {
            Some(note) => starting.check(note),
            None => starting.read(*number)?,
        }
    }
    for (number, note) in notes {
        if !files.sealed.contains(&number) {
            starting.missing(note)?;
        }
    }
    starting.finish().map_err(|error| failed(&error))
}

struct Files {
    sealed: BTreeSet<u64>,
    journals: BTreeSet<u64>,
}

/// The numbers of what is kept; everything older is removed, and what was being written.
fn list(disk: &dyn SegmentStore, kept: Kept<'_>) -> io::Result<Files> {
    let mut sealed = BTreeSet::new();
    for file in disk.list(kept.folder)? {
        let path = format!("{}/{file}", kept.folder);
        if is_unfinished(&file) {
            disk.remove(&path)?;
        } else if let Some(number) = file.strip_suffix(AGAIN_SUFFIX).and_then(number_of) {
            disk.rename(&path, &name(kept.folder, number))?;
            sealed.insert(number);
        } else if let Some(number) = number_of(&file) {
            sealed.insert(number);
        }
    }
    let journals = journal_file::list(disk, kept.folder)?;
    let old = |number: &&u64| **number < kept.oldest;
    for number in sealed.iter().filter(old) {
        disk.remove(&name(kept.folder, *number))?;
    }
    for number in journals.iter().filter(old) {
        disk.remove(&journal_file::name(kept.folder, *number))?;
    }
    Ok(Files {
        sealed: sealed.split_off(&kept.oldest),
        journals: journals
            .into_iter()
            .filter(|number| *number >= kept.oldest)
            .collect(),
    })
}

/// What a segment's name has behind it while it is given anew.
pub(crate) const AGAIN_SUFFIX: &str = ".again";

/// The notes of what is kept, by number; older ones are forgotten.
fn notes(meta: &dyn MetaStore, kept: Kept<'_>) -> Result<BTreeMap<u64, Summary>, StorageError> {
    let mut old = MetaBatch::default();
    let mut notes = BTreeMap::new();
    for note in Summary::all(meta, kept.instance)? {
        if note.file < kept.oldest {
            Summary::forget((kept.instance, note.file), &mut old, meta)?;
        } else {
            notes.insert(note.file, note);
        }
    }
    if !old.changes.is_empty() {
        meta.commit(&old)?;
    }
    Ok(notes)
}

struct Starting<'a> {
    disk: &'a dyn SegmentStore,
    meta: &'a dyn MetaStore,
    kept: Kept<'a>,
    journals: BTreeSet<u64>,
    adopted: Adopted,
}

impl Starting<'_> {
    /// The name of a segment without a note may be in the page cache only, and called clean there.
    fn name_again(&self, sealed: &BTreeSet<u64>, notes: &BTreeMap<u64, Summary>) -> io::Result<()> {
        let mut is_dirty = false;
        for number in sealed.iter().filter(|number| !notes.contains_key(number)) {
            let name = name(self.kept.folder, *number);
            let aside = format!("{name}{AGAIN_SUFFIX}");
            self.disk.rename(&name, &aside)?;
            self.disk.rename(&aside, &name)?;
            is_dirty = true;
        }
        if is_dirty {
            self.disk.sync_directory(self.kept.folder)?;
        }
        Ok(())
    }

    /// A segment that sled knows. Its bytes are checked when somebody reads them.
    fn check(&mut self, note: &Summary) {
        let opened = self.disk.open(&name(self.kept.folder, note.file));
        let length = opened.and_then(|file| file.length()).unwrap_or(0);
        if length != note.bytes {
            self.damage(note.file, (length.min(note.bytes), note.bytes), Vec::new());
        }
        self.adopted.segments.push(note.clone());
    }

    /// A segment that sled does not know.
    fn read(&mut self, number: u64) -> Result<(), StorageError> {
        let path = name(self.kept.folder, number);
        let file = self
            .disk
            .open(&path)
            .map_err(|source| read(&path, source))?;
        let found = Summary::read(file.as_ref(), (self.kept.instance, number));
        match found.map_err(|source| read(&path, source))? {
            Ok(summary) => {
                let mut batch = MetaBatch::default();
                summary.put(&mut batch, self.meta)?;
                self.meta.commit(&batch)?;
                self.adopted.segments.push(summary);
            }
            Err(newer @ FrameError::Newer(_)) => {
                return Err(StorageError::Refused(format!("{path}: {newer}")));
            }
            Err(FrameError::Malformed) if self.journals.contains(&number) => {
                let removed = self.disk.remove(&path);
                removed.map_err(|error| StorageError::Poisoned(format!("{path}: {error}")))?;
            }
            Err(FrameError::Malformed) => {
                let length = file.length().map_err(|source| read(&path, source))?;
                self.damage(number, (0, length), Vec::new());
            }
        }
        Ok(())
    }

    /// Sled knows a segment that is not there.
    fn missing(&mut self, note: Summary) -> Result<(), StorageError> {
        if self.journals.contains(&note.file) {
            let mut batch = MetaBatch::default();
            Summary::forget((self.kept.instance, note.file), &mut batch, self.meta)?;
            return self.meta.commit(&batch);
        }
        let topics = note.topics.iter();
        let offsets = topics.map(|topic| (topic.topic, topic.first_offset, topic.end_offset));
        self.damage(note.file, (0, note.bytes), offsets.collect());
        self.adopted.segments.push(note);
        Ok(())
    }

    fn damage(
        &mut self,
        file: u64,
        (from, to): (u64, u64),
        offsets: Vec<(crate::number::TopicNumber, i64, i64)>,
    ) {
        self.adopted.damage.push(Damage {
            file,
            from,
            to,
            offsets,
        });
    }

    /// Journal files that have their other form go.
    fn finish(mut self) -> io::Result<Adopted> {
        self.adopted.segments.sort_by_key(|segment| segment.file);
        for segment in &self.adopted.segments {
            if self.journals.remove(&segment.file) {
                self.disk
                    .remove(&journal_file::name(self.kept.folder, segment.file))?;
            }
        }
        self.adopted.journals = self.journals.into_iter().collect();
        Ok(self.adopted)
    }
}

fn read(what: &str, source: io::Error) -> StorageError {
    StorageError::Read {
        what: what.to_owned(),
        source,
    }
}
