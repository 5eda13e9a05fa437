//! What is ready for the log, in which order, and the position that goes with it.
//!
//! | held | ready | handed over as |
//! |---|---|---|
//! | parts of a transaction whose connection was lost | at once | `Rewind`, before all else |
//! | definitions, not of the open transaction | at once | `Tables` |
//! | whole transactions with records | at once, unless a small transaction is open | `Group` with commit |
//! | an open transaction, large, nothing before it | when large | its `Tables`, then `Group` without commit |
//! | a position without changes | every few seconds or megabytes | `Group` without batches |

use crate::group::gather::Whole;
use crate::group::{Captured, Commit, OpenPlace, TransactionGroup};
use crate::limits::CaptureLimits;
use crate::postgres::assembler::Assembler;
use crate::postgres::position::{Lsn, Position};
use crate::table::{Column, Table};

/// Positions, definitions, and time.
#[derive(Debug)]
pub(super) struct Handover {
    limits: CaptureLimits,
    system_id: u64,
    timeline: u32,
    /// Everything up to here was assembled: the last transaction's commit and end, or a keepalive's twice.
    assembled: (u64, u64),
    /// Commit and end of the last transaction.
    transaction: (u64, u64),
    handed_over_end_lsn: u64,
    /// When the last position was handed over; set to the first time that is known.
    handed_over_ms: Option<i64>,
    now_ms: i64,
    tables: Vec<Table>,
    /// Definitions that came inside the open transaction.
    open_tables: Vec<Table>,
    tables_bytes: usize,
    rewind: bool,
    /// The next position is due as soon as there is one.
    is_hurried: bool,
}

impl Handover {
    pub(super) fn new(
        (system_id, timeline): (u64, u32),
        limits: CaptureLimits,
        resume_end_lsn: u64,
    ) -> Self {
        Self {
            limits,
            system_id,
            timeline,
            assembled: (resume_end_lsn, resume_end_lsn),
            transaction: (resume_end_lsn, resume_end_lsn),
            handed_over_end_lsn: resume_end_lsn,
            handed_over_ms: None,
            now_ms: 0,
            tables: Vec::new(),
            open_tables: Vec::new(),
            tables_bytes: 0,
            rewind: false,
            is_hurried: false,
        }
    }

    pub(super) fn now(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.handed_over_ms.get_or_insert(now_ms);
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(super) fn assembled_end_lsn(&self) -> u64 {
        self.assembled.1
    }

    pub(super) fn transaction_ended(&mut self, commit_lsn: u64, end_lsn: u64) {
        self.assembled = (commit_lsn, end_lsn);
        self.transaction = self.assembled;
        self.tables.append(&mut self.open_tables);
    }

    /// Of what keepalives told, only what was handed over counts: the next server may be a standby that was promoted and
    /// never had the rest, and then writes its own transactions there.
    fn forget_keepalives(&mut self) {
        let handed_over = (self.handed_over_end_lsn, self.handed_over_end_lsn);
        self.assembled = if self.transaction.1 >= self.handed_over_end_lsn {
            self.transaction
        } else {
            handed_over
        };
    }

    /// A definition to hand over; `is_open`: it came inside the open transaction.
    pub(super) fn tell(&mut self, table: Table, is_open: bool) {
        self.tables_bytes += table_bytes(&table);
        if is_open {
            self.open_tables.push(table);
        } else {
            self.tables.push(table);
        }
    }

    fn take_tables(&mut self) -> Option<Captured> {
        if self.tables.is_empty() {
            return None;
        }
        let tables = std::mem::take(&mut self.tables);
        self.tables_bytes = self.open_tables.iter().map(table_bytes).sum();
        Some(Captured::Tables(tables))
    }

    /// Whether the position moved far enough, or long enough ago, to be recorded without changes.
    fn is_position_due(&self) -> bool {
        let moved = self.assembled.1.saturating_sub(self.handed_over_end_lsn);
        let interval = i64::try_from(self.limits.idle_position_interval.as_millis());
        let interval = interval.unwrap_or(i64::MAX);
        // A clock that was set back must not put the next position off.
        let is_time = self
            .handed_over_ms
            .is_some_and(|then| self.now_ms < then || self.now_ms.saturating_sub(then) >= interval);
        moved > 0 && (self.is_hurried || is_time || moved >= self.limits.idle_position_bytes)
    }

    /// The commit that goes with the transactions taken.
    fn commit(&mut self, whole: Whole) -> Commit {
        let (commit_lsn, end_lsn) = self.assembled;
        self.handed_over_end_lsn = end_lsn;
        self.handed_over_ms = Some(self.now_ms);
        self.is_hurried = false;
        let position = Position {
            system_id: self.system_id,
            timeline: self.timeline,
            commit_lsn,
            end_lsn,
        };
        Commit {
            position: position.encode(),
            commit_time_ms: whole.commit_time_ms,
            transactions: whole.transactions,
            changes: whole.changes,
        }
    }
}

fn table_bytes(table: &Table) -> usize {
    let column = |column: &Column| size_of::<Column>() + column.name.len() + column.type_name.len();
    let columns: usize = table.columns.iter().map(column).sum();
    size_of::<Table>() + table.schema.len() + table.name.len() + columns
}

/// What [`Assembler::take`] would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Rewind,
    Tables,
    Whole,
    Part,
    Position,
}

impl Assembler {
    /// The next thing for the log, in order; `None` if nothing is ready.
    pub fn take(&mut self) -> Option<Captured> {
        match self.next()? {
            Next::Rewind => {
                self.handover.rewind = false;
                Some(Captured::Rewind)
            }
            Next::Tables => self.handover.take_tables(),
            Next::Whole | Next::Position => {
                let (batches, whole) = self.gather.take_whole();
                let commit = Some(self.handover.commit(whole));
                Some(Captured::Group(TransactionGroup {
                    batches,
                    commit,
                    open: None,
                }))
            }
            Next::Part => Some(self.take_part()),
        }
    }

    /// The definitions that the part may use come first.
    fn take_part(&mut self) -> Captured {
        let open_tables = std::mem::take(&mut self.handover.open_tables);
        self.handover.tables.extend(open_tables);
        let open = self.open_lsn().map(|commit_lsn| OpenPlace {
            commits_at: Lsn(commit_lsn).to_string(),
            behind: Lsn(commit_lsn.saturating_add(1)).to_string(),
        });
        self.handover.take_tables().unwrap_or_else(|| {
            let keep_bytes = self.handover.limits.large_transaction_bytes / 2;
            Captured::Group(TransactionGroup {
                batches: self.gather.take_part(keep_bytes),
                commit: None,
                open,
            })
        })
    }

    /// Whether [`Assembler::take`] would return something.
    pub fn has_ready(&self) -> bool {
        self.next().is_some()
    }

    fn next(&self) -> Option<Next> {
        let (gather, handover) = (&self.gather, &self.handover);
        if handover.rewind {
            return Some(Next::Rewind);
        }
        if !handover.tables.is_empty() {
            return Some(Next::Tables);
        }
        let is_large = self.gathered_bytes() >= handover.limits.large_transaction_bytes;
        if gather.whole().has_records() {
            return (!self.is_open_worth_waiting() || is_large).then_some(Next::Whole);
        }
        if self.open.is_some() {
            let has_part = gather.bytes() > 0 || !handover.open_tables.is_empty();
            return (is_large && has_part).then_some(Next::Part);
        }
        handover.is_position_due().then_some(Next::Position)
    }

    /// A small transaction that has begun to arrive will soon be whole, and then shares a sync with those
    /// before it. One without a row so far costs nothing to cut off.
    fn is_open_worth_waiting(&self) -> bool {
        let small = 1..self.handover.limits.batch_bytes;
        self.open.is_some() && small.contains(&self.gather.open_bytes())
    }

    /// Memory held for the log, in bytes: batches and definitions.
    pub fn gathered_bytes(&self) -> usize {
        self.gather.bytes() + self.handover.tables_bytes
    }

    /// Over budget: nothing is to be pushed until [`Assembler::take`] was called. Something is ready then.
    pub fn must_wait(&self) -> bool {
        self.gathered_bytes() >= self.handover.limits.gathered_bytes && self.has_ready()
    }

    /// The server has sent everything below `wal_end`. Between two transactions that is a position to
    /// resume at, recorded now and then while nothing else is.
    pub fn keepalive(&mut self, wal_end: u64, now_ms: i64) {
        self.handover.now(now_ms);
        if self.open.is_none() && wal_end > self.handover.assembled.1 {
            self.handover.assembled = (wal_end, wal_end);
        }
        self.beat_if_proven();
    }

    /// The server waits for a confirmation of all that it has sent, as it does before it shuts down: the next
    /// position is recorded at once, rows or not.
    pub fn hurry_position(&mut self) {
        self.handover.is_hurried = true;
    }

    /// Forgets the open transaction; the next connection resumes at [`Assembler::handed_over_end_lsn`] and
    /// sends it again. If parts of it were handed over, the next thing taken is [`Captured::Rewind`].
    pub fn connection_lost(&mut self) {
        if self.open.take().is_some_and(|open| !open.is_known) {
            self.handover.rewind |= self.gather.parts_taken();
            self.gather.abandon();
            self.abandon_streams();
        }
        self.horizon.forget();
        self.handover.forget_keepalives();
        let open_tables = std::mem::take(&mut self.handover.open_tables);
        self.handover.tables.extend(open_tables);
        self.relations.connection_lost();
    }

    /// End LSN up to which everything was handed over: where the next connection resumes.
    pub fn handed_over_end_lsn(&self) -> u64 {
        self.handover.handed_over_end_lsn
    }

    /// End LSN up to which everything was assembled, handed over or not. Between two connections that is the end of a
    /// transaction, or a position that was handed over.
    pub fn assembled_end_lsn(&self) -> u64 {
        self.handover.assembled_end_lsn()
    }

    /// The timeline that the next positions carry, after the server moved to another one.
    pub fn set_timeline(&mut self, timeline: u32) {
        self.handover.timeline = timeline;
    }

    /// The server's version text, after it was upgraded.
    pub fn set_server_version(&mut self, version: &str) {
        for encoder in &mut self.encoders {
            if let Some(stream) = encoder.stream() {
                stream.set_version(version);
            }
        }
    }
}
