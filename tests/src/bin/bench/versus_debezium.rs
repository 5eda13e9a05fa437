//! Debezium in Kafka Connect, into Apache Kafka, beside headwater: the same rows in the same run.
//!
//! headwater writes records of the preset `debezium`, so both write the same in kind. After each drain both topics
//! are read once and compared, so a run of the bench is a run of correctness too. Only one of the two captures at a
//! time; Connect and Kafka stay up, idle, while headwater is measured.

mod backlog;
mod latency;
mod start;

use super::connect::{self, Connect, Connector};
use super::kafka::{self, Kafka, KafkaNode};
use super::process::Memory;
use super::report::{Cell, Section};
use super::{Failure, Settings};

const MEMORY_COLUMNS: &[&str] = &[
    "when",
    "heap of Connect, of Kafka",
    "Connect resident MB",
    "Connect peak MB",
    "Kafka resident MB",
    "Kafka peak MB",
    "headwater resident MB",
    "headwater peak MB (hold <= 128)",
];

/// JVMs that are started anew for a measurement: a start takes a quarter of a minute.
const JVM_STARTS: u32 = 3;

/// The preset in which headwater writes what Debezium does.
const PRESET: &str = "debezium";

pub(crate) fn run(settings: &Settings, done: &mut dyn FnMut(Section)) -> Result<(), Failure> {
    eprintln!(
        "Debezium {}, Kafka Connect and Apache Kafka {}",
        kafka::version("debezium")?,
        kafka::version("kafka")?
    );
    let mut memory = Section::new("Memory beside Debezium", MEMORY_COLUMNS);
    done(start::run(settings, &mut memory)?);
    let mut debezium = Debezium::start()?;
    done(backlog::run(settings, &mut debezium, &mut memory)?);
    done(latency::run(settings, &debezium, &mut memory)?);
    done(memory);
    debezium.stop();
    Ok(())
}

/// A worker and the broker that it writes to.
struct Debezium {
    connect: Connect,
    kafka: Kafka,
    node: KafkaNode,
}

/// Processor seconds of both.
#[derive(Clone, Copy)]
struct CpuSeconds {
    connect: f64,
    kafka: f64,
}

impl CpuSeconds {
    fn both(self) -> f64 {
        self.connect + self.kafka
    }

    fn since(self, before: Self) -> Self {
        Self {
            connect: self.connect - before.connect,
            kafka: self.kafka - before.kafka,
        }
    }
}

impl Debezium {
    /// With a Kafka of its own, empty, and a worker without a connector.
    fn start() -> Result<Self, Failure> {
        let node = KafkaNode::format()?;
        let mut kafka = node.spawn()?;
        kafka.connect()?;
        let mut connect = Connect::spawn(kafka.port(), None)?;
        connect.wait_ready()?;
        Ok(Self {
            connect,
            kafka,
            node,
        })
    }

    /// Both at once, with a connector that runs from the start; returns at once.
    fn spawn(node: KafkaNode, connector: &Connector) -> Result<Self, Failure> {
        let kafka = node.spawn()?;
        let connect = Connect::spawn(kafka.port(), Some(connector))?;
        Ok(Self {
            connect,
            kafka,
            node,
        })
    }

    /// A fresh JVM for the worker.
    fn renew_worker(&mut self) -> Result<(), Failure> {
        self.connect.stop();
        self.connect = Connect::spawn(self.kafka.port(), None)?;
        self.connect.wait_ready()
    }

    fn cpu_seconds(&self) -> Result<CpuSeconds, Failure> {
        Ok(CpuSeconds {
            connect: self.connect.cpu_seconds()?,
            kafka: super::process::cpu_seconds(self.kafka.pid())?,
        })
    }

    /// What went wrong, with what the worker said.
    fn failed(&self, error: &dyn std::fmt::Display) -> Failure {
        self.connect.failed(&error.to_string())
    }

    fn memory_row(&self, when: &str, headwater: Memory) -> Result<Vec<Cell>, Failure> {
        let heap = |jvm: &[&str]| jvm[..2].join(" ");
        let (connect, kafka) = (self.connect.memory()?, self.kafka.memory()?);
        let mut row = vec![
            Cell::text(when),
            Cell::text(format!("{}, {}", heap(&connect::JVM), heap(&kafka::JVM))),
        ];
        for memory in [connect, kafka, headwater] {
            row.push(megabytes(memory.resident));
            row.push(megabytes(memory.peak));
        }
        Ok(row)
    }

    fn stop(mut self) {
        self.connect.stop();
        self.kafka.stop();
        drop(self.node);
    }
}

fn megabytes(bytes: u64) -> Cell {
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    Cell::Number(bytes as f64 / 1e6, 1)
}
