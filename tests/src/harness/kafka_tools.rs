//! Apache Kafka's own command-line tools, from the jars in `.local/kafka-VERSION`.

use std::{fs, process::Command};

use super::{client::java_command, repository};

/// The tools; each call is a JVM of its own.
#[derive(Debug, Clone)]
pub struct KafkaTools {
    home: String,
    bootstrap: String,
}

impl KafkaTools {
    /// For the broker at host and port.
    #[must_use]
    pub fn new(bootstrap: &str) -> Self {
        let local = repository().join(".local");
        let names = fs::read_dir(&local).into_iter().flatten().flatten();
        let mut homes: Vec<String> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with("kafka-"))
            .collect();
        homes.sort();
        let home = homes.pop();
        Self {
            home: home.expect("run scripts/install first: there is no Apache Kafka in .local"),
            bootstrap: bootstrap.to_owned(),
        }
    }

    /// `kafka-consumer-groups ARGUMENTS`.
    #[must_use]
    pub fn consumer_groups(&self, arguments: &[&str]) -> String {
        self.run("tools.consumer.group.ConsumerGroupCommand", arguments)
    }

    /// `kafka-configs ARGUMENTS`.
    #[must_use]
    pub fn configs(&self, arguments: &[&str]) -> String {
        self.run_class("kafka.admin.ConfigCommand", arguments)
    }

    /// `kafka-topics ARGUMENTS`.
    #[must_use]
    pub fn topics(&self, arguments: &[&str]) -> String {
        self.run("tools.TopicCommand", arguments)
    }

    /// `kafka-console-consumer ARGUMENTS`.
    #[must_use]
    pub fn console_consumer(&self, arguments: &[&str]) -> String {
        self.run("tools.consumer.ConsoleConsumer", arguments)
    }

    /// What the tool says on both streams. That it ends well is not asked: `kafka-consumer-groups` ends with 0 also
    /// where it says "Error".
    fn run(&self, class: &str, arguments: &[&str]) -> String {
        self.run_class(&format!("org.apache.kafka.{class}"), arguments)
    }

    fn run_class(&self, class: &str, arguments: &[&str]) -> String {
        let mut command: Command = java_command(&self.home, class);
        command
            .args(["--bootstrap-server", &self.bootstrap])
            .args(arguments);
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }
}
