//! The preset `debezium` for who reads it: the converter and the transformation of a sink of Kafka Connect, as they are;
//! and transactions that are told whole, also where headwater is killed in the middle of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use headwater_tests::{
    harness::{Configured, Headwater, Options, Postgres, Version, installed, repository},
    wire::Wire,
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn start(postgres: &Postgres, data: &Path, feeds: &str) -> Headwater {
    let mut options = Options::of(postgres, data);
    options.configured = Some(Configured {
        instance: feeds.to_owned(),
        ..Configured::default()
    });
    Headwater::start(&options)
}

/// The values of a topic as it is now, tombstones as null; none while it is not there.
fn values(headwater: &Headwater, topic: &str) -> Vec<Value> {
    let read = Wire::connect(&headwater.bootstrap())
        .and_then(|mut wire| wire.read_to_end(topic, 0))
        .unwrap_or_default();
    let value = |value: Vec<u8>| serde_json::from_slice(&value).expect("JSON");
    read.into_iter()
        .map(|record| record.value.map_or(Value::Null, value))
        .collect()
}

/// How many records a topic has.
fn end(headwater: &Headwater, topic: &str) -> i64 {
    let ends =
        Wire::connect(&headwater.bootstrap()).and_then(|mut wire| wire.ends(&[topic.to_owned()]));
    ends.ok()
        .and_then(|ends| ends.first().copied().flatten())
        .unwrap_or(0)
}

/// Waits until a topic holds so many records.
fn wait_for(headwater: &mut Headwater, topic: &str, count: i64) {
    headwater.wait_within(
        LIMIT,
        &format!("{topic} has {count} records"),
        |headwater| end(headwater, topic) >= count,
    );
}

/// What Connect makes of the records: one object a record, in their order, by topic.
fn sink(headwater: &Headwater, prefixes: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let home = installed("debezium");
    let mut command = Command::new("java");
    command
        .args([
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
        ])
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
        .arg(format!("{0}/classes:{0}/lib/*", home.display()))
        .arg("Sink")
        .arg(headwater.bootstrap())
        .args(prefixes)
        .env("TZ", "UTC");
    let output = command.output().expect("java runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut topics: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let topic = record["topic"].as_str().expect("a topic").to_owned();
        topics.entry(topic).or_default().push(record);
    }
    topics
}

fn workload(name: &str) -> String {
    let path = repository().join("tests/debezium").join(name);
    fs::read_to_string(path).expect("the workload is there")
}

/// Whether two values are the same, but for the last digit of reals: the two parsers differ there.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && expected.iter().all(|(name, expected)| {
                    found
                        .get(name)
                        .is_some_and(|found| is_same(found, expected))
                })
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(found, expected)| is_same(found, expected))
        }
        (Value::Number(found), Value::Number(expected)) if found.is_f64() || expected.is_f64() => {
            let (found, expected) = (found.as_f64(), expected.as_f64());
            // Of the smallest reals there are several short forms.
            let close = |found: f64, expected: f64| {
                (found - expected).abs() <= (expected.abs() * 1e-12).max(1e-45)
            };
            found
                .zip(expected)
                .is_some_and(|(found, expected)| close(found, expected))
        }
        _ => found == expected,
    }
}

/// Values that the connector would lose and that do not fit the declared type (`docs/debezium.md`): a text for bytes stops
/// the converter, a text for a number or a truth value is 0 or false to it, as its own texts for infinite reals are.
const LOST_BY_THE_CONVERTER: [&str; 7] = [
    r#""numbers" 5: stopped at"#,
    r#""numbers" 6: stopped at"#,
    r#""toasted" 1: stopped at"#,
    r#""bytes" 4: vb1 is false"#,
    r#""odd_arrays" 1: i44 is [0,0]"#,
    r#""shapes" 2: p is {"srid":null,"wkb":"AQEAAAAAAAAAAADwf5x1AIg85Dd+","x":0.0,"y":1e+300}"#,
    r#""times" 4: i is 0"#,
];

/// Every type and operation, through the converter and the transformation that people put behind Debezium.
#[test]
fn a_sink_of_kafka_connect_reads_the_records_of_every_type_and_operation() {
    let postgres = Postgres::start(Version::V15);
    postgres.session().run(&workload("setup.sql"));
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let feed = |name: &str, schemas: bool| {
        format!(
            "[[instance.feed]]\nname = \"{name}\"\nprefix = \"{name}\"\npreset = \"debezium\"\nschemas = {schemas}\n\
             truncates = true\n"
        )
    };
    let feeds = [feed("plain", false), feed("whole", true)].concat();
    let mut headwater = start(&postgres, &data.path().join("data"), &feeds);
    postgres.session().run(&workload("workload.sql"));
    for prefix in ["plain", "whole"] {
        wait_for(&mut headwater, &format!("{prefix}.public.finish"), 1);
    }

    let read = sink(&headwater, &["plain=false", "whole=true"]);
    let (plain, whole): (Vec<_>, Vec<_>) = read
        .iter()
        .partition(|(topic, _)| topic.starts_with("plain."));
    for (topic, records) in plain {
        let expected = values(&headwater, topic);
        assert_eq!(records.len(), expected.len(), "{topic}");
        for (record, expected) in records.iter().zip(&expected) {
            assert!(
                is_same(&record["value"], expected),
                "{record}, not {expected}"
            );
        }
    }
    let mut lost = BTreeSet::new();
    for (topic, records) in whole {
        let expected = values(&headwater, topic);
        assert_eq!(records.len(), expected.len(), "{topic}");
        for (record, expected) in records.iter().zip(&expected) {
            lost.extend(lost_in(record, &expected["payload"]));
        }
    }
    assert_eq!(
        lost,
        BTreeSet::from(LOST_BY_THE_CONVERTER.map(str::to_owned))
    );
    flattens(&read["whole.public.keyed_full"]);
}

/// What the converter with schemas does not give as it was written: a record that it stops at, or a column.
fn lost_in(record: &Value, written: &Value) -> Vec<String> {
    let table = &written["source"]["table"];
    let id = &written["after"]["id"];
    if let Some(error) = record.get("error") {
        let error = error.as_str().expect("a text");
        assert!(error.contains("DataException"), "{error}");
        return vec![format!("{table} {id}: stopped at")];
    }
    if is_same(&record["value"], written) {
        return Vec::new();
    }
    let columns = written["after"].as_object().expect("only rows differ");
    let found = |name: &str| &record["value"]["after"][name];
    let other = columns
        .iter()
        .filter(|(name, value)| !is_same(found(name), value));
    let told = other.map(|(name, _)| format!("{table} {id}: {name} is {}", found(name)));
    told.collect()
}

/// Insert, update, changed key, delete, TRUNCATE: what a sink is given of them.
fn flattens(records: &[Value]) {
    let row =
        |id: i32, text: &str| json!({"id": id, "t": text, "n": {"scale": 1, "value": "Dw=="}});
    let flat: Vec<(Value, Option<Value>)> = records
        .iter()
        .map(|record| (record["key"]["id"].clone(), record.get("flat").cloned()))
        .collect();
    let expected = [
        (json!(1), Some(row(1, "a"))),
        (json!(1), Some(row(1, "b"))),
        // The deletion becomes the tombstone; the tombstone behind it is dropped.
        (json!(1), Some(Value::Null)),
        (json!(1), None),
        (json!(2), Some(row(2, "b"))),
        (json!(2), Some(Value::Null)),
        (json!(2), None),
        // TRUNCATE.
        (Value::Null, None),
    ];
    assert_eq!(flat, expected);
    let header = |index: usize, name: &str| records[index]["headers"][name].clone();
    assert_eq!(header(2, "__debezium.newkey"), "{id=2}");
    assert_eq!(header(4, "__debezium.oldkey"), "{id=1}");
}

const TABLES: &str = "CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY); \
    CREATE TABLE last (id int PRIMARY KEY)";
/// Kills, each once so many records of the transaction topic have come since the last.
const KILLS: usize = 3;
const TOLD_BETWEEN_KILLS: i64 = 60;

/// The records of `a` and of `b` in transaction n. In every third the key of `b` changes: two records.
fn records_in(number: usize) -> (usize, usize) {
    let of_a = if number.is_multiple_of(40) {
        1000
    } else {
        number % 5
    };
    (of_a, if number.is_multiple_of(3) { 3 } else { 1 })
}

fn transaction(number: usize) -> String {
    let (rows, first) = (records_in(number).0, number * 1000);
    let changed = if number.is_multiple_of(3) {
        format!("UPDATE b SET id = -{number} WHERE id = {number};")
    } else {
        String::new()
    };
    format!(
        "BEGIN; INSERT INTO a SELECT g, repeat('x', 200) FROM generate_series({first}, {first} + {rows} - 1) g; \
         INSERT INTO b VALUES ({number}); {changed} COMMIT;"
    )
}

#[test]
fn transactions_are_told_once_and_whole_over_kills_in_the_middle() {
    let postgres = Postgres::start(Version::V15);
    postgres.execute(TABLES);
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let feed = "[[instance.feed]]\nname = \"cdc\"\nprefix = \"shop\"\npreset = \"debezium\"\ntransaction_metadata = true\n";
    let mut headwater = start(&postgres, &data.path().join("data"), feed);
    let killed = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let (postgres, killed) = (&postgres, &killed);
        let writer = scope.spawn(move || {
            let mut session = postgres.session();
            let numbers = (1..).take_while(|_| !killed.load(Ordering::Relaxed));
            let written = numbers.inspect(|number| drop(session.run(&transaction(*number))));
            let written = written.count();
            session.run("INSERT INTO last VALUES (1);");
            written
        });
        for _ in 0..KILLS {
            let told = end(&headwater, "shop.transaction");
            let next = told + TOLD_BETWEEN_KILLS;
            wait_for(&mut headwater, "shop.transaction", next);
            headwater.kill();
            headwater.start_again();
        }
        killed.store(true, Ordering::Relaxed);
        writer.join().expect("the writer ends")
    });
    wait_for(&mut headwater, "shop.public.last", 1);
    are_whole(
        &values(&headwater, "shop.transaction"),
        &rows_by_transaction(&headwater),
        written,
    );
}

/// Each transaction has a BEGIN and an END, once, whose counts are those of its records.
fn are_whole(told: &[Value], rows: &BTreeMap<String, Vec<usize>>, written: usize) {
    let mut ids = BTreeSet::new();
    for (number, pair) in (1..).zip(told.chunks(2)) {
        let [begin, end]: &[Value; 2] = pair.try_into().expect("each BEGIN has its END");
        let id = begin["id"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} is told twice");
        assert_eq!(
            (&begin["status"], &end["status"], &end["id"]),
            (&json!("BEGIN"), &json!("END"), &begin["id"])
        );
        let counts = if number <= written {
            let (of_a, of_b) = records_in(number);
            vec![("public.a", of_a), ("public.b", of_b)]
        } else {
            vec![("public.last", 1)]
        };
        let all: usize = counts.iter().map(|(_, count)| count).sum();
        assert_eq!(end["event_count"], all, "{end}");
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts: Vec<Value> = counts
            .map(|(table, count)| json!({"data_collection": table, "event_count": count}))
            .collect();
        assert_eq!(end["data_collections"], json!(counts), "{end}");
        let places: Vec<usize> = (1..=all).collect();
        assert_eq!(
            rows.get(id),
            Some(&places),
            "the places of the records of {id}"
        );
    }
    assert_eq!((ids.len(), rows.len()), (written + 1, written + 1));
}

/// By the id of a transaction, the places of its records in it, in order.
fn rows_by_transaction(headwater: &Headwater) -> BTreeMap<String, Vec<usize>> {
    let mut rows: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for table in ["a", "b", "last"] {
        let values = values(headwater, &headwater.topic(table));
        for value in values.iter().filter(|value| !value.is_null()) {
            let block = &value["transaction"];
            let id = block["id"].as_str().expect("an id").to_owned();
            let place = block["total_order"].as_u64().expect("a place");
            let place = usize::try_from(place).expect("few");
            rows.entry(id).or_default().push(place);
        }
    }
    rows.values_mut().for_each(|places| places.sort_unstable());
    rows
}
