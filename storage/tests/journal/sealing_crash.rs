//! The power fails, or an operation, anywhere in sealing, in retention, and in the start after it.
//!
//! The oracle: what was acknowledged is there byte for byte, or was deleted by retention; the group whose commit was under
//! way is there as a whole or not at all; log starts never go back; nothing of this is called damage.

use headwater_storage::{
    StorageError,
    disk::model::{
        ModelDisk,
        fault::{Fault, OperationKind},
        power::PowerCut,
    },
};

use crate::{
    house::{House, Open, Stored, keep_bytes},
    world::topic,
};

/// The disks that a crash may leave behind.
pub(crate) fn disks_after(disk: &ModelDisk, seed: u64) -> Vec<(String, ModelDisk)> {
    let mut disks = vec![
        ("killed".to_owned(), disk.kill()),
        ("lost".to_owned(), disk.power_cut(PowerCut::LoseAll)),
        ("kept".to_owned(), disk.power_cut(PowerCut::KeepAll)),
    ];
    let torn = disk.power_cut(PowerCut::Seeded(seed));
    disks.push((format!("torn by seed {seed}"), torn));
    disks
}

/// What became of a run: what is stored, and the highest log starts that were seen.
pub(crate) struct Outcome {
    pub(crate) expected: Stored,
    pub(crate) starts: Vec<i64>,
    pub(crate) error: Option<StorageError>,
}

impl Outcome {
    /// What is stored: with the group whose commit was under way, if that is there.
    pub(crate) fn found(&self, open: &Open) -> Stored {
        let end = |number| open.log.ends(topic(number)).map_or(0, |ends| ends.end);
        let is_there = |stored: &Stored| {
            (1..=3).all(|number| end(number) == stored.ends.get(&number).copied().unwrap_or(0))
        };
        let attempted = self.expected.attempted.as_deref();
        let attempted = attempted.filter(|attempted| is_there(attempted));
        attempted.unwrap_or(&self.expected).clone()
    }
}

pub(crate) fn starts(open: &Open) -> Vec<i64> {
    let start = |number| open.log.ends(topic(number)).map_or(0, |ends| ends.start);
    (1..=3).map(start).collect()
}

/// Groups, one over several files, with sealing and retention between them.
fn run(house: &House) -> Outcome {
    let mut outcome = Outcome {
        expected: Stored::default(),
        starts: vec![0; 3],
        error: None,
    };
    let mut open = match house.open() {
        Ok(open) => open,
        Err(error) => {
            outcome.error = Some(error);
            return outcome;
        }
    };
    for seed in 1..=14 {
        let batches: &[_] = match seed {
            5 => &[
                (1, 2, 900),
                (2, 1, 900),
                (1, 1, 900),
                (1, 1, 900),
                (2, 1, 900),
                (1, 1, 900),
                (1, 1, 900),
                (2, 1, 900),
                (1, 1, 900),
                (1, 1, 900),
                (2, 1, 900),
                (1, 1, 900),
            ],
            8 => &[(3, 1, 6000)],
            _ => &[(1, 3, 700), (2, 2, 400)],
        };
        let step = open
            .group((seed, seed * 2), batches, &mut outcome.expected)
            .and_then(|()| open.keep(seed * 2));
        outcome.starts = starts(&open);
        if let Err(error) = step {
            outcome.error = Some(error);
            return outcome;
        }
    }
    outcome
}

pub(crate) fn goes_on(house: &House, outcome: &Outcome, case: &str) {
    let opened = house.open();
    assert!(opened.is_ok(), "{case}: {:?}", opened.map(drop));
    let mut open = opened.expect("asserted");
    assert!(
        open.recovered.damage.is_empty(),
        "{case}: {:?}",
        open.recovered
    );
    let found = starts(&open);
    let never_back = found
        .iter()
        .zip(&outcome.starts)
        .all(|(now, before)| now >= before);
    assert!(
        never_back,
        "{case}: starts {found:?} after {:?}",
        outcome.starts
    );
    let mut expected = outcome.found(&open);
    expected.check(&open.log, false, case);
    for seed in 50..54 {
        open.group((seed, seed), &[(1, 3, 700), (2, 2, 400)], &mut expected)
            .expect("appends");
        open.keep(seed).expect("keeps");
    }
    expected.check(&open.log, false, &format!("{case}, went on"));
    let visible = starts(&open);
    drop(open);
    let open = house.killed().open().expect("opens");
    expected.check(&open.log, false, &format!("{case}, killed"));
    assert_eq!(starts(&open), visible, "{case}, killed");
}

fn small_house() -> House {
    House::new(keep_bytes(7 * 4096))
}

#[test]
fn the_run_seals_deletes_and_recovers_without_a_fault() {
    let house = small_house();
    let outcome = run(&house);
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert!(outcome.starts[0] > 0, "retention deleted something");
    let kinds: Vec<_> = house.disk.operations().iter().map(|o| o.kind).collect();
    assert!(kinds.contains(&OperationKind::Rename) && kinds.contains(&OperationKind::Remove));
    goes_on(&house.killed(), &outcome, "no fault");
    goes_on(&house.forgetful(), &outcome, "no fault, sled forgot");
}

#[test]
fn power_may_fail_at_every_operation_of_sealing_and_retention() {
    let whole = small_house();
    run(&whole);
    for number in 0..whole.disk.operation_count() {
        let house = small_house();
        house.disk.fail_at(number, Fault::Crash);
        let outcome = run(&house);
        assert!(house.disk.has_crashed(), "{number}");
        for (name, disk) in disks_after(&house.disk, number) {
            goes_on(
                &house.after(disk),
                &outcome,
                &format!("crash at {number}, {name}"),
            );
        }
    }
}

#[test]
fn power_may_fail_again_at_every_operation_of_the_start() {
    let whole = small_house();
    run(&whole);
    for number in (0..whole.disk.operation_count()).step_by(7) {
        let house = small_house();
        house.disk.fail_at(number, Fault::Crash);
        let outcome = run(&house);
        for (name, disk) in disks_after(&house.disk, number) {
            let once = house.after(disk);
            let first = once.killed();
            drop(first.open());
            for again in 0..first.disk.operation_count() {
                let second = once.killed();
                second.disk.fail_at(again, Fault::Crash);
                drop(second.open());
                let cut = second.disk.power_cut(PowerCut::Seeded(again));
                let case = format!("crash at {number}, {name}, then at {again}");
                let open = second.after(cut).open();
                assert!(open.is_ok(), "{case}: {:?}", open.map(drop));
                let open = open.expect("asserted");
                assert!(open.recovered.damage.is_empty(), "{case}");
                outcome.found(&open).check(&open.log, false, &case);
            }
        }
    }
}

#[test]
fn a_failed_write_or_sync_of_sealing_costs_nothing() {
    let whole = small_house();
    run(&whole);
    let operations = whole.disk.operations();
    let of_sealing = operations.iter().filter(|o| o.name.contains(".sealed.new"));
    let mut tried = 0;
    for operation in of_sealing.filter(|o| o.kind != OperationKind::Rename) {
        let house = small_house();
        house.disk.fail_at(operation.number, Fault::Io);
        let outcome = run(&house);
        assert!(
            outcome.error.is_none(),
            "{operation:?}: {:?}",
            outcome.error
        );
        for (name, disk) in disks_after(&house.disk, operation.number) {
            goes_on(
                &house.after(disk),
                &outcome,
                &format!("{operation:?} failed, {name}"),
            );
        }
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}
