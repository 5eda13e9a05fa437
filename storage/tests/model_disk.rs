//! The modelled disk itself: a test that trusts it needs to know that it loses what a real one may lose.

use std::{io, sync::Arc};

use headwater_storage::disk::{
    SegmentFile, SegmentStore,
    model::{
        ModelDisk,
        fault::{Fault, OperationKind, is_crash},
        power::{Fate, PowerCut, Unsynced},
    },
};

fn synced_file(disk: &ModelDisk, name: &str, bytes: &[u8]) -> Arc<dyn SegmentFile> {
    let file = disk.create(name, 0).expect("creates");
    file.write_at(0, &[bytes]).expect("writes");
    file.sync().expect("syncs");
    disk.sync_directory("").expect("syncs the directory");
    file
}

fn after(disk: &ModelDisk, choice: PowerCut<'_>, name: &str) -> Option<Vec<u8>> {
    disk.power_cut(choice).contents(name)
}

fn errno(error: &io::Error) -> Option<rustix::io::Errno> {
    rustix::io::Errno::from_io_error(error)
}

#[test]
fn an_unsynced_write_is_read_back_but_may_be_lost_or_kept() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"one");
    file.write_at(3, &[b"tw", b"o"]).expect("writes");

    assert_eq!(disk.contents("a").as_deref(), Some(&b"onetwo"[..]));
    assert_eq!(disk.durable_contents("a").as_deref(), Some(&b"one"[..]));
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "a").as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(
        after(&disk, PowerCut::KeepAll, "a").as_deref(),
        Some(&b"onetwo"[..])
    );

    file.sync().expect("syncs");
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "a").as_deref(),
        Some(&b"onetwo"[..])
    );
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"");
    file.write_at(0, &[b"AAAA"]).expect("writes");
    file.write_at(4, &[b"BBBB"]).expect("writes");
    let mut plan = |unsynced: &Unsynced| match unsynced {
        Unsynced::Write { range, .. } if range.start == 0 => Fate::Lost,
        Unsynced::Write { .. } | Unsynced::Names(_) => Fate::Kept,
    };
    let found = after(&disk, PowerCut::Plan(&mut plan), "a");
    assert_eq!(found.as_deref(), Some(&b"\0\0\0\0BBBB"[..]));
}

#[test]
fn a_write_may_be_torn_at_any_byte_or_sector() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", &[0; 1500]);
    file.write_at(0, &[&[7; 1500]]).expect("writes");
    let cut = |fate| after(&disk, PowerCut::Plan(&mut |_| fate), "a").expect("exists");

    assert_eq!(cut(Fate::First(13)), [vec![7; 13], vec![0; 1487]].concat());
    assert_eq!(cut(Fate::Last(13)), [vec![0; 1487], vec![7; 13]].concat());
    let mut patterns = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let found = cut(Fate::Sectors(seed));
        let sectors: Vec<&[u8]> = found.chunks(512).collect();
        assert!(
            sectors.iter().all(|s| s.iter().all(|byte| *byte == s[0])),
            "seed {seed}"
        );
        patterns.insert(sectors.iter().map(|s| s[0]).collect::<Vec<_>>());
    }
    assert_eq!(patterns.len(), 8, "every pattern of three sectors");
}

#[test]
fn a_file_may_have_grown_by_zeros_only() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"one");
    file.write_at(1, &[b"xxxx"]).expect("writes");
    let found = after(&disk, PowerCut::Plan(&mut |_| Fate::Zeros), "a");
    assert_eq!(found.as_deref(), Some(&b"one\0\0"[..]));
}

#[test]
fn names_are_durable_only_after_the_directory_was_synced() {
    let disk = ModelDisk::new();
    synced_file(&disk, "old", b"old");
    let new = disk.create("new", 4).expect("creates");
    new.write_at(0, &[b"new!"]).expect("writes");
    new.sync().expect("syncs");
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "new"),
        None,
        "synced, but nobody can find it"
    );

    disk.rename("new", "old").expect("renames");
    assert_eq!(disk.list("").expect("lists"), ["old"]);
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "old").as_deref(),
        Some(&b"old"[..])
    );
    disk.sync_directory("").expect("syncs the directory");
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "old").as_deref(),
        Some(&b"new!"[..])
    );

    disk.remove("old").expect("removes");
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "old").as_deref(),
        Some(&b"new!"[..])
    );
    assert_eq!(after(&disk, PowerCut::KeepAll, "old"), None);
}

#[test]
fn a_directory_sync_covers_only_its_own_folder() {
    let disk = ModelDisk::new();
    disk.create_folder("journal").expect("creates");
    disk.create("journal/1", 1).expect("creates");
    disk.sync_directory("").expect("syncs the directory");
    assert_eq!(after(&disk, PowerCut::LoseAll, "journal/1"), None);
    disk.sync_directory("journal").expect("syncs the directory");
    assert_eq!(
        after(&disk, PowerCut::LoseAll, "journal/1").as_deref(),
        Some(&b"\0"[..])
    );
    assert_eq!(disk.list("journal").expect("lists"), ["1"]);
    assert_eq!(disk.list("").expect("lists"), Vec::<String>::new());
}

#[test]
fn bytes_of_a_failed_sync_are_readable_and_no_later_sync_saves_them() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"....");
    file.write_at(0, &[b"abcd"]).expect("writes");
    disk.fail_nth(OperationKind::Sync, 1, Fault::Io);
    let error = file.sync().expect_err("fails");
    assert_eq!(errno(&error), Some(rustix::io::Errno::IO));

    let restarted = disk.kill();
    assert_eq!(restarted.contents("a").as_deref(), Some(&b"abcd"[..]));
    let file = restarted.open("a").expect("opens");
    file.sync().expect("the second sync lies");
    assert_eq!(
        after(&restarted, PowerCut::LoseAll, "a").as_deref(),
        Some(&b"...."[..])
    );
    assert_eq!(
        after(&restarted, PowerCut::KeepAll, "a").as_deref(),
        Some(&b"abcd"[..])
    );

    file.write_at(0, &[b"ab"]).expect("writes again");
    file.sync().expect("syncs");
    assert_eq!(
        after(&restarted, PowerCut::LoseAll, "a").as_deref(),
        Some(&b"ab.."[..])
    );
    file.write_at(2, &[b"XY"]).expect("writes again");
    file.sync().expect("syncs");
    let durable = Some(&b"abXY"[..]);
    assert_eq!(
        after(&restarted, PowerCut::KeepAll, "a").as_deref(),
        durable,
        "no way back"
    );
}

#[test]
fn a_killed_process_leaves_the_cache_and_a_later_sync_saves_it() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"one");
    file.write_at(3, &[b"two"]).expect("writes");
    let restarted = disk.kill();
    assert_eq!(restarted.contents("a").as_deref(), Some(&b"onetwo"[..]));
    assert_eq!(
        after(&restarted, PowerCut::LoseAll, "a").as_deref(),
        Some(&b"one"[..])
    );
    restarted.open("a").expect("opens").sync().expect("syncs");
    assert_eq!(
        after(&restarted, PowerCut::LoseAll, "a").as_deref(),
        Some(&b"onetwo"[..])
    );
}

#[test]
fn a_crash_stops_everything_later_reads_included() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"one");
    disk.fail_at(disk.operation_count(), Fault::CrashAfter(2));
    assert!(is_crash(&file.write_at(3, &[b"two"]).expect_err("crashes")));
    assert!(disk.has_crashed());
    assert!(is_crash(
        &file.read_at(0, &mut [0; 3]).expect_err("is dead")
    ));
    assert!(is_crash(&file.sync().expect_err("is dead")));
    assert!(is_crash(&disk.open("a").expect_err("is dead")));
    assert!(is_crash(&disk.sync_directory("").expect_err("is dead")));
    let restarted = disk.kill();
    assert_eq!(restarted.contents("a").as_deref(), Some(&b"onetw"[..]));
    assert_eq!(restarted.operation_count(), 0);
    restarted.open("a").expect("the next process lives");
}

#[test]
fn operations_are_numbered_and_can_fail_one_by_one() {
    let run = |disk: &ModelDisk| -> io::Result<()> {
        disk.create_folder("f")?;
        let file = disk.create("f/a", 8)?;
        file.write_at(2, &[b"x"])?;
        file.sync()?;
        disk.rename("f/a", "f/b")?;
        disk.remove("f/b")?;
        disk.sync_directory("f")
    };
    let disk = ModelDisk::new();
    run(&disk).expect("runs");
    let kinds: Vec<OperationKind> = disk.operations().iter().map(|o| o.kind).collect();
    use OperationKind::{Create, CreateFolder, Remove, Rename, Sync, SyncDirectory, Write};
    let expected = [
        CreateFolder,
        Create,
        Write,
        Sync,
        Write,
        Sync,
        Rename,
        Remove,
        SyncDirectory,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(disk.operations()[4].range, 2..3);

    for number in 0..disk.operation_count() {
        let failing = ModelDisk::new();
        failing.fail_at(number, Fault::NoSpace);
        let error = run(&failing).expect_err("fails");
        assert_eq!(
            errno(&error),
            Some(rustix::io::Errno::NOSPC),
            "operation {number}"
        );
        assert_eq!(failing.operation_count(), number + 1);
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_then_refuses() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"12345678");
    disk.set_capacity(Some(10));
    let error = file.write_at(6, &[b"abcdef"]).expect_err("is full");
    assert_eq!(errno(&error), Some(rustix::io::Errno::NOSPC));
    assert_eq!(disk.contents("a").as_deref(), Some(&b"123456abcd"[..]));
    file.write_at(0, &[b"over"])
        .expect("overwriting needs no space");
    disk.remove("a").expect("removes");
    disk.create("b", 10).expect("the space is free again");
    assert!(disk.create("c", 1).is_err());
}

#[test]
fn flipped_bits_and_unreadable_ranges_stay() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", &[0; 4]);
    disk.flip_bit("a", 2, 7);
    disk.fail_reads("a", 3..4);
    let cut = disk.power_cut(PowerCut::LoseAll);
    assert_eq!(cut.contents("a").as_deref(), Some(&[0, 0, 0x80, 0][..]));
    let mut buffer = [9; 3];
    assert_eq!(file.read_at(0, &mut buffer).expect("reads"), 3);
    assert_eq!(buffer, [0, 0, 0x80]);
    assert!(file.read_at(0, &mut [0; 4]).is_err());
    assert_eq!(file.read_at(9, &mut buffer).expect("is behind the end"), 0);
}

#[test]
fn the_same_seed_gives_the_same_disk_and_all_seeds_together_give_every_outcome() {
    let disk = ModelDisk::new();
    let file = synced_file(&disk, "a", b"--");
    file.write_at(0, &[b"x"]).expect("writes");
    file.write_at(1, &[b"y"]).expect("writes");
    disk.create("b", 0).expect("creates");
    let cut = |seed| {
        let disk = disk.power_cut(PowerCut::Seeded(seed));
        (
            disk.contents("a").expect("exists"),
            disk.contents("b").is_some(),
        )
    };
    let outcomes: std::collections::BTreeSet<_> = (0..500).map(cut).collect();
    assert_eq!(outcomes.len(), 8);
    assert!((0..500).all(|seed| cut(seed) == cut(seed)));
    assert_eq!(disk.unsynced().len(), 3);
}
