//! The checks of a source, each finding provoked; the log that a source holds; heartbeats.

use headwater_capture::postgres::SourceConfig;
use headwater_capture::postgres::check::{Finding, Severity, check};
use headwater_capture::{DebeziumOptions, FeedFormat, Preset};
use std::time::Duration;

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::{Server, Version, query};

async fn found(config: &SourceConfig) -> Vec<Finding> {
    let mut found = check(config).await;
    found.retain(|finding| finding.severity != Severity::Ok);
    found
}

fn has(found: &[Finding], severity: Severity, about: &str, words: &[&str]) {
    let told: Vec<String> = found.iter().map(Finding::to_string).collect();
    let is_it = |finding: &Finding| {
        let line = finding.to_string();
        finding.severity == severity
            && finding.about == about
            && words.iter().all(|word| line.contains(word))
    };
    assert!(found.iter().any(is_it), "{about} {words:?}: {told:#?}");
}

#[tokio::test]
async fn a_check_names_settings_and_tables_and_leaves_the_server_as_it_was() {
    let settings = [
        "wal_sender_timeout=1s",
        "max_replication_slots=1",
        "max_slot_wal_keep_size=64MB",
    ];
    let has_keep_size = Version::Usual.major() >= 13;
    let server = Server::start(&settings[..if has_keep_size { 3 } else { 2 }]).await;
    server.sql(ORDERS).await;
    server
        .sql("CREATE TABLE log (line text); CREATE UNLOGGED TABLE cache (id int PRIMARY KEY)")
        .await;
    server
        .sql("SELECT pg_create_physical_replication_slot('other')")
        .await;
    let config = config(server.url("postgres"));
    let found = found(&config).await;
    let warning = Severity::Warning;
    if has_keep_size {
        has(&found, warning, "max_slot_wal_keep_size", &["64.0 MB"]);
    } else {
        let missing = ["max_slot_wal_keep_size (13)", "TRUNCATE in the stream"];
        has(&found, warning, "version", &missing);
    }
    has(&found, warning, "wal_sender_timeout", &["1000 ms"]);
    has(&found, warning, "table", &["public.log", "no primary key"]);
    has(&found, warning, "unlogged", &["public.cache"]);
    let statement = "ALTER TABLE \"public\".\"orders\" REPLICA IDENTITY FULL";
    has(&found, warning, "replica identity", &[statement]);
    has(
        &found,
        Severity::Error,
        "max_replication_slots",
        &["1, and"],
    );
    assert!(server.sql("SELECT 1 FROM pg_publication").await.is_empty());
    assert_eq!(
        server.sql("SELECT 1 FROM pg_replication_slots").await.len(),
        1
    );
    // What is proposed mends it.
    server.sql(statement).await;
    let again = check(&config).await;
    assert!(
        again
            .iter()
            .all(|finding| finding.about != "replica identity")
    );
}

#[tokio::test]
async fn a_check_names_missing_rights_and_what_gives_them() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server.sql("CREATE ROLE cdc LOGIN").await;
    let config = config(server.url("cdc"));
    let weak = found(&config).await;
    has(
        &weak,
        Severity::Error,
        "publication",
        &["GRANT CREATE ON DATABASE"],
    );
    has(&weak, Severity::Error, "ownership", &["public.orders"]);
    has(
        &weak,
        Severity::Error,
        "replication",
        &["ALTER ROLE \"cdc\" REPLICATION"],
    );
    server
        .sql(
            "GRANT CREATE ON DATABASE shop TO cdc; ALTER TABLE orders OWNER TO cdc; \
             ALTER ROLE cdc REPLICATION",
        )
        .await;
    let errors: Vec<Finding> = check(&config).await;
    assert!(
        errors
            .iter()
            .all(|finding| finding.severity < Severity::Error),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_check_of_what_cannot_be_reached_or_is_not_logical_is_an_error() {
    let server = Server::start(&["wal_level=replica"]).await;
    let config = config(server.url("postgres"));
    let level = found(&config).await;
    has(
        &level,
        Severity::Error,
        "server",
        &["wal_level is replica", "ALTER SYSTEM"],
    );
    let mut nowhere = config.clone();
    nowhere.url.database = "nowhere".into();
    has(
        &found(&nowhere).await,
        Severity::Error,
        "login",
        &["nowhere"],
    );
}

#[tokio::test]
async fn a_failover_slot_is_made_where_the_server_has_them_and_refused_elsewhere() {
    let server = Server::start_as(Version::V18).await;
    let mut wants = config(server.url("postgres"));
    wants.failover_slot = true;
    let reader = Reader::running(wants).await;
    let failover = server
        .value("SELECT failover FROM pg_replication_slots")
        .await;
    assert_eq!(failover.as_deref(), Some("t"));
    reader.stop().await;

    if Version::Usual.major() >= 17 {
        return;
    }
    let old = Server::start(&[]).await;
    let mut wants = config(old.url("postgres"));
    wants.failover_slot = true;
    has(
        &found(&wants).await,
        Severity::Error,
        "failover",
        &["before 17"],
    );
    let mut reader = Reader::start(wants);
    reader.end().await;
    assert_eq!(reader.state(), "source_misconfigured");
    assert!(
        old.sql("SELECT 1 FROM pg_replication_slots")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn log_that_the_source_holds_is_warned_of_before_the_slot_is_lost_and_the_warning_ends() {
    // Without a limit of the server's it is warned of at what the configuration says.
    let has_limit = Version::Usual.major() >= 13;
    let limit = has_limit.then_some("max_slot_wal_keep_size=128MB");
    let server = Server::start(limit.as_slice()).await;
    server.sql(ORDERS).await;
    let mut watching = config(server.url("postgres"));
    watching.wal_warn_bytes = 64 << 20;
    watching.limits.idle_position_interval = Duration::from_millis(200);
    let mut reader = Reader::running(watching).await;
    // A transaction with an id holds the slot's restart_lsn.
    let mut session = server.session().await;
    query(&mut session, "BEGIN; INSERT INTO orders VALUES (1)").await;
    let fill = "SELECT pg_switch_wal() FROM pg_logical_emit_message(true, 'x', repeat('x', 1000))";
    for _ in 0..5 {
        server.sql(fill).await;
    }
    let warned = |reader: &Reader| {
        let status = reader.status();
        let is_told = status
            .warnings
            .iter()
            .any(|line| line.starts_with("source log: ") && line.contains("headwater_shop"));
        is_told && status.wal.is_some_and(|wal| wal.level.name() != "fine")
    };
    reader.until("a warning", warned).await;
    assert_eq!(reader.state(), "running", "capture goes on");
    query(&mut session, "COMMIT").await;
    let mended = |reader: &Reader| {
        let status = reader.status();
        status.wal.is_some_and(|wal| wal.level.name() == "fine")
            && !status
                .warnings
                .iter()
                .any(|line| line.starts_with("source log"))
    };
    // restart_lsn moves with the next running-xacts record, which a checkpoint writes.
    for _ in 0..40 {
        server.sql("CHECKPOINT").await;
        drop(
            tokio::time::timeout(Duration::from_millis(500), reader.until("a look", mended)).await,
        );
        if mended(&reader) {
            break;
        }
    }
    reader.until("the warning to end", mended).await;
}

#[tokio::test]
async fn heartbeats_move_the_slot_of_an_idle_database_and_are_no_records() {
    let server = Server::start(&[]).await;
    server.sql(ORDERS).await;
    server.sql("CREATE DATABASE neighbour").await;
    let mut beating = config(server.url("postgres"));
    beating.heartbeat_interval = Some(Duration::from_millis(200));
    beating.limits.idle_position_interval = Duration::from_millis(200);
    beating.feeds = vec![FeedFormat::DebeziumJson {
        preset: Preset::Debezium(DebeziumOptions::default()),
        name: "shop".into(),
    }];
    let mut reader = Reader::running(beating).await;
    let mut neighbour = server.session_in("neighbour").await;
    query(&mut neighbour, "CREATE TABLE busy (id int)").await;
    for _ in 0..3 {
        query(
            &mut neighbour,
            "INSERT INTO busy SELECT generate_series(1, 20000)",
        )
        .await;
        let sql = "SELECT pg_current_wal_insert_lsn()";
        let end = server.value(sql).await.unwrap();
        let end: headwater_capture::postgres::position::Lsn = end.parse().unwrap();
        reader
            .until("the slot behind it", |reader| {
                reader.status().confirmed_lsn >= end.0
            })
            .await;
    }
    // Older servers do not send them: that the slot moves is all there is to see.
    let sent = if server.major() >= 14 { 2 } else { 0 };
    reader
        .until("heartbeats", |reader| {
            reader.status().counters.messages_skipped >= sent
        })
        .await;
    assert!(reader.changes.is_empty(), "{:?}", reader.changes);
}
