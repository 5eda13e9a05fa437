//! A member of a consumer group: kcat, confluent-kafka (Python) or kafka-clients (Java) as a process.

use std::{
    fs,
    fs::File,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Client, Process,
    client::{java_class, kcat, python_script},
    clock,
};

/// How long a client may take to leave its group and end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What a member is started with.
#[derive(Debug, Clone, Copy)]
pub struct Membership<'a> {
    /// Kafka's `group.id`.
    pub group: &'a str,
    /// The topic that it subscribes to.
    pub topic: &'a str,
    /// Session timeout, ms; heartbeats go every second.
    pub session_ms: u32,
    /// Kafka's `group.instance.id`; kcat does without.
    pub instance_id: Option<&'a str>,
    /// `range`, `roundrobin`, `cooperative-sticky`.
    pub assignor: &'a str,
}

/// A running member. Killed when dropped.
#[derive(Debug)]
pub struct Member {
    name: String,
    process: Process,
    directory: TempDir,
}

impl Member {
    /// Starts it and does not wait.
    #[must_use]
    pub fn start(client: Client, bootstrap: &str, membership: Membership<'_>) -> Self {
        let Membership {
            group,
            topic,
            session_ms,
            instance_id,
            assignor,
        } = membership;
        let session = session_ms.to_string();
        let instance_id = instance_id.unwrap_or("-");
        let arguments = [group, topic, &session, instance_id, assignor];
        let command = match client {
            Client::Kcat => {
                let settings = [
                    format!("session.timeout.ms={session_ms}"),
                    "heartbeat.interval.ms=1000".to_owned(),
                    "auto.offset.reset=earliest".to_owned(),
                    format!("partition.assignment.strategy={assignor}"),
                ];
                let mut all = vec!["-G", group, "-J", "-u"];
                for setting in &settings {
                    all.extend(["-X", setting]);
                }
                all.push(topic);
                kcat(bootstrap, &all)
            }
            Client::Python => python_script("member.py", bootstrap, &arguments),
            Client::Java => java_class("Member", bootstrap, &arguments),
        };
        Self::of_command(format!("{client:?}"), command)
    }

    /// Starts a program that prints what `tests/python/member.py` prints.
    pub(super) fn of_command(name: String, mut command: Command) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let create = |name: &str| File::create(directory.path().join(name)).expect("it is ours");
        command
            .stdin(Stdio::null())
            .stdout(create("lines"))
            .stderr(create("log"));
        let log = directory.path().join("log");
        let process = Process::of_command(&format!("member by {name}"), command, &log);
        Self {
            name,
            process,
            directory,
        }
    }

    /// Offsets of the records that it has got so far, in order.
    #[must_use]
    pub fn offsets(&self) -> Vec<i64> {
        let lines = self.lines();
        let offsets = lines.iter().filter_map(|line| line.get("offset")?.as_i64());
        offsets.collect()
    }

    /// How many partitions it was last given; `None`: it was not told yet. kcat does not say by its output.
    #[must_use]
    pub fn assigned(&self) -> Option<i64> {
        let lines = self.lines();
        let told = lines
            .iter()
            .rev()
            .find_map(|line| line.get("assigned")?.as_i64());
        told.or_else(|| {
            let log = self.log();
            let line = log.lines().rev().find(|line| line.contains("rebalanced"))?;
            Some(i64::from(line.contains('[')))
        })
    }

    /// Errors that it showed to the application.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let lines = self.lines();
        let errors = lines.iter().filter_map(|line| line.get("error"));
        errors.map(Value::to_string).collect()
    }

    /// Waits until it has got `offset`. Panics with what it said instead.
    pub fn wait_for(&self, offset: i64, limit: Duration) {
        let got = clock::poll(limit, || self.offsets().contains(&offset).then_some(()));
        assert!(
            got.is_some(),
            "{} has not got offset {offset} after {limit:?}, but {:?}:\n{}\n{}",
            self.name,
            self.offsets(),
            self.text("lines"),
            self.log()
        );
    }

    /// Waits until it knows its share.
    pub fn wait_assigned(&self, limit: Duration) {
        let told = clock::poll(limit, || self.assigned());
        assert!(
            told.is_some(),
            "{} is not told its share:\n{}",
            self.name,
            self.log()
        );
    }

    /// SIGTERM, and waits: it commits and leaves its group.
    pub fn stop(mut self) -> Vec<i64> {
        self.process.signal(Signal::TERM);
        self.process.wait(STOP_LIMIT);
        self.offsets()
    }

    /// Kill -9, and waits.
    pub fn kill(mut self) -> Vec<i64> {
        self.process.kill();
        self.offsets()
    }

    /// Waits for its end, which must be a failure of its own; what it said.
    #[must_use]
    pub fn failure(mut self, limit: Duration) -> String {
        let ended = clock::poll(limit, || self.process.ended());
        let said = self.text("lines") + &self.log();
        let failed = ended.is_some_and(|status| status.code().is_some_and(|code| code != 0));
        assert!(failed, "{}: {ended:?} after {limit:?}:\n{said}", self.name);
        said
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// SIGSTOP: it is silent from now on, and believes what it believed.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// The JSON objects that it has printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text("lines");
        // The last line may be half written.
        let whole = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        whole.collect()
    }

    /// All else that it has said, on either stream.
    #[must_use]
    pub fn said(&self) -> String {
        self.text("lines") + &self.log()
    }

    fn log(&self) -> String {
        self.text("log")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}
