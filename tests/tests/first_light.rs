//! The whole spine with real ends: a committed row change in PostgreSQL 15 and 18 reaches kcat, confluent-kafka
//! and the Java client, from wherever they begin to read, over restarts of either side.

use std::{
    thread,
    time::{Duration, Instant},
};

use headwater_tests::{
    harness::{Client, Headwater, Options, Place, Postgres, Version, client::Record, clock},
    wire::Wire,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Both ends of the spine, with nothing between them but what is under test.
struct Spine {
    postgres: Postgres,
    headwater: Headwater,
    /// Outlives headwater's restarts.
    _data: TempDir,
}

impl Spine {
    /// A database with these tables, and headwater on it.
    fn of(version: Version, schema: &str) -> Self {
        let postgres = Postgres::start(version);
        postgres.execute(schema);
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let headwater = Headwater::start(&Options::of(&postgres, data.path()));
        Self {
            postgres,
            headwater,
            _data: data,
        }
    }

    /// The first `count` records of a table's topic, as soon as they are there.
    fn records(&mut self, table: &str, count: i64) -> Vec<Record> {
        self.wait_for(table, count);
        let count = usize::try_from(count).expect("a count is not negative");
        let topic = self.headwater.topic(table);
        Client::Kcat
            .read(&self.headwater.bootstrap(), &topic, Place::Start, count)
            .records()
    }

    /// Waits until a table's topic ends at `end`, and makes sure that it does not end behind it.
    fn wait_for(&mut self, table: &str, end: i64) {
        let topics = [self.headwater.topic(table)];
        let mut last = None;
        self.headwater
            .wait_until(&format!("{table} has {end} records"), |headwater| {
                let ends =
                    Wire::connect(&headwater.bootstrap()).and_then(|mut wire| wire.ends(&topics));
                last = ends.ok().and_then(|ends| ends.first().copied().flatten());
                last >= Some(end)
            });
        assert_eq!(last, Some(end), "{table} has more records than changes");
    }
}

fn values(records: &[Record]) -> Vec<&Value> {
    records
        .iter()
        .map(|record| record.value.as_ref().expect("no tombstones in this preset"))
        .collect()
}

fn offsets(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

const CUSTOMERS: &str = "CREATE TABLE customers (id int PRIMARY KEY, name text);";

fn clients_read_from_anywhere(version: Version) {
    let schema = format!("{CUSTOMERS} CREATE TABLE \"Odd Name\" (id int PRIMARY KEY);");
    let mut spine = Spine::of(version, &schema);
    for id in 1..=6 {
        spine.postgres.execute(&format!(
            "INSERT INTO customers VALUES ({id}, 'customer {id}')"
        ));
        // Times of different records differ, so that a time has one answer.
        thread::sleep(Duration::from_millis(5));
    }
    spine.wait_for("customers", 6);
    for client in Client::ALL {
        reads_from_anywhere(&spine, client);
    }
}

fn reads_from_anywhere(spine: &Spine, client: Client) {
    let (bootstrap, topic) = (
        spine.headwater.bootstrap(),
        spine.headwater.topic("customers"),
    );
    let topics = client.list(&bootstrap);
    assert_eq!(
        topics,
        ["shop.public.Odd_Name", "shop.public.customers"],
        "{client:?}"
    );

    let rows = spine
        .postgres
        .query("SELECT id, name FROM customers ORDER BY id");
    let count = rows.len();
    let all = client
        .read(&bootstrap, &topic, Place::Start, count)
        .records();
    for (record, row) in all.iter().zip(&rows) {
        is_the_insert_of(record, row);
    }
    assert_eq!(
        offsets(&all),
        (0..).take(count).collect::<Vec<_>>(),
        "{client:?}"
    );

    let read = |place, count| client.read(&bootstrap, &topic, place, count).records();
    assert_eq!(read(Place::Offset(3), count - 3), all[3..], "{client:?}");
    assert_eq!(
        read(Place::Time(all[4].timestamp), count - 4),
        all[4..],
        "{client:?}"
    );
    let between = Place::Time(all[3].timestamp + 1);
    assert_eq!(read(between, count - 4), all[4..], "{client:?}");

    let mut from_end = client.read(&bootstrap, &topic, Place::End, 2);
    from_end.wait_at_end();
    let (next, last) = (count + 1, count + 2);
    let late = format!("INSERT INTO customers VALUES ({next}, 'late'), ({last}, 'later')");
    spine.postgres.execute(&late);
    let late = from_end.records();
    assert_eq!(late[0].offset, all[count - 1].offset + 1, "{client:?}");
    assert_eq!(values(&late)[1]["after"]["name"], "later", "{client:?}");
}

fn is_the_insert_of(record: &Record, row: &[String]) {
    let value = record.value.as_ref().expect("an insert has a value");
    let expected = json!({"id": row[0].parse::<i64>().expect("a number"), "name": row[1]});
    assert_eq!((&value["after"], &value["op"]), (&expected, &json!("c")));
    assert_eq!(record.key, Some(json!({"id": expected["id"]})));
    assert_eq!(Some(record.timestamp), value["source"]["ts_ms"].as_i64());
}

#[test]
fn stock_clients_read_postgresql_15_from_start_end_offset_and_time() {
    clients_read_from_anywhere(Version::V15);
}

#[test]
fn stock_clients_read_postgresql_18_from_start_end_offset_and_time() {
    clients_read_from_anywhere(Version::V18);
}

#[test]
fn common_types_arrive_exact() {
    for version in Version::ALL {
        let mut spine = Spine::of(
            version,
            "CREATE TABLE samples (id bigint PRIMARY KEY, small smallint, price numeric(30, 10), exact double precision,
                ok boolean, born date, at timestamp, seen timestamptz, day time, raw bytea, uid uuid, doc jsonb,
                word varchar(20), tags text[])",
        );
        spine.postgres.execute(
            "SET TimeZone = 'Asia/Kolkata';
             INSERT INTO samples VALUES (9223372036854775807, -32768, 12345678901234567890.0123456789, 0.1, true,
                '2024-02-29', '2024-02-29 23:59:59.123456', '2024-02-29 12:00:00+05:30', '12:34:56.5', '\\xdeadbeef',
                'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"b\": 1, \"a\": [null]}', 'quote '' \" \\ ü \u{1F600}',
                '{a,NULL}');
             INSERT INTO samples (id) VALUES (1)",
        );
        let records = spine.records("samples", 2);
        let expected = json!({
            "id": 9_223_372_036_854_775_807_i64, "small": -32768, "price": "12345678901234567890.0123456789",
            "exact": 0.1, "ok": true, "born": "2024-02-29", "at": "2024-02-29 23:59:59.123456",
            "seen": "2024-02-29 06:30:00Z", "day": "12:34:56.5", "raw": "3q2+7w==",
            "uid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "doc": "{\"a\": [null], \"b\": 1}",
            "word": "quote ' \" \\ ü \u{1F600}", "tags": ["a", null],
        });
        assert_eq!(values(&records)[0]["after"], expected, "{version:?}");
        let nulls = values(&records)[1]["after"]
            .as_object()
            .expect("a row")
            .clone();
        assert_eq!(
            nulls.values().filter(|value| value.is_null()).count(),
            13,
            "{version:?}"
        );
    }
}

#[test]
fn a_transaction_over_tables_arrives_whole_and_an_aborted_one_not_at_all() {
    for version in Version::ALL {
        let mut spine = Spine::of(
            version,
            "CREATE TABLE orders (id int PRIMARY KEY, total numeric);
             CREATE TABLE lines (order_id int, line int, PRIMARY KEY (line, order_id));",
        );
        spine.postgres.execute(
            "BEGIN; INSERT INTO orders VALUES (9, 9); INSERT INTO lines VALUES (9, 1); ROLLBACK;",
        );
        spine.postgres.execute(
            "BEGIN; INSERT INTO orders VALUES (1, 2.50); INSERT INTO lines VALUES (1, 1), (1, 2);
             SAVEPOINT s; INSERT INTO lines VALUES (1, 3); ROLLBACK TO s;
             UPDATE orders SET total = 3 WHERE id = 1; COMMIT;",
        );
        let (orders, lines) = (spine.records("orders", 2), spine.records("lines", 2));
        let sources: Vec<&Value> = values(&orders)
            .into_iter()
            .chain(values(&lines))
            .map(|v| &v["source"])
            .collect();
        for source in &sources {
            assert_eq!(source["txId"], sources[0]["txId"], "one transaction");
            assert_eq!(source["commit_lsn"], sources[0]["commit_lsn"], "one commit");
        }
        let ordinals: Vec<i64> = sources
            .iter()
            .filter_map(|source| source["ordinal"].as_i64())
            .collect();
        assert_eq!(
            ordinals,
            [0, 3, 1, 2],
            "the order of the statements, {version:?}"
        );
        assert_eq!(lines[1].key, Some(json!({"line": 2, "order_id": 1})));
    }
}

#[test]
fn updates_and_deletes_carry_what_the_replica_identity_gives() {
    for version in Version::ALL {
        let mut spine = Spine::of(
            version,
            "CREATE TABLE plain (id int PRIMARY KEY, n int, big text);
             ALTER TABLE plain ALTER COLUMN big SET STORAGE EXTERNAL;
             CREATE TABLE whole (id int PRIMARY KEY, n int, big text);
             ALTER TABLE whole ALTER COLUMN big SET STORAGE EXTERNAL;
             ALTER TABLE whole REPLICA IDENTITY FULL;",
        );
        let big = "x".repeat(10_000);
        for table in ["plain", "whole"] {
            spine.postgres.execute(&format!(
                "INSERT INTO {table} VALUES (1, 1, '{big}'); UPDATE {table} SET n = 2;
                 UPDATE {table} SET id = 5; DELETE FROM {table};"
            ));
        }
        let plain = spine.records("plain", 4);
        let [_, update, moved, delete] = values(&plain)[..] else {
            unreachable!("four were asked for")
        };
        let marker = "__debezium_unavailable_value";
        assert_eq!(
            update["before"],
            Value::Null,
            "no old row was sent, {version:?}"
        );
        assert_eq!(
            update["after"],
            json!({"id": 1, "n": 2, "big": marker}),
            "unchanged is not null"
        );
        assert_eq!(
            (&moved["op"], &moved["after"]["id"]),
            (&json!("u"), &json!(5))
        );
        assert_eq!(
            (&delete["op"], &delete["before"]),
            (&json!("d"), &Value::Null)
        );
        assert_eq!(plain[3].key, Some(json!({"id": 5})));

        let whole = spine.records("whole", 4);
        let [_, update, moved, delete] = values(&whole)[..] else {
            unreachable!("four were asked for")
        };
        assert_eq!(
            update["before"],
            json!({"id": 1, "n": 1, "big": big}),
            "the whole old row, {version:?}"
        );
        assert_eq!(
            update["after"],
            json!({"id": 1, "n": 2, "big": big}),
            "filled from the old row"
        );
        assert_eq!(
            (&moved["before"]["id"], &moved["after"]["id"]),
            (&json!(1), &json!(5))
        );
        assert_eq!(delete["before"], json!({"id": 5, "n": 2, "big": big}));
        assert_eq!(delete["after"], Value::Null);
    }
}

#[test]
fn the_schema_may_change_between_two_rows() {
    for version in Version::ALL {
        let mut spine = Spine::of(version, CUSTOMERS);
        spine.postgres.execute(
            "INSERT INTO customers VALUES (1, 'a');
             ALTER TABLE customers ADD COLUMN vip boolean NOT NULL DEFAULT true;
             INSERT INTO customers VALUES (2, 'b', false);
             BEGIN; INSERT INTO customers VALUES (3, 'c', true);
                ALTER TABLE customers DROP COLUMN name; INSERT INTO customers VALUES (4, true);
                ALTER TABLE customers RENAME COLUMN vip TO regular; INSERT INTO customers VALUES (5, false); COMMIT;",
        );
        let records = spine.records("customers", 5);
        let rows: Vec<Value> = values(&records)
            .iter()
            .map(|value| value["after"].clone())
            .collect();
        let expected = [
            json!({"id": 1, "name": "a"}),
            json!({"id": 2, "name": "b", "vip": false}),
            json!({"id": 3, "name": "c", "vip": true}),
            json!({"id": 4, "vip": true}),
            json!({"id": 5, "regular": false}),
        ];
        assert_eq!(
            rows, expected,
            "each row with the columns it was written with, {version:?}"
        );
    }
}

#[test]
fn a_table_without_key_is_captured_for_inserts_named_with_its_cure_and_stays_usable() {
    for version in Version::ALL {
        let mut spine = Spine::of(
            version,
            "CREATE TABLE keyless (n int); CREATE TABLE keyed (id int PRIMARY KEY);",
        );
        // The application's own statements must never fail on our account.
        spine.postgres.execute("INSERT INTO keyless VALUES (1), (2); UPDATE keyless SET n = 3 WHERE n = 1; DELETE FROM keyless;");
        let records = spine.records("keyless", 2);
        assert_eq!(records[0].key, None);
        assert_eq!(values(&records)[1]["after"], json!({"n": 2}));
        let names_the_cure = |headwater: &Headwater| {
            let log = headwater.log();
            log.lines()
                .any(|line| line.contains("keyless") && line.contains("ALTER TABLE"))
        };
        // The report of `dev` may come a little after the first rows.
        spine.headwater.wait_until(
            "the log names the table with its ALTER TABLE",
            names_the_cure,
        );
        let log = spine.headwater.log();
        let not_named = log.lines().any(|line| {
            line.contains("keyed") && !line.contains("keyless") && line.contains("ALTER TABLE")
        });
        assert!(
            !not_named,
            "a table with a key needs no ALTER TABLE:\n{log}"
        );
    }
}

#[test]
fn a_table_that_appears_later_is_captured() {
    for version in Version::ALL {
        let spine = Spine::of(version, CUSTOMERS);
        spine
            .postgres
            .execute("CREATE TABLE born (id int PRIMARY KEY, n int)");
        let mut inserts = 0;
        // The first row may be what tells us of the table; from then on updates must arrive too.
        let deadline = limit();
        let seen_update = loop {
            inserts += 1;
            spine.postgres.execute(&format!(
                "INSERT INTO born VALUES ({inserts}, 0); UPDATE born SET n = 1 WHERE id = {inserts}"
            ));
            let topics = [spine.headwater.topic("born")];
            let ends =
                Wire::connect(&spine.headwater.bootstrap()).and_then(|mut wire| wire.ends(&topics));
            let end = ends
                .expect("headwater runs")
                .first()
                .copied()
                .flatten()
                .unwrap_or(0);
            if end > inserts {
                break true;
            }
            if clock::now() > deadline {
                break false;
            }
            thread::sleep(Duration::from_millis(100));
        };
        assert!(
            seen_update,
            "updates of the new table arrive, {version:?}:\n{}",
            spine.headwater.log()
        );
    }
}

fn limit() -> Instant {
    clock::now() + Duration::from_secs(40)
}

#[test]
fn after_a_restart_of_headwater_the_log_goes_on_where_it_was() {
    for version in Version::ALL {
        let mut spine = Spine::of(version, CUSTOMERS);
        spine
            .postgres
            .execute("INSERT INTO customers VALUES (1, 'before')");
        spine.wait_for("customers", 1);
        let before = spine.records("customers", 1);
        let status = spine.headwater.stop();
        assert!(
            status.success(),
            "a stop that was asked for is no failure: {status}\n{}",
            spine.headwater.log()
        );
        spine
            .postgres
            .execute("INSERT INTO customers VALUES (2, 'meanwhile')");
        spine.headwater.start_again();
        spine
            .postgres
            .execute("INSERT INTO customers VALUES (3, 'after')");
        let after = spine.records("customers", 3);
        assert_eq!(
            after[..1],
            before[..],
            "what was there is there as it was, {version:?}"
        );
        let names: Vec<&Value> = values(&after)
            .iter()
            .map(|value| &value["after"]["name"])
            .collect();
        assert_eq!(names, ["before", "meanwhile", "after"], "{version:?}");
        assert_eq!(offsets(&after), [0, 1, 2], "{version:?}");
    }
}

#[test]
fn a_reader_waits_through_a_restart_of_headwater() {
    let mut spine = Spine::of(Version::V15, CUSTOMERS);
    spine
        .postgres
        .execute("INSERT INTO customers VALUES (1, 'before')");
    spine.wait_for("customers", 1);
    let (bootstrap, topic) = (
        spine.headwater.bootstrap(),
        spine.headwater.topic("customers"),
    );
    // kcat gives up when its only broker is gone.
    let mut readers =
        [Client::Python, Client::Java].map(|client| client.read(&bootstrap, &topic, Place::End, 2));
    for reader in &mut readers {
        reader.wait_at_end();
    }
    spine.headwater.kill();
    spine
        .postgres
        .execute("INSERT INTO customers VALUES (2, 'meanwhile')");
    spine.headwater.start_again();
    spine
        .postgres
        .execute("INSERT INTO customers VALUES (3, 'after')");
    for reader in readers {
        assert_eq!(offsets(&reader.records()), [1, 2]);
    }
}

#[test]
fn restarts_and_crashes_of_postgresql_are_waited_out() {
    for version in Version::ALL {
        let mut spine = Spine::of(version, CUSTOMERS);
        spine
            .postgres
            .execute("INSERT INTO customers VALUES (1, 'before')");
        spine.wait_for("customers", 1);
        spine.postgres.stop();
        spine
            .headwater
            .wait_until("the lost source shows", |headwater| !headwater.is_running());
        assert!(
            spine.headwater.is_ready(),
            "consumers are not cut off by a source that is down"
        );
        assert_eq!(spine.records("customers", 1).len(), 1);
        spine.postgres.start_again();
        spine
            .postgres
            .execute("INSERT INTO customers VALUES (2, 'after a stop')");
        spine.wait_for("customers", 2);
        spine.postgres.crash();
        spine.postgres.start_again();
        spine
            .postgres
            .execute("INSERT INTO customers VALUES (3, 'after a crash')");
        let records = spine.records("customers", 3);
        let names: Vec<&Value> = values(&records)
            .iter()
            .map(|value| &value["after"]["name"])
            .collect();
        assert_eq!(
            names,
            ["before", "after a stop", "after a crash"],
            "{version:?}"
        );
    }
}

#[test]
fn only_tables_of_the_pattern_are_captured() {
    let postgres = Postgres::start(Version::V15);
    postgres.execute("CREATE TABLE a_1 (id int PRIMARY KEY); CREATE TABLE a_2 (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)");
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let mut options = Options::of(&postgres, data.path());
    options.arguments = ["--tables", "public.a_*"].map(str::to_owned).to_vec();
    let headwater = Headwater::start(&options);
    postgres.execute("INSERT INTO b VALUES (1); INSERT INTO a_2 VALUES (2)");
    assert_eq!(
        Client::Kcat.list(&headwater.bootstrap()),
        ["shop.public.a_1", "shop.public.a_2"]
    );
    let records = Client::Kcat
        .read(&headwater.bootstrap(), "shop.public.a_2", Place::Start, 1)
        .records();
    assert_eq!(values(&records)[0]["after"], json!({"id": 2}));
}

#[test]
fn a_transaction_larger_than_what_is_gathered_in_memory_arrives_whole_in_flat_memory() {
    let mut spine = Spine::of(
        Version::V15,
        "CREATE TABLE heap (id int PRIMARY KEY, pad text)",
    );
    spine
        .postgres
        .execute("INSERT INTO heap VALUES (0, 'first')");
    spine.wait_for("heap", 1);
    let before = spine.headwater.resident_kib();
    // 100 MB of rows.
    spine
        .postgres
        .execute("INSERT INTO heap SELECT i, repeat('x', 1000) FROM generate_series(1, 100000) i");
    let mut peak = 0;
    let topics = [spine.headwater.topic("heap")];
    spine
        .headwater
        .wait_until("all of it is visible", |headwater| {
            peak = peak.max(headwater.resident_kib());
            let ends =
                Wire::connect(&headwater.bootstrap()).and_then(|mut wire| wire.ends(&topics));
            let end = ends
                .ok()
                .and_then(|ends| ends.first().copied().flatten())
                .unwrap_or(0);
            assert!(
                end == 1 || end == 100_001,
                "visible up to {end}: a part of a transaction"
            );
            end > 1
        });
    assert!(
        peak < 192 * 1024,
        "resident: {before} KiB before, {peak} KiB at most"
    );
}
