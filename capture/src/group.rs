//! What capture hands to the broker: groups of whole transactions as finished record batches.

pub(crate) mod gather;

use headwater_protocol::batch::RecordBatch;

use crate::table::{Table, TableKey};

/// One thing for the log, in order.
#[derive(Debug)]
pub enum Captured {
    /// Tables that are new or whose definition changed. To be registered (topics, schema history) and made
    /// durable before anything that follows is appended.
    Tables(Vec<Table>),
    /// A group, or a part of one.
    Group(TransactionGroup),
    /// The connection was lost inside a transaction of which parts were handed over: rewind to the last commit.
    Rewind,
}

/// Batches to append and, unless this is a part of a transaction that outgrew the budget, the commit that
/// makes them visible.
#[derive(Debug, Default)]
pub struct TransactionGroup {
    /// At most one batch per feed and table, unless a batch was closed at its size limit. In log order.
    pub batches: Vec<TableBatch>,
    /// `None`: more parts of the same transaction follow.
    pub commit: Option<Commit>,
    /// Of a part: which transaction it is of.
    pub open: Option<OpenPlace>,
}

/// A transaction of which a part was handed over, as a person would look for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPlace {
    /// Where it commits, as the source writes positions.
    pub commits_at: String,
    /// The first position behind it, from which a resync would go on without it.
    pub behind: String,
}

/// One finished batch of one table, or of the stream of all tables, in one feed.
#[derive(Debug)]
pub struct TableBatch {
    /// Index of the feed in the source's configuration.
    pub feed: usize,
    /// The table the records are of; `None` in a feed whose layout is one stream.
    pub table: Option<TableKey>,
    /// Base offset 0, leader epoch 0: the log stamps both.
    pub batch: RecordBatch,
}

/// Where the source stands after a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The source's position as stored (layout: `docs/format.md`, "Source positions"). Opaque to the log.
    pub position: Vec<u8>,
    /// Highest source commit time in the group, ms since 1970; `None` for a position without transactions
    /// (idle advance).
    pub commit_time_ms: Option<i64>,
    /// Whole transactions in the group, also those without a captured row.
    pub transactions: u64,
    /// Captured row changes in the group, over all feeds' common input (each change counted once).
    pub changes: u64,
}
