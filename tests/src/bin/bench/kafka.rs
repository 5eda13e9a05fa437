//! Apache Kafka as a process: one KRaft node on loopback, from the jars that `scripts/install kafka` brought.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use headwater_tests::harness::{Process, port, repository};
use rustix::process::Signal;
use tempfile::TempDir;

use super::Failure;
use super::fetch_client::FetchClient;
use super::process::{self, Memory};
use super::stretch::Stretch;

/// What a small production node is given.
pub(crate) const JVM: [&str; 3] = ["-Xms1G", "-Xmx1G", "-XX:+UseG1GC"];

/// Recovery of gigabytes after a kill takes Kafka minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// A data directory of Kafka's, formatted, on ports that stay the same.
#[derive(Debug)]
pub(crate) struct KafkaNode {
    directory: TempDir,
    port: u16,
}

/// A running broker; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Kafka {
    process: Process,
    port: u16,
}

impl KafkaNode {
    /// Formats a new one.
    pub(crate) fn format() -> Result<Self, Failure> {
        let node = Self {
            directory: tempfile::tempdir()?,
            port: port::free(),
        };
        std::fs::write(node.properties(), node.settings())?;
        // Kafka's ids are 22 characters of base64url.
        let id = "headwater-bench-nodeAA";
        let output = java("kafka.tools.StorageTool")?
            .args(["format", "-t", id, "-c"])
            .arg(node.properties())
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("kafka's format: {}: {said}", output.status).into());
        }
        Ok(node)
    }

    /// Starts the broker and returns at once: it does not listen yet.
    pub(crate) fn spawn(&self) -> Result<Kafka, Failure> {
        let mut command = java("kafka.Kafka")?;
        command.arg(self.properties());
        let process = Process::spawn("kafka", command, &self.directory.path().join("log"));
        Ok(Kafka {
            process,
            port: self.port,
        })
    }

    fn properties(&self) -> PathBuf {
        self.directory.path().join("server.properties")
    }

    /// Kafka's defaults, but for places, ports, one replica, and that nothing is deleted meanwhile.
    fn settings(&self) -> String {
        let (port, controller) = (self.port, port::free());
        let data = self.directory.path().join("data");
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             num.partitions=1\n\
             offsets.topic.replication.factor=1\n\
             log.retention.ms=-1\n",
            data.display()
        )
    }
}

impl Kafka {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn memory(&self) -> io::Result<Memory> {
        process::memory(self.pid())
    }

    /// A connection as soon as the broker answers Metadata, tried every millisecond.
    pub(crate) fn connect(&mut self) -> Result<FetchClient, Failure> {
        self.until("answers Metadata", |port| {
            let mut client = FetchClient::connect(port)?;
            client.metadata()?;
            Ok(Some(client))
        })
    }

    /// A connection to a broker that has started.
    pub(crate) fn connect_now(&self) -> io::Result<FetchClient> {
        FetchClient::connect(self.port)
    }

    /// Waits until the topic can be read up to `end`.
    pub(crate) fn wait_for_end(&mut self, topic: &str, end: i64) -> Result<(), Failure> {
        self.until("serves the topic", |port| {
            let known = FetchClient::connect(port)?.high_watermark(topic)?;
            Ok((known >= Some(end)).then_some(()))
        })
    }

    /// Waits until `topic` is there and holds so many records, asking every `interval`.
    pub(crate) fn wait_for_records(
        &self,
        topic: &str,
        records: u64,
        interval: Duration,
    ) -> io::Result<()> {
        FetchClient::connect(self.port)?.wait_for_records(topic, records, interval)
    }

    /// Makes a topic of one partition, as any client does that names it, and waits until it can be written.
    pub(crate) fn make_topic(&mut self, topic: &str) -> Result<(), Failure> {
        self.until("makes a topic", |port| {
            let mut client = FetchClient::connect(port)?;
            client.metadata_of(topic)?;
            Ok(client.high_watermark(topic)?.map(drop))
        })
    }

    pub(crate) fn stretch(&self, topic: &str, end: i64) -> Stretch {
        Stretch {
            port: self.port,
            pid: self.pid(),
            topic: topic.to_owned(),
            start: 0,
            end,
        }
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::TERM);
        // How the JVM ends on a signal (143) says nothing.
        let _status = self.process.wait(Duration::from_secs(60));
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    fn until<T>(
        &mut self,
        what: &str,
        attempt: impl Fn(u16) -> io::Result<Option<T>>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let attempted = attempt(self.port);
            if let Ok(Some(done)) = attempted {
                return Ok(done);
            }
            if self.process.ended().is_some() || Instant::now() > deadline {
                let last = attempted
                    .err()
                    .map_or_else(String::new, |error| error.to_string());
                let log = self.process.log();
                return Err(format!("kafka never {what}: {last}\n{log}").into());
            }
            sleep(Duration::from_millis(1));
        }
    }
}

/// `java` with Kafka's jars and the main class of one of its programs.
pub(crate) fn java(main_class: &str) -> Result<Command, Failure> {
    let installed = format!("kafka-{}", version("kafka")?);
    java_of(&JVM, (&installed, "kafka"), main_class)
}

/// `java` with the jars in a directory below `.local` that this argument of `scripts/install` brings.
pub(crate) fn java_of(
    jvm: &[&str],
    (directory, install): (&str, &str),
    main_class: &str,
) -> Result<Command, Failure> {
    let jars = repository().join(".local").join(directory).join("lib");
    if !jars.is_dir() {
        let jars = jars.display();
        return Err(format!("{jars} is missing: run scripts/install {install} first").into());
    }
    let mut command = Command::new("java");
    command
        .args(jvm)
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg(main_class);
    Ok(command)
}

/// The version of `kafka` or `debezium` that is measured: one place names it, `scripts/lib/versions.sh`.
pub(crate) fn version(of: &str) -> Result<String, Failure> {
    let path: &Path = &repository().join("scripts/lib/versions.sh");
    let text = std::fs::read_to_string(path)?;
    let name = format!("{of}_version='");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    let version = line.and_then(|rest| rest.split('\'').next());
    Ok(version
        .ok_or_else(|| format!("scripts/lib/versions.sh names no {of}_version"))?
        .to_owned())
}
