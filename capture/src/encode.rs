//! Row changes into records: one format a file.
//!
//! An encoder belongs to one feed. It renders what is constant for a table once (`prepare`), and then each change
//! into buffers of its own, which the encoded record borrows until the batch has copied them.

mod debezium_json;
mod json;

use headwater_protocol::batch::Header;

use crate::event::{ChangeOrigin, Row, RowChange};
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
}

/// Renders the changes of one feed.
#[derive(Debug)]
pub(crate) enum Encoder {
    DebeziumJson(Box<debezium_json::DebeziumJson>),
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
        }
    }

    /// Renders what all records of a table share. Replaces what was prepared before.
    pub(crate) fn prepare(&mut self, table: &Table) {
        match self {
            Self::DebeziumJson(encoder) => encoder.prepare(table),
        }
    }

    /// Whether the table is prepared.
    pub(crate) fn is_prepared(&self, table: TableKey) -> bool {
        match self {
            Self::DebeziumJson(encoder) => encoder.is_prepared(table),
        }
    }

    /// Drops what was prepared, for all tables.
    pub(crate) fn forget_tables(&mut self) {
        match self {
            Self::DebeziumJson(encoder) => encoder.forget_tables(),
        }
    }

    /// Bytes held by prepared tables.
    pub(crate) fn prepared_bytes(&self) -> usize {
        match self {
            Self::DebeziumJson(encoder) => encoder.prepared_bytes(),
        }
    }

    /// Renders one change of a prepared table.
    pub(crate) fn encode<R: Row>(
        &mut self,
        table: TableKey,
        change: &RowChange<R>,
        origin: &ChangeOrigin,
    ) -> Result<Encoded<'_>, TooLarge> {
        match self {
            Self::DebeziumJson(encoder) => encoder.encode(table, change, origin),
        }
    }

    /// See [`Oddities`].
    pub(crate) fn oddities(&self) -> Oddities {
        match self {
            Self::DebeziumJson(encoder) => encoder.oddities(),
        }
    }
}
