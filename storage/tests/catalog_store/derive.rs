//! A meta store that is gone, another's, or has silently lost something: made again from `catalog.log`, whenever
//! that is whole, and refused otherwise.

use std::sync::Arc;

use headwater_storage::{
    DataDirectory, StorageError,
    disk::model::fault::Fault,
    meta::{
        MetaBatch, MetaStore, key,
        memory::{CommitEnd, MemoryMeta},
    },
};

use crate::world::{Between, History, LOG, World};

fn complete(history: &History) -> World {
    let world = World::default();
    world.run(history).1.expect("runs");
    world
}

fn without_sled(world: &World) -> World {
    World {
        disk: world.disk.kill(),
        meta: Arc::default(),
    }
}

/// What the first kinds of keys hold, `01` to `15`: the directory and its catalog.
const CATALOG: std::ops::RangeInclusive<u8> = 0x01..=0x15;

/// What sled holds of the catalog is one thing, however it came about.
fn pairs(meta: &MemoryMeta) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = meta.scan(&[]).expect("scans");
    pairs.retain(|(key, _)| CATALOG.contains(&key[0]));
    pairs
}

/// Whether every group says that its position may not be the last one.
fn groups_are_marked(directory: &DataDirectory) -> bool {
    let positions = directory.open_positions().expect("opens");
    let catalog = directory.catalog();
    catalog
        .groups()
        .all(|group| positions.restored(group.number).is_some())
}

fn remove(meta: &MemoryMeta, key: Vec<u8>) {
    let changes = vec![(key, None)];
    meta.commit(&MetaBatch { changes }).expect("commits");
}

#[test]
fn a_sled_that_is_gone_is_derived_after_any_number_of_changes() {
    let history = History::large();
    for count in 0..=history.len() {
        let world = World::default();
        let directory = world.open().expect("opens");
        let changes = history.changes.iter().take(count);
        changes.for_each(|change| drop(directory.change(change.clone()).expect("changes")));
        let id = directory.directory_id();
        drop(directory);
        let derived = without_sled(&world);
        let directory = derived.open().expect("derives");
        assert_eq!(history.check(&directory.catalog()), count);
        assert_eq!(directory.directory_id(), id);
        drop(directory);
        assert_eq!(pairs(&derived.meta), pairs(&world.meta), "the same sled");
        // And it goes on from there, over power cuts.
        let (done, result) = derived.after(Between::LoseAll).run(&history);
        result.expect("goes on");
        assert_eq!(done, history.len());
    }
}

#[test]
fn a_sled_of_another_directory_is_put_aside_and_derived() {
    let history = History::new();
    let world = World {
        meta: complete(&history).meta,
        ..complete(&history)
    };
    let directory = world.open().expect("derives");
    assert_eq!(history.check(&directory.catalog()), history.len());
}

#[test]
fn a_sled_that_lost_any_one_thing_is_noticed_and_derived() {
    let history = History::new();
    let world = complete(&history);
    for (lost, _) in pairs(&world.meta) {
        let damaged = World {
            disk: world.disk.kill(),
            meta: Arc::new(world.meta.restart()),
        };
        remove(&damaged.meta, lost.clone());
        let directory = damaged.open().expect("opens");
        assert_eq!(
            history.check(&directory.catalog()),
            history.len(),
            "key {lost:02x?}"
        );
        drop(directory);
        assert_eq!(pairs(&damaged.meta), pairs(&world.meta), "key {lost:02x?}");
    }
}

#[test]
fn a_derivation_that_dies_at_any_point_is_made_again() {
    let history = History::large();
    let world = complete(&history);
    let quiet = without_sled(&world);
    drop(quiet.open().expect("derives"));
    let (operations, commits) = (quiet.disk.operation_count(), quiet.meta.commit_count());
    assert!(operations > 8 && commits > 3, "{operations} {commits}");
    let again = |died: &World, what: &str| {
        for between in [Between::Kill, Between::LoseAll, Between::Seed(7)] {
            let after = died.after(between);
            let directory = after.open().expect("derives");
            let found = history.check(&directory.catalog());
            assert_eq!(found, history.len(), "{what} {between:?}");
            assert!(groups_are_marked(&directory), "{what} {between:?}");
            drop(directory);
            assert_eq!(pairs(&after.meta), pairs(&world.meta), "{what} {between:?}");
        }
    };
    for number in 0..operations {
        for fault in [Fault::CrashAfter(100), Fault::Io] {
            let died = without_sled(&world);
            died.disk.fail_at(number, fault);
            died.open().expect_err("dies");
            again(&died, &format!("operation {number} {fault:?}"));
        }
    }
    for number in 0..commits {
        for end in [CommitEnd::Before, CommitEnd::After] {
            let died = without_sled(&world);
            died.meta.fail_at(number, end);
            died.open().expect_err("dies");
            again(&died, &format!("commit {number} {end:?}"));
        }
    }
}

/// One clear line, nothing changed.
fn refusal(world: &World, words: &[&str]) {
    let (operations, before) = (world.disk.operation_count(), pairs(&world.meta));
    let error = world.open().expect_err("is refused");
    assert!(matches!(error, StorageError::Damaged(_)), "{error:?}");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    assert!(!text.contains('\n'));
    assert_eq!(world.disk.operation_count(), operations);
    assert_eq!(pairs(&world.meta), before);
}

#[test]
fn a_log_damaged_anywhere_but_in_its_last_change_is_refused_without_sled() {
    let history = History::new();
    let world = complete(&history);
    let log = world.disk.contents(LOG).expect("exists");
    let starts: Vec<usize> = (0..log.len() - 4)
        .filter(|at| &log[*at..at + 4] == b"CREC")
        .collect();
    let last = *starts.last().expect("has records");
    for at in (32..last)
        .step_by(11)
        .chain(starts[..starts.len() - 1].iter().copied())
    {
        let damaged = without_sled(&world);
        damaged.disk.flip_bit(LOG, at as u64, 3);
        refusal(&damaged, &["sled", "catalog.log", "restore"]);
    }
    // The last change may be torn, which is no loss: it was not answered.
    let torn = without_sled(&world);
    torn.disk.flip_bit(LOG, last as u64 + 40, 3);
    let directory = torn.open().expect("derives");
    assert_eq!(history.check(&directory.catalog()), history.len() - 1);
}

#[test]
fn neither_sled_nor_a_log_is_refused_once_anything_was_kept() {
    let history = History::new();
    let world = without_sled(&complete(&history));
    world
        .disk
        .put("journal/0000000001/00000000000000000001.journal", &[0; 64]);
    world.disk.put(LOG, b"");
    refusal(&world, &["catalog.log is damaged or missing", "restore"]);
    let gone = without_sled(&world);
    headwater_storage::disk::SegmentStore::remove(&gone.disk, LOG).expect("removes");
    let gone = without_sled(&gone);
    refusal(&gone, &["journal/0000000001", "have lost", "restore"]);
}

#[test]
fn a_derived_record_of_a_newer_sled_is_still_refused() {
    let world = complete(&History::new());
    let value = br#"{"format":2,"directory_id":"00000000-0000-0000-0000-000000000001"}"#;
    let changes = vec![(key::DIRECTORY.to_vec(), Some(value.to_vec()))];
    world.meta.commit(&MetaBatch { changes }).expect("commits");
    let error = world.open().expect_err("is refused");
    assert!(error.to_string().contains("newer headwater"), "{error}");
}
