//! The feed `dts` beside `tables`: its one topic, and the answers that its clients need where Kafka's are others.

use std::time::Duration;

use headwater_storage::StorageError;

use headwater::{StartError, config::RetentionLimits};

use crate::{
    groups_wire::{NOBODY, become_active, commit, fetch},
    harness::{Harness, LINES, ORDERS, ORDERS_KEY, Settings, start_on},
    life_of_files::{small, stats},
    wire::{Fetch, offsets},
};

const STREAM: &str = "shop";

/// A round second, long past.
const BASE: i64 = 1_700_000_000_000;

/// Far ahead of every clock.
const FUTURE_S: i64 = 9_000_000_000;

fn with_dts() -> Settings {
    Settings {
        dts: true,
        ..Settings::default()
    }
}

async fn filled() -> Harness {
    let mut harness = Harness::start_with(with_dts()).await;
    let records = [0, 1_500].map(|after| (BASE + after, vec![7; 60]));
    harness.commit_stream(&records.to_vec()).await;
    harness.commit_one(ORDERS_KEY, BASE, 100).await;
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_has_one_topic_named_as_the_instance_before_anything_is_in_it() {
    let harness = Harness::start_with(with_dts()).await;
    let mut client = harness.client().await;
    let metadata = client.metadata().await;
    let mut topics: Vec<(String, usize)> = metadata
        .topics
        .iter()
        .map(|topic| {
            let name = topic.name.as_ref().unwrap();
            (name.to_string(), topic.partitions.len())
        })
        .collect();
    topics.sort();
    let expected = [STREAM, LINES, ORDERS].map(|name| (name.to_owned(), 1));
    assert_eq!(topics, expected);
    let end = client.offset(STREAM, -1, 1).await;
    assert_eq!((end.error_code, end.offset), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_in_seconds_finds_a_record_or_the_end_of_the_log() {
    let harness = filled().await;
    let mut client = harness.client().await;
    let base_s = BASE / 1_000;
    for (timestamp, offset, found) in [
        (0, 0, BASE),
        (1, 0, base_s),
        (BASE - 5_000, 0, BASE),
        (base_s - 5, 0, base_s),
        (base_s, 0, base_s),
        (base_s + 1, 1, base_s + 1),
        (base_s + 2, 2, base_s + 2),
        (base_s + 1_000, 2, base_s + 1_000),
        (FUTURE_S, -1, -1),
        (FUTURE_S * 1_000, -1, -1),
        (BASE + 2_000, -1, -1),
        (BASE + 1_500, 1, BASE + 1_500),
    ] {
        for version in [1, 2, 5, 9] {
            let answer = client.offset(STREAM, timestamp, version).await;
            assert_eq!(
                (answer.error_code, answer.offset, answer.timestamp),
                (0, offset, found),
                "{timestamp} v{version}"
            );
        }
    }
}

/// What retention has deleted is asked for like what never was: the answer is the log's start, in the unit of the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_before_what_is_kept_finds_the_start_of_the_log() {
    let settings = Settings {
        dts: true,
        retention: Some(RetentionLimits {
            bytes: 320 << 10,
            ..RetentionLimits::default()
        }),
        ..small()
    };
    let mut harness = Harness::start_with(settings).await;
    let at = |number: i64| BASE + number * 1_000;
    for number in 0..150 {
        harness
            .commit_stream(&vec![(at(number), vec![7; 4_000])])
            .await;
    }
    for attempt in 0.. {
        let stats = stats(&harness);
        if stats.oldest_file > 3 && stats.bytes <= 320 << 10 {
            break;
        }
        assert!(attempt < 1_000, "nothing is deleted: {stats:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = harness.client().await;
    let start = client.offset(STREAM, -2, 5).await.offset;
    assert!((4..150).contains(&start), "{start}");
    let first_s = at(start) / 1_000;
    for (timestamp, found) in [
        (1, first_s),
        (BASE / 1_000, first_s),
        (first_s - 1, first_s),
        (first_s, first_s),
        (BASE, at(start)),
        (at(start) - 1, at(start)),
    ] {
        let answer = client.offset(STREAM, timestamp, 2).await;
        assert_eq!(
            (answer.error_code, answer.offset, answer.timestamp),
            (0, start, found),
            "{timestamp}"
        );
    }
}

/// DTS's convention for hand-written clients, and what librdkafka's Python binding makes of a number, come back as the
/// number that the SDK parses; a bare number and all else byte for byte; in other topics everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_committed_second_comes_back_alone_and_survives_a_restart() {
    let mut harness = filled().await;
    let cases = [
        ("bare", "1696984408", "1696984408"),
        ("noted", "1700000009|x", "1700000009"),
        ("nul", "1700000009\0", "1700000009"),
        ("other", "{\"a\":1}|1", "{\"a\":1}|1"),
        ("empty", "", ""),
    ];
    for run in ["before", "after"] {
        let mut client = harness.client().await;
        for (group, committed, answered) in cases {
            if run == "before" {
                let positions = [(STREAM, 0, 1, committed), (ORDERS, 0, 0, committed)];
                let answer = commit(&mut client, group, NOBODY, &positions).await;
                assert_eq!(answer, [0, 0], "{group}");
            }
            let positions = fetch(&mut client, group).await;
            assert_eq!(positions[STREAM], (1, answered.to_owned()), "{group} {run}");
            assert_eq!(
                positions[ORDERS],
                (0, committed.to_owned()),
                "{group} {run}"
            );
        }
        let Harness { broker, data, .. } = harness;
        broker.stop().await.unwrap();
        harness = Harness::on(data, with_dts()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_other_formats_answer_as_kafka_does() {
    let harness = filled().await;
    let mut client = harness.client().await;
    let answer = client.offset(ORDERS, BASE / 1_000 + 2, 5).await;
    assert_eq!(
        (answer.error_code, answer.offset, answer.timestamp),
        (0, -1, -1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_added_later_begins_empty_and_goes_on_after_a_restart() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, BASE, 100).await;
    // The SDK begins anew where it meets another one.
    let cluster_id = harness.client().await.metadata().await.cluster_id;
    assert!(cluster_id.is_some());
    for (run, first) in [(0, 0), (1, 2)] {
        let Harness { broker, data, .. } = harness;
        broker.stop().await.unwrap();
        harness = Harness::on(data, with_dts()).await;
        let mut client = harness.client().await;
        assert_eq!(client.metadata().await.cluster_id, cluster_id, "run {run}");
        let end = client.offset(STREAM, -1, 1).await;
        assert_eq!(end.offset, first, "run {run}");
        let records = [0, 1].map(|after| (BASE + after, vec![7; 60]));
        harness.commit_stream(&records.to_vec()).await;
        let read = client.fetch(Fetch::of(STREAM, first)).await;
        assert_eq!(offsets(&read), [first, first + 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cannot_have_the_name_of_a_topic_that_exists() {
    let harness = Harness::start_with(with_dts()).await;
    let Harness { broker, data, .. } = harness;
    broker.stop().await.unwrap();
    let mut settings = with_dts();
    settings.dts_prefix = Some(ORDERS.to_owned());
    let refused = start_on(data.path().to_owned(), settings).await;
    let Err(StartError::Storage(StorageError::Invalid(line))) = refused else {
        panic!("a topic of that name exists");
    };
    assert!(line.contains(ORDERS) && line.contains("prefix"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_told_in_the_words_of_dts_only_where_there_is_a_feed_for_its_clients() {
    let harness = filled().await;
    let mut client = harness.client().await;
    let groups = harness.broker.groups();
    commit(&mut client, "g", NOBODY, &[(STREAM, 0, 1, "1700000001")]).await;
    let view = groups.show("g").await.unwrap().dts.unwrap();
    assert_eq!(view.consumption_checkpoint, "2023-11-14T22:13:21Z");
    assert_eq!((view.message_delay, view.unconsumed_data), (-1, -1));
    let (member_id, generation) = become_active(&mut client, "g").await;
    let view = groups.show("g").await.unwrap().dts.unwrap();
    assert_eq!(view.unconsumed_data, 1);
    assert!(view.message_delay > 60 * 60, "a round second, long past");
    let member = (member_id.as_str(), generation);
    commit(&mut client, "g", member, &[(STREAM, 0, 2, "")]).await;
    let view = groups.show("g").await.unwrap().dts.unwrap();
    assert_eq!((view.message_delay, view.unconsumed_data), (0, 0));

    let harness = Harness::start().await;
    let mut client = harness.client().await;
    commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 0, "")]).await;
    assert_eq!(harness.broker.groups().show("g").await.unwrap().dts, None);
}
