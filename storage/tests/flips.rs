//! One bit of every live byte of a small data directory, flipped, one at a time: a start gives the right data, or names
//! what is wrong, and never wrong bytes; and the check of the directory finds every one of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headwater_storage::{
    CatalogChange, CommitGroup, DataDirectory, Feed, FeedLayout, FeedNumber, Instance,
    InstanceNumber, JournalOptions, KeeperOptions, Log, NewBatch, Now, PositionChange, SourceKind,
    StoreOptions, Topic, TopicNumber, check,
    disk::{SegmentStore, model::ModelDisk},
    frame::FrameHeader,
    meta::memory::MemoryMeta,
};
use uuid::Uuid;

const INSTANCE: InstanceNumber = InstanceNumber(1);
const FOLDER: &str = "journal/0000000001";
const GROUPS: u64 = 9;

/// A file of the journal, bytes: the parameter that makes the test small.
const FILE_BYTES: u64 = 2560;

fn options() -> StoreOptions {
    StoreOptions {
        journal: JournalOptions {
            file_bytes: FILE_BYTES,
            write_bytes: 512,
            ring_bytes: 0,
            prepare_in_background: false,
            ..JournalOptions::default()
        },
        ..StoreOptions::default()
    }
}

fn things() -> Vec<CatalogChange> {
    let mut things = vec![
        CatalogChange::Instance(Instance {
            number: INSTANCE,
            name: "shop".to_owned(),
            source: SourceKind::Postgresql,
            created_ms: 0,
            incarnation: 0,
            pause: None,
            gaps: Vec::new(),
        }),
        CatalogChange::Feed(Feed {
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
        }),
    ];
    things.extend((1..=2).map(|number| {
        CatalogChange::Topic(Topic {
            number: TopicNumber(number),
            id: Uuid::from_u128(u128::from(number)),
            name: format!("shop.public.t{number}"),
            instance: INSTANCE,
            feed: FeedNumber(1),
            table: None,
            epochs: Topic::first_epoch(),
        })
    }));
    things
}

/// Batches as stored: topic, offset.
type Expected = BTreeMap<(u32, i64), Vec<u8>>;

#[derive(Clone)]
struct World {
    disk: ModelDisk,
    meta: Arc<MemoryMeta>,
}

impl World {
    fn copy(&self) -> Self {
        Self {
            disk: self.disk.kill(),
            meta: Arc::new(self.meta.restart()),
        }
    }

    fn open(&self) -> Result<DataDirectory, headwater_storage::StorageError> {
        let meta = Arc::clone(&self.meta);
        DataDirectory::open_on(Arc::new(self.disk.clone()), meta, &options())
    }

    fn check(&self) -> check::Report {
        check::check_on(&self.disk, Ok(&*self.meta), false).expect("is read")
    }
}

fn commit(seed: u64) -> CommitGroup {
    CommitGroup {
        positions: vec![(0, PositionChange(seed.to_be_bytes().to_vec()))],
        commit_time_ms: Some(1),
        schema_version: 0,
    }
}

/// Groups of both topics over several files, one of them larger than a file; stopped cleanly.
fn make() -> (World, Expected) {
    make_with(0, GROUPS)
}

/// The same with all files sealed that can be.
fn make_sealed() -> (World, Expected) {
    let (world, expected) = make_with(0, 15);
    let directory = world.open().expect("opens");
    let (mut journal, log, _) = directory
        .open_journal(INSTANCE, Now::default())
        .expect("opens");
    // A position without records: only files that sled's note has passed are sealed.
    journal
        .commit(Now::default(), commit(GROUPS - 1))
        .expect("commits");
    let later = Now {
        wall_ms: 0,
        monotonic: Duration::from_secs(5),
    };
    journal.note_durable_end(later).expect("notes");
    let keeping = (KeeperOptions::default(), Now::default());
    let mut keeper = directory
        .open_keeper(INSTANCE, &log, keeping)
        .expect("opens");
    for second in 1..200 {
        let now = Now {
            wall_ms: i64::try_from(second * 1000).expect("is small"),
            monotonic: Duration::from_secs(second),
        };
        keeper.step(now).expect("steps");
    }
    journal.close().expect("closes");
    (world, expected)
}

/// The same with `longer` bytes more in each batch.
fn make_with(longer: usize, groups: u64) -> (World, Expected) {
    let world = World {
        disk: ModelDisk::new(),
        meta: Arc::new(MemoryMeta::new()),
    };
    let directory = world.open().expect("opens");
    for thing in things() {
        directory.change(vec![thing]).expect("changes");
    }
    let (mut journal, ..) = directory
        .open_journal(INSTANCE, Now::default())
        .expect("opens");
    let mut expected = Expected::new();
    let mut ends = [0_i64; 3];
    for seed in 0..groups {
        let parts = if seed == 1 { 10 } else { 2 };
        for part in 0..parts {
            let number = 1 + part % 2;
            let fill = u8::try_from(seed * 16 + u64::from(part)).expect("is small");
            let batch = NewBatch {
                topic: TopicNumber(number),
                partition: 0,
                bytes: vec![fill; 70 + longer + usize::from(fill % 32)],
                record_count: 1,
                max_timestamp: 1,
            };
            let end = &mut ends[number as usize];
            let mut stored = batch.bytes.clone();
            stored[..8].copy_from_slice(&end.to_be_bytes());
            stored[12..16].copy_from_slice(&[0; 4]);
            expected.insert((number, *end), stored);
            *end += 1;
            journal.append(Now::default(), batch).expect("appends");
        }
        journal
            .commit(Now::default(), commit(seed))
            .expect("commits");
        // Files that end with a whole group can be sealed at once.
        if groups > GROUPS && seed % 2 == 1 {
            let later = Now {
                wall_ms: 0,
                monotonic: Duration::from_secs(4000 * (seed + 1)),
            };
            journal.roll_if_due(later).expect("rolls");
        }
    }
    journal.close().expect("closes");
    (world, expected)
}

/// What every batch that can be read is: right. How many cannot.
fn unreadable(log: &Log, expected: &Expected, what: &str) -> usize {
    let mut bad = 0;
    for ((topic, offset), stored) in expected {
        match log.read(TopicNumber(*topic), *offset, 1) {
            Ok(batches) => {
                let first = batches.first().expect(what);
                assert_eq!(
                    &first[..],
                    &stored[..],
                    "{what}: wrong bytes, topic {topic} offset {offset}"
                );
            }
            Err(error) => {
                assert!(!error.to_string().contains('\n'));
                bad += 1;
            }
        }
    }
    bad
}

/// A start on a damaged directory. Whether all was well.
fn start(world: &World, expected: &Expected, what: &str) -> bool {
    let directory = match world.open() {
        Ok(directory) => directory,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{what}: {text}");
            return false;
        }
    };
    assert_eq!(directory.catalog().topics().count(), 2, "{what}");
    let opened = directory.open_journal(INSTANCE, Now::default());
    let (mut journal, log, recovered) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{what}: {error}");
            return false;
        }
    };
    if !recovered.lost_positions.is_empty() {
        // The broker refuses such a log as a whole: it does not say how far its source was captured.
        assert!(!recovered.damage.is_empty(), "{what}");
        return false;
    }
    let bad = unreadable(&log, expected, what);
    let position = journal.position(0).map(<[u8]>::to_vec);
    let knows = position == Some((GROUPS - 1).to_be_bytes().to_vec());
    assert!(knows, "{what}: a wrong position");
    assert_eq!(recovered.torn_tail, None, "{what}: what was durable is cut");
    // Whatever was lost, new records stand behind the old ones.
    let batch = NewBatch {
        topic: TopicNumber(1),
        partition: 0,
        bytes: vec![255; 80],
        record_count: 1,
        max_timestamp: 1,
    };
    journal.append(Now::default(), batch).expect("appends");
    let committed = journal.commit(Now::default(), commit(99)).expect("commits");
    let last = expected
        .keys()
        .filter(|(topic, _)| *topic == 1)
        .map(|(_, offset)| offset)
        .max();
    let last = *last.expect("has records");
    assert!(
        committed.topics[0].1 > last + 1,
        "{what}: an offset is used again"
    );
    bad == 0 && recovered.damage.is_empty()
}

/// Every byte that says something, of every file.
fn live(disk: &ModelDisk) -> Vec<(String, usize)> {
    let all = |name: &str| {
        let length = disk.contents(name).expect("exists").len();
        (0..length)
            .map(|at| (name.to_owned(), at))
            .collect::<Vec<_>>()
    };
    let mut live = all("FORMAT");
    live.extend(all("catalog.log"));
    for name in disk.list(FOLDER).expect("lists") {
        let name = format!("{FOLDER}/{name}");
        let bytes = disk.contents(&name).expect("exists");
        for at in (0..bytes.len()).step_by(8) {
            if let Ok(header) = FrameHeader::parse(&bytes[at..]) {
                let frame = at..at + 64 + header.length as usize;
                live.extend(frame.map(|at| (name.clone(), at)));
            }
        }
    }
    live
}

#[test]
fn an_undamaged_directory_is_clean_and_all_of_it_was_read() {
    let (world, expected) = make();
    let report = world.check();
    assert_eq!(report.findings, [], "{report:?}");
    assert!(report.is_clean() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.totals.records, expected.len() as u64);
    assert_eq!((report.totals.groups, report.totals.topics), (GROUPS, 2));
    assert!(report.totals.files >= 4, "{report:?}");
    let before = world.disk.operation_count();
    world.check();
    assert_eq!(world.disk.operation_count(), before, "nothing is written");
    assert!(start(&world, &expected, "undamaged"));
}

#[test]
fn every_flipped_byte_is_found_and_no_start_serves_wrong_bytes() {
    let (world, expected) = make();
    let live = live(&world.disk);
    println!("{} live bytes", live.len());
    let mut harmless = 0;
    for (index, (name, at)) in live.iter().enumerate() {
        let what = format!("{name} byte {at}");
        let damaged = world.copy();
        let bit = u8::try_from((index * 5 + at) % 8).expect("is small");
        damaged.disk.flip_bit(name, *at as u64, bit);
        let report = damaged.check();
        assert!(!report.is_clean(), "{what} bit {bit} is not found");
        let file = &report.findings[0].file;
        assert!(
            file == name || name == "FORMAT" || file == "catalog.log",
            "{what}: {report:?}"
        );
        harmless += usize::from(start(&damaged, &expected, &what));
    }
    // The catalog is there twice.
    println!("{harmless} did no harm");
    assert!(harmless > 100);
}

#[test]
fn every_missing_or_shortened_file_is_found_and_no_start_serves_wrong_bytes() {
    let (world, expected) = make();
    let mut names = vec!["FORMAT".to_owned(), "catalog.log".to_owned()];
    let files = world.disk.list(FOLDER).expect("lists");
    // The last one was made ahead of need, and nothing is in it.
    let used = files.iter().take(files.len() - 1);
    names.extend(used.map(|name| format!("{FOLDER}/{name}")));
    for name in &names {
        let bytes = world.disk.contents(name).expect("exists");
        for length in [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let what = format!("{name} cut at {length}");
            let damaged = world.copy();
            damaged.disk.put(name, &bytes[..length]);
            let live = bytes[length..].iter().any(|byte| *byte != 0);
            assert!(!live || !damaged.check().is_clean(), "{what}");
            start(&damaged, &expected, &what);
        }
        let what = format!("{name} missing");
        let damaged = world.copy();
        damaged.disk.remove(name).expect("removes");
        assert!(!damaged.check().is_clean(), "{what}");
        if name != "FORMAT" {
            start(&damaged, &expected, &what);
        }
    }
}

#[test]
fn a_finding_names_file_range_and_offsets() {
    let (world, _) = make();
    let name = format!("{FOLDER}/{:020}.journal", 1);
    let bytes = world.disk.contents(&name).expect("exists");
    let frames = (0..bytes.len()).step_by(8);
    let mut data = frames.filter_map(|at| Some((at, FrameHeader::parse(&bytes[at..]).ok()?)));
    let (at, header) = data
        .find(|(_, header)| header.topic == TopicNumber(2) && header.base_offset == 1)
        .expect("is there");
    world.disk.flip_bit(&name, at as u64 + 80, 0);
    let report = world.check();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let end = at as u64 + header.frame_bytes();
    let line = report.findings[0].to_string();
    assert_eq!(
        line,
        format!(
            "{name} bytes {at}..{end}: a data frame's body does not fit its checksum; shop.public.t2 offsets 1..2"
        )
    );
}

#[test]
fn a_torn_tail_is_told_and_no_damage() {
    let (world, _) = make();
    let directory = world.open().expect("opens");
    let (mut journal, ..) = directory
        .open_journal(INSTANCE, Now::default())
        .expect("opens");
    let batch = |fill| NewBatch {
        topic: TopicNumber(1),
        partition: 0,
        bytes: vec![fill; 600],
        record_count: 1,
        max_timestamp: 1,
    };
    journal.append(Now::default(), batch(1)).expect("appends");
    let report = world.check();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.notes.len(), 1, "{report:?}");
    assert!(
        report.notes[0].contains("an unfinished group at byte"),
        "{report:?}"
    );
    let online = check::check_on(&world.disk, Ok(&*world.meta), true).expect("is read");
    assert!(online.is_clean() && online.notes.is_empty(), "{online:?}");
}

#[test]
fn a_sled_that_differs_or_is_missing_is_found() {
    let (world, _) = make();
    let gone = check::check_on(&world.disk, Err("sled is missing".to_owned()), false);
    let gone = gone.expect("is read");
    assert_eq!(gone.findings.len(), 1, "{gone:?}");
    let line = gone.findings[0].to_string();
    assert!(
        line.contains("meta") && line.contains("makes it again"),
        "{line}"
    );
    let other = make().0;
    let report = check::check_on(&world.disk, Ok(&*other.meta), false).expect("is read");
    assert!(
        report.findings[0]
            .what
            .contains("belongs to data directory"),
        "{report:?}"
    );
}

#[test]
fn a_journal_file_of_another_directory_or_of_an_older_backup_is_refused_and_found() {
    let (world, expected) = make();
    let (other, _) = make_with(3, GROUPS);
    let mut foreign = 0;
    for name in world.disk.list(FOLDER).expect("lists") {
        let name = format!("{FOLDER}/{name}");
        let Some(theirs) = other.disk.contents(&name) else {
            continue;
        };
        if theirs == world.disk.contents(&name).expect("exists") {
            continue;
        }
        let mixed = world.copy();
        mixed.disk.put(&name, &theirs);
        assert!(!mixed.check().is_clean(), "{name}");
        let started = start(&mixed, &expected, &name);
        assert!(!started, "{name} is not noticed");
        foreign += 1;
    }
    assert!(foreign > 2);
}

#[test]
fn every_flipped_byte_of_a_sealed_segment_is_found_and_no_start_serves_wrong_bytes() {
    let (world, expected) = make_sealed();
    let report = world.check();
    assert!(report.is_clean() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.totals.records, expected.len() as u64);
    let names = world.disk.list(FOLDER).expect("lists");
    let sealed: Vec<_> = names
        .into_iter()
        .filter(|name| name.ends_with(".sealed"))
        .collect();
    assert!(!sealed.is_empty(), "{:?}", world.disk.list(FOLDER));
    for name in &sealed {
        let name = format!("{FOLDER}/{name}");
        for at in 0..world.disk.contents(&name).expect("exists").len() {
            let what = format!("{name} byte {at}");
            let damaged = world.copy();
            damaged
                .disk
                .flip_bit(&name, at as u64, u8::try_from(at % 8).expect("is small"));
            let report = damaged.check();
            // Room for a second block entry is zeros that nothing covers; these runs are short and have none.
            assert!(!report.is_clean(), "{what} is not found");
            assert_eq!(report.findings[0].file, name, "{what}: {report:?}");
            start(&damaged, &expected, &what);
        }
        let damaged = world.copy();
        damaged.disk.remove(&name).expect("removes");
        assert!(!damaged.check().is_clean(), "{name} missing");
        start(&damaged, &expected, &format!("{name} missing"));
    }
}

#[test]
fn a_sled_that_is_gone_is_derived_beside_sealed_segments() {
    let (world, expected) = make_sealed();
    let gone = World {
        meta: Arc::new(MemoryMeta::new()),
        ..world.copy()
    };
    assert!(start(&gone, &expected, "sled is gone"));
    assert!(gone.check().is_clean());
}
