//! Log lines that strangers can cause: bounded in number, and free of what strangers wrote into them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::limits::{CLIENT_TEXT_CHARS, LOG_LINES_PER_WINDOW, LOG_WINDOW};

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

/// A stranger's text for a log line: control characters escaped, cut at 80 characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(CLIENT_TEXT_CHARS)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().nth(CLIENT_TEXT_CHARS).is_some() {
        shown.push('…');
    }
    shown
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

    #[test]
    fn a_strangers_text_cannot_forge_log_lines() {
        assert_eq!(printable("kcat"), "kcat");
        assert_eq!(printable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(
            printable(&"x".repeat(500)).chars().count(),
            CLIENT_TEXT_CHARS + 1
        );
    }
}
