//! Which columns are left out of a record that is too large. Pure.
//!
//! The largest columns go first, until what is left fits by the size that the source sent; if the record is still too
//! large (escapes, base64, two images), the next attempt aims at half of that. Columns of the record key stay.

use crate::table::Table;

/// The choice for one change in one feed.
#[derive(Debug)]
pub(super) struct Omission {
    /// Bytes and index of the columns that may still go, the largest last.
    left: Vec<(usize, usize)>,
    omitted: Vec<bool>,
    /// What the columns that stay may have, by the next attempt.
    target: usize,
}

impl Omission {
    /// Nothing left out yet. `sizes`: what the source sent of each column; `record_bytes_max`: see `CaptureLimits`.
    pub(super) fn new(table: &Table, sizes: &[usize], record_bytes_max: usize) -> Self {
        let key = table.record_key();
        let may_go = |&(size, index): &(usize, usize)| {
            let excluded = table.columns.get(index).is_none_or(|c| c.excluded);
            size > 0 && !excluded && !key.contains(&index)
        };
        let columns = sizes.iter().copied().zip(0..);
        let mut left: Vec<_> = columns.filter(may_go).collect();
        left.sort_unstable();
        Self {
            left,
            omitted: vec![false; sizes.len()],
            target: record_bytes_max,
        }
    }

    /// Leaves out one column whatever its size.
    pub(super) fn omit(&mut self, index: usize) {
        self.left.retain(|(_, other)| *other != index);
        if let Some(omitted) = self.omitted.get_mut(index) {
            *omitted = true;
        }
    }

    /// Leaves out more columns, one at least; `false` if there are none.
    pub(super) fn omit_more(&mut self) -> bool {
        let mut kept: usize = self.left.iter().map(|(size, _)| size).sum();
        let before = self.left.len();
        while let Some(&(size, index)) = self.left.last()
            && (kept > self.target || self.left.len() == before)
        {
            kept -= size;
            self.omit(index);
        }
        self.target /= 2;
        self.left.len() < before
    }

    /// For each column, whether it is left out.
    pub(super) fn omitted(&self) -> &[bool] {
        &self.omitted
    }

    /// Names of the columns left out.
    pub(super) fn names(&self, table: &Table) -> Vec<String> {
        let columns = table.columns.iter().zip(&self.omitted);
        columns
            .filter(|(_, omitted)| **omitted)
            .map(|(column, _)| column.name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, ReplicaIdentity, TableKey};
    use crate::value::ColumnType;

    fn table(columns: usize) -> Table {
        let column = |index: usize| Column {
            name: format!("c{index}"),
            type_oid: 25,
            type_name: "text".to_owned(),
            type_modifier: -1,
            value_type: ColumnType::default(),
            excluded: index == 1,
            identity: index == 0,
            key_position: (index == 0).then_some(0),
        };
        Table {
            key: TableKey(0),
            relation: 1,
            schema: "s".to_owned(),
            name: "t".to_owned(),
            replica_identity: ReplicaIdentity::Default,
            columns: (0..columns).map(column).collect(),
            unique_keys: Vec::new(),
        }
    }

    #[test]
    fn the_largest_columns_go_until_the_rest_fits_and_key_and_excluded_ones_stay() {
        let table = table(6);
        let mut omission = Omission::new(&table, &[900, 900, 10, 50, 60, 20], 100);
        assert!(omission.omit_more());
        assert_eq!(omission.names(&table), ["c4"], "10 + 50 + 20 fit");
        assert!(omission.omit_more(), "they did not: half of it");
        assert_eq!(omission.names(&table), ["c3", "c4"]);
        while omission.omit_more() {}
        assert_eq!(omission.names(&table), ["c2", "c3", "c4", "c5"]);
    }

    #[test]
    fn each_attempt_leaves_out_one_more_even_where_the_sizes_say_that_it_fits() {
        let table = table(4);
        let mut omission = Omission::new(&table, &[1, 1, 5, 5], 1000);
        assert!(omission.omit_more() && omission.omit_more());
        assert!(!omission.omit_more());
    }
}
