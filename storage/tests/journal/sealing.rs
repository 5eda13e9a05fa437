//! Sealing: what was read before it is read after it; damage, missing files, newer versions.

use headwater_storage::{Batches, KeeperEvent, StorageError, disk::SegmentStore};

use crate::{
    house::{House, Open, Stored, at, keep_all, sealed_name, taken},
    world::{file_name, topic},
};

/// Small groups in two topics, for seeds `from..to`. A second passes with each.
fn fill(open: &mut Open, expected: &mut Stored, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        open.group((seed, seed), &[(1, 3, 300), (2, 2, 200)], expected)
            .expect("appends");
    }
}

fn sealed(events: &[KeeperEvent]) -> Vec<u64> {
    let sealed = events.iter().filter_map(|event| {
        if let KeeperEvent::Sealed { file, .. } = event {
            Some(*file)
        } else {
            None
        }
    });
    sealed.collect()
}

/// A house with several sealed segments, closed as by kill -9.
fn with_segments() -> (House, Stored) {
    let house = House::new(keep_all());
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30);
    let events = open.keep(100).expect("keeps");
    assert!(sealed(&events).len() > 2, "{events:?}");
    (house.killed(), expected)
}

#[test]
fn all_but_the_newest_two_files_are_sealed_and_read_the_same() {
    let house = House::new(keep_all());
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30);
    expected.check(&open.log, false, "before");
    let newest = open.log.stats().newest_file;
    let events = open.keep(100).expect("keeps");
    assert_eq!(sealed(&events), (1..newest - 1).collect::<Vec<_>>());
    expected.check(&open.log, false, "sealed");
    let stats = open.log.stats();
    assert_eq!((stats.files, stats.sealed_files), (newest, newest - 2));
    for number in 1..newest - 1 {
        assert!(house.disk.contents(&file_name(number)).is_none());
    }
    for (house, case) in [
        (house.killed(), "restarted"),
        (house.forgetful(), "sled forgot"),
    ] {
        let mut open = house.open().expect("opens");
        assert!(open.recovered.damage.is_empty(), "{:?}", open.recovered);
        expected.check(&open.log, false, case);
        let mut expected = expected.clone();
        fill(&mut open, &mut expected, 50..60);
        open.keep(200).expect("keeps");
        expected.check(&open.log, false, case);
    }
}

#[test]
fn files_that_all_end_inside_some_group_are_sealed_in_turn() {
    let house = House::new(keep_all());
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    // Longer than a file each, so that no file ends between two groups.
    let batches = [(1, 1, 900); 12];
    for seed in 1..15 {
        open.group((seed, seed), &batches, &mut expected)
            .expect("commits");
    }
    let newest = open.log.stats().newest_file;
    let events = open.keep(100).expect("keeps");
    let sealed = sealed(&events);
    assert!(sealed.len() as u64 + 6 > newest, "{sealed:?} of {newest}");
    expected.check(&open.log, false, "sealed");
    drop(open);
    let open = house.killed().open().expect("opens");
    assert!(open.recovered.damage.is_empty(), "{:?}", open.recovered);
    expected.check(&open.log, false, "restarted");
}

#[test]
fn what_was_verified_is_sent_from_its_file_and_distrust_has_it_verified_again() {
    let (house, expected) = with_segments();
    let open = house.open().expect("opens");
    let read = || open.log.read_to_send(topic(1), 0, 1000).expect("reads");
    let is_in_file = |read: &[Batches]| matches!(read, [Batches::File(_)]);
    assert!(!is_in_file(&read()), "it is verified now");
    let sent = read();
    assert!(is_in_file(&sent), "one stretch: {sent:?}");
    let three = [0, 3, 6].map(|offset| expected.batch(1, offset)).concat();
    assert_eq!(taken(&sent[0]), three);

    let Batches::File(range) = &sent[0] else {
        panic!("{sent:?}");
    };
    open.log.distrust(range);
    assert!(!is_in_file(&read()), "it is verified again");
    assert!(is_in_file(&read()));
    // It outlives the file's name.
    let name = sealed_name(1);
    house.disk.remove(&name).expect("removes");
    assert_eq!(taken(&sent[0]), three);
}

/// Steele's splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// Groups of any size, over several files too, rewinds, idle advances, commit times that step back.
fn random_life(house: &House, expected: &mut Stored, seed: u64, rounds: u64) {
    let mut random = Random(seed);
    let mut open = house.open().expect("opens");
    for round in 1..=rounds {
        let size = if random.below(8) == 0 { 3000 } else { 500 };
        let many = if random.below(6) == 0 { 12 } else { 3 };
        let count = 1 + random.below(many);
        let batches: Vec<_> = (0..count)
            .map(|_| {
                let number = 1 + u32::try_from(random.below(3)).expect("small");
                let records = 1 + u8::try_from(random.below(5)).expect("small");
                let bytes = 62 + random.below(size);
                (number, records, usize::try_from(bytes).expect("small"))
            })
            .collect();
        let time = 1 + round * 10 - random.below(25).min(round * 10);
        if random.below(7) == 0 {
            let batch = crate::world::counted(1, time, 1, 900);
            open.journal.append(at(round), batch).expect("appends");
            open.journal.rewind().expect("rewinds");
        }
        let batches = if random.below(9) == 0 {
            &[][..]
        } else {
            &batches
        };
        open.group((time, round), batches, expected)
            .expect("appends");
        if random.below(3) == 0 {
            open.keep(round).expect("keeps");
        }
    }
    open.keep(rounds + 1).expect("keeps");
    expected.check(&open.log, false, &format!("seed {seed}"));
}

#[test]
fn any_workload_reads_the_same_before_and_after_sealing_and_after_a_restart() {
    for seed in 0..40 {
        let sealing = House::new(keep_all());
        let mut expected = Stored::default();
        random_life(&sealing, &mut expected, seed, 40);
        let files = sealing.files();
        assert!(
            files.iter().any(|file| file.ends_with(".sealed")),
            "{files:?}"
        );
        for (house, case) in [
            (sealing.killed(), "restart"),
            (sealing.forgetful(), "sled forgot"),
        ] {
            let open = house.open().expect("opens");
            assert!(
                open.recovered.damage.is_empty(),
                "seed {seed} {case}: {:?}",
                open.recovered
            );
            expected.check(&open.log, false, &format!("seed {seed}, {case}"));
        }
    }
}

#[test]
fn long_runs_of_large_batches_are_read_block_by_block() {
    let mut house = House::new(keep_all());
    house.journal.file_bytes = 2 << 20;
    house.journal.ring_bytes = 1 << 20;
    house.keeper.step_bytes = 100_000;
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    for seed in 1..40 {
        let batches = [
            (1, 2, 70_000),
            (2, 1, 62 + usize::try_from(seed).expect("small")),
        ];
        open.group((seed, seed), &batches, &mut expected)
            .expect("appends");
        open.group((seed, seed), &[(1, 1, 300_000)], &mut expected)
            .expect("appends");
    }
    let events = open.keep(100).expect("keeps");
    assert!(sealed(&events).len() >= 4, "{events:?}");
    expected.check(&open.log, false, "sealed");
    let pieces = open.log.read(topic(1), 0, 1 << 20).expect("reads");
    let bytes: usize = pieces.iter().map(bytes::Bytes::len).sum();
    assert!(bytes > 700_000, "{bytes}");
    assert!(
        pieces.len() < 6,
        "long pieces, not one a batch: {}",
        pieces.len()
    );
    // One of few crumbs in each file: one read goes over several files.
    let crumbs = open.log.read(topic(2), 0, 1 << 20).expect("reads");
    assert!(crumbs.len() > 3, "{}", crumbs.len());
}

#[test]
fn a_full_disk_ends_an_attempt_and_the_next_one_succeeds() {
    let house = House::new(keep_all());
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..25);
    house.disk.set_capacity(Some(0));
    let events = open.keep(30).expect("keeps");
    assert!(
        matches!(events[..], [KeeperEvent::SealFailed { file: 1, .. }]),
        "{events:?}"
    );
    house.disk.set_capacity(None);
    assert_eq!(open.keep(31).expect("keeps"), [], "not at once");
    assert!(sealed(&open.keep(60).expect("keeps")).contains(&1));
    expected.check(&open.log, false, "after a full disk");
}

#[test]
fn any_flipped_bit_of_a_segment_costs_a_bounded_range_and_never_gives_wrong_bytes() {
    let (house, expected) = with_segments();
    let segment = sealed_name(2);
    let length = house.disk.contents(&segment).expect("exists").len();
    let (mut noticed, mut worst) = (0, 0);
    for position in 0..length {
        let bit = position % 8;
        let damaged = house.patched(&segment, |bytes| bytes[position] ^= 1 << bit);
        let damaged = if position % 5 == 0 {
            damaged.forgetful()
        } else {
            damaged
        };
        let open = damaged.open();
        let case = format!("byte {position} bit {bit}");
        // Header and trailer: a version that is not known is refused, and nothing else is.
        let open = open.unwrap_or_else(|error| panic!("{case}: {error}"));
        let lost = expected.check(&open.log, true, &case);
        noticed += u64::from(lost > 0);
        worst = worst.max(lost);
    }
    assert!(
        noticed > length as u64 / 2,
        "most of it is batches: {noticed} of {length}"
    );
    assert!(
        worst <= 30,
        "one topic's records in one small segment: {worst}"
    );
}

#[test]
fn a_damaged_batch_costs_that_batch_only() {
    let mut house = House::new(keep_all());
    house.journal.file_bytes = 64 * 1024;
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..400);
    assert!(!sealed(&open.keep(500).expect("keeps")).is_empty());
    drop(open);
    let segment = sealed_name(1);
    let wanted = expected.batch(1, 30).to_vec();
    let bytes = house.disk.contents(&segment).expect("exists");
    let at = bytes
        .windows(wanted.len())
        .position(|window| window == wanted);
    let at = at.expect("a segment holds the batch as it is");
    for inside in 0..wanted.len() {
        let damaged = house.patched(&segment, |bytes| bytes[at + inside] ^= 0x10);
        let open = damaged.open().expect("opens");
        for offset in 20..40 {
            let read = open.log.read(topic(1), offset, 100_000);
            assert_eq!(
                read.is_err(),
                (30..33).contains(&offset),
                "byte {inside} offset {offset}: {read:?}"
            );
        }
    }
}

#[test]
fn a_damaged_journal_file_stays_and_the_others_are_sealed() {
    let house = House::new(keep_all());
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30);
    drop(open);
    let wanted = expected.batch(1, 15).to_vec();
    let contents = house.disk.contents(&file_name(2)).expect("exists");
    let at_byte = contents
        .windows(wanted.len())
        .position(|w| w == wanted)
        .expect("is in file 2");
    let damaged = house.patched(&file_name(2), |bytes| bytes[at_byte + 100] ^= 1);
    let mut open = damaged.open().expect("opens");
    let events = open.keep(100).expect("keeps");
    let told = events.iter().any(|event| {
        let at_byte = at_byte as u64;
        matches!(event, KeeperEvent::Damaged { file: 2, from, to } if *from <= at_byte && at_byte < *to)
    });
    assert!(told, "{events:?}");
    assert!(
        sealed(&events).contains(&1) && sealed(&events).contains(&3),
        "{events:?}"
    );
    assert!(damaged.disk.contents(&file_name(2)).is_some());
    assert!(damaged.disk.contents(&sealed_name(2)).is_none());
    let lost = expected.check(&open.log, true, "damaged");
    assert_eq!(lost, 3, "the records of one batch");
    for house in [damaged.killed(), damaged.forgetful()] {
        let mut open = house.open().expect("opens");
        assert_eq!(expected.check(&open.log, true, "reopened"), 3);
        open.keep(200).expect("keeps");
        assert!(
            open.recovered.damage.iter().all(|damage| damage.file == 2),
            "{:?}",
            open.recovered
        );
    }
}

#[test]
fn where_both_forms_are_there_the_sealed_one_counts() {
    let house = House::new(keep_all());
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30);
    let journal = house.disk.contents(&file_name(1)).expect("exists");
    open.keep(100).expect("keeps");
    drop(open);
    for house in [house.killed(), house.forgetful()] {
        house.disk.put(&file_name(1), &journal);
        let open = house.open().expect("opens");
        expected.check(&open.log, false, "both");
        assert!(house.disk.contents(&file_name(1)).is_none());
        assert!(house.disk.contents(&sealed_name(1)).is_some());
    }
    // A sealed one that is not whole gives way to the journal file, where sled does not vouch for it.
    let torn = house.forgetful();
    torn.disk.put(&file_name(1), &journal);
    torn.disk.put(&sealed_name(1), b"torn");
    let mut open = torn.open().expect("opens");
    expected.check(&open.log, false, "torn");
    open.keep(200).expect("keeps");
    expected.check(&open.log, false, "sealed again");
}

#[test]
fn a_missing_or_cut_segment_is_damage_with_its_offsets_and_the_rest_is_readable() {
    let (house, expected) = with_segments();
    let gone = house.killed();
    gone.disk.remove(&sealed_name(2)).expect("removes");
    let cut = house.patched(&sealed_name(2), |bytes| bytes.truncate(bytes.len() / 2));
    let empty = house.patched(&sealed_name(2), Vec::clear);
    for (house, case) in [(gone, "gone"), (cut, "cut"), (empty, "empty")] {
        let open = house.open().expect("opens");
        assert!(
            open.recovered.damage.iter().any(|damage| damage.file == 2),
            "{case}"
        );
        let lost = expected.check(&open.log, true, case);
        assert!((1..40).contains(&lost), "{case}: {lost}");
        let forgetful = house.forgetful().open().expect("opens");
        assert!(
            forgetful
                .recovered
                .damage
                .iter()
                .any(|damage| damage.file == 2),
            "{case}"
        );
        expected.check(&forgetful.log, true, case);
    }
}

#[test]
fn a_segment_of_a_newer_version_is_refused_and_left_alone() {
    let (house, _) = with_segments();
    let newer = house.patched(&sealed_name(2), |bytes| {
        let trailer = bytes.len() - 112;
        bytes[trailer + 11] = 2;
        let crc = crc32fast::hash(&bytes[trailer..trailer + 108]);
        bytes[trailer + 108..].copy_from_slice(&crc.to_be_bytes());
    });
    let before = newer.disk.contents(&sealed_name(2));
    let house = newer.forgetful();
    let refused = house.open().map(drop).expect_err("is refused");
    assert!(matches!(refused, StorageError::Refused(_)), "{refused}");
    assert_eq!(house.disk.contents(&sealed_name(2)), before);
}

#[test]
fn one_damaged_checkpoint_loses_nothing_when_all_before_it_is_sealed() {
    let (house, expected) = with_segments();
    for house in [house.clone(), house.forgetful()] {
        let newest = {
            let open = house.killed().open().expect("opens");
            open.log.stats().newest_file
        };
        let damaged = house.patched(&file_name(newest), |bytes| bytes[80] ^= 1);
        let mut open = damaged.open().expect("opens");
        let mut expected = expected.clone();
        // Times may be lost with it, offsets are not.
        assert_eq!(expected.check(&open.log, true, "damaged checkpoint"), 0);
        fill(&mut open, &mut expected, 60..62);
        assert_eq!(expected.check(&open.log, true, "goes on"), 0);
    }
}
