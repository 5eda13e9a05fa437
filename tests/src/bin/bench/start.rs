//! Start: from exec to the first answers of the Kafka listener.
//!
//! With a new data directory each time; after kill -9 while rows arrive, with a log of some hundred megabytes; and
//! the same with logs of gigabytes, of large and of single-row transactions, made by `big_log.rs`. The client
//! tries every millisecond, so that much is its error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::big_log::{BigLog, Shape};
use super::database::Database;
use super::headwater::{Headwater, Launch};
use super::report::{Cell, Section};
use super::sample::Samples;
use super::{Failure, Settings, workload};

const COLUMNS: &[&str] = &[
    "start",
    "ms to ApiVersions",
    "ms to Metadata (hold <= 200)",
    "log MB",
    "peak MB (hold <= 128)",
];
const INSTANCE: &str = "start";
/// At some 460 bytes a record about 230 MB of log.
const ROWS: u64 = 500_000;
/// How long rows arrive before a kill.
const LIVE: Duration = Duration::from_millis(500);

/// Milliseconds from exec to each of the first answers.
#[derive(Default)]
struct Answers {
    api_versions: Samples,
    metadata: Samples,
    /// Highest memory of each of the processes.
    peak_megabytes: Samples,
}

/// A log of this size and shape, and what the table calls it.
struct Killed<'a> {
    name: String,
    launch: &'a Launch,
    database: &'a Database,
}

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let database = Database::start()?;
    let mut section = Section::new("Start", COLUMNS);
    workload::create_table(&mut database.connect()?)?;

    let mut empty = Answers::default();
    for run in 1..=settings.alternations {
        let data = tempfile::tempdir()?;
        let instance = format!("empty{run}");
        let headwater = empty.start(&Launch::new(&database, &instance, data.path()))?;
        empty.end(headwater)?;
    }
    section.row(empty.row("new data directory", 0.0));
    section.row(captured(&database, settings.alternations)?);
    for (shape, name) in [
        (Shape::TRANSACTIONS_OF_500, "transactions of 500 rows"),
        (Shape::TRANSACTIONS_OF_ONE, "transactions of one row"),
    ] {
        let log = BigLog::prepare("big")?;
        log.fill(settings.start_mebibytes << 20, shape)?;
        let killed = Killed {
            name: format!("after kill -9 under load, {name}"),
            launch: log.launch(),
            database: log.database(),
        };
        section.row(killed.row(settings.alternations)?);
    }
    Ok(section)
}

/// A log that was captured as a whole.
fn captured(database: &Database, kills: u32) -> Result<Vec<Cell>, Failure> {
    let data = tempfile::tempdir()?;
    let mut sql = database.connect()?;
    workload::prepare_instance(&mut sql, INSTANCE)?;
    workload::fill(&mut sql, 1, ROWS, 500)?;
    let launch = Launch::new(database, INSTANCE, data.path());
    let mut headwater = launch.spawn()?;
    let topic = workload::topic(INSTANCE);
    headwater.wait_for_records(&topic, ROWS, Duration::from_millis(50))?;
    headwater.stop()?;
    let killed = Killed {
        name: "after kill -9 under load".to_owned(),
        launch: &launch,
        database,
    };
    killed.row(kills)
}

impl Killed<'_> {
    fn row(&self, kills: u32) -> Result<Vec<Cell>, Failure> {
        let stop = AtomicBool::new(false);
        let mut headwater = self.launch.spawn()?;
        headwater.connect()?;
        let answers = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_until(&stop, self.database));
            let mut answers = Answers::default();
            let killed = || -> Result<(), Failure> {
                for _ in 0..kills {
                    std::thread::sleep(LIVE);
                    headwater.kill();
                    headwater = answers.start(self.launch)?;
                }
                answers.end(headwater)
            }();
            stop.store(true, Ordering::Relaxed);
            match writer.join() {
                Ok(written) => written?,
                Err(_panicked) => return Err("the writer panicked".into()),
            }
            killed?;
            Ok::<_, Failure>(answers)
        })?;
        let log_megabytes = megabytes_below(self.launch.data())?;
        Ok(answers.row(&self.name, log_megabytes))
    }
}

/// Inserts rows in small transactions, so that a kill finds one in the making.
fn write_until(stop: &AtomicBool, database: &Database) -> Result<(), Failure> {
    const ROWS_A_TURN: u64 = 200;
    let mut sql = database.connect()?;
    let highest = sql.value(&format!(
        "select coalesce(max(id), 0) from {}",
        workload::TABLE
    ))?;
    let mut first = highest.parse::<u64>()? + 1;
    while !stop.load(Ordering::Relaxed) {
        workload::fill(&mut sql, first, ROWS_A_TURN, 10)?;
        first += ROWS_A_TURN;
    }
    Ok(())
}

impl Answers {
    fn start(&mut self, launch: &Launch) -> Result<Headwater, Failure> {
        let began = Instant::now();
        let mut headwater = launch.spawn()?;
        let mut client = headwater.connect()?;
        client.api_versions()?;
        self.api_versions.push(began.elapsed().as_secs_f64() * 1e3);
        client.metadata()?;
        self.metadata.push(began.elapsed().as_secs_f64() * 1e3);
        Ok(headwater)
    }

    fn end(&mut self, headwater: Headwater) -> Result<(), Failure> {
        #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
        let peak = headwater.memory()?.peak as f64 / 1e6;
        self.peak_megabytes.push(peak);
        // Stopped under load it may take longer than a stop has.
        headwater.kill();
        Ok(())
    }

    fn row(self, name: &str, log_megabytes: f64) -> Vec<Cell> {
        vec![
            Cell::text(name),
            Cell::Spread(self.api_versions, 0),
            Cell::Spread(self.metadata, 0),
            Cell::Number(log_megabytes, 0),
            Cell::Number(self.peak_megabytes.max(), 1),
        ]
    }
}

fn megabytes_below(directory: &std::path::Path) -> Result<f64, Failure> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            bytes += megabytes_below(&entry.path())? * 1e6;
        } else {
            #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
            let size = entry.metadata()?.len() as f64;
            bytes += size;
        }
    }
    Ok(bytes / 1e6)
}
