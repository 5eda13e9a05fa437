//! The data directory on the real file system and real sled: locks and refusals.
//!
//! Nothing here may start a process: between fork and exec a child holds every lock that any test of this process has,
//! so that a directory closed meanwhile would look open (`tests/catalog_kill.rs` starts some, in a process of its own).

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use headwater_storage::{
    CatalogChange, DataDirectory, Feed, FeedLayout, FeedNumber, Instance, InstanceNumber, Now,
    SourceKind, StorageError, StoreOptions, Topic, catalog::random_id,
};

fn open(path: &Path) -> Result<DataDirectory, StorageError> {
    DataDirectory::open(path, &StoreOptions::default())
}

fn instance(number: u32) -> CatalogChange {
    CatalogChange::Instance(Instance {
        number: InstanceNumber(number),
        name: format!("shop{number}"),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").permissions().mode() & 0o777
}

#[test]
fn a_new_directory_is_made_for_its_owner_only_and_opens_again() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("a/b");
    let directory = open(&path).expect("creates");
    let id = directory.directory_id();
    assert_eq!((mode(&path), mode(&path.join("meta"))), (0o700, 0o700));
    assert_eq!(mode(&path.join("catalog.log")), 0o600);
    directory.change(vec![instance(1)]).expect("changes");
    let catalog = directory.catalog();
    drop(directory);
    // sled lets go of its lock a little later: this waits for it.
    let directory = open(&path).expect("opens");
    assert_eq!(directory.directory_id(), id);
    assert_eq!(directory.catalog(), catalog);
}

#[test]
fn two_opens_at_once_are_refused_with_one_line() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let first = open(folder.path()).expect("opens");
    let error = open(folder.path()).expect_err("is in use");
    assert!(matches!(error, StorageError::Locked { .. }));
    let text = error.to_string();
    assert!(text.contains("in use") && text.contains(&folder.path().display().to_string()));
    first.change(vec![instance(1)]).expect("is unharmed");
    drop(first);
    open(folder.path()).expect("opens");
}

#[test]
fn somebody_elses_directory_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("makes a folder");
    fs::write(folder.path().join("holiday.jpg"), "").expect("writes");
    let text = open(folder.path()).expect_err("is refused").to_string();
    assert!(text.contains("holds holiday.jpg") && text.contains("name a new or empty directory"));
    assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
}

#[test]
fn an_empty_file_system_and_what_a_dead_start_left_are_fine() {
    let folder = tempfile::tempdir().expect("makes a folder");
    fs::create_dir(folder.path().join("lost+found")).expect("makes a folder");
    fs::write(folder.path().join("lock"), "").expect("writes");
    fs::write(folder.path().join("FORMAT.new"), "headw").expect("writes");
    open(folder.path()).expect("opens");
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("data");
    fs::write(&path, "").expect("writes");
    for path in [path.clone(), path.join("below")] {
        let error = open(&path).expect_err("is a file");
        assert!(matches!(error, StorageError::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("not a directory"), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().expect("makes a folder");
    fs::write(
        folder.path().join("FORMAT"),
        "headwater-data-directory format=7 x\n",
    )
    .expect("writes");
    let text = open(folder.path()).expect_err("is newer").to_string();
    let path = folder.path().display().to_string();
    assert!(text.contains(&path) && text.contains("format 7") && text.contains("newer headwater"));
    assert!(!folder.path().join("meta").exists());
}

#[test]
fn a_snapshot_that_sled_had_begun_when_it_died_does_no_harm() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let directory = open(folder.path()).expect("opens");
    directory.change(vec![instance(1)]).expect("changes");
    drop(directory);
    drop(open(folder.path()).expect("opens"));
    for (name, bytes) in [("0000000000000000", 0), ("FFFFFFFFFFFFFFFF", 100)] {
        let snapshot = format!("meta/snap.{name}.generating");
        fs::write(folder.path().join(snapshot), vec![7; bytes]).expect("writes");
    }
    assert_eq!(
        open(folder.path())
            .expect("opens")
            .catalog()
            .change_number(),
        1
    );
}

#[test]
fn a_sled_that_a_dead_first_start_left_is_made_anew() {
    let folder = tempfile::tempdir().expect("makes a folder");
    drop(open(folder.path()).expect("opens"));
    drop(open(folder.path()).expect("opens"));
    fs::remove_file(folder.path().join("catalog.log")).expect("removes");
    fs::write(folder.path().join("meta/conf"), [0xff; 64]).expect("writes");
    let directory = open(folder.path()).expect("opens");
    directory.change(vec![instance(1)]).expect("changes");
}

#[test]
fn a_journal_opens_with_the_topics_of_its_instance() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let directory = open(folder.path()).expect("opens");
    let feed = Feed {
        number: FeedNumber(1),
        instance: InstanceNumber(1),
        name: "tables".to_owned(),
        layout: FeedLayout::PerTable,
        format: "debezium-json".to_owned(),
        preset: Some("flink".to_owned()),
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: "shop1".to_owned(),
        start_position: Vec::new(),
    };
    let catalog = directory
        .change(vec![instance(1), CatalogChange::Feed(feed)])
        .expect("changes");
    let topic = Topic {
        number: catalog.next_topic(),
        id: random_id(),
        name: "shop1.public.orders".to_owned(),
        instance: InstanceNumber(1),
        feed: FeedNumber(1),
        table: None,
        epochs: Topic::first_epoch(),
    };
    directory
        .change(vec![CatalogChange::Topic(topic.clone())])
        .expect("changes");
    let (_journal, log, recovered) = directory
        .open_journal(InstanceNumber(1), Now::default())
        .expect("opens");
    assert_eq!(recovered.group, 0);
    assert_eq!(
        log.ends(topic.number).map(|ends| (ends.start, ends.end)),
        Some((0, 0))
    );
    let none = directory.open_journal(InstanceNumber(2), Now::default());
    assert!(matches!(none, Err(StorageError::Invalid(_))));
}
