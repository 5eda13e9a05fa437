//! How much space the data directory has left, and what follows from it.
//!
//! | state     | free bytes (going down; going up)         | capture | retention      |
//! |-----------|-------------------------------------------|---------|----------------|
//! | `ok`      | from `low`; from `low` + 1/8              | runs    | by its own rules |
//! | `low`     | below `low`; from `stop` + 1/4            | runs    | is asked for [`Space::wanted`] bytes, the oldest first |
//! | `stopped` | below `stop`, or a file could not be made | waits, in state `disk_full` | the same |
//!
//! Consumers are served in all of them. [`SpaceKeeper`] decides and does nothing; [`watch`] looks at the disk once a
//! second, makes and gives up the ballast, and tells.

pub(crate) mod watch;

use std::time::Duration;

use headwater_storage::Now;

use crate::limits::{SPACE_CRITICAL_BYTES, SPACE_RETRY};

/// Where the states begin. `stop` is below `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceLimits {
    /// Free bytes below which the oldest records should go.
    pub low: u64,
    /// Free bytes below which capture waits.
    pub stop: u64,
    /// Size of the ballast, bytes; 0 for none.
    pub ballast: u64,
}

/// See the module's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpaceState {
    Ok,
    Low,
    Stopped,
}

impl SpaceState {
    /// Its name in log and metrics. Never changes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Low => "low",
            Self::Stopped => "stopped",
        }
    }
}

/// What is known of the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) state: SpaceState,
    /// Since when, unix ms.
    pub(crate) since_ms: i64,
    /// Bytes that can be written; `u64::MAX` where nobody can tell.
    pub(crate) free: u64,
    /// Bytes that each log should give, the oldest first; 0 in state `ok`.
    pub(crate) wanted: u64,
}

impl Space {
    /// Before anybody looked.
    pub(crate) fn unknown() -> Self {
        Self {
            state: SpaceState::Ok,
            since_ms: 0,
            free: u64::MAX,
            wanted: 0,
        }
    }
}

/// One look at the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) free: u64,
    /// Bytes of all logs.
    pub(crate) log_bytes: u64,
    /// A log was refused space since the last look, whatever the free bytes say (a quota).
    pub(crate) refused: bool,
    pub(crate) ballast_is_there: bool,
}

/// What to do with the ballast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BallastStep {
    Release,
    Restore,
}

/// Decides.
#[derive(Debug)]
pub(crate) struct SpaceKeeper {
    limits: SpaceLimits,
    space: Space,
    /// When a log was last refused space.
    refused_at: Option<Duration>,
    /// When the ballast was last to be made.
    restored_at: Option<Duration>,
}

impl SpaceKeeper {
    pub(crate) fn new(limits: SpaceLimits) -> Self {
        Self {
            limits,
            space: Space::unknown(),
            refused_at: None,
            restored_at: None,
        }
    }

    /// What was decided last.
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// Takes one look into account.
    pub(crate) fn observe(&mut self, seen: Seen, now: Now) -> Option<BallastStep> {
        if seen.refused {
            self.refused_at = Some(now.monotonic);
        }
        let state = self.next(seen.free, now.monotonic);
        if state != self.space.state || self.space.since_ms == 0 {
            self.space.since_ms = now.wall_ms;
        }
        self.space.state = state;
        self.space.free = seen.free;
        self.space.wanted = match state {
            SpaceState::Ok => 0,
            SpaceState::Low | SpaceState::Stopped => self
                .limits
                .low
                .saturating_sub(seen.free)
                .min(seen.log_bytes),
        };
        self.ballast(seen, now.monotonic)
    }

    fn next(&self, free: u64, now: Duration) -> SpaceState {
        let SpaceLimits { low, stop, .. } = self.limits;
        let is_refused = recently(self.refused_at, now);
        match self.space.state {
            _ if is_refused || free < stop => SpaceState::Stopped,
            SpaceState::Stopped if free < stop + stop / 4 => SpaceState::Stopped,
            SpaceState::Low | SpaceState::Stopped if free < low + low / 8 => SpaceState::Low,
            SpaceState::Ok if free < low => SpaceState::Low,
            SpaceState::Ok | SpaceState::Low | SpaceState::Stopped => SpaceState::Ok,
        }
    }

    /// It goes when what is left would not do for sled and the catalog, and comes when it does not bring `low` back.
    fn ballast(&mut self, seen: Seen, now: Duration) -> Option<BallastStep> {
        let SpaceLimits { low, ballast, .. } = self.limits;
        let critical = SPACE_CRITICAL_BYTES.min(ballast);
        if seen.ballast_is_there && seen.free < critical {
            return Some(BallastStep::Release);
        }
        let has_room = seen.free >= low.saturating_add(low / 8).saturating_add(ballast);
        let is_wanted = ballast > 0 && !seen.ballast_is_there && has_room;
        if !is_wanted || recently(self.restored_at, now) {
            return None;
        }
        self.restored_at = Some(now);
        Some(BallastStep::Restore)
    }
}

fn recently(at: Option<Duration>, now: Duration) -> bool {
    at.is_some_and(|at| now.saturating_sub(at) < SPACE_RETRY)
}

#[cfg(test)]
mod tests;
