//! Every point at which a process can die or a disk can fail, and everything a restart may then find.

use headwater_storage::{
    StorageError,
    disk::model::fault::{Fault, OperationKind},
    meta::memory::CommitEnd,
};

use crate::world::{Between, History, LOG, World};

const BETWEEN: [Between; 9] = [
    Between::Kill,
    Between::LoseAll,
    Between::KeepAll,
    Between::Seed(1),
    Between::Seed(2),
    Between::Seed(3),
    Between::Seed(4),
    Between::Seed(5),
    Between::Seed(6),
];

/// Starts again after `between`: every answered change is there, at most one more; what is shown survives the
/// next power cut; the history goes on to its end.
fn check_restart(
    case: &str,
    history: &History,
    crashed: &World,
    answered: usize,
    between: Between,
) {
    let case = format!("{case}, {answered} answered, then {between:?}");
    let world = crashed.after(between);
    let found = opened(&case, history, &world);
    assert!(
        found == answered || found == answered + 1,
        "{case}: {found} found"
    );
    let again = opened(&case, history, &world.after(Between::LoseAll));
    assert_eq!(again, found, "{case}: shown, then lost");
    let (end, result) = world.run(history);
    assert!(result.is_ok(), "{case}: does not go on: {result:?}");
    assert_eq!(end, history.len(), "{case}");
}

/// How many changes a start finds.
fn opened(case: &str, history: &History, world: &World) -> usize {
    let directory = world.open();
    assert!(directory.is_ok(), "{case}: does not open: {directory:?}");
    directory.map_or(0, |directory| history.check(&directory.catalog()))
}

fn crash_everywhere(
    history: &History,
    between: &[Between],
    fault: impl Fn(&World, u64),
    points: impl Fn(&World) -> u64,
) {
    let dry = World::default();
    dry.run(history).1.expect("runs");
    for point in 0..points(&dry) {
        for between in between.iter().copied() {
            let world = World::default();
            fault(&world, point);
            let (answered, result) = world.run(history);
            result.expect_err("failed somewhere");
            let case = format!("point {point}");
            check_restart(&case, history, &world, answered, between);
        }
    }
}

#[test]
fn answered_changes_survive_a_crash_before_any_disk_operation() {
    crash_everywhere(
        &History::new(),
        &BETWEEN,
        |w, n| w.disk.fail_at(n, Fault::Crash),
        |w| w.disk.operation_count(),
    );
}

#[test]
fn answered_changes_survive_a_crash_within_any_write() {
    let within = |w: &World, n| {
        w.disk
            .fail_nth(OperationKind::Write, n + 1, Fault::CrashAfter(13));
    };
    let writes = |w: &World| {
        let operations = w.disk.operations();
        operations
            .iter()
            .filter(|o| o.kind == OperationKind::Write)
            .count() as u64
    };
    crash_everywhere(&History::new(), &BETWEEN, within, writes);
}

#[test]
fn answered_changes_survive_a_failure_of_any_disk_operation() {
    crash_everywhere(
        &History::new(),
        &BETWEEN,
        |w, n| w.disk.fail_at(n, Fault::Io),
        |w| w.disk.operation_count(),
    );
}

#[test]
fn answered_changes_survive_a_disk_that_is_full_at_any_time() {
    crash_everywhere(
        &History::new(),
        &BETWEEN,
        |w, n| w.disk.fail_at(n, Fault::NoSpaceAfter(20)),
        |w| w.disk.operation_count(),
    );
}

#[test]
fn answered_changes_survive_a_crash_before_any_commit_to_sled() {
    crash_everywhere(
        &History::large(),
        &BETWEEN[..3],
        |w, n| w.meta.fail_at(n, CommitEnd::Before),
        |w| w.meta.commit_count(),
    );
}

#[test]
fn answered_changes_survive_a_crash_behind_any_commit_to_sled() {
    crash_everywhere(
        &History::large(),
        &BETWEEN[..3],
        |w, n| w.meta.fail_at(n, CommitEnd::After),
        |w| w.meta.commit_count(),
    );
}

#[test]
fn a_start_that_dies_anywhere_loses_nothing() {
    let history = History::new();
    let commits = {
        let dry = World::default();
        dry.run(&history).1.expect("runs");
        dry.meta.commit_count()
    };
    for commit in 0..commits {
        for first in [Between::Kill, Between::LoseAll, Between::Seed(commit)] {
            let crashed = World::default();
            crashed.meta.fail_at(commit, CommitEnd::Before);
            let (answered, _) = crashed.run(&history);
            let dry = crashed.after(first);
            dry.open().expect("opens");
            for point in 0..dry.disk.operation_count() {
                for fault in [Fault::Crash, Fault::CrashAfter(40), Fault::Io] {
                    let world = crashed.after(first);
                    world.disk.fail_at(point, fault);
                    world.open().expect_err("dies");
                    for second in BETWEEN.into_iter().take(5) {
                        let case = format!("commit {commit} {first:?} point {point} {fault:?}");
                        check_restart(&case, &history, &world, answered, second);
                    }
                }
            }
        }
    }
}

#[test]
fn bytes_of_a_failed_sync_are_written_again_before_they_are_shown() {
    let history = History::new();
    let world = World::default();
    let directory = world.open().expect("opens");
    world.disk.fail_nth(OperationKind::Sync, 1, Fault::Io);
    let failed = directory
        .change(history.changes[0].clone())
        .expect_err("cannot be durable");
    assert!(matches!(failed, StorageError::Poisoned(_)));
    let later = directory
        .change(history.changes[0].clone())
        .expect_err("is poisoned");
    assert!(matches!(later, StorageError::Poisoned(_)));

    let restarted = world.after(Between::Kill);
    let directory = restarted.open().expect("opens");
    assert_eq!(
        directory.catalog().change_number(),
        1,
        "read from the page cache"
    );
    let durable = restarted.disk.durable_contents(LOG).expect("exists");
    assert_eq!(
        Some(durable),
        restarted.disk.contents(LOG),
        "and now on the disk"
    );
}

#[test]
fn a_failed_commit_to_sled_is_final() {
    let history = History::new();
    let world = World::default();
    let directory = world.open().expect("opens");
    world
        .meta
        .fail_at(world.meta.commit_count(), CommitEnd::Before);
    for _ in 0..2 {
        let failed = directory
            .change(history.changes[0].clone())
            .expect_err("cannot be durable");
        assert!(matches!(failed, StorageError::Poisoned(_)));
        assert_eq!(directory.catalog().change_number(), 0);
    }
}
