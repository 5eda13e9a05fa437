//! Journal files that are used again: full of what was stored before, and nothing of it ever counts.

use headwater_storage::{
    JournalOptions, NewBatch, Recovered, StorageError, check,
    disk::{
        SegmentStore,
        model::{
            ModelDisk,
            fault::{Fault, OperationKind},
            power::PowerCut,
        },
    },
    frame::{FrameHeader, Kind, commit::CommitFrame, commit::CommitPlace},
};

use crate::{
    house::{House, Open, Stored, at, keep_all, keep_bytes},
    sealing_crash::{Outcome, disks_after, goes_on, starts},
    world::{FOLDER, counted, file_name, small},
};

/// The shortest that is used again.
const FILE_BYTES: u64 = 32 * 1024;
const HEAD_BYTES: usize = 8192;

fn house_of(keeper: headwater_storage::KeeperOptions) -> House {
    House {
        journal: JournalOptions {
            file_bytes: FILE_BYTES,
            write_bytes: 4096,
            ring_bytes: 4096,
            ..small()
        },
        ..House::new(headwater_storage::KeeperOptions {
            step_bytes: 16 * 1024,
            ..keeper
        })
    }
}

fn house() -> House {
    house_of(keep_all())
}

/// Three to a file.
const GROUP: [(u32, u8, usize); 2] = [(1, 3, 6000), (2, 2, 2500)];

/// A house with a log in whose newest file, a recycled one, a few groups are.
fn lived_in(house: &House) -> (Open, Stored) {
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    let mut seed = 1;
    while recycled(&house.disk).len() < 3 || groups_in(&house.disk, newest(&open)) < 2 {
        open.group((seed, seed * 2), &GROUP, &mut expected)
            .expect("appends");
        open.keep(seed * 2).expect("keeps");
        seed += 1;
        assert!(seed < 60, "{:?}", house.files());
    }
    (open, expected)
}

fn newest(open: &Open) -> u64 {
    open.log.stats().newest_file
}

fn contents(disk: &ModelDisk, number: u64) -> Vec<u8> {
    disk.contents(&file_name(number)).expect("exists")
}

/// Numbers of the files that begin with an identity frame of their number.
fn recycled(disk: &ModelDisk) -> Vec<u64> {
    let names = disk.list(FOLDER).expect("lists");
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_suffix(".journal")?.parse().ok());
    let is_one = |number: &u64| {
        let header = FrameHeader::parse(&contents(disk, *number)).ok();
        header.is_some_and(|header| header.kind == Kind::Identity && header.file == *number)
    };
    numbers.filter(is_one).collect()
}

/// Every header with the file's number and salt, wherever it stands.
fn frames(disk: &ModelDisk, number: u64) -> Vec<(usize, FrameHeader)> {
    let bytes = contents(disk, number);
    let salt = FrameHeader::parse(&bytes).map(|header| header.salt);
    let headers = (0..bytes.len()).step_by(8);
    let headers = headers.filter_map(|at| Some((at, FrameHeader::parse(&bytes[at..]).ok()?)));
    headers
        .filter(|(_, header)| header.file == number && Ok(header.salt) == salt)
        .collect()
}

fn groups_in(disk: &ModelDisk, number: u64) -> usize {
    let frames = frames(disk, number);
    let of_kind = |(_, header): &&(usize, FrameHeader)| header.kind == Kind::Commit;
    frames.iter().filter(of_kind).count()
}

fn is_clean(house: &House) -> bool {
    let report = check::check_on(&house.disk, Ok(&*house.meta), false).expect("is read");
    report.is_clean()
}

#[test]
fn sealed_files_are_used_again_and_everything_reads_as_before() {
    let house = house();
    let (mut open, mut expected) = lived_in(&house);
    expected.check(&open.log, false, "running");
    let number = newest(&open);
    let bytes = contents(&house.disk, number);
    let end = frames(&house.disk, number).last().map_or(0, |(at, _)| *at);
    assert!(
        bytes[end + 512..].iter().any(|byte| *byte != 0),
        "its former life is behind its frames"
    );
    let made = house.disk.operations();
    let made = made.iter().filter(|operation| {
        operation.kind == OperationKind::Create && operation.name.ends_with(".journal")
    });
    assert!(made.count() <= 5, "others are used again");
    for (case, again) in [
        ("killed", house.killed()),
        ("sled forgot", house.forgetful()),
    ] {
        assert!(is_clean(&again), "{case}");
        let open = again.open().expect(case);
        assert!(open.recovered.damage.is_empty(), "{:?}", open.recovered);
        assert_eq!(open.recovered.torn_tail, None, "{case}");
        expected.check(&open.log, false, case);
    }
    for seed in 70..90 {
        open.group((seed, seed * 2), &GROUP, &mut expected)
            .expect("appends");
        open.keep(seed * 2).expect("keeps");
    }
    expected.check(&open.log, false, "went on");
    open.journal.close().expect("closes");
    let open = house.killed().open().expect("opens");
    expected.check(&open.log, false, "after a clean stop");
}

#[test]
fn without_recycling_each_file_is_written_with_zeros() {
    let mut house = house();
    house.journal.recycle = false;
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    for seed in 1..30 {
        open.group((seed, seed * 2), &GROUP, &mut expected)
            .expect("appends");
        open.keep(seed * 2).expect("keeps");
        assert!(recycled(&house.disk).is_empty());
    }
    expected.check(&open.log, false, "zeros");
}

/// What somebody who knows everything but the salt could store to be taken for file `number`: a commit frame that names a
/// group far behind, then a frame of a newer version.
fn forged(number: u64) -> Vec<u8> {
    let body = CommitFrame {
        predecessor: CommitPlace {
            group: 900 << 40,
            file: number,
            position: 1 << 20,
        },
        commit_time_ms: None,
        schema_version: 1,
        sources: Vec::new(),
        topics: Vec::new(),
    }
    .encode();
    let mut header = FrameHeader::new(Kind::Commit, number, 77, 901 << 40);
    let mut bytes = [&header.seal(&body)[..], &body].concat();
    let mut newer = FrameHeader::new(Kind::Commit, number, 77, 902 << 40).seal(&[]);
    newer[4] = 99;
    let covered = [&newer[..12], &newer[16..60]].concat();
    newer[60..].copy_from_slice(&crc32fast::hash(&covered).to_be_bytes());
    bytes.extend(newer);
    assert_eq!(bytes.len() % 8, 0);
    bytes
}

/// A batch of nothing else, for each of these files.
fn forged_batch(seed: u64, numbers: std::ops::Range<u64>) -> (NewBatch, u8) {
    let mut batch = counted(1, seed, 3, 8000);
    let forged: Vec<u8> = numbers.flat_map(forged).collect();
    let room = &mut batch.bytes[64..7992];
    for (place, byte) in room.iter_mut().zip(forged.iter().cycle()) {
        *place = *byte;
    }
    (batch, 3)
}

#[test]
fn rows_that_look_like_frames_of_the_next_files_never_count() {
    let house = house();
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    let mut cut_at = 0;
    for seed in 1..26 {
        // The file that these rows are in is used again under one of these numbers.
        let next = newest(&open);
        let batches = (0..3).map(|part| forged_batch(seed * 10 + part, next + 2..next + 9));
        open.group_of((seed, seed * 2), batches.collect(), &mut expected)
            .expect("appends");
        open.keep(seed * 2).expect("keeps");
        let hostile = recycled(&house.disk);
        let full = hostile.iter().filter(|number| {
            let bytes = contents(&house.disk, **number);
            let forged = forged(**number);
            let places = (HEAD_BYTES..bytes.len() - forged.len()).step_by(8);
            places.clone().any(|at| bytes[at..].starts_with(&forged))
        });
        cut_at += full.count();
        for (case, again) in [
            ("killed", house.killed()),
            ("sled forgot", house.forgetful()),
            ("lost", house.after(house.disk.power_cut(PowerCut::LoseAll))),
        ] {
            let case = format!("{case} after {seed}");
            let open = again.open();
            assert!(open.is_ok(), "{case}: {:?}", open.map(drop));
            let open = open.expect("asserted");
            assert!(open.recovered.damage.is_empty(), "{case}");
            assert_eq!(open.recovered.torn_tail, None, "{case}");
            assert!(open.recovered.group < 900 << 40, "{case}");
            assert!(is_clean(&again), "{case}");
        }
    }
    assert!(cut_at > 10, "rows were where frames could be: {cut_at}");
    expected.check(&open.log, false, "all");
}

/// The house after its process was killed within a group that fills `parts` batches.
fn torn(house: &House, open: &mut Open, parts: u64) -> House {
    for part in 0..parts {
        let batch = counted(1, 500 + part, 3, 4000);
        open.journal.append(at(900), batch).expect("appends");
    }
    house.killed()
}

fn reopened(house: &House, expected: &Stored, case: &str) -> Recovered {
    let open = house.open();
    assert!(open.is_ok(), "{case}: {:?}", open.map(drop));
    let open = open.expect("asserted");
    expected.check(&open.log, false, case);
    open.recovered.clone()
}

#[test]
fn an_unfinished_group_is_taken_off_a_recycled_file_wherever_its_frames_are() {
    let whole = house();
    let (mut open, expected) = lived_in(&whole);
    let number = newest(&open);
    let before = frames(&whole.disk, number).len();
    let after = torn(&whole, &mut open, 2);
    let unfinished = frames(&after.disk, number);
    assert!(unfinished.len() > before, "some of it was written");
    for (case, hide) in [("as it is", false), ("its first header torn", true)] {
        for again in [after.killed(), after.forgetful()] {
            let (first, _) = unfinished[before];
            let again = again.patched(&file_name(number), |bytes| {
                bytes[first + 20] ^= u8::from(hide);
            });
            let recovered = reopened(&again, &expected, case);
            assert!(recovered.damage.is_empty(), "{case}: {recovered:?}");
            if unfinished.len() > before + usize::from(hide) {
                let cut = recovered.torn_tail.expect(case);
                assert_eq!((cut.file, cut.position), (number, first as u64), "{case}");
            }
            assert_eq!(frames(&again.disk, number).len(), before, "{case}");
            let second = reopened(&again.killed(), &expected, case);
            assert_eq!(second.torn_tail, None, "{case}: cut once");
        }
    }
}

#[test]
fn a_group_over_several_recycled_files_is_rewound() {
    let house = house();
    let (mut open, mut expected) = lived_in(&house);
    for _ in 0..2 {
        torn(&house, &mut open, 20);
        open.journal.rewind().expect("rewinds");
        for (case, again) in [("killed", house.killed()), ("forgot", house.forgetful())] {
            let recovered = reopened(&again, &expected, case);
            assert!(recovered.damage.is_empty(), "{case}: {recovered:?}");
        }
        for seed in 600..606 {
            open.group((seed, seed), &GROUP, &mut expected)
                .expect("appends");
            open.keep(seed).expect("keeps");
        }
    }
    expected.check(&open.log, false, "rewound twice");
}

#[test]
fn a_damaged_frame_in_a_recycled_file_is_damage_and_never_a_torn_tail() {
    let whole = house();
    let (open, _) = lived_in(&whole);
    let number = newest(&open);
    let frames = frames(&whole.disk, number);
    let of_groups = frames
        .iter()
        .filter(|(_, header)| matches!(header.kind, Kind::Data | Kind::Commit));
    let commits = frames.iter().rev();
    let mut commits = commits.filter(|(_, header)| header.kind == Kind::Commit);
    let last = commits.next().expect("has groups").0;
    // Without sled nothing proves the last group.
    let proven = commits.next().expect("has two").0;
    let mut tried = 0;
    for (at, header) in of_groups.filter(|(at, _)| *at < last) {
        for (case, again) in [("killed", whole.killed()), ("forgot", whole.forgetful())] {
            if case == "forgot" && *at > proven {
                continue;
            }
            let case = format!("{case}, {:?} frame at {at}", header.kind);
            let damaged = again.patched(&file_name(number), |bytes| bytes[at + 9] ^= 1);
            assert!(!is_clean(&damaged), "{case}");
            let open = damaged.open();
            assert!(open.is_ok(), "{case}: {:?}", open.map(drop));
            let open = open.expect("asserted");
            assert!(!open.recovered.damage.is_empty(), "{case}");
            assert_eq!(open.recovered.torn_tail, None, "{case}");
            let now = self::frames(&damaged.disk, number).len();
            assert_eq!(now, frames.len() - 1, "{case}: nothing was cut");
            tried += 1;
        }
    }
    assert!(tried >= 6, "{tried}");
}

#[test]
fn every_flipped_byte_of_a_recycled_file_is_found_and_never_served() {
    let whole = house();
    let (open, expected) = lived_in(&whole);
    let number = newest(&open);
    open.journal.close().expect("closes");
    let name = file_name(number);
    for (at, header) in frames(&whole.disk, number) {
        let end = at + 64 + header.length as usize;
        // Of rows and zeros one byte in some.
        let step = if header.length > 2000 { 1009 } else { 3 };
        for byte in (at..at + 64).chain((at + 64..end).step_by(step)) {
            let case = format!("{:?} frame at {at}, byte {byte}", header.kind);
            let damaged = whole.killed();
            let bit = u8::try_from(byte * 5 % 8).expect("small");
            damaged.disk.flip_bit(&name, byte as u64, bit);
            assert!(!is_clean(&damaged), "{case}");
            match damaged.open() {
                Ok(open) if open.recovered.lost_positions.is_empty() => {
                    assert_eq!(open.recovered.torn_tail, None, "{case}");
                    served(&open, &expected, &case);
                }
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().contains('\n'), "{case}: {error}"),
            }
        }
    }
}

/// What can be read of the first topic is right.
fn served(open: &Open, expected: &Stored, case: &str) {
    let topic = headwater_storage::TopicNumber(1);
    let end = expected.ends[&1];
    for offset in (end - 18..end).step_by(3) {
        if let Ok(pieces) = open.log.read(topic, offset, 1) {
            let first = crate::world::split(&pieces[0]);
            assert_eq!(first[0], expected.batch(1, offset), "{case}: {offset}");
        }
    }
}

/// Groups, one over several files, with sealing, recycling and retention between them.
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
    let long: Vec<_> = (0..9).map(|part| (1 + part % 2, 1, 8000)).collect();
    for seed in 1..=16 {
        let batches = if seed == 13 { &long[..] } else { &BIG };
        let step = open
            .group((seed, seed * 2), batches, &mut outcome.expected)
            .and_then(|()| open.keep(seed * 2).map(drop));
        outcome.starts = starts(&open);
        if let Err(error) = step {
            outcome.error = Some(error);
            return outcome;
        }
    }
    outcome
}

/// Two to a file.
const BIG: [(u32, u8, usize); 2] = [(1, 3, 7000), (2, 2, 4000)];

fn crash_house() -> House {
    house_of(keep_bytes(6 * FILE_BYTES))
}

/// The numbers of operations behind the first use of a recycled file: all in which one is made, and some of the others.
fn operations_of_interest() -> Vec<u64> {
    let whole = crash_house();
    let outcome = run(&whole);
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    goes_on(&whole.killed(), &outcome, "no fault");
    let operations = whole.disk.operations();
    let is_reuse = |name: &str, kind| kind == OperationKind::Rename && name.ends_with(".journal");
    let first = operations
        .iter()
        .position(|operation| is_reuse(&operation.name, operation.kind));
    let first = first.expect("files are used again");
    assert!(recycled(&whole.disk).len() >= 2, "{:?}", whole.files());
    let first = u64::try_from(first).expect("small");
    let is_near = |number: u64| {
        let reuses = operations.iter();
        let mut reuses = reuses.filter(|operation| is_reuse(&operation.name, operation.kind));
        reuses.any(|reuse| (reuse.number.saturating_sub(4)..reuse.number + 7).contains(&number))
    };
    let all = first - 3..whole.disk.operation_count();
    all.filter(|number| is_near(*number) || number % 5 == 0)
        .collect()
}

#[test]
fn power_may_fail_at_every_operation_of_recycling() {
    for number in operations_of_interest() {
        let house = crash_house();
        house.disk.fail_at(number, Fault::Crash);
        let outcome = run(&house);
        assert!(house.disk.has_crashed(), "{number}");
        for (name, disk) in disks_after(&house.disk, number) {
            let case = format!("crash at {number}, {name}");
            let again = house.after(disk);
            if number % 4 == 0 {
                goes_on(
                    &again.forgetful(),
                    &outcome,
                    &format!("{case}, sled forgot"),
                );
            }
            goes_on(&again, &outcome, &case);
        }
    }
}

#[test]
fn a_write_may_be_torn_anywhere_in_a_recycled_file() {
    let whole = crash_house();
    run(&whole);
    let operations = whole.disk.operations();
    let wanted = operations_of_interest();
    let writes = operations.iter().filter(|operation| {
        operation.kind == OperationKind::Write
            && operation.name.ends_with(".journal")
            && operation.number >= wanted[0]
    });
    let writes = writes.step_by(3);
    let mut tried = 0;
    for operation in writes {
        let length = operation.range.end - operation.range.start;
        for part in [2, 5] {
            let house = crash_house();
            let written = usize::try_from(length * part / 8).expect("small");
            house
                .disk
                .fail_at(operation.number, Fault::CrashAfter(written));
            let outcome = run(&house);
            for (name, disk) in disks_after(&house.disk, operation.number + part) {
                let case = format!("{operation:?} torn at {written}, {name}");
                goes_on(&house.after(disk), &outcome, &case);
            }
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn what_fails_while_a_file_is_made_from_another_is_final_and_loses_nothing() {
    let whole = crash_house();
    run(&whole);
    let operations = whole.disk.operations();
    let reuses = operations.iter().filter(|operation| {
        operation.kind == OperationKind::Rename && operation.name.ends_with(".journal")
    });
    let reuses: Vec<u64> = reuses.map(|operation| operation.number).collect();
    assert!(reuses.len() >= 2, "{reuses:?}");
    for rename in reuses {
        // The identity frames, their sync, the new name, its sync.
        for number in rename - 2..=rename + 1 {
            let house = crash_house();
            house.disk.fail_at(number, Fault::Io);
            let outcome = run(&house);
            if let Some(error) = &outcome.error {
                assert!(matches!(error, StorageError::Poisoned(_)), "{error}");
            }
            for (name, disk) in disks_after(&house.disk, number) {
                let case = format!("failed at {number}, {name}");
                goes_on(&house.after(disk), &outcome, &case);
            }
        }
    }
}

#[test]
fn a_full_disk_takes_the_file_that_waits_for_the_next_one_or_for_space() {
    let house = house();
    let (mut open, mut expected) = lived_in(&house);
    let waiting = |house: &House| {
        let files = house.files();
        let both = |name: &&String| {
            let stem = name.strip_suffix(".sealed");
            stem.is_some_and(|stem| files.contains(&format!("{stem}.journal")))
        };
        files.iter().filter(both).count()
    };
    let mut seed = 100;
    while waiting(&house) == 0 {
        open.group((seed, seed * 2), &GROUP, &mut expected)
            .expect("appends");
        open.keep(seed * 2).expect("keeps");
        seed += 1;
    }
    assert_eq!(waiting(&house), 1, "only one waits");
    let low = house.killed();
    open.keeper.want_space(1000);
    open.keep(seed * 2).expect("keeps");
    assert_eq!(waiting(&house), 0, "it goes first");
    assert_eq!(starts(&open), vec![0; 3], "and that was enough");
    drop(open);

    // A start removes it; capture goes on when there is room.
    let open = low.open().expect("opens");
    assert_eq!(waiting(&low), 0);
    expected.check(&open.log, false, "after a start");
}

#[test]
fn a_directory_whose_durable_end_says_that_files_were_used_again_is_refused_by_older_versions() {
    let house = house();
    let (open, _) = lived_in(&house);
    open.journal.close().expect("closes");
    let number = newest_of(&house);
    // What those look at first: the version of the durable end, and the kind of the first frame.
    let key = [&[0x20][..], &1u32.to_be_bytes()].concat();
    let noted = headwater_storage::meta::MetaStore::get(&*house.meta, &key);
    let noted = noted.expect("reads").expect("is noted");
    assert_eq!(noted[0], 2);
    assert_eq!(contents(&house.disk, number)[..5], *b"hwj\x01\x05");
    // So do we with what is newer than us.
    let newer = house.patched(&file_name(number), |bytes| {
        for at in [0, 4096] {
            bytes[at + 4] = 6;
            let covered = [&bytes[at..at + 12], &bytes[at + 16..at + 60]].concat();
            let crc = crc32fast::hash(&covered).to_be_bytes();
            bytes[at + 60..at + 64].copy_from_slice(&crc);
        }
    });
    let refused = newer.open().map(drop).expect_err("is refused");
    assert!(matches!(refused, StorageError::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

fn newest_of(house: &House) -> u64 {
    let recycled = recycled(&house.disk);
    let used = recycled.iter().rev();
    let mut used = used.filter(|number| groups_in(&house.disk, **number) > 0);
    *used.next().expect("one is in use")
}
