//! Source databases: replication protocols, change events, encoders.
//!
//! A row change goes one way: socket -> `postgres::pgoutput` (decoded in place) -> `encode` (bytes of a
//! record) -> `headwater_protocol::batch::BatchBuilder` -> [`TransactionGroup`], which the broker pulls with
//! `postgres::Source::next` and appends to its log. This crate does not know storage, topics or offsets.

#![deny(clippy::indexing_slicing)]

pub mod encode;
pub mod event;
pub mod filter;
pub mod group;
pub mod limits;
pub mod postgres;
pub mod table;
pub mod value;

pub use encode::{DebeziumOptions, FeedFormat, Preset};
pub use filter::{ColumnFilter, ColumnPattern, PatternError, TableFilter, TablePattern};
pub use group::{Captured, Commit, OpenPlace, TableBatch, TransactionGroup};
pub use limits::{CaptureLimits, Oversize};
pub use table::{Column, ReplicaIdentity, Table, TableKey, UniqueKey};
pub use value::{ColumnType, ValueForm, ValueKind};
