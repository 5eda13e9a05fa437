//! Stock Kafka clients as processes: kcat, confluent-kafka (Python), kafka-clients (Java).
//! These read by assignment; members of groups are in `member`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Login, Process, clock, installed, repository};

/// How long a client may take for anything, milliseconds for its own deadline and ours behind it.
const CLIENT_LIMIT: Duration = Duration::from_secs(30);

/// A stock client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Debian's kcat (librdkafka).
    Kcat,
    /// confluent-kafka in `.local/venv` (its own, newer librdkafka).
    Python,
    /// kafka-clients in `.local/java`.
    Java,
}

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first record there is.
    Start,
    /// Behind the last.
    End,
    /// This offset.
    Offset(i64),
    /// The first record that is not older than this, in ms since 1970.
    Time(i64),
}

/// A record as a client shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Parsed JSON; `None` for a null key.
    pub key: Option<Value>,
    /// Parsed JSON; `None` for a tombstone.
    pub value: Option<Value>,
}

/// A client that reads. Killed when dropped.
#[derive(Debug)]
pub struct Reading {
    client: Client,
    process: Process,
    count: usize,
    directory: TempDir,
}

impl Client {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Kcat, Self::Python, Self::Java];

    /// The topics it lists, sorted.
    #[must_use]
    pub fn list(self, bootstrap: &str) -> Vec<String> {
        self.try_list(bootstrap, &Login::default())
            .unwrap_or_else(|said| panic!("{self:?}: {said}"))
    }

    /// The same for who has to log in, or wants TLS.
    ///
    /// # Errors
    /// What the client said instead.
    pub fn try_list(self, bootstrap: &str, login: &Login) -> Result<Vec<String>, String> {
        let mut command = match self {
            Self::Kcat => kcat(bootstrap, &["-L", "-J"]),
            Self::Python => python(bootstrap, &["list"]),
            Self::Java => java(bootstrap, &["list"]),
        };
        self.configure(&mut command, login);
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(String::from_utf8_lossy(&said).into_owned());
        }
        let text = String::from_utf8(output.stdout).expect("topic names are ASCII");
        let lines = text.lines().map(|line| parse(self, line));
        let mut topics: Vec<String> = match self {
            Self::Kcat => lines
                .flat_map(|listing| array_of_topics(&listing))
                .collect(),
            Self::Python | Self::Java => lines.map(|line| text_at(&line, "topic")).collect(),
        };
        topics.sort();
        Ok(topics)
    }

    /// Tells it how to connect.
    fn configure(self, command: &mut Command, login: &Login) {
        let settings = login.properties(self).into_iter();
        let lines: Vec<String> = settings
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        match self {
            Self::Kcat => {
                for line in &lines {
                    command.args(["-X", line]);
                }
            }
            Self::Python | Self::Java => {
                command.env("CLIENT_PROPERTIES", lines.join("\n"));
            }
        }
    }

    /// Starts to read `topic` (partition 0) from `place`, up to `count` records.
    #[must_use]
    pub fn read(self, bootstrap: &str, topic: &str, place: Place, count: usize) -> Reading {
        self.read_as((bootstrap, &Login::default()), topic, place, count)
    }

    /// The same for who has to log in, or wants TLS.
    #[must_use]
    pub fn read_as(
        self,
        (bootstrap, login): (&str, &Login),
        topic: &str,
        place: Place,
        count: usize,
    ) -> Reading {
        let mut command = self.read_command(bootstrap, topic, place, count);
        self.configure(&mut command, login);
        self.start(command, count)
    }

    fn start(self, mut command: Command, count: usize) -> Reading {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let create = |name: &str| File::create(directory.path().join(name)).expect("it is ours");
        command
            .stdin(Stdio::null())
            .stdout(create("records"))
            .stderr(create("log"));
        let process =
            Process::of_command(&format!("{self:?}"), command, &directory.path().join("log"));
        Reading {
            client: self,
            process,
            count,
            directory,
        }
    }

    /// Starts to read all topics whose names begin with `prefix` from their start with the Java client, up to `count`
    /// records.
    #[must_use]
    pub fn read_many(bootstrap: &str, prefix: &str, count: usize) -> Reading {
        let (records, limit) = (count.to_string(), CLIENT_LIMIT.as_millis().to_string());
        let command = java(bootstrap, &["spread", prefix, &records, &limit]);
        Self::Java.start(command, count)
    }

    fn read_command(self, bootstrap: &str, topic: &str, place: Place, count: usize) -> Command {
        let count = count.to_string();
        match self {
            Self::Kcat => {
                let from = place.for_kcat();
                kcat(
                    bootstrap,
                    &[
                        "-C", "-J", "-t", topic, "-p", "0", "-o", &from, "-c", &count,
                    ],
                )
            }
            Self::Python | Self::Java => {
                let (from, limit) = (place.for_readers(), CLIENT_LIMIT.as_millis().to_string());
                let arguments = ["consume", topic, &from, &count, &limit];
                if self == Self::Java {
                    java(bootstrap, &arguments)
                } else {
                    python(bootstrap, &arguments)
                }
            }
        }
    }
}

impl Place {
    fn for_kcat(self) -> String {
        match self {
            Self::Start => "beginning".to_owned(),
            Self::End => "end".to_owned(),
            Self::Offset(offset) => offset.to_string(),
            Self::Time(ms) => format!("s@{ms}"),
        }
    }

    fn for_readers(self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::End => "end".to_owned(),
            Self::Offset(offset) => format!("offset:{offset}"),
            Self::Time(ms) => format!("time:{ms}"),
        }
    }
}

impl Reading {
    /// Waits until the client stands at the log's end, so that what is committed from now on is what it reads.
    /// For [`Place::End`] only.
    pub fn wait_at_end(&mut self) {
        let waiting = clock::poll(CLIENT_LIMIT, || match self.client {
            Client::Kcat => self.log().contains("Reached end of topic").then_some(()),
            Client::Python | Client::Java => self.text().contains("\"ready\"").then_some(()),
        });
        assert!(
            waiting.is_some(),
            "{:?} does not get to the end:\n{}",
            self.client,
            self.log()
        );
    }

    /// Waits until the client has said `line`.
    pub fn wait_for(&mut self, line: &str) {
        let said = clock::poll(CLIENT_LIMIT, || {
            self.text().lines().any(|said| said == line).then_some(())
        });
        let (client, log) = (self.client, self.log());
        assert!(said.is_some(), "{client:?} does not say {line}:\n{log}");
    }

    /// Waits for as many records as were asked for. Panics with what came instead.
    #[must_use]
    pub fn records(mut self) -> Vec<Record> {
        let status = self.process.wait(CLIENT_LIMIT + Duration::from_secs(10));
        let records: Vec<Record> = self
            .text()
            .lines()
            .filter_map(|line| record(self.client, line))
            .collect();
        assert!(
            status.success() && records.len() == self.count,
            "{:?} ended with {status} and {} records, expected {}:\n{}\n{}",
            self.client,
            records.len(),
            self.count,
            self.text(),
            self.log(),
        );
        records
    }

    /// Waits for its end, which must be a failure; what it said.
    #[must_use]
    pub fn failure(mut self) -> String {
        let status = self.process.wait(CLIENT_LIMIT + Duration::from_secs(10));
        let said = self.text() + &self.log();
        assert!(!status.success(), "{:?} went well: {said}", self.client);
        said
    }

    fn text(&self) -> String {
        self.file("records")
    }

    fn log(&self) -> String {
        self.file("log")
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

pub(super) fn kcat(bootstrap: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", bootstrap, "-m", "20"]).args(arguments);
    command
}

fn python(bootstrap: &str, arguments: &[&str]) -> Command {
    python_script("reader.py", bootstrap, arguments)
}

pub(super) fn python_script(script: &str, bootstrap: &str, arguments: &[&str]) -> Command {
    // Not resolved: a venv's interpreter is a link, and knows its venv by the link's place.
    let interpreter: PathBuf = installed("venv").join("bin/python");
    let mut command = Command::new(interpreter);
    command
        .arg(repository().join("tests/python").join(script))
        .arg(bootstrap)
        .args(arguments);
    command
}

fn java(bootstrap: &str, arguments: &[&str]) -> Command {
    java_class("Reader", bootstrap, arguments)
}

pub(super) fn java_class(class: &str, bootstrap: &str, arguments: &[&str]) -> Command {
    let mut command = java_command("java", class);
    command.arg(bootstrap).args(arguments);
    command
}

/// A main class of `.local/HOME/classes` or of the jars in `.local/HOME/lib`.
pub(super) fn java_command(home: &str, class: &str) -> Command {
    let home = installed(home);
    let classes = |name: &str| Path::new(&home).join(name).display().to_string();
    let mut command = Command::new("java");
    // The fastest start that a JVM has: these are short runs.
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-cp",
    ]);
    command.arg(format!("{}:{}", classes("classes"), classes("lib/*")));
    command.arg(class);
    command
}

fn parse(client: Client, line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{client:?} said {line}: {error}"))
}

fn array_of_topics(listing: &Value) -> Vec<String> {
    let topics = listing.get("topics").and_then(Value::as_array);
    topics
        .into_iter()
        .flatten()
        .map(|topic| text_at(topic, "topic"))
        .collect()
}

fn text_at(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{value} has no {name}"))
        .to_owned()
}

/// A line of output as a record; `None` for the line that tells the position.
fn record(client: Client, line: &str) -> Option<Record> {
    let line = parse(client, line);
    let (time, value) = match client {
        Client::Kcat => ("ts", "payload"),
        Client::Python | Client::Java => ("timestamp", "value"),
    };
    let json = |name: &str| {
        line.get(name)
            .and_then(Value::as_str)
            .map(|text| parse(client, text))
    };
    Some(Record {
        offset: line.get("offset")?.as_i64()?,
        timestamp: line.get(time)?.as_i64()?,
        key: json("key"),
        value: json(value),
    })
}
