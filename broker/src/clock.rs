//! The one reader of time. Everything else takes a time as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater_storage::Now;

/// A wall clock and a monotonic one that starts at zero when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts the monotonic clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the monotonic clock"
    )]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Milliseconds since 1970. May step in both directions; nothing is decided by it.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the wall clock"
    )]
    pub fn wall_ms(self) -> i64 {
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        }
    }

    /// Time since [`Clock::start`]. Never goes back.
    #[must_use]
    pub fn monotonic(self) -> Duration {
        self.started.elapsed()
    }

    /// Both clocks, as storage takes them.
    #[must_use]
    pub fn now(self) -> Now {
        Now {
            wall_ms: self.wall_ms(),
            monotonic: self.monotonic(),
        }
    }
}

/// Whole milliseconds, at most `i64::MAX`.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
