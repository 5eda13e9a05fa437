//! Records that a person should know of: consumers may need other settings to read them.

use std::fmt;
use std::sync::Arc;

use super::Assembler;
use super::row::RowMessage;
use crate::event::ChangeOrigin;
use crate::postgres::position::Lsn;

/// Longest key that is shown.
const KEY_BYTES_SHOWN: usize = 200;
/// Responses over this size are refused by some clients unless they are told otherwise (librdkafka's
/// `receive.message.max.bytes`, franz-go's `BrokerMaxReadBytes`, Sarama's `MaxResponseSize`).
const CLIENT_DEFAULT_BYTES: usize = 100_000_000;
/// What a response has beside the record, at most.
const RESPONSE_BYTES: usize = 1024 * 1024;

/// A record of unusual size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeRecord {
    /// Schema of its table.
    pub schema: String,
    /// Name of its table.
    pub table: String,
    /// The record key's values, with commas between, cut to 200 bytes.
    pub key: String,
    /// Bytes of the record: key, value and headers.
    pub bytes: usize,
    /// Where its transaction commits.
    pub commit_lsn: u64,
    /// Columns that were left out because the record would have been too large.
    pub omitted: Vec<String>,
}

impl LargeRecord {
    /// What a client must be told to read it; `None`: nothing.
    pub fn client_settings(&self) -> Option<String> {
        let response = self.bytes + RESPONSE_BYTES;
        (response > CLIENT_DEFAULT_BYTES).then(|| {
            format!(
                "librdkafka receive.message.max.bytes={response}, franz-go BrokerMaxReadBytes({response}), \
                 Sarama MaxResponseSize={response}"
            )
        })
    }
}

impl fmt::Display for LargeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            schema,
            table,
            key,
            bytes,
            ..
        } = self;
        let lsn = Lsn(self.commit_lsn);
        write!(
            f,
            "record of {bytes} bytes, table {schema}.{table} key ({key}) commit {lsn}"
        )?;
        if !self.omitted.is_empty() {
            let omitted = self.omitted.join(", ");
            write!(f, ", left out as too large: {omitted}")?;
        }
        match self.client_settings() {
            Some(settings) => write!(f, "; to read it: {settings}"),
            None => write!(f, "; clients read it with their own defaults"),
        }
    }
}

impl Assembler {
    /// The last record of unusual size.
    pub fn large_record(&self) -> Option<&Arc<LargeRecord>> {
        self.large.as_ref()
    }

    /// Tells of a change whose largest record has `bytes`, or that lacks columns.
    pub(super) fn tell_large(
        &mut self,
        index: usize,
        (row, bytes): (&RowMessage<'_>, usize),
        origin: &ChangeOrigin,
        omitted: Vec<String>,
    ) {
        let table = self.relations.table(index);
        let record = LargeRecord {
            key: row.key_text(&table.record_key(), KEY_BYTES_SHOWN),
            schema: table.schema,
            table: table.name,
            bytes,
            commit_lsn: origin.commit_lsn,
            omitted,
        };
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let counters = &mut self.counters;
        counters.large_records += u64::from(bytes >= self.large_record_bytes);
        counters.largest_record_bytes = counters.largest_record_bytes.max(count(bytes));
        counters.omitted_records += u64::from(!record.omitted.is_empty());
        counters.omitted_values += count(record.omitted.len());
        tracing::warn!(
            schema = record.schema,
            table = record.table,
            "large {record}"
        );
        self.large = Some(Arc::new(record));
    }
}
