//! PostgreSQL's types: `dataTypeNumber` is the type's oid.
//!
//! Pairs of number and branch are those that a public converter of DTS users reads; what is not in the table is
//! text of type `XTYPE`.

use super::image::{ObjectType, Rendering};
use super::shape::{ColumnShape, TableShape};
use crate::table::{Column, Table};
use crate::value::{ValueForm, ValueKind};

/// The name that `pk_uk_info` has for a primary key.
const PRIMARY: &str = "PRIMARY";

/// What clients call the encoding: the replication connection's text is always UTF-8.
const CHARSET: &str = "UTF-8";

/// A table of `database`: its name has three parts.
pub fn shape(database: &str, table: &Table) -> TableShape {
    TableShape {
        name: vec![
            database.to_owned(),
            table.schema.clone(),
            table.name.clone(),
        ],
        columns: table.columns.iter().map(column).collect(),
        keys: keys(table),
        logical: None,
    }
}

fn column(column: &Column) -> ColumnShape {
    ColumnShape {
        name: column.name.clone(),
        number: i32::from_ne_bytes(column.type_oid.to_ne_bytes()),
        rendering: rendering(column).unwrap_or(Rendering::Formless),
        identity: column.identity,
        is_excluded: column.excluded && column.key_position.is_none(),
    }
}

/// The primary key, then the unique ones of which all columns are shown: clients end at a column that they do not find.
fn keys(table: &Table) -> Vec<(String, Vec<String>)> {
    let mut keys = primary_key(table);
    let is_shown = |name: &String| {
        let shown = |at: &Column| at.name == *name && !(at.excluded && at.key_position.is_none());
        table.columns.iter().any(shown)
    };
    for key in &table.unique_keys {
        if key.name != PRIMARY && key.columns.iter().all(is_shown) {
            keys.push((key.name.clone(), key.columns.clone()));
        }
    }
    keys
}

fn primary_key(table: &Table) -> Vec<(String, Vec<String>)> {
    let columns = table.columns.iter();
    let mut named: Vec<_> = columns
        .filter_map(|column| Some((column.key_position?, column.name.clone())))
        .collect();
    if named.is_empty() {
        return Vec::new();
    }
    named.sort_unstable();
    let names = named.into_iter().map(|(_, name)| name).collect();
    vec![(PRIMARY.to_owned(), names)]
}

/// How a column's values are written; `None`: DTS has no form for its type. A domain's are those of its base type.
pub fn rendering(column: &Column) -> Option<Rendering> {
    rendering_of_oid(column.type_oid).or_else(|| rendering_of_form(column.value_type.form))
}

fn rendering_of_form(form: ValueForm) -> Option<Rendering> {
    if form.array_delimiter.is_some() {
        return None;
    }
    Some(match form.kind {
        ValueKind::Bool => Rendering::Text(ObjectType::Bool),
        ValueKind::Int16 => Rendering::Integer { bytes: 2 },
        ValueKind::Int32 => Rendering::Integer { bytes: 4 },
        ValueKind::Int64 => Rendering::Integer { bytes: 8 },
        ValueKind::Float32 | ValueKind::Float64 => Rendering::Float,
        ValueKind::Decimal => Rendering::Decimal,
        ValueKind::Date => Rendering::Date,
        ValueKind::Time => Rendering::Time,
        ValueKind::ZonedTime => Rendering::TimeWithOffset,
        ValueKind::Timestamp => Rendering::DateTime,
        ValueKind::Instant => Rendering::Instant,
        ValueKind::Bytes => Rendering::Binary(ObjectType::Bytea),
        ValueKind::Json => Rendering::Text(ObjectType::Json),
        ValueKind::Xml => Rendering::Text(ObjectType::Xml),
        ValueKind::Money
        | ValueKind::Interval
        | ValueKind::Bits
        | ValueKind::Point
        | ValueKind::Uuid => Rendering::Text(ObjectType::Xtype),
        ValueKind::Pairs
        | ValueKind::LabelPath
        | ValueKind::Lexemes
        | ValueKind::Enum
        | ValueKind::Text => return None,
    })
}

fn rendering_of_oid(type_oid: u32) -> Option<Rendering> {
    Some(match type_oid {
        21 => Rendering::Integer { bytes: 2 },
        23 => Rendering::Integer { bytes: 4 },
        20 => Rendering::Integer { bytes: 8 },
        18 | 25 | 1042 | 1043 => Rendering::Character { charset: CHARSET },
        1700 => Rendering::Decimal,
        700 | 701 => Rendering::Float,
        1082 => Rendering::Date,
        1083 => Rendering::Time,
        1114 => Rendering::DateTime,
        1184 => Rendering::Instant,
        1266 => Rendering::TimeWithOffset,
        17 => Rendering::Binary(ObjectType::Bytea),
        3802 => Rendering::TextAsBinary(ObjectType::Json),
        16 => Rendering::Text(ObjectType::Bool),
        114 => Rendering::Text(ObjectType::Json),
        142 => Rendering::Text(ObjectType::Xml),
        // uuid, money, inet, cidr, macaddr, interval, the geometric types, tsvector, tsquery, pg_lsn, txid_snapshot,
        // bit and its array: text, under the type name that every client knows.
        2950
        | 790
        | 869
        | 650
        | 829
        | 1186
        | 600..=604
        | 628
        | 718
        | 3614
        | 3615
        | 3220
        | 2970
        | 1560
        | 1561 => Rendering::Text(ObjectType::Xtype),
        _ => return None,
    })
}
