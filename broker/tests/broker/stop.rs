//! A stop is quick, answers what is running, and loses nothing.

use std::time::{Duration, Instant};

use headwater_capture::{Captured, TableKey, TransactionGroup};

use crate::{
    harness::{Harness, ORDERS, ORDERS_KEY, Settings, group_of, start_on},
    wire::{Client, Fetch, offsets},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_parked_fetches_and_takes_less_than_two_seconds() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let mut idle = harness.client().await;
    let fetch = Fetch {
        wait_ms: 60_000,
        ..Fetch::of(ORDERS, 0)
    };
    let parked = tokio::spawn(async move { client.fetch(fetch).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    harness.broker.stop().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(parked.await.unwrap().error_code, 0);
    assert_eq!(idle.frame().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_client_that_takes_nothing() {
    let mut harness = Harness::start().await;
    for _ in 0..12 {
        harness
            .commit_one(ORDERS_KEY, 1_700_000_000_000, 1_000_000)
            .await;
    }
    let mut client = harness.client().await;
    for _ in 0..4 {
        let fetch = Fetch {
            partition_bytes_max: 50 << 20,
            ..Fetch::of(ORDERS, 0)
        };
        client.send(&fetch.request(), 12).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    harness.broker.stop().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_on_after_a_restart_with_the_same_ids() {
    let mut harness = Harness::start().await;
    for _ in 0..3 {
        harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    }
    let before = harness.client().await.metadata().await;
    let Harness { broker, data, .. } = harness;
    broker.stop().await.unwrap();

    let (_feeder, broker) = start_on(data.path().to_owned(), Settings::default())
        .await
        .unwrap();
    let mut client = Client::connect(broker.kafka_addresses()[0]).await;
    assert_eq!(
        offsets(&client.fetch(Fetch::of(ORDERS, 0)).await),
        [0, 1, 2]
    );
    let after = client.metadata().await;
    assert_eq!(before.cluster_id, after.cluster_id);
    assert_eq!(before.topics, after.topics);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_is_told_and_the_stop_says_so_too() {
    let harness = Harness::start().await;
    // Records of a table that was never announced: the log thread cannot know where they go.
    let group = group_of(TableKey(99));
    harness
        .feeder
        .captured
        .send(Captured::Group(group))
        .await
        .unwrap();
    let failure = tokio::time::timeout(Duration::from_secs(10), harness.broker.failed())
        .await
        .unwrap();
    assert!(
        failure.contains("shop") && failure.contains("announced"),
        "{failure}"
    );
    let mut client = harness.client().await;
    assert_eq!(
        client.metadata().await.topics.len(),
        2,
        "what was durable can still be read"
    );
    assert_eq!(harness.broker.stop().await, Err(failure));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_parts_is_visible_at_its_end_only_and_a_rewind_forgets_it() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    let part = || {
        Captured::Group(TransactionGroup {
            commit: None,
            ..group_of(ORDERS_KEY)
        })
    };
    harness.feeder.captured.send(part()).await.unwrap();
    harness.feeder.captured.send(part()).await.unwrap();
    let mut client = harness.client().await;
    let fetch = Fetch {
        wait_ms: 200,
        ..Fetch::of(ORDERS, 1)
    };
    assert!(
        offsets(&client.fetch(fetch).await).is_empty(),
        "its commit has not come"
    );
    harness
        .feeder
        .captured
        .send(Captured::Rewind)
        .await
        .unwrap();
    harness.feeder.captured.send(part()).await.unwrap();
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    assert_eq!(
        offsets(&client.fetch(Fetch::of(ORDERS, 0)).await),
        [0, 1, 2]
    );
}
