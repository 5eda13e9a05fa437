//! Schemas that change: under rows that wait to be read, and while they are read. Each row is decoded with the schema in
//! force at its position, and stands where its table's name of then says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::{Server, Version};

/// `schema.table` and the new row (of a delete the old one) of each record, each table's in order; the order between
/// tables is not the log's to keep. Each record stands under the name that it tells.
fn rows(reader: &Reader) -> Vec<(String, Value)> {
    let records = reader.raw.as_ref().unwrap().iter();
    let row = |record: &crate::reader::Raw| {
        let mut value: Value = serde_json::from_str(record.value.as_deref().unwrap()).unwrap();
        assert_eq!(value["source"]["schema"], record.schema, "{record:?}");
        assert_eq!(value["source"]["table"], record.table, "{record:?}");
        let side = if value["op"] == "d" {
            "before"
        } else {
            "after"
        };
        let name = format!("{}.{}", record.schema, record.table);
        (name, value[side].take())
    };
    let mut rows: Vec<_> = records.map(row).collect();
    rows.sort_by_key(|(table, _)| table.clone());
    rows
}

fn keeping_all(mut reader: Reader) -> Reader {
    reader.raw = Some(Vec::new());
    reader
}

const TABLES: &str = "
    CREATE SCHEMA attic;
    CREATE TABLE t (id int PRIMARY KEY, a int, b text);
    CREATE TABLE old (id int PRIMARY KEY, x text);
    CREATE TABLE new (id int PRIMARY KEY, y int);
    CREATE TABLE gone (id int PRIMARY KEY, v int);
    CREATE TABLE whole (id int PRIMARY KEY, v text); ALTER TABLE whole REPLICA IDENTITY FULL";

/// What is done while nobody reads; and the table and row that it is to give, or nothing.
type Step = (&'static str, &'static str, &'static str);

const HISTORY: [Step; 22] = [
    (
        "INSERT INTO t VALUES (1, 10, 'x')",
        "public.t",
        r#"{"id": 1, "a": 10, "b": "x"}"#,
    ),
    ("ALTER TABLE t ADD COLUMN c int DEFAULT 7", "", ""),
    (
        "UPDATE t SET a = 11",
        "public.t",
        r#"{"id": 1, "a": 11, "b": "x", "c": 7}"#,
    ),
    ("ALTER TABLE t RENAME COLUMN b TO label", "", ""),
    (
        "INSERT INTO t VALUES (2, 20, 'y', 8)",
        "public.t",
        r#"{"id": 2, "a": 20, "label": "y", "c": 8}"#,
    ),
    (
        "ALTER TABLE t ALTER COLUMN a TYPE text USING a || '!'; INSERT INTO t VALUES (3, '30', 'z', 9)",
        "public.t",
        r#"{"id": 3, "a": "30", "label": "z", "c": 9}"#,
    ),
    ("ALTER TABLE t DROP COLUMN c", "", ""),
    (
        "INSERT INTO t VALUES (4, '40', 'w'); ALTER TABLE t ADD COLUMN d date",
        "public.t",
        r#"{"id": 4, "a": "40", "label": "w"}"#,
    ),
    ("ALTER TABLE t RENAME TO t2", "", ""),
    (
        "INSERT INTO t2 VALUES (5, '50', 'v', '2026-01-02')",
        "public.t2",
        r#"{"id": 5, "a": "50", "label": "v", "d": "2026-01-02"}"#,
    ),
    ("ALTER TABLE t2 SET SCHEMA attic", "", ""),
    ("ALTER TABLE attic.t2 RENAME COLUMN id TO number", "", ""),
    (
        "UPDATE attic.t2 SET a = '51' WHERE number = 5",
        "attic.t2",
        r#"{"number": 5, "a": "51", "label": "v", "d": "2026-01-02"}"#,
    ),
    // The usual way to put another table in the place of one.
    (
        "INSERT INTO old VALUES (1, 'old')",
        "public.old",
        r#"{"id": 1, "x": "old"}"#,
    ),
    (
        "INSERT INTO new VALUES (2, 2)",
        "public.new",
        r#"{"id": 2, "y": 2}"#,
    ),
    (
        "ALTER TABLE old RENAME TO retired; ALTER TABLE new RENAME TO old; ALTER TABLE retired RENAME TO new; \
         INSERT INTO old VALUES (3, 3)",
        "public.old",
        r#"{"id": 3, "y": 3}"#,
    ),
    (
        "INSERT INTO new VALUES (4, 'old')",
        "public.new",
        r#"{"id": 4, "x": "old"}"#,
    ),
    // A change of the schema that is taken back with its rows.
    (
        "BEGIN; SAVEPOINT s; ALTER TABLE old ADD COLUMN z int; INSERT INTO old VALUES (6, 6, 6); ROLLBACK TO s; \
         INSERT INTO old VALUES (7, 7); COMMIT",
        "public.old",
        r#"{"id": 7, "y": 7}"#,
    ),
    (
        "INSERT INTO gone VALUES (1, 2); DROP TABLE gone",
        "public.gone",
        r#"{"id": 1, "v": 2}"#,
    ),
    (
        "INSERT INTO whole VALUES (1, 'v')",
        "public.whole",
        r#"{"id": 1, "v": "v"}"#,
    ),
    ("ALTER TABLE whole RENAME COLUMN v TO w", "", ""),
    (
        "DELETE FROM whole; DROP TABLE whole",
        "public.whole",
        r#"{"id": 1, "w": "v"}"#,
    ),
];

/// Older servers go on under a schema's first name until something else about the table changes.
const SCHEMA_RENAMED: [Step; 2] = [
    ("ALTER SCHEMA attic RENAME TO loft", "", ""),
    (
        "INSERT INTO loft.t2 VALUES (6, '60', 'u')",
        "loft.t2",
        r#"{"number": 6, "a": "60", "label": "u", "d": null}"#,
    ),
];

#[tokio::test]
async fn rows_not_yet_read_have_the_schema_and_the_name_of_their_time() {
    rows_not_yet_read(Version::Usual, &HISTORY).await;
}

#[tokio::test]
async fn rows_not_yet_read_have_the_schema_and_the_name_of_their_time_on_the_newest_server() {
    let history = [&HISTORY[..], &SCHEMA_RENAMED].concat();
    rows_not_yet_read(Version::V18, &history).await;
}

async fn rows_not_yet_read(version: Version, history: &[Step]) {
    let server = Server::start_as(version).await;
    server.sql(TABLES).await;
    let mut config = config(server.url("postgres"));
    config.limits.idle_position_interval = Duration::from_millis(200);
    let mut reader = Reader::running(config.clone()).await;
    reader
        .until("a position", |reader| reader.position.is_some())
        .await;
    let (_, position) = reader.stop().await;
    let mut expected: Vec<(String, Value)> = Vec::new();
    for (statement, table, row) in history {
        server.sql(statement).await;
        if !table.is_empty() {
            expected.push(((*table).to_owned(), serde_json::from_str(row).unwrap()));
        }
    }
    let mut reader = keeping_all(Reader::resume(config, position));
    let count = expected.len();
    // Nobody asks before all is gathered: it comes as one group, and all definitions before it.
    let all = u64::try_from(count).unwrap();
    let mut status = reader.source.status();
    let gathered = status.wait_for(|status| status.counters.changes == all);
    let gathered = tokio::time::timeout(Duration::from_secs(40), gathered).await;
    assert!(gathered.is_ok(), "{:?}", reader.status());
    reader
        .until("all rows", |reader| reader.changes.len() == count)
        .await;
    expected.sort_by_key(|(table, _)| table.clone());
    assert_eq!(rows(&reader), expected);
    let mut records = reader.raw.as_ref().unwrap().iter();
    let gone = records.find(|record| record.table == "gone").unwrap();
    assert_eq!(
        gone.key.as_deref(),
        Some("{\"id\":1}"),
        "as the row tells it"
    );
}

#[tokio::test]
async fn tables_renamed_dropped_and_made_anew_while_running_are_followed() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server.sql("CREATE SCHEMA attic").await;
    let mut reader = keeping_all(Reader::running(config(server.url("postgres"))).await);
    server
        .sql("INSERT INTO orders VALUES (1, 'a'); ALTER TABLE orders RENAME TO archive")
        .await;
    server.sql("INSERT INTO archive VALUES (2, 'b')").await;
    reader
        .until("the new name", |reader| {
            reader.shows_keyed("archive") && !reader.shows("orders")
        })
        .await;
    server.sql("ALTER TABLE archive SET SCHEMA attic").await;
    server
        .sql("UPDATE attic.archive SET name = 'c' WHERE id = 2")
        .await;
    // Another table under the first name: it is published as soon as it is seen, and goes on in the same topic.
    server
        .sql("CREATE TABLE orders (id int PRIMARY KEY, total numeric)")
        .await;
    reader
        .until("the table made anew", |reader| reader.shows_keyed("orders"))
        .await;
    server.sql("INSERT INTO orders VALUES (3, 1.50)").await;
    server
        .sql("INSERT INTO orders VALUES (4, 2.50); DROP TABLE orders")
        .await;
    reader
        .until("all rows", |reader| reader.changes.len() == 5)
        .await;
    let expected = [
        ("attic.archive", json!({"id": 2, "name": "c"})),
        ("public.archive", json!({"id": 2, "name": "b"})),
        ("public.orders", json!({"id": 1, "name": "a"})),
        ("public.orders", json!({"id": 3, "total": "1.50"})),
        ("public.orders", json!({"id": 4, "total": "2.50"})),
    ];
    assert_eq!(
        rows(&reader),
        expected.map(|(table, row)| (table.to_owned(), row))
    );
    reader
        .until("the dropped table is gone", |reader| {
            !reader.shows("orders")
        })
        .await;
    assert_eq!(reader.state(), "running");
}

#[tokio::test]
async fn an_identity_that_changes_while_running_never_fails_the_application() {
    let server = Server::start(&[]).await;
    server
        .sql("CREATE TABLE i (id int PRIMARY KEY, code int NOT NULL UNIQUE, v int)")
        .await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("INSERT INTO i VALUES (1, 10, 0)").await;
    server.sql("UPDATE i SET v = 1").await;
    server.sql("ALTER TABLE i REPLICA IDENTITY FULL").await;
    server.sql("UPDATE i SET v = 2").await;
    server
        .sql("ALTER TABLE i REPLICA IDENTITY USING INDEX i_code_key")
        .await;
    server.sql("UPDATE i SET v = 3, code = 11").await;
    reader
        .until("three updates", |reader| reader.changes.len() == 4)
        .await;
    let befores: Vec<_> = reader.changes.iter().map(|change| &change.before).collect();
    let whole = json!({"id": 1, "code": 10, "v": 1});
    assert_eq!(befores, [&Value::Null, &Value::Null, &whole, &Value::Null]);
    // Until it is taken out its updates fail at the source, as the documentation says.
    server.sql("ALTER TABLE i REPLICA IDENTITY NOTHING").await;
    reader
        .until("taken out", |reader| !reader.shows_keyed("i"))
        .await;
    server.sql("UPDATE i SET v = 4").await;
    server.sql("INSERT INTO i VALUES (2, 20, 0)").await;
    server.sql("ALTER TABLE i REPLICA IDENTITY DEFAULT").await;
    reader
        .until("keyed again", |reader| reader.shows_keyed("i"))
        .await;
    let warning = reader.warning("i").unwrap();
    assert!(warning.contains("updates and deletes between"), "{warning}");
    server.sql("UPDATE i SET v = 5 WHERE id = 2").await;
    reader
        .until("the last update", |reader| reader.changes.len() == 6)
        .await;
    let seen: Vec<_> = reader.changes[4..]
        .iter()
        .map(|change| (change.operation.as_str(), change.after["v"].as_i64()))
        .collect();
    assert_eq!(seen, [("c", Some(0)), ("u", Some(5))]);
}

/// Table, operation and id of each change; of one table, or of all.
fn seen(reader: &Reader, of: Option<&str>) -> Vec<(String, String, i64)> {
    let changes = reader.changes.iter();
    let changes = changes.filter(|change| of.is_none_or(|of| change.table == of));
    changes
        .map(|change| (change.table.clone(), change.operation.clone(), change.id()))
        .collect()
}

fn expected(table: &str, rows: &[(&str, i64)]) -> Vec<(String, String, i64)> {
    let row = |(operation, id): &(&str, i64)| (table.to_owned(), (*operation).to_owned(), *id);
    rows.iter().map(row).collect()
}

const PARTITIONED: &str = "
    CREATE TABLE m (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE PUBLICATION by_root FOR TABLE m WITH (publish_via_partition_root)";

/// Behind `CREATE TABLE m_2`.
const PARTITIONS: [&str; 6] = [
    "INSERT INTO m_2 VALUES (1, '2026-02-01')",
    "ALTER TABLE m ATTACH PARTITION m_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
    "INSERT INTO m VALUES (2, '2026-01-01'), (3, '2026-02-02')",
    // A row that moves is a delete and an insert.
    "UPDATE m SET day = '2026-02-03' WHERE id = 2",
    "ALTER TABLE m DETACH PARTITION m_1; INSERT INTO m_1 VALUES (4, '2026-01-02')",
    "UPDATE m SET id = 5 WHERE id = 3",
];

#[tokio::test]
async fn partitions_attached_and_detached_while_running_are_followed_by_leaf_and_by_root() {
    let server = Server::start(&[]).await;
    server.sql(PARTITIONED).await;
    let mut by_leaf = keeping_all(Reader::running(config(server.url("postgres"))).await);
    let mut rooted = config(server.url("postgres"));
    (rooted.slot, rooted.publication) = ("by_root".into(), "by_root".into());
    let mut by_root = keeping_all(Reader::running(rooted.clone()).await);
    server
        .sql("CREATE TABLE m_2 (id int, day date, PRIMARY KEY (id, day))")
        .await;
    by_leaf
        .until("the table", |reader| reader.shows_keyed("m_2"))
        .await;
    for statement in PARTITIONS {
        server.sql(statement).await;
    }
    by_leaf
        .until("all by leaf", |reader| reader.changes.len() == 7)
        .await;
    // A delete has no old row to show with identity DEFAULT.
    let first = expected("m_1", &[("c", 2), ("d", -1), ("c", 4)]);
    assert_eq!(seen(&by_leaf, Some("m_1")), first);
    let second = expected("m_2", &[("c", 1), ("c", 3), ("c", 2), ("u", 5)]);
    assert_eq!(seen(&by_leaf, Some("m_2")), second);
    if server.major() < 15 {
        // Where a table that was read before is attached or detached, older servers go on as before until the next
        // connection.
        by_root
            .until("the detached one", |reader| reader.ids().last() == Some(&4))
            .await;
        let (_, position) = by_root.stop().await;
        server
            .sql("INSERT INTO m_1 VALUES (6, '2026-01-03'); INSERT INTO m VALUES (7, '2026-02-04')")
            .await;
        let mut by_root = Reader::resume(rooted, position);
        by_root
            .until("the attached one", |reader| reader.ids().contains(&7))
            .await;
        assert!(!by_root.ids().contains(&6), "{:?}", by_root.ids());
        return;
    }
    by_root
        .until("all by root", |reader| reader.changes.len() >= 5)
        .await;
    let until = Instant::now() + Duration::from_millis(500);
    by_root
        .until("nothing more", move |_| Instant::now() > until)
        .await;
    // Only what was part of it then.
    let root = expected("m", &[("c", 2), ("c", 3), ("d", -1), ("c", 2), ("u", 5)]);
    assert_eq!(seen(&by_root, None), root);
    assert_eq!((rows(&by_root).len(), rows(&by_leaf).len()), (5, 7));
}
