//! headwater's log. Synchronous; no tokio, no Kafka message types.
//!
//! A [`DataDirectory`] holds the catalog (sled and `catalog.log`) and one journal per instance. The journal's
//! single writer is [`Journal`]; any number of readers share its [`Log`]. Every byte on disk is described in
//! `docs/format.md`.

pub mod catalog;
mod catalog_log;
mod codec;
pub mod data_directory;
pub mod disk;
pub mod error;
pub mod frame;
mod index;
pub mod journal;
mod journal_file;
pub mod log;
pub mod meta;
pub mod number;
mod open_error;
mod recover;
mod ring;
mod walk;
mod whole_file;

pub use catalog::{
    Catalog, CatalogChange, Feed, FeedLayout, Group, GroupMode, Instance, Schema, SourceKind,
    StoredVerifier, TableIdentity, Topic, VerifierMechanism,
};
pub use data_directory::{DataDirectory, StoreOptions};
pub use error::StorageError;
pub use journal::{
    CommitGroup, Committed, Journal, JournalOptions, JournalSetup, NewBatch, Now, PositionChange,
    TopicEpochs,
};
pub use log::{Ends, Log, LogStats, ReadError, RingRead};
pub use number::{FeedNumber, GroupNumber, InstanceNumber, LeaderEpoch, TopicNumber};
pub use recover::{Damage, Recovered, TornTail};
