//! Capture: a backlog of PostgreSQL changes, decoded, encoded, logged and synced.
//!
//! The reference is `pg_recvlogical` to /dev/null on a copy of the same slot: the rate at which
//! the walsender can send at all. Each copy can be drained once, so there is one for every run.
//! Both sides are timed from the moment their slot is active to the end: `pg_recvlogical` to its
//! exit at the end position, headwater until the last record is visible, which it is only after
//! its sync.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::database::Database;
use super::headwater::{Configured, Headwater, Launch};
use super::postgres_client::Connection;
use super::report::{Cell, Section};
use super::sample::Samples;
use super::{Failure, Settings, process, workload};

const COLUMNS: &[&str] = &[
    "backlog",
    "pg_recvlogical rows/s",
    "headwater rows/s",
    "ratio of rates (hold >= 0.9)",
    "PostgreSQL CPU s under pg_recvlogical",
    "PostgreSQL CPU s under headwater",
    "pg_recvlogical CPU s",
    "headwater CPU s",
    "headwater CPU us/row",
    "headwater peak MB",
];

const SEALING_COLUMNS: &[&str] = &[
    "backlog",
    "rows/s without sealing",
    "rows/s with sealing",
    "ratio of rates (hold >= 0.9)",
    "CPU s without sealing",
    "CPU s with sealing",
    "peak MB with sealing (hold <= 128)",
];

pub(super) const REFERENCE_PUBLICATION: &str = "reference";

/// A backlog: its rows and how they are grouped.
pub(super) struct Backlog {
    pub(super) name: String,
    pub(super) prefix: &'static str,
    pub(super) rows: u64,
    pub(super) rows_per_transaction: u64,
}

/// What one drain took.
#[derive(Clone, Copy)]
pub(super) struct Drain {
    /// From the moment the slot was active.
    pub(super) seconds: f64,
    /// From the start of the reader.
    pub(super) seconds_from_start: f64,
    /// Walsender, and whatever other sessions the reader had.
    pub(super) postgres_cpu: f64,
    pub(super) reader_cpu: f64,
    peak_bytes: f64,
}

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let mut section = Section::new("Capture of a PostgreSQL backlog", COLUMNS);
    let backlogs = [
        Backlog {
            name: format!("{} rows, 500 a transaction", settings.rows),
            prefix: "b",
            rows: settings.rows,
            rows_per_transaction: 500,
        },
        Backlog {
            name: format!("{} rows, 1 a transaction", settings.single_rows),
            prefix: "s",
            rows: settings.single_rows,
            rows_per_transaction: 1,
        },
    ];
    for backlog in backlogs {
        let database = Database::start()?;
        let mut runs = Runs::prepare(&database, backlog, settings.alternations)?;
        section.row(runs.alternate()?);
    }
    Ok(section)
}

/// The same backlog with sealing, beside sealing so slow that it is none.
pub(crate) fn beside_sealing(settings: &Settings) -> Result<Section, Failure> {
    let database = Database::start()?;
    let backlog = Backlog {
        name: format!("{} rows, 500 a transaction", settings.rows),
        prefix: "k",
        rows: settings.rows,
        rows_per_transaction: 500,
    };
    let mut runs = Runs::prepare(&database, backlog, 2 * settings.alternations)?;
    let mut section = Section::new("Capture while finished files are sealed", SEALING_COLUMNS);
    section.row(runs.alternate_sealing(settings.alternations)?);
    Ok(section)
}

/// One backlog and everything needed to drain it again and again.
pub(super) struct Runs<'a> {
    database: &'a Database,
    sql: Connection,
    backlog: Backlog,
    alternations: u32,
    end_lsn: String,
}

impl<'a> Runs<'a> {
    /// Makes a slot for every run, all at the same place, and then the backlog behind it.
    pub(super) fn prepare(
        database: &'a Database,
        backlog: Backlog,
        alternations: u32,
    ) -> Result<Self, Failure> {
        let mut sql = database.connect()?;
        workload::create_table(&mut sql)?;
        workload::publish(&mut sql, REFERENCE_PUBLICATION)?;
        let instances: Vec<String> = (1..=alternations)
            .map(|run| format!("{}{run}", backlog.prefix))
            .collect();
        for instance in &instances {
            workload::publish(&mut sql, &workload::slot(instance))?;
        }
        sql.query("select pg_create_logical_replication_slot('original', 'pgoutput')")?;
        for instance in &instances {
            for copy in [workload::slot(instance), reference_slot(instance)] {
                sql.query(&format!(
                    "select pg_copy_logical_replication_slot('original', '{copy}')"
                ))?;
            }
        }
        workload::fill(&mut sql, 1, backlog.rows, backlog.rows_per_transaction)?;
        let end_lsn = sql.value("select pg_current_wal_insert_lsn()")?;
        sql.query("checkpoint")?;
        Ok(Self {
            database,
            sql,
            backlog,
            alternations,
            end_lsn,
        })
    }

    fn alternate(&mut self) -> Result<Vec<Cell>, Failure> {
        let mut pairs = Vec::new();
        for run in 1..=self.alternations {
            let instance = format!("{}{run}", self.backlog.prefix);
            let pair = if run % 2 == 1 {
                let reference = self.reference(&reference_slot(&instance))?;
                (reference, self.headwater(&instance, "tables")?)
            } else {
                let headwater = self.headwater(&instance, "tables")?;
                (self.reference(&reference_slot(&instance))?, headwater)
            };
            eprintln!(
                "capture: {} run {run}: pg_recvlogical {:.2} s, headwater {:.2} s",
                self.backlog.name, pair.0.seconds, pair.1.seconds
            );
            pairs.push(pair);
        }
        Ok(self.cells(&pairs))
    }

    /// Two instances a run: one without sealing, one with.
    fn alternate_sealing(&mut self, alternations: u32) -> Result<Vec<Cell>, Failure> {
        let mut pairs = Vec::new();
        for run in 1..=alternations {
            let instance = |number| format!("{}{number}", self.backlog.prefix);
            let (quiet, sealed) = (instance(2 * run - 1), instance(2 * run));
            pairs.push(if run % 2 == 1 {
                let quiet = self.drain(&quiet, |launch| launch.configured(without_sealing()))?;
                (
                    quiet,
                    self.drain(&sealed, |launch| launch.configured(Configured::default()))?,
                )
            } else {
                let sealed =
                    self.drain(&sealed, |launch| launch.configured(Configured::default()))?;
                (
                    self.drain(&quiet, |launch| launch.configured(without_sealing()))?,
                    sealed,
                )
            });
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let rows = self.backlog.rows as f64;
        let samples =
            |of: fn(&(Drain, Drain)) -> f64| -> Samples { pairs.iter().map(of).collect() };
        Ok(vec![
            Cell::text(self.backlog.name.clone()),
            Cell::Number(rows / samples(|(quiet, _)| quiet.seconds).median(), 0),
            Cell::Number(rows / samples(|(_, sealed)| sealed.seconds).median(), 0),
            Cell::Spread(samples(|(quiet, sealed)| quiet.seconds / sealed.seconds), 2),
            Cell::Number(samples(|(quiet, _)| quiet.reader_cpu).median(), 2),
            Cell::Number(samples(|(_, sealed)| sealed.reader_cpu).median(), 2),
            Cell::Number(samples(|(_, sealed)| sealed.peak_bytes).max() / 1e6, 1),
        ])
    }

    fn reference(&mut self, slot: &str) -> Result<Drain, Failure> {
        let postmaster = self.database.postmaster_pid();
        let postgres_before = process::reaped_cpu_seconds(postmaster)?;
        let reader_before = process::reaped_cpu_seconds(std::process::id())?;
        let started = Instant::now();
        let mut child = self
            .database
            .recvlogical()
            .args(["--start", "-f", "/dev/null", "-F", "0", "-s", "5"])
            .args(["-S", slot, "--endpos", &self.end_lsn])
            .args(["-o", "proto_version=1", "-o"])
            .arg(format!("publication_names={REFERENCE_PUBLICATION}"))
            .stdin(Stdio::null())
            .spawn()?;
        let walsender = self.wait_for_walsender(slot)?;
        let began = Instant::now();
        let status = child.wait()?;
        let seconds = began.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("pg_recvlogical: {status}").into());
        }
        process::wait_until_gone(walsender)?;
        Ok(Drain {
            seconds,
            seconds_from_start: (began - started).as_secs_f64() + seconds,
            postgres_cpu: process::reaped_cpu_seconds(postmaster)? - postgres_before,
            reader_cpu: process::reaped_cpu_seconds(std::process::id())? - reader_before,
            peak_bytes: 0.0,
        })
    }

    pub(super) fn headwater(
        &mut self,
        instance: &str,
        feeds: &'static str,
    ) -> Result<Drain, Failure> {
        self.drain(instance, |launch| launch.with_feeds(feeds))
    }

    fn drain(
        &mut self,
        instance: &str,
        change: impl FnOnce(Launch) -> Launch,
    ) -> Result<Drain, Failure> {
        self.drain_and_look(instance, change, |_| Ok(()))
    }

    /// The same; once everything was measured, `look` sees headwater with all of the records.
    pub(super) fn drain_and_look(
        &mut self,
        instance: &str,
        change: impl FnOnce(Launch) -> Launch,
        look: impl FnOnce(&mut Headwater) -> Result<(), Failure>,
    ) -> Result<Drain, Failure> {
        let postmaster = self.database.postmaster_pid();
        let postgres_before = process::reaped_cpu_seconds(postmaster)?;
        let data = tempfile::tempdir()?;
        let launch = change(Launch::new(self.database, instance, data.path()));
        let started = Instant::now();
        let mut headwater = launch.spawn()?;
        headwater.connect()?;
        let walsender = self.wait_for_walsender(&workload::slot(instance))?;
        let began = Instant::now();
        headwater.wait_for_records(
            &workload::topic(instance),
            self.backlog.rows,
            Duration::from_millis(5),
        )?;
        let seconds = began.elapsed().as_secs_f64();
        let reader_cpu = headwater.cpu_seconds()?;
        #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
        let peak_bytes = headwater.memory()?.peak as f64;
        look(&mut headwater)?;
        headwater.stop()?;
        process::wait_until_gone(walsender)?;
        Ok(Drain {
            seconds,
            seconds_from_start: (began - started).as_secs_f64() + seconds,
            postgres_cpu: process::reaped_cpu_seconds(postmaster)? - postgres_before,
            reader_cpu,
            peak_bytes,
        })
    }

    /// Waits until no reader has a session any more.
    pub(super) fn wait_until_alone(&mut self) -> Result<(), Failure> {
        workload::wait_until_alone(&mut self.sql)
    }

    pub(super) fn wait_for_walsender(&mut self, slot: &str) -> Result<u32, Failure> {
        workload::wait_for_walsender(&mut self.sql, slot)
    }

    fn cells(&self, pairs: &[(Drain, Drain)]) -> Vec<Cell> {
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let rows = self.backlog.rows as f64;
        let reference = |of: fn(&Drain) -> f64| -> Samples {
            pairs.iter().map(|(reference, _)| of(reference)).collect()
        };
        let headwater = |of: fn(&Drain) -> f64| -> Samples {
            pairs.iter().map(|(_, headwater)| of(headwater)).collect()
        };
        let rates = |seconds: Samples| -> Samples {
            seconds
                .values()
                .iter()
                .map(|seconds| rows / seconds)
                .collect()
        };
        let ratios = pairs
            .iter()
            .map(|(reference, headwater)| reference.seconds / headwater.seconds)
            .collect();
        vec![
            Cell::text(self.backlog.name.clone()),
            Cell::Number(rates(reference(|drain| drain.seconds)).median(), 0),
            Cell::Number(rates(headwater(|drain| drain.seconds)).median(), 0),
            Cell::Spread(ratios, 2),
            Cell::Number(reference(|drain| drain.postgres_cpu).median(), 2),
            Cell::Number(headwater(|drain| drain.postgres_cpu).median(), 2),
            Cell::Number(reference(|drain| drain.reader_cpu).median(), 2),
            Cell::Number(headwater(|drain| drain.reader_cpu).median(), 2),
            Cell::Number(headwater(|drain| drain.reader_cpu).median() / rows * 1e6, 2),
            Cell::Number(headwater(|drain| drain.peak_bytes).max() / 1e6, 1),
        ]
    }
}

/// A piece of a file, and then rest for longer than any run.
fn without_sealing() -> Configured {
    Configured {
        storage: "seal_bytes_per_second = \"1KiB\"".to_owned(),
        ..Configured::default()
    }
}

/// The slot of the reference that stands where that of the instance does.
pub(super) fn reference_slot(instance: &str) -> String {
    format!("reference_{instance}")
}
