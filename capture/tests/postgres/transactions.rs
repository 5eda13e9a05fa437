//! Transactions in every form that a database knows: prepared, with parts taken back, by triggers, COPY and TRUNCATE.

use headwater_capture::{DebeziumOptions, FeedFormat, Preset};

use crate::reader::{Reader, config};
use crate::server::{Server, query};

/// What is written to `a` is written to `b` by a trigger, row by row.
const TABLES: &str = "
    CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
    CREATE FUNCTION copy_a() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.b VALUES (NEW.id); RETURN NULL; END';
    CREATE TRIGGER copies AFTER INSERT ON a FOR EACH ROW EXECUTE PROCEDURE copy_a()";

fn ids_of(reader: &Reader, table: &str) -> Vec<i64> {
    let changes = reader.changes.iter().filter(|c| c.table == table);
    changes.map(crate::reader::Change::id).collect()
}

#[tokio::test]
async fn prepared_transactions_come_when_they_commit_also_over_a_restart() {
    let server = Server::start(&["max_prepared_transactions=4"]).await;
    server.sql(TABLES).await;
    let config = config(server.url("postgres"));
    let mut reader = Reader::running(config.clone()).await;
    for id in [1, 2, 3] {
        let mut session = server.session().await;
        query(&mut session, "BEGIN").await;
        query(&mut session, &format!("INSERT INTO a VALUES ({id})")).await;
        query(&mut session, &format!("PREPARE TRANSACTION 'p{id}'")).await;
    }
    server.sql("INSERT INTO a VALUES (4)").await;
    server.sql("COMMIT PREPARED 'p2'").await;
    server.sql("ROLLBACK PREPARED 'p3'").await;
    reader
        .until("what was committed", |reader| reader.changes.len() == 4)
        .await;
    for table in ["a", "b"] {
        assert_eq!(ids_of(&reader, table), [4, 2], "{table}");
    }
    let (_, position) = reader.stop().await;
    server.sql("INSERT INTO a VALUES (5)").await;
    server.sql("COMMIT PREPARED 'p1'").await;
    let mut reader = Reader::resume(config, position);
    reader
        .until("the one that was prepared before", |reader| {
            reader.changes.len() == 4
        })
        .await;
    for table in ["a", "b"] {
        assert_eq!(ids_of(&reader, table), [5, 1], "{table}");
    }
}

#[tokio::test]
async fn what_is_rolled_back_within_a_transaction_is_not_there_and_triggers_and_copy_are() {
    let server = Server::start(&[]).await;
    server.sql(TABLES).await;
    if server.major() >= 13 {
        let little = "ALTER DATABASE shop SET logical_decoding_work_mem = '64kB'";
        server.sql(little).await;
    }
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    let mut session = server.session().await;
    // The parts are large enough to be written to the server's disk while they are decoded.
    for statement in [
        "BEGIN",
        "INSERT INTO a SELECT generate_series(1, 2000)",
        "SAVEPOINT one",
        "INSERT INTO a SELECT generate_series(2001, 4000)",
        "ROLLBACK TO one",
        "INSERT INTO a SELECT generate_series(4001, 4010)",
        "SAVEPOINT two",
        "INSERT INTO a SELECT generate_series(4011, 4020)",
        "RELEASE two",
        "COMMIT",
        "DO $$ BEGIN INSERT INTO a VALUES (5000);
             BEGIN INSERT INTO a VALUES (5001); RAISE 'no'; EXCEPTION WHEN OTHERS THEN INSERT INTO a VALUES (5002); END;
         END $$",
        "BEGIN; INSERT INTO a VALUES (6000); ROLLBACK",
        "COPY a FROM PROGRAM 'seq 7001 7300'",
        "INSERT INTO a VALUES (8000) ON CONFLICT DO NOTHING",
        "INSERT INTO a VALUES (8000) ON CONFLICT DO NOTHING",
    ] {
        query(&mut session, statement).await;
    }
    let last = |reader: &Reader| ids_of(reader, "b").last() == Some(&8_000);
    reader.until("the last row", last).await;
    let mut expected: Vec<i64> = (1..=2000).chain(4001..=4020).chain([5000, 5002]).collect();
    expected.extend((7001..=7300).chain([8000]));
    for table in ["a", "b"] {
        assert_eq!(ids_of(&reader, table), expected, "{table}");
    }
}

#[tokio::test]
async fn a_truncate_that_cascades_is_told_for_each_table_or_counted() {
    let server = Server::start(&[]).await;
    server
        .sql(
            "CREATE TABLE p (id int PRIMARY KEY); \
             CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p); \
             CREATE TABLE g (id int PRIMARY KEY, c int REFERENCES c); \
             CREATE TABLE other (id int PRIMARY KEY)",
        )
        .await;
    let mut counting = Reader::running(config(server.url("postgres"))).await;
    let mut telling = config(server.url("postgres"));
    (telling.slot, telling.publication) = ("telling".into(), "telling".into());
    telling.feeds = vec![FeedFormat::DebeziumJson {
        preset: Preset::Debezium(DebeziumOptions {
            truncates: true,
            ..DebeziumOptions::default()
        }),
        name: "shop".into(),
    }];
    let mut telling = Reader::running(telling).await;
    server
        .sql("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1); INSERT INTO g VALUES (1, 1)")
        .await;
    server.sql("TRUNCATE p RESTART IDENTITY CASCADE").await;
    server.sql("INSERT INTO p VALUES (2)").await;
    // Older servers say nothing of it, which the check of a source names.
    let truncates = if server.major() >= 11 { 3 } else { 0 };
    telling
        .until("rows and truncates", |reader| {
            reader.changes.len() == 4 + truncates
        })
        .await;
    for (table, expected) in [("p", "ctc"), ("c", "ct"), ("g", "ct"), ("other", "")] {
        let changes = telling.changes.iter().filter(|c| c.table == table);
        let operations: String = changes.map(|c| c.operation.as_str()).collect();
        let is_told = |operation: &char| truncates > 0 || *operation != 't';
        let expected: String = expected.chars().filter(is_told).collect();
        assert_eq!(operations, expected, "{table}");
    }
    counting
        .until("rows and a count", |reader| {
            let skipped = reader.status().counters.truncates_skipped;
            reader.changes.len() == 4 && skipped == truncates as u64
        })
        .await;
}
