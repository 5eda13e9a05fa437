//! Tables as the source describes them.

/// Names a table inside one run of a source. Dense from 0, never reused while the process lives. Every change
/// of a table's definition keeps its key; a table dropped and made anew (other relation id) has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey(pub u32);

/// What identifies the old row in an update or delete (PostgreSQL `REPLICA IDENTITY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name, unquoted.
    pub name: String,
    /// The type's object id.
    pub type_oid: u32,
    /// The type's name as `format_type` gives it, without modifier; empty where it is not known.
    pub type_name: String,
    /// `atttypmod`, -1 if none.
    pub type_modifier: i32,
    /// Whether it is part of the replica identity.
    pub identity: bool,
    /// Its place in the primary key, 0-based, if it is part of it.
    pub key_position: Option<u16>,
}

/// A table's definition in force at some position of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}
