//! The bytes against golden vectors and against an independent Avro decoder with the schema in `docs/dts`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else the decoder gives fails the test"
)]

mod golden;
mod random;
mod rows;
mod values;

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;

use super::*;
use crate::table::TableKey;
use crate::value::Value;

const SCHEMA: &str = include_str!("../../../../docs/dts/record.avsc");

/// Of a client that was built before `bornTimestamp` came.
fn older_schema() -> Schema {
    let mut schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    assert_eq!(fields.pop().unwrap()["name"], "bornTimestamp");
    Schema::parse(&schema).unwrap()
}

fn schema() -> Schema {
    Schema::parse_str(SCHEMA).unwrap()
}

fn read(schema: &Schema, bytes: &mut &[u8]) -> Avro {
    let reader = GenericDatumReader::builder(schema).build().unwrap();
    reader.read_value(bytes).unwrap()
}

/// A row as a source would give it.
#[derive(Debug, Clone, Copy)]
struct TestRow<'a>(&'a [Value<'a>]);

impl Row for TestRow<'_> {
    fn values(&self) -> impl Iterator<Item = Value<'_>> {
        self.0.iter().copied()
    }
}

const TABLE: TableKey = TableKey(0);

const ORIGIN: Origin<'_> = Origin {
    commit_time_ms: 1_696_984_408_000,
    read_time_ms: 1_696_984_408_123,
    position: Position::Binlog {
        offset: 72_469,
        file: 78,
    },
    safe_position: Position::Binlog {
        offset: 72_347,
        file: 78,
    },
    transaction: 0,
    thread_id: None,
    server_id: None,
    gtid: None,
};

fn mysql_encoder(columns: Vec<ColumnShape>) -> DtsAvro {
    let mut encoder = DtsAvro::new(Family::MySql, "8.0.28", 1_700_382, usize::MAX);
    let shape = TableShape {
        name: vec!["mydb".to_owned(), "t1".to_owned()],
        columns,
        keys: vec![("PRIMARY".to_owned(), vec!["a".to_owned()])],
        logical: None,
    };
    encoder.prepare(TABLE, &shape);
    encoder
}

fn insert<'a>(row: &'a [Value<'a>]) -> RowChange<TestRow<'a>> {
    let row = TestRow(row);
    RowChange {
        operation: Operation::Create,
        before: None,
        after: Some(row),
        key: row,
        old_key: None,
    }
}

/// A decoded record.
struct Decoded(HashMap<String, Avro>);

impl Decoded {
    /// Reads with both generations of the schema; the newer one leaves no byte.
    fn of(bytes: &[u8]) -> Self {
        assert!(
            bytes.len() > 48,
            "clients drop {} bytes as filler",
            bytes.len()
        );
        read(&older_schema(), &mut &*bytes);
        let mut rest = bytes;
        let read = read(&schema(), &mut rest);
        assert_eq!(rest.len(), 0, "bytes behind the record");
        let Avro::Record(fields) = read else {
            panic!("the schema is of a record");
        };
        Self(fields.into_iter().collect())
    }

    fn field(&self, name: &str) -> &Avro {
        match &self.0[name] {
            Avro::Union(_, value) => value,
            value => value,
        }
    }

    fn text(&self, name: &str) -> &str {
        match self.field(name) {
            Avro::String(text) | Avro::Enum(_, text) => text,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn long(&self, name: &str) -> i64 {
        match self.field(name) {
            Avro::Long(number) => *number,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn tag(&self, name: &str) -> Option<&str> {
        let Avro::Map(tags) = self.field("tags") else {
            panic!("tags are a map");
        };
        match tags.get(name)? {
            Avro::String(text) => Some(text),
            other => panic!("tag {name} is {other:?}"),
        }
    }

    fn array(&self, name: &str) -> &[Avro] {
        match self.field(name) {
            Avro::Array(items) => items,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Branch and contents of one item of an image.
    fn item(&self, image: &str, index: usize) -> (u32, &Avro) {
        match &self.array(image)[index] {
            Avro::Union(branch, value) => (*branch, value),
            other => panic!("{image}[{index}] is {other:?}"),
        }
    }
}

fn encode(encoder: &mut DtsAvro, change: &RowChange<TestRow<'_>>, origin: &Origin<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encoder
        .row(&mut out, TABLE, change, origin)
        .expect("within the limit");
    out
}
