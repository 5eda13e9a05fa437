//! What is constant in all records of a table, rendered once.

use super::debezium::schema;
use crate::encode::json::JsonBuffer;
use crate::encode::{Preset, SourceNames, cleaned_name};
use crate::table::{Column, Table};
use crate::value::ColumnType;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Flink,
    Debezium,
}

/// What is constant in all records of a feed.
#[derive(Debug)]
pub(super) struct Constants {
    /// The topic prefix.
    name: String,
    connector: &'static str,
    /// From the comma before `source` to its first field that varies.
    pub(super) source_head: Vec<u8>,
    /// `,"snapshot":"false","db":"..."`
    pub(super) database: Vec<u8>,
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
            name: name.to_owned(),
            connector: source.connector,
            source_head: source_head.into_bytes(),
            database: database.into_bytes(),
        }
    }
}

/// Rendered parts of a table's records.
#[derive(Debug)]
pub(super) struct TableTemplate {
    pub(super) dialect: Dialect,
    /// Up to the commit time.
    pub(super) source_head: Vec<u8>,
    /// From behind the commit time to the database.
    pub(super) source_database: Vec<u8>,
    /// `schema`, `table`, and up to the transaction id.
    pub(super) source_table: Vec<u8>,
    pub(super) columns: Vec<ColumnTemplate>,
    /// Whether a row is an empty object.
    pub(super) has_no_columns: bool,
    /// What stands before each value of the key, in the key's order; empty: the key is null.
    pub(super) key_prefixes: Vec<Vec<u8>>,
    /// How many leading columns one must look at to have seen the whole key.
    pub(super) key_reach: usize,
    /// `"schema.table"`, as the boundaries of transactions name the table.
    pub(super) collection: Vec<u8>,
    /// Where schemas are written: what stands before the payloads. A brace follows them.
    pub(super) schemas: Option<Schemas>,
    /// `name`, for the context headers.
    pub(super) feed: Vec<u8>,
    /// The connector's kind.
    pub(super) connector: &'static str,
}

/// `{"schema":...,"payload":`
#[derive(Debug)]
pub(super) struct Schemas {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct ColumnTemplate {
    /// `{"name":` or `,"name":`.
    pub(super) prefix: Vec<u8>,
    /// Index in the record key.
    pub(super) key_position: Option<usize>,
    pub(super) is_excluded: bool,
    pub(super) value_type: ColumnType,
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
    pub(super) fn new(constants: &Constants, preset: Preset, table: &Table) -> Self {
        let key = table.record_key();
        let names = format!(
            ",\"schema\":{},\"table\":{},\"txId\":",
            quoted(&table.schema),
            quoted(&table.name)
        );
        let key_columns = || key.iter().filter_map(|&index| table.columns.get(index));
        let (dialect, with_schemas) = match preset {
            Preset::Flink => (Dialect::Flink, false),
            Preset::Debezium(options) => (Dialect::Debezium, options.schemas),
        };
        let prefixed = |(index, column): (usize, &Column)| prefix(index == 0, &column.name);
        let columns = columns(table, &key);
        Self {
            dialect,
            source_head: constants.source_head.clone(),
            source_database: constants.database.clone(),
            source_table: names.into_bytes(),
            has_no_columns: columns.iter().all(|column| column.is_excluded),
            columns,
            key_prefixes: key_columns().enumerate().map(prefixed).collect(),
            key_reach: key.iter().max().map_or(0, |last| last + 1),
            collection: quoted(&format!("{}.{}", table.schema, table.name)).into_bytes(),
            schemas: with_schemas.then(|| {
                let name = format!("{}.{}.{}", constants.name, table.schema, table.name);
                schema::schemas(&cleaned_name(&name), table, key_columns())
            }),
            feed: constants.name.clone().into_bytes(),
            connector: constants.connector,
        }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let column = |column: &ColumnTemplate| {
            let labels = column.value_type.labels.as_ref();
            size_of::<ColumnTemplate>() + column.prefix.len() + labels.map_or(0, |text| text.len())
        };
        let key = |prefix: &Vec<u8>| size_of::<Vec<u8>>() + prefix.len();
        let schemas = self.schemas.as_ref();
        size_of::<Self>()
            + self.source_head.len()
            + self.source_database.len()
            + self.source_table.len()
            + self.collection.len()
            + self.feed.len()
            + self.columns.iter().map(column).sum::<usize>()
            + self.key_prefixes.iter().map(key).sum::<usize>()
            + schemas.map_or(0, |schemas| schemas.key.len() + schemas.value.len())
    }
}

/// A key's columns are never left out.
fn columns(table: &Table, key: &[usize]) -> Vec<ColumnTemplate> {
    let mut is_first = true;
    let column = |(index, column): (usize, &Column)| {
        let key_position = key.iter().position(|&at| at == index);
        let is_excluded = column.excluded && key_position.is_none();
        let prefix = prefix(is_first, &column.name);
        is_first &= is_excluded;
        ColumnTemplate {
            prefix,
            key_position,
            is_excluded,
            value_type: column.value_type.clone(),
        }
    };
    table.columns.iter().enumerate().map(column).collect()
}

fn prefix(is_first: bool, name: &str) -> Vec<u8> {
    let opening = if is_first { '{' } else { ',' };
    format!("{opening}{}:", quoted(name)).into_bytes()
}

/// A name as a JSON string. Names are short, so this may be slow.
pub(super) fn quoted(name: &str) -> String {
    let mut json = JsonBuffer::new(usize::MAX);
    json.string(name.as_bytes())
        .expect("there is no limit to exceed");
    String::from_utf8_lossy(json.bytes()).into_owned()
}
