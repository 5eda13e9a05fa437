//! Row changes into records: one format a file.
//!
//! An encoder belongs to one feed. It renders what is constant for a table once (`prepare`), and then each change
//! into buffers of its own, which the encoded record borrows until the batch has copied them.

mod debezium_json;
pub mod dts_avro;
mod dts_stream;
mod json;

use headwater_protocol::batch::Header;

use crate::event::{ChangeOrigin, Row, RowChange};
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

/// Dialects of `debezium-json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// What Flink's `debezium-json` format takes without options.
    Flink,
}

/// What is constant for a source.
#[derive(Debug, Clone)]
pub(crate) struct SourceNames<'a> {
    /// Debezium's name of the connector for this kind of source.
    pub(crate) connector: &'static str,
    /// The database.
    pub(crate) database: &'a str,
}

/// One record, borrowed from its encoder.
#[derive(Debug)]
pub(crate) struct Encoded<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: &'a [u8],
    headers: [Header<'a>; 2],
    header_count: usize,
}

impl<'a> Encoded<'a> {
    fn new(key: Option<&'a [u8]>, value: &'a [u8]) -> Self {
        const NONE: Header<'_> = Header {
            key: "",
            value: None,
        };
        Self {
            key,
            value,
            headers: [NONE; 2],
            header_count: 0,
        }
    }

    /// Adds a header; a format has at most two.
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
        let header = |header: &Header<'_>| header.key.len() + header.value.map_or(0, <[u8]>::len);
        let headers: usize = self.headers().iter().map(header).sum();
        self.key.map_or(0, <[u8]>::len) + self.value.len() + headers
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
            FeedFormat::DebeziumJson {
                preset: Preset::Flink,
                name,
            } => {
                let encoder = debezium_json::DebeziumJson::new(name, source, record_bytes_max);
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

    /// The part of it that writes boundaries of transactions and heartbeats, if its feed has them.
    pub(crate) fn stream(&mut self) -> Option<&mut dts_stream::DtsStream> {
        match self {
            Self::DebeziumJson(_) => None,
            Self::DtsAvro(stream) => Some(stream),
        }
    }

    /// Renders one change of a prepared table into the feed's open batch. `message_bytes`: what the source sent
    /// for it.
    pub(crate) fn append<R: Row>(
        &mut self,
        (gather, feed): (&mut Gather, usize),
        table: TableKey,
        (change, message_bytes): (&RowChange<R>, usize),
        origin: &ChangeOrigin,
    ) -> Result<(), TooLarge> {
        match self {
            Self::DebeziumJson(encoder) => {
                let record = encoder.encode(table, change, origin)?;
                let bytes = record.size();
                let appended = gather.append((feed, Some(table)), origin.commit_time_ms, &record);
                appended.map_err(|_| TooLarge { bytes })
            }
            Self::DtsAvro(stream) => {
                stream.append((gather, feed), table, (change, message_bytes), origin)
            }
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
