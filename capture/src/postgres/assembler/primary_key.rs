//! Which columns are the primary key, where two witnesses of different times are asked.

use std::collections::HashMap;

use crate::table::{Column, ReplicaIdentity};

/// Marks the primary key's columns, as far as it is certain.
///
/// The catalog is of the present, the relation message of the row. Under identity DEFAULT the message marks
/// the key's columns itself, and the catalog only gives their order: where it does not know the same set,
/// they stand in the order of the columns. Otherwise the catalog's key counts if all of it is there.
pub(super) fn mark_primary_key(
    identity: ReplicaIdentity,
    catalog: Option<&[Box<str>]>,
    columns: &mut [Column],
) {
    let index_of: HashMap<&str, usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| (column.name.as_str(), index))
        .collect();
    let named: Option<Vec<usize>> = catalog
        .unwrap_or_default()
        .iter()
        .map(|name| index_of.get(&**name).copied())
        .collect();
    let named = named.unwrap_or_default();
    let marked = || (0..columns.len()).filter(|&at| columns.get(at).is_some_and(|c| c.identity));
    let key = match identity {
        ReplicaIdentity::Default => {
            let mut sorted = named.clone();
            sorted.sort_unstable();
            if marked().eq(sorted) {
                named
            } else {
                marked().collect()
            }
        }
        ReplicaIdentity::Index | ReplicaIdentity::Full | ReplicaIdentity::Nothing => named,
    };
    for (position, index) in (0..).zip(key) {
        if let Some(column) = columns.get_mut(index) {
            column.key_position = Some(position);
        }
    }
}
