use headwater_protocol::batch::Header;
use serde_json::{Value as Json, json};

use super::*;
use crate::table::{Column, ReplicaIdentity};
use crate::value::ValueKind;

const ORIGIN: ChangeOrigin = ChangeOrigin {
    transaction_id: 555,
    commit_lsn: 24_023_400,
    lsn: 24_023_128,
    ordinal: 3,
    commit_time_ms: 1_704_164_645_678,
    read_time_ms: 1_704_164_645_700,
};

#[derive(Debug, Clone, Copy)]
struct Values<'a>(&'a [Value<'a>]);

impl Row for Values<'_> {
    fn values(&self) -> impl Iterator<Item = Value<'_>> {
        self.0.iter().copied()
    }
}

/// A table of columns with a place in the key.
fn table(columns: &[(&str, Option<u16>)]) -> Table {
    let column = |&(name, key_position): &(&str, Option<u16>)| Column {
        name: name.to_owned(),
        type_oid: 25,
        type_name: "text".to_owned(),
        type_modifier: -1,
        identity: key_position.is_some(),
        key_position,
    };
    Table {
        key: TableKey(2),
        relation: 16_385,
        schema: "public".to_owned(),
        name: "or\"ders".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.iter().map(column).collect(),
    }
}

fn encoder(table: &Table, record_bytes_max: usize) -> DebeziumJson {
    let source = SourceNames {
        connector: "postgresql",
        database: "shopdb",
    };
    let mut encoder = DebeziumJson::new("shop", &source, record_bytes_max);
    encoder.prepare(table);
    encoder
}

fn insert<'a>(row: &'a [Value<'a>]) -> RowChange<Values<'a>> {
    RowChange {
        operation: Operation::Create,
        before: None,
        after: Some(Values(row)),
        key: Values(row),
        old_key: None,
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn insert_is_written_byte_for_byte() {
    let table = table(&[("id", Some(0)), ("näme", None)]);
    let mut encoder = encoder(&table, usize::MAX);
    let row = [Value::Number(b"1"), Value::Text("A \"q\"".as_bytes())];
    let record = encoder
        .encode(table.key, &insert(&row), &ORIGIN)
        .expect("small");
    assert_eq!(record.key.map(text), Some(r#"{"id":1}"#));
    let expected = concat!(
        r#"{"before":null,"after":{"id":1,"näme":"A \"q\""},"#,
        r#""source":{"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","connector":"postgresql","name":"shop","ts_ms":1704164645678,"#,
        r#""snapshot":"false","db":"shopdb","schema":"public","table":"or\"ders","#,
        r#""txId":555,"lsn":24023128,"commit_lsn":24023400,"ordinal":3},"#,
        r#""op":"c","ts_ms":1704164645700}"#,
    );
    assert_eq!(text(record.value), expected);
    assert!(record.headers().is_empty());
    assert_eq!(record.size(), 8 + expected.len());
}

#[test]
fn update_carries_both_images_and_delete_only_the_old_one() {
    let table = table(&[("id", Some(0)), ("v", None)]);
    let mut encoder = encoder(&table, usize::MAX);
    let old = [Value::Number(b"1"), Value::Null];
    let new = [Value::Number(b"1"), Value::Bool(true)];
    let update = RowChange {
        operation: Operation::Update,
        before: Some(Values(&old)),
        after: Some(Values(&new)),
        key: Values(&new),
        old_key: Some(Values(&old)),
    };
    let record = encoder.encode(table.key, &update, &ORIGIN).expect("small");
    let value: Json = serde_json::from_slice(record.value).expect("JSON");
    assert_eq!(value["op"], "u");
    assert_eq!(value["before"], json!({"id": 1, "v": null}));
    assert_eq!(value["after"], json!({"id": 1, "v": true}));
    assert!(record.headers().is_empty(), "the key is the same");

    let delete = RowChange {
        operation: Operation::Delete,
        before: None,
        after: None,
        key: Values(&old),
        old_key: None,
    };
    let record = encoder.encode(table.key, &delete, &ORIGIN).expect("small");
    assert_eq!(record.key.map(text), Some(r#"{"id":1}"#));
    let value: Json = serde_json::from_slice(record.value).expect("JSON");
    assert_eq!(value["op"], "d");
    assert_eq!(
        (&value["before"], &value["after"]),
        (&Json::Null, &Json::Null)
    );
}

#[test]
fn a_changed_key_is_one_update_that_names_the_old_key() {
    let table = table(&[("a", Some(1)), ("v", None), ("b", Some(0))]);
    let mut encoder = encoder(&table, usize::MAX);
    let old = [Value::Number(b"1"), Value::Null, Value::Text(b"x")];
    let new = [Value::Number(b"2"), Value::Null, Value::Text(b"x")];
    let update = RowChange {
        operation: Operation::Update,
        before: None,
        after: Some(Values(&new)),
        key: Values(&new),
        old_key: Some(Values(&old)),
    };
    let record = encoder.encode(table.key, &update, &ORIGIN).expect("small");
    assert_eq!(record.key.map(text), Some(r#"{"b":"x","a":2}"#));
    let header = Header {
        key: "__debezium.oldkey",
        value: Some(br#"{"b":"x","a":1}"#.as_slice()),
    };
    assert_eq!(record.headers(), [header]);
}

#[test]
fn values_that_were_not_sent_are_marked_and_named_never_null() {
    let table = table(&[("id", Some(0)), ("t", None), ("b", None), ("j", None)]);
    let mut encoder = encoder(&table, usize::MAX);
    let row = [
        Value::Number(b"1"),
        Value::Unchanged(ValueKind::Text),
        Value::Unchanged(ValueKind::Bytes),
        Value::Null,
    ];
    let record = encoder
        .encode(table.key, &insert(&row), &ORIGIN)
        .expect("small");
    let header = Header {
        key: "headwater.unchanged",
        value: Some(br#"["t","b"]"#.as_slice()),
    };
    assert_eq!(record.headers(), [header]);
    let value: Json = serde_json::from_slice(record.value).expect("JSON");
    assert_eq!(value["after"]["t"], "__debezium_unavailable_value");
    assert_eq!(
        value["after"]["b"],
        "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
    );
    assert_eq!(value["after"]["j"], Json::Null);
    assert_eq!(encoder.oddities().unchanged, 2);
}

#[test]
fn a_table_without_key_or_columns_has_a_null_key_and_empty_rows() {
    let table = table(&[]);
    let mut encoder = encoder(&table, usize::MAX);
    let record = encoder
        .encode(table.key, &insert(&[]), &ORIGIN)
        .expect("small");
    assert_eq!(record.key, None);
    let value: Json = serde_json::from_slice(record.value).expect("JSON");
    assert_eq!(value["after"], json!({}));
}

#[test]
fn source_holds_only_plain_values_for_flinks_map_of_strings() {
    let table = table(&[("id", Some(0))]);
    let mut encoder = encoder(&table, usize::MAX);
    let row = [Value::Number(b"1")];
    let record = encoder
        .encode(table.key, &insert(&row), &ORIGIN)
        .expect("small");
    let value: Json = serde_json::from_slice(record.value).expect("JSON");
    let source = value["source"].as_object().expect("an object");
    assert_eq!(source.len(), 12);
    assert!(source.values().all(|v| v.is_string() || v.is_number()));
}

#[test]
fn a_record_beyond_the_limit_is_refused_whatever_made_it_large() {
    let table = table(&[("id", Some(0)), ("t", None)]);
    let long = vec![b'x'; 10_000];
    for row in [
        [Value::Number(b"1"), Value::Text(&long)],
        [Value::Text(&long), Value::Null],
        [Value::Decimal(&long), Value::Null],
        [Value::Number(b"1"), Value::HexBytes(&long)],
    ] {
        let mut encoder = encoder(&table, 4_000);
        let refused = encoder.encode(table.key, &insert(&row), &ORIGIN);
        assert!(refused.expect_err("too large").bytes > 4_000);
    }
}

#[test]
fn a_changed_definition_replaces_the_prepared_one() {
    let first = table(&[("id", Some(0))]);
    let mut encoder = encoder(&first, usize::MAX);
    let before = encoder.prepared_bytes();
    encoder.prepare(&table(&[("id", Some(0)), ("added", None)]));
    assert!(encoder.prepared_bytes() > before);
    let row = [Value::Number(b"1"), Value::Null];
    let record = encoder
        .encode(first.key, &insert(&row), &ORIGIN)
        .expect("small");
    assert!(text(record.value).contains(r#""after":{"id":1,"added":null}"#));
    encoder.forget_tables();
    assert!(!encoder.is_prepared(first.key));
    assert_eq!(encoder.prepared_bytes(), 0);
}
