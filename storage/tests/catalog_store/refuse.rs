//! Directories that are not to be opened: each says what is wrong, where, and how to fix it, and stays as it is.

use headwater_storage::{
    StorageError,
    disk::SegmentStore,
    meta::{MetaBatch, MetaStore, key},
};

use crate::world::{History, LOG, World};

fn refusal(world: &World, words: &[&str]) {
    let before = world.disk.operation_count();
    let error = world.open().expect_err("is refused");
    assert!(matches!(error, StorageError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    assert!(!text.contains('\n'));
    assert_eq!(world.disk.operation_count(), before, "nothing was changed");
}

fn complete() -> World {
    let world = World::default();
    world.run(&History::new()).1.expect("runs");
    world
}

/// One record, by the table of `docs/format.md`.
fn record(number: u64, payload: &str) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("is short");
    let mut covered = length.to_be_bytes().to_vec();
    covered.extend(number.to_be_bytes());
    covered.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    covered.extend(payload.as_bytes());
    [
        b"CREC",
        &crc32fast::hash(&covered).to_be_bytes()[..],
        &covered,
    ]
    .concat()
}

fn append(world: &World, bytes: &[u8]) {
    let log = world.disk.contents(LOG).expect("exists");
    world.disk.put(LOG, &[log, bytes.to_vec()].concat());
}

#[test]
fn a_log_of_another_directory_is_refused() {
    let world = complete();
    world
        .disk
        .put(LOG, &complete().disk.contents(LOG).expect("exists"));
    refusal(
        &world,
        &["catalog.log belongs to data directory", "restore"],
    );
}

#[test]
fn a_log_of_a_newer_version_is_refused() {
    let world = complete();
    let mut log = world.disk.contents(LOG).expect("exists");
    log[11] = 2;
    let checksum = crc32fast::hash(&log[..28]).to_be_bytes();
    log[28..32].copy_from_slice(&checksum);
    world.disk.put(LOG, &log);
    refusal(&world, &["catalog.log has version 2", "newer headwater"]);
}

#[test]
fn a_change_of_an_unknown_kind_is_refused_as_newer() {
    let world = complete();
    append(&world, &record(9, r#"[{"kind":"galaxy","number":1}]"#));
    refusal(
        &world,
        &["catalog.log holds something", "galaxy", "newer headwater"],
    );
}

#[test]
fn sled_of_a_newer_format_is_refused() {
    let world = complete();
    let value = br#"{"format":2,"directory_id":"00000000-0000-0000-0000-000000000001"}"#;
    let changes = vec![(key::DIRECTORY.to_vec(), Some(value.to_vec()))];
    world.meta.commit(&MetaBatch { changes }).expect("commits");
    refusal(
        &world,
        &["sled (folder meta) has format 2", "newer headwater"],
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let world = complete();
    let thing = r#"[{"kind":"instance","number":2,"name":"b","source":"postgresql","created_ms":5,
        "incarnation":0,"colour":"blue"}]"#;
    append(&world, &record(9, thing));
    let catalog = world.open().expect("opens").catalog();
    assert_eq!(
        catalog
            .instance_by_name("b")
            .map(|instance| instance.number.0),
        Some(2)
    );
}

#[test]
fn a_format_file_of_a_newer_version_is_refused() {
    let world = complete();
    world
        .disk
        .put("FORMAT", b"headwater-data-directory format=2 id=later\n");
    refusal(&world, &["FORMAT says format 2", "newer headwater"]);
}

#[test]
fn a_damaged_format_file_is_refused() {
    let world = complete();
    world.disk.flip_bit("FORMAT", 45, 3);
    refusal(&world, &["FORMAT is damaged or not headwater's", "restore"]);
}

#[test]
fn a_full_disk_is_named_when_a_directory_is_made() {
    for capacity in 0..150 {
        let world = World::default();
        world.disk.set_capacity(Some(capacity));
        let Err(error) = world.open() else {
            assert!(capacity >= 32, "the files take more");
            continue;
        };
        assert!(error.to_string().contains("No space left"), "{error}");
        world.disk.set_capacity(None);
        world.open().expect("space was made");
        assert_eq!(world.disk.list("").expect("lists"), ["FORMAT", LOG]);
    }
}
