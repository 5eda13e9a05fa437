//! Logs of gigabytes, made through `storage` as a library: the records are true ones, captured from the database,
//! the file operations are headwater's own, but nothing waits for a disk or a walsender.
//!
//! headwater captures a small backlog first and so makes the data directory. Its records are then appended again
//! and again, in batches and groups of the shape that is asked for. The source's position stays where it is, so
//! headwater goes on behind them as if it had captured them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_protocol::batch::{BatchBuilder, BatchHeader, RecordBatch, records};
use headwater_storage::catalog::random_id;
use headwater_storage::disk::SegmentStore;
use headwater_storage::disk::unsynced::Unsynced;
use headwater_storage::meta::MetaStore;
use headwater_storage::meta::sled_meta::SledMeta;
use headwater_storage::{
    CatalogChange, CommitGroup, DataDirectory, FeedNumber, InstanceNumber, Journal, Keeper,
    KeeperOptions, NewBatch, Now, RetentionLimits, StoreOptions, TableIdentity, Topic, TopicNumber,
};
use rustix::fs::Advice;
use tempfile::TempDir;

use super::database::Database;
use super::headwater::{Configured, Launch};
use super::{Failure, workload};

/// Rows that are captured for real, about 5 MB of records.
const SAMPLE_ROWS: u64 = 10_000;

const INSTANCE: InstanceNumber = InstanceNumber(1);
const FEED: FeedNumber = FeedNumber(1);

/// How the records lie in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Records of a batch.
    pub(crate) rows: usize,
    /// Batches of a group of transactions.
    pub(crate) batches: usize,
    /// Topics that take the batches of a group by turns; 1: the table's own.
    pub(crate) topics: usize,
}

impl Shape {
    /// One batch of some 230 KB a group.
    pub(crate) const TRANSACTIONS_OF_500: Self = Self {
        rows: 500,
        batches: 1,
        topics: 1,
    };
    /// A group, with its commit frame, for every row.
    pub(crate) const TRANSACTIONS_OF_ONE: Self = Self {
        rows: 1,
        batches: 1,
        topics: 1,
    };
}

/// A data directory that grows as asked, and the database behind it.
#[derive(Debug)]
pub(crate) struct BigLog {
    launch: Launch,
    topic: String,
    sample: Vec<u8>,
    data: TempDir,
    database: Database,
}

impl BigLog {
    /// Captures the sample.
    pub(crate) fn prepare(instance: &str) -> Result<Self, Failure> {
        let database = Database::start()?;
        let data = tempfile::tempdir()?;
        let mut sql = database.connect()?;
        workload::create_table(&mut sql)?;
        workload::prepare_instance(&mut sql, instance)?;
        workload::fill(&mut sql, 1, SAMPLE_ROWS, 500)?;
        let launch = Launch::new(&database, instance, data.path()).configured(unlimited());
        let topic = workload::topic(instance);
        let mut headwater = launch.spawn()?;
        headwater.wait_for_records(&topic, SAMPLE_ROWS, Duration::from_millis(20))?;
        let mut sample = Vec::new();
        headwater.stretch(&topic)?.download(&mut sample)?;
        headwater.stop()?;
        Ok(Self {
            launch,
            topic,
            sample,
            data,
            database,
        })
    }

    pub(crate) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The table's topic.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Appends until so many more bytes of batches are in the log. Gives the names of the topics that have them.
    /// headwater must not run.
    pub(crate) fn fill(&self, bytes: u64, shape: Shape) -> Result<Vec<String>, Failure> {
        let path = self.data.path().join("data");
        let began = Instant::now();
        let disk: Arc<dyn SegmentStore> = Arc::new(Unsynced::open(&path)?);
        let meta: Arc<dyn MetaStore> = Arc::new(SledMeta::open(&path.join("meta"))?);
        let directory = DataDirectory::open_on(disk, meta, &StoreOptions::default())?;
        let topics = self.topics(&directory, shape.topics)?;
        let now = || Now {
            wall_ms: 0,
            monotonic: began.elapsed(),
        };
        let (mut journal, log, _recovered) = directory.open_journal(INSTANCE, now())?;
        let batches = self.batches(shape.rows)?;
        let numbers: Vec<TopicNumber> = topics.iter().map(|topic| topic.number).collect();
        append(&mut journal, bytes, shape, (&batches, &numbers), now)?;
        let keeper = directory.open_keeper(INSTANCE, &log, (keeping_all(), now()))?;
        seal(keeper, now)?;
        journal.close()?;
        drop(directory);
        rustix::fs::syncfs(File::open(&path)?)?;
        eprintln!(
            "big log: {} MB of batches in {:.0} s",
            bytes / 1_000_000,
            began.elapsed().as_secs_f64()
        );
        Ok(topics.into_iter().map(|topic| topic.name).collect())
    }

    /// Takes the log's files out of the page cache (`posix_fadvise`, `POSIX_FADV_DONTNEED`). Other files on this
    /// machine stay there.
    pub(crate) fn chill(&self) -> Result<(), Failure> {
        for file in files_below(&self.data.path().join("data").join("journal"))? {
            let file = File::open(file)?;
            // Only what is clean can be dropped.
            file.sync_data()?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }

    /// The table's topic, or so many that are made beside it.
    fn topics(&self, directory: &DataDirectory, count: usize) -> Result<Vec<Topic>, Failure> {
        if count == 1 {
            let catalog = directory.catalog();
            let own = catalog.topic_by_name(&self.topic);
            let own = own.ok_or("the sample's topic is gone")?;
            return Ok(vec![Topic::clone(own)]);
        }
        let mut topics = Vec::new();
        for number in 1..=count {
            let name = format!("{}_{number:03}", workload::TABLE);
            let topic = Topic {
                number: directory.catalog().next_topic(),
                id: random_id(),
                name: format!("{}_{number:03}", self.topic),
                instance: INSTANCE,
                feed: FEED,
                table: Some(TableIdentity {
                    schema: "public".to_owned(),
                    name,
                    relation: 0,
                }),
                epochs: Topic::first_epoch(),
            };
            directory.change(vec![CatalogChange::Topic(topic.clone())])?;
            topics.push(topic);
        }
        Ok(topics)
    }

    /// The sample's records again, so many to a batch.
    fn batches(&self, rows: usize) -> Result<Vec<RecordBatch>, Failure> {
        let mut built = Vec::new();
        let mut builder = BatchBuilder::new();
        let mut rest = self.sample.as_slice();
        while !rest.is_empty() {
            let size = BatchHeader::parse(rest)?.size();
            let (batch, behind) = rest.split_at_checked(size).ok_or("a batch is cut off")?;
            for record in records(batch) {
                let record = record?;
                builder.append(record.timestamp, record.key, record.value, &record.headers)?;
                if builder.record_count() as usize >= rows {
                    built.extend(builder.finish());
                }
            }
            rest = behind;
        }
        built.extend(builder.finish());
        Ok(built)
    }
}

/// Nothing of a large log is deleted while it is measured.
fn unlimited() -> Configured {
    Configured {
        instance: "[instance.retention]\nage = \"365d\"\nsize = \"1024GiB\"".to_owned(),
        ..Configured::default()
    }
}

/// Nothing is deleted, and sealing rests for nobody.
fn keeping_all() -> KeeperOptions {
    KeeperOptions {
        retention: RetentionLimits {
            age: Duration::MAX,
            bytes: u64::MAX,
        },
        seal_bytes_per_second: u64::MAX,
        ..KeeperOptions::default()
    }
}

/// Seals all files that can be sealed, as headwater does when it has had the time.
fn seal(mut keeper: Keeper, now: impl Fn() -> Now) -> Result<(), Failure> {
    loop {
        let step = keeper.step(now())?;
        if step.event.is_none() && step.rest > Duration::ZERO {
            return Ok(());
        }
    }
}

fn append(
    journal: &mut Journal,
    bytes: u64,
    shape: Shape,
    (batches, topics): (&[RecordBatch], &[TopicNumber]),
    now: impl Fn() -> Now,
) -> Result<(), Failure> {
    let mut topics = topics.iter().cycle();
    let mut batches = batches.iter().cycle();
    let mut written = 0;
    while written < bytes {
        for (batch, topic) in batches.by_ref().zip(topics.by_ref()).take(shape.batches) {
            written += batch.bytes.len() as u64;
            let batch = NewBatch {
                topic: *topic,
                partition: 0,
                bytes: batch.bytes.clone(),
                record_count: batch.record_count,
                max_timestamp: batch.max_timestamp,
            };
            journal.append(now(), batch)?;
        }
        // No source moves: headwater goes on where it was.
        journal.commit(now(), CommitGroup::default())?;
        journal.note_durable_end(now())?;
    }
    Ok(())
}

/// Every file below a folder.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
