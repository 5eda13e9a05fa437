//! Scrubbing: which sealed segment is next, and a piece of it.
//!
//! What was scrubbed is known in memory only: after a restart all segments are due, the oldest first.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    time::Duration,
};

use super::{Keeper, KeeperEvent, KeeperStep, happened, idle, rest_after};
use crate::{
    journal::Now,
    log::FileFacts,
    sealed::{
        self,
        scrub::{Scrubbing, SegmentDamage},
    },
};

/// A segment is due again so long after it was scrubbed.
const DUE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    current: Option<Scrubbing>,
    /// When each segment was read to its end, monotonic.
    scrubbed: BTreeMap<u64, Duration>,
    told: BTreeSet<SegmentDamage>,
    to_tell: VecDeque<SegmentDamage>,
}

impl Scrub {
    /// Forgets the segments before `oldest`, which are gone.
    pub(super) fn trim(&mut self, oldest: u64) {
        self.current.take_if(|current| current.number() < oldest);
        self.scrubbed = self.scrubbed.split_off(&oldest);
        self.told.retain(|damage| damage.file >= oldest);
        self.to_tell.retain(|damage| damage.file >= oldest);
    }

    fn is_first(&self, file: u64) -> bool {
        !self.scrubbed.contains_key(&file)
    }
}

/// The oldest segment that was not scrubbed yet, or else the one whose last time is the longest ago, if it is due.
fn next_to_scrub(
    files: &[(u64, FileFacts)],
    scrubbed: &BTreeMap<u64, Duration>,
    now: Duration,
) -> Option<(u64, u64)> {
    let sealed = files.iter().filter(|(_, facts)| facts.sealed.is_some());
    let due = sealed.filter(|(number, _)| {
        let last = scrubbed.get(number);
        last.is_none_or(|last| *last + DUE_AFTER <= now)
    });
    let next = due.min_by_key(|(number, _)| (scrubbed.get(number), *number));
    next.map(|(number, facts)| (*number, facts.bytes))
}

impl Keeper {
    /// The next piece of scrubbing, or nothing to do.
    pub(super) fn scrub(&mut self, now: Now) -> KeeperStep {
        if let Some(damage) = self.scrub.to_tell.pop_front() {
            return happened(KeeperEvent::Scrubbed { damage });
        }
        let rate = self.setup.options.scrub_bytes_per_second;
        if rate == 0 {
            return idle();
        }
        let Some(mut scrubbing) = self.scrub.current.take() else {
            return self.scrub_next(now);
        };
        let file = scrubbing.number();
        // Later rounds are for what has become bad since readers saw it.
        let is_first = self.scrub.is_first(file);
        let log = &self.setup.log;
        let step = scrubbing.step(|position| is_first && log.has_verified(file, position));
        match step {
            Ok(step) => {
                if !step.damage.is_empty() {
                    log.forget_verified(file);
                }
                for damage in step.damage {
                    if self.scrub.told.insert(damage) {
                        self.scrub.to_tell.push_back(damage);
                    }
                }
                if step.is_done {
                    self.scrub.scrubbed.insert(file, now.monotonic);
                } else {
                    self.scrub.current = Some(scrubbing);
                }
                KeeperStep {
                    rest: rest_after(step.bytes, rate),
                    event: None,
                }
            }
            Err(error) => self.scrub_failed(file, &error, now),
        }
    }

    fn scrub_next(&mut self, now: Now) -> KeeperStep {
        let files = self.setup.log.all_files();
        let next = next_to_scrub(&files, &self.scrub.scrubbed, now.monotonic);
        let Some((file, bytes)) = next else {
            return idle();
        };
        match self.setup.disk.open(&sealed::name(&self.folder, file)) {
            Ok(handle) => {
                self.scrub.current = Some(Scrubbing::new(handle, file, bytes));
                KeeperStep {
                    rest: Duration::ZERO,
                    event: None,
                }
            }
            Err(error) => self.scrub_failed(file, &error, now),
        }
    }

    /// It is due again as if it had been read.
    fn scrub_failed(&mut self, file: u64, error: &io::Error, now: Now) -> KeeperStep {
        self.scrub.scrubbed.insert(file, now.monotonic);
        self.setup.log.forget_verified(file);
        happened(KeeperEvent::ScrubFailed {
            file,
            why: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::SealedFacts;

    #[test]
    fn the_oldest_unread_segment_is_next_and_then_the_one_read_the_longest_ago_after_a_day() {
        let sealed = Some(SealedFacts {
            at: 0,
            highest_commit_ms: None,
        });
        let facts = |sealed| FileFacts {
            bytes: 7,
            sealed,
            ..FileFacts::default()
        };
        let files = [
            (3, facts(sealed)),
            (4, facts(sealed)),
            (5, facts(sealed)),
            (6, facts(None)),
        ];
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let next = |scrubbed: &[(u64, u64)], at| {
            let scrubbed = scrubbed.iter().map(|(file, at)| (*file, hours(*at)));
            next_to_scrub(&files, &scrubbed.collect(), hours(at)).map(|(file, _)| file)
        };
        assert_eq!(next(&[], 0), Some(3));
        assert_eq!(next(&[(3, 1)], 1), Some(4));
        assert_eq!(next(&[(3, 1), (5, 1)], 100), Some(4), "unread first");
        let all = [(3, 3), (4, 1), (5, 2)];
        assert_eq!(next(&all, 24), None, "a journal file is no segment");
        assert_eq!(next(&all, 25), Some(4));
        assert_eq!(next(&all, 100), Some(4));
    }
}
