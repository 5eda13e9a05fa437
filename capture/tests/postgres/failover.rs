//! The primary dies and a standby takes its address.

use std::time::Duration;

use headwater_capture::postgres::SourceStatus;
use headwater_capture::postgres::source::resync::{self, ResyncFrom};
use tokio::sync::watch;

use crate::ORDERS;
use crate::reader::{Reader, config, now};
use crate::server::{Server, Version, query};

/// No position without rows is recorded: what is captured is what was committed, and no more.
const NEVER: Duration = Duration::from_hours(1);

/// Until the query gives `t`.
async fn until_true(server: &Server, sql: &str) {
    for _ in 0..600 {
        if server.value(sql).await.as_deref() == Some("t") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never true: {sql}\n{}", server.log());
}

#[tokio::test]
async fn a_promoted_standby_that_has_the_slot_is_followed_without_loss_or_repetition() {
    let settings = ["synchronized_standby_slots=standby"];
    let mut primary = Server::start_primary(Version::V18, &settings, ORDERS).await;
    let mut standby = Server::standby_of(&mut primary, &["sync_replication_slots=on"]).await;
    let mut config = config(primary.url("postgres"));
    config.failover_slot = true;
    let mut reader = Reader::running(config.clone()).await;
    let mut next = 1;
    // The standby takes the slot over when the primary's log has moved on far enough.
    let synced = "SELECT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = 'headwater_shop' \
                  AND synced AND NOT temporary)";
    let mut looks = 0;
    while standby.value(synced).await.as_deref() != Some("t") {
        looks += 1;
        assert!(looks < 600, "never synced: {}", standby.log());
        let insert =
            format!("INSERT INTO orders VALUES ({next}); SELECT pg_log_standby_snapshot()");
        primary.sql(&insert).await;
        let seen = next;
        reader
            .until("the row", |reader| reader.ids().last() == Some(&seen))
            .await;
        next += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Rows are on their way when the primary dies.
    let mut session = primary.session().await;
    let last = next + 300;
    for id in next..last {
        query(&mut session, &format!("INSERT INTO orders VALUES ({id})")).await;
    }
    let port = primary.port;
    primary.crash();
    standby.promote();
    standby.stop_fast();
    standby.port = port;
    standby.start_again().await;
    standby.sql("INSERT INTO orders VALUES (100000)").await;
    reader
        .until("a row of the new primary", |reader| {
            reader.ids().last() == Some(&100_000)
        })
        .await;
    let history = standby.sql("SELECT id FROM orders ORDER BY id").await;
    let history: Vec<i64> = history
        .iter()
        .map(|row| row[0].as_deref().unwrap().parse().unwrap())
        .collect();
    assert_eq!(reader.ids(), history);
    assert_eq!(reader.status().server.unwrap().timeline, 2);
    let (_, position) = reader.stop().await;
    // The timeline is part of what is stored: from there it goes on as ever.
    standby.sql("INSERT INTO orders VALUES (100001)").await;
    let mut reader = Reader::resume(config, position);
    reader
        .until("the next row", |reader| !reader.changes.is_empty())
        .await;
    assert_eq!(reader.ids(), [100_001]);
}

#[tokio::test]
async fn a_promoted_standby_that_lacks_the_slot_or_rows_needs_a_resync_which_works() {
    let mut primary = Server::start_primary(Version::Usual, &[], ORDERS).await;
    let mut standby = Server::standby_of(&mut primary, &[]).await;
    let mut config = config(primary.url("postgres"));
    config.limits.idle_position_interval = NEVER;
    let mut reader = Reader::running(config.clone()).await;
    primary.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("a row", |reader| reader.changes.len() == 1)
        .await;
    let known_to_both = reader.position.clone();
    until_true(&standby, "SELECT EXISTS (SELECT 1 FROM orders)").await;
    standby.stop_fast();
    primary.sql("INSERT INTO orders VALUES (2)").await;
    reader
        .until("a row that the standby never gets", |reader| {
            reader.changes.len() == 2
        })
        .await;
    primary.crash();
    standby.port = primary.port;
    standby.start_again().await;
    reader
        .until("the standby is named", |reader| {
            reader.state() == "reconnecting" && reader.told().contains("is a standby")
        })
        .await;
    standby.promote();
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync");
    let told = reader.told();
    assert!(
        told.contains("was promoted at 0/") && told.contains("that it never had"),
        "{told}"
    );

    let mut reader = Reader::resume(config.clone(), known_to_both.clone());
    reader.end().await;
    assert_eq!(reader.state(), "needs_resync");
    let told = reader.told();
    for words in [
        "\"headwater_shop\" is missing",
        "timeline 1 to 2",
        "failover_slot",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let no_slot = "SELECT count(*) = 0 FROM pg_replication_slots WHERE plugin = 'pgoutput'";
    until_true(&standby, no_slot).await;

    let (_stop, stopped) = watch::channel(false);
    let status = watch::Sender::new(SourceStatus::starting(now()));
    let stored = known_to_both.as_deref();
    let begun = resync::begin(
        config.clone(),
        stored,
        ResyncFrom::Now,
        (status, stopped),
        now,
    );
    let position = begun.await.unwrap();
    standby.sql("INSERT INTO orders VALUES (3)").await;
    let mut reader = Reader::resume(config, Some(position));
    reader
        .until("the row behind the gap", |reader| {
            !reader.changes.is_empty()
        })
        .await;
    assert_eq!(reader.ids(), [3]);
    assert_eq!(reader.status().server.unwrap().timeline, 2);
}
