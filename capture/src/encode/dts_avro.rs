//! Format `dts-avro`: the records of Alibaba Cloud DTS change tracking, bare Avro binary without schema or container
//! (`docs/dts/record.avsc`, `docs/decisions/0016-dts-feed.md`).
//!
//! A record is written once, straight into the batch:
//!
//! ```text
//! version id sourceTimestamp sourcePosition safeSourcePosition sourceTxid source operation objectName
//! processTimestamps tags fields beforeImages afterImages bornTimestamp
//! ```
//!
//! Of these `source`, `objectName`, `fields` and some tags are constant for a table and kept as bytes. Names and
//! their order are the schema's. Key null, no headers.
//!
//! | record | carries |
//! |---|---|
//! | BEGIN, COMMIT | nothing but the envelope; around the rows of one transaction |
//! | INSERT, UPDATE, DELETE | `fields` and images of all columns, in the same order |
//! | DDL | the statement, in the string branch of `afterImages` |
//! | HEARTBEAT | a time up to which everything was sent |
//!
//! What was not sent by the source (a column left out of a minimal row image, a large value that an update left
//! unchanged) is `EmptyObject.NONE`; a value outside its column's encoding (numeric NaN, infinite dates) is its
//! text as `TextObject` `XTYPE`, because the clients end at anything else.

mod avro;
mod envelope;
mod image;
pub mod mysql;
mod origin_bytes;
pub mod postgres;
mod shape;
mod time;

#[cfg(test)]
mod tests;

use crate::encode::TooLarge;
use crate::event::{Operation, Row, RowChange};
use crate::table::TableKey;
use avro::AvroWriter;
use envelope::{Body, Envelope, RecordOperation, Tags};
use image::Counts;
pub use image::{ObjectType, Rendering};
use origin_bytes::OriginBytes;
pub use shape::{ColumnShape, TableShape};
use shape::{TableTemplate, escaped};

/// Whose label and unit rules the records follow. Clients decide by the label what `DateTime.millis` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// MySQL, MariaDB, PolarDB for MySQL, PolarDB-X: all labelled `MySQL`, or clients take microseconds for
    /// nanoseconds.
    MySql,
    /// PostgreSQL and PolarDB for PostgreSQL.
    PostgreSql,
}

/// A place in a source's log, as DTS writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// PostgreSQL: `16/B374D848`.
    Lsn(u64),
    /// MySQL family: `<offset>@<file>`, file as the number that ends its name.
    Binlog {
        /// Byte offset in the file.
        offset: u64,
        /// 78 for `mysql-bin.000078`.
        file: u64,
    },
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Source commit time, ms since 1970; a heartbeat's: up to when all was sent.
    pub commit_time_ms: i64,
    /// When it was read, ms since 1970 (`readerThroughoutTime`).
    pub read_time_ms: i64,
    /// Of the change (PostgreSQL) or its end (MySQL).
    pub position: Position,
    /// Reading again from here loses nothing of the record's transaction.
    pub safe_position: Position,
    /// The transaction's number (PostgreSQL: xid; MySQL: 0, as DTS writes it).
    pub transaction: u64,
    /// MySQL: the connection that made the change.
    pub thread_id: Option<u64>,
    /// MySQL: the server that it was made on.
    pub server_id: Option<u32>,
    /// MySQL: the transaction's GTID; stands in BEGIN and DDL.
    pub gtid: Option<&'a str>,
}

/// A record that is not of a row.
#[derive(Debug, Clone, Copy)]
pub enum Control<'a> {
    /// A transaction begins.
    Begin,
    /// It ends.
    Commit,
    /// Everything up to the origin's time was sent.
    Heartbeat,
    /// A statement that changed definitions.
    Ddl {
        /// The database it was run in.
        database: &'a str,
        /// The statement.
        statement: &'a str,
    },
}

/// Writes the records of one stream. Ids count them, so that a record's id is its offset.
#[derive(Debug)]
pub struct DtsAvro {
    /// The field `source`.
    source: Vec<u8>,
    /// The field `objectName` of a record without one.
    no_object: Vec<u8>,
    origin_bytes: OriginBytes,
    /// By [`TableKey`]; boxed, since most tables of a large database get no rows for long.
    tables: Vec<Option<Box<TableTemplate>>>,
    prepared_bytes: usize,
    record_bytes_max: usize,
    next_id: i64,
    /// The next id when the open transaction began.
    begun_id: i64,
    counts: Counts,
}

impl DtsAvro {
    /// `first_id`: of the first record, which is its offset in the topic. Records beyond `record_bytes_max`
    /// are refused.
    pub fn new(family: Family, version: &str, first_id: i64, record_bytes_max: usize) -> Self {
        Self {
            source: envelope::source(family, version),
            no_object: shape::object_name(None),
            origin_bytes: OriginBytes::default(),
            tables: Vec::new(),
            prepared_bytes: 0,
            record_bytes_max,
            next_id: first_id,
            begun_id: first_id,
            counts: Counts::default(),
        }
    }

    /// The server's version text from now on.
    pub fn set_version(&mut self, family: Family, version: &str) {
        self.source = envelope::source(family, version);
        self.origin_bytes = OriginBytes::default();
    }

    /// Renders what all records of a table share. Replaces what was prepared before.
    pub fn prepare(&mut self, table: TableKey, shape: &TableShape) {
        let index = index_of(table);
        if index >= self.tables.len() {
            self.tables.resize_with(index + 1, || None);
        }
        let template = Box::new(TableTemplate::new(shape));
        self.prepared_bytes += template.size();
        if let Some(slot) = self.tables.get_mut(index)
            && let Some(replaced) = slot.replace(template)
        {
            self.prepared_bytes -= replaced.size();
        }
    }

    /// Whether the table is prepared.
    pub fn is_prepared(&self, table: TableKey) -> bool {
        matches!(self.tables.get(index_of(table)), Some(Some(_)))
    }

    /// Drops what was prepared, for all tables.
    pub fn forget_tables(&mut self) {
        self.tables.iter_mut().for_each(|slot| *slot = None);
        self.prepared_bytes = 0;
    }

    /// Bytes held by prepared tables.
    pub fn prepared_bytes(&self) -> usize {
        self.prepared_bytes
    }

    /// Bytes that a record of the table has beside its values, about.
    pub(crate) fn constant_bytes(&self, table: TableKey) -> usize {
        let template = self.tables.get(index_of(table)).and_then(Option::as_deref);
        template.map_or(0, TableTemplate::size) + envelope::BYTES
    }

    /// A transaction begins: what [`DtsAvro::abandon`] goes back to.
    pub fn begin(&mut self) {
        self.begun_id = self.next_id;
    }

    /// The records since [`DtsAvro::begin`] are gone; their ids are given again.
    pub fn abandon(&mut self) {
        self.next_id = self.begun_id;
    }

    /// Values so far that stand as the marker for "not sent".
    pub fn unchanged(&self) -> u64 {
        self.counts.unchanged
    }

    /// Texts so far in which bytes that are not UTF-8 were replaced.
    pub fn repaired(&self) -> u64 {
        self.counts.repaired
    }

    /// Values so far that are shown as text because DTS has no form for them.
    pub fn as_text(&self) -> u64 {
        self.counts.as_text
    }

    /// Appends one change of a prepared table to `out`.
    ///
    /// Where the source does not send full old rows, `beforeImages` holds the replica identity and `NONE` for the
    /// rest: it may never be null for an update or delete.
    ///
    /// # Errors
    /// The record is too large; `out` may then hold a part of it.
    ///
    /// # Panics
    /// If the table was not prepared.
    pub(crate) fn row<R: Row>(
        &mut self,
        out: &mut Vec<u8>,
        table: TableKey,
        change: &RowChange<R>,
        origin: &Origin<'_>,
    ) -> Result<(), TooLarge> {
        let template = self
            .tables
            .get(index_of(table))
            .and_then(Option::as_deref)
            .expect("a table is prepared before its changes are encoded");
        let operation = match change.operation {
            Operation::Create => RecordOperation::Insert,
            Operation::Update => RecordOperation::Update,
            Operation::Delete => RecordOperation::Delete,
        };
        let mut out = AvroWriter::new(out, self.record_bytes_max);
        let envelope = Envelope {
            id: self.next_id,
            source: &self.source,
            origin,
            operation,
            object: &template.object,
            tags: Tags {
                constant: &template.tags,
                constant_count: template.tag_count,
            },
        };
        envelope.put_head(&mut out, &mut self.origin_bytes);
        out.raw(&template.fields);
        let (columns, counts) = (&template.columns, &mut self.counts);
        match (change.operation, &change.before) {
            (Operation::Create, _) => out.null(),
            (Operation::Update | Operation::Delete, Some(before)) => {
                image::put(&mut out, counts, columns, before)?;
            }
            (Operation::Update | Operation::Delete, None) => {
                let identity = change.old_key.as_ref().unwrap_or(&change.key);
                image::put_identity(&mut out, counts, columns, identity)?;
            }
        }
        match &change.after {
            Some(after) => image::put(&mut out, counts, columns, after)?,
            None => out.null(),
        }
        envelope.put_tail(&mut out);
        out.check(0)?;
        self.next_id += 1;
        Ok(())
    }

    /// Appends a record that is not of a row.
    pub fn control(&mut self, out: &mut Vec<u8>, control: Control<'_>, origin: &Origin<'_>) {
        let (operation, database, body) = match control {
            Control::Begin => (RecordOperation::Begin, None, Body::Nothing),
            Control::Commit => (RecordOperation::Commit, None, Body::Nothing),
            Control::Heartbeat => (RecordOperation::Heartbeat, None, Body::Nothing),
            Control::Ddl {
                database,
                statement,
            } => (
                RecordOperation::Ddl,
                Some(database),
                Body::Statement(statement),
            ),
        };
        let named = database.map(|database| shape::object_name(Some(&escaped(database))));
        let envelope = Envelope {
            id: self.next_id,
            source: &self.source,
            origin,
            operation,
            object: named.as_ref().unwrap_or(&self.no_object),
            tags: Tags::default(),
        };
        let mut out = AvroWriter::new(out, usize::MAX);
        envelope.put_head(&mut out, &mut self.origin_bytes);
        body.put(&mut out);
        envelope.put_tail(&mut out);
        self.next_id += 1;
    }
}

fn index_of(table: TableKey) -> usize {
    usize::try_from(table.0).expect("usize has at least 32 bits here")
}
