//! Torn tails and damage: told apart, reported, isolated.

use headwater_storage::{
    Journal, Log, ReadError, StorageError,
    disk::{SegmentStore, model::ModelDisk},
    frame::{FrameHeader, Kind},
};

use crate::world::{Expected, Machine, at, commit, counted, file_name, position, small, topic};

/// Files of 64 KiB: everything in one.
pub(crate) fn one_file() -> Machine {
    Machine::new(headwater_storage::JournalOptions {
        file_bytes: 65_536,
        ..small()
    })
}

pub(crate) fn append_group(journal: &mut Journal, expected: &mut Expected, seed: u64) {
    for batch in [counted(1, seed, 3, 120), counted(2, seed, 2, 90)] {
        expected.add(&batch);
        journal.append(at(0), batch).expect("appends");
    }
    journal.commit(at(0), commit(seed)).expect("commits");
    expected.position = Some(position(seed));
}

/// Position and header of every frame of the file, found by walking it.
pub(crate) fn frames(disk: &ModelDisk, number: u64) -> Vec<(usize, FrameHeader)> {
    let bytes = disk.contents(&file_name(number)).expect("exists");
    let mut frames = Vec::new();
    let mut at = 0;
    while let Ok(header) = FrameHeader::parse(&bytes[at..]) {
        frames.push((at, header));
        at += usize::try_from(header.frame_bytes()).expect("small");
    }
    frames
}

/// Puts `bytes` over the file, durable.
pub(crate) fn patched(machine: &Machine, number: u64, patch: impl FnOnce(&mut Vec<u8>)) -> Machine {
    let after = machine.killed();
    let mut bytes = after.disk.contents(&file_name(number)).expect("exists");
    patch(&mut bytes);
    after.disk.put(&file_name(number), &bytes);
    after
}

#[test]
fn the_last_group_torn_at_every_byte_is_cut_as_a_whole() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    append_group(&mut journal, &mut expected, 1);
    append_group(&mut journal, &mut expected, 2);
    let whole = expected.clone();
    append_group(&mut journal, &mut expected, 3);
    let frames = frames(&machine.disk, 1);
    let (last, _) = frames[frames.len() - 4];
    let end = frames
        .last()
        .map(|(at, header)| at + usize::try_from(header.frame_bytes()).expect("small"));
    let from = frames[frames.len() - 3].0;
    assert!(last < from);
    for cut in from..end.expect("has frames") {
        for fill in [0, 0xFF] {
            let torn = patched(&machine, 1, |bytes| {
                let end = bytes.len();
                bytes[cut..cut + 256.min(end - cut)].fill(fill);
            });
            let (mut journal, log, recovered) = torn.open().expect("opens");
            let found = Expected::of(&log, &journal);
            // Filling behind a frame's body is covered by no checksum: it does not matter.
            if found == expected {
                let torn_bytes = torn.disk.contents(&file_name(1)).expect("exists");
                let same = machine.disk.contents(&file_name(1)).expect("exists");
                assert!(
                    fill == 0xFF || torn_bytes[..cut + 8] == same[..cut + 8],
                    "cut at {cut}"
                );
                continue;
            }
            assert_eq!(found, whole, "cut at {cut} with {fill}");
            assert!(recovered.damage.is_empty(), "cut at {cut}: {recovered:?}");
            assert!(recovered.torn_tail.is_some(), "cut at {cut}: nothing said");
            let bytes = torn.disk.contents(&file_name(1)).expect("exists");
            assert!(
                bytes[from..].iter().all(|byte| *byte == 0),
                "cut at {cut}: not zeroed"
            );
            append_group(&mut journal, &mut whole.clone(), 4);
        }
    }
}

#[test]
fn a_damaged_body_costs_its_own_offsets_only() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=5 {
        append_group(&mut journal, &mut expected, seed);
    }
    let frames = frames(&machine.disk, 1);
    for (at, header) in frames
        .iter()
        .filter(|(_, header)| header.kind == Kind::Data)
    {
        if header.group == frames.last().expect("has frames").1.group {
            continue;
        }
        let damaged = patched(&machine, 1, |bytes| bytes[at + 70] ^= 1);
        let (mut journal, log, recovered) = damaged.open().expect("opens");
        assert_eq!(recovered.torn_tail, None);
        let (from, to) = (header.base_offset, header.end_offset());
        assert_eq!(recovered.damage.len(), 1, "{recovered:?}");
        assert_eq!(recovered.damage[0].offsets, [(header.topic, from, to)]);
        check_hole(&log, header.topic.0, &expected, from, to);
        append_group(&mut journal, &mut expected.clone(), 6);
        let end = expected.ends[&1];
        assert!(
            log.read(topic(1), end, 1000).is_ok(),
            "appends go on behind it"
        );
    }
}

/// Every offset of the topic is readable but `from..to`.
fn check_hole(log: &Log, number: u32, expected: &Expected, from: i64, to: i64) {
    for offset in 0..expected.ends[&number] {
        let found = log.read(topic(number), offset, 1);
        if (from..to).contains(&offset) {
            let error = found.expect_err("is damaged");
            let named = matches!(error, ReadError::Corrupt { from, to: end, .. } if from <= offset && end == to);
            assert!(named, "offset {offset}: {error}");
        } else {
            let batches = found.expect("is not damaged");
            assert!(expected.batches[&number].contains(&batches[0].to_vec()));
        }
    }
}

#[test]
fn a_damaged_header_costs_its_own_offsets_only() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=5 {
        append_group(&mut journal, &mut expected, seed);
    }
    let frames = frames(&machine.disk, 1);
    let last = frames.last().expect("has frames").1.group;
    for (at, header) in frames.iter().filter(|(_, header)| header.group < last) {
        let damaged = patched(&machine, 1, |bytes| bytes[at + 20] ^= 1);
        let (mut journal, log, recovered) = damaged.open().expect("opens");
        assert_eq!(recovered.torn_tail, None);
        assert_eq!(
            recovered.lost_positions, [0u16; 0],
            "a later commit frame has it"
        );
        assert_eq!(recovered.damage.len(), 1, "{header:?}: {recovered:?}");
        let (from, to) = match header.kind {
            Kind::Data => (header.base_offset, header.end_offset()),
            Kind::Commit | Kind::Checkpoint | Kind::Footer | Kind::Identity => (0, 0),
        };
        let offsets = &recovered.damage[0].offsets;
        assert_eq!(
            offsets.len(),
            usize::from(header.kind == Kind::Data),
            "{recovered:?}"
        );
        for number in [1, 2] {
            let here = header.kind == Kind::Data && header.topic == topic(number);
            let (from, to) = if here { (from, to) } else { (0, 0) };
            check_hole(&log, number, &expected, from, to);
        }
        assert_eq!(journal.position(1), Some(position(5).as_slice()));
        append_group(&mut journal, &mut expected.clone(), 6);
    }
}

#[test]
fn damage_below_the_durable_end_is_never_cut() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=3 {
        append_group(&mut journal, &mut expected, seed);
    }
    journal.note_durable_end(at(5)).expect("notes");
    let frames = frames(&machine.disk, 1);
    let (at, header) = frames[frames.len() - 2];
    // The same damage in the last group is a torn tail without the note.
    let damaged = patched(&machine, 1, |bytes| bytes[at + 20] ^= 1);
    let (_, log, recovered) = damaged.without_meta().killed().open().expect("opens");
    assert!(
        recovered.torn_tail.is_some() && recovered.damage.is_empty(),
        "{recovered:?}"
    );
    assert_eq!(log.ends(topic(2)).map(|ends| ends.end), Some(4));

    let before = damaged.disk.contents(&file_name(1));
    let (journal, log, recovered) = damaged.open().expect("opens");
    assert_eq!(recovered.torn_tail, None);
    assert_eq!(
        recovered.damage[0].offsets,
        [(header.topic, header.base_offset, header.end_offset())]
    );
    check_hole(&log, 2, &expected, header.base_offset, header.end_offset());
    assert_eq!(journal.position(1), Some(position(3).as_slice()));
    assert_eq!(
        damaged.disk.contents(&file_name(1)),
        before,
        "nothing is changed"
    );
}

#[test]
fn a_lost_position_stops_appends_and_leaves_reads() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=3 {
        append_group(&mut journal, &mut expected, seed);
    }
    journal.close().expect("closes");
    let (at, _) = *frames(&machine.disk, 1).last().expect("has frames");
    let damaged = patched(&machine, 1, |bytes| bytes[at + 100] ^= 1);
    let (mut journal, log, recovered) = damaged.open().expect("opens");
    assert_eq!(recovered.lost_positions, [1]);
    let refused = journal.append(crate::world::at(0), counted(1, 9, 1, 100));
    assert!(
        matches!(refused, Err(StorageError::Damaged(_))),
        "{refused:?}"
    );
    let refused = journal.commit(crate::world::at(0), commit(9));
    assert!(
        matches!(refused, Err(StorageError::Damaged(_))),
        "{refused:?}"
    );
    let end = log.ends(topic(1)).map(|ends| ends.end);
    assert_eq!(end, Some(9), "the data frames of the group are there");
    assert!(log.read(topic(1), 8, 1000).is_ok());
}

#[test]
fn damage_in_a_finished_file_is_met_by_its_readers_only() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=40 {
        append_group(&mut journal, &mut expected, seed);
    }
    journal.note_durable_end(at(5)).expect("notes");
    let frames = frames(&machine.disk, 2);
    let mut data = frames.iter().filter(|(_, header)| header.topic == topic(1));
    let (at, header) = *data.nth(1).expect("several");
    let (from, to) = (header.base_offset, header.end_offset());
    for place in [at + 70, at + 20] {
        let damaged = patched(&machine, 2, |bytes| bytes[place] ^= 1);
        let (_, log, recovered) = damaged.open().expect("opens");
        assert!(
            recovered.damage.is_empty(),
            "it is not looked at: {recovered:?}"
        );
        check_hole(&log, 1, &expected, from, to);
        check_hole(&log, 2, &expected, 0, 0);
    }
}

#[test]
fn a_damaged_footer_is_found_again_by_a_scan() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=40 {
        append_group(&mut journal, &mut expected, seed);
    }
    journal.note_durable_end(at(5)).expect("notes");
    let damaged = patched(&machine, 2, |bytes| {
        let end = bytes.len();
        bytes[end - 12] ^= 1;
    });
    for machine in [damaged.clone(), damaged.without_meta()] {
        let (journal, log, recovered) = machine.killed().open().expect("opens");
        assert!(
            recovered.damage.iter().all(|damage| damage.file == 2),
            "{recovered:?}"
        );
        assert!(
            recovered
                .damage
                .iter()
                .all(|damage| damage.offsets.is_empty()),
            "{recovered:?}"
        );
        assert_eq!(Expected::of(&log, &journal), expected);
    }
}

/// Where the commit entries of the file's footer begin and end.
fn commit_entries(machine: &Machine, number: u64) -> std::ops::Range<usize> {
    let bytes = machine.disk.contents(&file_name(number)).expect("exists");
    let (_, own) = bytes.split_last_chunk().expect("a footer");
    let footer = usize::try_from(u64::from_be_bytes(*own)).expect("small");
    let header = FrameHeader::parse(&bytes[footer..]).expect("a footer");
    let head = usize::try_from(header.topic.0).expect("small");
    footer + 64 + head..bytes.len() - 8
}

#[test]
fn a_start_does_not_read_the_commit_entries_of_files_before_the_durable_end() {
    let machine = Machine::new(headwater_storage::JournalOptions {
        file_bytes: 2 << 20,
        ..small()
    });
    let (mut journal, log, _) = machine.open().expect("opens");
    let mut expected = Expected::default();
    let mut seed = 0;
    while log.stats().newest_file < 4 {
        seed += 1;
        append_group(&mut journal, &mut expected, seed);
    }
    journal.note_durable_end(at(5)).expect("notes");
    let unreadable = machine.killed();
    for number in 1..=2 {
        let entries = commit_entries(&machine, number);
        // A read takes 64 KiB of a footer at once.
        let from = entries.start + 64 * 1024;
        assert!(from < entries.end, "{entries:?}");
        unreadable
            .disk
            .fail_reads(&file_name(number), from as u64..entries.end as u64);
    }
    let (journal, log, recovered) = unreadable.open().expect("opens");
    assert!(recovered.damage.is_empty(), "{recovered:?}");
    assert_eq!(Expected::of(&log, &journal), expected);
    // Without sled they all count, and are read.
    assert!(unreadable.without_meta().open().is_err());
}

#[test]
fn a_footer_is_whole_behind_the_durable_end_or_is_found_again_by_a_scan() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=40 {
        append_group(&mut journal, &mut expected, seed);
    }
    let entries = commit_entries(&machine, 2);
    let damaged = patched(&machine, 2, |bytes| bytes[entries.start] ^= 1);
    let (journal, log, recovered) = damaged.open().expect("opens");
    let files: Vec<_> = recovered.damage.iter().map(|damage| damage.file).collect();
    assert_eq!(files, [2], "{recovered:?}");
    assert_eq!(Expected::of(&log, &journal), expected);
}

#[test]
fn a_missing_file_is_damage_and_the_others_are_readable() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for seed in 1..=40 {
        append_group(&mut journal, &mut expected, seed);
    }
    journal.note_durable_end(at(5)).expect("notes");
    let newest = log.stats().newest_file;
    let gap = machine.killed();
    gap.disk.remove(&file_name(3)).expect("removes");
    for machine in [gap.clone(), gap.without_meta()] {
        let (journal, log, recovered) = machine.killed().open().expect("opens");
        assert!(
            recovered.damage.iter().any(|damage| damage.file == 3),
            "{recovered:?}"
        );
        assert_eq!(journal.position(1), Some(position(40).as_slice()));
        let readable =
            (0..expected.ends[&1]).filter(|offset| log.read(topic(1), *offset, 1).is_ok());
        let readable = i64::try_from(readable.count()).expect("small");
        assert!(readable > expected.ends[&1] / 2 && readable < expected.ends[&1]);
    }
    let gone = machine.killed();
    gone.disk.remove(&file_name(newest)).expect("removes");
    let refused = gone.open().map(drop).expect_err("the newest is missing");
    assert!(matches!(refused, StorageError::Damaged(_)), "{refused}");
}

#[test]
fn a_whole_group_behind_hidden_ones_counts_also_where_no_end_was_noted() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    append_group(&mut journal, &mut expected, 1);
    let only = counted(1, 2, 3, 400);
    expected.add(&only);
    journal.append(at(0), only).expect("appends");
    journal.commit(at(0), commit(2)).expect("commits");
    append_group(&mut journal, &mut expected, 3);
    let frames = frames(&machine.disk, 1);
    let mut commits = frames
        .iter()
        .filter(|(_, header)| header.kind == Kind::Commit);
    // It names one topic; where the others ended stood in the first one.
    let second = commits.nth(1).expect("there are three").0;
    let damaged = patched(&machine, 1, |bytes| {
        for (at, _) in frames.iter().filter(|(at, _)| *at < second) {
            bytes[at + 8] ^= 0x55;
        }
    });
    let (_, log, recovered) = damaged.open().expect("opens");
    assert_eq!(
        Expected::of_ends(&log),
        expected.ends,
        "the last group is there: {recovered:?}"
    );
}
