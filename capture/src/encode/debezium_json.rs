//! Format `debezium-json`: the Debezium envelope in JSON, in two dialects.
//!
//! - `flink` (`docs/decisions/0004-debezium-json-flink.md`): values that Flink's `debezium-json` format reads
//!   without options; one record a change. A key changed by an update is one `u` record under the new key, with the
//!   old key in the header `__debezium.oldkey`.
//! - `debezium` (`docs/debezium.md`): what the connector writes by default; a delete is followed by a
//!   tombstone, a changed key is delete, tombstone and create.
//!
//! Key: an object of the record key's columns in the key's order, or null.
//!
//! | file | does |
//! |---|---|
//! | `template` | what is constant in all records of a table |
//! | `rows` | row images and keys, column by column |
//! | `flink` | that dialect's envelope and values |
//! | `debezium` | likewise, and below it schemas and the encodings of times, decimals, bits |

mod debezium;
mod flink;
mod rows;
mod template;

#[cfg(test)]
mod tests;

use super::json::{JsonBuffer, TooLarge};
use super::{Boundary, Encoded, Oddities, Preset, Sink, SourceNames};
use crate::event::{ChangeOrigin, LogicalMessage, Row, RowChange};
use crate::limits::SCRATCH_BYTES;
use crate::table::{Table, TableKey};
use debezium::transactions::Transaction;
use rows::{KeyParts, ValueScratch};
use template::{Constants, TableTemplate};

/// JSON array of the columns whose values the source did not send because the update left them unchanged.
const UNCHANGED_HEADER: &str = "headwater.unchanged";

/// On a record that an update with another key led to: the key before.
const OLD_KEY_HEADER: &str = "__debezium.oldkey";

/// See the module.
#[derive(Debug)]
pub(crate) struct DebeziumJson {
    preset: Preset,
    constants: Constants,
    /// By [`TableKey`]; boxed, since most tables of a large database get no rows for long.
    tables: Vec<Option<Box<TableTemplate>>>,
    prepared_bytes: usize,
    scratch: Scratch,
}

/// Buffers of one record, reused for the next.
#[derive(Debug)]
struct Scratch {
    key: JsonBuffer,
    old_key: JsonBuffer,
    value: JsonBuffer,
    parts: KeyParts,
    values: ValueScratch,
    unchanged: JsonBuffer,
    /// Where places in transactions are told.
    transaction: Option<Transaction>,
    /// Values of new rows that were not sent, since the encoder began.
    unchanged_count: u64,
    record_bytes_max: usize,
}

impl DebeziumJson {
    /// `feed`: the topic prefix, and the dialect.
    pub(crate) fn new(
        feed: (&str, Preset),
        source: &SourceNames<'_>,
        record_bytes_max: usize,
    ) -> Self {
        let (name, preset) = feed;
        let buffer = || JsonBuffer::new(record_bytes_max);
        Self {
            preset,
            constants: Constants::new(name, source),
            tables: Vec::new(),
            prepared_bytes: 0,
            scratch: Scratch {
                key: buffer(),
                old_key: buffer(),
                value: buffer(),
                parts: KeyParts::new(record_bytes_max),
                values: ValueScratch::new(record_bytes_max),
                unchanged: buffer(),
                transaction: tells_transactions(preset).then(Transaction::default),
                unchanged_count: 0,
                record_bytes_max,
            },
        }
    }

    pub(crate) fn prepare(&mut self, table: &Table) {
        let index = index_of(table.key);
        if index >= self.tables.len() {
            self.tables.resize_with(index + 1, || None);
        }
        let template = TableTemplate::new(&self.constants, self.preset, table);
        let template = Box::new(template);
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
            unchanged_count,
            ..
        } = &self.scratch;
        Oddities {
            unchanged: *unchanged_count,
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
        sink: &mut Sink<'_>,
    ) -> Result<(), TooLarge> {
        let template = prepared(&self.tables, table);
        let encoded = match self.preset {
            Preset::Flink => flink::encode(&mut self.scratch, template, (change, origin), sink),
            Preset::Debezium(_) => {
                debezium::encode(&mut self.scratch, template, (change, origin), sink)
            }
        };
        self.scratch.give_back();
        encoded
    }

    pub(crate) fn encode_message(
        &mut self,
        message: &LogicalMessage<'_>,
        origin: &ChangeOrigin,
        sink: &mut Sink<'_>,
    ) -> Result<(), TooLarge> {
        match self.preset {
            Preset::Flink => Ok(()),
            Preset::Debezium(options) => {
                let feed = (&self.constants, options.schemas);
                debezium::messages::encode(&mut self.scratch, feed, (message, origin), sink)
            }
        }
    }

    pub(crate) fn encode_boundary(
        &mut self,
        boundary: Boundary,
        origin: &ChangeOrigin,
        sink: &mut Sink<'_>,
    ) -> Result<(), TooLarge> {
        let schemas = writes_schemas(self.preset);
        let encode = match boundary {
            Boundary::Begin => debezium::transactions::encode_begin,
            Boundary::End => debezium::transactions::encode_end,
        };
        encode(&mut self.scratch, schemas, origin, sink)
    }

    pub(crate) fn writes_truncates(&self) -> bool {
        match self.preset {
            Preset::Flink => false,
            Preset::Debezium(options) => options.truncates,
        }
    }

    /// # Panics
    /// If the table was not prepared.
    pub(crate) fn encode_truncate(
        &mut self,
        table: TableKey,
        origin: &ChangeOrigin,
        sink: &mut Sink<'_>,
    ) -> Result<(), TooLarge> {
        let template = prepared(&self.tables, table);
        match self.preset {
            Preset::Flink => Ok(()),
            Preset::Debezium(_) => {
                debezium::encode_truncate(&mut self.scratch, template, origin, sink)
            }
        }
    }
}

fn tells_transactions(preset: Preset) -> bool {
    match preset {
        Preset::Flink => false,
        Preset::Debezium(options) => options.transactions,
    }
}

fn writes_schemas(preset: Preset) -> bool {
    match preset {
        Preset::Flink => false,
        Preset::Debezium(options) => options.schemas,
    }
}

fn prepared(tables: &[Option<Box<TableTemplate>>], table: TableKey) -> &TableTemplate {
    tables
        .get(index_of(table))
        .and_then(Option::as_deref)
        .expect("a table is prepared before its changes are encoded")
}

fn index_of(table: TableKey) -> usize {
    usize::try_from(table.0).expect("usize has at least 32 bits here")
}

impl Scratch {
    /// Renders the key of `change`, and the key before an update that had it.
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
        let scratch = (&mut self.parts, &mut self.values);
        rows::put_key(&mut self.key, scratch, template, &change.key)?;
        if let Some(old) = &change.old_key {
            let scratch = (&mut self.parts, &mut self.values);
            rows::put_key(&mut self.old_key, scratch, template, old)?;
        }
        Ok(())
    }

    /// Gives back what one large row blew up.
    fn give_back(&mut self) {
        if self.value.len() > SCRATCH_BYTES {
            self.value.clear();
            self.values.trim();
        }
    }

    /// Whether an update gave the row another key.
    fn key_changed(&self) -> bool {
        self.old_key.len() > 0 && self.old_key.bytes() != self.key.bytes()
    }

    /// Appends the new row to the value, or null; notes which of its values were not sent.
    fn put_after<R: Row>(
        &mut self,
        template: &TableTemplate,
        row: Option<&R>,
    ) -> Result<(), TooLarge> {
        self.unchanged.clear();
        let unchanged = &mut self.unchanged;
        let mut count = 0;
        rows::put_image(&mut self.value, template, row, &mut self.values, |name| {
            unchanged.raw(if count == 0 { b"[" } else { b"," });
            unchanged.raw(name);
            count += 1;
        })?;
        if count > 0 {
            unchanged.raw(b"]");
        }
        self.unchanged_count += count;
        Ok(())
    }

    /// Hands a record over, if it is within the limit.
    fn send(&self, record: &Encoded<'_>, sink: &mut Sink<'_>) -> Result<(), TooLarge> {
        let bytes = record.size();
        if bytes > self.record_bytes_max {
            return Err(TooLarge { bytes });
        }
        sink(record)
    }
}
