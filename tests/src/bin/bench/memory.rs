//! Memory: headwater at rest, and with a transaction far larger than it may hold.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::database::Database;
use super::headwater::{Headwater, Launch};
use super::report::{Cell, Section};
use super::{Failure, Settings, workload};

const COLUMNS: &[&str] = &["when", "resident MB", "peak MB", "hold MB"];
const INSTANCE: &str = "memory";

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let database = Database::start()?;
    let data = tempfile::tempdir()?;
    let mut sql = database.connect()?;
    workload::create_table(&mut sql)?;
    let launch = Launch::new(&database, INSTANCE, data.path());
    let mut headwater = launch.spawn()?;
    headwater.connect()?;

    let mut section = Section::new("Resident memory", COLUMNS);
    sleep(Duration::from_secs(settings.idle_seconds));
    let idle = format!("{} s after an idle start", settings.idle_seconds);
    section.row(row(&headwater, idle, "<= 16")?);

    let began = Instant::now();
    let rows = settings.large_rows;
    workload::fill(&mut sql, 1, rows, rows)?;
    headwater.wait_for_records(&workload::topic(INSTANCE), rows, Duration::from_millis(50))?;
    eprintln!(
        "memory: the large transaction took {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let large = format!("after one transaction of {rows} rows");
    section.row(row(&headwater, large, "<= 128")?);
    headwater.stop()?;
    Ok(section)
}

fn row(headwater: &Headwater, when: String, hold: &str) -> Result<Vec<Cell>, Failure> {
    let memory = headwater.memory()?;
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    let megabytes = |bytes: u64| Cell::Number(bytes as f64 / 1e6, 1);
    Ok(vec![
        Cell::text(when),
        megabytes(memory.resident),
        megabytes(memory.peak),
        Cell::text(hold),
    ])
}
