//! A whole data directory, catalog and journal, whose meta store goes missing, is of another age, or another's, at
//! every point of a workload: every acknowledged record is still there, none twice, and no group number is used again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use headwater_storage::{
    CatalogChange, CommitGroup, DataDirectory, InstanceNumber, Journal, JournalOptions, Log,
    NewBatch, Now, PositionChange, StorageError, StoreOptions, TopicNumber,
    disk::{
        SegmentStore,
        model::{ModelDisk, power::PowerCut},
    },
    frame::{FrameHeader, Kind},
    meta::memory::MemoryMeta,
};

use crate::world::{feed, instance, topic};

const INSTANCE: InstanceNumber = InstanceNumber(1);
const TOPIC: TopicNumber = TopicNumber(1);
const FOLDER: &str = "journal/0000000001";
const GROUPS: u64 = 24;

fn options() -> StoreOptions {
    let journal = JournalOptions {
        file_bytes: 4096,
        write_bytes: 512,
        ring_bytes: 2048,
        prepare_in_background: false,
        ..JournalOptions::default()
    };
    StoreOptions {
        journal,
        ..StoreOptions::default()
    }
}

fn open(
    disk: &ModelDisk,
    meta: &Arc<MemoryMeta>,
) -> Result<(DataDirectory, Journal, Arc<Log>), StorageError> {
    let meta: Arc<MemoryMeta> = Arc::clone(meta);
    let directory = DataDirectory::open_on(Arc::new(disk.clone()), meta, &options())?;
    if directory.catalog().change_number() == 0 {
        directory.change(vec![
            CatalogChange::Instance(instance(1, "shop")),
            CatalogChange::Feed(feed(1, 1, "tables")),
            CatalogChange::Topic(topic(1, "orders")),
        ])?;
    }
    let (journal, log, recovered) = directory.open_journal(INSTANCE, Now::default())?;
    assert!(recovered.damage.is_empty(), "{recovered:?}");
    Ok((directory, journal, log))
}

/// One record whose bytes say which it is.
fn batch(seed: u64) -> NewBatch {
    let mut bytes = vec![0; 300];
    bytes[62..70].copy_from_slice(&seed.to_be_bytes());
    NewBatch {
        topic: TOPIC,
        partition: 0,
        bytes,
        record_count: 1,
        max_timestamp: 1,
    }
}

fn commit(seed: u64) -> CommitGroup {
    CommitGroup {
        positions: vec![(1, PositionChange(seed.to_be_bytes().to_vec()))],
        commit_time_ms: Some(1),
        schema_version: 0,
    }
}

/// The records there are: record n stands at offset n.
fn records(log: &Log) -> u64 {
    let end = log.ends(TOPIC).expect("is known").end;
    for offset in 0..end {
        let batches = log.read(TOPIC, offset, 1).expect("is readable");
        let found = u64::from_be_bytes(batches[0][62..70].try_into().expect("8 bytes"));
        assert_eq!(found, u64::try_from(offset).expect("not negative"));
    }
    u64::try_from(end).expect("not negative")
}

/// Moments of a run: the disk as it was, sled as it was, what was acknowledged.
struct Moment {
    disk: ModelDisk,
    cut: ModelDisk,
    meta: MemoryMeta,
    acknowledged: u64,
}

/// Groups over several files; a clean stop after every sixth; a moment after each group.
fn run() -> Vec<Moment> {
    let (disk, meta) = (ModelDisk::new(), Arc::new(MemoryMeta::new()));
    let mut moments = Vec::new();
    let mut opened = open(&disk, &meta).expect("opens");
    for seed in 0..GROUPS {
        let (_, journal, _) = &mut opened;
        let now = Now {
            wall_ms: 0,
            monotonic: Duration::from_millis(700 * seed),
        };
        journal.append(now, batch(seed)).expect("appends");
        journal.commit(now, commit(seed)).expect("commits");
        journal.note_durable_end(now).expect("notes");
        if seed % 6 == 5 {
            let (directory, journal, _) = opened;
            journal.close().expect("closes");
            drop(directory);
            // sled says here that nothing is written behind this.
            moments.push(moment(&disk, &meta, seed));
            opened = open(&disk, &meta).expect("opens again");
        }
        moments.push(moment(&disk, &meta, seed));
    }
    moments
}

fn moment(disk: &ModelDisk, meta: &MemoryMeta, seed: u64) -> Moment {
    Moment {
        disk: disk.kill(),
        cut: disk.power_cut(PowerCut::Seeded(seed)),
        meta: meta.restart(),
        acknowledged: seed + 1,
    }
}

/// Group numbers of all frames on the disk.
fn groups(disk: &ModelDisk) -> BTreeSet<u64> {
    let mut groups = BTreeSet::new();
    for name in disk.list(FOLDER).expect("lists") {
        let bytes = disk.contents(&format!("{FOLDER}/{name}")).expect("exists");
        for at in (0..bytes.len()).step_by(8) {
            let header = FrameHeader::parse(&bytes[at..]).ok();
            let of_group = header.filter(|h| matches!(h.kind, Kind::Data | Kind::Commit));
            groups.extend(of_group.map(|header| header.group));
        }
    }
    groups
}

/// Opens, looks, goes on, and opens once more.
fn is_right(disk: &ModelDisk, meta: MemoryMeta, acknowledged: u64, what: &str) {
    let before = groups(disk);
    let meta = Arc::new(meta);
    let (directory, mut journal, log) = open(disk, &meta).expect(what);
    assert_eq!(records(&log), acknowledged, "{what}");
    let position = journal.position(1).expect("is known");
    assert_eq!(position, (acknowledged - 1).to_be_bytes(), "{what}");
    journal
        .append(Now::default(), batch(acknowledged))
        .expect("appends");
    let committed = journal
        .commit(Now::default(), commit(acknowledged))
        .expect("commits");
    let highest = before.last().copied().unwrap_or(0);
    assert!(committed.group > highest, "{what}: group used twice");
    drop((directory, journal, log));
    let (disk, meta) = (disk.power_cut(PowerCut::LoseAll), Arc::new(meta.restart()));
    let (_directory, _journal, log) = open(&disk, &meta).expect("opens again");
    assert_eq!(records(&log), acknowledged + 1, "{what}, power cut");
}

#[test]
fn every_record_survives_a_sled_that_is_gone_at_any_point() {
    for (index, moment) in run().iter().enumerate() {
        for (disk, how) in [(&moment.disk, "killed"), (&moment.cut, "power cut")] {
            let what = format!("moment {index}, {how}");
            is_right(&disk.kill(), MemoryMeta::new(), moment.acknowledged, &what);
        }
    }
}

#[test]
fn every_record_survives_a_sled_of_any_other_age() {
    let moments = run();
    for (now, moment) in moments.iter().enumerate() {
        for (age, older) in moments.iter().enumerate().take(now + 1) {
            let what = format!("moment {now}, sled of {age}");
            let meta = older.meta.restart();
            is_right(&moment.disk.kill(), meta, moment.acknowledged, &what);
        }
    }
}

#[test]
fn every_record_survives_a_sled_of_another_directory() {
    let other = run();
    for (index, moment) in run().iter().enumerate() {
        let what = format!("moment {index}");
        let meta = other[index].meta.restart();
        is_right(&moment.disk.kill(), meta, moment.acknowledged, &what);
    }
}

#[test]
fn what_is_derived_is_written_again_since_it_may_be_in_the_page_cache_only() {
    for moment in &run() {
        // A sync failed behind our back: the disk has less than the page cache shows.
        let disk = moment.disk.kill();
        let meta = Arc::new(MemoryMeta::new());
        drop(open(&disk, &meta).expect("opens"));
        let (after, meta) = (disk.power_cut(PowerCut::LoseAll), Arc::new(meta.restart()));
        let (_directory, _journal, log) = open(&after, &meta).expect("opens");
        assert_eq!(records(&log), moment.acknowledged);
    }
}

#[test]
fn a_catalog_that_lost_what_the_journal_uses_is_refused() {
    let moments = run();
    let moment = moments.last().expect("there are some");
    let disk = moment.disk.kill();
    let log = disk.contents("catalog.log").expect("exists");
    let topic = b"\"kind\":\"topic\"";
    assert!(log.windows(topic.len()).any(|window| window == topic));
    // The only change, cut off as a torn one is: nothing is left that says which instance the journal is of.
    disk.put("catalog.log", &log[..40]);
    let lost = open(&disk, &Arc::new(MemoryMeta::new())).expect_err("is refused");
    assert!(matches!(lost, StorageError::Damaged(_)), "{lost:?}");
    assert!(
        lost.to_string().contains("does not know instance 1"),
        "{lost}"
    );
}
