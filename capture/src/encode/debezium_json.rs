//! Format `debezium-json`, preset `flink`: the Debezium envelope without schemas, with values that Flink's
//! `debezium-json` format reads without options (`docs/decisions/0004-debezium-json-flink.md`).
//!
//! ```json
//! {"before":null,"after":{"id":1,"price":"12.50"},
//!  "source":{"version":"0.1.0","connector":"postgresql","name":"shop","ts_ms":1704164645678,
//!            "snapshot":"false","db":"shop","schema":"public","table":"orders",
//!            "txId":555,"lsn":24023128,"commit_lsn":24023400,"ordinal":0},
//!  "op":"c","ts_ms":1704164645700}
//! ```
//!
//! Key: an object of the record key's columns in the key's order, or null. Flink reads `source` as a map of
//! strings, so it holds no object. A key changed by an update is one `u` record under the new key, with the
//! old key in the header `__debezium.oldkey`.

mod flink;
mod template;

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::json::{JsonBuffer, TooLarge};
use super::{Encoded, Oddities, SourceNames};
use crate::event::{ChangeOrigin, Operation, Row, RowChange};
use crate::table::{Table, TableKey};
use crate::value::Value;
use template::{Constants, TableTemplate};

/// Debezium's header for the key a row had before; here on the update itself.
const OLD_KEY_HEADER: &str = "__debezium.oldkey";

/// JSON array of the columns whose values the source did not send because the update left them unchanged.
const UNCHANGED_HEADER: &str = "headwater.unchanged";

/// See the module.
#[derive(Debug)]
pub(crate) struct DebeziumJson {
    constants: Constants,
    /// By [`TableKey`]; boxed, since most tables of a large database get no rows for long.
    tables: Vec<Option<Box<TableTemplate>>>,
    prepared_bytes: usize,
    scratch: Scratch,
    record_bytes_max: usize,
    unchanged: u64,
}

/// Buffers of one record, reused for the next.
#[derive(Debug)]
struct Scratch {
    key: JsonBuffer,
    old_key: JsonBuffer,
    value: JsonBuffer,
    /// Key values in column order, before they are put in the key's order.
    parts: JsonBuffer,
    part_ranges: Vec<Range<usize>>,
    unchanged: JsonBuffer,
}

impl DebeziumJson {
    pub(crate) fn new(name: &str, source: &SourceNames<'_>, record_bytes_max: usize) -> Self {
        let buffer = || JsonBuffer::new(record_bytes_max);
        Self {
            constants: Constants::new(name, source),
            tables: Vec::new(),
            prepared_bytes: 0,
            scratch: Scratch {
                key: buffer(),
                old_key: buffer(),
                value: buffer(),
                parts: buffer(),
                part_ranges: Vec::new(),
                unchanged: buffer(),
            },
            record_bytes_max,
            unchanged: 0,
        }
    }

    pub(crate) fn prepare(&mut self, table: &Table) {
        let index = index_of(table.key);
        if index >= self.tables.len() {
            self.tables.resize_with(index + 1, || None);
        }
        let template = Box::new(TableTemplate::new(&self.constants, table));
        self.prepared_bytes += template.size();
        if let Some(slot) = self.tables.get_mut(index)
            && let Some(replaced) = slot.replace(template)
        {
            self.prepared_bytes -= replaced.size();
        }
    }

    pub(crate) fn is_prepared(&self, table: TableKey) -> bool {
        matches!(self.tables.get(index_of(table)), Some(Some(_)))
    }

    pub(crate) fn forget_tables(&mut self) {
        self.tables.iter_mut().for_each(|slot| *slot = None);
        self.prepared_bytes = 0;
    }

    pub(crate) fn prepared_bytes(&self) -> usize {
        self.prepared_bytes
    }

    pub(crate) fn oddities(&self) -> Oddities {
        let Scratch {
            key,
            old_key,
            value,
            ..
        } = &self.scratch;
        Oddities {
            unchanged: self.unchanged,
            repaired: value.repaired() + key.repaired() + old_key.repaired(),
            as_text: 0,
        }
    }

    /// # Panics
    /// If the table was not prepared.
    pub(crate) fn encode<R: Row>(
        &mut self,
        table: TableKey,
        change: &RowChange<R>,
        origin: &ChangeOrigin,
    ) -> Result<Encoded<'_>, TooLarge> {
        let template = self
            .tables
            .get(index_of(table))
            .and_then(Option::as_deref)
            .expect("a table is prepared before its changes are encoded");
        let scratch = &mut self.scratch;
        self.unchanged += scratch.put_value(template, change, origin)?;
        scratch.put_keys(template, change)?;
        let encoded = scratch.encoded(template);
        let bytes = encoded.size();
        if bytes > self.record_bytes_max {
            return Err(TooLarge { bytes });
        }
        Ok(encoded)
    }
}

fn index_of(table: TableKey) -> usize {
    usize::try_from(table.0).expect("usize has at least 32 bits here")
}

impl Scratch {
    /// The envelope. Returns how many values of the new row were not sent.
    fn put_value<R: Row>(
        &mut self,
        template: &TableTemplate,
        change: &RowChange<R>,
        origin: &ChangeOrigin,
    ) -> Result<u64, TooLarge> {
        self.unchanged.clear();
        let out = &mut self.value;
        out.clear();
        out.raw(b"{\"before\":");
        put_image(out, template, change.before.as_ref(), |_| ())?;
        out.raw(b",\"after\":");
        let mut count = 0;
        let unchanged = &mut self.unchanged;
        put_image(out, template, change.after.as_ref(), |name| {
            unchanged.raw(if count == 0 { b"[" } else { b"," });
            unchanged.raw(name);
            count += 1;
        })?;
        if count > 0 {
            unchanged.raw(b"]");
        }
        put_source(out, template, origin);
        out.raw(match change.operation {
            Operation::Create => b"},\"op\":\"c\",\"ts_ms\":",
            Operation::Update => b"},\"op\":\"u\",\"ts_ms\":",
            Operation::Delete => b"},\"op\":\"d\",\"ts_ms\":",
        });
        out.integer(origin.read_time_ms);
        out.raw(b"}");
        Ok(count)
    }

    /// The key, and the key before an update if that was another one.
    fn put_keys<R: Row>(
        &mut self,
        template: &TableTemplate,
        change: &RowChange<R>,
    ) -> Result<(), TooLarge> {
        self.key.clear();
        self.old_key.clear();
        if template.key_prefixes.is_empty() {
            return Ok(());
        }
        let (parts, ranges) = (&mut self.parts, &mut self.part_ranges);
        put_key(&mut self.key, (parts, ranges), template, &change.key)?;
        if let Some(old) = &change.old_key {
            put_key(&mut self.old_key, (parts, ranges), template, old)?;
        }
        Ok(())
    }

    fn encoded(&self, template: &TableTemplate) -> Encoded<'_> {
        let keyed = !template.key_prefixes.is_empty();
        let key = keyed.then_some(self.key.bytes());
        let mut encoded = Encoded::new(key, self.value.bytes());
        if self.old_key.len() > 0 && self.old_key.bytes() != self.key.bytes() {
            encoded.add_header(OLD_KEY_HEADER, self.old_key.bytes());
        }
        if self.unchanged.len() > 0 {
            encoded.add_header(UNCHANGED_HEADER, self.unchanged.bytes());
        }
        encoded
    }
}

/// A row as an object, or null. `unchanged` is called with the name (as JSON) of each value not sent.
fn put_image<R: Row>(
    out: &mut JsonBuffer,
    template: &TableTemplate,
    row: Option<&R>,
    mut unchanged: impl FnMut(&[u8]),
) -> Result<(), TooLarge> {
    let Some(row) = row else {
        out.raw(b"null");
        return Ok(());
    };
    if template.columns.is_empty() {
        out.raw(b"{");
    }
    for (column, value) in template.columns.iter().zip(row.values()) {
        out.raw(&column.prefix);
        if matches!(value, Value::Unchanged(_)) {
            unchanged(column.name());
        }
        flink::put(out, value)?;
        out.check()?;
    }
    out.raw(b"}");
    Ok(())
}

fn put_source(out: &mut JsonBuffer, template: &TableTemplate, origin: &ChangeOrigin) {
    out.raw(&template.source_head);
    out.integer(origin.commit_time_ms);
    out.raw(&template.source_table);
    out.integer(origin.transaction_id);
    out.raw(b",\"lsn\":");
    out.integer(origin.lsn);
    out.raw(b",\"commit_lsn\":");
    out.integer(origin.commit_lsn);
    out.raw(b",\"ordinal\":");
    out.integer(origin.ordinal);
}

/// The key columns of `row`: written in column order, then copied in the key's order. One walk, whatever
/// the order is.
fn put_key<R: Row>(
    out: &mut JsonBuffer,
    (parts, ranges): (&mut JsonBuffer, &mut Vec<Range<usize>>),
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
        flink::put(parts, value)?;
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
