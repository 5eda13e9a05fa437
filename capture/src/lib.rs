//! Source databases: replication protocols, change events, encoders.
//!
//! A row change goes one way: socket -> `postgres::pgoutput` (decoded in place) -> `encode` (bytes of a
//! record) -> `headwater_protocol::batch::BatchBuilder` -> [`TransactionGroup`], which the broker pulls with
//! `postgres::Source::next` and appends to its log. This crate does not know storage, topics or offsets.

pub mod group;

pub use group::{Captured, Commit, TableBatch, TransactionGroup};
pub use table::{Column, ReplicaIdentity, Table, TableKey};

pub mod table;
