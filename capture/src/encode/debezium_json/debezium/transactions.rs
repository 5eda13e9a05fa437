//! The boundaries of transactions, in the topic `<prefix>.transaction`, and a record's place in its transaction.
//!
//! ```json
//! {"status":"BEGIN","id":"555:24023128","event_count":null,"data_collections":null,"ts_ms":1704164645678}
//! {"status":"END","id":"555:24023128","event_count":3,"data_collections":
//!   [{"data_collection":"public.orders","event_count":2},{"data_collection":"public.lines","event_count":1}],
//!  "ts_ms":1704164645678}
//! ```
//!
//! Key: `{"id":"555:24023128"}`. Records are counted, not kept: a tombstone is part of the delete before it; a changed
//! key is two. Collections stand in the order of their first record.

use std::collections::HashMap;

use super::super::Scratch;
use super::schema;
use crate::encode::json::{JsonBuffer, TooLarge};
use crate::encode::{Encoded, Sink};
use crate::event::ChangeOrigin;

/// As a JSON string, what logical messages are counted under.
pub(in super::super) const MESSAGES: &[u8] = b"\"message\"";

/// The open transaction, counted.
#[derive(Debug, Default)]
pub(in super::super) struct Transaction {
    total: u64,
    collections: Vec<Collection>,
    /// By name, where it is in `collections`.
    places: HashMap<Box<[u8]>, usize>,
    /// Of the last record: rows of a table come in runs.
    last: usize,
}

#[derive(Debug)]
struct Collection {
    /// A JSON string.
    name: Box<[u8]>,
    count: u64,
}

impl Transaction {
    fn begin(&mut self) {
        // Another transaction need not pay for one of very many tables.
        *self = Self::default();
    }

    /// Counts a record of a collection; its place in the transaction and in the collection, from 1.
    fn count(&mut self, collection: &[u8]) -> (u64, u64) {
        let is_last = |last: &Collection| *last.name == *collection;
        if !self.collections.get(self.last).is_some_and(is_last) {
            self.last = self.place(collection);
        }
        self.total += 1;
        let collection = self.collections.get_mut(self.last);
        let count = collection.map_or(0, |collection| {
            collection.count += 1;
            collection.count
        });
        (self.total, count)
    }

    fn place(&mut self, collection: &[u8]) -> usize {
        if let Some(place) = self.places.get(collection) {
            return *place;
        }
        let place = self.collections.len();
        self.places.insert(collection.into(), place);
        self.collections.push(Collection {
            name: collection.into(),
            count: 0,
        });
        place
    }
}

/// `,"transaction":` and the block of the next record of a collection; null where `transaction` is none.
pub(super) fn put_block(
    out: &mut JsonBuffer,
    transaction: Option<&mut Transaction>,
    collection: &[u8],
    origin: &ChangeOrigin,
) {
    out.raw(b",\"transaction\":");
    let Some(transaction) = transaction else {
        out.raw(b"null");
        return;
    };
    let (total, in_collection) = transaction.count(collection);
    put_id(out, origin);
    out.raw(b",\"total_order\":");
    out.integer(total);
    out.raw(b",\"data_collection_order\":");
    out.integer(in_collection);
    out.raw(b"}");
}

/// `{"id":"555:24023128"`
fn put_id(out: &mut JsonBuffer, origin: &ChangeOrigin) {
    out.raw(b"{\"id\":");
    put_id_value(out, origin);
}

fn put_id_value(out: &mut JsonBuffer, origin: &ChangeOrigin) {
    out.raw(b"\"");
    out.integer(origin.transaction_id);
    out.raw(b":");
    out.integer(origin.commit_lsn);
    out.raw(b"\"");
}

/// The record of a transaction's begin; the counts begin anew.
pub(in super::super) fn encode_begin(
    scratch: &mut Scratch,
    with_schemas: bool,
    origin: &ChangeOrigin,
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    let Some(transaction) = &mut scratch.transaction else {
        return Ok(());
    };
    transaction.begin();
    open(scratch, (with_schemas, b"BEGIN"), origin);
    let out = &mut scratch.value;
    out.raw(b",\"event_count\":null,\"data_collections\":null");
    close(scratch, with_schemas, origin, sink)
}

/// The record of its end.
pub(in super::super) fn encode_end(
    scratch: &mut Scratch,
    with_schemas: bool,
    origin: &ChangeOrigin,
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    let Some(transaction) = scratch.transaction.take() else {
        return Ok(());
    };
    open(scratch, (with_schemas, b"END"), origin);
    let out = &mut scratch.value;
    out.raw(b",\"event_count\":");
    out.integer(transaction.total);
    out.raw(b",\"data_collections\":[");
    for (index, collection) in transaction.collections.iter().enumerate() {
        out.raw(if index == 0 { b"" } else { b"," });
        out.raw(b"{\"data_collection\":");
        out.raw(&collection.name);
        out.raw(b",\"event_count\":");
        out.integer(collection.count);
        out.raw(b"}");
    }
    out.raw(b"]");
    scratch.transaction = Some(transaction);
    close(scratch, with_schemas, origin, sink)
}

/// The key, and the value up to its id.
fn open(scratch: &mut Scratch, (with_schemas, status): (bool, &[u8]), origin: &ChangeOrigin) {
    let (key, value) = (&mut scratch.key, &mut scratch.value);
    key.clear();
    value.clear();
    if with_schemas {
        key.raw(schema::TRANSACTION_KEY.as_bytes());
        value.raw(schema::TRANSACTION_VALUE.as_bytes());
    }
    put_id(key, origin);
    key.raw(if with_schemas { b"}}" } else { b"}" });
    value.raw(b"{\"status\":\"");
    value.raw(status);
    value.raw(b"\",\"id\":");
    put_id_value(value, origin);
}

fn close(
    scratch: &mut Scratch,
    with_schemas: bool,
    origin: &ChangeOrigin,
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    let out = &mut scratch.value;
    out.raw(b",\"ts_ms\":");
    out.integer(origin.commit_time_us.div_euclid(1000));
    out.raw(if with_schemas { b"}}" } else { b"}" });
    let record = Encoded::new(Some(scratch.key.bytes()), Some(scratch.value.bytes()));
    scratch.send(&record, sink)
}
