//! Scrubbing: what the keeper finds in sealed segments by itself is what readers cannot have.

use std::{collections::BTreeSet, time::Duration};

use headwater_storage::{KeeperEvent, ReadError, SegmentDamage, disk::SegmentStore};

use crate::{
    house::{House, Open, Stored, at, keep_all, sealed_name},
    world::{FOLDER, topic},
};

const DAY: u64 = 24 * 3600;
/// A byte of a segment, behind header, index and rows of the first topic.
const IN_A_BATCH: u64 = 800;

/// A running house with several sealed segments, none of them read or scrubbed.
fn with_segments() -> (House, Open, Stored) {
    let mut house = House::new(keep_all());
    house.keeper.scrub_bytes_per_second = 0;
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    for seed in 1..30 {
        open.group((seed, seed), &[(1, 3, 300), (2, 2, 200)], &mut expected)
            .expect("appends");
    }
    open.keep(100).expect("keeps");
    assert!(open.log.stats().sealed_files > 2);
    let mut house = house.killed();
    house.keeper = keep_all();
    let open = house.open().expect("opens");
    (house, open, expected)
}

/// What a round at `second` tells.
fn scrub(open: &mut Open, second: u64) -> Vec<SegmentDamage> {
    let mut damage = Vec::new();
    for event in open.keep(second).expect("keeps") {
        match event {
            KeeperEvent::Scrubbed { damage: found } => damage.push(found),
            KeeperEvent::ScrubFailed { file, why } => unreachable!("file {file}: {why}"),
            KeeperEvent::Sealed { .. }
            | KeeperEvent::Damaged { .. }
            | KeeperEvent::SealFailed { .. }
            | KeeperEvent::Deleted { .. }
            | KeeperEvent::ClockJumped { .. } => {}
        }
    }
    damage
}

/// Topic and offset of everything that readers are refused.
fn refused(open: &Open, expected: &Stored) -> BTreeSet<(u32, i64)> {
    let mut refused = BTreeSet::new();
    for (number, end) in &expected.ends {
        for offset in 0..*end {
            match open.log.read(topic(*number), offset, 1) {
                Ok(pieces) => {
                    let whole = expected.batch(*number, offset);
                    assert_eq!(pieces[0], whole, "topic {number} offset {offset}");
                }
                Err(ReadError::Corrupt { .. }) => {
                    refused.insert((*number, offset));
                }
                Err(error) => unreachable!("topic {number} offset {offset}: {error}"),
            }
        }
    }
    refused
}

fn lost(damage: &[SegmentDamage]) -> BTreeSet<(u32, i64)> {
    let lost = damage.iter().filter_map(|damage| damage.lost);
    lost.flat_map(|lost| (lost.from..lost.to).map(move |offset| (lost.topic.0, offset)))
        .collect()
}

#[test]
fn each_damaged_byte_is_told_once_with_its_place_and_with_what_readers_lose() {
    let (house, open, expected) = with_segments();
    drop(open);
    let length = house
        .disk
        .contents(&sealed_name(2))
        .expect("is sealed")
        .len();
    let mut without_loss = 0;
    // An odd step: every kind of field is hit at every place in it.
    for byte in (0..length).step_by(5) {
        let house = house.killed();
        let mut open = house.open().expect("opens");
        let byte = byte as u64;
        house.disk.flip_bit(&sealed_name(2), byte, 3);
        let before = house.disk.contents(&sealed_name(2));
        let found = scrub(&mut open, 1);
        assert_eq!(found.len(), 1, "byte {byte}: {found:?}");
        let range = found[0].from..found[0].to;
        assert_eq!(found[0].file, 2, "byte {byte}");
        assert!(range.contains(&byte), "byte {byte}: {found:?}");
        assert_eq!(lost(&found), refused(&open, &expected), "byte {byte}");
        assert_eq!(scrub(&mut open, 2 * DAY), [], "byte {byte}: told again");
        assert_eq!(house.disk.contents(&sealed_name(2)), before, "byte {byte}");
        without_loss += usize::from(found[0].lost.is_none());
    }
    assert!((5..length / 10).contains(&without_loss), "{without_loss}");
}

#[test]
fn what_goes_bad_after_readers_saw_it_is_found_a_day_later_and_never_served() {
    let (house, mut open, expected) = with_segments();
    assert!(refused(&open, &expected).is_empty());
    house.disk.flip_bit(&sealed_name(2), IN_A_BATCH, 0);
    assert_eq!(scrub(&mut open, 1), [], "readers had verified it");
    assert_eq!(scrub(&mut open, DAY), [], "not due yet");
    let found = scrub(&mut open, DAY + 1);
    assert_eq!(found.len(), 1, "{found:?}");
    let refused = refused(&open, &expected);
    assert!(!refused.is_empty());
    assert_eq!(lost(&found), refused);
}

#[test]
fn neighbours_are_told_as_one_range() {
    let (house, mut open, expected) = with_segments();
    let length = house.disk.contents(&sealed_name(2)).expect("exists").len();
    for byte in 600..length as u64 / 2 {
        house.disk.flip_bit(&sealed_name(2), byte, 7);
    }
    let found = scrub(&mut open, 1);
    let batches = lost(&found).len() / 3;
    assert!(batches > 2, "{found:?}");
    assert!(found.len() <= 2, "at most one a topic: {found:?}");
    assert_eq!(lost(&found), refused(&open, &expected));
}

#[test]
fn all_segments_are_read_oldest_first_no_faster_than_the_rate_once_a_day() {
    let (_, mut open, _) = with_segments();
    let stats = open.log.stats();
    let mut rest = Duration::ZERO;
    for _ in 0..10_000 {
        let step = open.keeper.step(at(1)).expect("keeps");
        if step.rest == Duration::from_millis(500) {
            break;
        }
        rest += step.rest;
    }
    let rate = f64::from(u32::try_from(4 << 20).expect("small"));
    let read = rest.as_secs_f64() * rate;
    let all = f64::from(u32::try_from(stats.sealed_bytes).expect("small"));
    assert!((0.85..1.05).contains(&(read / all)), "{read} of {all}");
    let idle = open.keeper.step(at(DAY)).expect("keeps");
    assert_eq!(idle.rest, Duration::from_millis(500), "not due");
    let due = open.keeper.step(at(DAY + 1)).expect("keeps");
    assert_eq!(due.rest, Duration::ZERO, "the next round begins");
}

#[test]
fn a_segment_that_cannot_be_read_is_told_and_the_others_are_read() {
    let (house, mut open, _) = with_segments();
    house.disk.fail_reads(&sealed_name(1), 500..501);
    house.disk.flip_bit(&sealed_name(3), IN_A_BATCH, 0);
    let events = open.keep(1).expect("keeps");
    let [failed, found] = &events[..] else {
        unreachable!("{events:?}");
    };
    assert!(
        matches!(failed, KeeperEvent::ScrubFailed { file: 1, .. }),
        "{events:?}"
    );
    assert!(
        matches!(found, KeeperEvent::Scrubbed { damage } if damage.file == 3),
        "{events:?}"
    );
}

#[test]
fn a_segment_cut_short_is_told_and_left_as_it_is() {
    let (house, open, _) = with_segments();
    drop(open);
    let house = house.killed();
    let mut open = house.open().expect("opens");
    let whole = house.disk.contents(&sealed_name(2)).expect("exists");
    house.disk.put(&sealed_name(2), &whole[..whole.len() - 1]);
    let names = house.disk.list(FOLDER).expect("lists");
    let found = scrub(&mut open, 1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].file, found[0].lost), (2, None));
    assert_eq!(house.disk.list(FOLDER).expect("lists"), names);
}
