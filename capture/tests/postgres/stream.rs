//! What is streamed, resumed, rewound and acknowledged.

use std::time::{Duration, Instant};

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::{Server, query};
use headwater_capture::{CaptureLimits, TableFilter};

#[tokio::test]
async fn changes_arrive_in_commit_order() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server
        .sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
        .await;
    server
        .sql("UPDATE orders SET name = 'c' WHERE id = 2; DELETE FROM orders WHERE id = 1")
        .await;
    reader
        .until("four changes", |reader| reader.changes.len() == 4)
        .await;
    let seen: Vec<_> = reader
        .changes
        .iter()
        .map(|change| (change.operation.as_str(), change.id()))
        .collect();
    assert_eq!(seen[..3], [("c", 1), ("c", 2), ("u", 2)]);
    assert_eq!(seen[3].0, "d");
    let status = reader.status();
    assert!(
        status
            .server
            .is_some_and(|server| server.database == "shop" && server.system_id > 0)
    );
    assert_eq!(reader.tables, ["orders"], "known from the start");
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("the first row", |reader| reader.changes.len() == 1)
        .await;
    let (_, position) = reader.stop().await;
    server
        .sql("INSERT INTO orders VALUES (2); UPDATE orders SET name = 'x'")
        .await;
    let mut reader = Reader::resume(config(server.url("postgres")), position);
    reader
        .until("what was written meanwhile", |reader| {
            reader.changes.len() == 3
        })
        .await;
    assert_eq!(reader.ids(), [2, 1, 2]);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_walsender_is_killed() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    let mut writer = server.session().await;
    for round in 0..5 {
        let first = round * 2_000 + 1;
        for id in (first..first + 2_000).step_by(100) {
            let rows = format!(
                "INSERT INTO orders SELECT generate_series({id}, {})",
                id + 99
            );
            query(&mut writer, &rows).await;
        }
        server
            .sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
            .await;
    }
    reader
        .until("all rows", |reader| reader.changes.len() >= 10_000)
        .await;
    assert_eq!(reader.ids(), (1..=10_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_large_transaction_cut_by_a_lost_connection_is_rewound_and_comes_whole() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let limits = CaptureLimits {
        gathered_bytes: 256 * 1024,
        large_transaction_bytes: 128 * 1024,
        batch_bytes: 32 * 1024,
        ..CaptureLimits::default()
    };
    let config = config(server.url("postgres"));
    let mut reader = Reader::running(config.clone()).await;
    reader
        .until("a first position", |reader| reader.position.is_some())
        .await;
    let (_, position) = reader.stop().await;
    server
        .sql("INSERT INTO orders SELECT g, repeat('x', 3000) FROM generate_series(1, 10000) g")
        .await;
    let config = headwater_capture::postgres::SourceConfig { limits, ..config };
    let mut reader = Reader::resume(config, position);
    reader.until("a part", |reader| reader.parts > 0).await;
    server
        .sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
        .await;
    reader
        .until("the whole transaction", |reader| !reader.changes.is_empty())
        .await;
    assert_eq!(reader.rewinds, 1);
    assert_eq!(reader.ids(), (1..=10_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_idle_source_lets_the_slot_advance() {
    let server = Server::start(&[]).await;
    server.sql("CREATE TABLE noise (id int)").await;
    let mut config = config(server.url("postgres"));
    config.tables = TableFilter::parse(&["public.nothing"], &[]).unwrap();
    config.limits.idle_position_interval = Duration::from_millis(500);
    let mut reader = Reader::running(config).await;
    let wanted = server
        .value("INSERT INTO noise SELECT generate_series(1, 10000); SELECT pg_current_wal_lsn()")
        .await
        .unwrap();
    let sql = format!("SELECT confirmed_flush_lsn >= '{wanted}' FROM pg_replication_slots");
    let until = Instant::now() + Duration::from_secs(20);
    while server.value(&sql).await.as_deref() != Some("t") {
        assert!(Instant::now() < until, "{:?}", reader.status());
        let soon = Instant::now() + Duration::from_millis(200);
        reader
            .until("a while", move |_| Instant::now() > soon)
            .await;
    }
    assert!(reader.changes.is_empty());
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_confirmed() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    reader.confirming = false;
    let confirmed = "SELECT confirmed_flush_lsn FROM pg_replication_slots";
    let before = server.value(confirmed).await;
    server
        .sql("INSERT INTO orders SELECT generate_series(1, 1000)")
        .await;
    reader
        .until("the rows", |reader| reader.changes.len() == 1_000)
        .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(server.value(confirmed).await, before);
    assert_eq!(reader.status().confirmed_lsn, 0);
}

#[tokio::test]
async fn statuses_go_on_while_nobody_asks_for_changes() {
    let server = Server::start(&["wal_sender_timeout=2s"]).await;
    server.sql(ORDERS).await;
    let mut config = config(server.url("postgres"));
    config.limits.gathered_bytes = 256 * 1024;
    config.limits.large_transaction_bytes = 128 * 1024;
    let mut reader = Reader::running(config).await;
    let pid = "SELECT active_pid FROM pg_replication_slots";
    let before = server.value(pid).await;
    server
        .sql("INSERT INTO orders SELECT g, repeat('x', 200) FROM generate_series(1, 50000) g")
        .await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(server.value(pid).await, before, "{}", server.log());
    reader
        .until("all rows", |reader| reader.changes.len() == 50_000)
        .await;
    assert_eq!(server.value(pid).await, before);
    assert_eq!(reader.state(), "running");
}

#[tokio::test]
async fn a_restarted_server_is_found_again_and_its_shutdown_is_not_held_up() {
    let mut server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a row", |reader| reader.changes.len() == 1)
        .await;
    // The server waits until all it has sent is confirmed, also what holds no row of ours.
    server
        .sql("SELECT pg_logical_emit_message(false, 'noise', 'noise')")
        .await;
    let begun = Instant::now();
    let stopping = tokio::task::spawn_blocking(move || {
        server.stop_fast();
        server
    });
    reader
        .until("reconnecting", |reader| reader.state() == "reconnecting")
        .await;
    let mut server = stopping.await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    server.start_again().await;
    server.sql("INSERT INTO orders VALUES (2)").await;
    reader
        .until("the next row", |reader| reader.changes.len() == 2)
        .await;
    assert_eq!(reader.ids(), [1, 2]);
}
