//! Damaged, torn, missing and old files: told apart, and mended from the other half where that is possible.

use std::sync::Arc;

use headwater_storage::{
    CatalogChange, StorageError,
    disk::model::fault::{Fault, OperationKind},
    meta::memory::{CommitEnd, MemoryMeta},
};

use crate::world::{Between, History, LOG, World, schema};

/// A whole history, and sled as it was after each change.
fn complete() -> (History, World, Vec<MemoryMeta>) {
    complete_with(History::new())
}

fn complete_with(history: History) -> (History, World, Vec<MemoryMeta>) {
    let world = World::default();
    let directory = world.open().expect("opens");
    let mut metas = vec![world.meta.restart()];
    for changes in &history.changes {
        directory.change(changes.clone()).expect("changes");
        metas.push(world.meta.restart());
    }
    (history, world, metas)
}

/// The same disk with another `catalog.log`, and sled as `meta` has it.
fn with_log(world: &World, log: &[u8], meta: &MemoryMeta) -> World {
    let other = World {
        disk: world.disk.kill(),
        meta: Arc::new(meta.restart()),
    };
    other.disk.put(LOG, log);
    other
}

/// How many changes a start finds.
fn found(history: &History, world: &World) -> usize {
    history.check(&world.open().expect("opens").catalog())
}

/// Positions worth a try: all of every record's header and a sample of the rest.
fn sample(log: &[u8], starts: &[usize]) -> impl Iterator<Item = usize> {
    let near = |at: &usize| {
        starts
            .iter()
            .any(|start| (start..=&(start + 40)).contains(&at))
    };
    (0..=log.len())
        .filter(|at| *at < 34 || at % 23 == 0 || near(at) || near(&(at + 40)))
        .collect::<Vec<_>>()
        .into_iter()
}

/// Where each change begins in the log, and where the last ends: the same log grown change by change.
fn boundaries(history: &History) -> Vec<usize> {
    let world = World::default();
    let directory = world.open().expect("opens");
    let length = || world.disk.contents(LOG).expect("exists").len();
    let mut boundaries = vec![length()];
    for changes in &history.changes {
        directory.change(changes.clone()).expect("changes");
        boundaries.push(length());
    }
    boundaries
}

#[test]
fn sled_behind_by_any_number_of_changes_catches_up() {
    let (history, world, metas) = complete();
    let log = world.disk.contents(LOG).expect("exists");
    for meta in &metas {
        let world = with_log(&world, &log, meta);
        assert_eq!(found(&history, &world), history.len());
        assert_eq!(
            found(&history, &world.after(Between::LoseAll)),
            history.len()
        );
    }
}

#[test]
fn a_log_that_ends_at_any_byte_before_what_sled_knows_is_written_anew() {
    let (history, world, metas) = complete();
    let log = world.disk.contents(LOG).expect("exists");
    for length in sample(&log[1..], &boundaries(&history)) {
        let world = with_log(&world, &log[..length], &metas[history.len()]);
        assert_eq!(found(&history, &world), history.len(), "length {length}");
        let rewritten = world.disk.contents(LOG).expect("exists");
        let alone = with_log(&world, &rewritten, &metas[0]);
        assert_eq!(
            found(&history, &alone),
            history.len(),
            "the new log has everything"
        );
    }
}

#[test]
fn a_missing_log_is_written_anew() {
    let (history, world, _) = complete();
    headwater_storage::disk::SegmentStore::remove(&world.disk, LOG).expect("removes");
    assert_eq!(found(&history, &world), history.len());
    assert!(world.disk.contents(LOG).is_some());
    assert_eq!(found(&history, &world), history.len());
}

#[test]
fn a_last_change_torn_at_any_byte_is_cut_and_the_next_one_takes_its_place() {
    let (history, world, metas) = complete();
    let log = world.disk.contents(LOG).expect("exists");
    let boundaries = boundaries(&history);
    for last in [1, 2, 4] {
        let (start, end) = (boundaries[last - 1], boundaries[last]);
        for length in sample(&log, &boundaries).filter(|at| (start..=end).contains(at)) {
            let zeros = vec![0; 700];
            for tail in [&[][..], &zeros] {
                let torn = [&log[..length], tail].concat();
                let world = with_log(&world, &torn, &metas[last - 1]);
                let expected = if length == end { last } else { last - 1 };
                assert_eq!(found(&history, &world), expected, "length {length}");
                let (answered, result) = world.run(&history);
                result.expect("goes on");
                assert_eq!(answered, history.len());
                assert_eq!(
                    found(&history, &world.after(Between::LoseAll)),
                    history.len()
                );
            }
        }
    }
}

#[test]
fn a_torn_change_of_several_records_is_cut_whole() {
    let (history, world, metas) = complete_with(History::large());
    let log = world.disk.contents(LOG).expect("exists");
    let boundaries = boundaries(&history);
    let (start, end) = (boundaries[2], boundaries[3]);
    assert!(end - start > 500_000, "takes several records");
    for hole in (start..end).step_by(29_973) {
        let mut torn = log[..end].to_vec();
        let hole = hole..(hole + 512).min(end);
        torn[hole.clone()].fill(0);
        let world = with_log(&world, &torn, &metas[2]);
        assert_eq!(found(&history, &world), 2, "hole {hole:?}");
        assert_eq!(world.run(&history).0, history.len());
        assert_eq!(
            found(&history, &world.after(Between::LoseAll)),
            history.len()
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_is_mended_from_sled() {
    let (history, world, metas) = complete();
    let log = world.disk.contents(LOG).expect("exists");
    for at in sample(&log[1..], &boundaries(&history)) {
        let mut damaged = log.clone();
        damaged[at] ^= 1 << (at % 8);
        let world = with_log(&world, &damaged, &metas[history.len()]);
        assert_eq!(found(&history, &world), history.len(), "byte {at}");
        let rewritten = world.disk.contents(LOG).expect("exists");
        assert_ne!(rewritten, damaged, "byte {at}");
        let alone = with_log(&world, &rewritten, &metas[0]);
        assert_eq!(found(&history, &alone), history.len(), "byte {at}");
    }
}

#[test]
fn a_flipped_bit_beside_a_change_that_sled_lacks_loses_no_answered_change() {
    let (history, world, metas) = complete();
    let log = world.disk.contents(LOG).expect("exists");
    let last = boundaries(&history)[history.len() - 1];
    for at in sample(&log[1..], &boundaries(&history)) {
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        let world = with_log(&world, &damaged, &metas[history.len() - 1]);
        // The last change was never answered; its damage looks like a torn end.
        let expected = if at < last {
            history.len()
        } else {
            history.len() - 1
        };
        assert_eq!(found(&history, &world), expected, "byte {at}");
    }
}

#[test]
fn damage_in_a_change_that_sled_lacks_and_others_follow_is_an_error_and_changes_nothing() {
    let (history, world, metas) = complete();
    let log = world.disk.contents(LOG).expect("exists");
    let boundaries = boundaries(&history);
    for (sled, change) in [(0, 1), (3, 4), (3, 5), (0, 2)] {
        let mut damaged = log.clone();
        damaged[boundaries[change - 1] + 30] ^= 1;
        let world = with_log(&world, &damaged, &metas[sled]);
        let error = world.open().expect_err("cannot be had");
        assert!(matches!(error, StorageError::Damaged(_)), "{error}");
        let named = format!("change {change} is damaged");
        assert!(error.to_string().contains(&named), "{error}");
        assert_eq!(world.disk.contents(LOG), Some(damaged));
        assert_eq!(world.disk.operation_count(), 0);
    }
}

#[test]
fn a_rewrite_that_ends_early_at_any_point_is_done_again() {
    let (history, world, metas) = complete();
    let mut damaged = world.disk.contents(LOG).expect("exists");
    damaged[100] ^= 1;
    let dry = with_log(&world, &damaged, &metas[history.len()]);
    dry.open().expect("opens");
    for point in 0..dry.disk.operation_count() {
        for seed in 0..8 {
            let crashed = with_log(&world, &damaged, &metas[history.len()]);
            let fault = Fault::CrashAfter(100);
            crashed.disk.fail_at(point, fault);
            crashed.open().expect_err("dies");
            let world = crashed.after(Between::Seed(seed));
            assert_eq!(
                found(&history, &world),
                history.len(),
                "point {point} seed {seed}"
            );
            let again = world.after(Between::LoseAll);
            assert_eq!(
                found(&history, &again),
                history.len(),
                "point {point} seed {seed}"
            );
        }
    }
}

#[test]
fn a_damaged_log_beside_a_sled_that_has_half_a_change_is_refused_or_mended_but_never_invented() {
    let history = History::large();
    let world = World::default();
    let directory = world.open().expect("opens");
    directory
        .change(history.changes[0].clone())
        .expect("changes");
    directory
        .change(history.changes[1].clone())
        .expect("changes");
    // Change 3 takes several steps in sled; the first is done, the next is not.
    world
        .meta
        .fail_at(world.meta.commit_count() + 1, CommitEnd::Before);
    directory
        .change(history.changes[2].clone())
        .expect_err("dies");
    let log = world.disk.contents(LOG).expect("exists");
    let mut damaged = log.clone();
    damaged[50] ^= 1;
    let mended = with_log(&world, &damaged, &world.meta);
    assert_eq!(
        found(&history, &mended),
        3,
        "the third change is whole in the log"
    );
    assert_eq!(found(&history, &mended.after(Between::LoseAll)), 3);
}

/// Two tables whose definitions take a record each.
fn two_wide_tables(names: [&str; 2]) -> Vec<CatalogChange> {
    let schemas = [schema(7, names[0], 200_000), schema(8, names[1], 300_000)];
    schemas.into_iter().map(CatalogChange::Schema).collect()
}

#[test]
fn records_of_two_torn_changes_never_make_one() {
    let (history, world, metas) = complete();
    let sled = &metas[history.len()];
    let start = world.disk.contents(LOG).expect("exists").len();
    let directory = world.open().expect("opens");
    directory
        .change(two_wide_tables(["aaaa", "bbbb"]))
        .expect("changes");
    // The first record is torn, the second is there.
    let mut torn = world.disk.contents(LOG).expect("exists");
    torn[start + 100_000..start + 100_512].fill(0);
    let second_record = torn[start + 1..]
        .windows(4)
        .position(|bytes| bytes == b"CREC");
    let first_record_bytes = second_record.expect("takes two records") + 1;

    let world = with_log(&world, &torn, sled);
    assert_eq!(found(&history, &world), history.len(), "cut");
    let directory = world.open().expect("opens");
    world.disk.fail_nth(
        OperationKind::Write,
        1,
        Fault::CrashAfter(first_record_bytes),
    );
    directory
        .change(two_wide_tables(["AAAA", "BBBB"]))
        .expect_err("dies");
    assert_eq!(
        found(&history, &world.after(Between::Kill)),
        history.len(),
        "cut again"
    );
}
