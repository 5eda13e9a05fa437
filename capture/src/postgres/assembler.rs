//! Transactions of a PostgreSQL replication stream, assembled into groups of finished batches.
//!
//! No socket, no clock: the caller pushes the messages of one connection after the other and takes what is
//! ready. Calls, in this order:
//!
//! ```text
//! new ─> announce* ─> ( push | keepalive | set_catalog | take )* ─> connection_lost ─> announce* ─> ( … )*
//! ```
//!
//! - A transaction whose commit lies below what was assembled before is dropped, so that a connection may
//!   resume anywhere at or before [`Assembler::handed_over_end_lsn`].
//! - A change is identified by (commit LSN, ordinal): the index of its message among the rows, truncates and
//!   logical messages of the transaction, before any filter of ours.
//! - Memory is bounded in bytes: [`Assembler::must_wait`] tells when to stop pushing until [`Assembler::take`]
//!   was called. A transaction beyond `large_transaction_bytes` is handed over in parts; the last one
//!   carries the commit.
//! - A small transaction that is open when the log asks is waited for; a larger one is cut off the whole
//!   ones before it (`docs/decisions/0002-capture-hands-over-on-demand.md`).
//! - Positions without rows (empty transactions, keepalives) are recorded now and then only.
//!
//! An error means that the server sent what cannot be, or that a record is too large. The connection is to
//! be given up and [`Assembler::connection_lost`] called; what was whole stays ready.

mod boundaries;
mod catalog;
mod encode;
mod error;
mod handover;
mod horizon;
mod large;
mod messages;
mod names;
mod oversize;
mod primary_key;
mod relations;
mod row;
mod stream_feeds;
mod truncates;

#[cfg(test)]
mod tests;

pub use catalog::CatalogTable;
pub use error::AssembleError;
pub use large::LargeRecord;
pub use primary_key::KnownKey;

use std::sync::Arc;

use crate::encode::{Boundary, Encoder, FeedFormat, SourceNames};
use crate::event::{ChangeOrigin, Operation};
use crate::filter::{ColumnFilter, TableFilter};
use crate::group::gather::Gather;
use crate::limits::{CaptureLimits, Oversize, PREPARED_BYTES};
use crate::postgres::pgoutput::{self, Message};
use crate::table::{Table, TableKey};
use error::out_of_place;
use handover::Handover;
use horizon::Horizon;
use primary_key::EarlierKeys;
use relations::{Relations, Resolved, TooMany};
use row::RowMessage;

/// 2000-01-01, PostgreSQL's epoch, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// What is constant for the life of an assembler.
#[derive(Debug, Clone)]
pub struct AssemblerConfig {
    /// `IDENTIFY_SYSTEM`, systemid.
    pub system_id: u64,
    /// `IDENTIFY_SYSTEM`, timeline.
    pub timeline: u32,
    /// The database's name, for `source.db`.
    pub database: String,
    /// `server_version`, as the server writes it.
    pub server_version: String,
    /// The feeds, in the order of `TableBatch::feed`.
    pub feeds: Vec<FeedFormat>,
    /// Which tables are captured.
    pub tables: TableFilter,
    /// Which of their columns are left out.
    pub columns: ColumnFilter,
    /// Primary keys of tables whose rows were captured before.
    pub known_keys: Vec<KnownKey>,
    /// The bounds.
    pub limits: CaptureLimits,
}

/// What a pushed message led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing in particular.
    Continue,
    /// A transaction is complete.
    TransactionEnd,
    /// The message was not taken. Ask the server's catalog about these relations, call
    /// [`Assembler::set_catalog`] for each, and push the same message again.
    NeedsCatalog(Vec<u32>),
}

/// Counted since the assembler was made; of transactions that were not dropped as known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions that ended.
    pub transactions: u64,
    /// Captured row changes; those of an abandoned transaction count again when it is replayed.
    pub changes: u64,
    /// Row changes of tables that the filter excludes.
    pub filtered: u64,
    /// Bytes of all messages.
    pub message_bytes: u64,
    /// Values that an update left unchanged and the source did not send.
    pub unchanged_toast: u64,
    /// Captured tables that were truncated and have a feed whose format does not tell it.
    pub truncates_skipped: u64,
    /// Logical messages that no feed carries.
    pub messages_skipped: u64,
    /// Values in which bytes that are not UTF-8 were replaced (databases in SQL_ASCII only).
    pub text_repaired: u64,
    /// Values that a format shows as text, because it has no form for them.
    pub shown_as_text: u64,
    /// Records of at least `large_record_bytes`, each counted once whatever the number of feeds.
    pub large_records: u64,
    /// Bytes of the largest of them, and of those that lack columns.
    pub largest_record_bytes: u64,
    /// Row changes of which columns were left out, because a record would have been too large.
    pub omitted_records: u64,
    /// Those columns.
    pub omitted_values: u64,
    /// Commit time of the last transaction, ms since 1970.
    pub last_commit_time_ms: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub struct Assembler {
    record_bytes_max: usize,
    oversize: Oversize,
    large_record_bytes: usize,
    relations_max: usize,
    relations: Relations,
    encoders: Vec<Encoder>,
    /// For each of them, whether it carries logical messages.
    message_feeds: Vec<bool>,
    /// Likewise the boundaries of transactions.
    transaction_feeds: Vec<bool>,
    gather: Gather,
    handover: Handover,
    horizon: Horizon,
    open: Option<OpenTransaction>,
    /// Where the last transaction ended, or where reading resumed.
    previous_end_lsn: Option<u64>,
    counters: Counters,
    /// The last one of unusual size.
    large: Option<Arc<LargeRecord>>,
}

#[derive(Debug, Clone, Copy)]
struct OpenTransaction {
    final_lsn: u64,
    xid: u32,
    /// Since 1970.
    commit_time_us: i64,
    /// Of the next row, truncate, or logical message.
    ordinal: u64,
    /// It was assembled before.
    is_known: bool,
}

impl Assembler {
    /// `resume_end_lsn`: end LSN of the stored position; 0 on a first start.
    pub fn new(config: AssemblerConfig, resume_end_lsn: u64) -> Self {
        let source = SourceNames {
            connector: "postgresql",
            database: &config.database,
        };
        let record_bytes_max = config.limits.record_bytes_max;
        let encoder = |format| Encoder::new(format, &source, record_bytes_max);
        let mut assembler = Self {
            record_bytes_max,
            oversize: config.limits.oversize,
            large_record_bytes: config.limits.large_record_bytes,
            relations_max: config.limits.relations_max,
            encoders: config.feeds.iter().map(encoder).collect(),
            message_feeds: config
                .feeds
                .iter()
                .map(FeedFormat::carries_messages)
                .collect(),
            transaction_feeds: config
                .feeds
                .iter()
                .map(FeedFormat::carries_transactions)
                .collect(),
            relations: Relations::new(
                config.tables,
                config.columns,
                EarlierKeys::new(config.known_keys),
                config.limits.relations_max,
            ),
            gather: Gather::new(config.feeds.len(), config.limits.batch_bytes),
            handover: Handover::new(
                (config.system_id, config.timeline),
                config.limits,
                resume_end_lsn,
            ),
            horizon: Horizon::default(),
            open: None,
            previous_end_lsn: (resume_end_lsn > 0).then_some(resume_end_lsn),
            counters: Counters::default(),
            large: None,
        };
        assembler.set_server_version(&config.server_version);
        assembler
    }

    /// A table that the catalog shows: it gets its key now, and is handed over as `Captured::Tables` before
    /// any row of it came, so that its topics exist. Repeated calls for a table tell nothing new; the
    /// stream's own definition wins. Best called for all tables before each connection starts to stream:
    /// tables with identity DEFAULT then need no [`Pushed::NeedsCatalog`].
    ///
    /// # Errors
    /// [`AssembleError::TooManyRelations`].
    pub fn announce(&mut self, relation: u32, table: CatalogTable) -> Result<(), AssembleError> {
        let told = self.relations.announce(relation, table);
        if let Some(table) = told.map_err(|error| self.too_many(error))? {
            self.handover.tell(table, self.open.is_some());
        }
        Ok(())
    }

    /// The catalog's answer to [`Pushed::NeedsCatalog`]; `None`: the relation no longer exists. The rows that
    /// are still to come are then rendered with the key as far as it is certain, else without.
    ///
    /// # Errors
    /// [`AssembleError::TooManyRelations`].
    pub fn set_catalog(
        &mut self,
        relation: u32,
        info: Option<CatalogTable>,
    ) -> Result<(), AssembleError> {
        let set = self.relations.set_catalog(relation, info.as_ref());
        set.map_err(|error| self.too_many(error))
    }

    /// Takes one pgoutput message: the payload of an XLogData whose start LSN is `wal_start`. `now_ms` is
    /// when it was read, ms since 1970.
    ///
    /// # Errors
    /// [`AssembleError`]; see the module.
    pub fn push(
        &mut self,
        wal_start: u64,
        message: &[u8],
        now_ms: i64,
    ) -> Result<Pushed, AssembleError> {
        self.handover.now(now_ms);
        let size = message.len();
        let pushed = match pgoutput::decode(message)? {
            Message::Begin(begin) => self.begin(begin),
            Message::Commit(commit) => self.commit(commit),
            Message::Relation(relation) => {
                let received = self.relations.receive(&relation, message);
                received.map_err(|error| self.too_many(error))?;
                Ok(Pushed::Continue)
            }
            Message::Type(sent) => {
                self.relations.receive_type(&sent);
                Ok(Pushed::Continue)
            }
            Message::Origin(_) => Ok(Pushed::Continue),
            Message::Insert(row) => self.row(
                RowMessage {
                    relation: row.relation,
                    operation: Operation::Create,
                    size,
                    old: None,
                    new: Some(row.new),
                },
                (wal_start, now_ms),
            ),
            Message::Update(row) => self.row(
                RowMessage {
                    relation: row.relation,
                    operation: Operation::Update,
                    size,
                    old: row.old,
                    new: Some(row.new),
                },
                (wal_start, now_ms),
            ),
            Message::Delete(row) => self.row(
                RowMessage {
                    relation: row.relation,
                    operation: Operation::Delete,
                    size,
                    old: Some(row.old),
                    new: None,
                },
                (wal_start, now_ms),
            ),
            Message::Truncate(truncate) => self.truncate(truncate, (wal_start, now_ms)),
            Message::Logical(logical) => self.logical(logical, now_ms),
        }?;
        if !matches!(pushed, Pushed::NeedsCatalog(_)) {
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            self.counters.message_bytes = self.counters.message_bytes.saturating_add(size);
        }
        Ok(pushed)
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        for encoder in &self.encoders {
            let oddities = encoder.oddities();
            counters.unchanged_toast = counters.unchanged_toast.max(oddities.unchanged);
            counters.text_repaired = counters.text_repaired.max(oddities.repaired);
            counters.shown_as_text = counters.shown_as_text.max(oddities.as_text);
        }
        counters
    }

    /// Where the open transaction commits.
    pub fn open_lsn(&self) -> Option<u64> {
        self.open.map(|open| open.final_lsn)
    }

    fn too_many(&self, _: TooMany) -> AssembleError {
        AssembleError::TooManyRelations {
            limit: self.relations_max,
        }
    }

    fn begin(&mut self, begin: pgoutput::Begin) -> Result<Pushed, AssembleError> {
        if let Some(open) = self.open {
            return Err(out_of_place("begin inside a transaction", open.final_lsn));
        }
        let is_known = begin.final_lsn < self.handover.assembled_end_lsn();
        let open = OpenTransaction {
            final_lsn: begin.final_lsn,
            xid: begin.xid,
            commit_time_us: begin.commit_time_us.saturating_add(POSTGRES_EPOCH_US),
            ordinal: 0,
            is_known,
        };
        self.open = Some(open);
        if !is_known {
            let read_at = (begin.final_lsn, self.handover.now_ms());
            let origin = open.origin(read_at, self.previous_end_lsn);
            self.gather.begin();
            self.begin_streams();
            self.boundary(Boundary::Begin, &origin)?;
        }
        Ok(Pushed::Continue)
    }

    fn commit(&mut self, commit: pgoutput::Commit) -> Result<Pushed, AssembleError> {
        let (lsn, end_lsn) = (commit.commit_lsn, commit.end_lsn);
        let open = self
            .open
            .ok_or_else(|| out_of_place("commit outside of a transaction", lsn))?;
        if open.final_lsn != lsn || end_lsn <= lsn {
            let what = "commit is not the one that the transaction began with";
            return Err(out_of_place(what, open.final_lsn));
        }
        if !open.is_known {
            let read_at = (lsn, self.handover.now_ms());
            let origin = open.origin(read_at, self.previous_end_lsn);
            self.boundary(Boundary::End, &origin)?;
        }
        self.open = None;
        let previous_end_lsn = self.previous_end_lsn.replace(end_lsn);
        if !open.is_known {
            let commit_time_ms = unix_ms(open.commit_time_us);
            let read_at = (lsn, self.handover.now_ms());
            self.commit_streams(&open.origin(read_at, previous_end_lsn));
            self.gather.commit(commit_time_ms);
            self.handover.transaction_ended(lsn, end_lsn);
            self.counters.transactions += 1;
            self.counters.last_commit_time_ms = Some(commit_time_ms);
            self.beat_if_proven();
        }
        Ok(Pushed::TransactionEnd)
    }

    /// The open transaction, with the ordinal of the next change.
    fn open_for(&mut self, lsn: u64) -> Result<&mut OpenTransaction, AssembleError> {
        let open = self.open.as_mut();
        open.ok_or_else(|| out_of_place("change outside of a transaction", lsn))
    }

    fn row(
        &mut self,
        row: RowMessage<'_>,
        (lsn, now_ms): (u64, i64),
    ) -> Result<Pushed, AssembleError> {
        let open = *self.open_for(lsn)?;
        if open.is_known {
            return Ok(Pushed::Continue);
        }
        let index = match self.relations.resolve(row.relation) {
            Resolved::Ask => return Ok(Pushed::NeedsCatalog(vec![row.relation])),
            Resolved::Unknown => {
                return Err(out_of_place("row of an unknown relation", open.final_lsn));
            }
            Resolved::Excluded => {
                self.counters.filtered += 1;
                self.open_for(lsn)?.ordinal += 1;
                return Ok(Pushed::Continue);
            }
            Resolved::Known { index } => index,
            Resolved::Anew {
                index,
                table,
                is_news,
            } => self.learn(index, table, is_news),
        };
        self.open_for(lsn)?.ordinal += 1;
        let origin = open.origin((lsn, now_ms), self.previous_end_lsn);
        self.encode(index, row, &origin)?;
        self.counters.changes += 1;
        self.gather.count_change();
        Ok(Pushed::Continue)
    }

    /// Takes a definition that rows are to be rendered with from here on.
    fn learn(&mut self, index: usize, table: Table, is_news: bool) -> usize {
        self.prepare(&table);
        if is_news {
            self.handover.tell(table, true);
        }
        index
    }

    /// The key of a resolved relation, whose templates every encoder then has.
    fn prepared(&mut self, index: usize) -> TableKey {
        let key = self.relations.known(index).key;
        if !self.encoders.iter().all(|encoder| encoder.is_prepared(key)) {
            let table = self.relations.table(index);
            self.prepare(&table);
        }
        key
    }

    fn prepare(&mut self, table: &Table) {
        let held: usize = self.encoders.iter().map(Encoder::prepared_bytes).sum();
        if held > PREPARED_BYTES {
            self.encoders.iter_mut().for_each(Encoder::forget_tables);
        }
        for encoder in &mut self.encoders {
            encoder.prepare(table);
        }
    }
}

impl OpenTransaction {
    fn origin(
        &self,
        (lsn, read_time_ms): (u64, i64),
        previous_end_lsn: Option<u64>,
    ) -> ChangeOrigin {
        ChangeOrigin {
            transaction_id: u64::from(self.xid),
            commit_lsn: self.final_lsn,
            lsn,
            ordinal: self.ordinal,
            previous_end_lsn,
            commit_time_us: self.commit_time_us,
            read_time_ms,
        }
    }
}

/// Milliseconds from microseconds; never negative, since Kafka's timestamps are not.
fn unix_ms(us: i64) -> i64 {
    us.div_euclid(1000).max(0)
}
