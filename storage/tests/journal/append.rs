//! Appending, committing, rewinding, reading, while nothing goes wrong.

use headwater_storage::{
    CommitGroup, LeaderEpoch, ReadError, RingRead, StorageError, TopicEpochs,
    disk::{SegmentStore, model::fault::OperationKind},
};

use crate::world::{
    Expected, FOLDER, Machine, SOURCE, at, batch, commit, counted, file_name, position, read_all,
    small, topic,
};

#[test]
fn a_group_is_visible_as_a_whole_and_only_after_its_commit() {
    let machine = Machine::new(small());
    let (mut journal, log, recovered) = machine.open().expect("opens");
    assert_eq!(recovered, headwater_storage::Recovered::default());
    let mut expected = Expected::default();
    for batch in [
        counted(1, 1, 3, 100),
        counted(2, 2, 1, 200),
        counted(1, 3, 2, 80),
    ] {
        expected.add(&batch);
        journal.append(at(0), batch).expect("appends");
        assert_eq!(log.ends(topic(1)).map(|ends| ends.end), Some(0));
    }
    let committed = journal.commit(at(0), commit(1)).expect("commits");
    expected.position = Some(position(1));
    assert_eq!(committed.topics, [(topic(1), 5), (topic(2), 1)]);
    assert_eq!(Expected::of(&log, &journal), expected);
    assert_eq!(log.stats().group, committed.group);
    assert_eq!(log.stats().commit_time_ms, Some(1001));
}

#[test]
fn a_commit_is_one_write_and_one_sync() {
    let machine = Machine::new(small());
    let (mut journal, _log, _) = machine.open().expect("opens");
    for round in 0..3 {
        let before = machine.disk.operation_count();
        journal
            .append(at(0), batch(1, round, 1, 100))
            .expect("appends");
        journal
            .append(at(0), batch(2, round, 1, 100))
            .expect("appends");
        journal.commit(at(0), commit(round)).expect("commits");
        assert_eq!(machine.disk.operation_count() - before, 2);
    }
}

#[test]
fn large_groups_are_written_as_they_come_and_synced_once_a_file() {
    let machine = Machine::new(headwater_storage::JournalOptions {
        file_bytes: 1 << 20,
        write_bytes: 4096,
        ..small()
    });
    let (mut journal, log, _) = machine.open().expect("opens");
    let before = machine.disk.operation_count();
    let mut expected = Expected::default();
    for seed in 0..50 {
        let batch = counted(1, seed, 1, 1000);
        expected.add(&batch);
        journal.append(at(0), batch).expect("appends");
    }
    let writes = machine.disk.operation_count() - before;
    assert!((9..=12).contains(&writes), "{writes} writes of about 5 KB");
    journal.commit(at(0), commit(1)).expect("commits");
    assert_eq!(machine.disk.operation_count() - before, writes + 2);
    assert_eq!(read_all(&log, 1, 50), expected.batches[&1]);
}

#[test]
fn an_idle_commit_moves_the_position_and_no_topic() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    let committed = journal.commit(at(0), commit(9)).expect("commits");
    assert!(committed.topics.is_empty());
    assert_eq!(journal.position(SOURCE), Some(position(9).as_slice()));
    assert_eq!(log.ends(topic(1)).map(|ends| ends.end), Some(0));
    journal
        .commit(at(0), CommitGroup::default())
        .expect("commits");
    assert_eq!(
        journal.position(SOURCE),
        Some(position(9).as_slice()),
        "it stays"
    );
    let (journal, ..) = machine.killed().open().expect("opens");
    assert_eq!(journal.position(SOURCE), Some(position(9).as_slice()));
}

#[test]
fn what_cannot_be_a_batch_is_refused_and_changes_nothing() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    let mut partition = batch(1, 1, 1, 100);
    partition.partition = 1;
    let mut short = batch(1, 1, 1, 100);
    short.bytes.truncate(15);
    for bad in [partition, short, batch(1, 1, 0, 100), batch(9, 1, 1, 100)] {
        let refused = journal.append(at(0), bad).expect_err("is refused");
        assert!(matches!(refused, StorageError::Invalid(_)), "{refused}");
    }
    let mut twice = commit(1);
    twice.positions.extend(twice.positions.clone());
    let refused = journal.commit(at(0), twice).expect_err("is refused");
    assert!(matches!(refused, StorageError::Invalid(_)), "{refused}");
    let committed = journal.commit(at(0), commit(1)).expect("commits");
    assert!(committed.topics.is_empty());
    assert_eq!(log.stats().files, 1);
}

#[test]
fn groups_over_many_files_read_back_before_and_after_a_restart() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for group in 0..40u64 {
        for part in 0..group % 7 {
            let seed = group * 10 + part;
            let number = 1 + u32::try_from(seed % 3).expect("small");
            let size = 70 + usize::try_from(seed * 37 % 900).expect("small");
            let batch = counted(
                number,
                seed,
                1 + u8::try_from(seed % 5).expect("small"),
                size,
            );
            expected.add(&batch);
            journal.append(at(0), batch).expect("appends");
        }
        journal.commit(at(0), commit(group)).expect("commits");
        expected.position = Some(position(group));
    }
    assert!(log.stats().files > 10, "{:?}", log.stats());
    assert_eq!(Expected::of(&log, &journal), expected);
    for machine in [machine.killed(), machine.killed().without_meta()] {
        let (journal, log, recovered) = machine.open().expect("opens");
        assert!(recovered.damage.is_empty(), "{recovered:?}");
        assert_eq!(recovered.torn_tail, None);
        assert_eq!(Expected::of(&log, &journal), expected);
    }
}

#[test]
fn a_frame_larger_than_a_file_gets_one_of_its_own() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    let mut expected = Expected::default();
    for (seed, size) in [(1, 100), (2, 10_000), (3, 20_000), (4, 100)] {
        let batch = counted(1, seed, 2, size);
        expected.add(&batch);
        journal.append(at(0), batch).expect("appends");
        journal.commit(at(0), commit(seed)).expect("commits");
    }
    expected.position = Some(position(4));
    assert_eq!(Expected::of(&log, &journal), expected);
    let lengths: Vec<usize> = (1..=log.stats().newest_file)
        .map(|number| {
            machine
                .disk
                .contents(&file_name(number))
                .expect("exists")
                .len()
        })
        .collect();
    assert!(
        lengths
            .iter()
            .any(|length| (10_000..11_000).contains(length)),
        "{lengths:?}"
    );
    let (journal, log, recovered) = machine.killed().open().expect("opens");
    assert_eq!(recovered.torn_tail, None);
    assert_eq!(Expected::of(&log, &journal), expected);
}

#[test]
fn a_rewound_group_leaves_nothing_and_its_number_is_not_used_again() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    let mut expected = Expected::default();
    let mut numbers = Vec::new();
    for round in 0..6u64 {
        let kept = counted(1, round, 2, 300);
        expected.add(&kept);
        journal.append(at(0), kept).expect("appends");
        numbers.push(journal.commit(at(0), commit(round)).expect("commits").group);
        expected.position = Some(position(round));
        // From nothing at all to several files and a frame of its own file.
        for part in 0..round * 4 {
            let size = if part == 9 { 9000 } else { 400 };
            journal
                .append(at(0), batch(2, part, 1, size))
                .expect("appends");
        }
        journal.rewind().expect("rewinds");
        assert_eq!(Expected::of(&log, &journal), expected);
        let (journal, log, recovered) = machine.killed().open().expect("opens");
        assert_eq!(recovered.torn_tail, None, "round {round}: zeros follow");
        assert_eq!(Expected::of(&log, &journal), expected);
    }
    assert!(
        numbers.windows(2).all(|pair| pair[1] > pair[0]),
        "{numbers:?}"
    );
    assert!(
        numbers.windows(2).any(|pair| pair[1] > pair[0] + 1),
        "{numbers:?}"
    );
}

#[test]
fn reads_give_whole_batches_within_their_bounds() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    for seed in 0..30 {
        journal
            .append(at(0), counted(1, seed, 10, 300))
            .expect("appends");
        journal.commit(at(0), commit(seed)).expect("commits");
    }
    for offset in [0, 5, 9, 10, 155, 290, 299] {
        let batches = log.read(topic(1), offset, 650).expect("reads");
        let base = i64::from_be_bytes(batches[0][..8].try_into().expect("8 bytes"));
        assert_eq!(
            base,
            offset / 10 * 10,
            "the batch that holds it comes first"
        );
        assert!(batches.len() <= 2, "650 bytes hold two batches of 300");
        assert_eq!(log.read(topic(1), offset, 1).expect("reads").len(), 1);
    }
    assert!(
        log.read(topic(1), 300, 1000).expect("reads").is_empty(),
        "the end"
    );
    for outside in [-1, 301] {
        let error = log.read(topic(1), outside, 1000).expect_err("is outside");
        assert!(
            matches!(error, ReadError::OutOfRange { start: 0, end: 300 }),
            "{error}"
        );
        let ring = log.read_ring(topic(1), outside, 1000);
        assert_eq!(ring, RingRead::OutOfRange { start: 0, end: 300 });
    }
    assert!(matches!(
        log.read_ring(topic(1), 299, 1000),
        RingRead::Batches(_)
    ));
    assert_eq!(log.read_ring(topic(1), 0, 1000), RingRead::NotInRing);
    assert_eq!(log.read_ring(topic(8), 0, 1000), RingRead::UnknownTopic);
    let unknown = log.read(topic(8), 0, 1000).expect_err("is unknown");
    assert!(matches!(unknown, ReadError::UnknownTopic(_)), "{unknown}");
}

#[test]
fn times_are_found_by_the_first_batch_not_older() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    // Commit times step back: each third batch is older than the one before it.
    let times: Vec<i64> = (0..60)
        .map(|seed| 1000 + seed * 10 - (seed % 3) * 25)
        .collect();
    for (seed, time) in (0..).zip(&times) {
        let mut batch = counted(1, seed, 1, 200);
        batch.max_timestamp = *time;
        journal.append(at(0), batch).expect("appends");
        journal
            .append(at(0), counted(2, seed, 1, 300))
            .expect("appends");
        journal.commit(at(0), commit(seed)).expect("commits");
    }
    let check = |log: &headwater_storage::Log| {
        for time in 900..1700 {
            let wanted = times.iter().position(|max| *max >= time);
            let found = log.batch_at_time(topic(1), time).expect("reads");
            let base =
                found.map(|batch| i64::from_be_bytes(batch[..8].try_into().expect("8 bytes")));
            assert_eq!(
                base,
                wanted.map(|at| i64::try_from(at).expect("small")),
                "time {time}"
            );
        }
        let highest = log
            .batch_of_max_timestamp(topic(1))
            .expect("reads")
            .expect("is there");
        assert_eq!(highest[..8], 57i64.to_be_bytes());
        assert_eq!(log.batch_of_max_timestamp(topic(3)).expect("reads"), None);
    };
    check(&log);
    let (_journal, log, _) = machine.killed().open().expect("opens");
    check(&log);
}

#[test]
fn later_leader_epochs_are_stamped_and_answered() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    journal
        .append(at(0), counted(1, 0, 4, 100))
        .expect("appends");
    journal.commit(at(0), commit(0)).expect("commits");
    assert_eq!(log.epoch_end(topic(1), 0), Some((0, 4)));
    let epoch = |epoch, start_offset| LeaderEpoch {
        epoch,
        start_offset,
    };
    journal.add_topic(TopicEpochs {
        topic: topic(1),
        epochs: vec![epoch(0, 0), epoch(3, 4)],
    });
    journal
        .append(at(0), counted(1, 1, 2, 100))
        .expect("appends");
    journal.commit(at(0), commit(1)).expect("commits");
    let batch = &log.read(topic(1), 4, 1).expect("reads")[0];
    assert_eq!(batch[12..16], 3i32.to_be_bytes());
    assert_eq!(log.ends(topic(1)).map(|ends| ends.epoch), Some(3));
    // Kafka's rule: the largest epoch not above the one asked for, and where the next one starts.
    assert_eq!(log.epoch_end(topic(1), 0), Some((0, 4)));
    assert_eq!(log.epoch_end(topic(1), 2), Some((0, 4)));
    assert_eq!(log.epoch_end(topic(1), 3), Some((3, 6)));
    assert_eq!(log.epoch_end(topic(1), 4), None);
    assert_eq!(log.epoch_end(topic(1), -1), None);
    assert_eq!(log.epoch_end(topic(8), 0), None);
}

#[test]
fn a_new_topic_begins_at_offset_0_without_a_restart() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    assert_eq!(log.ends(topic(9)), None);
    journal.add_topic(TopicEpochs {
        topic: topic(9),
        epochs: vec![LeaderEpoch {
            epoch: 0,
            start_offset: 0,
        }],
    });
    journal
        .append(at(0), counted(9, 1, 7, 100))
        .expect("appends");
    journal.commit(at(0), commit(1)).expect("commits");
    let ends = log.all_ends(&[topic(9), topic(8), topic(1)]);
    let ends: Vec<_> = ends
        .into_iter()
        .map(|ends| ends.map(|ends| ends.end))
        .collect();
    assert_eq!(ends, [Some(7), None, Some(0)]);
}

#[test]
fn an_old_file_is_finished_when_due_and_an_idle_one_is_not() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    journal.roll_if_due(at(4000)).expect("nothing to finish");
    assert_eq!(log.stats().newest_file, 1, "it has no group");
    journal
        .append(at(4000), counted(1, 1, 1, 100))
        .expect("appends");
    journal.roll_if_due(at(9000)).expect("waits");
    assert_eq!(log.stats().newest_file, 1, "a group is open");
    journal.commit(at(4000), commit(1)).expect("commits");
    journal.roll_if_due(at(3599)).expect("waits");
    assert_eq!(log.stats().newest_file, 1, "it is not old enough");
    journal.roll_if_due(at(3600)).expect("finishes");
    assert_eq!(log.stats().newest_file, 2);
    assert_eq!(read_all(&log, 1, 1).len(), 1);
    journal.close().expect("closes");
    let (journal, log, recovered) = machine.killed().open().expect("opens");
    assert_eq!((recovered.rewritten_bytes, recovered.torn_tail), (0, None));
    assert_eq!(Expected::of(&log, &journal).position, Some(position(1)));
}

#[test]
fn after_a_clean_stop_nothing_is_written_again() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    for seed in 0..5 {
        journal
            .append(at(0), counted(1, seed, 1, 500))
            .expect("appends");
        journal.commit(at(0), commit(seed)).expect("commits");
    }
    journal
        .append(at(0), counted(1, 9, 1, 600))
        .expect("appends");
    journal
        .close()
        .expect("closes, and takes the open group back");
    let machine = machine.killed();
    let (mut journal, log, recovered) = machine.open().expect("opens");
    assert_eq!((recovered.rewritten_bytes, recovered.torn_tail), (0, None));
    assert_eq!(read_all(&log, 1, 5).len(), 5);
    // Killed without a note since then: the clean mark of before must not hold any more.
    journal
        .append(at(0), counted(1, 10, 1, 500))
        .expect("appends");
    journal.commit(at(0), commit(10)).expect("commits");
    let (_journal, log, recovered) = machine.killed().open().expect("opens");
    assert!(recovered.rewritten_bytes > 0);
    assert_eq!(read_all(&log, 1, 6).len(), 6);
}

#[test]
fn the_durable_end_is_noted_at_most_once_a_second() {
    let machine = Machine::new(small());
    let (mut journal, ..) = machine.open().expect("opens");
    let before = machine.meta.commit_count();
    for tenth in 0..50u64 {
        let now = headwater_storage::Now {
            wall_ms: 0,
            monotonic: std::time::Duration::from_millis(tenth * 100),
        };
        journal
            .append(now, counted(1, tenth, 1, 100))
            .expect("appends");
        journal.commit(now, commit(tenth)).expect("commits");
        journal.note_durable_end(now).expect("notes");
    }
    assert_eq!(
        machine.meta.commit_count() - before,
        4,
        "5 seconds less the first"
    );
}

#[test]
fn a_prepared_file_that_was_not_used_is_made_anew_and_strange_names_are_left_alone() {
    let machine = Machine::new(small());
    drop(machine.open().expect("opens"));
    machine
        .disk
        .put(&format!("{FOLDER}/notes.txt"), b"not ours");
    let names = || machine.disk.list(FOLDER).expect("lists");
    let expected = [
        "00000000000000000001.journal",
        "00000000000000000002.journal",
        "notes.txt",
    ];
    assert_eq!(names(), expected);
    let (_, _, recovered) = machine.open().expect("opens");
    assert_eq!(recovered.torn_tail, None);
    assert_eq!(names(), expected);
}

#[test]
fn a_file_is_there_before_it_is_needed_so_that_no_commit_syncs_the_directory() {
    let machine = Machine::new(small());
    let (mut journal, log, _) = machine.open().expect("opens");
    for seed in 0..30 {
        journal
            .append(at(0), counted(1, seed, 1, 500))
            .expect("appends");
        let before = machine.disk.operation_count();
        let files = log.stats().files;
        journal.commit(at(0), commit(seed)).expect("commits");
        if log.stats().files == files {
            assert_eq!(machine.disk.operation_count() - before, 2);
        }
    }
    assert!(log.stats().files > 3);
    let renames = machine.disk.operations();
    assert!(
        renames
            .iter()
            .all(|operation| operation.kind != OperationKind::Rename)
    );
}
