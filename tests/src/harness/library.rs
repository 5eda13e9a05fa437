//! Stock client libraries beside those of [`Client`](super::Client), as members of consumer groups.

use std::process::Command;

use super::{Member, client::java_command, login::Sasl, repository};

/// A client library; versions in `scripts/lib/versions.sh` and `tests/go/go.mod`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// kafka-python 3.0 in `.local/venv-clients`.
    KafkaPython,
    /// aiokafka 0.14, there too.
    Aiokafka,
    /// kafkajs 2.2 in `.local/node`.
    KafkaJs,
    /// kafka-clients 2.7.0 in `.local/java-2.7.0`.
    Java2,
    /// kafka-clients 0.11.0.3 in `.local/java-0.11.0.3`.
    Java0,
    /// franz-go 1.22, in `.local/go` where there is a Go to build it.
    Go,
    /// The `rdkafka` crate 0.38 with its own librdkafka 2.12, in `.local/rdkafka`.
    Rdkafka,
}

/// What a member is started with.
#[derive(Debug, Clone, Copy)]
pub struct Subscription<'a> {
    /// Host and port.
    pub bootstrap: &'a str,
    /// Kafka's `group.id`.
    pub group: &'a str,
    /// The one topic.
    pub topic: &'a str,
    /// Session timeout, ms; heartbeats go every second.
    pub session_ms: u32,
    /// Who logs in; `None` on a listener that wants no login.
    pub login: Option<&'a Sasl>,
}

impl Library {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::KafkaPython,
        Self::Aiokafka,
        Self::KafkaJs,
        Self::Java2,
        Self::Java0,
        Self::Go,
        Self::Rdkafka,
    ];

    /// Whether it can run here. Only the Go client may be missing: `scripts/install` builds it where it finds a Go.
    #[must_use]
    pub fn is_installed(self) -> bool {
        self != Self::Go || repository().join(".local/go/member").exists()
    }

    /// Starts a member and does not wait.
    #[must_use]
    pub fn member(self, subscription: Subscription<'_>) -> Member {
        let mut command = self.command();
        command
            .args([
                subscription.bootstrap,
                subscription.group,
                subscription.topic,
            ])
            .arg(subscription.session_ms.to_string());
        if let Some(login) = subscription.login {
            command
                .env("SASL_MECHANISM", login.mechanism)
                .env("SASL_USERNAME", &login.user)
                .env("SASL_PASSWORD", &login.password);
        }
        Member::of_command(format!("{self:?}"), command)
    }

    fn command(self) -> Command {
        // Not resolved: a venv's interpreter is a link, and knows its venv by the link's place.
        let local = repository().join(".local");
        let run = |program: &str, script: &str| {
            let mut command = Command::new(program);
            command.arg(repository().join("tests").join(script));
            command
        };
        let python = local.join("venv-clients/bin/python").display().to_string();
        match self {
            Self::KafkaPython => run(&python, "python/kafka_python_member.py"),
            Self::Aiokafka => run(&python, "python/aiokafka_member.py"),
            Self::KafkaJs => {
                let mut command = run("node", "node/member.js");
                command.env("NODE_PATH", local.join("node/node_modules"));
                command
            }
            Self::Java2 => java_command("java-2.7.0", "OldMember"),
            Self::Java0 => java_command("java-0.11.0.3", "OldMember"),
            Self::Go => Command::new(local.join("go/member")),
            Self::Rdkafka => Command::new(local.join("rdkafka/member")),
        }
    }
}
