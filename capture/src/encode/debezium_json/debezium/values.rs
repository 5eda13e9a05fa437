//! How the connector encodes a value, by its column's type.
//!
//! | type | JSON |
//! |---|---|
//! | boolean, integers, oid | as they are |
//! | real, double precision | number with a point or an exponent; `"NaN"`, `"Infinity"` |
//! | numeric(p, s), money | base64 of the unscaled number |
//! | numeric | `{"scale":2,"value":"MDk="}`, without trailing zeros |
//! | date | days since 1970 |
//! | time, timestamp | milliseconds for a precision up to 3, else microseconds, since midnight or 1970 |
//! | timestamptz, timetz | ISO text in UTC |
//! | interval | microseconds, a month having 30.4375 days |
//! | bytea | base64 |
//! | bit(1), varbit(1) | truth value |
//! | other bit strings | base64 of the number in little endian |
//! | point | object of `x`, `y`, `wkb`, `srid` |
//! | hstore | string with a JSON object |
//! | arrays | array of the elements |
//! | all others | the server's text |
//!
//! A value outside its type's encoding (NaN in a numeric, a year beyond 64 bits of microseconds) is the server's text,
//! where the connector writes null or a wrong number.

use super::super::flink::{UNAVAILABLE, UNAVAILABLE_BYTES};
use super::super::rows::PlainScratch;
use super::{decimal, time};
use crate::encode::json::{JsonBuffer, TooLarge};
use crate::value::{ColumnType, Value, ValueForm, ValueKind};

/// The placeholder for an hstore that was not sent.
const UNAVAILABLE_PAIRS: &[u8] =
    br#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#;

/// Appends one value that is no array.
pub(in super::super) fn put(
    out: &mut JsonBuffer,
    column: &ColumnType,
    value: Value<'_>,
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    match value {
        Value::Null => out.raw(b"null"),
        Value::Unchanged(form) | Value::Omitted(form) => put_unchanged(out, form),
        Value::Bool(true) => out.raw(b"true"),
        Value::Bool(false) => out.raw(b"false"),
        Value::Number(digits) => put_number(out, column.form.kind, digits),
        Value::Decimal(text) => decimal::put(out, column.modifier, text, scratch)?,
        Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::Instant(text)
        | Value::Text(text) => put_text(out, column, text, scratch)?,
        Value::HexBytes(digits) => out.base64_of_hex(digits)?,
        Value::Bytes(bytes) => out.base64(bytes)?,
        Value::Pairs(pairs) => scratch.put_quoted_pairs(out, pairs)?,
        Value::Json(text) => out.string(text)?,
        Value::Array(array) => out.string(array.text())?,
    }
    Ok(())
}

/// A value by its kind, else as the text that it is.
fn put_text(
    out: &mut JsonBuffer,
    column: &ColumnType,
    text: &[u8],
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    let precision = time::precision(column.modifier);
    let is_written = match column.form.kind {
        ValueKind::Date => put_integer(out, time::days(text)),
        ValueKind::Time => put_integer(out, time::of_day(text, precision)),
        ValueKind::Timestamp => put_integer(out, time::timestamp(text, precision)),
        ValueKind::Interval => put_integer(out, time::interval(text)),
        ValueKind::Instant => time::put_instant(out, text, precision),
        ValueKind::ZonedTime => time::put_zoned_time(out, text),
        ValueKind::Money => decimal::put_money(out, text, scratch)?,
        ValueKind::Bits => put_bits(out, column.modifier, text, scratch)?,
        ValueKind::Point => put_point(out, text)?,
        ValueKind::Bool
        | ValueKind::Int16
        | ValueKind::Int32
        | ValueKind::Int64
        | ValueKind::Float32
        | ValueKind::Float64
        | ValueKind::Decimal
        | ValueKind::Bytes
        | ValueKind::Json
        | ValueKind::Pairs
        | ValueKind::Uuid
        | ValueKind::Xml
        | ValueKind::LabelPath
        | ValueKind::Lexemes
        | ValueKind::Enum
        | ValueKind::Text => false,
    };
    if is_written { Ok(()) } else { out.string(text) }
}

fn put_integer(out: &mut JsonBuffer, number: Option<i64>) -> bool {
    if let Some(number) = number {
        out.integer(number);
    }
    number.is_some()
}

fn put_unchanged(out: &mut JsonBuffer, form: ValueForm) {
    match (form.kind, form.array_delimiter) {
        (ValueKind::Bytes, None) => out.plain_string(UNAVAILABLE_BYTES, b""),
        (ValueKind::Pairs, None) => out.raw(UNAVAILABLE_PAIRS),
        (_, None) => out.plain_string(UNAVAILABLE, b""),
        // The placeholder's bytes, so that a reader that wants numbers gets numbers.
        (ValueKind::Int16 | ValueKind::Int32 | ValueKind::Int64 | ValueKind::Date, Some(_)) => {
            for (index, byte) in UNAVAILABLE.iter().enumerate() {
                out.raw(if index == 0 { b"[" } else { b"," });
                out.integer(*byte);
            }
            out.raw(b"]");
        }
        (_, Some(_)) => {
            out.raw(b"[");
            out.plain_string(UNAVAILABLE, b"");
            out.raw(b"]");
        }
    }
}

/// Java's floats always have a point or an exponent, by which schema-less readers tell them from integers.
fn put_number(out: &mut JsonBuffer, kind: ValueKind, digits: &[u8]) {
    out.raw(digits);
    let is_float = matches!(
        kind,
        ValueKind::Float32 | ValueKind::Float64 | ValueKind::Point
    );
    if is_float && !digits.iter().any(|byte| matches!(byte, b'.' | b'e')) {
        out.raw(b".0");
    }
}

/// `modifier` is the length; -1 for varbit without one.
fn put_bits(
    out: &mut JsonBuffer,
    modifier: i32,
    text: &[u8],
    scratch: &mut PlainScratch,
) -> Result<bool, TooLarge> {
    if !text.iter().all(|bit| matches!(bit, b'0' | b'1')) {
        return Ok(false);
    }
    if modifier == 1 {
        match text {
            b"0" => out.raw(b"false"),
            b"1" => out.raw(b"true"),
            _ => return Ok(false),
        }
        return Ok(true);
    }
    scratch.bytes.clear();
    for eight in text.rchunks(8) {
        let byte = eight.iter().fold(0_u8, |byte, bit| byte << 1 | (bit & 1));
        scratch.bytes.push(byte);
    }
    let used = scratch.bytes.iter().rposition(|byte| *byte != 0);
    scratch.bytes.truncate(used.map_or(0, |last| last + 1));
    out.base64(&scratch.bytes)?;
    Ok(true)
}

/// `(x,y)`. `wkb` is the point in OGC's well-known binary form, little endian.
fn put_point(out: &mut JsonBuffer, text: &[u8]) -> Result<bool, TooLarge> {
    let inner = text
        .strip_prefix(b"(")
        .and_then(|rest| rest.strip_suffix(b")"));
    let comma = inner.and_then(|inner| inner.iter().position(|byte| *byte == b','));
    let Some((x, y)) = inner.zip(comma).map(|(inner, comma)| inner.split_at(comma)) else {
        return Ok(false);
    };
    let y = y.get(1..).unwrap_or_default();
    let parse = |text| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    let (Some(x_number), Some(y_number)) = (parse(x), parse(y)) else {
        return Ok(false);
    };
    out.raw(b"{\"x\":");
    put_coordinate(out, x, x_number);
    out.raw(b",\"y\":");
    put_coordinate(out, y, y_number);
    out.raw(b",\"wkb\":");
    let mut wkb = [0; 21];
    let fields: [&[u8]; 3] = [
        &[1, 1, 0, 0, 0],
        &x_number.to_le_bytes(),
        &y_number.to_le_bytes(),
    ];
    for (to, from) in wkb.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    out.base64(&wkb)?;
    out.raw(b",\"srid\":null}");
    Ok(true)
}

fn put_coordinate(out: &mut JsonBuffer, text: &[u8], number: f64) {
    if number.is_finite() {
        put_number(out, ValueKind::Point, text);
    } else {
        out.plain_string(text, b"");
    }
}
