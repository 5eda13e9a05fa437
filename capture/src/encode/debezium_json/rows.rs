//! Row images and keys as JSON objects, whichever the dialect.

use std::ops::Range;

use super::template::{ColumnTemplate, Dialect, TableTemplate};
use super::{debezium, flink};
use crate::encode::json::{JsonBuffer, TooLarge};
use crate::event::Row;
use crate::limits::SCRATCH_BYTES;
use crate::value::{ArrayText, Item, PairsText, Value};

/// Buffers for values that cannot be copied from the source's bytes as they stand.
#[derive(Debug)]
pub(super) struct ValueScratch {
    /// An array's element without its escapes.
    element: Vec<u8>,
    pub(super) plain: PlainScratch,
}

/// What values that are no arrays need.
#[derive(Debug)]
pub(super) struct PlainScratch {
    pair: (Vec<u8>, Vec<u8>),
    /// A JSON document on its way into a string.
    pub(super) json: JsonBuffer,
    pub(super) digits: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    pub(super) limbs: Vec<u64>,
}

impl ValueScratch {
    pub(super) fn new(record_bytes_max: usize) -> Self {
        Self {
            element: Vec::new(),
            plain: PlainScratch {
                pair: (Vec::new(), Vec::new()),
                json: JsonBuffer::new(record_bytes_max),
                digits: Vec::new(),
                bytes: Vec::new(),
                limbs: Vec::new(),
            },
        }
    }

    /// Gives back what one large value blew up.
    pub(super) fn trim(&mut self) {
        self.plain.json.clear();
        let PlainScratch {
            pair,
            bytes,
            digits,
            ..
        } = &mut self.plain;
        for buffer in [&mut self.element, &mut pair.0, &mut pair.1, bytes, digits] {
            buffer.clear();
            buffer.shrink_to(SCRATCH_BYTES);
        }
    }
}

/// A row as an object, or null. `unchanged` is called with the name (as JSON) of each value not sent.
pub(super) fn put_image<R: Row>(
    out: &mut JsonBuffer,
    template: &TableTemplate,
    row: Option<&R>,
    scratch: &mut ValueScratch,
    mut unchanged: impl FnMut(&[u8]),
) -> Result<(), TooLarge> {
    let Some(row) = row else {
        out.raw(b"null");
        return Ok(());
    };
    if template.has_no_columns {
        out.raw(b"{");
    }
    for (column, value) in template.columns.iter().zip(row.values()) {
        if column.is_excluded {
            continue;
        }
        out.raw(&column.prefix);
        if matches!(value, Value::Unchanged(_)) {
            unchanged(column.name());
        }
        put(out, (template.dialect, column), value, scratch)?;
        out.check()?;
    }
    out.raw(b"}");
    scratch.trim();
    Ok(())
}

/// Appends one value.
fn put(
    out: &mut JsonBuffer,
    column: (Dialect, &ColumnTemplate),
    value: Value<'_>,
    scratch: &mut ValueScratch,
) -> Result<(), TooLarge> {
    match value {
        // Its subscripts have no form in JSON; the connector drops them.
        Value::Array(array) if column.0 == Dialect::Flink && array.has_subscripts() => {
            out.string(array.text())
        }
        Value::Array(array) => put_array(out, column, array, scratch),
        Value::Null
        | Value::Unchanged(_)
        | Value::Omitted(_)
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::Instant(_)
        | Value::HexBytes(_)
        | Value::Bytes(_)
        | Value::Json(_)
        | Value::Pairs(_)
        | Value::Text(_) => put_plain(out, column, value, &mut scratch.plain),
    }
}

fn put_plain(
    out: &mut JsonBuffer,
    (dialect, column): (Dialect, &ColumnTemplate),
    value: Value<'_>,
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    match dialect {
        Dialect::Flink => flink::put(out, value, scratch),
        Dialect::Debezium => debezium::put(out, &column.value_type, value, scratch),
    }
}

/// An array as nested JSON arrays.
fn put_array(
    out: &mut JsonBuffer,
    column: (Dialect, &ColumnTemplate),
    array: ArrayText<'_>,
    scratch: &mut ValueScratch,
) -> Result<(), TooLarge> {
    let ValueScratch { element, plain } = scratch;
    let mut is_first = true;
    array.walk(element, |item| {
        if !is_first && !matches!(item, Item::Close) {
            out.raw(b",");
        }
        is_first = matches!(item, Item::Open);
        match item {
            Item::Open => out.raw(b"["),
            Item::Close => out.raw(b"]"),
            Item::Element(value) => put_plain(out, column, value, plain)?,
        }
        out.check()
    })
}

/// Keys with values as an object of strings.
pub(super) fn put_pairs(
    out: &mut JsonBuffer,
    pairs: PairsText<'_>,
    (key_scratch, value_scratch): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(), TooLarge> {
    let mut opening: &[u8] = b"{";
    pairs.walk((key_scratch, value_scratch), |key, value| {
        out.raw(opening);
        opening = b",";
        out.string(key)?;
        out.raw(b":");
        match value {
            Some(value) => out.string(value)?,
            None => out.raw(b"null"),
        }
        out.check()
    })?;
    out.raw(if opening == b"{" { b"{}" } else { b"}" });
    Ok(())
}

impl PlainScratch {
    /// As [`put_pairs`].
    pub(super) fn put_pairs(
        &mut self,
        out: &mut JsonBuffer,
        pairs: PairsText<'_>,
    ) -> Result<(), TooLarge> {
        put_pairs(out, pairs, (&mut self.pair.0, &mut self.pair.1))
    }

    /// The same, in a string.
    pub(super) fn put_quoted_pairs(
        &mut self,
        out: &mut JsonBuffer,
        pairs: PairsText<'_>,
    ) -> Result<(), TooLarge> {
        self.json.clear();
        put_pairs(&mut self.json, pairs, (&mut self.pair.0, &mut self.pair.1))?;
        out.string(self.json.bytes())
    }
}

/// Key values in column order, before they are put in the key's order.
#[derive(Debug)]
pub(super) struct KeyParts {
    parts: JsonBuffer,
    ranges: Vec<Range<usize>>,
}

impl KeyParts {
    pub(super) fn new(record_bytes_max: usize) -> Self {
        Self {
            parts: JsonBuffer::new(record_bytes_max),
            ranges: Vec::new(),
        }
    }
}

/// The key columns of `row`: written in column order, then copied in the key's order. One walk, whatever
/// the order is.
pub(super) fn put_key<R: Row>(
    out: &mut JsonBuffer,
    (KeyParts { parts, ranges }, scratch): (&mut KeyParts, &mut ValueScratch),
    template: &TableTemplate,
    row: &R,
) -> Result<(), TooLarge> {
    parts.clear();
    ranges.clear();
    ranges.resize(template.key_prefixes.len(), 0..0);
    let columns = template.columns.iter().take(template.key_reach);
    for (column, value) in columns.zip(row.values()) {
        let Some(range) = column.key_position.and_then(|at| ranges.get_mut(at)) else {
            continue;
        };
        let start = parts.len();
        put(parts, (template.dialect, column), value, scratch)?;
        parts.check()?;
        *range = start..parts.len();
    }
    for (prefix, range) in template.key_prefixes.iter().zip(ranges) {
        out.raw(prefix);
        out.raw(parts.bytes().get(range.clone()).unwrap_or_default());
    }
    out.raw(b"}");
    Ok(())
}
