//! Which tables are published, and that the application never suffers from it.

use std::time::{Duration, Instant};

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::Server;
use headwater_capture::TableFilter;

#[tokio::test]
async fn a_table_without_key_gives_its_inserts_and_its_updates_keep_working() {
    let server = Server::start(&[]).await;
    server
        .sql("CREATE TABLE log (id int); INSERT INTO log VALUES (1)")
        .await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("INSERT INTO log VALUES (2)").await;
    server.sql("UPDATE log SET id = 3").await;
    server.sql("DELETE FROM log").await;
    server.sql("INSERT INTO log VALUES (4)").await;
    reader
        .until("both inserts", |reader| reader.changes.len() == 2)
        .await;
    assert_eq!(reader.ids(), [2, 4]);
    let warning = reader.warning("log").unwrap();
    assert!(
        warning.contains("ALTER TABLE \"public\".\"log\" REPLICA IDENTITY FULL"),
        "{warning}"
    );
}

#[tokio::test]
async fn a_new_table_is_captured_and_one_with_a_past_is_reported() {
    let server = Server::start(&[]).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("CREATE TABLE fresh (id int PRIMARY KEY)").await;
    server
        .sql(
            "CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old VALUES (1); \
             CREATE TABLE keyless (v int); INSERT INTO keyless VALUES (1); \
             CREATE TABLE emptied (id int PRIMARY KEY); INSERT INTO emptied VALUES (1)",
        )
        .await;
    server.sql("TRUNCATE emptied").await;
    server
        .sql("CREATE UNLOGGED TABLE loose (id int PRIMARY KEY)")
        .await;
    reader
        .until("tables", |reader| {
            let keyed = ["fresh", "old", "emptied"];
            keyed.iter().all(|table| reader.shows_keyed(table)) && reader.shows("keyless")
        })
        .await;
    server
        .sql("INSERT INTO fresh VALUES (7); DELETE FROM fresh; INSERT INTO old VALUES (8)")
        .await;
    reader
        .until("rows", |reader| reader.changes.len() == 3)
        .await;
    assert_eq!(
        reader.ids(),
        [7, -1, 8],
        "a delete has no full old row to show"
    );
    assert_eq!(reader.warning("fresh"), None);
    for table in ["old", "emptied", "keyless"] {
        let warning = reader.warning(table).unwrap();
        assert!(warning.contains("changes between 0/"), "{warning}");
    }
    assert!(!reader.shows("loose"));
    assert!(
        reader.tables.contains(&"fresh".to_owned()),
        "announced before its rows"
    );
}

#[tokio::test]
async fn a_table_that_lost_its_key_is_taken_out_so_that_updates_work_again() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    reader
        .until("keyed", |reader| reader.shows_keyed("orders"))
        .await;
    server
        .sql("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
        .await;
    reader
        .until("not keyed", |reader| !reader.shows_keyed("orders"))
        .await;
    server.sql("UPDATE orders SET name = 'works'").await;
    server.sql("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    reader
        .until("keyed again", |reader| reader.shows_keyed("orders"))
        .await;
    assert!(
        reader
            .warning("orders")
            .unwrap()
            .contains("updates and deletes between")
    );
    server.sql("UPDATE orders SET name = 'seen'").await;
    reader
        .until("the update", |reader| reader.changes.len() == 1)
        .await;
    assert_eq!(reader.changes[0].before["name"], "works");
}

#[tokio::test]
async fn publications_are_left_alone_while_nothing_changes() {
    let server = Server::start(&["log_statement=ddl"]).await;
    server.sql(ORDERS).await;
    server.sql("CREATE TABLE log (id int)").await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    let until = Instant::now() + Duration::from_secs(2);
    reader
        .until("some polls", move |_| Instant::now() > until)
        .await;
    assert!(
        !server.log().contains("ALTER PUBLICATION"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn the_filter_decides_what_is_published() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server
        .sql("CREATE TABLE secret (id int PRIMARY KEY); CREATE TABLE child () INHERITS (orders)")
        .await;
    let mut config = config(server.url("postgres"));
    config.tables = TableFilter::parse(&["public.orders"], &[]).unwrap();
    let mut reader = Reader::running(config).await;
    server
        .sql("INSERT INTO secret VALUES (1); INSERT INTO child VALUES (2)")
        .await;
    server.sql("INSERT INTO orders VALUES (3)").await;
    reader
        .until("a row", |reader| !reader.changes.is_empty())
        .await;
    assert_eq!(reader.ids(), [3]);
    let published = server
        .sql("SELECT DISTINCT tablename FROM pg_publication_tables")
        .await;
    assert_eq!(published, [[Some("orders".to_owned())]]);
}

#[tokio::test]
async fn rows_of_a_new_partition_come_at_once() {
    let server = Server::start(&[]).await;
    server
        .sql(
            "CREATE TABLE m (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); \
             CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        )
        .await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server
        .sql(
            "CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
             INSERT INTO m VALUES (1, '2026-01-05'), (2, '2026-02-05'); UPDATE m SET id = id + 10",
        )
        .await;
    reader
        .until("all four", |reader| reader.changes.len() == 4)
        .await;
    let tables: Vec<_> = reader
        .changes
        .iter()
        .map(|change| change.table.as_str())
        .collect();
    assert_eq!(
        tables,
        ["m_1", "m_1", "m_2", "m_2"],
        "each partition by itself, in order"
    );
}

#[tokio::test]
async fn a_slot_without_its_publication_is_told_not_decoded() {
    let server = Server::start(&[]).await;
    server
        .sql("SELECT pg_create_logical_replication_slot('headwater_shop', 'pgoutput')")
        .await;
    let mut reader = Reader::start(config(server.url("postgres")));
    reader.end().await;
    assert_eq!(reader.state(), "source_misconfigured");
    assert!(
        reader
            .told()
            .contains("publication \"headwater_shop\" is missing"),
        "{}",
        reader.told()
    );
}

#[tokio::test]
async fn a_publication_dropped_in_mid_stream_is_told() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server
        .sql("DROP PUBLICATION headwater_shop, headwater_shop_keyed")
        .await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("told", |reader| reader.state() == "source_misconfigured")
        .await;
    assert!(
        reader.told().contains("headwater_shop"),
        "{}",
        reader.told()
    );
}
