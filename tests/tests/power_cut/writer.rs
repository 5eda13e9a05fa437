//! The process whose power is cut: checks everything that is there, says so, and then writes the load on and on. It
//! says what it was given as acknowledged, and what a reader in another thread sees.
//!
//! A line is `found GROUPS SCHEMAS TOPICS`, `group N`, `schema N`, `topic N`, `seen TOPIC END`, `start TOPIC OFFSET` (of
//! the first record there is), `sealed FILE`.

#![expect(
    clippy::print_stdout,
    reason = "its lines are what the parent holds against the disk"
)]

use std::{path::Path, sync::Arc, thread, time::Duration};

use headwater_storage::{
    CatalogChange, CommitGroup, DataDirectory, Feed, FeedLayout, FeedNumber, Instance,
    InstanceNumber, Journal, Keeper, KeeperEvent, KeeperOptions, Log, NewBatch, Now,
    PositionChange, Schema, SourceKind, StoreOptions, TableIdentity, Topic, TopicNumber,
    catalog::random_id,
};
use headwater_tests::{harness::clock, wire};

use crate::load::{Load, schemas_before, topics_before};

const INSTANCE: InstanceNumber = InstanceNumber(1);
const SOURCE: u16 = 1;

/// Small, so that files end, begin, are sealed, recycled and deleted all the time.
const FILE_BYTES: u64 = 64 * 1024;
const KEPT_BYTES: u64 = 8 * FILE_BYTES;

/// Opens, checks, writes. Ends by panicking when the disk is gone.
pub(crate) fn write_for_ever(path: &Path, seed: u64) {
    let load = Load { seed };
    let began = clock::now();
    let now = move || Now {
        wall_ms: clock::unix_ms(),
        monotonic: began.elapsed(),
    };
    let directory = open(path);
    let (mut journal, log, recovered) = directory.open_journal(INSTANCE, now()).expect("opens");
    assert_eq!(recovered.damage, [], "nothing durable is damaged");
    let mut group = journal.position(SOURCE).map_or(0, group_of);
    check(load, &log, group);
    let catalog = directory.catalog();
    let topics = catalog.topics_of(INSTANCE).count();
    println!("found {group} {} {topics}", catalog.schema_version());
    let (options, watched) = (keeper_options(), Arc::clone(&log));
    let keeper = directory
        .open_keeper(INSTANCE, &log, (options, now()))
        .expect("opens");
    thread::spawn(move || keep(keeper, now));
    thread::spawn(move || watch(&watched));
    loop {
        group += 1;
        grow_catalog(&directory, &mut journal, group);
        append(load, &mut journal, &log, group, now());
        let commit = CommitGroup {
            positions: vec![(SOURCE, PositionChange(group.to_be_bytes().to_vec()))],
            commit_time_ms: Some(clock::unix_ms()),
            schema_version: directory.catalog().schema_version(),
        };
        journal.commit(now(), commit).expect("commits");
        println!("group {group}");
        journal.note_durable_end(now()).expect("notes");
    }
}

fn open(path: &Path) -> DataDirectory {
    let mut options = StoreOptions::default();
    options.journal.file_bytes = FILE_BYTES;
    let directory = DataDirectory::open(path, &options).expect("opens");
    let instance = Instance {
        number: INSTANCE,
        name: "shop".to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let feed = Feed {
        number: FeedNumber(1),
        instance: INSTANCE,
        name: "tables".to_owned(),
        layout: FeedLayout::PerTable,
        format: "debezium-json".to_owned(),
        preset: None,
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: "shop".to_owned(),
        start_position: Vec::new(),
    };
    for change in [CatalogChange::Instance(instance), CatalogChange::Feed(feed)] {
        directory.change(vec![change]).expect("changes");
    }
    directory
}

fn group_of(position: &[u8]) -> u64 {
    u64::from_be_bytes(
        position
            .try_into()
            .expect("eight bytes, as they were written"),
    )
}

/// Everything that `groups` groups leave must be there, and nothing more.
fn check(load: Load, log: &Log, groups: u64) {
    for (topic, end) in load.ends(groups) {
        let number = TopicNumber(u32::try_from(topic).expect("a dozen"));
        let ends = log
            .ends(number)
            .expect("a group names its topics after they are made");
        assert_eq!(ends.end, end, "topic {topic} after {groups} groups");
        println!("start {topic} {}", ends.start);
        let mut next = ends.start;
        while next < end {
            for batch in log.read(number, next, 1 << 20).expect("reads") {
                let records = wire::decode_records(&batch).expect("decodes");
                for record in wire::from_offset(records, next) {
                    assert_eq!(record.offset, next, "topic {topic}");
                    let value = load.value(topic, next);
                    assert!(
                        record.value == Some(value),
                        "topic {topic}@{next} is another record"
                    );
                    next += 1;
                }
            }
        }
    }
}

fn grow_catalog(directory: &DataDirectory, journal: &mut Journal, group: u64) {
    loop {
        let count = directory.catalog().topics_of(INSTANCE).count();
        if u64::try_from(count).expect("a dozen") >= topics_before(group) {
            break;
        }
        let topic = topic(directory.catalog().next_topic());
        directory
            .change(vec![CatalogChange::Topic(topic.clone())])
            .expect("changes");
        println!("topic {}", count + 1);
        journal.add_topic(&topic);
    }
    while directory.catalog().schema_version() < schemas_before(group) {
        let version = directory.catalog().next_schema_version();
        // Some are longer than what sled takes in one value.
        let width = if version.is_multiple_of(7) {
            20_000
        } else {
            300
        };
        let schema = Schema {
            version,
            instance: INSTANCE,
            table: table("t"),
            definition: serde_json::json!({ "version": version, "filling": "x".repeat(width) }),
        };
        directory
            .change(vec![CatalogChange::Schema(schema)])
            .expect("changes");
        println!("schema {version}");
    }
}

fn topic(number: TopicNumber) -> Topic {
    let name = format!("t{number}");
    Topic {
        number,
        id: random_id(),
        name: format!("shop.public.{name}"),
        instance: INSTANCE,
        feed: FeedNumber(1),
        table: Some(table(&name)),
        epochs: Topic::first_epoch(),
    }
}

fn table(name: &str) -> TableIdentity {
    TableIdentity {
        schema: "public".to_owned(),
        name: name.to_owned(),
        relation: 1,
    }
}

fn append(load: Load, journal: &mut Journal, log: &Log, group: u64, now: Now) {
    let mut ends = std::collections::BTreeMap::new();
    for planned in load.group(group) {
        let topic = TopicNumber(u32::try_from(planned.topic).expect("a dozen"));
        let end = ends
            .entry(topic)
            .or_insert_with(|| log.ends(topic).map_or(0, |ends| ends.end));
        let batch = load.batch(planned, *end);
        *end += i64::from(batch.record_count);
        let new = NewBatch {
            topic,
            partition: 0,
            bytes: batch.bytes,
            record_count: batch.record_count,
            max_timestamp: batch.max_timestamp,
        };
        journal.append(now, new).expect("appends");
    }
}

fn keeper_options() -> KeeperOptions {
    let mut options = KeeperOptions::default();
    options.retention.bytes = KEPT_BYTES;
    options
}

/// Seals and deletes. Without it the writer must not go on.
fn keep(mut keeper: Keeper, now: impl Fn() -> Now) {
    const PAUSE_MAX: Duration = Duration::from_millis(20);
    loop {
        match keeper.step(now()) {
            Ok(step) => {
                if let Some(KeeperEvent::Sealed { file, .. }) = step.event {
                    println!("sealed {file}");
                }
                thread::sleep(step.rest.min(PAUSE_MAX));
            }
            Err(error) => {
                eprintln!("the keeper: {error}");
                std::process::exit(1);
            }
        }
    }
}

/// A consumer: what it sees may never be taken back.
fn watch(log: &Log) {
    let topic = TopicNumber(1);
    let (mut seen_start, mut seen_end) = (0, 0);
    loop {
        let ends = log.ends(topic);
        let (start, end) = ends.map_or((0, 0), |ends| (ends.start, ends.end));
        if start != seen_start {
            println!("start {topic} {start}");
            seen_start = start;
        }
        if end != seen_end {
            println!("seen {topic} {end}");
            seen_end = end;
        }
        thread::sleep(Duration::from_micros(200));
    }
}
