//! Reading a whole data directory and telling what is wrong with it: `headwater check data`. Writes nothing, ever.
//!
//! | part       | looks at                                                                                   |
//! |------------|--------------------------------------------------------------------------------------------|
//! | `catalog`  | `FORMAT`, `catalog.log`, sled (a copy of it), and whether they agree                        |
//! | `journal`  | every byte of every journal file: frames, bodies, footers; what is damage and what a tail  |
//! | `frames`   | whether frames continue each other: groups, offsets, ends, checkpoints                     |
//! | `sealed`   | every byte of every sealed segment                                                          |
//! | `sled_copy`| sled writes when it is opened, so a copy is                                                |
//!
//! While a broker has the directory open, its last group may be half written and sled may be a second behind. What no
//! later frame and no noted end proves to be durable is a *tail*, and no damage. Everything else was durable before
//! it was read; what looks damaged is read once more, and told only if it still does. Memory: one journal file's
//! index, the catalog, and at most [`FINDINGS_MAX`] findings.

mod catalog;
mod frames;
mod journal;
mod sealed;
mod sled_copy;

use std::{
    fmt::{self, Display},
    fs::File,
    path::Path,
};

use crate::{
    catalog::Catalog,
    disk::{SegmentStore, real::RealDisk},
    error::StorageError,
    meta::MetaStore,
    number::{InstanceNumber, TopicNumber},
    open_error::open_error,
};

/// Findings that are kept; more are counted.
pub const FINDINGS_MAX: usize = 10_000;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In the data directory.
    pub file: String,
    /// First byte concerned.
    pub from: u64,
    /// Exclusive. Equal to `from` where the file as a whole is meant, or something is missing at this place.
    pub to: u64,
    /// What is wrong.
    pub what: String,
    /// Offsets that cannot be read because of it, as far as they are known.
    pub offsets: Vec<LostOffsets>,
}

/// Offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOffsets {
    /// Its number.
    pub topic: TopicNumber,
    /// Its name, where the catalog has one.
    pub name: Option<String>,
    /// First lost offset.
    pub from: i64,
    /// Exclusive.
    pub to: i64,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes {}..{}: {}",
            self.file, self.from, self.to, self.what
        )?;
        for lost in &self.offsets {
            match &lost.name {
                Some(name) => write!(f, "; {name}")?,
                None => write!(f, "; topic number {}", lost.topic)?,
            }
            write!(f, " offsets {}..{}", lost.from, lost.to)?;
        }
        Ok(())
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Instances of the catalog.
    pub instances: u64,
    /// Topics of the catalog.
    pub topics: u64,
    /// Files of the log.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Whole groups of transactions.
    pub groups: u64,
    /// Records in whole frames.
    pub records: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Damage, in the order of reading.
    pub findings: Vec<Finding>,
    /// Findings beyond [`FINDINGS_MAX`].
    pub more: u64,
    /// What is no damage, and good to know: torn tails, what the next start will do.
    pub notes: Vec<String>,
    /// What was read.
    pub totals: Totals,
    /// A broker had the directory open.
    pub online: bool,
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn add_file(&mut self, file: &str, range: (u64, u64), what: impl Into<String>) {
        self.add(Finding {
            file: file.to_owned(),
            from: range.0,
            to: range.1,
            what: what.into(),
            offsets: Vec::new(),
        });
    }
}

/// Reads the data directory `path`. Takes the lock, so that no broker starts meanwhile, unless one has it.
///
/// # Errors
/// [`StorageError::Refused`] where it is no data directory, of a newer version, or may not be read;
/// [`StorageError::Read`].
pub fn check(path: &Path) -> Result<Report, StorageError> {
    let disk = RealDisk::read_only(path).map_err(|error| open_error(path, error))?;
    catalog::refuse_foreign(path)?;
    let (lock, online) = lock(path)?;
    let copied = sled_copy::open(path, online);
    let meta = copied
        .as_ref()
        .map(|copy| copy.meta())
        .map_err(Clone::clone);
    let report = check_on(&disk, meta, online);
    drop(lock);
    report
}

/// The same on any disk. `meta` is the store or why there is none.
///
/// # Errors
/// As [`check`].
pub fn check_on(
    disk: &dyn SegmentStore,
    meta: Result<&dyn MetaStore, String>,
    online: bool,
) -> Result<Report, StorageError> {
    let mut report = Report {
        online,
        ..Report::default()
    };
    let catalog = catalog::check(disk, &meta, &mut report)?;
    report.totals.instances = catalog.instances().count() as u64;
    report.totals.topics = catalog.topics().count() as u64;
    let ends = meta.ok();
    for instance in instances(disk, &catalog)? {
        journal::check(disk, ends, (instance, &catalog), &mut report)?;
    }
    Ok(report)
}

/// Those of the catalog, and those behind them that have a journal all the same.
fn instances(
    disk: &dyn SegmentStore,
    catalog: &Catalog,
) -> Result<Vec<InstanceNumber>, StorageError> {
    let mut instances: Vec<_> = catalog
        .instances()
        .map(|instance| instance.number)
        .collect();
    let mut next = catalog.next_instance();
    while journal::has_files(disk, next)? {
        instances.push(next);
        next = InstanceNumber(next.0 + 1);
    }
    Ok(instances)
}

/// The lock, shared; or that somebody has it.
fn lock(path: &Path) -> Result<(Option<File>, bool), StorageError> {
    let Ok(file) = File::open(path.join("lock")) else {
        return Ok((None, false));
    };
    match file.try_lock_shared() {
        Ok(()) => Ok((Some(file), false)),
        Err(std::fs::TryLockError::WouldBlock) => Ok((None, true)),
        Err(std::fs::TryLockError::Error(error)) => Err(open_error(path, error)),
    }
}
