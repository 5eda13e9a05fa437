//! Every bound of capture, with its unit and where the number comes from.

use std::time::Duration;

/// A batch is closed once it has reached this many bytes; a larger record has a batch of its own
/// (what one read of the log loads at once).
pub const BATCH_BYTES: usize = 256 * 1024;

/// Bytes held in batches that the log has not taken yet. Above it, the source is not read.
pub const GATHERED_BYTES: usize = 16 * 1024 * 1024;

/// Bytes from which on the open transaction counts as large: the log is no longer made to wait for its
/// end. Half of [`GATHERED_BYTES`], so that the log writes one half while the other one fills.
pub const LARGE_TRANSACTION_BYTES: usize = GATHERED_BYTES / 2;

/// A position without rows is recorded at most this often while the source's log grows slowly: each costs
/// a sync, and all it saves is that much log to be read again.
pub const IDLE_POSITION_INTERVAL: Duration = Duration::from_secs(5);

/// A position without rows is recorded as soon as the source's log has grown by this many bytes
/// (one WAL segment of PostgreSQL).
pub const IDLE_POSITION_BYTES: u64 = 16 * 1024 * 1024;

/// Encoded bytes (key, value, headers) of one record: as large as a row of PostgreSQL can be.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The least that `record_bytes_max` may be: keys, which are never left out, are far below it.
pub const RECORD_BYTES_LEAST: usize = 64 * 1024;

/// The most that `record_bytes_max` may be, 1.9 GiB: lengths in Kafka's protocol have 31 bits.
pub const RECORD_BYTES_MOST: usize = 2_040_109_465;

/// Encoded bytes from which on a record is told of by name: clients with a default of their own, about 100 MB
/// for a whole response, come near it.
pub const LARGE_RECORD_BYTES: usize = 32 * 1024 * 1024;

/// Relations of one source that are remembered. PostgreSQL knows no such bound; a server that names more
/// tables than this is not one.
pub const RELATIONS_MAX: usize = 1_000_000;

/// Bytes of rendered column names and constants that are kept; above it all are dropped and rendered
/// again for the tables that still get rows.
pub(crate) const PREPARED_BYTES: usize = 8 * 1024 * 1024;

/// Unique keys of a table that are told in each of its records.
pub(crate) const UNIQUE_KEYS_MAX: usize = 16;

/// Bytes of their names and columns.
pub(crate) const UNIQUE_KEY_NAMES_BYTES_MAX: usize = 4 * 1024;

/// Types that are remembered from type messages; values of others come as text, unless the catalog knows them.
pub(crate) const SENT_TYPES_MAX: usize = 65_536;

/// A reused buffer that grew beyond this for one large row is given back.
pub(crate) const SCRATCH_BYTES: usize = 1024 * 1024;

/// What becomes of a record beyond `record_bytes_max`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Oversize {
    /// Its largest columns are written as not sent; the header `headwater.omitted` names them.
    #[default]
    Omit,
    /// Capture ends in the state `record_too_large`.
    Stop,
}

/// The bounds that a configuration may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureLimits {
    /// See [`BATCH_BYTES`].
    pub batch_bytes: usize,
    /// See [`GATHERED_BYTES`].
    pub gathered_bytes: usize,
    /// See [`LARGE_TRANSACTION_BYTES`]. At most `gathered_bytes`.
    pub large_transaction_bytes: usize,
    /// See [`IDLE_POSITION_INTERVAL`].
    pub idle_position_interval: Duration,
    /// See [`IDLE_POSITION_BYTES`].
    pub idle_position_bytes: u64,
    /// See [`RECORD_BYTES_MAX`].
    pub record_bytes_max: usize,
    /// What becomes of a larger one.
    pub oversize: Oversize,
    /// See [`LARGE_RECORD_BYTES`].
    pub large_record_bytes: usize,
    /// See [`RELATIONS_MAX`].
    pub relations_max: usize,
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self {
            batch_bytes: BATCH_BYTES,
            gathered_bytes: GATHERED_BYTES,
            large_transaction_bytes: LARGE_TRANSACTION_BYTES,
            idle_position_interval: IDLE_POSITION_INTERVAL,
            idle_position_bytes: IDLE_POSITION_BYTES,
            record_bytes_max: RECORD_BYTES_MAX,
            oversize: Oversize::default(),
            large_record_bytes: LARGE_RECORD_BYTES,
            relations_max: RELATIONS_MAX,
        }
    }
}
