//! A source that the embedding program fills: tests and benchmarks feed the log without a database.

use headwater_capture::{
    Captured,
    postgres::{SourceState, SourceStatus, assembler::Counters},
};
use tokio::sync::{mpsc, watch};

/// The broker's end.
#[derive(Debug)]
pub struct ChannelSource {
    pub(super) captured: mpsc::Receiver<Captured>,
    pub(super) confirmed: watch::Sender<Vec<u8>>,
    pub(super) status: watch::Receiver<SourceStatus>,
}

/// The embedding program's end.
#[derive(Debug)]
pub struct ChannelFeeder {
    /// Takes what a source would hand over. Bounded by the capacity.
    pub captured: mpsc::Sender<Captured>,
    /// The last position that is durable.
    pub confirmed: watch::Receiver<Vec<u8>>,
    /// What the instance's status shows.
    pub status: watch::Sender<SourceStatus>,
}

/// A status that says `running`.
#[must_use]
pub fn running_status() -> SourceStatus {
    SourceStatus {
        state: SourceState::Running,
        since_ms: 0,
        server: None,
        received_lsn: 0,
        confirmed_lsn: 0,
        source_end_lsn: 0,
        tables: Vec::new(),
        counters: Counters::default(),
        large_record: None,
        warnings: Vec::new(),
        wal: None,
    }
}

/// Both ends, with room for `capacity` things that the log has not taken yet.
#[must_use]
pub fn channel(capacity: usize, status: SourceStatus) -> (ChannelFeeder, ChannelSource) {
    let (to_log, captured) = mpsc::channel(capacity);
    let (confirmed, confirmations) = watch::channel(Vec::new());
    let (set_status, status) = watch::channel(status);
    let feeder = ChannelFeeder {
        captured: to_log,
        confirmed: confirmations,
        status: set_status,
    };
    (
        feeder,
        ChannelSource {
            captured,
            confirmed,
            status,
        },
    )
}
