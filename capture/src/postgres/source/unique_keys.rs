//! Unique keys as the server's catalog has them now.

use std::collections::HashMap;

use super::catalog::{INCLUDED_COLUMNS, QUERY_LIMIT, oid_list};
use crate::limits::{UNIQUE_KEY_NAMES_BYTES_MAX, UNIQUE_KEYS_MAX};
use crate::postgres::assembler::CatalogTable;
use crate::postgres::connection::Connection;
use crate::postgres::error::ConnectionError;
use crate::postgres::query::{Row, column};
use crate::table::UniqueKey;

/// Notes the unique keys of `tables`, by relation.
pub(super) async fn resolve(
    connection: &mut Connection,
    tables: &mut HashMap<u32, CatalogTable>,
    server_version: u32,
) -> Result<(), ConnectionError> {
    if tables.is_empty() {
        return Ok(());
    }
    let mut relations: Vec<u32> = tables.keys().copied().collect();
    relations.sort_unstable();
    let sql = sql(&relations, server_version);
    for row in &connection.query(&sql, QUERY_LIMIT).await? {
        add(tables, row);
    }
    for table in tables.values_mut() {
        bound(&mut table.unique_keys);
    }
    Ok(())
}

/// A row for each column of each unique index that is valid, of all rows and of plain columns, primary keys apart.
fn sql(relations: &[u32], server_version: u32) -> String {
    // Columns that an index merely includes are not part of its key.
    let key = if server_version >= INCLUDED_COLUMNS {
        "AND k.place <= i.indnkeyatts"
    } else {
        ""
    };
    format!(
        "SELECT i.indrelid, x.relname, a.attname \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid, \
         unnest(i.indkey) WITH ORDINALITY AS k(attnum, place), pg_catalog.pg_attribute a \
         WHERE i.indrelid IN ({}) AND i.indisunique AND NOT i.indisprimary AND i.indisvalid \
         AND i.indpred IS NULL AND i.indexprs IS NULL \
         AND a.attrelid = i.indrelid AND a.attnum = k.attnum {key} \
         ORDER BY i.indrelid, x.relname, k.place",
        oid_list(relations)
    )
}

fn add(tables: &mut HashMap<u32, CatalogTable>, row: &Row) {
    let relation = column(row, 0).and_then(|oid| oid.parse().ok());
    let Some(table) = relation.and_then(|oid: u32| tables.get_mut(&oid)) else {
        return;
    };
    let (Some(name), Some(part)) = (column(row, 1), column(row, 2)) else {
        return;
    };
    match table.unique_keys.last_mut() {
        Some(key) if key.name == name => key.columns.push(part.to_owned()),
        Some(_) | None => table.unique_keys.push(UniqueKey {
            name: name.to_owned(),
            columns: vec![part.to_owned()],
        }),
    }
}

/// They stand in every record: the first ones by name, as far as they are short.
fn bound(keys: &mut Vec<UniqueKey>) {
    let mut bytes = 0;
    let fits = |key: &UniqueKey| {
        bytes += key.name.len() + key.columns.iter().map(String::len).sum::<usize>();
        bytes <= UNIQUE_KEY_NAMES_BYTES_MAX
    };
    let count = keys
        .iter()
        .take(UNIQUE_KEYS_MAX)
        .map(fits)
        .take_while(|fits| *fits)
        .count();
    keys.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_keys_are_kept_than_every_record_can_carry() {
        let key = |name: usize, columns| UniqueKey {
            name: format!("key-{name}"),
            columns: vec!["c".repeat(60); columns],
        };
        let mut keys: Vec<_> = (0..100).map(|name| key(name, 1)).collect();
        bound(&mut keys);
        assert_eq!(keys.len(), UNIQUE_KEYS_MAX);
        let mut keys: Vec<_> = (0..10).map(|name| key(name, 32)).collect();
        bound(&mut keys);
        assert_eq!(keys.len(), 2);
        let mut keys = vec![key(0, 1)];
        bound(&mut keys);
        assert_eq!(keys, [key(0, 1)]);
    }
}
