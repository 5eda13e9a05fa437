//! Settings as plain values: what [`crate::Broker::start`] takes.
//!
//! `headwater run` reads them from TOML ([`mod@file`]), `headwater dev` makes them from its command line, tests
//! write them down. Everything here has been checked, except what only the system can tell (whether an address
//! is free, a directory writable, a database there).

mod advertised;
pub mod error;
pub mod file;
mod listener;
pub mod secret;
pub mod unit;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use headwater_capture::{
    encode::FeedFormat,
    filter::{ColumnFilter, TableFilter},
    limits::{Oversize, RECORD_BYTES_MAX},
    postgres::SourceUrl,
};
use headwater_protocol::batch::Compression;
pub use headwater_storage::RetentionLimits;
use headwater_storage::{GroupMode, JournalOptions, KeeperOptions, ballast::BALLAST_BYTES};

pub use self::{
    advertised::Advertised,
    listener::{ListenerConfig, SaslConfig, TlsFiles, check_listeners},
};
use crate::{instance::channel::ChannelSource, limits, space::SpaceLimits};

/// Everything a broker is told.
#[derive(Debug)]
pub struct BrokerConfig {
    /// Created if missing.
    pub data_dir: PathBuf,
    /// Where Kafka clients connect. Checked by [`check_listeners`].
    pub listeners: Vec<ListenerConfig>,
    /// Limits of Kafka connections.
    pub connections: ConnectionConfig,
    /// Who may log in besides the consumer groups.
    pub operator: Option<OperatorConfig>,
    /// HTTP over TCP, beside the Unix socket that is always there. Loopback only.
    pub http_listen: Option<SocketAddr>,
    /// The log.
    pub storage: StorageConfig,
    /// The tracked databases.
    pub instances: Vec<InstanceConfig>,
}

/// An account that sees everything, for tools.
#[derive(Clone)]
pub struct OperatorConfig {
    /// SASL user name: 1-16 of `[A-Za-z0-9_]`, as the account of a group.
    pub user: String,
    /// In clear, until its verifiers are derived.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for OperatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorConfig")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What a Kafka connection may do.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// Over all listeners.
    pub connections_max: usize,
    /// See [`limits::IDLE_CLOSE`].
    pub idle_close: Duration,
    /// See [`limits::PROGRESS_DEADLINE`].
    pub progress_deadline: Duration,
    /// See [`limits::LOGIN_DEADLINE`].
    pub login_deadline: Duration,
    /// See [`limits::UNAUTHENTICATED_MAX`].
    pub unauthenticated_max: usize,
    /// See [`limits::UNAUTHENTICATED_PER_ADDRESS_MAX`].
    pub unauthenticated_per_address_max: usize,
}

/// The log.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// See [`limits::SYNC_MIN_INTERVAL`].
    pub sync_min_interval: Duration,
    /// The newest batches kept in memory, bytes, per instance.
    pub ring_bytes: usize,
    /// Length of a log file, bytes; a multiple of 8. Finished files are sealed, and deleted as a whole.
    pub file_bytes: u64,
    /// How fast finished files are sealed, at most.
    pub seal_bytes_per_second: u64,
    /// How fast sealed files are reread to find damage, at most; 0: they are not.
    pub scrub_bytes_per_second: u64,
    /// Blocks of older files kept in memory, bytes, for all instances together.
    pub cache_bytes: usize,
    /// When capture waits for space, and the ballast.
    pub space: SpaceLimits,
}

/// One tracked database.
#[derive(Debug)]
pub struct InstanceConfig {
    /// 1-63 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// Where its changes come from.
    pub source: SourceConfig,
    /// At least one, with different names and prefixes.
    pub feeds: Vec<FeedConfig>,
    /// How much of its log is kept.
    pub retention: RetentionLimits,
    /// Groups that an operator may make.
    pub groups_max: usize,
    /// Groups that must be there.
    pub groups: Vec<GroupConfig>,
}

/// A consumer group that the configuration names: made at a start if it is missing. No `Debug` shows the password.
#[derive(Clone)]
pub struct GroupConfig {
    /// For people.
    pub name: String,
    /// Kafka's `group.id`.
    pub id: String,
    /// First part of the SASL user name.
    pub account: String,
    /// What a second consumer is told; `None`: as it is, `exclusive` for a new group.
    pub mode: Option<GroupMode>,
    /// In clear, until its verifiers are derived.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for GroupConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupConfig")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("account", &self.account)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Where changes come from.
#[derive(Debug)]
pub enum SourceConfig {
    /// A PostgreSQL database.
    Postgres(Box<PostgresConfig>),
    /// The embedding program hands the groups in (tests, benchmarks).
    Channel(ChannelSource),
}

/// A PostgreSQL database.
#[derive(Debug)]
pub struct PostgresConfig {
    /// With its password.
    pub url: SourceUrl,
    /// Which tables.
    pub tables: TableFilter,
    /// Which of their columns are left out.
    pub columns: ColumnFilter,
    /// Replication slot; by default `headwater_<instance>`.
    pub slot: Option<String>,
    /// Publication; by default `headwater_<instance>`.
    pub publication: Option<String>,
    /// The slot is made so that standbys are given it too (PostgreSQL 17 and later).
    pub failover_slot: bool,
    /// How often a logical message is written to the source's log; `None`: never.
    pub heartbeat_interval: Option<Duration>,
    /// Log held for the slot from which on a warning is shown where the server has no limit, bytes; not 0.
    pub wal_warn_bytes: u64,
    /// How large a record may be.
    pub records: RecordLimits,
    /// Slot and publications are gone when the broker has stopped (`dev` without `--data`).
    pub temporary: bool,
    /// A refusal before anything was captured is final instead of tried again (`dev`).
    pub first_failure_ends: bool,
}

/// How large a record may be, and what becomes of a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// Bytes of key, value and headers, within `headwater_capture::limits`.
    pub bytes_max: usize,
    /// What becomes of a larger one.
    pub oversize: Oversize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            bytes_max: RECORD_BYTES_MAX,
            oversize: Oversize::default(),
        }
    }
}

/// One rendering of an instance's changes into topics. The format decides the layout.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// 1-63 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// Topics are `<prefix>.<schema>.<table>`, or the one topic `<prefix>` of a stream.
    pub prefix: String,
    /// How a change becomes a record.
    pub format: FeedFormat,
    /// Of batches that are written from now on; each batch says its own.
    pub compression: Compression,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            idle_close: limits::IDLE_CLOSE,
            progress_deadline: limits::PROGRESS_DEADLINE,
            login_deadline: limits::LOGIN_DEADLINE,
            unauthenticated_max: limits::UNAUTHENTICATED_MAX,
            unauthenticated_per_address_max: limits::UNAUTHENTICATED_PER_ADDRESS_MAX,
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            sync_min_interval: limits::SYNC_MIN_INTERVAL,
            ring_bytes: limits::RING_BYTES,
            file_bytes: JournalOptions::default().file_bytes,
            seal_bytes_per_second: KeeperOptions::default().seal_bytes_per_second,
            scrub_bytes_per_second: KeeperOptions::default().scrub_bytes_per_second,
            cache_bytes: limits::CACHE_BYTES,
            space: SpaceLimits {
                low: limits::SPACE_LOW_BYTES,
                stop: limits::SPACE_STOP_BYTES,
                ballast: BALLAST_BYTES,
            },
        }
    }
}

/// Whether `name` can be an instance's or a feed's name.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > limits::NAME_CHARS || !name.chars().all(legal) {
        return Err("a name has 1 to 63 characters of A-Z a-z 0-9 _ -".to_owned());
    }
    Ok(())
}
