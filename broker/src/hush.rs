//! Log lines that strangers can cause, bounded in number. What strangers wrote comes escaped and cut from the decoder.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::limits::{LOG_LINES_PER_WINDOW, LOG_WINDOW};

/// Lets a few lines of one kind through per window and counts the rest.
#[derive(Debug, Default)]
pub struct Hush {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    window_start: Duration,
    lines: u32,
    swallowed: u64,
}

impl Hush {
    /// Whether to write the line; if so, how many were swallowed since the last one. `now` is monotonic.
    #[must_use]
    pub fn admit(&self, now: Duration) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(state.window_start) >= LOG_WINDOW {
            state.window_start = now;
            state.lines = 0;
        }
        if state.lines == LOG_LINES_PER_WINDOW {
            state.swallowed += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.swallowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gives_a_few_lines_per_window_and_the_count_of_the_rest() {
        let hush = Hush::default();
        let now = Duration::from_secs(100);
        let admitted = (0..1000).filter(|_| hush.admit(now).is_some()).count();
        assert_eq!(admitted, 5);
        assert_eq!(hush.admit(now + LOG_WINDOW), Some(995));
        assert_eq!(hush.admit(now + LOG_WINDOW), Some(0));
    }
}
