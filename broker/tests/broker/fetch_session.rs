//! Fetch sessions (KIP-227) over a socket.

use std::time::{Duration, Instant};

use kafka_protocol::messages::{FetchRequest, FetchResponse};

use crate::{
    harness::{Harness, LINES, LINES_KEY, ORDERS, ORDERS_KEY},
    wire::{Fetch, offsets},
};

const NOW: i64 = 1_700_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_only_what_changed() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, NOW, 100).await;
    let mut client = harness.client().await;
    let mut request = Fetch::of(ORDERS, 0).request().with_session_epoch(0);
    request.topics.extend(Fetch::of(LINES, 0).request().topics);
    let full = client.ask(&request, 12).await;
    assert_eq!((full.error_code, full.responses.len()), (0, 2));
    assert!(full.session_id > 0);

    let next = |epoch| {
        Fetch::of(ORDERS, 1)
            .request()
            .with_session_id(full.session_id)
            .with_session_epoch(epoch)
    };
    let moved = client.ask(&next(1), 12).await;
    assert_eq!((moved.error_code, moved.session_id), (0, full.session_id));
    assert!(moved.responses.is_empty(), "nothing is new: {moved:?}");

    harness.commit_one(LINES_KEY, NOW, 100).await;
    let unchanged = next(2).with_topics(Vec::new()).with_max_wait_ms(10_000);
    let lines = client.ask(&unchanged, 12).await;
    assert_eq!(lines.responses.len(), 1, "{lines:?}");
    assert_eq!(&*lines.responses[0].topic.0, LINES);
    assert_eq!(offsets(&lines.responses[0].partitions[0]), [0]);

    let repeated = client.ask(&next(2), 12).await;
    assert_eq!((repeated.error_code, repeated.session_id), (71, 0));
    let mut stranger = harness.client().await;
    assert_eq!(stranger.ask(&next(3), 12).await.error_code, 70);
    let by_id = next(3).with_topics(Vec::new());
    assert_eq!(client.ask(&by_id, 16).await.error_code, 106);

    let ended = client.ask(&next(-1), 12).await;
    assert_eq!((ended.error_code, ended.session_id), (0, 0));
    assert_eq!(ended.responses.len(), 1, "a full answer");
    assert_eq!(client.ask(&next(3), 12).await.error_code, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_fetch_of_a_session_is_woken_by_a_topic_that_it_did_not_name_again() {
    let mut harness = Harness::start().await;
    let mut client = harness.client().await;
    let mut request = Fetch::of(ORDERS, 0).request().with_session_epoch(0);
    request.topics.extend(Fetch::of(LINES, 0).request().topics);
    let full = client.ask(&request, 12).await;
    let parked = request
        .with_topics(Vec::new())
        .with_session_id(full.session_id)
        .with_session_epoch(1)
        .with_max_wait_ms(20_000);
    client.send(&parked, 12).await;
    let started = Instant::now();
    harness.commit_one(LINES_KEY, NOW, 100).await;
    let answer = client.receive::<FetchRequest>(12).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(offsets(&answer.responses[0].partitions[0]), [0]);
    assert_eq!(answer.responses.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_topics_of_a_busy_session_do_not_fill_every_response() {
    let mut harness = Harness::start().await;
    for table in [ORDERS_KEY, LINES_KEY] {
        harness.commit_one(table, NOW, 5_000).await;
    }
    let mut client = harness.client().await;
    let mut request = Fetch::of(ORDERS, 0).request().with_session_epoch(0);
    request.topics.extend(Fetch::of(LINES, 0).request().topics);
    request.max_bytes = 1;
    let first = client.ask(&request, 12).await;
    let with_records = |answer: &FetchResponse| -> Vec<String> {
        let topics = answer.responses.iter();
        let full = topics.filter(|topic| !offsets(&topic.partitions[0]).is_empty());
        full.map(|topic| topic.topic.to_string()).collect()
    };
    assert_eq!(with_records(&first), [ORDERS]);
    // The client moves nothing on: the second topic gets its turn all the same.
    let next = request
        .with_topics(Vec::new())
        .with_session_id(first.session_id)
        .with_session_epoch(1);
    assert_eq!(with_records(&client.ask(&next, 12).await), [LINES]);
}
