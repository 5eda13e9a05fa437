//! The time that the broker ran with an instance open, over all its runs: what the age of a segment is counted in.

use std::{sync::Arc, time::Duration};

use crate::{
    error::StorageError,
    meta::{MetaBatch, MetaStore, key},
    number::InstanceNumber,
};

/// It is noted this often.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// Adds up.
#[derive(Debug)]
pub(super) struct RunningTime {
    meta: Arc<dyn MetaStore>,
    key: Vec<u8>,
    /// Of earlier runs, seconds.
    before: u64,
    opened: Duration,
    noted: Duration,
}

impl RunningTime {
    /// Goes on from what sled has, or from `stamped`, the highest stamp of a segment: sled may be new.
    pub(super) fn open(
        meta: Arc<dyn MetaStore>,
        instance: InstanceNumber,
        stamped: u64,
        monotonic: Duration,
    ) -> Result<Self, StorageError> {
        let key = key::running_time(instance);
        let noted = meta.get(&key)?;
        let noted = noted.and_then(|value| value.first_chunk::<8>().copied());
        Ok(Self {
            meta,
            key,
            before: noted.map_or(0, u64::from_be_bytes).max(stamped),
            opened: monotonic,
            noted: monotonic,
        })
    }

    /// Seconds.
    pub(super) fn now(&self, monotonic: Duration) -> u64 {
        self.before + monotonic.saturating_sub(self.opened).as_secs()
    }

    pub(super) fn note_if_due(&mut self, monotonic: Duration) -> Result<(), StorageError> {
        if monotonic.saturating_sub(self.noted) >= NOTE_INTERVAL {
            self.note(monotonic)?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self, monotonic: Duration) -> Result<(), StorageError> {
        let value = self.now(monotonic).to_be_bytes().to_vec();
        self.noted = monotonic;
        self.meta.commit(&MetaBatch {
            changes: vec![(self.key.clone(), Some(value))],
        })
    }
}

/// Notices a wall clock that jumps. Nothing depends on it: somebody should know.
#[derive(Debug, Default)]
pub(super) struct WallWatch {
    /// Wall clock less monotonic clock, ms.
    difference: Option<i64>,
}

/// A smaller jump is how clocks are set right.
const JUMP_MS: i64 = 60_000;

impl WallWatch {
    /// By how much the wall clock jumped since the last call, ms.
    pub(super) fn jump(&mut self, wall_ms: i64, monotonic: Duration) -> Option<i64> {
        let monotonic = i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX);
        let difference = wall_ms.saturating_sub(monotonic);
        let before = self.difference.replace(difference)?;
        let jump = difference.saturating_sub(before);
        (jump.saturating_abs() >= JUMP_MS).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::memory::MemoryMeta;

    #[test]
    fn time_adds_up_over_runs_and_never_goes_back() {
        let meta: Arc<dyn MetaStore> = Arc::new(MemoryMeta::new());
        let seconds = Duration::from_secs;
        let open = |stamped, at| {
            RunningTime::open(Arc::clone(&meta), InstanceNumber(1), stamped, seconds(at))
                .expect("opens")
        };
        let mut first = open(0, 1000);
        assert_eq!(first.now(seconds(1030)), 30);
        first.note_if_due(seconds(1059)).expect("notes");
        assert_eq!(open(0, 5).now(seconds(5)), 0, "not due yet");
        first.note_if_due(seconds(1060)).expect("notes");
        assert_eq!(open(0, 5).now(seconds(7)), 62);
        assert_eq!(open(90, 5).now(seconds(7)), 92, "a stamp is ahead of sled");
    }

    #[test]
    fn a_jump_of_the_wall_clock_is_told_once() {
        let mut watch = WallWatch::default();
        let year = 365 * 24 * 3_600_000;
        let mut jump = |wall, seconds| watch.jump(wall, Duration::from_secs(seconds));
        assert_eq!(jump(1_000_000, 10), None);
        assert_eq!(jump(1_005_000, 15), None);
        assert_eq!(jump(1_010_000 + year, 20), Some(year));
        assert_eq!(jump(1_011_000 + year, 21), None);
        assert_eq!(jump(1_012_000, 22), Some(-year));
    }
}
