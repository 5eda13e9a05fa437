//! The dialect `flink`: what Flink's `debezium-json` takes for the SQL type that the PostgreSQL type is declared as.
//!
//! ```json
//! {"before":null,"after":{"id":1,"price":"12.50"},
//!  "source":{"version":"0.1.0","connector":"postgresql","name":"shop","ts_ms":1704164645678,
//!            "snapshot":"false","db":"shop","schema":"public","table":"orders",
//!            "txId":555,"lsn":24023128,"commit_lsn":24023400,"ordinal":0},
//!  "op":"c","ts_ms":1704164645700}
//! ```
//!
//! Flink reads `source` as a map of strings, so it holds no object.
//!
//! | value | JSON | Flink type |
//! |---|---|---|
//! | truth value | `true` | BOOLEAN |
//! | whole number, float | `12`, `1.5e+20` | SMALLINT, INT, BIGINT, FLOAT, DOUBLE |
//! | decimal | `"12.50"` | DECIMAL(p, s) |
//! | date | `"2024-02-29"` | DATE |
//! | time | `"12:34:56.789012"` | TIME(p) |
//! | timestamp | `"2024-02-29 12:34:56.789012"` | TIMESTAMP(p) |
//! | instant | `"2024-02-29 12:34:56.789012Z"` | TIMESTAMP_LTZ(p) |
//! | bytes | base64 | BYTES |
//! | array | array of its elements, nested for each dimension | ARRAY |
//! | pairs (hstore) | object of strings and nulls | MAP(STRING, STRING) |
//! | JSON, all else | the server's text | STRING |
//!
//! The time forms are those of the format's default, `timestamp-format.standard = 'SQL'`. A value outside
//! them (infinity, NaN, years BC) is a string with the server's text: a job that meets one says so, where
//! null or a far date would be a wrong value. So is an array whose subscripts do not begin at 1.

use super::rows::{self, PlainScratch};
use super::template::TableTemplate;
use super::{OLD_KEY_HEADER, Scratch, UNCHANGED_HEADER};
use crate::encode::json::{JsonBuffer, TooLarge};
use crate::encode::{Encoded, Sink};
use crate::event::{ChangeOrigin, Operation, Row, RowChange};
use crate::value::{Value, ValueKind};

/// Debezium's placeholder for a value that was not sent.
pub(super) const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";

/// The same where bytes are expected: base64 of it.
pub(super) const UNAVAILABLE_BYTES: &[u8] = b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";

/// One record a change.
pub(super) fn encode<R: Row>(
    scratch: &mut Scratch,
    template: &TableTemplate,
    (change, origin): (&RowChange<R>, &ChangeOrigin),
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    put_envelope(scratch, template, (change, origin))?;
    scratch.put_keys(template, change)?;
    let keyed = !template.key_prefixes.is_empty();
    let key = keyed.then_some(scratch.key.bytes());
    let mut record = Encoded::new(key, Some(scratch.value.bytes()));
    if scratch.key_changed() {
        record.add_header(OLD_KEY_HEADER, scratch.old_key.bytes());
    }
    if scratch.unchanged.len() > 0 {
        record.add_header(UNCHANGED_HEADER, scratch.unchanged.bytes());
    }
    scratch.send(&record, sink)
}

fn put_envelope<R: Row>(
    scratch: &mut Scratch,
    template: &TableTemplate,
    (change, origin): (&RowChange<R>, &ChangeOrigin),
) -> Result<(), TooLarge> {
    let out = &mut scratch.value;
    out.clear();
    out.raw(b"{\"before\":");
    let before = change.before.as_ref();
    rows::put_image(out, template, before, &mut scratch.values, |_| ())?;
    out.raw(b",\"after\":");
    scratch.put_after(template, change.after.as_ref())?;
    let out = &mut scratch.value;
    put_source(out, template, origin);
    out.raw(match change.operation {
        Operation::Create => b"},\"op\":\"c\",\"ts_ms\":",
        Operation::Update => b"},\"op\":\"u\",\"ts_ms\":",
        Operation::Delete => b"},\"op\":\"d\",\"ts_ms\":",
    });
    out.integer(origin.read_time_ms);
    out.raw(b"}");
    Ok(())
}

fn put_source(out: &mut JsonBuffer, template: &TableTemplate, origin: &ChangeOrigin) {
    out.raw(&template.source_head);
    out.integer(origin.commit_time_ms());
    out.raw(&template.source_database);
    out.raw(&template.source_table);
    out.integer(origin.transaction_id);
    out.raw(b",\"lsn\":");
    out.integer(origin.lsn);
    out.raw(b",\"commit_lsn\":");
    out.integer(origin.commit_lsn);
    out.raw(b",\"ordinal\":");
    out.integer(origin.ordinal);
}

/// Appends one value that is no array.
pub(super) fn put(
    out: &mut JsonBuffer,
    value: Value<'_>,
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    match value {
        Value::Null => out.raw(b"null"),
        Value::Unchanged(form) | Value::Omitted(form) => {
            put_unchanged(out, form.kind, form.array_delimiter.is_some());
        }
        Value::Bool(true) => out.raw(b"true"),
        Value::Bool(false) => out.raw(b"false"),
        Value::Number(digits) => out.raw(digits),
        Value::Decimal(text) | Value::Date(text) | Value::Time(text) | Value::Timestamp(text) => {
            out.plain_string(text, b"");
        }
        Value::Instant(text) => out.plain_string(text, b"Z"),
        Value::HexBytes(digits) => out.base64_of_hex(digits)?,
        Value::Bytes(bytes) => out.base64(bytes)?,
        Value::Pairs(pairs) => scratch.put_pairs(out, pairs)?,
        Value::Json(text) | Value::Text(text) => out.string(text)?,
        Value::Array(array) => out.string(array.text())?,
    }
    Ok(())
}

fn put_unchanged(out: &mut JsonBuffer, kind: ValueKind, is_array: bool) {
    if kind == ValueKind::Bytes && !is_array {
        out.plain_string(UNAVAILABLE_BYTES, b"");
    } else {
        out.plain_string(UNAVAILABLE, b"");
    }
}
