//! What the connector loses, or stops at, and the recorded workload does not have: ours keeps it.

use headwater_capture::encode::{DebeziumOptions, FeedFormat, Preset};
use serde_json::{Value, json};

use super::parsed;
use crate::reader::{Raw, Reader, config};
use crate::server::{Server, query};

const SETUP: &str = "
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN feeling AS mood;
CREATE DOMAIN price AS numeric(10, 2);
CREATE DOMAIN ratio AS numeric;
CREATE TABLE lost (
  id int PRIMARY KEY, ns numeric[], ps numeric(9, 2)[], price price, ratio ratio, ov oidvector, iv int2vector,
  moods mood[], feeling feeling, tz timetz);
CREATE TABLE empty ();
CREATE TABLE unsent (id int PRIMARY KEY, v int, n numeric, vb varbit);
ALTER TABLE unsent ALTER n SET STORAGE EXTERNAL, ALTER vb SET STORAGE EXTERNAL;
CREATE SCHEMA attic;
CREATE TABLE old (id int PRIMARY KEY, v text);
CREATE TABLE finish (id int PRIMARY KEY)";

const WORKLOAD: &[&str] = &[
    "INSERT INTO lost VALUES (1, '{1.5,NaN,Infinity}', '{1.50,NaN}', 'NaN', '-Infinity', '1 2', '3 4', '{sad,NULL,ok}', \
     'ok', '12:00:00+01:00:30')",
    "INSERT INTO empty DEFAULT VALUES",
    "INSERT INTO unsent SELECT 1, 1, repeat('7', 9000)::numeric, repeat('10', 40000)::varbit",
    "UPDATE unsent SET v = 2",
    // The rows are read when the table has another name and another schema already.
    "BEGIN",
    "INSERT INTO old VALUES (1, 'a')",
    "ALTER TABLE old RENAME TO new",
    "INSERT INTO new VALUES (2, 'b')",
    "ALTER TABLE new SET SCHEMA attic",
    "INSERT INTO attic.new VALUES (3, 'c')",
    "COMMIT",
    "INSERT INTO finish VALUES (1)",
];

#[tokio::test]
async fn what_the_connector_loses_or_stops_at_is_kept() {
    let server = Server::start(&[]).await;
    server.sql(SETUP).await;
    let mut config = config(server.url("postgres"));
    config.feeds = vec![FeedFormat::DebeziumJson {
        preset: Preset::Debezium(DebeziumOptions::default()),
        name: "shop".into(),
    }];
    let mut reader = Reader::start(config);
    reader.raw = Some(Vec::new());
    let running = |reader: &Reader| reader.status().state.name() == "running";
    reader.until("running", running).await;
    let mut session = server.session().await;
    // numeric is finite before 14.
    let had = |text: &str| match server.major() {
        ..14 => text.replace("-Infinity", "NaN").replace("Infinity", "NaN"),
        _ => text.to_owned(),
    };
    for statement in WORKLOAD {
        query(&mut session, &had(statement)).await;
    }
    let finished = |reader: &Reader| reader.changes.iter().any(|change| change.table == "finish");
    reader.until("the last row", finished).await;

    let raws = reader.raw.take().unwrap();
    let after = |table: &str, op: &str| {
        let mut values = raws.iter().filter(|raw| raw.table == table).map(value);
        values.find(|value| value["op"] == op).unwrap()["after"].clone()
    };
    assert_eq!(
        after("lost", "c"),
        json!({
            "id": 1,
            "ns": [{"scale": 1, "value": "Dw=="}, "NaN", had("Infinity")],
            "ps": ["AJY=", "NaN"],
            "price": "NaN",
            "ratio": had("-Infinity"),
            "ov": "1 2",
            "iv": "3 4",
            "moods": ["sad", null, "ok"],
            "feeling": "ok",
            "tz": "10:59:30Z",
        })
    );
    assert_eq!(after("empty", "c"), json!({}));
    let unsent = json!("__debezium_unavailable_value");
    assert_eq!(
        after("unsent", "u"),
        json!({"id": 1, "v": 2, "n": unsent, "vb": unsent})
    );
    assert_eq!(
        keys_of_the_moved(&raws),
        [
            ("public.old".to_owned(), json!({"id": 1})),
            ("public.new".to_owned(), json!({"id": 2})),
            ("attic.new".to_owned(), json!({"id": 3})),
        ]
    );
}

fn value(raw: &Raw) -> Value {
    parsed(raw.value.as_deref())
}

/// The name that the record itself tells, and its key.
fn keys_of_the_moved(raws: &[Raw]) -> Vec<(String, Value)> {
    let moved = raws.iter().filter_map(|raw| {
        let value = value(raw);
        let (schema, table) = (
            value["source"]["schema"].as_str()?,
            value["source"]["table"].as_str()?,
        );
        let is_moved = ["old", "new"].contains(&table);
        is_moved.then(|| (format!("{schema}.{table}"), parsed(raw.key.as_deref())))
    });
    moved.collect()
}
