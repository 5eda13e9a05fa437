//! Time for tests: they wait for other processes, so they need the real one.

#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for other processes in real time"
)]

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the machine's clock is behind 1970");
    i64::try_from(since.as_millis()).expect("the year is below 292 million")
}

/// Asks `probe` every few milliseconds until it has an answer. `None` when `limit` has passed.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + limit;
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
