//! A feed of format `dts-avro` from a PostgreSQL source: the transactions' boundaries around the rows, statements,
//! heartbeats.
//!
//! BEGIN is written with the first record of a transaction, so that one without captured rows leaves nothing. The
//! position of a record is its LSN; the safe position is the end of the transaction before, from where PostgreSQL
//! sends the record's transaction whole.

use std::collections::HashSet;

use headwater_protocol::batch::BatchFull;

use super::dts_avro::{Control, DtsAvro, Family, Origin, Position, postgres};
use super::{Attempt, Oddities, SourceNames, TooLarge};
use crate::event::{ChangeOrigin, Row, RowChange};
use crate::group::gather::Gather;
use crate::table::{Table, TableKey};

/// Bytes of a record without a row, about.
const CONTROL_BYTES: usize = 110;

/// Types without a form that are told of; of more only the values are counted.
const TOLD_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct DtsStream {
    pub(super) encoder: DtsAvro,
    database: String,
    /// Oids of types that DTS cannot express, told once each.
    told: HashSet<u32>,
    /// Everything up to here was assembled when the open transaction began.
    safe_lsn: u64,
    /// The open transaction has a record.
    has_begun: bool,
}

/// Why a record is not in the batch.
enum Refused {
    TooLarge(TooLarge),
    BatchFull,
}

impl From<BatchFull> for Refused {
    fn from(_: BatchFull) -> Self {
        Self::BatchFull
    }
}

impl DtsStream {
    pub(super) fn new(source: &SourceNames<'_>, next_id: i64, record_bytes_max: usize) -> Self {
        Self {
            encoder: DtsAvro::new(Family::PostgreSql, "", next_id, record_bytes_max),
            database: source.database.to_owned(),
            told: HashSet::new(),
            safe_lsn: 0,
            has_begun: false,
        }
    }

    /// The server's version from now on, as it writes it.
    pub(crate) fn set_version(&mut self, version: &str) {
        let version = plain_version(version);
        self.encoder.set_version(Family::PostgreSql, version);
    }

    pub(super) fn prepare(&mut self, table: &Table) {
        for column in &table.columns {
            let is_known = postgres::rendering(column).is_some();
            if is_known || self.told.len() >= TOLD_MAX || !self.told.insert(column.type_oid) {
                continue;
            }
            tracing::warn!(
                schema = table.schema,
                table = table.name,
                column = column.name,
                type_oid = column.type_oid,
                type_name = column.type_name,
                "DTS has no form for this type: its values are text of type XTYPE in the feed"
            );
        }
        let shape = postgres::shape(&self.database, table);
        self.encoder.prepare(table.key, &shape);
    }

    /// A transaction begins; everything before `safe_lsn` was assembled.
    pub(crate) fn begin(&mut self, safe_lsn: u64) {
        self.safe_lsn = safe_lsn;
        self.has_begun = false;
        self.encoder.begin();
    }

    /// The open transaction is forgotten, and the ids of its records are given again.
    pub(crate) fn abandon(&mut self) {
        self.has_begun = false;
        self.encoder.abandon();
    }

    pub(super) fn append<R: Row>(
        &mut self,
        (gather, feed, table): (&mut Gather, usize, TableKey),
        (change, message_bytes): (&RowChange<R>, usize),
        origin: &ChangeOrigin,
        attempt: &Attempt<'_>,
    ) -> Result<(), TooLarge> {
        self.put_begin((gather, feed), origin);
        let expected = message_bytes + self.encoder.constant_bytes(table);
        let origin = dts_origin(origin, self.safe_lsn);
        let encoder = &mut self.encoder;
        let times = (origin.commit_time_ms, expected);
        let header = attempt.header();
        let appended = gather.append_value((feed, None), times, header.as_slice(), |out| {
            let written = encoder.row(out, table, change, &origin);
            written.map_err(Refused::TooLarge)
        });
        appended.map_err(|refused| match refused {
            Refused::TooLarge(too_large) => too_large,
            Refused::BatchFull => TooLarge { bytes: expected },
        })
    }

    /// A statement of the open transaction.
    pub(crate) fn statement(
        &mut self,
        (gather, feed): (&mut Gather, usize),
        statement: &str,
        origin: &ChangeOrigin,
    ) {
        self.put_begin((gather, feed), origin);
        let database = self.database.clone();
        let control = Control::Ddl {
            database: &database,
            statement,
        };
        self.put((gather, feed), control, &dts_origin(origin, self.safe_lsn));
    }

    /// The open transaction is whole; `origin` is of its commit.
    pub(crate) fn commit(&mut self, lane: (&mut Gather, usize), origin: &ChangeOrigin) {
        if std::mem::take(&mut self.has_begun) {
            self.put(lane, Control::Commit, &dts_origin(origin, self.safe_lsn));
        }
    }

    /// Between two transactions: everything committed before `time_ms` was sent, and it lies below `end_lsn`.
    pub(crate) fn heartbeat(
        &mut self,
        lane: (&mut Gather, usize),
        end_lsn: u64,
        (time_ms, read_time_ms): (i64, i64),
    ) {
        let position = Position::Lsn(end_lsn);
        let origin = Origin {
            commit_time_ms: time_ms,
            read_time_ms,
            position,
            safe_position: position,
            transaction: 0,
            thread_id: None,
            server_id: None,
            gtid: None,
        };
        self.put(lane, Control::Heartbeat, &origin);
    }

    fn put_begin(&mut self, lane: (&mut Gather, usize), origin: &ChangeOrigin) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.put(lane, Control::Begin, &dts_origin(origin, self.safe_lsn));
        }
    }

    fn put(
        &mut self,
        (gather, feed): (&mut Gather, usize),
        control: Control<'_>,
        origin: &Origin<'_>,
    ) {
        let statement = match control {
            Control::Ddl { statement, .. } => statement.len(),
            Control::Begin | Control::Commit | Control::Heartbeat => 0,
        };
        let times = (origin.commit_time_ms, CONTROL_BYTES + statement);
        let encoder = &mut self.encoder;
        gather.count_control();
        let appended = gather.append_value((feed, None), times, &[], |out| {
            encoder.control(out, control, origin);
            Ok::<(), BatchFull>(())
        });
        appended.expect("a statement is far below what Kafka's lengths can carry");
    }

    pub(super) fn oddities(&self) -> Oddities {
        Oddities {
            unchanged: self.encoder.unchanged(),
            repaired: self.encoder.repaired(),
            as_text: self.encoder.as_text(),
        }
    }
}

/// `15.18` of `15.18 (Debian 15.18-0+deb12u1)`.
fn plain_version(version: &str) -> &str {
    version.split(' ').next().unwrap_or_default()
}

fn dts_origin(origin: &ChangeOrigin, safe_lsn: u64) -> Origin<'static> {
    Origin {
        commit_time_ms: origin.commit_time_ms(),
        read_time_ms: origin.read_time_ms,
        position: Position::Lsn(origin.lsn),
        safe_position: Position::Lsn(safe_lsn),
        transaction: origin.transaction_id,
        thread_id: None,
        server_id: None,
        gtid: None,
    }
}
