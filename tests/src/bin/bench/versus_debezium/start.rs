//! From the start of the processes until a consumer has the first row.

use std::time::{Duration, Instant};

use super::{Connector, Debezium, JVM_STARTS, PRESET};
use crate::contents::Contents;
use crate::database::Database;
use crate::headwater::Launch;
use crate::kafka::KafkaNode;
use crate::process::Memory;
use crate::report::{Cell, Section};
use crate::sample::Samples;
use crate::{Failure, Settings, workload};

const COLUMNS: &[&str] = &["start", "Debezium and Kafka ms", "headwater ms", "ratio"];

const PUBLICATION: &str = "reference";

/// How often a consumer asks whether its row is there.
const INTERVAL: Duration = Duration::from_millis(5);

pub(super) fn run(settings: &Settings, memory: &mut Section) -> Result<Section, Failure> {
    let database = Database::start()?;
    let mut sql = database.connect()?;
    workload::create_table(&mut sql)?;
    workload::publish(&mut sql, PUBLICATION)?;
    let (mut theirs, mut ours, mut ratios) = <(Samples, Samples, Samples)>::default();
    for run in 1..=settings.alternations.min(JVM_STARTS) {
        let instance = format!("start{run}");
        let slot = format!("debezium_{instance}");
        workload::prepare_instance(&mut sql, &instance)?;
        workload::create_slot(&mut sql, &slot)?;
        workload::fill(&mut sql, u64::from(run), 1, 1)?;

        let (ms, used) = headwater(&database, &instance)?;
        ours.push(ms);
        let connector = Connector {
            name: slot.clone(),
            slot,
            publication: PUBLICATION,
            database_port: database.server().port,
            tuned: false,
        };
        let (ms, debezium) = debezium(&connector)?;
        theirs.push(ms);
        if run == 1 {
            memory.row(debezium.memory_row("at the first row after a start", used)?);
        }
        debezium.stop();
        ratios.push(theirs.last() / ours.last());
        eprintln!(
            "start: run {run}: Debezium {:.0} ms, headwater {:.0} ms",
            theirs.last(),
            ours.last()
        );
    }
    let mut section = Section::new("Start beside Debezium", COLUMNS);
    section.row(vec![
        Cell::text("empty, one row waits: until a consumer has it"),
        Cell::Spread(theirs, 0),
        Cell::Spread(ours, 0),
        Cell::Spread(ratios, 0),
    ]);
    Ok(section)
}

fn debezium(connector: &Connector) -> Result<(f64, Debezium), Failure> {
    let node = KafkaNode::format()?;
    let began = Instant::now();
    let mut debezium = Debezium::spawn(node, connector)?;
    debezium.kafka.connect()?;
    let topic = connector.topic();
    let arrived = debezium.kafka.wait_for_records(&topic, 1, INTERVAL);
    arrived.map_err(|error| debezium.failed(&error))?;
    only_record(Contents::of(&debezium.kafka.stretch(&topic, 1))?)?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    // Its interface is up before it can be asked to stop.
    debezium.connect.wait_ready()?;
    Ok((ms, debezium))
}

fn headwater(database: &Database, instance: &str) -> Result<(f64, Memory), Failure> {
    let data = tempfile::tempdir()?;
    let launch = Launch::new(database, instance, data.path()).with_preset(PRESET);
    let topic = workload::topic(instance);
    let began = Instant::now();
    let mut headwater = launch.spawn()?;
    headwater.wait_for_records(&topic, 1, INTERVAL)?;
    only_record(Contents::of(&headwater.stretch(&topic)?)?)?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    let memory = headwater.memory()?;
    headwater.stop()?;
    Ok((ms, memory))
}

fn only_record(contents: Contents) -> Result<(), Failure> {
    match contents.records {
        1 => Ok(()),
        other => Err(format!("{other} records instead of the one that waited").into()),
    }
}
