//! Fetch: the long poll, sizes, offsets, epochs, ids.

use std::time::{Duration, Instant};

use kafka_protocol::messages::{FetchRequest, fetch_request};

use crate::{
    harness::{Harness, LINES, LINES_KEY, ORDERS, ORDERS_KEY, Settings},
    wire::{Fetch, offsets},
};

const NOW: i64 = 1_700_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_fetch_is_answered_by_the_commit_it_waits_for() {
    let mut harness = Harness::start().await;
    let mut client = harness.client().await;
    let fetch = Fetch {
        wait_ms: 20_000,
        ..Fetch::of(ORDERS, 0)
    };
    let started = Instant::now();
    let parked = tokio::spawn(async move { client.fetch(fetch).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!parked.is_finished());
    harness.commit_one(LINES_KEY, NOW, 10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        !parked.is_finished(),
        "another topic's commit does not answer it"
    );
    harness.commit_one(ORDERS_KEY, NOW, 10).await;
    let partition = parked.await.unwrap();
    assert_eq!(offsets(&partition), [0]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_fetch_is_answered_when_its_time_is_over_and_never_with_null() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let started = Instant::now();
    let partition = client
        .fetch(Fetch {
            wait_ms: 300,
            ..Fetch::of(ORDERS, 0)
        })
        .await;
    assert!(
        started.elapsed() >= Duration::from_millis(290),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(partition.records.map(|records| records.len()), Some(0));
    assert_eq!(
        (partition.high_watermark, partition.log_start_offset),
        (0, 0)
    );

    for fetch in [
        Fetch::of(ORDERS, 0),
        Fetch {
            bytes_min: 0,
            wait_ms: 20_000,
            ..Fetch::of(ORDERS, 0)
        },
    ] {
        let started = Instant::now();
        client.fetch(fetch).await;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "min_bytes or max_wait 0: at once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_waits_for_its_min_bytes() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, NOW, 400).await;
    let mut client = harness.client().await;
    let fetch = Fetch {
        wait_ms: 20_000,
        bytes_min: 1_200,
        ..Fetch::of(ORDERS, 0)
    };
    let parked = tokio::spawn(async move { client.fetch(fetch).await });
    harness.commit_one(ORDERS_KEY, NOW, 400).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!parked.is_finished(), "about 940 bytes of 1,200 are there");
    harness.commit_one(ORDERS_KEY, NOW, 400).await;
    assert_eq!(offsets(&parked.await.unwrap()), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_batch_goes_whatever_the_limits_say_and_after_it_they_hold() {
    let mut harness = Harness::start().await;
    for _ in 0..3 {
        harness
            .commit(&[
                (ORDERS_KEY, vec![(NOW, vec![1; 10_000])]),
                (LINES_KEY, vec![(NOW, vec![2; 10_000])]),
            ])
            .await;
    }
    let mut client = harness.client().await;
    let tiny = Fetch {
        bytes_max: 1,
        partition_bytes_max: 1,
        ..Fetch::of(ORDERS, 0)
    };
    assert_eq!(offsets(&client.fetch(tiny).await), [0]);
    let two = Fetch {
        partition_bytes_max: 25_000,
        ..Fetch::of(ORDERS, 0)
    };
    assert_eq!(offsets(&client.fetch(two).await), [0, 1]);

    let of = |topic: &str| Fetch::of(topic, 0).request().topics.remove(0);
    let both = |bytes_max| {
        FetchRequest::default()
            .with_max_bytes(bytes_max)
            .with_topics(vec![of(ORDERS), of(LINES)])
    };
    let carried = |answer: &kafka_protocol::messages::FetchResponse| {
        answer
            .responses
            .iter()
            .map(|topic| offsets(&topic.partitions[0]).len())
            .collect::<Vec<_>>()
    };
    assert_eq!(carried(&client.ask(&both(1), 12).await), [1, 0]);
    assert_eq!(carried(&client.ask(&both(35_000), 12).await), [3, 0]);
    assert_eq!(carried(&client.ask(&both(45_000), 12).await), [3, 1]);
    assert_eq!(carried(&client.ask(&both(1 << 20), 12).await), [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_judged_by_the_log() {
    let mut harness = Harness::start().await;
    let records = (0..3).map(|_| (NOW, vec![1; 10])).collect::<Vec<_>>();
    harness.commit(&[(ORDERS_KEY, records.clone())]).await;
    harness.commit(&[(ORDERS_KEY, records)]).await;
    let mut client = harness.client().await;
    for (offset, error_code, carried) in [
        (-1, 1, vec![]),
        (0, 0, vec![0, 1, 2, 3, 4, 5]),
        (1, 0, vec![0, 1, 2, 3, 4, 5]),
        (4, 0, vec![3, 4, 5]),
        (6, 0, vec![]),
        (7, 1, vec![]),
        (i64::MAX, 1, vec![]),
    ] {
        let partition = client
            .fetch(Fetch {
                wait_ms: 50,
                ..Fetch::of(ORDERS, offset)
            })
            .await;
        assert_eq!(partition.error_code, error_code, "offset {offset}");
        assert_eq!(offsets(&partition), carried, "offset {offset}");
        assert_eq!(
            (partition.high_watermark, partition.log_start_offset),
            (6, 0),
            "offset {offset}"
        );
        assert_eq!(partition.last_stable_offset, 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_answer_at_once_and_fence_by_epoch() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let started = Instant::now();
    let patient = Fetch {
        wait_ms: 20_000,
        ..Fetch::of(ORDERS, 0)
    };
    for (fetch, error_code) in [
        (
            Fetch {
                topic: "nothing",
                ..patient
            },
            3,
        ),
        (
            Fetch {
                offset: 9,
                ..patient
            },
            1,
        ),
        (
            Fetch {
                epoch: 1,
                ..patient
            },
            75,
        ),
    ] {
        assert_eq!(client.fetch(fetch).await.error_code, error_code);
    }
    let mut other_partition = patient.request();
    other_partition.topics[0].partitions[0].partition = 1;
    let answer = client.ask(&other_partition, 12).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, 3);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_fetched_by_id_and_unknown_ids_are_told() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, NOW, 10).await;
    let mut client = harness.client().await;
    let id = client.topic_id(ORDERS).await;
    for (id, error_code) in [(id, 0), (uuid::Uuid::from_u128(7), 100)] {
        let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20);
        let topic = fetch_request::FetchTopic::default()
            .with_topic_id(id)
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        let answer = client.ask(&request, 16).await;
        assert_eq!(answer.responses[0].topic_id, id);
        assert_eq!(answer.responses[0].partitions[0].error_code, error_code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_the_ring_is_read_from_the_files() {
    let mut harness = Harness::start_with(Settings {
        ring_bytes: Some(64 << 10),
        ..Settings::default()
    })
    .await;
    for _ in 0..40 {
        harness.commit_one(ORDERS_KEY, NOW, 10_000).await;
    }
    let mut client = harness.client().await;
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let fetch = Fetch {
            partition_bytes_max: 100_000,
            ..Fetch::of(ORDERS, i64::try_from(seen.len()).unwrap())
        };
        let partition = client.fetch(fetch).await;
        assert_eq!(partition.error_code, 0);
        seen.extend(offsets(&partition));
    }
    assert_eq!(seen, (0..40).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_frees_its_parked_fetch() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    client
        .send(
            &Fetch {
                wait_ms: 200_000,
                ..Fetch::of(ORDERS, 0)
            }
            .request(),
            12,
        )
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(harness.broker.connections(), 1);
    drop(client);
    let started = Instant::now();
    while harness.broker.connections() > 0 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "the connection is still there"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let mut harness = Harness::start().await;
    let mut client = harness.client().await;
    client
        .send(
            &Fetch {
                wait_ms: 300,
                ..Fetch::of(ORDERS, 0)
            }
            .request(),
            12,
        )
        .await;
    client.send(&Fetch::of(LINES, 0).request(), 12).await;
    let mut first = client.frame().await.unwrap();
    let mut second = client.frame().await.unwrap();
    let ids = [
        bytes::Buf::get_i32(&mut first),
        bytes::Buf::get_i32(&mut second),
    ];
    assert_eq!(ids[0] + 1, ids[1]);
    harness.commit_one(ORDERS_KEY, NOW, 10).await;
}
