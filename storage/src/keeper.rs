//! Keeps the files of one log: finished journal files are sealed, old files deleted, sealed ones reread at leisure, the
//! running time noted.
//!
//! For a thread of its own, or a test: [`Keeper::step`] does one small piece of work and says how long to rest, so that
//! the whole never takes more than its share of the disk ([`KeeperOptions`]). Time is an argument. Deciding what to delete is
//! [`retention`](crate::retention), sealing [`sealed`](crate::sealed).
//!
//! ```text
//! journal file -(copied, synced)-> *.sealed.new -(rename, directory)-> *.sealed -> note in sled -> readers change over
//!                                                                               journal file removed <-'
//! scrub: sealed segments, oldest first, each once a day -> what is damaged is told; nothing is changed
//! delete: oldest number to catalog.log -> starts to sled, notes go -> readers see it -> unlink
//! ```

mod delete;
mod running_time;
mod scrub;
mod seal;
pub(crate) mod starts;

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use self::{
    running_time::{RunningTime, WallWatch},
    scrub::Scrub,
};
use crate::{
    catalog::store::CatalogStore,
    disk::{SegmentFile, SegmentStore},
    error::StorageError,
    journal::Now,
    journal_file,
    log::{DeletedRange, Log},
    meta::MetaStore,
    number::InstanceNumber,
    retention::RetentionLimits,
    sealed::seal::Sealing,
};
pub use crate::{
    retention::DeletedBecause,
    sealed::scrub::{LostOffsets, SegmentDamage},
};

/// How much is kept, and how fast is worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeeperOptions {
    /// What is deleted.
    pub retention: RetentionLimits,
    /// Bytes of journal copied in a second, at most.
    pub seal_bytes_per_second: u64,
    /// Bytes of sealed segments reread in a second, at most, while there is nothing to seal; 0: none are.
    pub scrub_bytes_per_second: u64,
    /// Bytes of journal copied by one step.
    pub step_bytes: u64,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        Self {
            retention: RetentionLimits::default(),
            seal_bytes_per_second: 64 * 1024 * 1024,
            scrub_bytes_per_second: 4 * 1024 * 1024,
            step_bytes: 1024 * 1024,
        }
    }
}

/// What a keeper works on.
#[derive(Debug)]
pub struct KeeperSetup {
    /// The data directory.
    pub disk: Arc<dyn SegmentStore>,
    /// For notes and starts.
    pub meta: Arc<dyn MetaStore>,
    /// For the oldest file.
    pub catalog: Arc<CatalogStore>,
    /// Whose log.
    pub instance: InstanceNumber,
    /// The log.
    pub log: Arc<Log>,
    /// How much, how fast.
    pub options: KeeperOptions,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperStep {
    /// Not to be called again before this has passed.
    pub rest: Duration,
    /// What somebody may want to know.
    pub event: Option<KeeperEvent>,
}

/// What happened to the files of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeeperEvent {
    /// A journal file was sealed.
    Sealed {
        /// Its number.
        file: u64,
        /// Length of the segment.
        bytes: u64,
    },
    /// A journal file is damaged, and stays one. Its whole frames can be read.
    Damaged {
        /// Its number.
        file: u64,
        /// First damaged byte.
        from: u64,
        /// Exclusive.
        to: u64,
    },
    /// A sealed segment is damaged; each range is told once. Readers are told so where they come to it.
    Scrubbed {
        /// Where, and what is lost.
        damage: SegmentDamage,
    },
    /// A sealed segment cannot be reread; it is tried again after a day.
    ScrubFailed {
        /// The file's number.
        file: u64,
        /// What the system says.
        why: String,
    },
    /// Sealing failed; it is tried again later.
    SealFailed {
        /// The file's number.
        file: u64,
        /// What the system says.
        why: String,
    },
    /// Files were deleted.
    Deleted {
        /// How many.
        files: u64,
        /// Their length.
        bytes: u64,
        /// Why.
        because: DeletedBecause,
        /// What readers lost, by topic.
        ranges: Vec<DeletedRange>,
    },
    /// The wall clock jumped. Nothing depends on it.
    ClockJumped {
        /// Forward, or back if negative, ms.
        by_ms: i64,
    },
}

/// How often retention looks.
const RETENTION_INTERVAL: Duration = Duration::from_secs(1);
/// How long to rest when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// When sealing is tried again after it failed.
const RETRY: Duration = Duration::from_secs(30);

/// The keeper of one log. See the module's page.
#[derive(Debug)]
pub struct Keeper {
    setup: KeeperSetup,
    folder: String,
    running: RunningTime,
    wall: WallWatch,
    sealing: Option<(u64, Sealing)>,
    scrub: Scrub,
    /// Journal files that are not sealed because they are damaged.
    damaged: BTreeSet<u64>,
    /// Files that end inside one group, which ends early enough for all of them to be sealed: first and last.
    chain: Option<(u64, u64)>,
    /// Journal files that have their sealed form, and who may still read them.
    retired: Vec<(u64, Vec<Weak<dyn SegmentFile>>)>,
    retry_at: Duration,
    retention_at: Duration,
    /// Bytes that should go because the disk is nearly full.
    wanted: u64,
}

impl Keeper {
    /// The keeper of a log that was just opened.
    ///
    /// # Errors
    /// As [`MetaStore::get`].
    pub fn open(setup: KeeperSetup, now: Now) -> Result<Self, StorageError> {
        let files = setup.log.all_files();
        let stamps = files.iter().filter_map(|(_, facts)| facts.sealed);
        let stamped = stamps.map(|sealed| sealed.at).max().unwrap_or(0);
        let meta = Arc::clone(&setup.meta);
        let running = RunningTime::open(meta, setup.instance, stamped, now.monotonic)?;
        Ok(Self {
            folder: journal_file::folder(setup.instance),
            setup,
            running,
            wall: WallWatch::default(),
            sealing: None,
            scrub: Scrub::default(),
            damaged: BTreeSet::new(),
            chain: None,
            retired: Vec::new(),
            retry_at: Duration::ZERO,
            retention_at: Duration::ZERO,
            wanted: 0,
        })
    }

    /// The disk is nearly full: the next look of retention deletes sealed files until `bytes` are gone, the oldest
    /// first, whatever the limits say. 0: by the limits only. Asked for until it is said otherwise.
    pub fn want_space(&mut self, bytes: u64) {
        self.wanted = bytes;
    }

    /// One piece of work: at most [`KeeperOptions::step_bytes`] of copying, one deletion, some rereading, or nothing.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] where what is on disk is no longer known: the process must exit. As
    /// [`MetaStore::commit`].
    pub fn step(&mut self, now: Now) -> Result<KeeperStep, StorageError> {
        self.running.note_if_due(now.monotonic)?;
        if let Some(by_ms) = self.wall.jump(now.wall_ms, now.monotonic) {
            return Ok(happened(KeeperEvent::ClockJumped { by_ms }));
        }
        self.dispose();
        if now.monotonic >= self.retention_at {
            self.retention_at = now.monotonic + RETENTION_INTERVAL;
            if let Some(event) = self.delete(now)? {
                return Ok(happened(event));
            }
        }
        if now.monotonic >= self.retry_at
            && let Some(step) = self.seal(now)?
        {
            return Ok(step);
        }
        Ok(self.scrub(now))
    }

    /// A clean stop: notes the running time. What was being sealed is begun anew after the next start.
    ///
    /// # Errors
    /// As [`MetaStore::commit`].
    pub fn close(mut self, now: Now) -> Result<(), StorageError> {
        self.running.note(now.monotonic)
    }
}

fn happened(event: KeeperEvent) -> KeeperStep {
    KeeperStep {
        rest: Duration::ZERO,
        event: Some(event),
    }
}

/// How long to rest for `bytes`, so that no more than `rate` are worked on in a second.
fn rest_after(bytes: u64, rate: u64) -> Duration {
    let second = Duration::from_secs(1).as_nanos();
    let rest = u128::from(bytes) * second / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
}

fn idle() -> KeeperStep {
    KeeperStep {
        rest: IDLE,
        event: None,
    }
}
