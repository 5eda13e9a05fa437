//! Start: from exec to the first answers of the Kafka listener.
//!
//! Once with a new data directory each time, and once after kill -9 while rows arrive, with a log
//! of some hundred megabytes. The client tries every millisecond, so that much is its error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
        headwater.stop()?;
    }
    section.row(empty.row("new data directory", 0.0));

    let (killed, log_megabytes) = after_kills(&database, settings.alternations)?;
    section.row(killed.row("after kill -9 under load", log_megabytes));
    Ok(section)
}

fn after_kills(database: &Database, kills: u32) -> Result<(Answers, f64), Failure> {
    let data = tempfile::tempdir()?;
    let mut sql = database.connect()?;
    workload::prepare_instance(&mut sql, INSTANCE)?;
    workload::fill(&mut sql, 1, ROWS, 500)?;
    let launch = Launch::new(database, INSTANCE, data.path());
    let mut headwater = launch.spawn();
    let topic = workload::topic(INSTANCE);
    headwater.wait_for_records(&topic, ROWS, Duration::from_millis(50))?;

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&stop, database));
        let mut answers = Answers::default();
        let killed = || -> Result<(), Failure> {
            for _ in 0..kills {
                std::thread::sleep(LIVE);
                headwater.kill();
                headwater = answers.start(&launch)?;
            }
            Ok(())
        }();
        stop.store(true, Ordering::Relaxed);
        match writer.join() {
            Ok(written) => written?,
            Err(_panicked) => return Err("the writer panicked".into()),
        }
        killed?;
        Ok((answers, megabytes_below(data.path())?))
    })
}

/// Inserts rows in small transactions, so that a kill finds one in the making.
fn write_until(stop: &AtomicBool, database: &Database) -> Result<(), Failure> {
    const ROWS_A_TURN: u64 = 200;
    let mut sql = database.connect()?;
    let mut first = ROWS + 1;
    while !stop.load(Ordering::Relaxed) {
        workload::fill(&mut sql, first, ROWS_A_TURN, 10)?;
        first += ROWS_A_TURN;
    }
    Ok(())
}

impl Answers {
    fn start(&mut self, launch: &Launch) -> Result<Headwater, Failure> {
        let began = Instant::now();
        let mut headwater = launch.spawn();
        let mut client = headwater.connect()?;
        client.api_versions()?;
        self.api_versions.push(began.elapsed().as_secs_f64() * 1e3);
        client.metadata()?;
        self.metadata.push(began.elapsed().as_secs_f64() * 1e3);
        Ok(headwater)
    }

    fn row(self, name: &str, log_megabytes: f64) -> Vec<Cell> {
        vec![
            Cell::text(name),
            Cell::Spread(self.api_versions, 0),
            Cell::Spread(self.metadata, 0),
            Cell::Number(log_megabytes, 0),
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
