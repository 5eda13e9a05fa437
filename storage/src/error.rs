//! What can go wrong, by what the caller has to do about it.

use std::io;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory is in use by another process. Nothing was changed.
    #[error("data directory {path} is in use by another headwater")]
    Locked {
        /// The data directory.
        path: String,
    },
    /// The directory was written by a newer version, or is not a data directory. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The disk is full (or a quota is reached). Nothing is poisoned: with space it works again.
    #[error("no space: {0}")]
    NoSpace(String),
    /// Bytes that were durable are damaged. `0` names file and range.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A write or sync failed. The store is poisoned: it accepts no more writes, and the process must exit
    /// (a retry could report bytes as durable that are not).
    #[error("storage failed and stopped: {0}")]
    Poisoned(String),
    /// A read failed; nothing is poisoned.
    #[error("cannot read {what}: {source}")]
    Read {
        /// File and range.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// The caller asked for something that cannot be (a topic that does not exist, a name taken twice).
    #[error("{0}")]
    Invalid(String),
}
