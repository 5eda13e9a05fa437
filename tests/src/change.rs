//! One row change, in terms that the database's own history and headwater's records can both be put in.
//!
//! Values are compared as PostgreSQL's text. The workload's columns have types whose text JSON keeps (integers,
//! booleans, text, numeric as a string), so nothing is lost by that.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::wire::Record;

/// What an update that did not touch a large value carries in its place (Debezium's name for it).
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// A column's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cell {
    /// NULL.
    Null,
    /// A large value that the update did not touch and the log therefore does not hold.
    Unchanged,
    /// As PostgreSQL writes it.
    Text(String),
}

/// Columns by name.
pub type Row = BTreeMap<String, Cell>;

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// INSERT, COPY.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
}

/// A row change of a committed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// The transaction's id, as `pg_current_xact_id` gives it, lower 32 bits.
    pub transaction: u64,
    /// `schema.table`.
    pub table: String,
    /// What happened.
    pub operation: Operation,
    /// The whole old row, where the log has it (REPLICA IDENTITY FULL).
    pub before: Option<Row>,
    /// The new row; `None` for a delete.
    pub after: Option<Row>,
    /// For a delete without `before`: the identity of the row. Else empty.
    pub key: Row,
}

/// A change with the place that the log gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The topic's name.
    pub topic: String,
    /// Offset in the topic.
    pub offset: i64,
    /// Where its transaction ends in the source's log, and its place in the transaction.
    pub position: (u64, u64),
    /// The change itself.
    pub change: Change,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self
            .after
            .as_ref()
            .or(self.before.as_ref())
            .unwrap_or(&self.key);
        write!(
            f,
            "transaction {} {:?} {} {{",
            self.transaction, self.operation, self.table
        )?;
        for (name, cell) in row {
            // Large values would bury the rest.
            match cell {
                Cell::Text(text) if text.chars().count() > 24 => {
                    write!(f, " {name}=({} bytes)", text.len())?;
                }
                Cell::Text(text) => write!(f, " {name}={text}")?,
                Cell::Null => write!(f, " {name}=NULL")?,
                Cell::Unchanged => write!(f, " {name}=UNCHANGED")?,
            }
        }
        write!(f, " }}")
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (commit, ordinal) = self.position;
        write!(
            f,
            "{}@{} (commit {commit:x}, ordinal {ordinal}): {}",
            self.topic, self.offset, self.change
        )
    }
}

impl Logged {
    /// A record of a `debezium-json` feed, preset `flink`.
    ///
    /// # Errors
    /// What it lacks.
    pub fn of_record(topic: &str, record: &Record) -> Result<Self, String> {
        let at = |what: &str| format!("{topic}@{}: {what}", record.offset);
        let bytes = record
            .value
            .as_ref()
            .ok_or_else(|| at("a tombstone, which this preset does not write"))?;
        let value: Value = serde_json::from_slice(bytes).map_err(|error| at(&error.to_string()))?;
        let source = value.get("source").ok_or_else(|| at("no source block"))?;
        let number = |name: &str| {
            whole(source.get(name)).ok_or_else(|| at(&format!("no source.{name}: {source}")))
        };
        let text = |name: &str| {
            source
                .get(name)
                .and_then(Value::as_str)
                .ok_or_else(|| at(name))
        };
        let operation = operation(&value).ok_or_else(|| at("no op"))?;
        let (before, after) = (row(value.get("before")), row(value.get("after")));
        let key = match (operation, &before, &record.key) {
            (Operation::Delete, None, Some(key)) => row(serde_json::from_slice(key).ok().as_ref())
                .ok_or_else(|| at("a key that is no object"))?,
            (Operation::Insert | Operation::Update | Operation::Delete, _, _) => Row::new(),
        };
        Ok(Self {
            topic: topic.to_owned(),
            offset: record.offset,
            position: (number("commit_lsn")?, number("ordinal")?),
            change: Change {
                transaction: number("txId")?,
                table: format!("{}.{}", text("schema")?, text("table")?),
                operation,
                before,
                after,
                key,
            },
        })
    }
}

fn operation(value: &Value) -> Option<Operation> {
    match value.get("op")?.as_str()? {
        "c" => Some(Operation::Insert),
        "u" => Some(Operation::Update),
        "d" => Some(Operation::Delete),
        _ => None,
    }
}

/// A number, or a string of digits.
fn whole(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.as_u64(),
    }
}

fn row(value: Option<&Value>) -> Option<Row> {
    let columns = value?.as_object()?;
    Some(
        columns
            .iter()
            .map(|(name, value)| (name.clone(), cell(value)))
            .collect(),
    )
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) if text == UNAVAILABLE => Cell::Unchanged,
        Value::String(text) => Cell::Text(text.clone()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Cell::Text(other.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&str>, value: &str) -> Record {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Record {
            offset: 7,
            timestamp: 1,
            key: key.map(bytes),
            value: Some(bytes(value)),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_record_becomes_a_change() {
        let value = r#"{"before":null,"after":{"id":1,"big":"__debezium_unavailable_value","ok":true,"n":null},
            "source":{"schema":"public","table":"t","txId":700,"commit_lsn":"99","ordinal":3},"op":"u"}"#;
        let logged =
            Logged::of_record("shop.public.t", &record(Some(r#"{"id":1}"#), value)).unwrap();
        assert_eq!((logged.offset, logged.position), (7, (99, 3)));
        let after = logged.change.after.unwrap();
        assert_eq!(after["id"], Cell::Text("1".into()));
        assert_eq!(after["ok"], Cell::Text("true".into()));
        assert_eq!(
            (&after["big"], &after["n"]),
            (&Cell::Unchanged, &Cell::Null)
        );
        assert!(logged.change.key.is_empty());
    }

    #[test]
    fn a_delete_without_old_row_is_named_by_its_key() {
        let value = r#"{"before":null,"after":null,"op":"d",
            "source":{"schema":"public","table":"t","txId":1,"commit_lsn":1,"ordinal":0}}"#;
        let logged = Logged::of_record("t", &record(Some(r#"{"id":5}"#), value)).unwrap();
        assert_eq!(logged.change.key["id"], Cell::Text("5".into()));
    }

    #[test]
    fn a_record_without_source_block_is_an_error() {
        assert!(
            Logged::of_record("t", &record(None, r#"{"op":"c"}"#))
                .unwrap_err()
                .contains("source")
        );
    }
}
