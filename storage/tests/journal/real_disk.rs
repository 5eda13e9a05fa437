//! The journal on the operating system's disk, with files prepared by their thread.

use std::sync::Arc;

use headwater_storage::{
    Journal, JournalOptions, JournalSetup,
    disk::{SegmentStore, real::RealDisk},
    meta::{MetaStore, memory::MemoryMeta},
};

use crate::world::{Expected, INSTANCE, Opened, at, commit, counted, position, small, topics};

fn open(directory: &std::path::Path, meta: &Arc<MemoryMeta>) -> Opened {
    let disk: Arc<dyn SegmentStore> = Arc::new(RealDisk::open(directory).expect("is a directory"));
    let notes: Arc<dyn MetaStore> = Arc::<MemoryMeta>::clone(meta);
    let setup = JournalSetup {
        disk,
        meta: notes,
        instance: INSTANCE,
        topics: topics(3),
        options: JournalOptions {
            prepare_in_background: true,
            ..small()
        },
        oldest_file: 1,
        cache: Arc::default(),
    };
    Journal::open(setup, at(0)).expect("opens")
}

#[test]
fn groups_over_many_files_outlive_restarts_on_a_real_disk() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let meta = Arc::new(MemoryMeta::new());
    let mut expected = Expected::default();
    for run in 0..4u64 {
        let (mut journal, log, recovered) = open(directory.path(), &meta);
        assert!(recovered.damage.is_empty(), "{recovered:?}");
        assert_eq!(Expected::of(&log, &journal), expected, "run {run}");
        for seed in run * 20..run * 20 + 20 {
            // Every fifth group is one over several files, written and taken back before it is written for good.
            let (parts, times) = if seed % 5 == 0 { (12, 2) } else { (1, 1) };
            for time in 0..times {
                for part in 0..parts {
                    let batch = counted(1 + u32::from(part % 2 == 0), seed + part, 3, 700);
                    journal.append(at(0), batch.clone()).expect("appends");
                    if time + 1 == times {
                        expected.add(&batch);
                    }
                }
                if time + 1 < times {
                    journal.rewind().expect("rewinds");
                }
            }
            journal.commit(at(0), commit(seed)).expect("commits");
            expected.position = Some(position(seed));
        }
        assert_eq!(Expected::of(&log, &journal), expected, "run {run}");
        // Stopped cleanly every other time.
        if run % 2 == 0 {
            journal.close().expect("closes");
        }
    }
    let (journal, log, _) = open(directory.path(), &meta);
    assert_eq!(Expected::of(&log, &journal), expected);
    drop((journal, log));
    let (journal, log, _) = open(directory.path(), &Arc::new(MemoryMeta::new()));
    assert_eq!(
        Expected::of(&log, &journal),
        expected,
        "without the meta store"
    );
}
