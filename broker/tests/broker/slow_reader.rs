//! Clients that take nothing, send half a request, or say nothing at all.

use std::time::{Duration, Instant};

use headwater::config::ConnectionConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    harness::{Harness, ORDERS, ORDERS_KEY, Settings},
    wire::Fetch,
};

fn impatient() -> Settings {
    let connections = ConnectionConfig {
        progress_deadline: Duration::from_millis(500),
        idle_close: Duration::from_millis(1_500),
        ..ConnectionConfig::default()
    };
    Settings {
        connections,
        ..Settings::default()
    }
}

async fn until_connections(harness: &Harness, count: i64) {
    let started = Instant::now();
    while harness.broker.connections() != count {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{} connections",
            harness.broker.connections()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_response_is_dropped() {
    let mut harness = Harness::start_with(impatient()).await;
    for _ in 0..12 {
        harness
            .commit_one(ORDERS_KEY, 1_700_000_000_000, 1_000_000)
            .await;
    }
    until_connections(&harness, 0).await;
    let mut client = harness.client().await;
    let fetch = Fetch {
        partition_bytes_max: 50 << 20,
        ..Fetch::of(ORDERS, 0)
    };
    // As many as it takes to fill the buffers of the system.
    for _ in 0..4 {
        client.send(&fetch.request(), 12).await;
    }
    until_connections(&harness, 1).await;
    until_connections(&harness, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_little_is_served() {
    let mut settings = impatient();
    // Ten times a pause: on a busy machine a pause is longer.
    settings.connections.progress_deadline = Duration::from_secs(2);
    let mut harness = Harness::start_with(settings).await;
    for _ in 0..12 {
        harness
            .commit_one(ORDERS_KEY, 1_700_000_000_000, 1_000_000)
            .await;
    }
    let mut client = harness.client().await;
    let fetch = Fetch {
        partition_bytes_max: 50 << 20,
        ..Fetch::of(ORDERS, 0)
    };
    client.send(&fetch.request(), 12).await;
    let size = client.stream.read_i32().await.unwrap();
    assert!(size > 12_000_000);
    let mut left = usize::try_from(size).unwrap();
    let mut chunk = vec![0; 1 << 20];
    // Longer than the deadline in all, with a pause below it before each piece.
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let wanted = left.min(chunk.len());
        client
            .stream
            .read_exact(&mut chunk[..wanted])
            .await
            .unwrap();
        left -= wanted;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_and_silence_end_the_connection() {
    let harness = Harness::start_with(impatient()).await;
    let mut half = harness.client().await;
    half.stream.write_all(&[0, 0, 1, 0, 0, 3]).await.unwrap();
    let mut silent = harness.client().await;
    let started = Instant::now();
    assert_eq!(half.frame().await, None);
    assert!(
        started.elapsed() < Duration::from_millis(1_400),
        "half: {:?}",
        started.elapsed()
    );
    assert_eq!(silent.frame().await, None);
    assert!(
        started.elapsed() >= Duration::from_millis(1_400),
        "silent: {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_fetch_is_not_idle() {
    let harness = Harness::start_with(impatient()).await;
    let mut client = harness.client().await;
    let fetch = Fetch {
        wait_ms: 2_500,
        ..Fetch::of(ORDERS, 0)
    };
    assert_eq!(client.fetch(fetch).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_and_those_within_are_served() {
    let connections = ConnectionConfig {
        connections_max: 3,
        ..ConnectionConfig::default()
    };
    let harness = Harness::start_with(Settings {
        connections,
        ..Settings::default()
    })
    .await;
    until_connections(&harness, 0).await;
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut client = harness.client().await;
        client.metadata().await;
        served.push(client);
    }
    let mut refused = harness.client().await;
    assert_eq!(refused.frame().await, None);
    for client in &mut served {
        client.metadata().await;
    }
    served.pop();
    until_connections(&harness, 2).await;
    harness.client().await.metadata().await;
}
