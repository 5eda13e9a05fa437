//! The slot: made, waited for, used as it stands, or missed.

use std::time::{Duration, Instant};

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::{Server, query};

#[tokio::test]
async fn an_open_transaction_delays_the_slot_and_is_named() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut session = server.session().await;
    query(&mut session, "BEGIN").await;
    query(&mut session, "INSERT INTO orders VALUES (1)").await;
    let pid = session.backend_pid();
    let mut reader = Reader::start(config(server.url("postgres")));
    reader
        .until("waiting", |reader| reader.state() == "waiting_for_slot")
        .await;
    assert!(
        reader.told().contains(&format!("pid {pid} (user postgres")),
        "{}",
        reader.told()
    );
    query(&mut session, "COMMIT").await;
    reader
        .until("running", |reader| reader.state() == "running")
        .await;
}

#[tokio::test]
async fn a_stop_while_waiting_leaves_no_slot_behind() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut session = server.session().await;
    query(&mut session, "BEGIN").await;
    query(&mut session, "INSERT INTO orders VALUES (1)").await;
    let mut reader = Reader::start(config(server.url("postgres")));
    reader
        .until("waiting", |reader| reader.state() == "waiting_for_slot")
        .await;
    let begun = Instant::now();
    reader.source.stop().await;
    assert!(begun.elapsed() < Duration::from_millis(1_200));
    let slots = "SELECT slot_name FROM pg_replication_slots";
    assert!(
        server.sql(slots).await.is_empty(),
        "the server has given it up too"
    );
    query(&mut session, "COMMIT").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(server.sql(slots).await.is_empty());
}

#[tokio::test]
async fn a_slot_dropped_while_stopped_needs_a_resync() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a row", |reader| reader.changes.len() == 1)
        .await;
    let (_, position) = reader.stop().await;
    server
        .sql("SELECT pg_drop_replication_slot('headwater_shop')")
        .await;
    let mut reader = Reader::resume(config(server.url("postgres")), position);
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync");
    assert!(
        reader.told().contains("slot \"headwater_shop\" is missing"),
        "{}",
        reader.told()
    );
    assert!(
        reader.told().contains("headwater instance resync shop"),
        "{}",
        reader.told()
    );
    assert!(
        server
            .sql("SELECT 1 FROM pg_replication_slots")
            .await
            .is_empty(),
        "no silent new slot"
    );
}

#[tokio::test]
async fn a_slot_that_somebody_moved_needs_a_resync() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a row", |reader| reader.changes.len() == 1)
        .await;
    let (_, position) = reader.stop().await;
    server.sql("INSERT INTO orders VALUES (2)").await;
    server
        .sql(
            "SELECT count(*) FROM pg_logical_slot_get_binary_changes('headwater_shop', NULL, NULL, \
             'proto_version', '1', 'publication_names', 'headwater_shop')",
        )
        .await;
    let mut reader = Reader::resume(config(server.url("postgres")), position);
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync");
    assert!(
        reader.told().contains("moved by somebody else"),
        "{}",
        reader.told()
    );
}

#[tokio::test]
async fn another_server_needs_a_resync() {
    let server = Server::start(&[]).await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    server.sql(ORDERS).await;
    reader
        .until("the table", |reader| reader.shows("orders"))
        .await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a position", |reader| reader.position.is_some())
        .await;
    let (_, position) = reader.stop().await;
    // Bytes 2 to 10 are the system identifier.
    let mut position = position.unwrap();
    position[9] ^= 1;
    let mut reader = Reader::resume(config(server.url("postgres")), Some(position));
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync");
    assert!(
        reader.told().contains("another server"),
        "{}",
        reader.told()
    );
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for() {
    let server = Server::start(&[]).await;
    let first = Reader::running(config(server.url("postgres"))).await;
    let mut second = Reader::start(config(server.url("postgres")));
    second
        .until("reconnecting", |reader| reader.state() == "reconnecting")
        .await;
    assert!(
        second.told().contains("is active for PID"),
        "{}",
        second.told()
    );
    assert_eq!(first.state(), "running", "the first one is left alone");
    first.stop().await;
    second
        .until("running", |reader| reader.state() == "running")
        .await;
}

#[tokio::test]
async fn slot_and_publication_of_the_operator_are_used_as_they_stand() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server
        .sql("CREATE PUBLICATION headwater_shop FOR ALL TABLES")
        .await;
    server
        .sql("SELECT pg_create_logical_replication_slot('headwater_shop', 'pgoutput')")
        .await;
    server
        .sql("INSERT INTO orders VALUES (1); UPDATE orders SET name = 'x'")
        .await;
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    reader
        .until("what the slot held", |reader| reader.changes.len() == 2)
        .await;
    assert_eq!(
        server.sql("SELECT pubname FROM pg_publication").await.len(),
        1
    );
    assert!(reader.shows_keyed("orders"));
}

#[tokio::test]
async fn a_temporary_source_leaves_nothing_behind() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let mut config = config(server.url("postgres"));
    config.slot_temporary = true;
    config.drop_publications_at_stop = true;
    let mut reader = Reader::running(config).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a row", |reader| reader.changes.len() == 1)
        .await;
    let begun = Instant::now();
    reader.stop().await;
    assert!(
        begun.elapsed() < Duration::from_millis(1_200),
        "{:?}",
        begun.elapsed()
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.sql("SELECT 1 FROM pg_publication").await.is_empty());
    assert!(
        server
            .sql("SELECT 1 FROM pg_replication_slots")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_lost_temporary_slot_is_not_replaced_silently() {
    let server = Server::start(&[]).await;
    let mut config = config(server.url("postgres"));
    config.slot_temporary = true;
    let mut reader = Reader::running(config).await;
    server
        .sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
        .await;
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync");
    assert!(reader.told().contains("--data"), "{}", reader.told());
}

#[tokio::test]
async fn wal_level_turned_back_is_told_and_left_by_itself_when_it_is_mended() {
    let mut server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    let config = config(server.url("postgres"));
    let mut reader = Reader::running(config.clone()).await;
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a row", |reader| reader.changes.len() == 1)
        .await;
    server.stop_fast();
    server.set("wal_level=replica");
    let said = server.refuses_to_start();
    assert!(
        said.contains("wal_level"),
        "as long as the slot is there: {said}"
    );
    reader
        .until("reconnecting", |reader| reader.state() == "reconnecting")
        .await;
    server.set("wal_level=logical");
    server.start_again().await;
    server.sql("INSERT INTO orders VALUES (2)").await;
    reader
        .until("what came behind", |reader| reader.ids() == [1, 2])
        .await;
    let (_, position) = reader.stop().await;

    // Without the slot it starts, and what was captured so far does not make this final.
    server
        .sql("SELECT pg_drop_replication_slot('headwater_shop')")
        .await;
    server.stop_fast();
    server.set("wal_level=replica");
    server.start_again().await;
    let mut reader = Reader::resume(config, position);
    reader
        .until("told", |reader| reader.state() == "source_misconfigured")
        .await;
    let told = reader.told();
    for words in [
        "wal_level is replica",
        "ALTER SYSTEM SET wal_level = logical",
    ] {
        assert!(told.contains(words), "{told}");
    }
    server.stop_fast();
    server.set("wal_level=logical");
    server.start_again().await;
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync", "{}", reader.told());
    assert!(reader.told().contains("is missing"), "{}", reader.told());
}
