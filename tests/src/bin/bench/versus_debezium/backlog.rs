//! A backlog of the database, drained by both: with a fresh JVM from the moment the connector is created, headwater's
//! from its start; then again and again with connectors in the same, warm worker, from the moment their slot is active.

use std::time::{Duration, Instant};

use super::{Connector, CpuSeconds, Debezium, JVM_STARTS, PRESET};
use crate::capture::{self, Backlog, Drain, REFERENCE_PUBLICATION, Runs};
use crate::contents::Contents;
use crate::database::Database;
use crate::process::Memory;
use crate::report::{Cell, Section};
use crate::sample::Samples;
use crate::{Failure, Settings, process, workload};

const COLUMNS: &[&str] = &[
    "backlog",
    "Debezium rows/s",
    "headwater rows/s",
    "ratio of rates (hold >= 2 when warm)",
    "Connect CPU s/million rows",
    "Kafka CPU s/million rows",
    "headwater CPU s/million rows",
    "ratio of CPU (hold <= 0.1)",
    "PostgreSQL CPU s/million rows under Debezium",
    "PostgreSQL CPU s/million rows under headwater",
];

/// How often the end of Kafka's topic is asked for: seldom enough to cost it nothing.
const INTERVAL: Duration = Duration::from_millis(20);

/// What one drain of Debezium's took.
struct Theirs {
    seconds_from_create: f64,
    seconds: f64,
    cpu: CpuSeconds,
    postgres_cpu: f64,
}

/// The two of one alternation.
type Pair = (Theirs, Drain);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Jvm {
    Cold,
    Warm,
}

pub(super) fn run(
    settings: &Settings,
    debezium: &mut Debezium,
    memory: &mut Section,
) -> Result<Section, Failure> {
    let cold = settings.alternations.min(JVM_STARTS);
    let database = Database::start()?;
    let rows = settings.debezium_rows;
    let backlog = Backlog {
        name: format!("{rows} rows, 500 a transaction"),
        prefix: "z",
        rows,
        rows_per_transaction: 500,
    };
    let mut drains = Drains {
        runs: Runs::prepare(&database, backlog, cold + settings.alternations)?,
        database: &database,
        debezium,
        rows,
        used: None,
    };
    let mut section = Section::new("Capture beside Debezium", COLUMNS);
    let pairs = drains.pairs(1..=cold, Jvm::Cold)?;
    section.row(cells(
        &format!("{rows} rows, cold JVM"),
        rows,
        Jvm::Cold,
        &pairs,
    ));
    let pairs = drains.pairs(cold + 1..=cold + settings.alternations, Jvm::Warm)?;
    section.row(cells(
        &format!("{rows} rows, warm JVM"),
        rows,
        Jvm::Warm,
        &pairs,
    ));
    if let Some(used) = drains.used {
        memory.row(debezium.memory_row("after the backlogs; headwater's highest", used)?);
    }
    Ok(section)
}

struct Drains<'a> {
    runs: Runs<'a>,
    database: &'a Database,
    debezium: &'a mut Debezium,
    rows: u64,
    /// headwater's, of the run that took most.
    used: Option<Memory>,
}

impl Drains<'_> {
    fn pairs(
        &mut self,
        numbers: std::ops::RangeInclusive<u32>,
        jvm: Jvm,
    ) -> Result<Vec<Pair>, Failure> {
        numbers.map(|number| self.pair(number, jvm)).collect()
    }

    fn pair(&mut self, number: u32, jvm: Jvm) -> Result<Pair, Failure> {
        // The first worker has not had a connector yet.
        if jvm == Jvm::Cold && number > 1 {
            self.debezium.renew_worker()?;
        }
        let instance = format!("z{number}");
        let ((theirs, their_contents), (ours, our_contents)) = if number % 2 == 1 {
            let theirs = self.debezium(&instance)?;
            (theirs, self.headwater(&instance)?)
        } else {
            let ours = self.headwater(&instance)?;
            (self.debezium(&instance)?, ours)
        };
        if their_contents != our_contents {
            return Err(format!(
                "Debezium and headwater wrote different records: {their_contents:?}, {our_contents:?}"
            )
            .into());
        }
        eprintln!(
            "backlog: run {number}: Debezium {:.2} s, headwater {:.2} s, the same {} records",
            theirs.seconds, ours.seconds, our_contents.records
        );
        Ok((theirs, ours))
    }

    fn headwater(&mut self, instance: &str) -> Result<(Drain, Contents), Failure> {
        let topic = workload::topic(instance);
        let mut seen = None;
        let drain = self.runs.drain_and_look(
            instance,
            |launch| launch.with_preset(PRESET),
            |headwater| {
                let memory = headwater.memory()?;
                seen = Some((memory, Contents::of(&headwater.stretch(&topic)?)?));
                Ok(())
            },
        )?;
        let (memory, contents) = seen.ok_or("headwater was not looked at")?;
        if self.used.is_none_or(|used| used.peak < memory.peak) {
            self.used = Some(memory);
        }
        Ok((drain, contents))
    }

    fn debezium(&mut self, instance: &str) -> Result<(Theirs, Contents), Failure> {
        let connector = Connector {
            name: format!("debezium_{instance}"),
            slot: capture::reference_slot(instance),
            publication: REFERENCE_PUBLICATION,
            database_port: self.database.server().port,
            tuned: false,
        };
        let postmaster = self.database.postmaster_pid();
        let postgres_before = process::reaped_cpu_seconds(postmaster)?;
        let cpu_before = self.debezium.cpu_seconds()?;
        let created = Instant::now();
        self.debezium.connect.create(&connector)?;
        let reading = self.runs.wait_for_walsender(&connector.slot);
        let walsender = reading.map_err(|error| self.debezium.failed(&error))?;
        let active = Instant::now();
        let (kafka, topic) = (&self.debezium.kafka, connector.topic());
        let drained = kafka.wait_for_records(&topic, self.rows, INTERVAL);
        drained.map_err(|error| self.debezium.failed(&error))?;
        let (seconds, seconds_from_create) = (seconds_since(active), seconds_since(created));
        let cpu = self.debezium.cpu_seconds()?.since(cpu_before);
        self.debezium.connect.delete(&connector)?;
        process::wait_until_gone(walsender)?;
        self.runs.wait_until_alone()?;
        let theirs = Theirs {
            seconds_from_create,
            seconds,
            cpu,
            postgres_cpu: process::reaped_cpu_seconds(postmaster)? - postgres_before,
        };
        let end = kafka.connect_now()?.high_watermark(&topic)?;
        let whole = kafka.stretch(&topic, end.ok_or("Kafka lost the topic")?);
        Ok((theirs, Contents::of(&whole)?))
    }
}

fn cells(name: &str, rows: u64, jvm: Jvm, pairs: &[Pair]) -> Vec<Cell> {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let rows = rows as f64;
    let samples = |of: &dyn Fn(&Pair) -> f64| -> Samples { pairs.iter().map(of).collect() };
    let seconds = |(theirs, ours): &Pair| match jvm {
        Jvm::Cold => (theirs.seconds_from_create, ours.seconds_from_start),
        Jvm::Warm => (theirs.seconds, ours.seconds),
    };
    let per_million = |of: &dyn Fn(&Pair) -> f64| {
        Cell::Number(samples(&|pair| of(pair) / rows * 1e6).median(), 2)
    };
    vec![
        Cell::text(name),
        Cell::Number(samples(&|pair| rows / seconds(pair).0).median(), 0),
        Cell::Number(samples(&|pair| rows / seconds(pair).1).median(), 0),
        Cell::Spread(samples(&|pair| seconds(pair).0 / seconds(pair).1), 2),
        per_million(&|(theirs, _)| theirs.cpu.connect),
        per_million(&|(theirs, _)| theirs.cpu.kafka),
        per_million(&|(_, ours)| ours.reader_cpu),
        Cell::Spread(
            samples(&|(theirs, ours)| ours.reader_cpu / theirs.cpu.both()),
            3,
        ),
        per_million(&|(theirs, _)| theirs.postgres_cpu),
        per_million(&|(_, ours)| ours.postgres_cpu),
    ]
}

fn seconds_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}
