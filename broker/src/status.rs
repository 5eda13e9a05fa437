//! How far capture is behind, in bytes and in time. Pure.

use headwater_capture::postgres::SourceStatus;

/// How far capture is behind its source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lag {
    /// Bytes of the source's log that are not known to be durable here.
    pub bytes: u64,
    /// Time since the last captured commit while something is outstanding; 0 while nothing is.
    pub seconds: f64,
}

/// Bytes of the source's log that are not known to be durable here, as far as the source has told.
#[must_use]
pub fn known_lag(status: &SourceStatus) -> u64 {
    let known_end = status.source_end_lsn.max(status.received_lsn);
    known_end.saturating_sub(status.confirmed_lsn)
}

/// The lag as of `now_ms`, unix ms. A source that cannot be reached shows what was known last.
#[must_use]
pub fn lag(status: &SourceStatus, now_ms: i64) -> Lag {
    let bytes = known_lag(status);
    let since_commit_ms = status
        .counters
        .last_commit_time_ms
        .map_or(0, |at| now_ms.saturating_sub(at).max(0));
    let behind = if bytes == 0 { 0 } else { since_commit_ms };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since a commit")]
    let seconds = behind as f64 / 1000.0;
    Lag { bytes, seconds }
}
