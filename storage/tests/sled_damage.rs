//! Real sled, deleted, cut short, or with flipped bytes: a start finds everything all the same, since `catalog.log` and
//! the journal are whole.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use headwater_storage::{
    CatalogChange, CommitGroup, DataDirectory, Feed, FeedLayout, FeedNumber, Instance,
    InstanceNumber, JournalOptions, NewBatch, Now, PositionChange, SourceKind, StorageError,
    StoreOptions, Topic, TopicNumber, catalog::random_id,
};

const INSTANCE: InstanceNumber = InstanceNumber(1);
const TOPIC: TopicNumber = TopicNumber(1);
const GROUPS: u64 = 20;
/// Flips tried in each file of sled.
const FLIPS: usize = 24;
/// A start takes some milliseconds; one that takes this long hangs.
const HANGS: Duration = Duration::from_secs(60);

fn options() -> StoreOptions {
    StoreOptions {
        journal: JournalOptions {
            file_bytes: 8192,
            prepare_in_background: false,
            ..JournalOptions::default()
        },
        ..StoreOptions::default()
    }
}

fn things() -> Vec<CatalogChange> {
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
        preset: Some("flink".to_owned()),
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: "shop".to_owned(),
        start_position: Vec::new(),
    };
    let topic = Topic {
        number: TOPIC,
        id: random_id(),
        name: "shop.public.orders".to_owned(),
        instance: INSTANCE,
        feed: FeedNumber(1),
        table: None,
        epochs: Topic::first_epoch(),
    };
    vec![
        CatalogChange::Instance(instance),
        CatalogChange::Feed(feed),
        CatalogChange::Topic(topic),
    ]
}

/// A directory with a catalog and [`GROUPS`] records, stopped as a killed process leaves it.
fn make(path: &Path) {
    let directory = DataDirectory::open(path, &options()).expect("opens");
    directory.change(things()).expect("changes");
    let (mut journal, ..) = directory
        .open_journal(INSTANCE, Now::default())
        .expect("opens");
    for seed in 0..GROUPS {
        let batch = NewBatch {
            topic: TOPIC,
            partition: 0,
            bytes: vec![u8::try_from(seed).expect("is small"); 600],
            record_count: 1,
            max_timestamp: 1,
        };
        let now = Now {
            wall_ms: 0,
            monotonic: Duration::from_secs(seed),
        };
        journal.append(now, batch).expect("appends");
        let group = CommitGroup {
            positions: vec![(0, PositionChange(vec![1, 2, 3]))],
            ..CommitGroup::default()
        };
        journal.commit(now, group).expect("commits");
        journal.note_durable_end(now).expect("notes");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("is read").path();
        let target = to.join(path.file_name().expect("has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copies");
        }
    }
}

/// Opens and reads everything.
fn is_whole(path: &Path) -> Result<(), StorageError> {
    let directory = DataDirectory::open(path, &options())?;
    assert_eq!(directory.catalog().topics().count(), 1);
    let (journal, log, recovered) = directory.open_journal(INSTANCE, Now::default())?;
    assert!(recovered.damage.is_empty(), "{recovered:?}");
    assert_eq!(log.ends(TOPIC).expect("is known").end, 20);
    assert_eq!(journal.position(0), Some(&[1, 2, 3][..]));
    for offset in 0..20_i64 {
        let batches = log.read(TOPIC, offset, 1).expect("is readable");
        assert_eq!(i64::from(batches[0][100]), offset);
    }
    Ok(())
}

/// The same in a thread of its own: sled must not hang either.
fn opens_whole(path: &Path, what: &str) {
    let (done, result) = mpsc::channel();
    let directory = path.to_owned();
    let thread = thread::spawn(move || {
        let opened = is_whole(&directory);
        done.send(()).expect("somebody waits");
        opened
    });
    let waited = result.recv_timeout(HANGS);
    assert_ne!(
        waited,
        Err(mpsc::RecvTimeoutError::Timeout),
        "{what}: hangs"
    );
    thread.join().expect(what).expect(what);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("is read").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn aside(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("lists");
    let names = entries.map(|entry| entry.expect("is read").file_name());
    let names = names.map(|name| name.into_string().expect("is UTF-8"));
    let mut aside: Vec<_> = names.filter(|name| name.starts_with("meta.")).collect();
    aside.sort();
    aside
}

#[test]
fn a_deleted_sled_is_made_again() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("data");
    make(&path);
    fs::remove_dir_all(path.join("meta")).expect("removes");
    opens_whole(&path, "deleted");
    opens_whole(&path, "and again");
}

#[test]
fn a_sled_that_cannot_be_opened_is_moved_aside_and_three_are_kept() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("data");
    make(&path);
    for round in 1..=5 {
        for file in files(&path.join("meta")) {
            if !file.ends_with("db") {
                fs::write(file, [0xff; 64]).expect("writes");
            }
        }
        opens_whole(&path, "unreadable");
        let names = (1..=round).map(|number| format!("meta.damaged-{number}"));
        let kept: Vec<_> = names.skip(usize::max(3, round) - 3).collect();
        assert_eq!(aside(&path), kept);
        assert!(path.join(&kept[0]).join("db").exists(), "it is kept whole");
    }
}

#[test]
fn a_sled_of_which_any_file_is_cut_short_is_made_again() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let whole = folder.path().join("whole");
    make(&whole);
    let names = files(&whole.join("meta"));
    for (index, file) in names.iter().enumerate() {
        let length = fs::metadata(file).expect("exists").len();
        for (part, cut) in [0, 1, length / 3, length / 2, length.saturating_sub(1)]
            .into_iter()
            .enumerate()
        {
            let path = folder.path().join(format!("cut-{index}-{part}"));
            copy(&whole, &path);
            let file = path.join(file.strip_prefix(&whole).expect("lies there"));
            let opened = fs::OpenOptions::new().write(true).open(&file);
            opened.expect("opens").set_len(cut).expect("cuts");
            opens_whole(&path, &format!("{} cut at {cut}", file.display()));
        }
    }
}

/// Steele's splitmix64.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from(z >> 33).expect("31 bits")
}

#[test]
fn a_sled_with_a_flipped_byte_in_any_file_is_never_believed() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let whole = folder.path().join("whole");
    make(&whole);
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = seed;
    for (index, file) in files(&whole.join("meta")).iter().enumerate() {
        let bytes = fs::read(file).expect("reads");
        let live: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for flip in 0..FLIPS.min(live.len()) {
            let at = live[next(&mut random) % live.len()];
            let path = folder.path().join(format!("flip-{index}-{flip}"));
            copy(&whole, &path);
            let file = path.join(file.strip_prefix(&whole).expect("lies there"));
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (next(&mut random) % 8);
            fs::write(&file, damaged).expect("writes");
            opens_whole(&path, &format!("seed {seed}: {} at {at}", file.display()));
            fs::remove_dir_all(&path).expect("removes");
        }
    }
}
