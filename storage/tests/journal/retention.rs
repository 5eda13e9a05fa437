//! Retention: what goes, what readers see of it, and what never makes it go.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use headwater_storage::{
    DeletedBecause, KeeperEvent, Now, ReadError, RingRead, disk::model::fault::OperationKind,
};

use crate::{
    house::{House, Open, Stored, at, keep_all, keep_bytes},
    world::{base_of, split, topic},
};

fn keep_for(seconds: u64) -> House {
    let mut options = keep_all();
    options.retention.age = Duration::from_secs(seconds);
    House::new(options)
}

fn fill(open: &mut Open, expected: &mut Stored, seeds: std::ops::Range<u64>, second: u64) {
    for seed in seeds {
        open.group((seed, second + seed), &[(1, 3, 300), (2, 2, 200)], expected)
            .expect("appends");
    }
}

fn deleted(events: &[KeeperEvent]) -> u64 {
    let files = events.iter().map(|event| {
        if let KeeperEvent::Deleted { files, .. } = event {
            *files
        } else {
            0
        }
    });
    files.sum()
}

#[test]
fn age_is_time_that_the_broker_ran_since_sealing() {
    let house = keep_for(1000);
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30, 0);
    open.keep(100).expect("keeps");
    assert_eq!(deleted(&open.keep(1000).expect("keeps")), 0);
    open.keeper.close(at(1060)).expect("closes");
    drop((open.journal, open.log, open.directory));
    // The broker is away for a year; its monotonic clock begins anew.
    let house = house.killed();
    let mut open = house.open_at(at(31_000_000)).expect("opens");
    assert_eq!(
        deleted(&open.keep(31_000_030).expect("keeps")),
        0,
        "1090 s in all"
    );
    expected.check(&open.log, false, "kept");
    let events = open.keep(31_000_041).expect("keeps");
    assert!(deleted(&events) > 0, "1101 s: {events:?}");
    expected.check(&open.log, false, "deleted");
    let start = open.log.ends(topic(1)).expect("is known").start;
    assert!(start > 0);
    drop(open);
    let open = house.killed().open().expect("opens");
    assert_eq!(open.log.ends(topic(1)).expect("is known").start, start);
}

#[test]
fn the_size_limit_deletes_the_oldest_and_says_what_was_lost() {
    let house = House::new(keep_bytes(5 * 4096));
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..60, 0);
    let events = open.keep(100).expect("keeps");
    let lost = events.iter().filter_map(|event| {
        let KeeperEvent::Deleted {
            because, ranges, ..
        } = event
        else {
            return None;
        };
        assert_eq!(*because, DeletedBecause::Size);
        ranges.iter().find(|range| range.topic == topic(1))
    });
    let lost: Vec<_> = lost.map(|range| (range.from, range.to)).collect();
    let start = open.log.ends(topic(1)).expect("is known").start;
    assert_eq!(lost.first().map(|range| range.0), Some(0));
    assert_eq!(lost.last().map(|range| range.1), Some(start));
    assert!(
        lost.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "{lost:?}"
    );
    assert!(open.log.stats().bytes <= 5 * 4096);
    expected.check(&open.log, false, "trimmed");
    for offset in [0, start - 1] {
        let error = open
            .log
            .read(topic(1), offset, 1000)
            .expect_err("is deleted");
        assert!(
            matches!(error, ReadError::OutOfRange { start: s, .. } if s == start),
            "{error}"
        );
    }
    let newest = open.log.batch_of_max_timestamp(topic(1)).expect("reads");
    assert_eq!(
        newest.as_deref(),
        Some(expected.batch(1, expected.ends[&1] - 1))
    );
    for house in [house.killed(), house.forgetful()] {
        let mut open = house.open().expect("opens");
        assert!(open.recovered.damage.is_empty(), "{:?}", open.recovered);
        assert_eq!(open.log.ends(topic(1)).expect("is known").start, start);
        let mut expected = expected.clone();
        expected.check(&open.log, false, "reopened");
        // A checkpoint has the start too.
        fill(&mut open, &mut expected, 70..90, 0);
        open.keep(300).expect("keeps");
        expected.check(&open.log, false, "went on");
    }
}

#[test]
fn a_wall_clock_that_jumps_is_told_and_deletes_nothing() {
    let house = keep_for(1000);
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30, 0);
    open.keep(100).expect("keeps");
    let year = 365 * 24 * 3_600_000;
    for (wall, jump) in [(year, year), (0, -year)] {
        let now = Now {
            wall_ms: at(101).wall_ms + wall,
            ..at(101)
        };
        let step = open.keeper.step(now).expect("keeps");
        assert_eq!(step.event, Some(KeeperEvent::ClockJumped { by_ms: jump }));
        while let Some(event) = open.keeper.step(now).expect("keeps").event {
            assert!(!matches!(event, KeeperEvent::Deleted { .. }), "{event:?}");
        }
    }
    assert_eq!(open.log.ends(topic(1)).expect("is known").start, 0);
    expected.check(&open.log, false, "all is there");
}

#[test]
fn what_the_ring_has_of_deleted_files_is_gone_too() {
    let mut house = House::new(keep_bytes(0));
    house.journal.ring_bytes = 1 << 20;
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    fill(&mut open, &mut expected, 1..30, 0);
    assert!(deleted(&open.keep(100).expect("keeps")) > 0);
    let start = open.log.ends(topic(1)).expect("is known").start;
    assert!(matches!(
        open.log.read_ring(topic(1), start - 1, 1),
        RingRead::OutOfRange { .. }
    ));
    assert!(matches!(
        open.log.read_ring(topic(1), start, 1),
        RingRead::Batches(_)
    ));
    expected.check(&open.log, false, "ring");
    assert!(open.log.stats().ring_bytes < 30 * 500);
}

#[test]
fn readers_go_on_while_files_are_sealed_and_deleted() {
    let house = House::new(keep_bytes(10 * 4096));
    readers_go_on(&house, (600, 1));
}

#[test]
fn readers_go_on_while_the_files_they_read_are_used_again() {
    let mut house = House::new(keep_bytes(10 * 32_768));
    house.journal.file_bytes = 32_768;
    readers_go_on(&house, (400, 8));
    let renamed = house.disk.operations().into_iter().filter(|operation| {
        operation.kind == OperationKind::Rename && operation.name.ends_with(".journal")
    });
    assert!(renamed.count() > 5, "they are");
}

/// So many groups, of so many times 500 bytes.
#[expect(clippy::panic, reason = "a test fails by panicking")]
fn readers_go_on(house: &House, (groups, size): (u64, usize)) {
    let mut open = house.open().expect("opens");
    let mut expected = Stored::default();
    // What is stored is known beforehand: group after group the same.
    let log = std::sync::Arc::clone(&open.log);
    let done = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = |number: u32| {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let (mut offset, mut reads) = (0, 0u64);
                while !done.load(Ordering::Relaxed) {
                    match log.read(topic(number), offset, 3000) {
                        Ok(pieces) => {
                            for batch in pieces.iter().flat_map(|piece| split(piece)) {
                                assert!(base_of(&batch) <= offset, "a hole at {offset}");
                                offset = base_of(&batch) + i64::from(*batch.last().expect("bytes"));
                                reads += 1;
                            }
                            if pieces.is_empty() {
                                offset = log.ends(topic(number)).expect("is known").start;
                            }
                        }
                        Err(ReadError::OutOfRange { start, .. }) => offset = start,
                        Err(error) => panic!("topic {number} offset {offset}: {error}"),
                    }
                }
                reads
            })
        };
        let readers: Vec<_> = [1, 2, 1, 2].map(reader).into();
        let batches = [(1, 3, 300 * size), (2, 2, 200 * size)];
        for seed in 1..groups {
            open.group((seed, seed), &batches, &mut expected)
                .expect("appends");
            if seed % 5 == 0 {
                open.keep(seed).expect("keeps");
            }
        }
        done.store(true, Ordering::Relaxed);
        let reads = readers
            .into_iter()
            .map(|reader| reader.join().expect("reads"));
        reads.sum::<u64>()
    });
    assert!(reads > 1000, "{reads}");
    open.keep(1000).expect("keeps");
    expected.check(&open.log, false, "at the end");
}
