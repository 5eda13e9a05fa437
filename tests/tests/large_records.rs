//! Records that are too large for the configuration, and rows that the server cannot send as text: nothing else is lost,
//! and what is missing is named.

use std::time::Duration;

use headwater_tests::{
    harness::{Configured, Headwater, Options, Postgres, Version, clock},
    wire::{Record, Wire},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const MARKER: &str = "__debezium_unavailable_value";

const TABLE: &str = "CREATE TABLE notes (id int PRIMARY KEY, title text, body text, more text); \
    ALTER TABLE notes REPLICA IDENTITY FULL;";

struct World {
    postgres: Postgres,
    headwater: Headwater,
    data: TempDir,
}

impl World {
    fn start(policy: &str) -> Self {
        let postgres = Postgres::start(Version::V15);
        postgres.execute(TABLE);
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let headwater = Headwater::start(&options(&postgres, &data, policy));
        Self {
            postgres,
            headwater,
            data,
        }
    }

    fn with_policy(&mut self, policy: &str) {
        assert!(self.headwater.stop().success(), "{}", self.headwater.log());
        self.headwater = Headwater::start(&options(&self.postgres, &self.data, policy));
    }

    /// All records, once there are so many.
    fn records(&self, count: usize) -> Vec<Record> {
        let topic = self.headwater.topic("notes");
        let records = clock::poll(LIMIT, || {
            let mut wire = Wire::connect(&self.headwater.bootstrap()).ok()?;
            let records = wire.read_to_end(&topic, 0).ok()?;
            (records.len() >= count).then_some(records)
        });
        let records = records.unwrap_or_default();
        assert_eq!(records.len(), count, "{}", self.headwater.log());
        records
    }

    fn state(&self) -> String {
        let path = "/healthz/instances/shop";
        self.headwater
            .get(path)
            .map_or_else(String::new, |answer| answer.body)
    }
}

fn options(postgres: &Postgres, data: &TempDir, policy: &str) -> Options {
    let mut options = Options::of(postgres, &data.path().join("data"));
    options.configured = Some(Configured {
        instance: policy.to_owned(),
        ..Configured::default()
    });
    options
}

fn value(record: &Record) -> Value {
    let value = record.value.as_deref().expect("no tombstones");
    serde_json::from_slice(value).expect("JSON")
}

fn omitted(record: &Record) -> Option<Value> {
    let headers = record.headers.iter();
    let found = headers
        .filter(|(name, _)| name == "headwater.omitted")
        .find_map(|(_, value)| value.as_deref());
    found.map(|value| serde_json::from_slice(value).expect("JSON"))
}

/// The largest columns go, the others stay, and a header tells a marker from a text that looks like one.
#[test]
fn a_record_over_the_limit_lacks_its_largest_columns_and_names_them() {
    let world = World::start("record_max_bytes = \"64KiB\"");
    world.postgres.execute(&format!(
        "INSERT INTO notes VALUES (1, 'small', 'a', '{MARKER}'); \
         INSERT INTO notes VALUES (2, 'large', repeat('b', 100000), 'c'); \
         INSERT INTO notes VALUES (3, 'small again', NULL, NULL); \
         UPDATE notes SET title = 'changed' WHERE id = 2; DELETE FROM notes WHERE id = 2;"
    ));
    let records = world.records(5);
    let [small, large, again, update, delete] = &records[..] else {
        unreachable!("there are five");
    };
    assert_eq!((omitted(small), omitted(again)), (None, None));
    assert_eq!(value(small)["after"]["more"], MARKER);
    assert_eq!(omitted(large), Some(json!(["body"])));
    let after = value(large)["after"].clone();
    assert_eq!(
        after,
        json!({"id": 2, "title": "large", "body": MARKER, "more": "c"})
    );
    for (record, title) in [(update, "large"), (delete, "changed")] {
        assert_eq!(omitted(record), Some(json!(["body"])));
        assert_eq!(value(record)["before"]["title"], title);
    }
    let counted = "headwater_capture_omitted_records_total{instance=\"shop\"} 3";
    let metrics = || {
        let answer = world.headwater.get("/metrics");
        answer.map_or_else(String::new, |answer| answer.body)
    };
    let told = clock::poll(LIMIT, || metrics().contains(counted).then_some(()));
    assert!(told.is_some(), "{}", metrics());
    let log = world.headwater.log();
    assert!(log.contains("notes") && log.contains("body"), "{log}");
}

/// Capture ends in a state that says why; consumers go on; another configuration ends it, without a loss.
#[test]
fn stop_halts_capture_until_the_configuration_lets_the_record_in() {
    let mut world = World::start("record_max_bytes = \"64KiB\"\noversize = \"stop\"");
    let insert = |values: &str| {
        let statement = format!("INSERT INTO notes VALUES ({values})");
        world.postgres.execute(&statement);
    };
    insert("1, 'small', NULL, NULL");
    insert("2, 'large', repeat('b', 100000), NULL");
    let stopped = clock::poll(LIMIT, || {
        world.state().contains("record_too_large").then_some(())
    });
    assert!(
        stopped.is_some(),
        "{}\n{}",
        world.state(),
        world.headwater.log()
    );
    assert!(world.state().contains("notes"), "{}", world.state());
    assert_eq!(world.records(1).len(), 1);
    world.with_policy("record_max_bytes = \"1MiB\"\noversize = \"stop\"");
    let records = world.records(2);
    assert_eq!(omitted(&records[1]), None);
    let body = value(&records[1])["after"]["body"].clone();
    assert_eq!(body.as_str().map(str::len), Some(100_000));
}
