//! Kafka Connect with Debezium as a process: one standalone worker on loopback, from the jars that
//! `scripts/install debezium` brought, told what to do over its REST interface as operators do.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use headwater_tests::harness::postgres::DATABASE;
use headwater_tests::harness::{Process, http, port};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::process::{self, Memory};
use super::{Failure, kafka, workload};

/// What Kafka's own `connect-standalone.sh` gives a worker.
pub(crate) const JVM: [&str; 3] = ["-Xms256M", "-Xmx2G", "-XX:+UseG1GC"];

/// A JVM starts, and a connector ends, within it on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running worker; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Connect {
    process: Process,
    address: String,
    _directory: TempDir,
}

/// One Debezium connector for PostgreSQL, on a slot and a publication that are there.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Also its topics' prefix.
    pub(crate) name: String,
    pub(crate) slot: String,
    pub(crate) publication: &'static str,
    pub(crate) database_port: u16,
    /// Set up for latency: the connector's queue is looked at every 5 ms, and its producer waits for nothing.
    pub(crate) tuned: bool,
}

impl Connector {
    /// The topic of the benches' table.
    pub(crate) fn topic(&self) -> String {
        workload::topic(&self.name)
    }

    /// Debezium's defaults, but for where the database is, and that no rows are read besides the log.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        let mut settings = vec![
            (
                "connector.class",
                text("io.debezium.connector.postgresql.PostgresConnector"),
            ),
            ("topic.prefix", self.name.clone()),
            ("database.hostname", text("127.0.0.1")),
            ("database.port", self.database_port.to_string()),
            ("database.user", text("postgres")),
            ("database.password", text("trusted")),
            ("database.dbname", text(DATABASE)),
            ("plugin.name", text("pgoutput")),
            ("slot.name", self.slot.clone()),
            ("publication.name", text(self.publication)),
            ("publication.autocreate.mode", text("disabled")),
            ("snapshot.mode", text("no_data")),
        ];
        if self.tuned {
            settings.push(("poll.interval.ms", text("5")));
            settings.push(("producer.override.linger.ms", text("0")));
        }
        settings
    }

    fn json(&self) -> Value {
        let settings = self.settings().into_iter();
        let config: Map<String, Value> = settings
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        json!({ "name": self.name, "config": config })
    }

    fn properties(&self) -> String {
        let mut text = format!("name={}\n", self.name);
        for (name, value) in self.settings() {
            writeln!(text, "{name}={value}").expect("a String takes everything");
        }
        text
    }
}

impl Connect {
    /// Starts a worker and returns at once. The connector, if one is given, runs from the start.
    pub(crate) fn spawn(kafka_port: u16, connector: Option<&Connector>) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let port = port::free();
        let worker = directory.path().join("worker.properties");
        std::fs::write(&worker, worker_settings(kafka_port, port, directory.path()))?;
        let mut command = kafka::java_of(
            &[&JVM[..], &["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]].concat(),
            ("debezium", "debezium"),
            "org.apache.kafka.connect.cli.ConnectStandalone",
        )?;
        command.arg(worker);
        if let Some(connector) = connector {
            let file = directory.path().join("connector.properties");
            std::fs::write(&file, connector.properties())?;
            command.arg(file);
        }
        Ok(Self {
            process: Process::spawn("connect", command, &directory.path().join("log")),
            address: format!("127.0.0.1:{port}"),
            _directory: directory,
        })
    }

    /// Waits until the worker takes connectors.
    pub(crate) fn wait_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if matches!(http::get(&self.address, "/connectors"), Ok(answer) if answer.status == 200)
            {
                return Ok(());
            }
            if self.process.ended().is_some() || Instant::now() > deadline {
                return Err(self.failed("the worker never took connectors"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn create(&self, connector: &Connector) -> Result<(), Failure> {
        self.ask(("POST", "/connectors"), &connector.json().to_string(), 201)
    }

    /// Ends a connector. Its slot and its topic stay.
    pub(crate) fn delete(&self, connector: &Connector) -> Result<(), Failure> {
        let path = format!("/connectors/{}", connector.name);
        self.ask(("DELETE", &path), "", 204)
    }

    fn ask(&self, request: (&str, &str), json: &str, expected: u16) -> Result<(), Failure> {
        match http::request(&self.address, request, json, PATIENCE) {
            Ok(answer) if answer.status == expected => Ok(()),
            Ok(answer) => {
                Err(self.failed(&format!("{request:?}: {} {}", answer.status, answer.body)))
            }
            Err(error) => Err(self.failed(&format!("{request:?}: {error}"))),
        }
    }

    pub(crate) fn cpu_seconds(&self) -> io::Result<f64> {
        process::cpu_seconds(self.process.pid())
    }

    pub(crate) fn memory(&self) -> io::Result<Memory> {
        process::memory(self.process.pid())
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        // How the JVM ends on a signal (143) says nothing.
        let _status = self.process.wait(PATIENCE);
    }

    /// What went wrong, with the end of what the worker said.
    pub(crate) fn failed(&self, what: &str) -> Failure {
        let log = self.process.log();
        let newest: Vec<&str> = log.lines().rev().take(25).collect();
        let tail: Vec<&str> = newest.into_iter().rev().collect();
        format!("kafka connect: {what}\n{}", tail.join("\n")).into()
    }
}

/// Connect's defaults, but for places and ports, JSON without schemas, and that connectors may tune their producers.
fn worker_settings(kafka_port: u16, port: u16, directory: &Path) -> String {
    format!(
        "bootstrap.servers=127.0.0.1:{kafka_port}\n\
         key.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         key.converter.schemas.enable=false\n\
         value.converter.schemas.enable=false\n\
         offset.storage.file.filename={}\n\
         listeners=http://127.0.0.1:{port}\n\
         connector.client.config.override.policy=All\n",
        directory.join("offsets").display()
    )
}
