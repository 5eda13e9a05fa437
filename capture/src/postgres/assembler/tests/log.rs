//! A model of the log: what is appended is seen only once its commit came.

use std::collections::BTreeMap;

use headwater_protocol::batch::{records, verify_crc};
use serde_json::Value as Json;

use crate::group::{Captured, Commit, TableBatch};
use crate::postgres::position::Position;
use crate::table::{Table, TableKey};

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<String>,
    /// Null in a stream, whose records are not JSON.
    pub(super) value: Json,
    pub(super) raw: Vec<u8>,
    pub(super) headers: Vec<(String, String)>,
}

impl Record {
    /// The identity of the change.
    pub(super) fn identity(&self) -> (u64, u64) {
        let number = |field: &str| self.value["source"][field].as_u64().expect("a number");
        (number("commit_lsn"), number("ordinal"))
    }
}

/// One topic: of a feed, and a table unless the feed is a stream.
pub(super) type Topic = (usize, Option<TableKey>);

#[derive(Debug, Default)]
pub(super) struct Log {
    /// Batches behind the last commit.
    pub(super) pending: Vec<TableBatch>,
    pub(super) visible: BTreeMap<Topic, Vec<Record>>,
    pub(super) tables: Vec<Table>,
    pub(super) commits: Vec<Commit>,
    pub(super) batches: usize,
    pub(super) largest_batch: usize,
    pub(super) parts: usize,
    pub(super) rewinds: usize,
}

impl Log {
    pub(super) fn append(&mut self, captured: Captured) {
        match captured {
            Captured::Tables(tables) => self.tables.extend(tables),
            Captured::Rewind => {
                assert!(
                    !self.pending.is_empty(),
                    "nothing was handed over to take back"
                );
                self.pending.clear();
                self.rewinds += 1;
            }
            Captured::Group(group) => {
                for batch in &group.batches {
                    let told = |key| self.tables.iter().any(|table| table.key == key);
                    let is_told = batch.table.is_none_or(told);
                    assert!(is_told, "a batch of a table before its definition");
                    self.batches += 1;
                    self.largest_batch = self.largest_batch.max(batch.batch.bytes.len());
                }
                self.pending.extend(group.batches);
                match group.commit {
                    Some(commit) => self.commit(commit),
                    None => self.parts += 1,
                }
            }
        }
    }

    fn commit(&mut self, commit: Commit) {
        for batch in std::mem::take(&mut self.pending) {
            let topic = self.visible.entry((batch.feed, batch.table)).or_default();
            topic.extend(read(&batch));
        }
        self.commits.push(commit);
    }

    /// All visible records of a feed's table.
    pub(super) fn records(&self, table: u32) -> &[Record] {
        self.visible
            .get(&(0, Some(TableKey(table))))
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn last_position(&self) -> Position {
        let last = self.commits.last().expect("a commit");
        Position::decode(&last.position).expect("a position")
    }
}

fn read(batch: &TableBatch) -> Vec<Record> {
    let bytes = &batch.batch.bytes;
    verify_crc(bytes).expect("a finished batch");
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).expect("UTF-8").to_owned();
    let read: Vec<_> = records(bytes)
        .map(|record| {
            let record = record.expect("a good record");
            let value = record.value.expect("no tombstones");
            let header = |header: headwater_protocol::batch::Header<'_>| {
                (header.key.to_owned(), text(header.value.expect("a value")))
            };
            Record {
                timestamp_ms: record.timestamp,
                key: record.key.map(text),
                value: match batch.table {
                    Some(_) => serde_json::from_slice(value).expect("JSON"),
                    None => Json::Null,
                },
                raw: value.to_vec(),
                headers: record.headers.into_iter().map(header).collect(),
            }
        })
        .collect();
    assert_eq!(read.len(), batch.batch.record_count as usize);
    read
}
