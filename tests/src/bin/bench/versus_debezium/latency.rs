//! From a commit in the database to its record in a consumer: Debezium, set up for it, and headwater by turns.
//!
//! The open loop of `crate::latency`, with the same long-polling client on both. Each turn has a slot and a topic of
//! its own, and a second of rows before the first number is taken.

use std::time::Instant;

use super::{Connector, Debezium, PRESET};
use crate::database::Database;
use crate::headwater::Launch;
use crate::latency::{Load, Receiver, Writers};
use crate::postgres_client::Connection;
use crate::process::Memory;
use crate::report::{Cell, Section};
use crate::sample::Samples;
use crate::{Failure, Settings, process, workload};

const COLUMNS: &[&str] = &[
    "rows a transaction",
    "rows/s",
    "Debezium ms p50",
    "Debezium ms p99",
    "headwater ms p50",
    "headwater ms p99",
    "ratio of p50",
    "ratio of p99 (hold <= 0.2)",
    "Connect and Kafka CPU us/row",
    "headwater CPU us/row",
];

const LOADS: [Load; 2] = [Load::new(1, 1_000), Load::new(10, 1_000)];

const PUBLICATION: &str = "reference";

/// One side, one load, once: milliseconds from due to arrival, and processor time.
struct Turn {
    latency: Samples,
    cpu_microseconds_per_row: f64,
}

pub(super) fn run(
    settings: &Settings,
    debezium: &Debezium,
    memory: &mut Section,
) -> Result<Section, Failure> {
    let database = Database::start()?;
    let mut sql = database.connect()?;
    workload::create_table(&mut sql)?;
    workload::publish(&mut sql, PUBLICATION)?;
    let mut turns = Turns {
        writers: Writers::connect(&database)?,
        database: &database,
        debezium,
        sql,
        number: 0,
        seconds: settings.latency_seconds,
        used: None,
    };
    let mut section = Section::new("Commit to consumer beside Debezium", COLUMNS);
    for load in LOADS {
        let mut pairs = Vec::new();
        for run in 1..=settings.alternations {
            pairs.push(if run % 2 == 1 {
                let theirs = turns.debezium(load)?;
                (theirs, turns.headwater(load)?)
            } else {
                let ours = turns.headwater(load)?;
                (turns.debezium(load)?, ours)
            });
        }
        section.row(cells(load, &pairs));
    }
    if let Some(used) = turns.used {
        memory.row(debezium.memory_row("after all of latency; headwater's highest", used)?);
    }
    Ok(section)
}

struct Turns<'a> {
    writers: Writers,
    database: &'a Database,
    debezium: &'a Debezium,
    sql: Connection,
    number: u32,
    seconds: u64,
    /// headwater's, of the turn that took most.
    used: Option<Memory>,
}

impl Turns<'_> {
    fn debezium(&mut self, load: Load) -> Result<Turn, Failure> {
        self.number += 1;
        let name = format!("latency{}", self.number);
        let connector = Connector {
            slot: format!("debezium_{name}"),
            name,
            publication: PUBLICATION,
            database_port: self.database.server().port,
            tuned: true,
        };
        workload::create_slot(&mut self.sql, &connector.slot)?;
        let debezium = self.debezium;
        debezium.connect.create(&connector)?;
        let reading = workload::wait_for_walsender(&mut self.sql, &connector.slot);
        let walsender = reading.map_err(|error| debezium.failed(&error))?;
        let mut client = debezium.kafka.connect_now()?;
        // Made before the first row, as any client does that names it.
        client.metadata_of(&connector.topic())?;
        let receiver = Receiver::of_the_topic(client, &connector.topic())?;
        let turn = self.measure(load, &receiver, || Ok(debezium.cpu_seconds()?.both()));
        receiver.stop();
        let turn = turn.map_err(|error| debezium.failed(&error))?;
        debezium.connect.delete(&connector)?;
        process::wait_until_gone(walsender)?;
        workload::drop_slot(&mut self.sql, &connector.slot)?;
        Ok(turn)
    }

    fn headwater(&mut self, load: Load) -> Result<Turn, Failure> {
        self.number += 1;
        let instance = format!("latency{}", self.number);
        let (slot, topic) = (workload::slot(&instance), workload::topic(&instance));
        let data = tempfile::tempdir()?;
        workload::prepare_instance(&mut self.sql, &instance)?;
        let launch = Launch::new(self.database, &instance, data.path()).with_preset(PRESET);
        let mut headwater = launch.spawn()?;
        let client = headwater.connect()?;
        let walsender = workload::wait_for_walsender(&mut self.sql, &slot)?;
        let receiver = Receiver::of_the_topic(client, &topic)?;
        let turn = self.measure(load, &receiver, || Ok(headwater.cpu_seconds()?));
        receiver.stop();
        let turn = turn?;
        let memory = headwater.memory()?;
        if self.used.is_none_or(|used| used.peak < memory.peak) {
            self.used = Some(memory);
        }
        headwater.stop()?;
        process::wait_until_gone(walsender)?;
        workload::drop_slot(&mut self.sql, &slot)?;
        Ok(turn)
    }

    fn measure(
        &mut self,
        load: Load,
        receiver: &Receiver,
        cpu_seconds: impl Fn() -> Result<f64, Failure>,
    ) -> Result<Turn, Failure> {
        self.write(load, 1, receiver)?;
        let (began, cpu_before) = (Instant::now(), cpu_seconds()?);
        let (latency, rows) = self.write(load, self.seconds, receiver)?;
        let cpu = cpu_seconds()? - cpu_before;
        eprintln!(
            "latency: turn {}: p50 {:.2} ms, p99 {:.2} ms, {:.1} s",
            self.number,
            latency.percentile(0.5),
            latency.percentile(0.99),
            began.elapsed().as_secs_f64()
        );
        Ok(Turn {
            latency,
            cpu_microseconds_per_row: cpu / rows * 1e6,
        })
    }

    fn write(
        &mut self,
        load: Load,
        seconds: u64,
        receiver: &Receiver,
    ) -> Result<(Samples, f64), Failure> {
        let schedule = self.writers.schedule(load, seconds);
        self.writers.write(load, &schedule)?;
        Ok((receiver.take(&schedule)?, schedule.rows(load)))
    }
}

fn cells(load: Load, pairs: &[(Turn, Turn)]) -> Vec<Cell> {
    let theirs =
        |of: &dyn Fn(&Turn) -> f64| -> Samples { pairs.iter().map(|(turn, _)| of(turn)).collect() };
    let ours =
        |of: &dyn Fn(&Turn) -> f64| -> Samples { pairs.iter().map(|(_, turn)| of(turn)).collect() };
    let percentile = |share: f64| move |turn: &Turn| turn.latency.percentile(share);
    let ratio = |share: f64| {
        let ratios = pairs.iter().map(|(theirs, ours)| {
            ours.latency.percentile(share) / theirs.latency.percentile(share)
        });
        Cell::Spread(ratios.collect(), 3)
    };
    vec![
        Cell::text(load.rows_per_transaction.to_string()),
        Cell::text(load.rows_per_second.to_string()),
        Cell::Number(theirs(&percentile(0.5)).median(), 2),
        Cell::Number(theirs(&percentile(0.99)).median(), 2),
        Cell::Number(ours(&percentile(0.5)).median(), 2),
        Cell::Number(ours(&percentile(0.99)).median(), 2),
        ratio(0.5),
        ratio(0.99),
        Cell::Number(theirs(&|turn| turn.cpu_microseconds_per_row).median(), 1),
        Cell::Number(ours(&|turn| turn.cpu_microseconds_per_row).median(), 1),
    ]
}
