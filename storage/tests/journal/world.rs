//! What the journal's tests share: a journal on the modelled disk, groups with known contents, and the oracle.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headwater_storage::{
    CommitGroup, InstanceNumber, Journal, JournalOptions, JournalSetup, LeaderEpoch, Log, NewBatch,
    Now, PositionChange, Recovered, StorageError, TopicEpochs, TopicNumber,
    disk::{SegmentStore, model::ModelDisk},
    frame::{FrameHeader, Kind},
    meta::{MetaStore, memory::MemoryMeta},
};

pub(crate) const INSTANCE: InstanceNumber = InstanceNumber(1);
pub(crate) const SOURCE: u16 = 1;
pub(crate) const FOLDER: &str = "journal/0000000001";

pub(crate) fn file_name(number: u64) -> String {
    format!("{FOLDER}/{number:020}.journal")
}

pub(crate) fn topic(number: u32) -> TopicNumber {
    TopicNumber(number)
}

pub(crate) fn topics(count: u32) -> Vec<TopicEpochs> {
    let epochs = vec![LeaderEpoch {
        epoch: 0,
        start_offset: 0,
    }];
    let one = |number| TopicEpochs {
        topic: topic(number),
        epochs: epochs.clone(),
    };
    (1..=count).map(one).collect()
}

/// Files of 4 KiB, so that a few groups fill one.
pub(crate) fn small() -> JournalOptions {
    JournalOptions {
        file_bytes: 4096,
        write_bytes: 512,
        ring_bytes: 2048,
        prepare_in_background: false,
        ..JournalOptions::default()
    }
}

pub(crate) fn at(seconds: u64) -> Now {
    Now {
        wall_ms: 1_790_000_000_000,
        monotonic: Duration::from_secs(seconds),
    }
}

/// A disk and a meta store that die together.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) disk: ModelDisk,
    pub(crate) meta: Arc<MemoryMeta>,
    pub(crate) options: JournalOptions,
}

pub(crate) type Opened = (Journal, Arc<Log>, Recovered);

impl Machine {
    pub(crate) fn new(options: JournalOptions) -> Self {
        Self {
            disk: ModelDisk::new(),
            meta: Arc::new(MemoryMeta::new()),
            options,
        }
    }

    pub(crate) fn open(&self) -> Result<Opened, StorageError> {
        let disk: Arc<dyn SegmentStore> = Arc::new(self.disk.clone());
        let meta: Arc<dyn MetaStore> = Arc::<MemoryMeta>::clone(&self.meta);
        let setup = JournalSetup {
            disk,
            meta,
            instance: INSTANCE,
            topics: topics(3),
            options: self.options,
            oldest_file: 1,
            cache: Arc::default(),
        };
        Journal::open(setup, at(0))
    }

    /// The machine after its process died and the disk became `disk`.
    pub(crate) fn after(&self, disk: ModelDisk) -> Self {
        Self {
            disk,
            meta: Arc::new(self.meta.restart()),
            options: self.options,
        }
    }

    pub(crate) fn killed(&self) -> Self {
        self.after(self.disk.kill())
    }

    /// The same without what sled remembers.
    pub(crate) fn without_meta(&self) -> Self {
        Self {
            meta: Arc::new(MemoryMeta::new()),
            ..self.clone()
        }
    }
}

/// A batch with recognisable contents; `size` bytes, at least 62.
pub(crate) fn batch(topic_number: u32, seed: u64, records: u32, size: usize) -> NewBatch {
    let length = size.max(62);
    let bytes = (0..length).map(|index| {
        let mixed = (seed + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(u32::try_from(index % 64).expect("below 64"));
        mixed.to_be_bytes()[index % 8]
    });
    let mut bytes: Vec<u8> = bytes.collect();
    let behind = u32::try_from(length - 12).expect("a small batch");
    bytes[8..12].copy_from_slice(&behind.to_be_bytes());
    NewBatch {
        topic: topic(topic_number),
        partition: 0,
        bytes,
        record_count: records,
        max_timestamp: 1000 + i64::try_from(seed).expect("a small seed"),
    }
}

pub(crate) fn position(seed: u64) -> Vec<u8> {
    format!("position {seed}").into_bytes()
}

pub(crate) fn commit(seed: u64) -> CommitGroup {
    CommitGroup {
        positions: vec![(SOURCE, PositionChange(position(seed)))],
        commit_time_ms: Some(1000 + i64::try_from(seed).expect("a small seed")),
        schema_version: 1,
    }
}

/// What the log must hold: the oracle's side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Batches as stored, by topic.
    pub(crate) batches: BTreeMap<u32, Vec<Vec<u8>>>,
    pub(crate) ends: BTreeMap<u32, i64>,
    pub(crate) position: Option<Vec<u8>>,
}

impl Expected {
    /// Adds what a batch is once it is stored.
    pub(crate) fn add(&mut self, batch: &NewBatch) {
        let end = self.ends.entry(batch.topic.0).or_default();
        let mut stored = batch.bytes.clone();
        stored[..8].copy_from_slice(&end.to_be_bytes());
        stored[12..16].copy_from_slice(&0i32.to_be_bytes());
        *end += i64::from(batch.record_count);
        self.batches.entry(batch.topic.0).or_default().push(stored);
    }

    /// What a log holds, read from its first offset to its end.
    pub(crate) fn of(log: &Log, journal: &Journal) -> Self {
        let mut found = Self {
            position: journal.position(SOURCE).map(<[u8]>::to_vec),
            ..Self::default()
        };
        for number in 1..=3 {
            let ends = log.ends(topic(number)).expect("the topic is known");
            if ends.end > 0 {
                found.ends.insert(number, ends.end);
                found
                    .batches
                    .insert(number, read_all(log, number, ends.end));
            }
        }
        found
    }
}

/// Every batch of a topic. Checks that base offsets are dense.
pub(crate) fn read_all(log: &Log, number: u32, end: i64) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut offset = 0;
    while offset < end {
        let batches = log.read(topic(number), offset, 700).expect("is readable");
        assert!(!batches.is_empty(), "nothing at offset {offset} of {end}");
        for batch in batches.iter().flat_map(|piece| split(piece)) {
            let base = base_of(&batch);
            assert!(
                base <= offset,
                "offset {offset} is missing, batch at {base}"
            );
            offset = base + records_of(&batch);
            all.push(batch);
        }
    }
    assert_eq!(offset, end, "the last batch ends at the end");
    all
}

/// The batches of a piece, by the length that a batch has behind its base offset, as clients take them apart.
pub(crate) fn split(piece: &[u8]) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let mut rest = piece;
    while !rest.is_empty() {
        let behind = u32::from_be_bytes(rest[8..12].try_into().expect("4 bytes"));
        let (batch, others) = rest.split_at(12 + usize::try_from(behind).expect("small"));
        batches.push(batch.to_vec());
        rest = others;
    }
    batches
}

pub(crate) fn base_of(batch: &[u8]) -> i64 {
    i64::from_be_bytes(batch[..8].try_into().expect("8 bytes"))
}

/// Records of a batch: [`batch`] is not Kafka's, so the tests keep the number at the end of it.
fn records_of(batch: &[u8]) -> i64 {
    i64::from(batch.last().copied().expect("a batch has bytes"))
}

/// [`batch`] with its number of records where [`read_all`] finds it.
pub(crate) fn counted(topic_number: u32, seed: u64, records: u8, size: usize) -> NewBatch {
    let mut batch = batch(topic_number, seed, u32::from(records), size);
    *batch.bytes.last_mut().expect("a batch has bytes") = records;
    batch
}

/// The group numbers in all frames that stand anywhere on the disk.
pub(crate) fn groups_on(disk: &ModelDisk) -> std::collections::BTreeSet<u64> {
    let mut groups = std::collections::BTreeSet::new();
    for name in disk.list(FOLDER).unwrap_or_default() {
        let bytes = disk
            .contents(&format!("{FOLDER}/{name}"))
            .unwrap_or_default();
        for frame in (0..bytes.len()).step_by(8).filter_map(|at| bytes.get(at..)) {
            let header = FrameHeader::parse(frame).ok();
            let of_group = header.filter(|header| matches!(header.kind, Kind::Data | Kind::Commit));
            groups.extend(of_group.map(|header| header.group));
        }
    }
    groups
}

impl Expected {
    /// Only the ends of a log.
    pub(crate) fn of_ends(log: &Log) -> BTreeMap<u32, i64> {
        let end = |number| log.ends(topic(number)).map_or(0, |ends| ends.end);
        let ends = (1..=3).map(|number| (number, end(number)));
        ends.filter(|(_, end)| *end > 0).collect()
    }
}
