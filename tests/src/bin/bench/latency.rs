//! Latency: from a commit in the database to its record in a consumer.
//!
//! An open loop: transaction n is due at a time fixed beforehand, and both sides are measured from
//! that moment, so a stall counts for every transaction that had to wait behind it. The reference
//! receives the same commit on a slot of its own, on a bare replication connection; to each of its
//! times one measured fdatasync of 4 KiB is added, since a durable log cannot do without. What
//! headwater adds is the difference of the percentiles of the two. Beside it stands how long after
//! the bare receipt of the same commit the record came, sync included.
//!
//! Where the database cannot commit as fast as a load asks, both sides show the growing wait of the
//! writers; such a row says what rate was reached, and is no measurement of headwater.
//!
//! Both sides, the writers and the database share the machine at the same time, as they do in use.

mod receiver;
mod sync_file;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::database::Database;
use super::headwater::{Headwater, Launch};
use super::postgres_client::Connection;
use super::report::{Cell, Section};
use super::sample::Samples;
use super::stretch::Stretch;
use super::{Failure, Settings, workload};
pub(crate) use receiver::Receiver;
use sync_file::SyncFile;

const COLUMNS: &[&str] = &[
    "rows a transaction",
    "rows/s",
    "receipt ms p50",
    "receipt ms p99",
    "fdatasync ms p50",
    "fdatasync ms p99",
    "headwater ms p50",
    "headwater ms p99",
    "adds ms p50 (hold <= 1)",
    "adds ms p99 (hold <= 5)",
    "after the same receipt ms p50",
    "after the same receipt ms p99",
    "headwater CPU us/row",
    "headwater peak MB",
];

const INSTANCE: &str = "latency";
const REFERENCE: &str = "latency_reference";
const WRITERS: usize = 16;
const LOADS: [Load; 4] = [
    Load::new(1, 1_000),
    Load::new(10, 1_000),
    Load::new(1, 5_000),
    Load::new(10, 5_000),
];

/// `customer` carries the number of the transaction, which is how both sides recognise it.
const PREPARE_SQL: &str = "
prepare put(bigint, int) as
insert into orders
select $1 * 10 + row, $1, 'shipped', row, md5($1::text) || md5(row::text), clock_timestamp()
from generate_series(0, $2 - 1) as row";

/// What is written: how large and how often.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) rows_per_transaction: u32,
    pub(crate) rows_per_second: u32,
}

impl Load {
    pub(crate) const fn new(rows_per_transaction: u32, rows_per_second: u32) -> Self {
        Self {
            rows_per_transaction,
            rows_per_second,
        }
    }

    fn interval(self) -> Duration {
        Duration::from_secs(1) * self.rows_per_transaction / self.rows_per_second
    }

    fn transactions(self, seconds: u64) -> u64 {
        seconds * u64::from(self.rows_per_second / self.rows_per_transaction)
    }
}

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let mut rig = Rig::start(INSTANCE)?;
    // Connections, caches and plans are warm before the first number is taken.
    rig.measure(LOADS[0], 1)?;

    let mut section = Section::new("Commit to consumer", COLUMNS);
    for load in LOADS {
        let runs: Vec<Run> = (0..settings.alternations)
            .map(|_| rig.measure(load, settings.latency_seconds))
            .collect::<Result<_, _>>()?;
        section.row(row(load, &runs, &rig.headwater)?);
    }
    rig.stop()?;
    Ok(section)
}

/// A database with its writers, headwater with a consumer, and the reference.
pub(crate) struct Rig {
    bench: Bench,
    headwater: Headwater,
    topic: String,
    _files: (Database, TempDir),
}

impl Rig {
    pub(crate) fn start(instance: &str) -> Result<Self, Failure> {
        let database = Database::start()?;
        let data = tempfile::tempdir()?;
        let mut sql = database.connect()?;
        workload::create_table(&mut sql)?;
        workload::prepare_instance(&mut sql, instance)?;
        workload::publish(&mut sql, REFERENCE)?;
        workload::create_slot(&mut sql, REFERENCE)?;
        let launch = Launch::new(&database, instance, data.path());
        let mut headwater = launch.spawn()?;
        let topic = workload::topic(instance);
        let bench = Bench {
            reference: Receiver::of_the_slot(&database, REFERENCE)?,
            consumer: Receiver::of_the_topic(headwater.connect()?, &topic)?,
            writers: Writers::connect(&database)?,
            sync_file: SyncFile::create()?,
        };
        Ok(Self {
            bench,
            headwater,
            topic,
            _files: (database, data),
        })
    }

    /// What the consumer reads.
    pub(crate) fn stretch(&mut self) -> Result<Stretch, Failure> {
        self.headwater.stretch(&self.topic)
    }

    pub(crate) fn measure(&mut self, load: Load, seconds: u64) -> Result<Run, Failure> {
        self.bench.measure(load, seconds, &self.headwater)
    }

    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.bench.reference.stop();
        self.bench.consumer.stop();
        self.headwater.stop()
    }
}

fn row(load: Load, runs: &[Run], headwater: &Headwater) -> Result<Vec<Cell>, Failure> {
    let samples = |of: fn(&Run) -> f64| -> Samples { runs.iter().map(of).collect() };
    let median = |of: fn(&Run) -> f64| Cell::Number(samples(of).median(), 2);
    let reached = samples(|run| run.rows_per_second).median();
    let asked = f64::from(load.rows_per_second);
    let rate = if reached < 0.97 * asked {
        format!("{asked:.0} asked, {reached:.0} reached")
    } else {
        format!("{asked:.0}")
    };
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    let peak_megabytes = headwater.memory()?.peak as f64 / 1e6;
    Ok(vec![
        Cell::text(load.rows_per_transaction.to_string()),
        Cell::text(rate),
        median(|run| run.receipt.percentile(0.5)),
        median(|run| run.receipt.percentile(0.99)),
        median(|run| run.syncs.percentile(0.5)),
        median(|run| run.syncs.percentile(0.99)),
        median(|run| run.headwater.percentile(0.5)),
        median(|run| run.headwater.percentile(0.99)),
        Cell::Spread(samples(|run| run.adds(0.5)), 2),
        Cell::Spread(samples(|run| run.adds(0.99)), 2),
        median(|run| run.after_receipt.percentile(0.5)),
        median(|run| run.after_receipt.percentile(0.99)),
        Cell::Number(samples(|run| run.cpu_microseconds_per_row).median(), 1),
        Cell::Number(peak_megabytes, 1),
    ])
}

/// One load, once; all in milliseconds.
pub(crate) struct Run {
    receipt: Samples,
    pub(crate) syncs: Samples,
    /// Each receipt plus one of the syncs measured meanwhile.
    reference: Samples,
    pub(crate) headwater: Samples,
    /// From the bare receipt of a commit to its record in the consumer.
    after_receipt: Samples,
    /// As the database reached it.
    pub(crate) rows_per_second: f64,
    pub(crate) cpu_microseconds_per_row: f64,
}

impl Run {
    fn adds(&self, share: f64) -> f64 {
        self.headwater.percentile(share) - self.reference.percentile(share)
    }
}

/// Everything that stays up from load to load.
struct Bench {
    reference: Receiver,
    consumer: Receiver,
    writers: Writers,
    sync_file: SyncFile,
}

impl Bench {
    fn measure(&mut self, load: Load, seconds: u64, process: &Headwater) -> Result<Run, Failure> {
        let cpu_before = process.cpu_seconds()?;
        let schedule = self.writers.schedule(load, seconds);
        let syncs = self.write(load, &schedule)?;
        let receipt = self.reference.take(&schedule)?;
        let headwater = self.consumer.take(&schedule)?;
        let reference = receipt
            .values()
            .iter()
            .zip(syncs.values().iter().cycle())
            .map(|(receipt, sync)| receipt + sync)
            .collect();
        let after_receipt = headwater
            .values()
            .iter()
            .zip(receipt.values())
            .map(|(headwater, receipt)| headwater - receipt)
            .collect();
        let rows = schedule.rows(load);
        // The last transaction is due one interval before the end.
        let took_ms = schedule.length().as_secs_f64() * 1e3 + receipt.last();
        Ok(Run {
            receipt,
            syncs,
            reference,
            headwater,
            after_receipt,
            rows_per_second: rows / took_ms * 1e3,
            cpu_microseconds_per_row: (process.cpu_seconds()? - cpu_before) / rows * 1e6,
        })
    }

    /// Writes, and times syncs meanwhile.
    fn write(&mut self, load: Load, schedule: &Schedule) -> Result<Samples, Failure> {
        let done = AtomicBool::new(false);
        let (writers, sync_file) = (&mut self.writers, &self.sync_file);
        std::thread::scope(|scope| {
            let syncs = scope.spawn(|| sync_file.time_until(&done));
            let written = writers.write(load, schedule);
            done.store(true, Ordering::Relaxed);
            let syncs = syncs
                .join()
                .unwrap_or(Err("the sync timer panicked".into()));
            written.and(syncs)
        })
    }
}

/// Sessions that commit transactions when they are due.
pub(crate) struct Writers {
    connections: Vec<Connection>,
    next_transaction: u64,
}

impl Writers {
    pub(crate) fn connect(database: &Database) -> Result<Self, Failure> {
        let writer = |_| {
            let mut connection = database.connect()?;
            connection.query(PREPARE_SQL)?;
            Ok::<_, Failure>(connection)
        };
        Ok(Self {
            connections: (0..WRITERS).map(writer).collect::<Result<_, _>>()?,
            next_transaction: 1,
        })
    }

    /// The next transactions, of which the first is due at once.
    pub(crate) fn schedule(&mut self, load: Load, seconds: u64) -> Schedule {
        let schedule = Schedule {
            // Every writer is waiting by then.
            begins: Instant::now() + Duration::from_millis(20),
            interval: load.interval(),
            first: self.next_transaction,
            count: load.transactions(seconds),
        };
        self.next_transaction += schedule.count;
        schedule
    }

    /// Commits all transactions of a schedule, each when it is due.
    pub(crate) fn write(&mut self, load: Load, schedule: &Schedule) -> Result<(), Failure> {
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let connections = self.connections.iter_mut();
            let writers: Vec<_> = connections
                .map(|connection| scope.spawn(|| write_when_due(connection, load, schedule, &next)))
                .collect();
            writers
                .into_iter()
                .try_for_each(|writer| writer.join().unwrap_or(Err("a writer panicked".into())))
        })
    }
}

/// When each transaction is due.
pub(crate) struct Schedule {
    begins: Instant,
    interval: Duration,
    first: u64,
    count: u64,
}

impl Schedule {
    fn length(&self) -> Duration {
        self.interval * u32::try_from(self.count).unwrap_or(u32::MAX)
    }

    pub(crate) fn rows(&self, load: Load) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of transactions")]
        let transactions = self.count as f64;
        f64::from(load.rows_per_transaction) * transactions
    }

    fn due(&self, index: u64) -> Instant {
        self.begins + self.interval * u32::try_from(index).unwrap_or(u32::MAX)
    }
}

fn write_when_due(
    connection: &mut Connection,
    load: Load,
    schedule: &Schedule,
    next: &AtomicU64,
) -> Result<(), Failure> {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= schedule.count {
            return Ok(());
        }
        let transaction = schedule.first + index;
        sleep(
            schedule
                .due(index)
                .saturating_duration_since(Instant::now()),
        );
        connection.query(&format!(
            "execute put({transaction}, {})",
            load.rows_per_transaction
        ))?;
    }
}
