//! Which columns are the primary key, where witnesses of different times are asked.
//!
//! | witness | of | tells |
//! |---|---|---|
//! | relation message | the row | under identity DEFAULT which columns, not their order; else nothing |
//! | catalog | the present | both; nothing where the relation is gone |
//! | [`EarlierKeys`] | the last row of a table of that name that was rendered | both |
//!
//! The catalog is behind the row where a table was dropped, or its key was renamed or changed, before its rows were read.

use std::collections::HashMap;

use super::names::joined;
use crate::table::{Column, ReplicaIdentity, Table};

/// Names of columns in the key's order.
pub(super) type KeyNames = Box<[Box<str>]>;

/// The primary key of a table as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The table's schema.
    pub schema: String,
    /// The table's name.
    pub name: String,
    /// Names of its columns in the key's order.
    pub columns: Vec<String>,
}

/// The primary keys that rows were rendered with last, by the table's name.
#[derive(Debug, Default)]
pub(super) struct EarlierKeys(HashMap<Box<str>, KeyNames>);

impl EarlierKeys {
    pub(super) fn new(known: Vec<KnownKey>) -> Self {
        let named = |key: KnownKey| {
            let columns = key.columns.into_iter().map(Into::into);
            (joined(&key.schema, &key.name), columns.collect())
        };
        Self(known.into_iter().map(named).collect())
    }

    pub(super) fn get(&self, schema: &str, name: &str) -> Option<&[Box<str>]> {
        self.0.get(&*joined(schema, name)).map(AsRef::as_ref)
    }

    /// Takes a definition that a row is rendered with.
    pub(super) fn note(&mut self, table: &Table) {
        let key = key_names(&table.columns);
        // What each row tells is not kept.
        if table.replica_identity != ReplicaIdentity::Default || key.len() > 1 {
            self.0.insert(joined(&table.schema, &table.name), key);
        }
    }
}

/// Of columns that are marked.
pub(super) fn key_names(columns: &[Column]) -> KeyNames {
    let columns = columns.iter();
    let mut named: Vec<_> = columns
        .filter_map(|column| Some((column.key_position?, column.name.as_str())))
        .collect();
    named.sort_unstable();
    named.into_iter().map(|(_, name)| name.into()).collect()
}

/// Marks the primary key's columns, as far as it is certain. `witnesses`: in the order of their weight.
///
/// Under identity DEFAULT the message marks the columns itself, and the first witness of the same set gives their order;
/// without one they stand in the order of the columns. Otherwise the first witness counts whose columns are all there.
pub(super) fn mark_primary_key<'a>(
    identity: ReplicaIdentity,
    witnesses: impl Iterator<Item = &'a [Box<str>]>,
    columns: &mut [Column],
) {
    let index_of: HashMap<&str, usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| (column.name.as_str(), index))
        .collect();
    let mut whole = witnesses.filter_map(|names| {
        let indices = names.iter().map(|name| index_of.get(&**name).copied());
        indices.collect::<Option<Vec<usize>>>()
    });
    let marked = || (0..columns.len()).filter(|&at| columns.get(at).is_some_and(|c| c.identity));
    let is_marked = |key: &Vec<usize>| {
        let mut sorted = key.clone();
        sorted.sort_unstable();
        marked().eq(sorted)
    };
    let key = match identity {
        ReplicaIdentity::Default => whole.find(is_marked).unwrap_or_else(|| marked().collect()),
        ReplicaIdentity::Index | ReplicaIdentity::Full | ReplicaIdentity::Nothing => {
            whole.next().unwrap_or_default()
        }
    };
    for (position, index) in (0..).zip(key) {
        if let Some(column) = columns.get_mut(index) {
            column.key_position = Some(position);
        }
    }
}
