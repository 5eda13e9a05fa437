//! Frames that are not this file's: of a newer version, of a file's former life, stored as rows to look like some.

use std::{io, sync::Arc};

use headwater_storage::{
    Journal, JournalSetup, Log, ReadError, StorageError,
    disk::{SegmentFile, SegmentStore, model::ModelDisk},
    frame::{FrameError, FrameHeader},
    meta::MetaStore,
};

use crate::{
    damage::{append_group, frames, one_file, patched},
    world::{
        Expected, FOLDER, INSTANCE, Machine, at, commit, counted, file_name, small, topic, topics,
    },
};

#[test]
fn what_a_newer_version_wrote_is_refused_and_left_alone() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    append_group(&mut journal, &mut Expected::default(), 1);
    let (at, header) = *frames(&machine.disk, 1).last().expect("has frames");
    let newer = patched(&machine, 1, |bytes| {
        let end = at + 64 + header.length as usize;
        let mut body = bytes[at + 64..end].to_vec();
        body[50] = 1; // the mode of the first source's position
        let mut header = header;
        let sealed = header.seal(&body);
        bytes[at..at + 64].copy_from_slice(&sealed);
        bytes[at + 64..end].copy_from_slice(&body);
    });
    let before = newer.disk.contents(&file_name(1));
    let refused = newer.open().map(drop).expect_err("is refused");
    assert!(matches!(refused, StorageError::Refused(_)), "{refused}");
    assert_eq!(newer.disk.contents(&file_name(1)), before);
}

/// A frame's header as a newer version could have written it in this file, whose salt nobody outside knows.
fn forged(header: &FrameHeader) -> [u8; 64] {
    let mut header = *header;
    header.salt = !header.salt;
    let mut bytes = header.seal(&[]);
    bytes[3] += 1;
    // The frame's own checksum is not under the header's.
    let covered = [&bytes[..12], &bytes[16..60]].concat();
    bytes[60..].copy_from_slice(&crc32fast::hash(&covered).to_be_bytes());
    let newer = FrameHeader::parse(&bytes).expect_err("its version is not known");
    assert!(matches!(newer, FrameError::Newer(_)), "{newer}");
    bytes
}

#[test]
fn a_stored_row_that_looks_like_a_newer_versions_frame_never_refuses_a_start() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    append_group(&mut journal, &mut expected, 1);
    let mut row = counted(1, 2, 3, 400);
    row.bytes[64..128].copy_from_slice(&forged(&frames(&machine.disk, 1)[0].1));
    expected.add(&row);
    journal.append(at(0), row).expect("appends");
    journal.commit(at(0), commit(2)).expect("commits");
    append_group(&mut journal, &mut expected, 3);
    journal.note_durable_end(at(9)).expect("notes");
    let frames = frames(&machine.disk, 1);
    let row = frames.iter().find(|(_, header)| header.length == 400);
    let row = row.expect("is there").0;
    for (case, damaged) in [
        ("its frame", &[row][..]),
        ("its frame and the first one", &[row, 0]),
        (
            "all before it",
            &frames
                .iter()
                .map(|(at, _)| *at)
                .filter(|at| *at <= row)
                .collect::<Vec<_>>(),
        ),
    ] {
        let damaged = patched(&machine, 1, |bytes| {
            for at in damaged {
                bytes[at + 8] ^= 0x55;
            }
        });
        let (_, log, recovered) = damaged.open().expect(case);
        assert!(!recovered.damage.is_empty(), "{case}");
        assert_eq!(
            Expected::of_ends(&log),
            expected.ends,
            "{case} {recovered:?}"
        );
        let lost = log.read(topic(1), 3, 1).map(drop);
        assert!(
            matches!(lost, Err(ReadError::Corrupt { .. })),
            "{case}: {lost:?}"
        );
        log.read(topic(1), 6, 1).expect(case);
    }
}

/// A disk whose new files are full of what another file held.
#[derive(Debug)]
struct Recycling {
    disk: ModelDisk,
    old: Vec<u8>,
}

impl SegmentStore for Recycling {
    fn create(&self, name: &str, zeros: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let file = self.disk.create(name, zeros)?;
        let length = self.old.len().min(usize::try_from(zeros).expect("small"));
        file.write_at(0, &[&self.old[..length]])?;
        file.sync()?;
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        SegmentStore::open(&self.disk, name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.disk.create_folder(folder)
    }

    fn sync_directory(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_directory(folder)
    }
}

fn open_recycling(
    machine: &Machine,
    old: &[u8],
) -> (Journal, Arc<Log>, headwater_storage::Recovered) {
    let meta: Arc<dyn MetaStore> =
        Arc::<headwater_storage::meta::memory::MemoryMeta>::clone(&machine.meta);
    let setup = JournalSetup {
        disk: Arc::new(Recycling {
            disk: machine.disk.clone(),
            old: old.to_vec(),
        }),
        meta,
        instance: INSTANCE,
        topics: topics(3),
        options: machine.options,
        oldest_file: 1,
        cache: Arc::default(),
    };
    Journal::open(setup, at(0)).expect("opens")
}

#[test]
fn frames_of_a_files_former_life_never_pass() {
    // The same groups in a former life: same file number, same positions, same group numbers.
    let former = one_file();
    let (mut journal, ..) = former.open().expect("opens");
    for seed in 1..=20 {
        append_group(&mut journal, &mut Expected::default(), seed);
    }
    let old = former.disk.contents(&file_name(1)).expect("exists");

    let machine = one_file();
    let (mut journal, log, _) = open_recycling(&machine, &old);
    let mut expected = Expected::default();
    for seed in 101..=103 {
        append_group(&mut journal, &mut expected, seed);
        assert_eq!(Expected::of(&log, &journal), expected);
        for meta in [machine.killed(), machine.killed().without_meta()] {
            let (mut journal, log, recovered) = meta.open().expect("opens");
            assert!(recovered.damage.is_empty(), "{recovered:?}");
            assert_eq!(Expected::of(&log, &journal), expected);
            append_group(&mut journal, &mut expected.clone(), 200);
        }
    }
}

#[test]
fn rows_that_look_like_frames_do_not_pass_for_frames() {
    let machine = one_file();
    let (mut journal, ..) = machine.open().expect("opens");
    let mut expected = Expected::default();
    append_group(&mut journal, &mut expected, 1);
    let whole = expected.clone();
    // A commit frame as somebody outside would make it: everything right but the salt.
    let (at, real) = *frames(&machine.disk, 1).last().expect("has frames");
    let body = machine.disk.contents(&file_name(1)).expect("exists")
        [at + 64..at + 64 + real.length as usize]
        .to_vec();
    let mut forged = FrameHeader {
        salt: real.salt ^ 1,
        ..real
    };
    forged.group += 7;
    let sealed = forged.seal(&body);
    let mut row = counted(1, 2, 1, 600);
    row.bytes[64..128].copy_from_slice(&sealed);
    row.bytes[128..128 + body.len()].copy_from_slice(&body);
    journal.append(crate::world::at(0), row).expect("appends");
    journal
        .commit(crate::world::at(0), commit(2))
        .expect("commits");
    let (torn, _) = frames(&machine.disk, 1)[4];
    let torn = patched(&machine, 1, |bytes| bytes[torn + 1] ^= 1);
    let (journal, log, recovered) = torn.open().expect("opens");
    assert!(recovered.damage.is_empty(), "{recovered:?}");
    assert_eq!(Expected::of(&log, &journal), whole);
}

#[test]
fn an_empty_or_foreign_first_file_is_made_anew_where_nothing_was_ever_durable() {
    for contents in [vec![], vec![0; 4096], vec![0xAB; 100]] {
        let machine = Machine::new(small());
        machine.disk.create_folder("journal").expect("makes");
        machine.disk.create_folder(FOLDER).expect("makes");
        machine.disk.put(&file_name(1), &contents);
        let (mut journal, log, _) = machine.open().expect("opens");
        let mut expected = Expected::default();
        append_group(&mut journal, &mut expected, 1);
        assert_eq!(Expected::of(&log, &journal), expected);
    }
    let machine = Machine::new(small());
    machine.disk.create_folder("journal").expect("makes");
    machine.disk.create_folder(FOLDER).expect("makes");
    machine.disk.put(&file_name(5), &[0; 4096]);
    let refused = machine
        .open()
        .map(drop)
        .expect_err("files before it are missing");
    assert!(matches!(refused, StorageError::Damaged(_)), "{refused}");
}
