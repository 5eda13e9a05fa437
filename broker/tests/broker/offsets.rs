//! ListOffsets and OffsetForLeaderEpoch against a log whose commit times step back.

use kafka_protocol::messages::{
    OffsetForLeaderEpochRequest, TopicName,
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};
use kafka_protocol::protocol::StrBytes;

use crate::{
    harness::{Harness, LINES, ORDERS, ORDERS_KEY},
    wire::list_offsets,
};

/// A round second, so that both units name it.
const BASE: i64 = 1_700_000_000_000;

/// Six records in three batches: times +0 +10 | +5 +2000 | +1500 +1600 ms.
async fn filled() -> Harness {
    let mut harness = Harness::start().await;
    for times in [[0, 10], [5, 2_000], [1_500, 1_600]] {
        let records = times
            .iter()
            .map(|time| (BASE + time, vec![1; 10]))
            .collect();
        harness.commit(&[(ORDERS_KEY, records)]).await;
    }
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn special_values_find_the_ends_and_the_newest_record() {
    let harness = filled().await;
    let mut client = harness.client().await;
    for (timestamp, version, error_code, offset, found_time) in [
        (-1, 1, 0, 6, -1),
        (-2, 1, 0, 0, -1),
        (-3, 6, 35, -1, -1),
        (-3, 7, 0, 3, BASE + 2_000),
        (-4, 7, 35, -1, -1),
        (-4, 8, 0, 0, -1),
        (-5, 8, 35, -1, -1),
        (-5, 9, 0, -1, -1),
        (-6, 9, 35, -1, -1),
    ] {
        let found = client.offset(ORDERS, timestamp, version).await;
        let answer = (found.error_code, found.offset, found.timestamp);
        assert_eq!(
            answer,
            (error_code, offset, found_time),
            "{timestamp} v{version}"
        );
    }
    let found = client.offset(LINES, -3, 7).await;
    assert_eq!(
        (found.error_code, found.offset, found.timestamp),
        (0, -1, -1),
        "nothing is in it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_finds_the_first_record_in_offset_order_that_is_not_older() {
    let harness = filled().await;
    let mut client = harness.client().await;
    for (after, offset, found_after) in [
        (-1_000_000, 0, 0),
        (0, 0, 0),
        (1, 1, 10),
        (10, 1, 10),
        (11, 3, 2_000),
        (1_600, 3, 2_000),
        (2_000, 3, 2_000),
    ] {
        let found = client.offset(ORDERS, BASE + after, 9).await;
        assert_eq!(
            (found.offset, found.timestamp),
            (offset, BASE + found_after),
            "+{after} ms"
        );
        assert_eq!(found.leader_epoch, 0);
    }
    let found = client.offset(ORDERS, BASE + 2_001, 9).await;
    assert_eq!(
        (found.error_code, found.offset, found.timestamp),
        (0, -1, -1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_seconds_is_answered_in_seconds() {
    let harness = filled().await;
    let mut client = harness.client().await;
    let second = BASE / 1000;
    for (asked, offset, answered) in [
        (second, 0, second),
        (second + 1, 3, second + 2),
        (second + 3, -1, -1),
    ] {
        let found = client.offset(ORDERS, asked, 9).await;
        assert_eq!(
            (found.offset, found.timestamp),
            (offset, answered),
            "{asked}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_topics_and_epochs_are_refused_by_code() {
    let harness = filled().await;
    let mut client = harness.client().await;
    assert_eq!(client.offset("nothing", -1, 9).await.error_code, 3);
    let answer = client.ask(&list_offsets(ORDERS, -1, 1), 9).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 75);
    let answer = client.ask(&list_offsets(ORDERS, -1, 0), 9).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_never_was_has_no_end() {
    let harness = filled().await;
    let mut client = harness.client().await;
    for (topic, epoch, current, expected) in [
        (ORDERS, 0, -1, (0, 0, 6)),
        (ORDERS, 0, 0, (0, 0, 6)),
        (ORDERS, 7, -1, (0, -1, -1)),
        (ORDERS, 0, 7, (75, -1, -1)),
        ("nothing", 0, -1, (3, -1, -1)),
    ] {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let asked = OffsetForLeaderTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(topic)))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![asked]);
        let answer = client.ask(&request, 4).await;
        let found = &answer.topics[0].partitions[0];
        assert_eq!(
            (found.error_code, found.leader_epoch, found.end_offset),
            expected
        );
    }
}
