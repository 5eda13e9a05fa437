//! What the server's catalog says about a table, as the caller read it by SQL.

use crate::table::{Column, ReplicaIdentity, Table, TableKey, UniqueKey};

/// A table as the catalog describes it at present, which may be later than the rows that are being read.
///
/// pgoutput tells columns, types and identity as of each row; only the primary key and its order, and the
/// names of types, come from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// `pg_namespace.nspname`.
    pub schema: String,
    /// `pg_class.relname`.
    pub name: String,
    /// `pg_class.relreplident`.
    pub replica_identity: ReplicaIdentity,
    /// Columns in `attnum` order, without dropped ones and those that are not replicated. `type_name` is
    /// `format_type(atttypid, NULL)`; `identity` is what the relation message would say: all columns for
    /// FULL, none for NOTHING, else those of the index.
    pub columns: Vec<Column>,
    /// Unique keys, primary key apart.
    pub unique_keys: Vec<UniqueKey>,
}

impl CatalogTable {
    pub(super) fn into_table(self, key: TableKey, relation: u32) -> Table {
        Table {
            key,
            relation,
            schema: self.schema,
            name: self.name,
            replica_identity: self.replica_identity,
            columns: self.columns,
            unique_keys: self.unique_keys,
        }
    }
}
