//! The power fails, or the process dies, at every operation of a run and of the starts that follow.
//!
//! The oracle: what was acknowledged is there byte for byte; the group whose commit was under way is there as a whole
//! or not at all; nothing that was once visible is taken back; positions and ends belong to the same group; no group
//! number is used twice; nothing of this is called damage.

use headwater_storage::{
    JournalOptions, NewBatch, StorageError,
    disk::model::{
        ModelDisk,
        fault::{Fault, Operation, OperationKind},
        power::PowerCut,
    },
    meta::memory::CommitEnd,
};

use crate::world::{
    Expected, Machine, Opened, at, commit, counted, file_name, groups_on, position, small,
};

/// One thing a run does.
#[derive(Debug, Clone)]
enum Step {
    Append(NewBatch),
    Commit(u64),
    Rewind,
    /// Note the durable end, and finish an old file, at this second.
    Tick(u64),
}

/// Small groups, one over several files, one with a frame larger than a file, rewinds of each, notes between.
fn script() -> Vec<Step> {
    use Step::{Append, Commit, Rewind, Tick};
    let many = |seed: u64, count: u64, size| {
        (seed..seed + count)
            .map(move |seed| Append(counted(1 + u32::from(seed % 2 == 0), seed, 3, size)))
    };
    let mut steps = Vec::new();
    steps.extend(many(1, 2, 90));
    steps.push(Commit(1));
    steps.push(Commit(2));
    steps.extend(many(10, 1, 200));
    steps.extend([Commit(3), Tick(2)]);
    steps.extend(many(20, 8, 700));
    steps.push(Commit(4));
    steps.extend(many(30, 2, 300));
    steps.push(Rewind);
    steps.extend(many(40, 1, 300));
    steps.push(Commit(5));
    steps.extend(many(50, 9, 800));
    steps.extend([Rewind, Tick(4)]);
    steps.extend(many(60, 1, 6000));
    steps.extend(many(61, 1, 100));
    steps.push(Commit(6));
    steps.extend([Tick(6), Tick(4000)]);
    steps.extend(many(70, 1, 100));
    steps.push(Commit(7));
    steps.extend(many(80, 1, 100));
    steps
}

/// What became of a run.
#[derive(Debug, Clone, Default)]
struct Outcome {
    acknowledged: Expected,
    /// With the group whose commit failed.
    attempted: Option<Expected>,
    groups: Vec<u64>,
    error: Option<String>,
}

impl Outcome {
    fn allows(&self, found: &Expected) -> bool {
        *found == self.acknowledged || self.attempted.as_ref() == Some(found)
    }
}

/// Opens the machine and does `steps` until something fails.
fn run(machine: &Machine, steps: &[Step]) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut journal, log, _) = match machine.open() {
        Ok(opened) => opened,
        Err(error) => {
            outcome.error = Some(error.to_string());
            return outcome;
        }
    };
    let mut open = Expected::default();
    for step in steps {
        let result = match step {
            Step::Append(batch) => {
                open.add(batch);
                journal.append(at(0), batch.clone())
            }
            Step::Rewind => {
                open = outcome.acknowledged.clone();
                journal.rewind()
            }
            Step::Tick(second) => journal
                .note_durable_end(at(*second))
                .and_then(|()| journal.roll_if_due(at(*second))),
            Step::Commit(seed) => {
                open.position = Some(position(*seed));
                outcome.attempted = Some(open.clone());
                journal.commit(at(0), commit(*seed)).map(|committed| {
                    outcome.acknowledged = open.clone();
                    outcome.attempted = None;
                    outcome.groups.push(committed.group);
                })
            }
        };
        if let Err(error) = result {
            let again = journal
                .commit(at(0), commit(99))
                .expect_err("it is poisoned");
            assert!(matches!(again, StorageError::Poisoned(_)), "{again}");
            assert_eq!(
                Expected::of_ends(&log),
                outcome.acknowledged.ends,
                "visible without a sync"
            );
            outcome.error = Some(error.to_string());
            return outcome;
        }
    }
    outcome
}

/// Opens a machine after a fault and checks what is there.
fn reopened(machine: &Machine, outcome: &Outcome, case: &str) -> (Opened, Expected) {
    let opened = machine.open();
    assert!(opened.is_ok(), "{case}: {:?}", opened.map(drop));
    let (journal, log, recovered) = opened.expect("asserted");
    assert!(
        recovered.damage.is_empty(),
        "{case}: called damage: {recovered:?}"
    );
    let found = Expected::of(&log, &journal);
    assert!(
        outcome.allows(&found),
        "{case}: ends {:?} position {:?}, acknowledged {:?} {:?}",
        found.ends,
        found.position.map(String::from_utf8),
        outcome.acknowledged.ends,
        outcome.acknowledged.position.clone().map(String::from_utf8),
    );
    ((journal, log, recovered), found)
}

/// A start that goes well: what it shows stays, more can be committed, and no number comes twice.
fn goes_on(machine: &Machine, outcome: &Outcome, case: &str) {
    let mut used = groups_on(&machine.disk);
    used.extend(&outcome.groups);
    let ((mut journal, log, _), visible) = reopened(machine, outcome, case);

    for (name, cut) in [("loses", PowerCut::LoseAll), ("tears", PowerCut::Seeded(7))] {
        let after = machine.after(machine.disk.power_cut(cut));
        let case = format!("{case}, then {name} what is unsynced");
        let (_, found) = reopened(&after, outcome, &case);
        assert_eq!(found, visible, "{case}: taken back");
    }

    let mut expected = visible;
    for seed in [200, 201] {
        let batch = counted(2, seed, 5, 400);
        expected.add(&batch);
        expected.position = Some(position(seed));
        journal.append(at(0), batch).expect("appends");
        let committed = journal.commit(at(0), commit(seed)).expect("commits");
        assert!(
            used.insert(committed.group),
            "{case}: group {} again",
            committed.group
        );
    }
    assert_eq!(Expected::of(&log, &journal), expected, "{case}");
    let (journal, log, _) = machine.killed().open().expect("opens");
    assert_eq!(Expected::of(&log, &journal), expected, "{case}, killed");
}

/// A start in which the process dies at each operation, and the power with it.
fn dies_again(machine: &Machine, outcome: &Outcome, case: &str) {
    let whole = machine.killed();
    drop(reopened(&whole, outcome, case));
    for number in 0..whole.disk.operation_count() {
        let again = machine.killed();
        again.disk.fail_at(number, Fault::Crash);
        // It may open: the file it prepares last is not needed yet.
        drop(again.open());
        assert!(again.disk.has_crashed());
        let cuts = [PowerCut::LoseAll, PowerCut::Seeded(number)];
        for (index, cut) in cuts.into_iter().enumerate() {
            let after = again.after(again.disk.power_cut(cut));
            let case = format!("{case}, dies again at {number}, cut {index}");
            drop(reopened(&after, outcome, &case));
        }
    }
}

/// The operations of a run without a fault.
fn operations(options: JournalOptions, steps: &[Step]) -> Vec<Operation> {
    let machine = Machine::new(options);
    let outcome = run(&machine, steps);
    assert_eq!(outcome.error, None);
    machine.disk.operations()
}

fn faults_at(operation: &Operation) -> Vec<Fault> {
    let length = usize::try_from(operation.range.end - operation.range.start).expect("small");
    match operation.kind {
        OperationKind::Write => vec![
            Fault::Crash,
            Fault::CrashAfter(length / 2),
            Fault::CrashAfter(length),
        ],
        OperationKind::Create
        | OperationKind::Sync
        | OperationKind::Rename
        | OperationKind::Remove
        | OperationKind::CreateFolder
        | OperationKind::SyncDirectory => vec![Fault::Crash],
    }
}

/// The disks that a crash may leave behind.
fn disks_after(disk: &ModelDisk, seed: u64) -> Vec<(String, ModelDisk)> {
    let mut disks = vec![
        ("killed".to_owned(), disk.kill()),
        ("lost".to_owned(), disk.power_cut(PowerCut::LoseAll)),
        ("kept".to_owned(), disk.power_cut(PowerCut::KeepAll)),
    ];
    for seed in [seed * 2, seed * 2 + 1] {
        disks.push((
            format!("torn by seed {seed}"),
            disk.power_cut(PowerCut::Seeded(seed)),
        ));
    }
    disks
}

#[test]
fn power_may_fail_at_every_operation() {
    let steps = script();
    for operation in operations(small(), &steps) {
        for fault in faults_at(&operation) {
            let machine = Machine::new(small());
            machine.disk.fail_at(operation.number, fault);
            let outcome = run(&machine, &steps);
            assert!(outcome.error.is_some(), "{operation:?} is not reached");
            for (name, disk) in disks_after(&machine.disk, operation.number) {
                let case = format!("{fault:?} at {operation:?}, {name}");
                let after = machine.after(disk);
                goes_on(&after.killed(), &outcome, &case);
                goes_on(
                    &after.killed().without_meta(),
                    &outcome,
                    &format!("{case}, no meta"),
                );
            }
        }
    }
}

#[test]
fn power_may_fail_again_at_every_operation_of_the_start() {
    let steps = script();
    for operation in operations(small(), &steps) {
        let machine = Machine::new(small());
        machine.disk.fail_at(operation.number, Fault::Crash);
        let outcome = run(&machine, &steps);
        for (name, disk) in disks_after(&machine.disk, operation.number) {
            let case = format!("crash at {operation:?}, {name}");
            dies_again(&machine.after(disk), &outcome, &case);
        }
    }
}

#[test]
fn a_failed_write_or_sync_is_final_and_takes_nothing_acknowledged_along() {
    let steps = script();
    let mut not_needed = Vec::new();
    for operation in operations(small(), &steps) {
        let machine = Machine::new(small());
        machine.disk.fail_at(operation.number, Fault::Io);
        let outcome = run(&machine, &steps);
        if outcome.error.is_none() {
            not_needed.push(operation.clone());
        }
        for (name, disk) in disks_after(&machine.disk, operation.number) {
            let case = format!("failed operation {}, {name}", operation.number);
            goes_on(&machine.after(disk.kill()), &outcome, &case);
            if name == "killed" {
                dies_again(&machine.after(disk.kill()), &outcome, &case);
            }
        }
    }
    // Name, zeros, sync and directory of the file that was prepared last and not used.
    assert_eq!(not_needed.len(), 4, "{not_needed:?}");
}

#[test]
fn the_meta_store_may_die_at_every_commit() {
    let steps = script();
    let machine = Machine::new(small());
    run(&machine, &steps);
    let commits = machine.meta.commit_count();
    assert!(commits >= 4, "one at the start and some notes: {commits}");
    for number in 0..commits {
        for end in [CommitEnd::Before, CommitEnd::After] {
            let machine = Machine::new(small());
            machine.meta.fail_at(number, end);
            let outcome = run(&machine, &steps);
            assert!(outcome.error.is_some(), "commit {number} is not reached");
            for (name, disk) in disks_after(&machine.disk, number) {
                let case = format!("meta dies {end:?} commit {number}, {name}");
                goes_on(&machine.after(disk), &outcome, &case);
            }
        }
    }
}

#[test]
fn a_file_that_got_its_name_in_a_group_is_there_when_the_group_is() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    journal
        .append(at(0), counted(1, 1, 1, 100))
        .expect("appends");
    journal.commit(at(0), commit(1)).expect("commits");
    for seed in 0..12 {
        journal
            .append(at(0), counted(1, seed, 1, 900))
            .expect("appends");
    }
    journal.rewind().expect("rewinds");
    // The file prepared last gets another number now, and the next one cannot be prepared.
    machine.disk.put(&file_name(3), &[]);
    for seed in 0..4 {
        journal
            .append(at(0), counted(1, seed, 1, 900))
            .expect("appends");
    }
    journal.commit(at(0), commit(2)).expect("commits");
    assert_eq!(log.stats().newest_file, 2);
    let visible = Expected::of(&log, &journal);
    let after = machine.after(machine.disk.power_cut(PowerCut::LoseAll));
    let (journal, log, _) = after.open().expect("opens");
    assert_eq!(Expected::of(&log, &journal), visible);
}
