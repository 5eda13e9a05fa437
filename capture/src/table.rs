//! Tables as the source describes them.

use crate::value::ColumnType;

/// Names a table inside one run of a source, by its schema and name. Dense from 0, never reused while the process lives.
/// Every change of a table's columns keeps its key, and so does a table dropped and made anew under its name; a table
/// that is renamed has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey(pub u32);

/// What identifies the old row in an update or delete (PostgreSQL `REPLICA IDENTITY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// A unique index that the operator named.
    Index,
    /// The whole old row.
    Full,
    /// Nothing.
    Nothing,
}

/// One column, in the order of the source's relation message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// The column's name, unquoted.
    pub name: String,
    /// The type's object id.
    pub type_oid: u32,
    /// The type's name as `format_type` gives it, without modifier; empty where it is not known.
    pub type_name: String,
    /// `atttypmod`, -1 if none.
    pub type_modifier: i32,
    /// What the type is behind all domains.
    pub value_type: ColumnType,
    /// Left out of rows unless it is part of the record key: a pattern of the configuration names it.
    pub excluded: bool,
    /// Whether it is part of the replica identity.
    pub identity: bool,
    /// Its place in the primary key, 0-based, if it is part of it.
    pub key_position: Option<u16>,
}

/// A unique key beside the primary key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UniqueKey {
    /// The index's name.
    pub name: String,
    /// Names of its columns, in its order.
    pub columns: Vec<String>,
}

/// A table's definition in force at some position of the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// Its name inside this run.
    pub key: TableKey,
    /// PostgreSQL: `pg_class.oid`.
    pub relation: u32,
    /// Schema (PostgreSQL) or database (MySQL).
    pub schema: String,
    /// Table name, unquoted.
    pub name: String,
    /// See [`ReplicaIdentity`].
    pub replica_identity: ReplicaIdentity,
    /// Columns as the source sends them.
    pub columns: Vec<Column>,
    /// Unique keys as the catalog had them when it was last asked, which may be later than the columns.
    pub unique_keys: Vec<UniqueKey>,
}

impl Table {
    /// What logical messages go by, which belong to no table: no schema, no columns.
    pub fn of_messages(key: TableKey) -> Self {
        Self {
            key,
            relation: 0,
            schema: String::new(),
            name: "message".to_owned(),
            replica_identity: ReplicaIdentity::Nothing,
            columns: Vec::new(),
            unique_keys: Vec::new(),
        }
    }

    /// What the boundaries of transactions go by, which belong to no table either.
    pub fn of_transactions(key: TableKey) -> Self {
        Self {
            name: "transaction".to_owned(),
            ..Self::of_messages(key)
        }
    }

    /// Whether it is [`Table::of_messages`].
    pub fn is_of_messages(&self) -> bool {
        self.is_no_table() && self.name == "message"
    }

    /// Whether it is [`Table::of_transactions`].
    pub fn is_of_transactions(&self) -> bool {
        self.is_no_table() && self.name == "transaction"
    }

    /// Whether it stands for records that belong to no table of the source.
    pub fn is_no_table(&self) -> bool {
        self.relation == 0 && self.schema.is_empty()
    }

    /// Indexes of the columns whose values identify a row, in the order of the record key; empty if nothing
    /// does.
    ///
    /// The primary key, with one exception: where the operator chose an index as replica identity and a
    /// delete would not carry all of the primary key, the columns of that index (unique and not null by
    /// PostgreSQL's own rule), so that every change of a row has the same key.
    pub fn record_key(&self) -> Vec<usize> {
        let identity = || self.indexes(|column| column.identity);
        let mut primary = self.indexes(|column| column.key_position.is_some());
        primary.sort_by_key(|&index| self.columns.get(index).and_then(|c| c.key_position));
        let covered = primary
            .iter()
            .all(|&index| self.columns.get(index).is_some_and(|c| c.identity));
        match self.replica_identity {
            ReplicaIdentity::Index if primary.is_empty() || !covered => identity(),
            ReplicaIdentity::Index
            | ReplicaIdentity::Default
            | ReplicaIdentity::Full
            | ReplicaIdentity::Nothing => primary,
        }
    }

    fn indexes(&self, wanted: impl Fn(&Column) -> bool) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        columns
            .filter(|(_, column)| wanted(column))
            .map(|(index, _)| index)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(replica_identity: ReplicaIdentity, columns: &[(&str, bool, Option<u16>)]) -> Table {
        let column = |&(name, identity, key_position): &(&str, bool, Option<u16>)| Column {
            name: name.to_owned(),
            type_oid: 23,
            type_name: "integer".to_owned(),
            type_modifier: -1,
            value_type: ColumnType::default(),
            excluded: false,
            identity,
            key_position,
        };
        Table {
            key: TableKey(0),
            relation: 1,
            schema: "s".to_owned(),
            name: "t".to_owned(),
            replica_identity,
            columns: columns.iter().map(column).collect(),
            unique_keys: Vec::new(),
        }
    }

    #[test]
    fn record_key_has_the_primary_keys_order() {
        let columns = [
            ("a", true, Some(1)),
            ("b", false, None),
            ("c", true, Some(0)),
        ];
        let keyed = table(ReplicaIdentity::Default, &columns);
        assert_eq!(keyed.record_key(), [2, 0]);
        assert!(
            table(ReplicaIdentity::Full, &[("a", true, None)])
                .record_key()
                .is_empty()
        );
    }

    #[test]
    fn index_identity_is_the_key_unless_it_covers_the_primary_key() {
        let index = ReplicaIdentity::Index;
        let apart = table(index, &[("id", false, Some(0)), ("code", true, None)]);
        assert_eq!(apart.record_key(), [1]);
        let covering = table(index, &[("id", true, Some(0)), ("code", true, None)]);
        assert_eq!(covering.record_key(), [0]);
        let keyless = table(index, &[("id", false, None), ("code", true, None)]);
        assert_eq!(keyless.record_key(), [1]);
    }
}
