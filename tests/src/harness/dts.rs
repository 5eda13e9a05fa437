//! Clients of Alibaba Cloud DTS as processes: its Java SDK, what its demos do, what flink-dts-connector does.
//! Sources in `tests/java-dts`, `tests/go-dts` and `tests/python/dts_reader.py`.

use std::{path::Path, process::Command};

use super::{Member, client::java_command, installed, repository};

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtsClient {
    /// The SDK 2.0.0, on kafka-clients 2.7.0.
    Sdk2,
    /// The SDK 1.4.0, on kafka-clients 1.0.0: it logs in and asks for all topics before it consumes, and waits 10 s.
    Sdk1,
    /// The Java demo's rules on kafka-clients 1.0.0.
    JavaDemo,
    /// The Python demo's: kafka-python 2.0.2 and fastavro, always by assignment.
    PythonDemo,
    /// The Go demo's: sarama at Kafka 0.11, in `.local/go-dts` where there is a Go to build it. Takes no mode and no checkpoint.
    GoDemo,
    /// The calls of flink-dts-connector on kafka-clients 1.0.0; always by assignment.
    Flink,
}

/// How the SDK and the Java demo read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Assigns the partition to itself.
    Assign,
    /// As a member of its group.
    Subscribe,
}

/// Who reads what.
#[derive(Debug, Clone, Copy)]
pub struct DtsLogin<'a> {
    /// Host and port of a listener `SASL_PLAINTEXT`.
    pub bootstrap: &'a str,
    /// Account without the group.
    pub account: &'a str,
    /// In clear.
    pub password: &'a str,
    /// The consumer group's id.
    pub group: &'a str,
    /// The feed's topic.
    pub topic: &'a str,
}

impl DtsClient {
    /// Whether it can run here. Only the Go client may be missing: `scripts/install` builds it where it finds a Go.
    #[must_use]
    pub fn is_installed(self) -> bool {
        self != Self::GoDemo || repository().join(".local/go-dts/demo").exists()
    }

    /// Starts it in `directory`, where it keeps its files, at a checkpoint (seconds since 1970; for Flink also
    /// `offset@seconds`), and does not wait. `more` are environment variables.
    #[must_use]
    pub fn start(
        self,
        login: DtsLogin<'_>,
        (mode, checkpoint): (Mode, &str),
        directory: &Path,
        more: &[(&str, &str)],
    ) -> Member {
        let DtsLogin {
            bootstrap,
            group,
            topic,
            ..
        } = login;
        let mode = match mode {
            Mode::Assign => "ASSIGN",
            Mode::Subscribe => "SUBSCRIBE",
        };
        let schema = repository().join("docs/dts/record.avsc");
        let mut command = self.command();
        match self {
            Self::Sdk1 | Self::Sdk2 => command.args([mode, bootstrap, group, topic, checkpoint]),
            Self::JavaDemo => command
                .args([mode, bootstrap, group, topic, checkpoint])
                .arg(schema),
            Self::PythonDemo => command
                .args([bootstrap, topic])
                .arg(schema)
                .args([&format!("seconds:{checkpoint}"), "1000000", "600000"])
                .env("DTS_GROUP", group),
            Self::GoDemo => command.args([bootstrap, group, topic]).arg(schema),
            Self::Flink => command.args([bootstrap, group, topic, checkpoint, "3"]),
        };
        command
            .current_dir(directory)
            .env("DTS_ACCOUNT", login.account)
            .env("DTS_PASSWORD", login.password)
            .envs(more.iter().copied());
        Member::of_command(format!("{self:?}"), command)
    }

    fn command(self) -> Command {
        match self {
            Self::Sdk2 => sdk_command("java-dts-2.0.0", "SdkConsumer"),
            Self::Sdk1 => sdk_command("java-dts-1.4.0", "SdkConsumer"),
            Self::JavaDemo => java_command("java-dts-1.4.0", "DemoConsumer"),
            Self::Flink => sdk_command("java-dts-1.4.0", "FlinkReader"),
            Self::PythonDemo => {
                let mut command = Command::new(installed("venv").join("bin/python"));
                command.arg(repository().join("tests/python/dts_reader.py"));
                command
            }
            Self::GoDemo => Command::new(repository().join(".local/go-dts/demo")),
        }
    }
}

/// The SDK names zones by a class that Java 9 and later hide.
fn sdk_command(home: &str, class: &str) -> Command {
    let plain = java_command(home, class);
    let mut command = Command::new(plain.get_program());
    command
        .args(["--add-exports", "java.base/sun.util.calendar=ALL-UNNAMED"])
        .args(plain.get_args());
    command
}
