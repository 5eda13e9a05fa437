use serde_json::{Value as Json, json};

use super::*;
use crate::encode::{DebeziumOptions, Preset};
use crate::event::Operation;
use crate::table::{Column, ReplicaIdentity};
use crate::value::{ColumnType, Value, ValueForm, ValueKind};

const ORIGIN: ChangeOrigin = ChangeOrigin {
    transaction_id: 555,
    commit_lsn: 24_023_400,
    lsn: 24_023_128,
    ordinal: 3,
    previous_end_lsn: Some(24_023_120),
    commit_time_us: 1_704_164_645_678_901,
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
        value_type: ColumnType::default(),
        excluded: false,
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
        unique_keys: Vec::new(),
    }
}

fn encoder(table: &Table, record_bytes_max: usize) -> DebeziumJson {
    encoder_of(Preset::Flink, table, record_bytes_max)
}

fn encoder_of(preset: Preset, table: &Table, record_bytes_max: usize) -> DebeziumJson {
    let source = SourceNames {
        connector: "postgresql",
        database: "shopdb",
    };
    let mut encoder = DebeziumJson::new(("shop", preset), &source, record_bytes_max);
    encoder.prepare(table);
    encoder
}

/// A record as the sink got it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, String)>,
    size: usize,
}

impl Record {
    fn json(&self) -> Json {
        serde_json::from_str(self.value.as_ref().expect("no tombstone")).expect("JSON")
    }
}

fn records<R: Row>(
    encoder: &mut DebeziumJson,
    table: TableKey,
    change: &RowChange<R>,
) -> Result<Vec<Record>, TooLarge> {
    let mut records = Vec::new();
    encoder.encode(table, change, &ORIGIN, &mut |record| {
        let owned = |bytes: &[u8]| text(bytes).to_owned();
        let headers = record.headers().iter();
        let header = |header: &headwater_protocol::batch::Header<'_>| {
            (header.key.to_owned(), owned(header.value.expect("a value")))
        };
        records.push(Record {
            key: record.key.map(owned),
            value: record.value.map(owned),
            headers: headers.map(header).collect(),
            size: record.size(),
        });
        Ok(())
    })?;
    Ok(records)
}

/// The one record of a change in the dialect `flink`.
fn only_record<R: Row>(encoder: &mut DebeziumJson, table: &Table, change: &RowChange<R>) -> Record {
    let mut records = records(encoder, table.key, change).expect("small");
    assert_eq!(records.len(), 1);
    records.remove(0)
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
    let record = only_record(&mut encoder, &table, &insert(&row));
    assert_eq!(record.key.as_deref(), Some(r#"{"id":1}"#));
    let expected = concat!(
        r#"{"before":null,"after":{"id":1,"näme":"A \"q\""},"#,
        r#""source":{"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","connector":"postgresql","name":"shop","ts_ms":1704164645678,"#,
        r#""snapshot":"false","db":"shopdb","schema":"public","table":"or\"ders","#,
        r#""txId":555,"lsn":24023128,"commit_lsn":24023400,"ordinal":3},"#,
        r#""op":"c","ts_ms":1704164645700}"#,
    );
    assert_eq!(record.value.as_deref().expect("a value"), expected);
    assert!(record.headers.is_empty());
    assert_eq!(record.size, 8 + expected.len());
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
    let record = only_record(&mut encoder, &table, &update);
    let value = record.json();
    assert_eq!(value["op"], "u");
    assert_eq!(value["before"], json!({"id": 1, "v": null}));
    assert_eq!(value["after"], json!({"id": 1, "v": true}));
    assert!(record.headers.is_empty(), "the key is the same");

    let delete = RowChange {
        operation: Operation::Delete,
        before: None,
        after: None,
        key: Values(&old),
        old_key: None,
    };
    let record = only_record(&mut encoder, &table, &delete);
    assert_eq!(record.key.as_deref(), Some(r#"{"id":1}"#));
    let value = record.json();
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
    let record = only_record(&mut encoder, &table, &update);
    assert_eq!(record.key.as_deref(), Some(r#"{"b":"x","a":2}"#));
    let header = ("__debezium.oldkey".into(), r#"{"b":"x","a":1}"#.into());
    assert_eq!(record.headers, [header]);
}

#[test]
fn values_that_were_not_sent_are_marked_and_named_never_null() {
    let table = table(&[("id", Some(0)), ("t", None), ("b", None), ("j", None)]);
    let mut encoder = encoder(&table, usize::MAX);
    let row = [
        Value::Number(b"1"),
        Value::Unchanged(ValueForm::of(ValueKind::Text)),
        Value::Unchanged(ValueForm::of(ValueKind::Bytes)),
        Value::Null,
    ];
    let record = only_record(&mut encoder, &table, &insert(&row));
    let header = ("headwater.unchanged".into(), r#"["t","b"]"#.into());
    assert_eq!(record.headers, [header]);
    let value = record.json();
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
    let record = only_record(&mut encoder, &table, &insert(&[]));
    assert_eq!(record.key, None);
    let value = record.json();
    assert_eq!(value["after"], json!({}));
}

#[test]
fn source_holds_only_plain_values_for_flinks_map_of_strings() {
    let table = table(&[("id", Some(0))]);
    let mut encoder = encoder(&table, usize::MAX);
    let row = [Value::Number(b"1")];
    let record = only_record(&mut encoder, &table, &insert(&row));
    let value = record.json();
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
        let refused = records(&mut encoder, table.key, &insert(&row));
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
    let record = only_record(&mut encoder, &first, &insert(&row));
    assert!(
        record
            .value
            .as_deref()
            .expect("a value")
            .contains(r#""after":{"id":1,"added":null}"#)
    );
    encoder.forget_tables();
    assert!(!encoder.is_prepared(first.key));
    assert_eq!(encoder.prepared_bytes(), 0);
}

#[test]
fn an_excluded_column_is_left_out_of_rows_and_headers_unless_it_is_in_the_key() {
    let mut table = table(&[("secret", None), ("id", Some(0)), ("t", None)]);
    table.columns[0].excluded = true;
    table.columns[1].excluded = true;
    for preset in [Preset::Flink, Preset::Debezium(Default::default())] {
        let mut encoder = encoder_of(preset, &table, usize::MAX);
        let row = [
            Value::Unchanged(ValueForm::of(ValueKind::Text)),
            Value::Number(b"1"),
            Value::Text(b"seen"),
        ];
        let record = only_record(&mut encoder, &table, &insert(&row));
        assert_eq!(record.key.as_deref(), Some(r#"{"id":1}"#));
        let value = record.value.as_deref().expect("a value");
        assert!(value.contains(r#""after":{"id":1,"t":"seen"}"#), "{value}");
        let named = |(name, _): &(String, String)| name == "headwater.unchanged";
        assert!(!record.headers.iter().any(named));
    }
    table.columns[1].key_position = None;
    table.columns[2].excluded = true;
    let mut encoder = encoder(&table, usize::MAX);
    let row = [Value::Null, Value::Null, Value::Null];
    let record = only_record(&mut encoder, &table, &insert(&row));
    assert_eq!(record.json()["after"], json!({}));
}

/// What the connector's headers say, on every record.
fn context() -> Vec<(String, String)> {
    let header =
        |(name, value): (&str, &str)| (format!("__debezium.context.{name}"), value.to_owned());
    let named = [
        ("connectorLogicalName", "shop"),
        ("taskId", "0"),
        ("connectorName", "postgresql"),
    ];
    named.map(header).to_vec()
}

fn debezium(table: &Table) -> DebeziumJson {
    encoder_of(
        Preset::Debezium(DebeziumOptions::default()),
        table,
        usize::MAX,
    )
}

#[test]
fn debezium_insert_is_written_byte_for_byte() {
    let table = table(&[("id", Some(0)), ("v", None)]);
    let row = [Value::Number(b"1"), Value::Null];
    let record = only_record(&mut debezium(&table), &table, &insert(&row));
    assert_eq!(record.key.as_deref(), Some(r#"{"id":1}"#));
    let expected = concat!(
        r#"{"before":null,"after":{"id":1,"v":null},"source":{"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","connector":"postgresql","name":"shop","ts_ms":1704164645678,"snapshot":"false","#,
        r#""db":"shopdb","sequence":"[\"24023120\",\"24023128\"]","ts_us":1704164645678901,"#,
        r#""ts_ns":1704164645678901000,"schema":"public","table":"or\"ders","txId":555,"lsn":24023128,"#,
        r#""xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"c","#,
        r#""ts_ms":1704164645700,"ts_us":1704164645700000,"ts_ns":1704164645700000000}"#,
    );
    assert_eq!(record.value.as_deref(), Some(expected));
    assert_eq!(record.headers, context());
}

#[test]
fn debezium_writes_a_changed_key_as_delete_tombstone_and_create() {
    let table = table(&[("id", Some(0)), ("v", None)]);
    let old = [Value::Number(b"1"), Value::Null];
    let new = [Value::Number(b"2"), Value::Text(b"x")];
    let update = RowChange {
        operation: Operation::Update,
        before: None,
        after: Some(Values(&new)),
        key: Values(&new),
        old_key: Some(Values(&old)),
    };
    let written = records(&mut debezium(&table), table.key, &update).expect("small");
    let [delete, tombstone, create] = written.as_slice() else {
        panic!("three records: {written:?}");
    };
    let with = |name: &str, key: &str| {
        let mut headers = context();
        headers.insert(0, (format!("__debezium.{name}"), key.to_owned()));
        headers
    };
    assert_eq!(delete.key.as_deref(), Some(r#"{"id":1}"#));
    assert_eq!(delete.json()["op"], "d");
    assert_eq!(delete.json()["before"], json!({"id": 1, "v": null}));
    assert_eq!(delete.json()["after"], Json::Null);
    assert_eq!(delete.headers, with("newkey", r#"{"id":2}"#));
    assert_eq!(
        (&tombstone.key, &tombstone.value, &tombstone.headers),
        (&delete.key, &None, &delete.headers)
    );
    assert_eq!(create.key.as_deref(), Some(r#"{"id":2}"#));
    assert_eq!(create.json()["op"], "c");
    assert_eq!(create.json()["before"], Json::Null);
    assert_eq!(create.json()["after"], json!({"id": 2, "v": "x"}));
    assert_eq!(create.headers, with("oldkey", r#"{"id":1}"#));
}

#[test]
fn debezium_marks_what_was_not_sent_by_its_type() {
    let mut table = table(&[("id", Some(0)), ("h", None), ("i", None), ("t", None)]);
    let forms = [
        ValueForm::of(ValueKind::Pairs),
        ValueForm {
            kind: ValueKind::Int32,
            array_delimiter: Some(b','),
        },
        ValueForm {
            kind: ValueKind::Text,
            array_delimiter: Some(b','),
        },
    ];
    for (column, form) in table.columns.iter_mut().skip(1).zip(forms) {
        column.value_type = ColumnType::of(form);
    }
    let [h, i, t] = forms.map(Value::Unchanged);
    let row = [Value::Number(b"1"), h, i, t];
    let record = only_record(&mut debezium(&table), &table, &insert(&row));
    let after = &record.json()["after"];
    let marker = "__debezium_unavailable_value";
    assert_eq!(after["h"], format!("{{\"{marker}\":\"{marker}\"}}"));
    let bytes: Vec<u8> = marker.bytes().collect();
    assert_eq!(after["i"], json!(bytes));
    assert_eq!(after["t"], json!([marker]));
    let named = (
        "headwater.unchanged".to_owned(),
        r#"["h","i","t"]"#.to_owned(),
    );
    assert!(record.headers.contains(&named));
}

#[test]
fn a_debezium_record_beyond_the_limit_is_refused_with_its_schema_counted() {
    let table = table(&[("id", Some(0)), ("t", None)]);
    let options = DebeziumOptions {
        schemas: true,
        truncates: false,
        transactions: false,
    };
    let row = [Value::Number(b"1"), Value::Null];
    let mut encoder = encoder_of(Preset::Debezium(options), &table, 2_000);
    let refused = records(&mut encoder, table.key, &insert(&row));
    assert!(refused.expect_err("too large").bytes > 2_000);
}
