//! Row changes into records: one format a file.
//!
//! An encoder belongs to one feed. It renders what is constant for a table once (`prepare`), and then each change
//! into buffers of its own, which the encoded record borrows until the batch has copied them.

mod debezium_json;
pub mod dts_avro;
mod dts_stream;
pub(crate) mod json;

use headwater_protocol::batch::Header;

use crate::event::{ChangeOrigin, LogicalMessage, Row, RowChange};
use crate::group::gather::Gather;
use crate::table::{Table, TableKey};

pub(crate) use json::TooLarge;

/// How a feed renders changes. Fixed when the feed is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedFormat {
    /// The Debezium envelope in JSON (`docs/decisions/0004-debezium-json-flink.md`).
    DebeziumJson {
        /// Whose conventions the values follow.
        preset: Preset,
        /// `source.name`: the topic prefix.
        name: String,
    },
    /// DTS's Avro records (`docs/decisions/0016-dts-feed.md`).
    DtsAvro {
        /// Of the next record, which is the end offset of its topic: a record's id is its offset.
        next_id: i64,
    },
}

/// Where the records of a feed go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A topic for each table.
    PerTable,
    /// One topic for the whole database, in commit order, with the transactions' boundaries.
    Stream,
}

impl FeedFormat {
    /// The layout that the format is made for, and the only one it is served in.
    #[must_use]
    pub fn layout(&self) -> Layout {
        match self {
            Self::DebeziumJson { .. } => Layout::PerTable,
            Self::DtsAvro { .. } => Layout::Stream,
        }
    }

    /// Whether the format shows full old rows, so that tables without them lose something.
    pub(crate) fn shows_full_old_rows(&self) -> bool {
        match self {
            Self::DebeziumJson { .. } => false,
            Self::DtsAvro { .. } => true,
        }
    }
}

impl FeedFormat {
    /// Whether the boundaries of transactions are written, into a topic of their own.
    pub fn carries_transactions(&self) -> bool {
        match self {
            Self::DebeziumJson { preset, .. } => match preset {
                Preset::Flink => false,
                Preset::Debezium(options) => options.transactions,
            },
            Self::DtsAvro { .. } => false,
        }
    }

    /// Whether logical messages are written, into a topic of their own.
    pub fn carries_messages(&self) -> bool {
        match self {
            Self::DebeziumJson { preset, .. } => match preset {
                Preset::Flink => false,
                Preset::Debezium(_) => true,
            },
            Self::DtsAvro { .. } => false,
        }
    }
}

/// Dialects of `debezium-json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// What Flink's `debezium-json` format takes without options.
    Flink,
    /// What the Debezium connector itself writes (`docs/debezium.md`).
    Debezium(DebeziumOptions),
}

/// What may be switched on in the preset `debezium`; the default is the connector's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DebeziumOptions {
    /// Each key and value carries its schema (`schemas.enable` of Connect's JSON converter).
    pub schemas: bool,
    /// TRUNCATE is written, as a record with `op` `t` (`skipped.operations=none`).
    pub truncates: bool,
    /// The boundaries of transactions are written, into a topic of their own, and each record tells its place in its
    /// transaction (`provide.transaction.metadata`).
    pub transactions: bool,
}

impl Preset {
    /// As a feed's catalog entry names it: the preset, and each option that is on behind a comma.
    pub fn name(self) -> String {
        let Self::Debezium(options) = self else {
            return "flink".to_owned();
        };
        let mut name = "debezium".to_owned();
        for (is_on, option) in [
            (options.schemas, ",schemas"),
            (options.truncates, ",truncates"),
            (options.transactions, ",transactions"),
        ] {
            name += if is_on { option } else { "" };
        }
        name
    }
}

/// A topic's or a schema's name from a true one: characters outside `[A-Za-z0-9._-]` become `_`, as in Debezium.
pub fn cleaned_name(true_name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let clean = |c: char| if legal(c) { c } else { '_' };
    true_name.chars().map(clean).collect()
}

/// What is constant for a source.
#[derive(Debug, Clone)]
pub(crate) struct SourceNames<'a> {
    /// Debezium's name of the connector for this kind of source.
    pub(crate) connector: &'static str,
    /// The database.
    pub(crate) database: &'a str,
}

/// Headers of one record, at most.
const HEADERS_MAX: usize = 6;

/// JSON array of the columns that were left out because the record would have been too large.
const OMITTED_HEADER: &str = "headwater.omitted";

/// Which end of a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Boundary {
    Begin,
    End,
}

/// One change on its way into one feed, which may take more than one attempt.
#[derive(Debug, Default)]
pub(crate) struct Attempt<'a> {
    /// The columns left out, as a JSON array; their values are [`crate::value::Value::Omitted`].
    pub(crate) omitted: Option<&'a [u8]>,
    /// Records of the change that earlier attempts have put into the batch.
    pub(crate) done: usize,
}

impl Attempt<'_> {
    fn header(&self) -> Option<Header<'_>> {
        self.omitted.map(|names| Header {
            key: OMITTED_HEADER,
            value: Some(names),
        })
    }

    /// The record with the header that tells what it lacks.
    fn marked<'r>(&'r self, record: &'r Encoded<'_>) -> Encoded<'r> {
        let mut marked: Encoded<'r> = *record;
        if let Some(names) = self.omitted.filter(|_| record.value.is_some()) {
            marked.add_header(OMITTED_HEADER, names);
        }
        marked
    }
}

/// One record, borrowed from its encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    headers: [Header<'a>; HEADERS_MAX],
    header_count: usize,
}

impl<'a> Encoded<'a> {
    fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        const NONE: Header<'_> = Header {
            key: "",
            value: None,
        };
        Self {
            key,
            value,
            headers: [NONE; HEADERS_MAX],
            header_count: 0,
        }
    }

    /// Adds a header; a format has at most [`HEADERS_MAX`].
    fn add_header(&mut self, key: &'a str, value: &'a [u8]) {
        if let Some(free) = self.headers.get_mut(self.header_count) {
            *free = Header {
                key,
                value: Some(value),
            };
            self.header_count += 1;
        }
    }

    pub(crate) fn headers(&self) -> &[Header<'a>] {
        self.headers.get(..self.header_count).unwrap_or_default()
    }

    /// Bytes of key, value and headers.
    pub(crate) fn size(&self) -> usize {
        let size = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let header = |header: &Header<'_>| header.key.len() + size(header.value);
        let headers: usize = self.headers().iter().map(header).sum();
        size(self.key) + size(self.value) + headers
    }
}

/// What a change had that users should hear about, counted since the encoder began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Oddities {
    /// Values written as the format's marker for "unchanged, not sent".
    pub(crate) unchanged: u64,
    /// Texts with bytes that are not UTF-8.
    pub(crate) repaired: u64,
    /// Values shown as text, for want of a form in the format.
    pub(crate) as_text: u64,
}

/// Takes a record.
pub(crate) type Sink<'s> = dyn FnMut(&Encoded<'_>) -> Result<(), TooLarge> + 's;

/// Renders the changes of one feed.
#[derive(Debug)]
pub(crate) enum Encoder {
    DebeziumJson(Box<debezium_json::DebeziumJson>),
    DtsAvro(Box<dts_stream::DtsStream>),
}

impl Encoder {
    /// An encoder that refuses records beyond `record_bytes_max`.
    pub(crate) fn new(
        format: &FeedFormat,
        source: &SourceNames<'_>,
        record_bytes_max: usize,
    ) -> Self {
        match format {
            FeedFormat::DebeziumJson { preset, name } => {
                let feed = (name.as_str(), *preset);
                let encoder = debezium_json::DebeziumJson::new(feed, source, record_bytes_max);
                Self::DebeziumJson(Box::new(encoder))
            }
            FeedFormat::DtsAvro { next_id } => {
                let encoder = dts_stream::DtsStream::new(source, *next_id, record_bytes_max);
                Self::DtsAvro(Box::new(encoder))
            }
        }
    }

    /// Renders what all records of a table share. Replaces what was prepared before.
    pub(crate) fn prepare(&mut self, table: &Table) {
        match self {
            Self::DebeziumJson(encoder) => encoder.prepare(table),
            Self::DtsAvro(stream) => stream.prepare(table),
        }
    }

    /// Whether the table is prepared.
    pub(crate) fn is_prepared(&self, table: TableKey) -> bool {
        match self {
            Self::DebeziumJson(encoder) => encoder.is_prepared(table),
            Self::DtsAvro(stream) => stream.encoder.is_prepared(table),
        }
    }

    /// Drops what was prepared, for all tables.
    pub(crate) fn forget_tables(&mut self) {
        match self {
            Self::DebeziumJson(encoder) => encoder.forget_tables(),
            Self::DtsAvro(stream) => stream.encoder.forget_tables(),
        }
    }

    /// Bytes held by prepared tables.
    pub(crate) fn prepared_bytes(&self) -> usize {
        match self {
            Self::DebeziumJson(encoder) => encoder.prepared_bytes(),
            Self::DtsAvro(stream) => stream.encoder.prepared_bytes(),
        }
    }

    /// Whether its feed is one stream.
    pub(crate) fn is_stream(&self) -> bool {
        match self {
            Self::DebeziumJson(_) => false,
            Self::DtsAvro(_) => true,
        }
    }

    /// The part of it that writes boundaries of transactions, statements and heartbeats, if its feed is a stream.
    pub(crate) fn stream(&mut self) -> Option<&mut dts_stream::DtsStream> {
        match self {
            Self::DebeziumJson(_) => None,
            Self::DtsAvro(stream) => Some(stream),
        }
    }

    /// Renders one change of a prepared table into the feed's open batch. `message_bytes`: what the source sent
    /// for it. Records that earlier attempts have appended are not appended again.
    ///
    /// # Errors
    /// A record is too large. Those before it are counted in `attempt`.
    pub(crate) fn append<R: Row>(
        &mut self,
        (gather, feed, table): (&mut Gather, usize, TableKey),
        (change, message_bytes): (&RowChange<R>, usize),
        origin: &ChangeOrigin,
        attempt: &mut Attempt<'_>,
    ) -> Result<(), TooLarge> {
        match self {
            Self::DebeziumJson(encoder) => {
                let lane = (feed, Some(table));
                let mut nth = 0;
                encoder.encode(table, change, origin, &mut |record| {
                    nth += 1;
                    if nth > attempt.done {
                        let record = attempt.marked(record);
                        gather.append(lane, origin.commit_time_ms(), &record)?;
                        attempt.done += 1;
                    }
                    Ok(())
                })
            }
            Self::DtsAvro(stream) => {
                let change = (change, message_bytes);
                stream.append((gather, feed, table), change, origin, attempt)
            }
        }
    }

    /// Whether the format has a form for the truncation of a table. A stream has one for the statement.
    pub(crate) fn writes_truncates(&self) -> bool {
        match self {
            Self::DebeziumJson(encoder) => encoder.writes_truncates(),
            Self::DtsAvro(_) => false,
        }
    }

    /// Renders the truncation of a prepared table, if [`Encoder::writes_truncates`].
    ///
    /// # Errors
    /// As [`Encoder::append`].
    pub(crate) fn append_truncate(
        &mut self,
        (gather, feed): (&mut Gather, usize),
        table: TableKey,
        origin: &ChangeOrigin,
    ) -> Result<(), TooLarge> {
        match self {
            Self::DebeziumJson(encoder) => {
                let lane = (feed, Some(table));
                encoder.encode_truncate(table, origin, &mut |record| {
                    gather.append(lane, origin.commit_time_ms(), record)
                })
            }
            Self::DtsAvro(_) => Ok(()),
        }
    }

    /// Renders a logical message, if [`FeedFormat::carries_messages`]. `table`: what messages go under.
    ///
    /// # Errors
    /// As [`Encoder::append`].
    pub(crate) fn append_message(
        &mut self,
        (gather, feed): (&mut Gather, usize),
        (table, message): (TableKey, &LogicalMessage<'_>),
        origin: &ChangeOrigin,
    ) -> Result<(), TooLarge> {
        match self {
            Self::DebeziumJson(encoder) => {
                let lane = (feed, Some(table));
                encoder.encode_message(message, origin, &mut |record| {
                    gather.append(lane, origin.commit_time_ms(), record)
                })
            }
            Self::DtsAvro(_) => Ok(()),
        }
    }

    /// Renders one end of a transaction, if [`FeedFormat::carries_transactions`]; the last one tells the number of its
    /// records. `table`: what boundaries go under.
    ///
    /// # Errors
    /// As [`Encoder::append`].
    pub(crate) fn append_boundary(
        &mut self,
        (gather, feed): (&mut Gather, usize),
        (table, boundary): (TableKey, Boundary),
        origin: &ChangeOrigin,
    ) -> Result<(), TooLarge> {
        match self {
            Self::DebeziumJson(encoder) => {
                encoder.encode_boundary(boundary, origin, &mut |record| {
                    gather.count_control();
                    gather.append((feed, Some(table)), origin.commit_time_ms(), record)
                })
            }
            Self::DtsAvro(_) => Ok(()),
        }
    }

    /// See [`Oddities`].
    pub(crate) fn oddities(&self) -> Oddities {
        match self {
            Self::DebeziumJson(encoder) => encoder.oddities(),
            Self::DtsAvro(stream) => stream.oddities(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presets_name_tells_its_options() {
        let debezium = |schemas, truncates| {
            Preset::Debezium(DebeziumOptions {
                schemas,
                truncates,
                transactions: false,
            })
        };
        let transactions = Preset::Debezium(DebeziumOptions {
            transactions: true,
            ..DebeziumOptions::default()
        });
        assert_eq!(transactions.name(), "debezium,transactions");
        assert_eq!(Preset::Flink.name(), "flink");
        assert_eq!(debezium(false, false).name(), "debezium");
        assert_eq!(debezium(true, false).name(), "debezium,schemas");
        assert_eq!(debezium(true, true).name(), "debezium,schemas,truncates");
    }

    #[test]
    fn names_are_cleaned_character_by_character() {
        assert_eq!(cleaned_name("shop.größe x.a-b_c"), "shop.gr__e_x.a-b_c");
    }
}
