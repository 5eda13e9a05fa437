//! headwater's log. Synchronous; no tokio, no Kafka message types.
//!
//! A [`DataDirectory`] holds the catalog (sled and `catalog.log`) and one journal per instance. The journal's
//! single writer is [`Journal`]; any number of readers share its [`Log`]; its [`Keeper`] seals finished files and deletes
//! old ones. Every byte on disk is described in `docs/format.md`.

pub mod ballast;
pub mod block_cache;
pub mod catalog;
mod catalog_log;
pub mod check;
mod codec;
pub mod data_directory;
pub mod disk;
pub mod error;
pub mod frame;
mod index;
pub mod journal;
mod journal_file;
pub mod keeper;
pub mod log;
pub mod meta;
pub mod number;
mod open_error;
pub mod positions;
mod recover;
mod recycled;
mod retention;
mod ring;
mod salt;
mod sealed;
mod walk;
mod whole_file;

pub use ballast::Ballast;
pub use block_cache::{BlockCache, CacheStats};
pub use catalog::{
    Catalog, CatalogChange, Feed, FeedLayout, GAPS_MAX, Gap, Group, GroupMode, Instance,
    OldestFile, Pause, Schema, SourceKind, StoredVerifier, TableIdentity, Topic, VerifierMechanism,
};
pub use data_directory::{DataDirectory, StoreOptions};
pub use error::StorageError;
pub use journal::{
    CommitGroup, Committed, Journal, JournalOptions, JournalSetup, NewBatch, Now, OpenSize,
    PositionChange, TopicEpochs,
};
pub use keeper::{
    DeletedBecause, Keeper, KeeperEvent, KeeperOptions, KeeperStep, LostOffsets, SegmentDamage,
};
pub use log::{
    Batches, DeletedRange, Ends, EndsAtTime, FileRange, Log, LogStats, ReadError, RingRead,
    WARMED_BYTES,
};
pub use number::{FeedNumber, GroupNumber, InstanceNumber, LeaderEpoch, TopicNumber};
pub use positions::{
    ActiveMember, FirstUse, GroupEvent, GroupWrite, HistoryEntry, Membership, Position,
    PositionStore, RestoredFrom, TopicPartition,
};
pub use recover::{Damage, Recovered, TornTail};
pub use retention::RetentionLimits;
