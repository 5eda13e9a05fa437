//! A whole data directory on the modelled disk, with its keeper: what sealing and retention are tested on.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    io::Read,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

use headwater_storage::{
    Batches, CatalogChange, DataDirectory, Feed, FeedLayout, FeedNumber, Instance, Journal,
    JournalOptions, Keeper, KeeperEvent, KeeperOptions, Log, NewBatch, Now, ReadError, Recovered,
    RetentionLimits, Schema, SourceKind, StorageError, StoreOptions, TableIdentity, Topic,
    TopicNumber,
    catalog::random_id,
    disk::{SegmentStore, model::ModelDisk},
    meta::{MetaBatch, MetaStore, memory::MemoryMeta},
};

use crate::world::{FOLDER, INSTANCE, base_of, commit, counted, small, split, topic};

pub(crate) fn sealed_name(number: u64) -> String {
    format!("{FOLDER}/{number:020}.sealed")
}

/// Nothing is deleted, and nothing rests.
pub(crate) fn keep_all() -> KeeperOptions {
    KeeperOptions {
        retention: RetentionLimits {
            age: Duration::from_secs(u64::MAX),
            bytes: u64::MAX,
        },
        step_bytes: 1500,
        ..KeeperOptions::default()
    }
}

pub(crate) fn keep_bytes(bytes: u64) -> KeeperOptions {
    let mut options = keep_all();
    options.retention.bytes = bytes;
    options
}

/// A disk and sled that die together.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) disk: ModelDisk,
    pub(crate) meta: Arc<MemoryMeta>,
    pub(crate) journal: JournalOptions,
    pub(crate) keeper: KeeperOptions,
}

pub(crate) struct Open {
    pub(crate) directory: DataDirectory,
    pub(crate) journal: Journal,
    pub(crate) log: Arc<Log>,
    pub(crate) keeper: Keeper,
    pub(crate) recovered: Recovered,
}

impl House {
    pub(crate) fn new(keeper: KeeperOptions) -> Self {
        Self {
            disk: ModelDisk::new(),
            meta: Arc::default(),
            journal: small(),
            keeper,
        }
    }

    pub(crate) fn open(&self) -> Result<Open, StorageError> {
        self.open_at(at(0))
    }

    pub(crate) fn open_at(&self, now: Now) -> Result<Open, StorageError> {
        let options = StoreOptions {
            journal: self.journal,
            ..StoreOptions::default()
        };
        let disk: Arc<dyn SegmentStore> = Arc::new(self.disk.clone());
        let meta: Arc<dyn MetaStore> = Arc::<MemoryMeta>::clone(&self.meta);
        let directory = DataDirectory::open_on(disk, meta, &options)?;
        if directory.catalog().instance(INSTANCE).is_none() {
            directory.change(things())?;
        }
        let (journal, log, recovered) = directory.open_journal(INSTANCE, now)?;
        let keeper = directory.open_keeper(INSTANCE, &log, (self.keeper, now))?;
        Ok(Open {
            directory,
            journal,
            log,
            keeper,
            recovered,
        })
    }

    pub(crate) fn after(&self, disk: ModelDisk) -> Self {
        Self {
            disk,
            meta: Arc::new(self.meta.restart()),
            ..self.clone()
        }
    }

    pub(crate) fn killed(&self) -> Self {
        self.after(self.disk.kill())
    }

    /// Sled without what it has of the log: durable end, notes of segments, log starts.
    pub(crate) fn forgetful(&self) -> Self {
        let after = self.killed();
        let mut changes = Vec::new();
        for kind in [0x20, 0x22, 0x40, 0x41] {
            let pairs = after.meta.scan(&[kind]).expect("scans");
            changes.extend(pairs.into_iter().map(|(key, _)| (key, None)));
        }
        after.meta.commit(&MetaBatch { changes }).expect("commits");
        after
    }

    /// The same with one file changed.
    pub(crate) fn patched(&self, name: &str, patch: impl FnOnce(&mut Vec<u8>)) -> Self {
        let after = self.killed();
        let mut bytes = after.disk.contents(name).expect("exists");
        patch(&mut bytes);
        after.disk.put(name, &bytes);
        after
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.disk.list(FOLDER).expect("lists")
    }
}

/// An instance with three topics.
fn things() -> Vec<CatalogChange> {
    let feed = Feed {
        number: FeedNumber(1),
        instance: INSTANCE,
        name: "tables".to_owned(),
        layout: FeedLayout::PerTable,
        format: "debezium-json".to_owned(),
        preset: None,
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: "shop".to_owned(),
        start_position: Vec::new(),
    };
    let one = |number: u32| {
        CatalogChange::Topic(Topic {
            number: TopicNumber(number),
            id: random_id(),
            name: format!("shop.{number}"),
            instance: INSTANCE,
            feed: FeedNumber(1),
            table: None,
            epochs: Topic::first_epoch(),
        })
    };
    let instance = Instance {
        number: INSTANCE,
        name: "shop".to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let mut things = vec![CatalogChange::Instance(instance), CatalogChange::Feed(feed)];
    things.extend((1..=3).map(one));
    // The commits name schema version 1.
    things.push(CatalogChange::Schema(Schema {
        version: 1,
        instance: INSTANCE,
        table: TableIdentity {
            schema: "public".to_owned(),
            name: "orders".to_owned(),
            relation: 1,
        },
        definition: serde_json::json!({}),
    }));
    things
}

pub(crate) fn at(seconds: u64) -> Now {
    Now {
        wall_ms: 1_790_000_000_000 + i64::try_from(seconds).expect("small") * 1000,
        monotonic: Duration::from_secs(seconds),
    }
}

impl Open {
    /// Lets the keeper work until it has nothing to do at `second`.
    pub(crate) fn keep(&mut self, second: u64) -> Result<Vec<KeeperEvent>, StorageError> {
        let mut events = Vec::new();
        for _ in 0..10_000 {
            let step = self.keeper.step(at(second))?;
            let is_idle = step.event.is_none() && step.rest == Duration::from_millis(500);
            events.extend(step.event);
            if is_idle {
                return Ok(events);
            }
        }
        panic!("the keeper never rests: {events:?}");
    }

    /// One group of these batches: topic, records, size.
    pub(crate) fn group(
        &mut self,
        (seed, second): (u64, u64),
        batches: &[(u32, u8, usize)],
        expected: &mut Stored,
    ) -> Result<(), StorageError> {
        let batches = batches.iter().enumerate();
        let batches = batches.map(|(index, (number, records, size))| {
            let batch = counted(*number, seed * 100 + index as u64, *records, *size);
            (batch, *records)
        });
        self.group_of((seed, second), batches.collect(), expected)
    }

    /// One group of these batches, each with the number of its records, which its last byte is.
    pub(crate) fn group_of(
        &mut self,
        (seed, second): (u64, u64),
        batches: Vec<(NewBatch, u8)>,
        expected: &mut Stored,
    ) -> Result<(), StorageError> {
        let mut attempted = expected.clone();
        for (batch, records) in batches {
            let (number, time) = (batch.topic.0, batch.max_timestamp);
            attempted.add(number, &batch.bytes, records, time);
            self.journal.append(at(second), batch)?;
        }
        attempted.commits.push((
            1000 + i64::try_from(seed).expect("small"),
            attempted.ends.clone(),
        ));
        expected.attempted = Some(Box::new(attempted.clone()));
        self.journal.commit(at(second), commit(seed))?;
        *expected = attempted;
        self.journal.note_durable_end(at(second))
    }
}

/// Base offset, records, highest timestamp, bytes.
type StoredBatch = (i64, i64, i64, Vec<u8>);

/// What the log must hold: the oracle's side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Every batch ever stored, by topic.
    pub(crate) batches: BTreeMap<u32, Vec<StoredBatch>>,
    pub(crate) ends: BTreeMap<u32, i64>,
    /// Time of each commit, and the ends after it.
    pub(crate) commits: Vec<(i64, BTreeMap<u32, i64>)>,
    /// With the group whose commit was under way.
    pub(crate) attempted: Option<Box<Self>>,
}

/// What a socket gets of it.
pub(crate) fn taken(batches: &Batches) -> Vec<u8> {
    let range = match batches {
        Batches::Memory(bytes) => return bytes.to_vec(),
        Batches::File(range) => range,
    };
    range.warm(0..range.size());
    let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
    let mut sent = 0;
    let mut bytes = Vec::new();
    while sent < range.size() {
        sent += range.send(sent..range.size(), here.as_fd()).expect("sends");
        let mut some = vec![0; sent - bytes.len()];
        there.read_exact(&mut some).expect("receives");
        bytes.extend(some);
    }
    bytes
}

impl Stored {
    fn add(&mut self, number: u32, bytes: &[u8], records: u8, max_timestamp: i64) {
        let end = self.ends.entry(number).or_default();
        let mut stored = bytes.to_vec();
        stored[..8].copy_from_slice(&end.to_be_bytes());
        stored[12..16].copy_from_slice(&0i32.to_be_bytes());
        let records = i64::from(records);
        let batches = self.batches.entry(number).or_default();
        batches.push((*end, records, max_timestamp, stored));
        *end += records;
    }

    /// The batch that holds `offset`.
    pub(crate) fn batch(&self, number: u32, offset: i64) -> &[u8] {
        let holds = |batch: &&StoredBatch| (batch.0..batch.0 + batch.1).contains(&offset);
        &self.batches[&number]
            .iter()
            .find(holds)
            .expect("is stored")
            .3
    }

    /// The first batch from `start` on with a timestamp of at least `time`.
    fn at_time(&self, number: u32, start: i64, time: i64) -> Option<&[u8]> {
        let batches = self.batches.get(&number)?;
        let found = batches
            .iter()
            .find(|(base, records, max, _)| base + records > start && *max >= time);
        found.map(|(.., bytes)| bytes.as_slice())
    }

    /// Reads everything in every way, and holds it against what was stored; damage is allowed where `damaged` is true.
    /// How many offsets could not be read.
    pub(crate) fn check(&self, log: &Log, damaged: bool, case: &str) -> u64 {
        let mut lost = 0;
        for number in 1..=3 {
            let ends = log.ends(topic(number)).expect("the topic is known");
            let end = self.ends.get(&number).copied().unwrap_or(0);
            assert_eq!(ends.end, end, "{case}: topic {number}");
            for offset in ends.start..end {
                lost += u64::from(!self.check_offset(log, (number, offset, end), damaged, case));
            }
            self.check_times(log, (number, ends.start), damaged, case);
        }
        self.check_boundaries(log, damaged, case);
        lost
    }

    fn check_offset(
        &self,
        log: &Log,
        (number, offset, end): (u32, i64, i64),
        damaged: bool,
        case: &str,
    ) -> bool {
        let what = format!("{case}: topic {number} offset {offset}");
        match log.read(topic(number), offset, 1500) {
            Ok(pieces) => {
                let mut next = offset;
                for batch in pieces.iter().flat_map(|piece| split(piece)) {
                    assert_eq!(batch, self.batch(number, next), "{what}, at {next}");
                    next = base_of(&batch) + i64::from(*batch.last().expect("has bytes"));
                }
                assert!(next > offset, "{what}: nothing");
                if offset % 8 > 0 {
                    return true;
                }
                let read = pieces.concat();
                let sent = log.read_to_send(topic(number), offset, 1500);
                let sent = sent.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(
                    sent.iter().map(Batches::size).sum::<usize>(),
                    read.len(),
                    "{what}"
                );
                assert!(sent.iter().flat_map(taken).eq(read), "{what}: sent");
                true
            }
            Err(ReadError::Corrupt { from, to, .. }) if damaged => {
                assert!(
                    from <= offset && offset < to && to <= end,
                    "{what}: {from}..{to}"
                );
                false
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }

    fn check_times(&self, log: &Log, (number, start): (u32, i64), damaged: bool, case: &str) {
        let Some(batches) = self.batches.get(&number) else {
            return;
        };
        let times = batches.iter().map(|(_, _, time, _)| *time);
        let last = times.clone().max().unwrap_or(0) + 1;
        for time in times.chain([0, last]) {
            let wanted = self.at_time(number, start, time);
            match log.batch_at_time(topic(number), time) {
                Ok(found) => assert_eq!(
                    found.as_deref(),
                    wanted,
                    "{case}: topic {number} time {time} start {start}"
                ),
                Err(ReadError::Corrupt { .. }) if damaged => {}
                Err(error) => panic!("{case}: topic {number} time {time}: {error}"),
            }
        }
    }

    fn check_boundaries(&self, log: &Log, damaged: bool, case: &str) {
        let starts: BTreeMap<u32, i64> = (1..=3)
            .map(|number| (number, log.ends(topic(number)).expect("is known").start))
            .collect();
        let times = self.commits.iter().map(|(time, _)| *time);
        let last = times.clone().max().unwrap_or(0) + 1;
        for time in times.chain([0, last]) {
            let first = self.commits.iter().position(|(at, _)| *at >= time);
            let before = match first {
                None => self.ends.clone(),
                Some(at) => at
                    .checked_sub(1)
                    .map_or(BTreeMap::new(), |at| self.commits[at].1.clone()),
            };
            match log.ends_at_time(time) {
                Ok(found) => {
                    for (number, start) in &starts {
                        let wanted = before.get(number).copied().unwrap_or(0).max(*start);
                        let found = found.ends[&topic(*number)];
                        assert_eq!(found, wanted, "{case}: boundary at {time}, topic {number}");
                    }
                }
                Err(ReadError::Corrupt { .. }) if damaged => {}
                Err(error) => panic!("{case}: boundary at {time}: {error}"),
            }
        }
    }
}
