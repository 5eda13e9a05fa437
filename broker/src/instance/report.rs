//! How an instance is: state, source, tables, what its log holds, what is missing.

use headwater_capture::postgres::{
    SourceState, SourceStatus,
    position::{self, Lsn},
};
use headwater_protocol::batch::BatchHeader;
use headwater_storage::{Catalog, Gap, Log, Topic};
use serde::Serialize;
use utoipa::ToSchema;

use super::InstanceView;
use crate::status::lag;

/// One instance, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InstanceReport {
    /// Its name.
    pub name: String,
    /// As metrics and `/healthz/instances/NAME` name it.
    pub state: &'static str,
    /// The word of Alibaba Cloud DTS for it: `Normal`, `Initializing`, `Abnormal`, `Not started`.
    pub dts_state: &'static str,
    /// Why it does not run, where there is a reason.
    pub reason: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
    /// Since when, ms since 1970.
    pub since_ms: i64,
    /// What a person should know although capture goes on.
    pub warnings: Vec<String>,
    /// The database.
    pub source: SourceReport,
    /// Bytes of the source's log that are not captured, as far as is known.
    pub lag_bytes: u64,
    /// Time since the last captured commit while something is outstanding, seconds.
    pub delay_seconds: f64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// When old data goes.
    pub retention: RetentionReport,
    /// Consumer groups that an operator made, and how many he may.
    pub groups: usize,
    /// See `groups`.
    pub groups_limit: usize,
    /// Counts the resyncs.
    pub incarnation: u32,
    /// What is missing, oldest first.
    pub gaps: Vec<GapReport>,
    /// Captured tables.
    pub tables: Vec<TableReport>,
    /// What the log holds of each topic.
    pub topics: Vec<RangeReport>,
}

/// The database that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceReport {
    /// As the server says it; `None`: it was not reached yet.
    pub version: Option<String>,
    /// Of the server; in quotes, since it is larger than a number in JSON may be.
    pub system_id: Option<String>,
    /// Name of the database.
    pub database: Option<String>,
    /// Replication slot.
    pub slot: Option<String>,
    /// Publication; the second one has `_keyed` appended.
    pub publication: Option<String>,
    /// Everything below this LSN is durable here, and told to the server.
    pub confirmed_lsn: String,
    /// Log that the server holds for the slot, bytes; `None`: not known.
    pub wal_held_bytes: Option<u64>,
    /// What may still be written there before the slot is lost, bytes; `None`: no limit, or not known.
    pub wal_safe_bytes: Option<u64>,
    /// `fine`, `high`, `critical`.
    pub wal_level: Option<&'static str>,
}

/// When old data goes: at whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RetentionReport {
    /// Time that the broker ran since a file was finished, seconds.
    pub age_seconds: u64,
    /// All files, bytes.
    pub bytes: u64,
}

/// Changes that are not in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GapReport {
    /// The incarnation that begins behind it.
    pub incarnation: u32,
    /// Source position up to which everything is there.
    pub from: String,
    /// Source position behind which it goes on.
    pub to: String,
    /// When it was accepted, ms since 1970.
    pub at_ms: i64,
    /// Why.
    pub reason: String,
}

impl From<&Gap> for GapReport {
    fn from(gap: &Gap) -> Self {
        Self {
            incarnation: gap.incarnation,
            from: position::shown(&gap.from),
            to: position::shown(&gap.to),
            at_ms: gap.at_ms,
            reason: gap.reason.clone(),
        }
    }
}

/// A captured table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TableReport {
    /// `schema.table`.
    pub name: String,
    /// Whether updates and deletes are captured.
    pub keyed: bool,
    /// What is missing, and the statement that mends it.
    pub warning: Option<String>,
}

/// What the log holds of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RangeReport {
    /// Its name.
    pub topic: String,
    /// Oldest offset.
    pub start: i64,
    /// Behind the newest record.
    pub end: i64,
    /// Leader epoch of new records.
    pub epoch: i32,
    /// Time of the oldest record, ms since 1970; `None`: there is none, or it cannot be read.
    pub oldest_ms: Option<i64>,
    /// Highest time of a record.
    pub newest_ms: Option<i64>,
}

impl InstanceView {
    /// All but tables and topics; `groups_limit` is the configuration's. Takes no look at the disk.
    #[must_use]
    pub fn summary(&self, now_ms: i64, groups_limit: usize) -> InstanceReport {
        let status = self.status_now();
        let catalog = self.directory.catalog();
        let stored = catalog.instance(self.number);
        let behind = lag(&status, now_ms);
        InstanceReport {
            name: self.name.clone(),
            state: status.state.name(),
            dts_state: dts_state(&status.state),
            reason: status.state.reason().map(str::to_owned),
            fix: status.state.fix().map(str::to_owned),
            since_ms: status.since_ms,
            warnings: status.all_warnings(),
            source: self.source(&status),
            lag_bytes: behind.bytes,
            delay_seconds: behind.seconds,
            log_bytes: self.log.stats().bytes,
            retention: RetentionReport {
                age_seconds: self.retention.age.as_secs(),
                bytes: self.retention.bytes,
            },
            groups: catalog.groups_of(self.number).count(),
            groups_limit,
            incarnation: stored.map_or(0, |instance| instance.incarnation),
            gaps: stored.map_or_else(Vec::new, |instance| {
                instance.gaps.iter().map(GapReport::from).collect()
            }),
            tables: Vec::new(),
            topics: Vec::new(),
        }
    }

    /// All of it. Blocks on the disk: oldest and newest records are looked up.
    #[must_use]
    pub fn report(&self, now_ms: i64, groups_limit: usize) -> InstanceReport {
        let status = self.status_now();
        let tables = status.tables.into_iter().map(|table| TableReport {
            name: format!("{}.{}", table.schema, table.name),
            keyed: table.keyed,
            warning: table.warning,
        });
        InstanceReport {
            tables: tables.collect(),
            topics: self.ranges(&self.directory.catalog()),
            ..self.summary(now_ms, groups_limit)
        }
    }

    fn source(&self, status: &SourceStatus) -> SourceReport {
        let server = status.server.as_ref();
        let names = self.source_names.clone();
        let (slot, publication) = names.map_or((None, None), |(slot, publication)| {
            (Some(slot), Some(publication))
        });
        SourceReport {
            version: server.map(|server| server.version.clone()),
            system_id: server.map(|server| server.system_id.to_string()),
            database: server.map(|server| server.database.clone()),
            slot,
            publication,
            confirmed_lsn: Lsn(status.confirmed_lsn).to_string(),
            wal_held_bytes: status.wal.as_ref().map(|wal| wal.held_bytes),
            wal_safe_bytes: status.wal.as_ref().and_then(|wal| wal.safe_bytes),
            wal_level: status.wal.as_ref().map(|wal| wal.level.name()),
        }
    }

    fn ranges(&self, catalog: &Catalog) -> Vec<RangeReport> {
        let topics = catalog.topics_of(self.number);
        topics.filter_map(|topic| range(&self.log, topic)).collect()
    }
}

/// `None`: the log does not have it yet.
fn range(log: &Log, topic: &Topic) -> Option<RangeReport> {
    let ends = log.ends(topic.number)?;
    let is_empty = ends.start == ends.end;
    let oldest = || {
        let batches = log.read(topic.number, ends.start, 1).ok()?;
        let header = BatchHeader::parse(batches.first()?).ok()?;
        Some(header.base_timestamp)
    };
    let newest = || {
        let batch = log.batch_of_max_timestamp(topic.number).ok()??;
        Some(BatchHeader::parse(&batch).ok()?.max_timestamp)
    };
    Some(RangeReport {
        topic: topic.name.clone(),
        start: ends.start,
        end: ends.end,
        epoch: ends.epoch,
        oldest_ms: if is_empty { None } else { oldest() },
        newest_ms: if is_empty { None } else { newest() },
    })
}

/// DTS's word.
fn dts_state(state: &SourceState) -> &'static str {
    match state {
        SourceState::Running => "Normal",
        SourceState::Starting | SourceState::WaitingForSlot { .. } => "Initializing",
        SourceState::Paused { .. } | SourceState::Stopped => "Not started",
        SourceState::Reconnecting { .. }
        | SourceState::NeedsResync { .. }
        | SourceState::SourceMisconfigured { .. }
        | SourceState::SourceRefused { .. }
        | SourceState::RowUnreadable { .. }
        | SourceState::RecordTooLarge { .. }
        | SourceState::TransactionTooLarge { .. }
        | SourceState::DiskFull { .. } => "Abnormal",
    }
}
