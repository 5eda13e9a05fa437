//! headwater as the benches see it: a process that is watched from outside.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use headwater_tests::harness::postgres::PASSWORD;
use headwater_tests::harness::{Process, binary, port};
use rustix::process::Signal;

use super::Failure;
use super::database::Database;
use super::fetch_client::FetchClient;
use super::process::{self, Memory};
use super::report::Cell;
use super::stretch::Stretch;
use super::workload;

/// A running headwater; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Headwater {
    process: Process,
    kafka_port: u16,
}

/// headwater on the benches' table; again and again with the same data, on other ports.
#[derive(Debug)]
pub(crate) struct Launch {
    source_url: String,
    instance: String,
    feeds: &'static str,
    preset: &'static str,
    data: PathBuf,
    /// `run` with these lines in its configuration; `dev` without.
    configured: Option<Configured>,
}

/// Lines of a configuration file that no argument of `dev` can say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configured {
    /// Under `[storage]`.
    pub(crate) storage: String,
    /// Under `[[instance]]`.
    pub(crate) instance: String,
}

impl Launch {
    pub(crate) fn new(database: &Database, instance: &str, data: &Path) -> Self {
        Self {
            source_url: database.server().url(),
            instance: instance.to_owned(),
            feeds: "tables",
            preset: "flink",
            data: data.to_owned(),
            configured: None,
        }
    }

    /// The same with a configuration file.
    pub(crate) fn configured(self, configured: Configured) -> Self {
        Self {
            configured: Some(configured),
            ..self
        }
    }

    /// With these feeds instead of `tables` alone.
    pub(crate) fn with_feeds(self, feeds: &'static str) -> Self {
        Self { feeds, ..self }
    }

    /// With records of this preset; without a configuration only.
    pub(crate) fn with_preset(self, preset: &'static str) -> Self {
        Self { preset, ..self }
    }

    /// Where data directory and messages lie.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the process and returns at once: it may not listen yet.
    pub(crate) fn spawn(&self) -> Result<Headwater, Failure> {
        let kafka_port = port::free();
        let http_port = port::free();
        let command = match &self.configured {
            Some(configured) => self.run(configured, kafka_port, http_port)?,
            None => self.dev(kafka_port, http_port),
        };
        Ok(Headwater {
            process: Process::spawn("headwater", command, &self.data.join("log")),
            kafka_port,
        })
    }

    fn dev(&self, kafka_port: u16, http_port: u16) -> Command {
        let mut command = Command::new(binary::headwater());
        command
            .args(["dev", &self.source_url, "--instance", &self.instance])
            .args(["--tables", workload::QUALIFIED_TABLE])
            .args(["--feeds", self.feeds, "--preset", self.preset])
            .args(["--kafka", &format!("127.0.0.1:{kafka_port}")])
            .args(["--http", &format!("127.0.0.1:{http_port}")])
            .arg("--data")
            .arg(self.data.join("data"));
        command
    }

    fn run(
        &self,
        configured: &Configured,
        kafka_port: u16,
        http_port: u16,
    ) -> Result<Command, Failure> {
        let Configured { storage, instance } = configured;
        let text = format!(
            "[server]\ndata_dir = {:?}\n\
             [[kafka.listener]]\nlisten = \"127.0.0.1:{kafka_port}\"\n\
             [http]\nlisten = \"127.0.0.1:{http_port}\"\n\
             [storage]\n{storage}\n\
             [[instance]]\nname = {:?}\n{instance}\n\
             [instance.source]\nurl = {:?}\npassword = {{ env = \"PGPASSWORD\" }}\n\
             [instance.tables]\ninclude = [{:?}]\n",
            self.data.join("data"),
            self.instance,
            self.source_url,
            workload::QUALIFIED_TABLE,
        );
        let file = self.data.join("headwater.toml");
        std::fs::write(&file, text)?;
        let mut command = Command::new(binary::headwater());
        command.args(["run", "--config"]).arg(file);
        command.env("PGPASSWORD", PASSWORD);
        Ok(command)
    }
}

impl Headwater {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn cpu_seconds(&self) -> io::Result<f64> {
        process::cpu_seconds(self.pid())
    }

    pub(crate) fn memory(&self) -> io::Result<Memory> {
        process::memory(self.pid())
    }

    /// The highest memory so far, in MB.
    pub(crate) fn peak_cell(&self) -> io::Result<Cell> {
        #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
        let megabytes = self.memory()?.peak as f64 / 1e6;
        Ok(Cell::Number(megabytes, 1))
    }

    /// All of a topic that is there now. Waits until the topic is served.
    pub(crate) fn stretch(&mut self, topic: &str) -> Result<Stretch, Failure> {
        let mut client = self.connect()?;
        let end = client.high_watermark(topic)?;
        Ok(Stretch {
            port: self.kafka_port,
            pid: self.pid(),
            topic: topic.to_owned(),
            start: 0,
            end: end.ok_or_else(|| format!("there is no topic {topic}"))?,
        })
    }

    /// A connection as soon as the listener accepts, tried every millisecond.
    pub(crate) fn connect(&mut self) -> Result<FetchClient, Failure> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match FetchClient::connect(self.kafka_port) {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => return Err(self.failed(&error)),
                Err(_) => sleep(Duration::from_millis(1)),
            }
            if let Some(status) = self.process.ended() {
                return Err(self.failed(&status));
            }
        }
    }

    /// Waits until `topic` is there and holds `records` records that are durable, asking every
    /// `interval`.
    pub(crate) fn wait_for_records(
        &mut self,
        topic: &str,
        records: u64,
        interval: Duration,
    ) -> Result<(), Failure> {
        let mut client = self.connect()?;
        let waited = client.wait_for_records(topic, records, interval);
        waited.map_err(|error| self.failed(&error))
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        const PATIENCE: Duration = Duration::from_secs(20);
        self.process.signal(Signal::TERM);
        let status = self.process.wait(PATIENCE);
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(&status))
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    fn failed(&self, what: &dyn std::fmt::Display) -> Failure {
        let log = self.process.log();
        let newest: Vec<&str> = log.lines().rev().take(15).collect();
        let tail: Vec<&str> = newest.into_iter().rev().collect();
        format!("headwater: {what}\n{}", tail.join("\n")).into()
    }
}
