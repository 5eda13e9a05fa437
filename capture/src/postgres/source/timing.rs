//! When a status is due, and when a silent peer counts as dead. Pure: time comes as ticks.
//!
//! Measured with `wal_sender_timeout` = 10 s: the server asks for a reply after half of it and cuts the
//! connection exactly at its end, without a word.

use std::time::Duration;

/// The server's default, used for its silence where it has none of its own.
const TIMEOUT: Duration = Duration::from_mins(1);
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(10);
const STATUS_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Beyond the server's own timeout, before it is asked.
const MARGIN: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How often a status is sent even if there is nothing to say: a quarter of the server's patience.
pub(super) fn status_interval(wal_sender_timeout: Option<Duration>) -> Duration {
    let quarter = wal_sender_timeout.map_or(STATUS_INTERVAL_MAX, |timeout| timeout / 4);
    quarter.clamp(STATUS_INTERVAL_MIN, STATUS_INTERVAL_MAX)
}

/// What a tick of the status interval asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    /// An ordinary status.
    Status,
    /// A status that demands an answer.
    Ask,
    /// The peer is gone.
    Dead,
}

/// Counts how long nothing was heard.
#[derive(Debug)]
pub(super) struct Liveness {
    interval: Duration,
    patience: Duration,
    silent: Duration,
}

impl Liveness {
    pub(super) fn new(wal_sender_timeout: Option<Duration>) -> Self {
        let patience = wal_sender_timeout.unwrap_or(TIMEOUT).saturating_add(MARGIN);
        Self {
            interval: status_interval(wal_sender_timeout),
            patience,
            silent: Duration::ZERO,
        }
    }

    /// Bytes arrived.
    pub(super) fn heard(&mut self) {
        self.silent = Duration::ZERO;
    }

    /// One status interval has passed. While we do not read, silence means nothing.
    pub(super) fn tick(&mut self, reading: bool) -> Pulse {
        if !reading {
            self.silent = Duration::ZERO;
            return Pulse::Status;
        }
        self.silent = self.silent.saturating_add(self.interval);
        if self.silent < self.patience {
            Pulse::Status
        } else if self.silent < self.patience.saturating_add(ANSWER) {
            Pulse::Ask
        } else {
            Pulse::Dead
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_come_four_times_within_the_servers_patience() {
        assert_eq!(
            status_interval(Some(Duration::from_secs(2))),
            Duration::from_millis(500)
        );
        assert_eq!(
            status_interval(Some(Duration::from_mins(1))),
            Duration::from_secs(10)
        );
        assert_eq!(
            status_interval(Some(Duration::from_millis(1))),
            STATUS_INTERVAL_MIN
        );
        assert_eq!(status_interval(None), Duration::from_secs(10));
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up() {
        let mut liveness = Liveness::new(Some(Duration::from_mins(1)));
        let pulses: Vec<_> = (0..8).map(|_| liveness.tick(true)).collect();
        assert_eq!(pulses[..6], [Pulse::Status; 6]);
        assert_eq!(pulses[6..], [Pulse::Ask, Pulse::Dead]);
        liveness.heard();
        assert_eq!(liveness.tick(true), Pulse::Status);
    }

    #[test]
    fn a_peer_that_we_do_not_listen_to_is_not_silent() {
        let mut liveness = Liveness::new(Some(Duration::from_secs(2)));
        assert!((0..100).all(|_| liveness.tick(false) == Pulse::Status));
    }
}
