//! Journal frames: bodies decoded from any bytes, and a start on a damaged journal. The first byte chooses:
//! 0 the rest is a body, 1 the rest is a whole file, else the rest is patches (position u16, byte) on a good file,
//! with (even) or without a remembered durable end.
//!
//! What decodes encodes to the same bytes. A start never panics; what it lets be read are batches that were
//! stored; what is there stays there over the next start.

#![no_main]

use std::{alloc::System, sync::{Arc, LazyLock}};

use cap::Cap;
use headwater_storage::{
    CommitGroup, InstanceNumber, Journal, JournalOptions, JournalSetup, LeaderEpoch, Log, NewBatch, Now,
    PositionChange, StorageError, TopicEpochs, TopicNumber,
    disk::{SegmentStore, model::ModelDisk},
    frame::{FrameHeader, checkpoint::Checkpoint, commit::CommitFrame, footer::Footer},
    meta::{MetaStore, memory::MemoryMeta},
};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, 1 << 30);

const TOPIC: TopicNumber = TopicNumber(1);
const FILE: &str = "journal/0000000001/00000000000000000001.journal";
const FILE_BYTES: usize = 4096;
const BATCH_BYTES: usize = 100;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    match choice {
        0 => bodies(rest),
        1 => start(&whole_file(rest), &Arc::new(MemoryMeta::new())),
        _ => {
            let (good, meta) = &*GOOD;
            let meta = if choice % 2 == 0 { meta.restart() } else { MemoryMeta::new() };
            start(&patched(good, rest), &Arc::new(meta));
        }
    }
});

fn bodies(bytes: &[u8]) {
    if let Ok(header) = FrameHeader::parse(bytes) {
        let mut again = header;
        assert!(again.seal(&[]).len() == 64 && header.frame_bytes() >= 64);
    }
    if let Ok(frame) = CommitFrame::decode(bytes) {
        assert_eq!(frame.encode(), bytes);
    }
    if let Ok(footer) = Footer::decode(bytes) {
        assert_eq!(footer.encode(), bytes);
    }
    if let Ok(checkpoint) = Checkpoint::decode(7, bytes) {
        // Sources and topics stand at most once and in order where we wrote them; strangers may repeat them.
        assert_eq!(Checkpoint::decode(7, &checkpoint.encode()).as_ref(), Ok(&checkpoint));
    }
}

fn whole_file(bytes: &[u8]) -> ModelDisk {
    let disk = ModelDisk::new();
    disk.put(FILE, bytes);
    disk
}

/// Four groups in one file, and a note that the first two are durable.
static GOOD: LazyLock<(Vec<u8>, MemoryMeta)> = LazyLock::new(|| {
    let disk = ModelDisk::new();
    let meta = Arc::new(MemoryMeta::new());
    let (mut journal, ..) = open(&disk, &meta).expect("a new journal opens");
    for group in 0..4 {
        append(&mut journal, group).expect("appends");
        if group == 1 {
            let later = Now { monotonic: std::time::Duration::from_secs(5), ..Now::default() };
            journal.note_durable_end(later).expect("notes");
        }
    }
    (disk.contents(FILE).expect("exists"), meta.restart())
});

fn patched(good: &[u8], patches: &[u8]) -> ModelDisk {
    let mut bytes = good.to_vec();
    for patch in patches.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([patch[0], patch[1]])) % bytes.len();
        bytes[at] = patch[2];
    }
    whole_file(&bytes)
}

fn open(
    disk: &ModelDisk,
    meta: &Arc<MemoryMeta>,
) -> Result<(Journal, Arc<Log>, headwater_storage::Recovered), StorageError> {
    let store: Arc<dyn SegmentStore> = Arc::new(disk.clone());
    let notes: Arc<dyn MetaStore> = Arc::<MemoryMeta>::clone(meta);
    let epochs = vec![LeaderEpoch { epoch: 0, start_offset: 0 }];
    let setup = JournalSetup {
        disk: store,
        meta: notes,
        instance: InstanceNumber(1),
        topics: vec![TopicEpochs { topic: TOPIC, epochs }],
        options: JournalOptions {
            file_bytes: FILE_BYTES as u64,
            ring_bytes: 0,
            prepare_in_background: false,
            ..JournalOptions::default()
        },
        oldest_file: 1,
        cache: Arc::default(),
    };
    Journal::open(setup, Now::default())
}

fn append(journal: &mut Journal, group: u8) -> Result<(), StorageError> {
    let batch = NewBatch {
        topic: TOPIC,
        partition: 0,
        bytes: vec![group; BATCH_BYTES],
        record_count: 2,
        max_timestamp: i64::from(group),
    };
    journal.append(Now::default(), batch)?;
    let positions = vec![(1, PositionChange(vec![group; 34]))];
    journal.commit(Now::default(), CommitGroup { positions, ..CommitGroup::default() })?;
    Ok(())
}

fn start(disk: &ModelDisk, meta: &Arc<MemoryMeta>) {
    let Ok((mut journal, log, _)) = open(disk, meta) else { return };
    let seen = readable(&log);
    let appended = append(&mut journal, 9);
    assert!(matches!(appended, Ok(()) | Err(StorageError::Damaged(_))), "{appended:?}");
    drop(journal);
    let meta = Arc::new(meta.restart());
    let (_journal, log, again) = match open(&disk.kill(), &meta) {
        Ok(opened) => opened,
        // The only whole frames were of a torn group, which was cut.
        Err(StorageError::Damaged(_)) if appended.is_err() && seen.iter().all(Option::is_none) => return,
        Err(error) => panic!("does not open again: {error}"),
    };
    assert_eq!(readable(&log).get(..seen.len()), Some(seen.as_slice()), "{again:?}");
}

/// Each offset of the topic: the batch that holds it, or nothing where it is damaged.
fn readable(log: &Log) -> Vec<Option<Vec<u8>>> {
    let ends = log.ends(TOPIC).expect("the topic is known");
    (ends.start..ends.end.min(ends.start + 64))
        .map(|offset| {
            let batch = log.read(TOPIC, offset, 1).ok()?.first()?.to_vec();
            assert!(batch[16..].iter().all(|byte| *byte == batch[16]), "a batch that was never stored");
            Some(batch)
        })
        .collect()
}
