//! A disk that fills up: met before a group needs the space, so that nothing is poisoned, and over when there is space
//! again.

use headwater_storage::{
    Journal, NewBatch, StorageError,
    disk::{SegmentStore, model::power::PowerCut},
};

use crate::world::{
    Expected, FOLDER, Machine, at, commit, counted, file_name, position, small, topic,
};

/// Bytes of all journal files.
fn used(machine: &Machine) -> u64 {
    let names = machine.disk.list(FOLDER).expect("lists");
    let bytes = names
        .iter()
        .map(|name| machine.disk.contents(&format!("{FOLDER}/{name}")));
    bytes
        .map(|bytes| bytes.expect("exists").len() as u64)
        .sum::<u64>()
}

fn is_full(result: Result<(), StorageError>) -> bool {
    let full = matches!(result, Err(StorageError::NoSpace(_)));
    assert!(full || result.is_ok(), "{result:?}");
    full
}

/// Appends once there is space; how often there was none.
fn append(machine: &Machine, journal: &mut Journal, batch: NewBatch) -> u32 {
    let mut waits = 0;
    while is_full(journal.ready_to_append(batch.bytes.len())) {
        waits += 1;
        assert!(waits < 3, "space was made");
        machine.disk.set_capacity(Some(used(machine) + 4096));
    }
    journal.append(at(0), batch).expect("appends");
    waits
}

fn finish(machine: &Machine, journal: &mut Journal, seed: u64) -> u32 {
    let mut waits = 0;
    while is_full(journal.ready_to_commit(&commit(seed))) {
        waits += 1;
        assert!(waits < 3, "space was made");
        machine.disk.set_capacity(Some(used(machine) + 4096));
    }
    journal.commit(at(0), commit(seed)).expect("commits");
    waits
}

#[test]
fn capture_waits_for_space_within_and_between_groups_and_goes_on() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    machine.disk.set_capacity(Some(used(&machine)));
    let (mut expected, mut waits) = (Expected::default(), 0);
    for seed in 0..40 {
        // Every fifth group is larger than a file.
        let parts = if seed % 5 == 0 { 9 } else { 1 };
        for part in 0..parts {
            let batch = counted(1 + u32::from(part % 2 == 0), seed + part, 3, 700);
            expected.add(&batch);
            waits += append(&machine, &mut journal, batch);
        }
        waits += finish(&machine, &mut journal, seed);
        expected.position = Some(position(seed));
        assert_eq!(Expected::of(&log, &journal), expected, "group {seed}");
    }
    assert!(waits > 10, "the disk was full {waits} times");
    let cut = machine.after(machine.disk.power_cut(PowerCut::LoseAll));
    let (journal, log, recovered) = cut.open().expect("opens");
    assert!(
        recovered.damage.is_empty() && recovered.torn_tail.is_none(),
        "{recovered:?}"
    );
    assert_eq!(Expected::of(&log, &journal), expected);
}

#[test]
fn a_file_that_could_not_be_made_leaves_nothing_behind() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    let before = machine.disk.list(FOLDER).expect("lists");
    machine.disk.set_capacity(Some(used(&machine) + 1000));
    while !is_full(journal.ready_to_append(700)) {
        journal
            .append(at(0), counted(1, 1, 3, 700))
            .expect("appends");
    }
    let after = machine.disk.list(FOLDER).expect("lists");
    assert!(after.len() <= before.len() + 1, "{after:?}");
    let short = after
        .iter()
        .map(|name| machine.disk.contents(&format!("{FOLDER}/{name}")));
    assert!(
        short
            .map(|bytes| bytes.map_or(0, |bytes| bytes.len()))
            .all(|length| length == 4096),
        "no part of a file"
    );
}

#[test]
fn a_group_that_waits_for_space_can_be_taken_back_on_a_full_disk() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    finish(&machine, &mut journal, 1);
    machine.disk.set_capacity(Some(used(&machine)));
    let mut appended = 0;
    while !is_full(journal.ready_to_append(700)) {
        journal
            .append(at(0), counted(1, 1, 3, 700))
            .expect("appends");
        appended += 1;
    }
    assert!(appended > 4, "it is in its second file");
    journal.rewind().expect("needs no space");
    assert_eq!(log.ends(topic(1)).expect("is known").end, 0);
    finish(&machine, &mut journal, 2);
    drop(journal);
    let (journal, _, recovered) = machine.killed().open().expect("opens");
    assert!(recovered.damage.is_empty());
    assert_eq!(
        journal.position(crate::world::SOURCE),
        Some(&position(2)[..])
    );
}

#[test]
fn a_start_on_a_full_disk_opens_the_journal_and_serves_it() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 0..12 {
        let batch = counted(1, seed, 3, 700);
        expected.add(&batch);
        append(&machine, &mut journal, batch);
        finish(&machine, &mut journal, seed);
        expected.position = Some(position(seed));
    }
    drop(journal);
    let killed = machine.killed();
    killed.disk.set_capacity(Some(0));
    let (mut journal, log, _) = killed.open().expect("opens");
    assert_eq!(Expected::of(&log, &journal), expected);
    let last = killed.disk.list(FOLDER).expect("lists").len();
    while !is_full(journal.ready_to_append(700)) {
        journal
            .append(at(0), counted(1, 99, 3, 700))
            .expect("appends");
    }
    assert_eq!(killed.disk.list(FOLDER).expect("lists").len(), last);
    assert!(killed.disk.contents(&file_name(1)).is_some());
}

#[test]
fn a_new_journal_on_a_full_disk_says_so_and_is_made_when_there_is_space() {
    let machine = Machine::new(small());
    machine.disk.set_capacity(Some(2000));
    let error = machine.open().expect_err("is full");
    assert!(matches!(error, StorageError::NoSpace(_)), "{error:?}");
    assert!(error.to_string().contains("free some space"), "{error}");
    machine.disk.set_capacity(None);
    machine.open().expect("opens");
}

#[test]
fn a_frame_with_a_file_of_its_own_waits_for_all_of_its_space() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    machine.disk.set_capacity(Some(1 << 20));
    assert!(is_full(journal.ready_to_append(100_000)));
    machine.disk.set_capacity(None);
    assert!(!is_full(journal.ready_to_append(100_000)));
    journal
        .append(at(0), counted(1, 1, 3, 100_000))
        .expect("appends");
    finish(&machine, &mut journal, 1);
}
