//! Fetch: from the ring, and of a log in the page cache, beside the bare loops (`bare_loop.rs`).
//!
//! A reference serves the very bytes that headwater served, read by the same client with the same requests. Before
//! anything is timed both are read once and compared.

use std::io::{BufWriter, Write};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use super::bare_loop::{BareLoop, From};
use super::batch_place::batch_index;
use super::big_log::{BigLog, Shape};
use super::database::Database;
use super::headwater::{Headwater, Launch};
use super::report::{Cell, Section};
use super::stretch::{READERS, Readers, Stretch, alternate, throughput_cells};
use super::{Failure, Settings, workload};

const COLUMNS: &[&str] = &[
    "connections",
    "bare loop GB/s",
    "headwater GB/s",
    "ratio of rates (hold >= 0.8)",
    "bare loop CPU s/GB",
    "headwater CPU s/GB",
    "ratio of CPU (hold <= 1.3)",
    "headwater peak MB",
];

const INSTANCE: &str = "fetch";
/// At some 460 bytes a record 27 MB: more than is read, less than the ring of 32 MiB holds.
const ROWS: u64 = 60_000;
/// What is read: well inside the ring, so that no byte comes from a file.
const READ_BYTES: usize = 24 << 20;

/// headwater whose newest batches lie in its ring, and a bare loop that serves the same bytes from memory.
pub(crate) struct Hot {
    pub(crate) headwater: Headwater,
    pub(crate) newest: Stretch,
    bare_loop: BareLoop,
    _files: (Database, TempDir, NamedTempFile),
}

impl Hot {
    pub(crate) fn prepare(instance: &str) -> Result<Self, Failure> {
        let database = Database::start()?;
        let data = tempfile::tempdir()?;
        let mut sql = database.connect()?;
        workload::create_table(&mut sql)?;
        workload::prepare_instance(&mut sql, instance)?;
        workload::fill(&mut sql, 1, ROWS, 500)?;

        let launch = Launch::new(&database, instance, data.path());
        let mut headwater = launch.spawn()?;
        let topic = workload::topic(instance);
        headwater.wait_for_records(&topic, ROWS, Duration::from_millis(20))?;
        let whole = headwater.stretch(&topic)?;

        let mut batches = Vec::new();
        whole.download(&mut batches)?;
        let from = batches.len().saturating_sub(READ_BYTES);
        let first = batch_index(&batches)?
            .into_iter()
            .find(|place| place.at >= from)
            .ok_or("the topic is empty")?;
        let mut file = NamedTempFile::new()?;
        file.write_all(&batches[first.at..])?;
        let newest = Stretch {
            start: first.base_offset,
            ..whole
        };
        let bare_loop = BareLoop::start(file.path(), &topic, From::Memory)?;
        let hot = Self {
            headwater,
            newest,
            bare_loop,
            _files: (database, data, file),
        };
        hot.newest.check_equal(&hot.reference())?;
        Ok(hot)
    }

    /// The same bytes, of the bare loop.
    pub(crate) fn reference(&self) -> Stretch {
        Stretch {
            port: self.bare_loop.port,
            pid: self.bare_loop.pid(),
            ..self.newest.clone()
        }
    }

    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.headwater.stop()
    }
}

/// The newest batches, read again and again.
pub(crate) fn from_ring(settings: &Settings) -> Result<Section, Failure> {
    let hot = Hot::prepare(INSTANCE)?;
    let readers = READERS.into_iter().filter(|readers| !readers.spread);
    let mut section = Section::new("Fetch from the ring", COLUMNS);
    let rows = beside(
        settings,
        &hot.bare_loop,
        &hot.newest,
        &hot.headwater,
        readers,
    )?;
    rows.into_iter().for_each(|row| section.row(row));
    hot.stop()?;
    Ok(section)
}

/// A whole log that is larger than all of headwater's memory and lies in the page cache.
pub(crate) fn from_page_cache(settings: &Settings) -> Result<Section, Failure> {
    let log = BigLog::prepare(INSTANCE)?;
    log.fill(settings.fetch_mebibytes << 20, Shape::TRANSACTIONS_OF_500)?;
    let mut headwater = log.launch().spawn()?;
    let whole = headwater.stretch(log.topic())?;
    let mut file = NamedTempFile::new()?;
    let mut writer = BufWriter::new(&mut file);
    whole.download(&mut writer)?;
    writer.flush()?;
    drop(writer);
    let bare_loop = BareLoop::start(file.path(), log.topic(), From::File)?;
    let mut section = Section::new("Fetch of a log in the page cache", COLUMNS);
    for row in beside(settings, &bare_loop, &whole, &headwater, READERS)? {
        section.row(row);
    }
    headwater.stop()?;
    Ok(section)
}

/// Both sides by turns, a row for each kind of readers.
fn beside(
    settings: &Settings,
    bare_loop: &BareLoop,
    ours: &Stretch,
    headwater: &Headwater,
    readers: impl IntoIterator<Item = Readers>,
) -> Result<Vec<Vec<Cell>>, Failure> {
    let reference = Stretch {
        port: bare_loop.port,
        pid: bare_loop.pid(),
        ..ours.clone()
    };
    let digest = ours.check_equal(&reference)?;
    eprintln!(
        "fetch: {} batches of {} KiB on average, the same on both sides",
        digest.batches,
        digest.bytes / digest.batches.max(1) / 1024
    );
    let duration = Duration::from_secs(settings.fetch_seconds);
    let mut rows = Vec::new();
    for readers in readers {
        let pairs = alternate(
            settings.alternations,
            || reference.measure(readers, duration),
            || ours.measure(readers, duration),
        )?;
        let mut row = vec![readers.cell()];
        row.extend(throughput_cells(&pairs));
        row.push(headwater.peak_cell()?);
        rows.push(row);
    }
    Ok(rows)
}
