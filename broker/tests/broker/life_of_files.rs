//! The life of the log's files in a running broker: filled, sealed, damaged, deleted; what clients see of it.

use std::{fs, path::PathBuf, time::Duration};

use headwater::{
    config::{RetentionLimits, StorageConfig},
    group_service::{PositionState, SeekRequest, SeekTo},
};
use headwater_capture::Captured;
use headwater_protocol::batch::records;
use headwater_storage::{LogStats, WARMED_BYTES, check};
use kafka_protocol::messages::FetchRequest;
use tempfile::TempDir;

use crate::{
    groups_wire::{commit, fetch},
    harness::{Harness, LINES, LINES_KEY, ORDERS, ORDERS_KEY, Settings},
    http::get_tcp,
    wire::{Client, Fetch},
};

const BASE: i64 = 1_700_000_000_000;
const TOPICS: [&str; 2] = [ORDERS, LINES];

/// Small files, a ring that holds one of them at most, nothing reread.
pub(crate) fn small() -> Settings {
    let storage = StorageConfig {
        file_bytes: 64 << 10,
        cache_bytes: 256 << 10,
        scrub_bytes_per_second: 0,
        ..StorageConfig::default()
    };
    Settings {
        ring_bytes: Some(32 << 10),
        storage: Some(storage),
        http: true,
        ..Settings::default()
    }
}

fn scrubbing() -> Settings {
    let mut settings = small();
    if let Some(storage) = &mut settings.storage {
        storage.scrub_bytes_per_second = 64 << 20;
    }
    settings
}

fn time(number: i64) -> i64 {
    BASE + number * 10
}

/// Record `number` of a topic: nothing else in the log has these bytes.
fn value(topic: &str, number: i64) -> Vec<u8> {
    let mut value = format!("{topic}-{number}.").into_bytes();
    value.resize(4_000, b'x');
    value
}

/// Commits the records `numbers` of both tables, each in a transaction of its own.
async fn fill(harness: &mut Harness, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let record = |topic| vec![(time(number), value(topic, number))];
        harness
            .commit(&[(ORDERS_KEY, record(ORDERS)), (LINES_KEY, record(LINES))])
            .await;
    }
}

/// What the topic has from `offset` on: offset, time and value of each record. Stops before damage.
async fn read_from(client: &mut Client, topic: &str, offset: i64) -> Vec<(i64, i64, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut next = offset;
    loop {
        let partition = client.fetch(Fetch::of(topic, next)).await;
        let mut bytes = partition.records.unwrap_or_default();
        if bytes.is_empty() {
            return seen;
        }
        while !bytes.is_empty() {
            let size = 12 + i32::from_be_bytes(bytes[8..12].try_into().unwrap());
            let batch = bytes.split_to(usize::try_from(size).unwrap());
            headwater_protocol::batch::verify_crc(&batch).unwrap();
            for record in records(&batch) {
                let record = record.unwrap();
                seen.push((
                    record.offset,
                    record.timestamp,
                    record.value.unwrap_or_default().to_vec(),
                ));
            }
        }
        next = seen.last().map_or(next, |(offset, ..)| offset + 1);
    }
}

/// Reads both topics by offset and by time, and holds everything against what was committed.
async fn read_everything(harness: &Harness, count: i64, case: &str) {
    let mut client = harness.client().await;
    for topic in TOPICS {
        let seen = read_from(&mut client, topic, 0).await;
        let expected = (0..count).map(|number| (number, time(number), value(topic, number)));
        assert!(seen.into_iter().eq(expected), "{case}: {topic}");
        for number in 0..count {
            let found = client.offset(topic, time(number) - 3, 9).await;
            let answer = (found.error_code, found.offset, found.timestamp);
            assert_eq!(answer, (0, number, time(number)), "{case}: {topic}");
        }
    }
}

pub(crate) fn stats(harness: &Harness) -> LogStats {
    harness.broker.instances().next().unwrap().log.stats()
}

/// Waits until `is_so`.
async fn until(harness: &Harness, what: &str, is_so: impl Fn(LogStats) -> bool) {
    for _ in 0..1_000 {
        if is_so(stats(harness)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {:?}", stats(harness));
}

/// All is sealed but the newest two files, and the one before them where it ends inside a group.
async fn until_sealed(harness: &Harness) {
    until(harness, "not sealed", |stats| {
        stats.sealed_files > 2 && stats.sealed_files + 3 >= stats.files
    })
    .await;
}

/// The value of a counter of the instance `shop`.
async fn counter(harness: &Harness, name: &str) -> u64 {
    let metrics = get_tcp(harness, "/metrics").await;
    let start = format!("{name}_total{{instance=\"shop\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.expect("the counter is there").trim().parse().unwrap()
}

async fn stop(harness: Harness) -> TempDir {
    let Harness { broker, data, .. } = harness;
    broker.stop().await.unwrap();
    data
}

/// A sealed segment, the place in it of a record of [`ORDERS`], and that record's number.
fn sealed_record(data: &TempDir) -> (PathBuf, usize, i64) {
    let folder = data.path().join("journal/0000000001");
    let segment = folder.join(format!("{:020}.sealed", 2));
    let bytes = fs::read(&segment).unwrap();
    for number in 0..1_000 {
        let start = format!("{ORDERS}-{number}.").into_bytes();
        let at = bytes.windows(start.len()).position(|at| at == start);
        if let Some(at) = at {
            return (segment, at, number);
        }
    }
    panic!("no record in {}", segment.display());
}

/// Flips a bit on the disk, behind the broker's back.
fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    // In place: the broker may have the file open.
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[at..=at], at as u64).unwrap();
}

/// A file is sealed when two newer ones have the noted durable end behind their beginning: it has to be noted in time also
/// where nothing is committed any more.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_sealed_while_the_source_says_things_that_commit_nothing() {
    let mut harness = Harness::start_with(small()).await;
    for files in 4..8 {
        while stats(&harness).files < files {
            harness.commit_one(ORDERS_KEY, BASE, 6_000).await;
        }
        let mut rounds = 0;
        while stats(&harness).sealed_files + 2 < files {
            assert!(rounds < 300, "not sealed: {:?}", stats(&harness));
            rounds += 1;
            let captured = &harness.feeder.captured;
            captured.send(Captured::Rewind).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The first reading of a segment verifies it, those behind it are sent from its file: more of it than is read ahead for a
/// socket at once, and to a client that takes nothing for a while.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_from_a_segment_is_what_was_verified() {
    let mut settings = small();
    if let Some(storage) = &mut settings.storage {
        storage.file_bytes = 10 << 20;
    }
    let mut harness = Harness::start_with(settings).await;
    for number in 0..240_i64 {
        let mut value = value(ORDERS, number);
        value.resize(300_000, number.to_le_bytes()[0]);
        harness
            .commit(&[(ORDERS_KEY, vec![(time(number), value)])])
            .await;
    }
    until_sealed(&harness).await;
    let mut client = harness.client().await;
    let fetch = || Fetch {
        partition_bytes_max: 9 << 20,
        ..Fetch::of(ORDERS, 1)
    };
    let verified = client.fetch(fetch()).await.records.unwrap();
    assert!(verified.len() > 2 * WARMED_BYTES, "{}", verified.len());
    for round in 0..3 {
        let sent = client.fetch(fetch()).await.records.unwrap();
        assert!(sent == verified, "round {round}");
    }
    client.send(&fetch().request(), 11).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let response = client.receive::<FetchRequest>(11).await;
    let sent = response.responses[0].partitions[0].records.as_ref();
    assert!(sent == Some(&verified), "to a slow client");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_reads_the_same_before_and_after_sealing_and_after_a_restart() {
    let mut harness = Harness::start_with(small()).await;
    fill(&mut harness, 0..80).await;
    read_everything(&harness, 80, "just written").await;
    until_sealed(&harness).await;
    read_everything(&harness, 80, "sealed").await;
    let harness = Harness::on(stop(harness).await, small()).await;
    assert!(stats(&harness).sealed_files > 2);
    read_everything(&harness, 80, "restarted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_rots_costs_its_batch_and_is_found_without_a_reader() {
    let mut harness = Harness::start_with(small()).await;
    fill(&mut harness, 0..80).await;
    until_sealed(&harness).await;
    // Another process: nothing is verified or cached.
    let harness = Harness::on(stop(harness).await, small()).await;
    let (segment, at, number) = sealed_record(&harness.data);
    flip(&segment, at + 20);
    let mut client = harness.client().await;
    let damaged = client.fetch(Fetch::of(ORDERS, number)).await;
    assert_eq!(damaged.error_code, 2, "CORRUPT_MESSAGE");
    assert!(damaged.records.unwrap_or_default().is_empty());
    let before = read_from(&mut client, ORDERS, 0).await;
    assert_eq!(before.len(), usize::try_from(number).unwrap());
    let behind = read_from(&mut client, ORDERS, number + 1).await;
    let expected = (number + 1..80).map(|number| (number, time(number), value(ORDERS, number)));
    assert!(behind.into_iter().eq(expected));
    assert_eq!(read_from(&mut client, LINES, 0).await.len(), 80);
    assert_eq!(counter(&harness, "headwater_log_damaged").await, 0);
    a_group_steps_over(&harness, number).await;

    let harness = Harness::on(stop(harness).await, scrubbing()).await;
    let mut found = 0;
    for _ in 0..1_000 {
        found = counter(&harness, "headwater_log_damaged").await;
        if found > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(found, 1, "found by itself");
    let bytes = fs::read(&segment).unwrap();
    let path = harness.data.path().to_owned();
    let report = tokio::task::spawn_blocking(move || check::check(&path).unwrap());
    assert_eq!(report.await.unwrap().findings.len(), 1, "the same is found");
    let mut client = harness.client().await;
    let damaged = client.fetch(Fetch::of(ORDERS, number)).await;
    assert_eq!(damaged.error_code, 2, "CORRUPT_MESSAGE");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing is changed");
}

/// A group that stands at the damaged record is marked, and `seek --past-damage` moves that position and no other.
async fn a_group_steps_over(harness: &Harness, damaged: i64) {
    let mut client = harness.client().await;
    let at = [(ORDERS, 0, damaged, ""), (LINES, 0, 7, "")];
    assert_eq!(commit(&mut client, "g", ("", -1), &at).await, [0, 0]);
    let groups = harness.broker.groups();
    let states = async || -> Vec<PositionState> {
        let topics = groups.show("g").await.unwrap().topics;
        topics.iter().map(|topic| topic.state).collect()
    };
    assert_eq!(
        states().await,
        [PositionState::Good, PositionState::Damaged]
    );
    let past_damage = SeekRequest {
        to: SeekTo::PastDamage,
        said: "past-damage".to_owned(),
        topic: None,
        disconnect: false,
        who: "operator".to_owned(),
    };
    groups.seek("g", &past_damage).await.unwrap();
    let moved = fetch(&mut client, "g").await;
    assert_eq!((moved[ORDERS].0, moved[LINES].0), (damaged + 1, 7));
    assert_eq!(states().await, [PositionState::Good, PositionState::Good]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_size_moves_the_log_start_and_says_which_groups_lost_records() {
    let settings = Settings {
        retention: Some(RetentionLimits {
            bytes: 320 << 10,
            ..RetentionLimits::default()
        }),
        ..small()
    };
    let mut harness = Harness::start_with(settings).await;
    let mut client = harness.client().await;
    for (group, position) in [("slow", 3), ("fast", 150)] {
        let positions = [(ORDERS, 0, position, "")];
        let answer = commit(&mut client, group, ("", -1), &positions).await;
        assert_eq!(answer, [0], "{group}");
    }
    fill(&mut harness, 0..150).await;
    until(&harness, "nothing is deleted", |stats| {
        stats.oldest_file > 3 && stats.bytes <= 320 << 10
    })
    .await;
    let lost = || counter(&harness, "headwater_log_unread_deleted");
    assert_eq!(lost().await, 1, "the slow group, once");
    for (group, state) in [
        ("slow", PositionState::Deleted),
        ("fast", PositionState::Good),
    ] {
        let report = harness.broker.groups().show(group).await.unwrap();
        assert_eq!(report.topics[0].state, state, "{group}");
        let left = report.topics[0].end - report.topics[0].start.max(report.topics[0].offset);
        assert_eq!(
            report.lag_records, left,
            "{group}: what is deleted is no lag"
        );
    }

    for topic in TOPICS {
        let earliest = client.offset(topic, -2, 9).await;
        assert_eq!(earliest.error_code, 0);
        let start = earliest.offset;
        assert!((4..150).contains(&start), "{topic} starts at {start}");
        for offset in [0, 3, start - 1] {
            let answer = client.fetch(Fetch::of(topic, offset)).await;
            assert_eq!(
                answer.error_code, 1,
                "{topic} {offset}: OFFSET_OUT_OF_RANGE"
            );
            assert_eq!(answer.log_start_offset, start);
        }
        let rest = read_from(&mut client, topic, start).await;
        let expected = (start..150).map(|number| (number, time(number), value(topic, number)));
        assert!(rest.into_iter().eq(expected), "{topic}");
        let found = client.offset(topic, time(0), 9).await;
        assert_eq!((found.error_code, found.offset), (0, start), "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rereading_holds_up_neither_commits_nor_readers() {
    let mut harness = Harness::start_with(scrubbing()).await;
    fill(&mut harness, 0..60).await;
    until_sealed(&harness).await;
    fill(&mut harness, 60..80).await;
    read_everything(&harness, 80, "while it is reread").await;
    assert_eq!(counter(&harness, "headwater_log_damaged").await, 0);
    assert_eq!(counter(&harness, "headwater_log_scrub_failed").await, 0);
}
