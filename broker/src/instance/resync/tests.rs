//! A resync that is cut off anywhere, on a modelled disk and a modelled sled: the next start finds the old incarnation
//! whole, or finishes the new one. The leader epoch never goes back, and the log is never beyond a gap that the catalog
//! does not tell.

use headwater_storage::{
    Ends, Feed, FeedLayout, FeedNumber, InstanceNumber, JournalOptions, NewBatch, SourceKind,
    StoreOptions, TableIdentity, TopicNumber,
    disk::model::{ModelDisk, fault::Fault, power::PowerCut},
    meta::memory::{CommitEnd, MemoryMeta},
};
use uuid::Uuid;

use super::*;

const INSTANCE: InstanceNumber = InstanceNumber(1);
const ORDERS: TopicNumber = TopicNumber(1);
/// Has no records.
const LINES: TopicNumber = TopicNumber(2);

/// Records before the gap.
const BEFORE: i64 = 3;
const FROM: &[u8] = &[1, 3];
const TO: &[u8] = &[9];
/// Of the first commit behind the gap.
const BEHIND: &[u8] = &[9, 1];

/// What a new process finds.
#[derive(Default)]
struct World {
    disk: ModelDisk,
    meta: Arc<MemoryMeta>,
}

/// An instance as a start of the broker has it.
struct Started {
    directory: DataDirectory,
    journal: Journal,
    log: Arc<Log>,
}

/// Makes a fault happen later.
type Arm = Box<dyn Fn(&World)>;

/// What happens between two starts.
#[derive(Debug, Clone, Copy)]
enum Between {
    Kill,
    LoseAll,
    KeepAll,
    Seed(u64),
}

const BETWEEN: [Between; 6] = [
    Between::Kill,
    Between::LoseAll,
    Between::KeepAll,
    Between::Seed(1),
    Between::Seed(2),
    Between::Seed(3),
];

impl World {
    /// With [`BEFORE`] records, captured up to [`FROM`].
    fn filled() -> (Self, Started) {
        let world = Self::default();
        let directory = world.open().expect("opens");
        directory.change(entities()).expect("may be");
        let mut started = world.start().expect("starts");
        for number in 1..=BEFORE {
            let number = u8::try_from(number).expect("is small");
            started.append(&[1, number]).expect("appends");
        }
        (world, started)
    }

    fn open(&self) -> Result<DataDirectory, StorageError> {
        let journal = JournalOptions {
            file_bytes: 4096,
            write_bytes: 512,
            ring_bytes: 2048,
            prepare_in_background: false,
            ..JournalOptions::default()
        };
        let options = StoreOptions {
            journal,
            ..StoreOptions::default()
        };
        let meta = Arc::clone(&self.meta);
        DataDirectory::open_on(Arc::new(self.disk.clone()), meta, &options)
    }

    /// As [`crate::instance::start`] does it.
    fn start(&self) -> Result<Started, StorageError> {
        let directory = self.open()?;
        let (mut journal, log, recovered) = directory.open_journal(INSTANCE, Now::default())?;
        assert!(recovered.damage.is_empty(), "{recovered:?}");
        let stored = stored(&directory);
        finish(&mut journal, &stored, (&directory, Now::default()))?;
        Ok(Started {
            directory,
            journal,
            log,
        })
    }

    fn after(&self, between: Between) -> Self {
        let disk = match between {
            Between::Kill => self.disk.kill(),
            Between::LoseAll => self.disk.power_cut(PowerCut::LoseAll),
            Between::KeepAll => self.disk.power_cut(PowerCut::KeepAll),
            Between::Seed(seed) => self.disk.power_cut(PowerCut::Seeded(seed)),
        };
        Self {
            disk,
            meta: Arc::new(self.meta.restart()),
        }
    }
}

impl Started {
    fn begin(&mut self) -> Result<(), StorageError> {
        let stored = stored(&self.directory);
        let parts = (&self.directory, &mut self.journal);
        begin(parts, &stored, &gap(), Now::default())
    }

    /// One record of [`ORDERS`], committed at `position`.
    fn append(&mut self, position: &[u8]) -> Result<(), StorageError> {
        let batch = NewBatch {
            topic: ORDERS,
            partition: 0,
            bytes: vec![0; 300],
            record_count: 1,
            max_timestamp: 1,
        };
        self.journal.append(Now::default(), batch)?;
        let group = CommitGroup {
            positions: vec![(SOURCE, PositionChange(position.to_vec()))],
            commit_time_ms: Some(1),
            schema_version: 0,
        };
        self.journal.commit(Now::default(), group).map(drop)
    }

    /// Whether it is the new incarnation. Nothing in between may be seen.
    fn is_resynced(&self, case: &str) -> bool {
        let instance = stored(&self.directory);
        let is_new = instance.incarnation == 1;
        let (gaps, position, epoch) = if is_new {
            (vec![gap()], TO, 1)
        } else {
            (Vec::new(), FROM, 0)
        };
        assert_eq!(instance.gaps, gaps, "{case}");
        assert_eq!(self.journal.position(SOURCE), Some(position), "{case}");
        for (topic, end) in [(ORDERS, BEFORE), (LINES, 0)] {
            let ends = Ends {
                start: 0,
                end,
                epoch,
            };
            assert_eq!(self.log.ends(topic), Some(ends), "{case}");
            assert_eq!(self.log.epoch_end(topic, 0), Some((0, end)), "{case}");
        }
        self.check_epochs(BEFORE, case);
        is_new
    }

    /// Every record can be read, those behind the gap in the new epoch.
    fn check_epochs(&self, end: i64, case: &str) {
        for offset in 0..end {
            let batches = self.log.read(ORDERS, offset, 1).expect(case);
            let epoch = batches[0][12..].first_chunk().expect("a batch");
            let expected = i32::from(offset >= BEFORE);
            assert_eq!(i32::from_be_bytes(*epoch), expected, "{case}: {offset}");
        }
    }

    /// Brings the resync to its end, captures one record behind it, and starts once more.
    fn goes_on(mut self, world: &World, is_resynced: bool, case: &str) {
        if !is_resynced {
            self.begin().expect(case);
        }
        assert!(self.is_resynced(case), "{case}: the order is obeyed now");
        self.append(BEHIND).expect(case);
        self.check_epochs(BEFORE + 1, case);
        let group = self.log.stats().group;
        drop(self);
        let last = world.after(Between::LoseAll).start().expect(case);
        assert_eq!(last.journal.position(SOURCE), Some(BEHIND), "{case}");
        assert_eq!(last.log.stats().group, group, "{case}: nothing is added");
        last.check_epochs(BEFORE + 1, case);
    }
}

fn stored(directory: &DataDirectory) -> Instance {
    let catalog = directory.catalog();
    Instance::clone(catalog.instance(INSTANCE).expect("exists"))
}

fn gap() -> Gap {
    Gap {
        incarnation: 1,
        from: FROM.to_vec(),
        to: TO.to_vec(),
        at_ms: 1_700_000_000_000,
        reason: "slot lost".to_owned(),
    }
}

fn entities() -> Vec<CatalogChange> {
    let instance = Instance {
        number: INSTANCE,
        name: "shop".to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let feed = Feed {
        number: FeedNumber(1),
        instance: INSTANCE,
        name: "tables".to_owned(),
        layout: FeedLayout::PerTable,
        format: "debezium-json".to_owned(),
        preset: Some("flink".to_owned()),
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: "shop".to_owned(),
        start_position: Vec::new(),
    };
    let topic = |number: TopicNumber, name: &str| Topic {
        number,
        id: Uuid::from_u128(u128::from(number.0)),
        name: format!("shop.public.{name}"),
        instance: INSTANCE,
        feed: FeedNumber(1),
        table: Some(TableIdentity {
            schema: "public".to_owned(),
            name: name.to_owned(),
            relation: 16_384 + number.0,
        }),
        epochs: Topic::first_epoch(),
    };
    vec![
        CatalogChange::Instance(instance),
        CatalogChange::Feed(feed),
        CatalogChange::Topic(topic(ORDERS, "orders")),
        CatalogChange::Topic(topic(LINES, "lines")),
    ]
}

/// Cuts `act` off by each fault, looks at what a start finds then, twice, and goes on from there. How often that was the
/// old incarnation, and how often the new one.
fn cut_off_everywhere(
    faults: &[impl Fn(&World)],
    prepared: impl Fn() -> (World, Option<Started>),
    act: impl Fn(&World, Option<Started>) -> Result<(), StorageError>,
) -> [u32; 2] {
    let mut found = [0; 2];
    for (number, fault) in faults.iter().enumerate() {
        for between in BETWEEN {
            let case = format!("fault {number}, then {between:?}");
            let (world, started) = prepared();
            fault(&world);
            act(&world, started).expect_err(&case);
            let world = world.after(between);
            let first = world.start().expect(&case);
            let is_resynced = first.is_resynced(&case);
            let group = first.log.stats().group;
            drop(first);
            let world = world.after(Between::LoseAll);
            let second = world.start().expect(&case);
            assert_eq!(second.is_resynced(&case), is_resynced, "{case}: again");
            assert_eq!(second.log.stats().group, group, "{case}: finished once");
            second.goes_on(&world, is_resynced, &case);
            found[usize::from(is_resynced)] += 1;
        }
    }
    found
}

/// A crash before each operation of the disk that `act` makes, within it, and on both sides of each commit to sled.
fn faults(
    prepared: impl Fn() -> (World, Option<Started>),
    act: impl Fn(&World, Option<Started>) -> Result<(), StorageError>,
) -> Vec<Arm> {
    let (world, started) = prepared();
    let (operations, commits) = (world.disk.operation_count(), world.meta.commit_count());
    act(&world, started).expect("without a fault it goes well");
    let mut faults: Vec<Arm> = Vec::new();
    for number in operations..world.disk.operation_count() {
        for fault in [Fault::Crash, Fault::CrashAfter(13)] {
            faults.push(Box::new(move |world| world.disk.fail_at(number, fault)));
        }
    }
    for number in commits..world.meta.commit_count() {
        for end in [CommitEnd::Before, CommitEnd::After] {
            faults.push(Box::new(move |world| world.meta.fail_at(number, end)));
        }
    }
    faults
}

#[test]
fn a_resync_that_is_cut_off_anywhere_is_not_begun_or_is_finished_by_the_next_start() {
    let prepared = || {
        let (world, started) = World::filled();
        (world, Some(started))
    };
    let act = |_: &World, started: Option<Started>| started.expect("is running").begin();
    let faults = faults(prepared, act);
    let [old, new] = cut_off_everywhere(&faults, prepared, act);
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

#[test]
fn a_start_that_dies_while_it_finishes_a_resync_leaves_it_to_the_next_one() {
    // The catalog of after, the journal of before.
    let prepared = || {
        let (world, started) = World::filled();
        let Started {
            directory, journal, ..
        } = started;
        let catalog = directory.catalog();
        let changes = plan(&catalog, &stored(&directory), &gap(), journal.log());
        directory.change(changes).expect("may be");
        drop((directory, journal));
        (world.after(Between::LoseAll), None)
    };
    let act = |world: &World, _: Option<Started>| world.start().map(drop);
    let faults = faults(prepared, act);
    assert!(faults.len() > 2, "a frame is written and synced");
    let [old, _new] = cut_off_everywhere(&faults, prepared, act);
    assert_eq!(old, 0, "what the catalog says is never taken back");
}
