//! What is constant in all records of a table, rendered once.

use crate::encode::SourceNames;
use crate::encode::json::JsonBuffer;
use crate::table::{Column, Table};

/// What is constant in all records of a feed.
#[derive(Debug)]
pub(super) struct Constants {
    /// From the comma before `source` to its first field that varies.
    source_head: Vec<u8>,
    /// `,"snapshot":"false","db":"..."`
    database: Vec<u8>,
}

impl Constants {
    pub(super) fn new(name: &str, source: &SourceNames<'_>) -> Self {
        let source_head = format!(
            ",\"source\":{{\"version\":{},\"connector\":{},\"name\":{},\"ts_ms\":",
            quoted(env!("CARGO_PKG_VERSION")),
            quoted(source.connector),
            quoted(name),
        );
        let database = format!(",\"snapshot\":\"false\",\"db\":{}", quoted(source.database));
        Self {
            source_head: source_head.into_bytes(),
            database: database.into_bytes(),
        }
    }
}

/// Rendered parts of a table's records.
#[derive(Debug)]
pub(super) struct TableTemplate {
    /// Up to the commit time.
    pub(super) source_head: Vec<u8>,
    /// From behind the commit time up to the transaction id.
    pub(super) source_table: Vec<u8>,
    pub(super) columns: Vec<ColumnTemplate>,
    /// What stands before each value of the key, in the key's order; empty: the key is null.
    pub(super) key_prefixes: Vec<Vec<u8>>,
    /// How many leading columns one must look at to have seen the whole key.
    pub(super) key_reach: usize,
}

#[derive(Debug)]
pub(super) struct ColumnTemplate {
    /// `{"name":` or `,"name":`.
    pub(super) prefix: Vec<u8>,
    /// Index in the record key.
    pub(super) key_position: Option<usize>,
}

impl ColumnTemplate {
    /// The name as a JSON string.
    pub(super) fn name(&self) -> &[u8] {
        match self.prefix.as_slice() {
            [_, name @ .., _] => name,
            _ => &[],
        }
    }
}

impl TableTemplate {
    pub(super) fn new(constants: &Constants, table: &Table) -> Self {
        let key = table.record_key();
        let mut key_positions = vec![None; table.columns.len()];
        for (position, &index) in key.iter().enumerate() {
            if let Some(slot) = key_positions.get_mut(index) {
                *slot = Some(position);
            }
        }
        let columns = table.columns.iter().zip(key_positions).enumerate();
        let column = |(index, (column, key_position)): (usize, (&Column, _))| ColumnTemplate {
            prefix: prefix(index, &column.name),
            key_position,
        };
        let key_names = key.iter().filter_map(|&index| table.columns.get(index));
        let names = format!(
            ",\"schema\":{},\"table\":{},\"txId\":",
            quoted(&table.schema),
            quoted(&table.name)
        );
        Self {
            source_head: constants.source_head.clone(),
            source_table: [constants.database.as_slice(), names.as_bytes()].concat(),
            columns: columns.map(column).collect(),
            key_prefixes: key_names
                .enumerate()
                .map(|(index, column)| prefix(index, &column.name))
                .collect(),
            key_reach: key.iter().max().map_or(0, |last| last + 1),
        }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let column = |column: &ColumnTemplate| size_of::<ColumnTemplate>() + column.prefix.len();
        let key = |prefix: &Vec<u8>| size_of::<Vec<u8>>() + prefix.len();
        size_of::<Self>()
            + self.source_head.len()
            + self.source_table.len()
            + self.columns.iter().map(column).sum::<usize>()
            + self.key_prefixes.iter().map(key).sum::<usize>()
    }
}

fn prefix(index: usize, name: &str) -> Vec<u8> {
    let opening = if index == 0 { '{' } else { ',' };
    format!("{opening}{}:", quoted(name)).into_bytes()
}

/// A name as a JSON string. Names are short, so this may be slow.
fn quoted(name: &str) -> String {
    let mut json = JsonBuffer::new(usize::MAX);
    json.string(name.as_bytes())
        .expect("there is no limit to exceed");
    String::from_utf8_lossy(json.bytes()).into_owned()
}
