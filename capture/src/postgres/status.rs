//! What a source shows of itself.

use std::sync::Arc;

use super::assembler::{Counters, LargeRecord};
use super::state::SourceState;
use super::wal::WalHeld;
use crate::table::ReplicaIdentity;

/// A source at one moment; a new one is published when something changes, counters at most once a second.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStatus {
    /// What it is doing.
    pub state: SourceState,
    /// Since when, unix ms by the clock given to the source.
    pub since_ms: i64,
    /// The server, once it was reached.
    pub server: Option<ServerInfo>,
    /// Highest LSN received on the present connection.
    pub received_lsn: u64,
    /// LSN up to which the server was told that all is durable here.
    pub confirmed_lsn: u64,
    /// The server's last keepalive: it has sent everything below.
    pub source_end_lsn: u64,
    /// Captured tables, by schema and name.
    pub tables: Vec<TableStatus>,
    /// What was captured since the process started.
    pub counters: Counters,
    /// The last record of unusual size since the process started.
    pub large_record: Option<Arc<LargeRecord>>,
    /// What a person should know although capture goes on.
    pub warnings: Vec<String>,
    /// How much of its log the server holds for our slot; `None`: not looked at yet, or nothing.
    pub wal: Option<WalHeld>,
}

impl SourceStatus {
    /// A source that has done nothing yet.
    #[must_use]
    pub fn starting(since_ms: i64) -> Self {
        Self {
            state: SourceState::Starting,
            since_ms,
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
}

impl SourceStatus {
    /// What a person should know although capture goes on, the last record of unusual size included.
    #[must_use]
    pub fn all_warnings(&self) -> Vec<String> {
        let large = self.large_record.iter().map(|record| {
            let counters = &self.counters;
            let (count, omitted) = (counters.large_records, counters.omitted_records);
            format!("{count} large records, {omitted} without some columns, the last: {record}")
        });
        self.warnings.iter().cloned().chain(large).collect()
    }
}

/// The server that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// As the server writes it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// `IDENTIFY_SYSTEM`, systemid.
    pub system_id: u64,
    /// `IDENTIFY_SYSTEM`, timeline.
    pub timeline: u32,
    /// The database.
    pub database: String,
}

/// A captured table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What identifies old rows.
    pub replica_identity: ReplicaIdentity,
    /// Whether updates and deletes are captured.
    pub keyed: bool,
    /// What is missing, and the statement that mends it.
    pub warning: Option<String>,
}

/// Writes a value and tells whether it is a new one.
pub(crate) fn update<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}
