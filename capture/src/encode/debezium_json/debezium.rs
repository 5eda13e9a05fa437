//! The dialect `debezium`: what the connector for PostgreSQL, version 3.6, writes by default through Connect's JSON
//! converter (`docs/debezium.md`, with the list of differences).
//!
//! ```json
//! {"before":null,"after":{"id":1,"price":"BOI="},
//!  "source":{"version":"0.1.0","connector":"postgresql","name":"shop","ts_ms":1704164645678,"snapshot":"false",
//!            "db":"shop","sequence":"[\"24023120\",\"24023128\"]","ts_us":1704164645678901,
//!            "ts_ns":1704164645678901000,"schema":"public","table":"orders","txId":555,"lsn":24023128,
//!            "xmin":null,"origin":null,"origin_lsn":null},
//!  "transaction":null,"op":"c","ts_ms":1704164645700,"ts_us":1704164645700000,"ts_ns":1704164645700000000}
//! ```
//!
//! | change | records |
//! |---|---|
//! | insert | `c` |
//! | update | `u`; `before` is what the source sent of the old row |
//! | update with another key | `d` of the old key, tombstone, `c` of the new one; the headers name the other key |
//! | delete | `d`, tombstone |
//! | truncate, where switched on | `t` with a null key |
//!
//! | file | encodes |
//! |---|---|
//! | `values` | a value by its column's type |
//! | `time` | days, microseconds, ISO texts |
//! | `decimal` | unscaled numbers in two's complement |
//! | `schema` | the schemas of keys and values |
//! | `messages` | logical messages |
//! | `transactions` | the boundaries of transactions, and places in them |

mod decimal;
pub(super) mod messages;
pub(super) mod schema;
mod time;
pub(super) mod transactions;
mod values;

#[cfg(test)]
mod tests;

use super::rows;
use super::template::TableTemplate;
use super::{OLD_KEY_HEADER, Scratch, UNCHANGED_HEADER};
use crate::encode::json::{JsonBuffer, TooLarge};
use crate::encode::{Encoded, Sink};
use crate::event::{ChangeOrigin, Operation, Row, RowChange};

pub(super) use values::put;

/// On the records of an old key: the key that took its place.
const NEW_KEY_HEADER: &str = "__debezium.newkey";

/// `Envelope.Operation`.
#[derive(Debug, Clone, Copy)]
enum Op {
    Create,
    Update,
    Delete,
    Truncate,
}

/// The records of one change.
pub(super) fn encode<R: Row>(
    scratch: &mut Scratch,
    template: &TableTemplate,
    (change, origin): (&RowChange<R>, &ChangeOrigin),
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    scratch.put_keys(template, change)?;
    let after = change.after.as_ref();
    let old = change.before.as_ref().or(change.old_key.as_ref());
    match change.operation {
        Operation::Create => {
            put_envelope(scratch, template, (None::<&R>, after, Op::Create), origin)?;
            send_new(scratch, template, sink)
        }
        Operation::Update if scratch.key_changed() => {
            put_envelope(scratch, template, (old, None, Op::Delete), origin)?;
            send_old(scratch, template, sink)?;
            put_envelope(scratch, template, (None::<&R>, after, Op::Create), origin)?;
            send_new(scratch, template, sink)
        }
        Operation::Update => {
            put_envelope(scratch, template, (old, after, Op::Update), origin)?;
            send_new(scratch, template, sink)
        }
        Operation::Delete => {
            let old = change.before.as_ref().unwrap_or(&change.key);
            put_envelope(scratch, template, (Some(old), None, Op::Delete), origin)?;
            send_old(scratch, template, sink)
        }
    }
}

/// The record of a truncation.
pub(super) fn encode_truncate(
    scratch: &mut Scratch,
    template: &TableTemplate,
    origin: &ChangeOrigin,
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    let out = &mut scratch.value;
    open(out, template);
    out.raw(b"{\"before\":null,\"after\":null");
    close(scratch, template, Op::Truncate, origin);
    let mut record = Encoded::new(None, Some(scratch.value.bytes()));
    add_context(&mut record, template);
    scratch.send(&record, sink)
}

fn put_envelope<R: Row>(
    scratch: &mut Scratch,
    template: &TableTemplate,
    (before, after, op): (Option<&R>, Option<&R>, Op),
    origin: &ChangeOrigin,
) -> Result<(), TooLarge> {
    let out = &mut scratch.value;
    open(out, template);
    out.raw(b"{\"before\":");
    rows::put_image(out, template, before, &mut scratch.values, |_| ())?;
    out.raw(b",\"after\":");
    scratch.put_after(template, after)?;
    close(scratch, template, op, origin);
    Ok(())
}

fn open(out: &mut JsonBuffer, template: &TableTemplate) {
    out.clear();
    if let Some(schemas) = &template.schemas {
        out.raw(&schemas.value);
    }
}

/// From the comma before `source` to the end of the value.
fn close(scratch: &mut Scratch, template: &TableTemplate, op: Op, origin: &ChangeOrigin) {
    let out = &mut scratch.value;
    put_source(out, template, origin);
    out.raw(b"}");
    let transaction = scratch.transaction.as_mut();
    transactions::put_block(out, transaction, &template.collection, origin);
    out.raw(match op {
        Op::Create => b",\"op\":\"c\"",
        Op::Update => b",\"op\":\"u\"",
        Op::Delete => b",\"op\":\"d\"",
        Op::Truncate => b",\"op\":\"t\"",
    });
    put_times(out, origin.read_time_ms.saturating_mul(1000), true);
    out.raw(b"}");
    if template.schemas.is_some() {
        out.raw(b"}");
    }
}

/// `ts_ms`, `ts_us`, `ts_ns` of one time, each behind a comma.
fn put_times(out: &mut JsonBuffer, us: i64, with_ms: bool) {
    if with_ms {
        out.raw(b",\"ts_ms\":");
        out.integer(us.div_euclid(1000));
    }
    out.raw(b",\"ts_us\":");
    out.integer(us);
    out.raw(b",\"ts_ns\":");
    out.integer(us.saturating_mul(1000));
}

fn put_source(out: &mut JsonBuffer, template: &TableTemplate, origin: &ChangeOrigin) {
    put_source_start(
        out,
        (&template.source_head, &template.source_database),
        origin,
    );
    out.raw(&template.source_table);
    out.integer(origin.transaction_id);
    put_source_end(out, origin);
}

/// Up to the commit time's notations.
fn put_source_start(out: &mut JsonBuffer, (head, database): (&[u8], &[u8]), origin: &ChangeOrigin) {
    out.raw(head);
    out.integer(origin.commit_time_us.div_euclid(1000));
    out.raw(database);
    out.raw(b",\"sequence\":\"[");
    match origin.previous_end_lsn {
        Some(lsn) => {
            out.raw(b"\\\"");
            out.integer(lsn);
            out.raw(b"\\\"");
        }
        None => out.raw(b"null"),
    }
    out.raw(b",\\\"");
    out.integer(origin.lsn);
    out.raw(b"\\\"]\"");
    put_times(out, origin.commit_time_us, false);
}

/// Behind the transaction's id; the brace is the caller's.
fn put_source_end(out: &mut JsonBuffer, origin: &ChangeOrigin) {
    out.raw(b",\"lsn\":");
    out.integer(origin.lsn);
    out.raw(b",\"xmin\":null,\"origin\":null,\"origin_lsn\":null");
}

/// The record of the row as it is now.
fn send_new(
    scratch: &mut Scratch,
    template: &TableTemplate,
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    put_key_with_schema(scratch, template, Which::New);
    let key = key(scratch, template, Which::New);
    let mut record = Encoded::new(key, Some(scratch.value.bytes()));
    if scratch.key_changed() {
        record.add_header(OLD_KEY_HEADER, scratch.old_key.bytes());
    }
    if scratch.unchanged.len() > 0 {
        record.add_header(UNCHANGED_HEADER, scratch.unchanged.bytes());
    }
    add_context(&mut record, template);
    scratch.send(&record, sink)
}

/// The record of a row that is no more under its key, and the tombstone behind it.
fn send_old(
    scratch: &mut Scratch,
    template: &TableTemplate,
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    let key_changed = scratch.key_changed();
    let which = if key_changed { Which::Old } else { Which::New };
    put_key_with_schema(scratch, template, which);
    let key = key(scratch, template, which);
    for value in [Some(scratch.value.bytes()), None] {
        let mut record = Encoded::new(key, value);
        if key_changed {
            record.add_header(NEW_KEY_HEADER, scratch.key.bytes());
        }
        add_context(&mut record, template);
        scratch.send(&record, sink)?;
    }
    Ok(())
}

/// Which key of a change.
#[derive(Debug, Clone, Copy)]
enum Which {
    New,
    Old,
}

/// Headers hold keys without schema; records with it, where schemas are written.
fn put_key_with_schema(scratch: &mut Scratch, template: &TableTemplate, which: Which) {
    let Some(schemas) = &template.schemas else {
        return;
    };
    let out = &mut scratch.values.plain.json;
    out.clear();
    out.raw(&schemas.key);
    out.raw(match which {
        Which::New => scratch.key.bytes(),
        Which::Old => scratch.old_key.bytes(),
    });
    out.raw(b"}");
}

/// The record's key, behind [`put_key_with_schema`].
fn key<'a>(scratch: &'a Scratch, template: &TableTemplate, which: Which) -> Option<&'a [u8]> {
    if template.key_prefixes.is_empty() {
        return None;
    }
    Some(match (&template.schemas, which) {
        (Some(_), _) => scratch.values.plain.json.bytes(),
        (None, Which::New) => scratch.key.bytes(),
        (None, Which::Old) => scratch.old_key.bytes(),
    })
}

/// What the connector's own headers say of it, but for the random id of its run.
fn add_context<'a>(record: &mut Encoded<'a>, template: &'a TableTemplate) {
    record.add_header("__debezium.context.connectorLogicalName", &template.feed);
    record.add_header("__debezium.context.taskId", b"0");
    record.add_header(
        "__debezium.context.connectorName",
        template.connector.as_bytes(),
    );
}
