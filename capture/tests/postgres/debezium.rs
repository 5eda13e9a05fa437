//! The preset `debezium` against what the real connector, version 3.6, wrote for the same workload.
//!
//! `tests/debezium/*.tsv` is its output, recorded and checked by `scripts/compare-debezium`. Records are compared
//! topic by topic in their order, as JSON; where ours differ on purpose, the difference stands here and in
//! `docs/debezium.md`, and must be one.

#[path = "debezium/kept.rs"]
mod kept;
#[path = "debezium/transactions.rs"]
mod transactions;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use headwater_capture::encode::{DebeziumOptions, FeedFormat, Preset, cleaned_name};
use serde_json::{Map, Number, Value, json};

use crate::reader::{Raw, Reader, config};
use crate::server::{Server, Version, query};
use transactions::{blank_transaction, check_transactions, remove_empty};

/// A record without what changes from run to run.
#[derive(Debug, Clone, PartialEq)]
struct Record {
    key: Value,
    value: Value,
    headers: BTreeMap<String, String>,
}

type Topics = BTreeMap<String, Vec<Record>>;

/// Table, column, and by id and operation the value that ours has.
type Difference = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// A value that the connector loses, or a column that it leaves out.
const DIFFERENCES: &[Difference] = &[
    (
        "numbers",
        "n",
        &[("5c", r#""NaN""#), ("6c", r#""Infinity""#)],
    ),
    ("numbers", "n92", &[("5c", r#""NaN""#)]),
    ("texts", "nm", &[("1c", r#""nm""#), ("2c", r#""""#)]),
    (
        "texts",
        "tq",
        &[("1c", r#""'a' & !'b'""#), ("2c", r#""""#), ("3c", "null")],
    ),
    ("times", "i", &[("4c", r#""178000000 years""#)]),
    ("bytes", "vb1", &[("4c", r#""""#)]),
    (
        "shapes",
        "l",
        &[
            ("1c", r#""{1,2,3}""#),
            ("2c", r#""{0,1,-3.5}""#),
            ("3c", "null"),
        ],
    ),
    (
        "shapes",
        "ls",
        &[
            ("1c", r#""[(0,0),(1,1)]""#),
            ("2c", r#""[(0,0),(0,0)]""#),
            ("3c", "null"),
        ],
    ),
    (
        "shapes",
        "bx",
        &[
            ("1c", r#""(1,1),(0,0)""#),
            ("2c", r#""(0,0),(0,0)""#),
            ("3c", "null"),
        ],
    ),
    (
        "shapes",
        "pa",
        &[
            ("1c", r#""((0,0),(1,1),(2,0))""#),
            ("2c", r#""[(0,0),(1,1)]""#),
            ("3c", "null"),
        ],
    ),
    (
        "shapes",
        "po",
        &[
            ("1c", r#""((0,0),(1,1),(2,0))""#),
            ("2c", r#""((0,0))""#),
            ("3c", "null"),
        ],
    ),
    (
        "shapes",
        "ci",
        &[
            ("1c", r#""<(0,0),2>""#),
            ("2c", r#""<(1,2),0>""#),
            ("3c", "null"),
        ],
    ),
    (
        "nets",
        "l",
        &[
            ("1c", r#""16/B374D848""#),
            ("2c", r#""0/0""#),
            ("3c", "null"),
        ],
    ),
    (
        "nets",
        "xid8",
        &[
            ("1c", r#""18446744073709551615""#),
            ("2c", r#""0""#),
            ("3c", "null"),
        ],
    ),
    (
        "nets",
        "rc",
        &[("1c", r#""pg_class""#), ("2c", r#""-""#), ("3c", "null")],
    ),
    (
        "nets",
        "snap",
        &[
            ("1c", r#""10:20:10,14,15""#),
            ("2c", r#""1:1:""#),
            ("3c", "null"),
        ],
    ),
    (
        "ranges",
        "mr",
        &[
            ("1c", r#""{[1,3),[5,7)}""#),
            ("2c", r#""{}""#),
            ("3c", "null"),
        ],
    ),
    ("odd_arrays", "i44", &[("1c", "[[1,2],[3,4]]")]),
    (
        "odd_arrays",
        "bx",
        &[("1c", r#"["(1,1),(0,0)","(2,2),(1,1)"]"#), ("2c", "null")],
    ),
    (
        "odd_arrays",
        "iv",
        &[("1c", "[86400000000]"), ("2c", "null")],
    ),
    ("odd_arrays", "mo", &[("1c", r#"["ZA=="]"#), ("2c", "null")]),
    ("odd_arrays", "nm", &[("1c", r#"["nm"]"#), ("2c", "null")]),
    ("odd_arrays", "bits", &[("1c", r#"["BQ=="]"#)]),
    ("odd_arrays", "vb", &[("1c", r#"["Ag=="]"#), ("2c", "null")]),
    ("odd_arrays", "x", &[("1c", r#"["<a/>"]"#), ("2c", "null")]),
    (
        "odd_arrays",
        "p",
        &[
            (
                "1c",
                r#"[{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}]"#,
            ),
            ("2c", "null"),
        ],
    ),
    (
        "odd_arrays",
        "pr",
        &[("1c", r#"["(1,\"b c\")"]"#), ("2c", "null")],
    ),
    (
        "odd_arrays",
        "dom",
        &[("1c", r#"["AJY=","AMg="]"#), ("2c", "null")],
    ),
    (
        "odd_arrays",
        "mr",
        &[("1c", r#"["{[1,3)}"]"#), ("2c", "null")],
    ),
    (
        "user_types",
        "pr",
        &[("1c", r#""(1,\"b c\")""#), ("2c", "null")],
    ),
    ("fallbacks", "a", &[("1c", "null")]),
    ("fallbacks", "t", &[("1c", "null")]),
    ("keyed", "added", &[("7c", "null")]),
    (
        "toasted",
        "n",
        &[("1u", r#""__debezium_unavailable_value""#)],
    ),
];

/// A header of the connector that ours lack: the random id of its run.
const RUN_ID: &str = "__debezium.context.runId";

/// A header of ours that the connector lacks.
const UNCHANGED: &str = "headwater.unchanged";

#[tokio::test]
async fn debezium_records_are_those_of_the_connector() {
    let ours = captured(DebeziumOptions::default()).await;
    compare(ours, recorded("plain.tsv"));
}

#[tokio::test]
async fn debezium_transactions_are_those_of_the_connector() {
    let options = DebeziumOptions {
        transactions: true,
        ..DebeziumOptions::default()
    };
    let ours = captured(options).await;
    compare(ours, recorded("transactions.tsv"));
}

#[tokio::test]
async fn debezium_transactions_have_the_schemas_of_the_connector() {
    let options = DebeziumOptions {
        schemas: true,
        truncates: true,
        transactions: true,
    };
    let mut ours = captured(options).await;
    let theirs = recorded("transaction_schemas.tsv");
    ours.retain(|topic, _| theirs.contains_key(topic));
    compare(ours, theirs);
}

#[tokio::test]
async fn debezium_schemas_and_truncates_are_those_of_the_connector() {
    let options = DebeziumOptions {
        schemas: true,
        truncates: true,
        transactions: false,
    };
    let ours = captured(options).await;
    compare(ours, recorded("schemas.tsv"));
}

fn compare(mut ours: Topics, mut theirs: Topics) {
    if Version::Usual.major() < 15 {
        remove_empty(&mut ours);
        remove_empty(&mut theirs);
    }
    let names = |topics: &Topics| topics.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (topic, expected) in theirs {
        let found = &ours[&topic];
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.key, expected.key, "{topic} record {index}");
            assert_eq!(found.headers, expected.headers, "{topic} record {index}");
            compare_json(
                &format!("{topic} record {index}"),
                &found.value,
                &expected.value,
            );
        }
        assert_eq!(found.len(), expected.len(), "{topic}");
    }
}

/// Names the first place that differs.
fn compare_json(place: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (name, expected) in expected {
                let found = found
                    .get(name)
                    .unwrap_or_else(|| panic!("{place} lacks {name}"));
                compare_json(&format!("{place}.{name}"), found, expected);
            }
            for name in found.keys() {
                assert!(expected.contains_key(name), "{place} has {name}");
            }
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                compare_json(&format!("{place}[{index}]"), found, expected);
            }
        }
        // Another shortest form of the same real.
        (Value::Number(found), Value::Number(expected)) if is_same_real(found, expected) => {}
        (found, expected) => assert_eq!(found, expected, "{place}"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "reals have 32 bits")]
fn is_same_real(found: &Number, expected: &Number) -> bool {
    let real = |number: &Number| number.as_f64().map(|number| number as f32);
    found.is_f64() && expected.is_f64() && real(found) == real(expected)
}

async fn captured(options: DebeziumOptions) -> Topics {
    let server = Server::start(&[]).await;
    server.sql(&workload("setup.sql")).await;
    // As the connector's: with the table that both leave out.
    let publication = "CREATE PUBLICATION headwater_shop FOR ALL TABLES";
    server.sql(publication).await;
    let mut config = config(server.url("postgres"));
    config.tables.exclude = vec!["public.excluded".parse().unwrap()];
    config.feeds = vec![FeedFormat::DebeziumJson {
        preset: Preset::Debezium(options),
        name: "shop".into(),
    }];
    let mut reader = Reader::start(config);
    reader.raw = Some(Vec::new());
    let running = |reader: &Reader| reader.status().state.name() == "running";
    reader.until("running", running).await;
    let mut session = server.session().await;
    for statement in workload("workload.sql").split(";\n") {
        query(&mut session, statement).await;
    }
    let finished = |reader: &Reader| reader.changes.iter().any(|change| change.table == "finish");
    reader.until("the last row", finished).await;
    let mut topics = Topics::new();
    let raws = reader.raw.take().unwrap();
    check_transactions(&raws);
    for raw in raws {
        let topic = match raw.schema.as_str() {
            "" => format!("shop.{}", raw.table),
            schema => cleaned_name(&format!("shop.{schema}.{}", raw.table)),
        };
        let record = ours(&raw);
        topics.entry(topic).or_default().push(record);
    }
    topics
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/debezium")
}

fn workload(name: &str) -> String {
    fs::read_to_string(directory().join(name)).unwrap()
}

fn parsed(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

/// Checks what changes from run to run, and takes it out.
fn ours(raw: &Raw) -> Record {
    let mut value = parsed(raw.value.as_deref());
    let mut headers: BTreeMap<String, String> = raw.headers.iter().cloned().collect();
    headers.remove(UNCHANGED);
    let is_boundary = raw.schema.is_empty() && raw.table == "transaction";
    if let Some(payload) = payload(&mut value) {
        blank_transaction(payload);
    }
    if let Some(payload) = payload(&mut value).filter(|_| !is_boundary) {
        let source = payload["source"].clone();
        let number = |value: &Value, name: &str| value[name].as_i64().unwrap();
        assert_eq!(number(&source, "ts_us") / 1000, number(&source, "ts_ms"));
        assert_eq!(number(&source, "ts_ns") / 1000, number(&source, "ts_us"));
        if payload["op"] != "m" {
            let read_us = payload["ts_us"].as_i64().unwrap();
            assert_eq!(Some(read_us / 1000), payload["ts_ms"].as_i64());
        }
        let sequence: Vec<Option<String>> =
            serde_json::from_str(source["sequence"].as_str().unwrap()).unwrap();
        assert_eq!(sequence[1], Some(source["lsn"].to_string()));
        let lsn = |text: &String| text.parse::<u64>().unwrap();
        assert!(
            sequence[0]
                .as_ref()
                .is_none_or(|before| Some(lsn(before)) <= source["lsn"].as_u64())
        );
        blank(payload);
        sort_pairs(payload);
    }
    schemas(&mut value)
        .into_iter()
        .for_each(|columns| sort(columns));
    let mut key = parsed(raw.key.as_deref());
    if let Some(key) = payload(&mut key).filter(|_| is_boundary) {
        key["id"] = json!("0:0");
    }
    Record {
        key,
        value,
        headers,
    }
}

/// The payload of a value; none in a tombstone.
fn payload(value: &mut Value) -> Option<&mut Map<String, Value>> {
    let whole = value.as_object_mut()?;
    if whole.contains_key("payload") {
        whole["payload"].as_object_mut()
    } else {
        Some(whole)
    }
}

fn blank(payload: &mut Map<String, Value>) {
    let source = &mut payload["source"];
    for name in ["ts_ms", "ts_us", "ts_ns", "txId", "lsn"] {
        if !source[name].is_null() {
            source[name] = json!(0);
        }
    }
    source["sequence"] = json!("[]");
    source["version"] = json!("-");
    for name in ["ts_ms", "ts_us", "ts_ns"] {
        if let Some(time) = payload.get_mut(name) {
            *time = json!(0);
        }
    }
}

/// Pairs of an hstore have no order of their own.
fn sort_pairs(payload: &mut Map<String, Value>) {
    for image in ["before", "after"] {
        let row = payload.get_mut(image).and_then(Value::as_object_mut);
        let pairs = row.and_then(|row| row.get_mut("h"));
        let Some(Value::String(text)) = pairs else {
            continue;
        };
        let sorted: Value = serde_json::from_str(text).unwrap();
        *text = sorted.to_string();
    }
}

/// The connector's records as they should be ours.
fn recorded(name: &str) -> Topics {
    let mut topics = Topics::new();
    for line in workload(name).lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().filter(|text| *text != "-");
        let topic = next().unwrap().to_owned();
        let (key, mut value) = (parsed(next()), parsed(next()));
        let header = |text: &str| {
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let mut headers: BTreeMap<String, String> = fields.map(header).collect();
        let is_boundary = topic == "shop.transaction";
        assert!(headers.remove(RUN_ID).is_some() || is_boundary || topic == "shop.message");
        if let Some(payload) = payload(&mut value) {
            blank_transaction(payload);
        }
        if let Some(payload) = payload(&mut value).filter(|_| !is_boundary) {
            payload["source"]["version"] = json!("-");
            sort_pairs(payload);
            keep_values(payload);
        }
        keep_schemas(&topic, &mut value);
        topics.entry(topic).or_default().push(Record {
            key,
            value,
            headers,
        });
    }
    topics
}

/// Puts our values where the connector loses them.
fn keep_values(payload: &mut Map<String, Value>) {
    let table = payload["source"]["table"].as_str().unwrap().to_owned();
    let operation = payload["op"].as_str().unwrap().to_owned();
    let row = payload.get_mut("after").and_then(Value::as_object_mut);
    let Some(row) = row else { return };
    let id = row.get("id").or(row.get("a")).cloned().unwrap_or_default();
    for (_, column, values) in DIFFERENCES.iter().filter(|(of, _, _)| *of == table) {
        let value = values
            .iter()
            .find(|(row, _)| *row == format!("{id}{operation}"));
        let Some((_, kept)) = value else { continue };
        let kept: Value = serde_json::from_str(kept).unwrap();
        let lost = row.insert((*column).to_owned(), kept.clone());
        assert_ne!(
            lost,
            Some(kept),
            "{table}.{column} of {id} is no difference"
        );
    }
}

/// Our schemas have the columns that the connector leaves out; only the key's are not optional, and none has a default.
fn keep_schemas(topic: &str, value: &mut Value) {
    let table = topic.strip_prefix("shop.public.").unwrap_or_default();
    for columns in schemas(value) {
        for column in columns.iter_mut() {
            let column = column.as_object_mut().unwrap();
            column.remove("default");
            if (table, column["field"].as_str()) == ("fallbacks", Some("s")) {
                column["optional"] = json!(true);
            }
        }
        for (_, name, _) in DIFFERENCES.iter().filter(|(of, _, _)| *of == table) {
            let known = columns.iter_mut().find(|known| known["field"] == **name);
            match known {
                Some(known) if *name == "bits" => *known = kept_schema(table, name),
                Some(_) => {}
                // Before the column was added.
                None if table == "keyed" => {}
                None => columns.push(kept_schema(table, name)),
            }
        }
        sort(columns);
    }
}

/// The columns of the images in a value's schema, if there is one.
fn schemas(value: &mut Value) -> Vec<&mut Vec<Value>> {
    let fields = value
        .pointer_mut("/schema/fields")
        .and_then(Value::as_array_mut);
    let is_image = |field: &&mut Value| {
        ["before", "after"]
            .map(Some)
            .contains(&field["field"].as_str())
    };
    let images = fields.into_iter().flatten().filter(is_image);
    images
        .map(|image| image["fields"].as_array_mut().unwrap())
        .collect()
}

fn sort(columns: &mut [Value]) {
    columns.sort_by_key(|column| column["field"].to_string());
}

/// The schema of a column that the connector leaves out.
fn kept_schema(table: &str, name: &str) -> Value {
    let decimal = "org.apache.kafka.connect.data.Decimal";
    let text = json!({"type": "string", "optional": true});
    let named = |base: &str, name: &str| json!({"type": base, "optional": true, "name": name, "version": 1});
    let with = |mut schema: Value, parameters: Value| {
        schema["parameters"] = parameters;
        schema
    };
    let bits = |length: &str| {
        with(
            named("bytes", "io.debezium.data.Bits"),
            json!({"length": length}),
        )
    };
    let element = match name {
        _ if table != "odd_arrays" => None,
        "bx" | "nm" | "mr" | "pr" => Some(text.clone()),
        "iv" => Some(named("int64", "io.debezium.time.MicroDuration")),
        "mo" => Some(with(named("bytes", decimal), json!({"scale": "2"}))),
        "bits" => Some(bits("3")),
        "vb" => Some(bits("2147483647")),
        "x" => Some(named("string", "io.debezium.data.Xml")),
        "dom" => {
            let parameters = json!({"scale": "2", "connect.decimal.precision": "10"});
            Some(with(named("bytes", decimal), parameters))
        }
        "p" => Some(point()),
        _ => None,
    };
    let mut schema = match element {
        Some(items) => json!({"type": "array", "items": items, "optional": true}),
        None => text,
    };
    schema["field"] = json!(name);
    schema
}

fn point() -> Value {
    json!({
        "type": "struct",
        "fields": [
            {"type": "double", "optional": false, "field": "x"},
            {"type": "double", "optional": false, "field": "y"},
            {"type": "bytes", "optional": true, "field": "wkb"},
            {"type": "int32", "optional": true, "field": "srid"},
        ],
        "optional": true,
        "name": "io.debezium.data.geometry.Point",
        "version": 1,
        "doc": "Geometry (POINT)",
    })
}
