//! Wrong settings, missing rights: one clear line each.

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::Server;

#[tokio::test]
async fn each_wrong_setting_gives_one_clear_line() {
    let server = Server::start(&["wal_level=replica"]).await;
    let mut reader = Reader::start(config(server.url("postgres")));
    reader.end().await;
    assert_eq!(reader.state(), "source_misconfigured");
    assert!(
        reader
            .told()
            .starts_with("wal_level is replica, logical is needed"),
        "{}",
        reader.told()
    );
    assert!(
        reader
            .told()
            .contains("ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL")
    );
}

#[tokio::test]
async fn a_full_slot_list_names_the_setting() {
    let server = Server::start(&["max_replication_slots=1"]).await;
    server
        .sql("SELECT pg_create_physical_replication_slot('other')")
        .await;
    let mut reader = Reader::start(config(server.url("postgres")));
    reader.end().await;
    assert_eq!(reader.state(), "source_misconfigured");
    assert!(
        reader.told().contains("max_replication_slots"),
        "{}",
        reader.told()
    );
}

#[tokio::test]
async fn missing_privileges_are_named_with_their_statements() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server.sql("CREATE ROLE cdc LOGIN").await;
    let mut reader = Reader::start(config(server.url("cdc")));
    reader.end().await;
    assert_eq!(reader.state(), "source_refused");
    let told = reader.told();
    assert!(
        told.contains("CREATE PUBLICATION \"headwater_shop\" FOR TABLE ONLY"),
        "{told}"
    );
    // The operator does what is proposed.
    let statements = told
        .split_once("as a superuser in database shop: ")
        .unwrap()
        .1;
    server.sql(statements).await;

    let mut reader = Reader::start(config(server.url("cdc")));
    reader.end().await;
    assert_eq!(reader.state(), "source_refused");
    let told = reader.told();
    let (_, statement) = told.split_once("as a superuser: ").unwrap();
    assert_eq!(statement, "ALTER ROLE \"cdc\" REPLICATION");
    server.sql(statement).await;

    let mut reader = Reader::running(config(server.url("cdc"))).await;
    server
        .sql("INSERT INTO orders VALUES (1); UPDATE orders SET name = 'x'")
        .await;
    reader
        .until("both changes", |reader| reader.changes.len() == 2)
        .await;
    // What it may not do later is a warning of the table, not the end.
    server.sql("CREATE TABLE later (id int PRIMARY KEY)").await;
    reader
        .until("a warning", |reader| reader.warning("later").is_some())
        .await;
    let warning = reader.warning("later").unwrap();
    assert!(
        warning.contains("ALTER PUBLICATION \"headwater_shop\" ADD TABLE"),
        "{warning}"
    );
}

#[tokio::test]
async fn an_unknown_database_or_host_is_named() {
    let server = Server::start(&[]).await;
    let mut url = server.url("postgres");
    url.database = "nowhere".into();
    let mut reader = Reader::start(config(url));
    reader.end().await;
    assert_eq!(reader.state(), "source_misconfigured");
    assert!(
        reader
            .told()
            .contains("database \"nowhere\" does not exist"),
        "{}",
        reader.told()
    );

    let mut url = server.url("postgres");
    url.port = 1;
    let mut reader = Reader::start(config(url));
    reader
        .until("reconnecting", |reader| reader.state() == "reconnecting")
        .await;
    assert!(
        reader.told().contains("127.0.0.1:1: connect"),
        "{}",
        reader.told()
    );
}
