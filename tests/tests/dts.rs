//! The feed `dts` with real ends: row changes of PostgreSQL, read by the client that DTS's Python demo is made of
//! (kafka-python 2.0.2, fastavro 1.8.3, assignment, a fixed reader schema) and decoded by the class of DTS's Java SDK.

use std::{path::Path, process::Command, thread, time::Duration};

use headwater_tests::{
    harness::{Headwater, Options, Postgres, Version, installed, postgres::PASSWORD, repository},
    wire::Wire,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The topic: named as the instance.
const TOPIC: &str = "shop";

const TYPES: &str = "CREATE TABLE kinds (id bigint PRIMARY KEY, small smallint, price numeric(12,2), ratio float8, \
    name varchar(40), body text, flag bool, day date, at time, stamp timestamp, moment timestamptz, late timetz, \
    raw bytea, doc json, binary_doc jsonb, uid uuid, tags text[], odd numeric, CONSTRAINT by_uid UNIQUE (uid, name)); \
    CREATE UNIQUE INDEX partial ON kinds (id) WHERE flag; CREATE UNIQUE INDEX computed ON kinds (lower(name)); \
    ALTER TABLE kinds REPLICA IDENTITY FULL;";

struct Feed {
    postgres: Postgres,
    headwater: Headwater,
    _data: TempDir,
}

/// What the log says of a type that DTS cannot express.
const FORMLESS: &str = "DTS has no form for this type";

impl Feed {
    fn of(version: Version, schema: &str) -> Self {
        let postgres = Postgres::start(version);
        postgres.execute(schema);
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let mut options = Options::of(&postgres, data.path());
        options.instance = TOPIC.to_owned();
        options.arguments = vec!["--feeds".to_owned(), "tables,dts".to_owned()];
        Self {
            headwater: Headwater::start(&options),
            postgres,
            _data: data,
        }
    }

    fn end(&self) -> i64 {
        let mut wire = Wire::connect(&self.headwater.bootstrap()).expect("it accepts");
        let ends = wire.ends(&[TOPIC.to_owned()]).expect("it answers");
        ends[0].expect("the topic exists")
    }

    /// Everything that is not a heartbeat, once there are `count` of it; ids are offsets.
    fn changes(&mut self, count: usize) -> Vec<Value> {
        let mut changes = Vec::new();
        for _ in 0..200 {
            let end = self.end();
            let records = self.read("start", usize::try_from(end).expect("not negative"));
            assert!(
                records
                    .iter()
                    .all(|record| record["id"] == record["offset"])
            );
            changes = records;
            changes.retain(|record| record["operation"] != "HEARTBEAT");
            if changes.len() >= count {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(
            changes.len(),
            count,
            "{changes:#?}\n{}",
            self.headwater.log()
        );
        changes
    }

    /// The demo's way of reading, as many records as are asked for.
    fn read(&self, place: &str, count: usize) -> Vec<Value> {
        let mut command = Command::new(installed("venv").join("bin/python"));
        command
            .arg(repository().join("tests/python/dts_reader.py"))
            .args([&self.headwater.bootstrap(), TOPIC])
            .arg(repository().join("docs/dts/record.avsc"))
            .args([place, &count.to_string(), "20000"]);
        let output = command.output().expect("python runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place} {count}: {errors}");
        let text = String::from_utf8(output.stdout).expect("JSON");
        let records: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let found = records
            .iter()
            .filter(|record| record["id"].is_i64())
            .count();
        assert_eq!(found, count, "{errors}");
        records
    }
}

fn operations(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record["operation"].as_str().expect("a symbol"))
        .collect()
}

/// The value of column `name` in an image; the reader shows a branch as `[name, contents]`.
fn column<'a>(record: &'a Value, image: &str, name: &str) -> &'a Value {
    let fields = record["fields"].as_array().expect("fields of a row");
    let index = fields.iter().position(|field| field["name"] == name);
    &record[image][index.expect("a column of the table")]
}

fn branch(kind: &str, contents: Value) -> Value {
    json!([format!("com.alibaba.dts.formats.avro.{kind}"), contents])
}

fn rows_arrive_as_the_demo_reads_them(version: Version) {
    let labels = "CREATE TABLE labels (id int PRIMARY KEY, tags text[], more int[])";
    let mut feed = Feed::of(version, &format!("{TYPES} {labels}"));
    feed.postgres.execute(
        "BEGIN; INSERT INTO kinds VALUES (1, -2, 348.00, 0.1, 'größe', repeat('x', 9000), true, '2024-02-29', \
         '04:05:06.5', '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56+02', '04:05:06+05:30', '\\x00ff', \
         '{\"a\": 1}', '{\"b\": 2}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,b}', 'NaN'); \
         UPDATE kinds SET small = 3 WHERE id = 1; DELETE FROM kinds; COMMIT; TRUNCATE kinds; INSERT INTO labels VALUES (1, '{c}', NULL), (2, '{d}', '{5}');",
    );
    let changes = feed.changes(10);
    assert_eq!(
        operations(&changes),
        [
            "BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "BEGIN", "DDL", "INSERT", "INSERT",
            "COMMIT"
        ]
    );
    check_formless(&mut feed);
    let insert = &changes[1];
    assert_eq!(insert["objectName"], "shop.public.kinds");
    assert_eq!(
        insert["tags"]["pk_uk_info"], "{\"PRIMARY\":[\"id\"],\"by_uid\":[\"uid\",\"name\"]}",
        "neither of some rows only nor of what is no column"
    );
    assert_eq!(insert["source"]["sourceType"], "PostgreSQL");
    let seconds = insert["timestamp"].as_i64().expect("a time") / 1_000;
    assert_eq!(insert["sourceTimestamp"], seconds);
    assert!(insert["size"].as_i64() > Some(48));
    assert_eq!(insert["beforeImages"], Value::Null);
    check_values(insert);

    let update = &changes[2];
    assert_eq!(column(update, "beforeImages", "small")[1]["value"], "-2");
    assert_eq!(column(update, "afterImages", "small")[1]["value"], "3");
    let body = column(update, "afterImages", "body");
    assert_eq!(
        body[1]["value"].as_str().map(str::len),
        Some(9_000),
        "large and unchanged"
    );
    assert_eq!(changes[3]["afterImages"], Value::Null);
    assert_eq!(
        column(&changes[3], "beforeImages", "small")[1]["value"],
        "3"
    );
    assert_eq!(
        changes[6]["afterImages"],
        "TRUNCATE TABLE \"public\".\"kinds\""
    );
    assert_eq!(changes[6]["objectName"], "shop");
}

/// Types without a form are told once each, whatever the number of tables, and their values are counted, as are those
/// that their type's form cannot hold: `tags` and `odd` of four images, and three labels.
fn check_formless(feed: &mut Feed) {
    feed.headwater.wait_until("all are counted", |headwater| {
        let metrics = headwater.get("/metrics").map(|answer| answer.body);
        let line = "headwater_capture_shown_as_text_total{instance=\"shop\"} 11\n";
        metrics.is_some_and(|metrics| metrics.contains(line))
    });
    let log = feed.headwater.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains(FORMLESS)).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    for type_name in ["text[]", "integer[]"] {
        assert!(
            told.iter().any(|line| line.contains(type_name)),
            "{told:#?}"
        );
    }
}

fn check_values(insert: &Value) {
    let time = |hour: i64, minute: i64, second: i64, millis: i64| json!({"year": null, "month": null, "day": null, "hour": hour, "minute": minute, "second": second, "millis": millis});
    let stamp = |hour: i64, millis: i64| json!({"year": 2024, "month": 2, "day": 29, "hour": hour, "minute": 34, "second": 56, "millis": millis});
    let day = json!({"year": 2024, "month": 2, "day": 29, "hour": null, "minute": null, "second": null, "millis": null});
    let object = |kind: &str, value: &str| json!({"type": kind, "value": value});
    for (name, expected) in [
        (
            "id",
            branch("Integer", json!({"precision": 8, "value": "1"})),
        ),
        (
            "price",
            branch(
                "Decimal",
                json!({"value": "348.00", "precision": 5, "scale": 2}),
            ),
        ),
        (
            "ratio",
            branch("Float", json!({"value": 0.1, "precision": 0, "scale": 0})),
        ),
        (
            "name",
            branch("Character", json!({"charset": "UTF-8", "value": "größe"})),
        ),
        ("flag", branch("TextObject", object("BOOL", "true"))),
        ("day", branch("DateTime", day)),
        ("at", branch("DateTime", time(4, 5, 6, 500_000))),
        ("stamp", branch("DateTime", stamp(12, 789_012))),
        (
            "moment",
            branch(
                "TimestampWithTimeZone",
                json!({"value": stamp(10, 0), "timezone": "+00:00"}),
            ),
        ),
        (
            "late",
            branch(
                "TimestampWithTimeZone",
                json!({"value": time(4, 5, 6, 0), "timezone": "+05:30"}),
            ),
        ),
        (
            "raw",
            branch("BinaryObject", object("BYTEA", "\u{0}\u{fffd}")),
        ),
        ("doc", branch("TextObject", object("JSON", "{\"a\": 1}"))),
        (
            "binary_doc",
            branch("BinaryObject", object("JSON", "{\"b\": 2}")),
        ),
        (
            "uid",
            branch(
                "TextObject",
                object("XTYPE", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ),
        ),
        ("tags", branch("TextObject", object("XTYPE", "{a,b}"))),
        ("odd", branch("TextObject", object("XTYPE", "NaN"))),
    ] {
        assert_eq!(*column(insert, "afterImages", name), expected, "{name}");
    }
}

#[test]
fn rows_of_postgresql_15_arrive_as_the_demo_reads_them() {
    rows_arrive_as_the_demo_reads_them(Version::V15);
}

#[test]
fn rows_of_postgresql_18_arrive_as_the_demo_reads_them() {
    rows_arrive_as_the_demo_reads_them(Version::V18);
}

#[test]
fn an_idle_source_sends_heartbeats_whose_time_goes_on_and_a_checkpoint_finds_its_second() {
    let mut feed = Feed::of(Version::V15, "CREATE TABLE t (id int PRIMARY KEY);");
    feed.postgres.execute("INSERT INTO t VALUES (1)");
    let before = feed.changes(3);
    let committed = before[2]["sourceTimestamp"].as_i64().expect("a time");
    feed.headwater
        .wait_until("three heartbeats came", |headwater| {
            let mut wire = Wire::connect(&headwater.bootstrap()).expect("it accepts");
            let ends = wire.ends(&[TOPIC.to_owned()]).expect("it answers");
            ends[0] >= Some(before[2]["id"].as_i64().expect("an id") + 4)
        });
    let end = usize::try_from(feed.end()).expect("not negative");
    let records = feed.read("start", end);
    let beats: Vec<i64> = records
        .iter()
        .filter(|record| record["operation"] == "HEARTBEAT")
        .map(|record| record["sourceTimestamp"].as_i64().expect("a time"))
        .collect();
    assert!(beats.is_sorted(), "{beats:?}");
    assert!(
        beats.last() > Some(&committed),
        "{beats:?} after {committed}"
    );

    // As every DTS client begins: at the second of its checkpoint.
    let found = feed.read(&format!("seconds:{committed}"), 1);
    assert_eq!(found[0]["at"], committed, "in the unit of the request");
    assert!(found[0]["found"].as_i64() <= before[0]["id"].as_i64());
    assert_eq!(found[1]["sourceTimestamp"], committed);
}

#[test]
fn a_stream_added_to_a_running_instance_begins_at_the_next_transaction_and_survives_a_kill() {
    let postgres = Postgres::start(Version::V15);
    postgres.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL;",
    );
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let mut options = Options::of(&postgres, data.path());
    options.instance = TOPIC.to_owned();
    let mut headwater = Headwater::start(&options);
    postgres.execute("INSERT INTO t VALUES (1, 1)");
    let table = [format!("{TOPIC}.public.t")];
    headwater.wait_until("the row is there", |headwater| {
        let ends = Wire::connect(&headwater.bootstrap()).and_then(|mut wire| wire.ends(&table));
        ends.is_ok_and(|ends| ends[0] == Some(1))
    });
    assert!(headwater.stop().success());
    options.arguments = vec!["--feeds".to_owned(), "tables,dts".to_owned()];
    let mut feed = Feed {
        headwater: Headwater::start(&options),
        postgres,
        _data: data,
    };
    feed.postgres.execute("UPDATE t SET n = 2");
    let changes = feed.changes(3);
    assert_eq!(
        operations(&changes),
        ["BEGIN", "UPDATE", "COMMIT"],
        "never back-filled"
    );
    feed.headwater.kill();
    feed.postgres.execute("UPDATE t SET n = 3");
    feed.headwater.start_again();
    let changes = feed.changes(6);
    let last = column(&changes[4], "afterImages", "n");
    assert_eq!(last[1]["value"], "3");
}

#[test]
fn a_table_without_full_old_rows_is_named_with_its_fix_and_marked_in_the_feed() {
    let mut feed = Feed::of(Version::V15, "CREATE TABLE t (id int PRIMARY KEY, n int);");
    let fix = "ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL";
    feed.headwater.wait_until("the note is there", |headwater| {
        headwater.log().contains(fix)
    });
    let found = check(&feed.postgres);
    assert!(found.contains(fix) && found.contains("NONE"), "{found}");
    feed.postgres
        .execute("INSERT INTO t VALUES (1, 1); UPDATE t SET n = 2; DELETE FROM t;");
    let changes = feed.changes(5);
    for index in [2, 3] {
        assert_eq!(
            column(&changes[index], "beforeImages", "id")[1]["value"],
            "1"
        );
        let absent = column(&changes[index], "beforeImages", "n");
        assert!(absent.to_string().contains("NONE"), "{absent}");
    }

    // What is printed mends it.
    feed.postgres.execute(&format!(
        "{fix}; INSERT INTO t VALUES (1, 3); UPDATE t SET n = 4;"
    ));
    let changes = feed.changes(9);
    let old = column(&changes[7], "beforeImages", "n");
    assert_eq!(old[1]["value"], "3");
    let found = check(&feed.postgres);
    assert!(!found.contains("REPLICA IDENTITY"), "{found}");
}

/// What `headwater check source` says of the database for this feed.
fn check(postgres: &Postgres) -> String {
    let url = postgres.url_of(&format!("postgres:{PASSWORD}"), "shop");
    let arguments = ["check", "source", &url, "--feeds", "tables,dts"];
    let mut checked = Headwater::spawn_arguments(&arguments);
    let status = checked.wait(Duration::from_secs(30));
    assert!(status.success(), "{status}: {}", checked.log());
    checked.log()
}

/// The class that the SDK decodes with, on what the feed holds: 14 of the 15 fields, the rest ignored.
#[test]
fn the_java_sdk_decodes_the_records() {
    let mut feed = Feed::of(Version::V15, TYPES);
    feed.postgres.execute(
        "INSERT INTO kinds (id, name, day, moment, raw) VALUES (1, 'größe', '2024-02-29', '2024-02-29 12:00+00', '\\x00ff'); \
         UPDATE kinds SET price = 1.50; DELETE FROM kinds;",
    );
    let changes = feed.changes(5);
    let end = feed.end();
    let home = installed("java-dts-2.0.0");
    let classes = |name: &str| Path::new(&home).join(name).display().to_string();
    let mut command = Command::new("java");
    command
        .args([
            "-XX:TieredStopAtLevel=1",
            "--add-exports",
            "java.base/sun.util.calendar=ALL-UNNAMED",
            "-cp",
        ])
        .arg(format!("{}:{}", classes("classes"), classes("lib/*")))
        .args([
            "DtsDecoder",
            &feed.headwater.bootstrap(),
            TOPIC,
            &end.to_string(),
        ]);
    let output = command.output().expect("java runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let shown: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("record "))
        .filter(|line| !line.starts_with("HEARTBEAT"))
        .collect();
    assert_eq!(shown.len(), changes.len(), "{text}");
    for part in ["INSERT shop.public.kinds", "größe", "2024-02-29"] {
        assert!(shown[1].contains(part), "{}", shown[1]);
    }
    assert!(shown[2].contains("1.50"), "{}", shown[2]);
}
