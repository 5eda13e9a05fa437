//! Client settings of a consumer group, ready to copy: kcat, Java, Flink SQL, Python, KafkaJS. Pure.
//!
//! The password is not known here: `<password>` stands for it.

use headwater_protocol::sasl::{Mechanism, ScramMechanism};
use serde::Serialize;
use utoipa::ToSchema;

use super::entry::Entry;

/// How clients consume as one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ClientSettings {
    /// The group's id.
    group: String,
    /// `HOST:PORT` of the listener that the settings are for; `None`: there is none at all.
    bootstrap: Option<String>,
    /// Kafka's `security.protocol`.
    protocol: Option<String>,
    /// SASL mechanism; `None`: nobody logs in there.
    mechanism: Option<String>,
    /// SASL user name; `None`: nobody logs in there.
    user: Option<String>,
    /// What the operator should know; one line each.
    notes: Vec<String>,
    /// By client.
    settings: Vec<ClientSetting>,
}

/// The settings of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ClientSetting {
    /// `kcat`, `java`, `flink`, `python` or `kafkajs`.
    client: &'static str,
    /// Lines to copy.
    text: String,
}

/// What the settings are made of.
struct Facts<'a> {
    group: &'a str,
    topic: &'a str,
    bootstrap: &'a str,
    protocol: &'static str,
    login: Option<(String, &'static str)>,
    tls: bool,
}

/// Settings for the group with this id and account (`None`: it came into being on first use). `topic` is one of its
/// instance, for the examples.
pub(crate) fn settings(
    group: &str,
    account: Option<&str>,
    topic: Option<&str>,
    entries: &[Entry],
) -> ClientSettings {
    let entry = best(entries);
    let login = entry.zip(account).and_then(|(entry, account)| {
        let mechanism = best_mechanism(&entry.mechanisms)?;
        Some((format!("{account}-{group}"), mechanism))
    });
    let facts = entry.map(|entry| Facts {
        group,
        topic: topic.unwrap_or("<topic>"),
        bootstrap: &entry.bootstrap,
        protocol: entry.protocol,
        login: login.clone(),
        tls: entry.has_tls(),
    });
    ClientSettings {
        group: group.to_owned(),
        bootstrap: entry.map(|entry| entry.bootstrap.clone()),
        protocol: entry.map(|entry| entry.protocol.to_owned()),
        mechanism: login.as_ref().map(|(_, mechanism)| (*mechanism).to_owned()),
        user: login.map(|(user, _)| user),
        notes: notes(entry, account),
        settings: facts.map_or_else(Vec::new, |facts| facts.of_all_clients()),
    }
}

/// The safest listener with a login, or one without.
fn best(entries: &[Entry]) -> Option<&Entry> {
    let rank = |entry: &&Entry| (entry.has_login(), entry.has_tls());
    // The first of the best: of equal ones, as the operator wrote them.
    entries.iter().rev().max_by_key(rank)
}

fn best_mechanism(mechanisms: &[Mechanism]) -> Option<&'static str> {
    let preferred = [
        Mechanism::Scram(ScramMechanism::Sha256),
        Mechanism::Scram(ScramMechanism::Sha512),
        Mechanism::Plain,
    ];
    let mut preferred = preferred.into_iter();
    let found = preferred.find(|mechanism| mechanisms.contains(mechanism));
    found.map(Mechanism::name)
}

fn notes(entry: Option<&Entry>, account: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    if !entry.is_some_and(Entry::has_login) {
        notes.push(
            "no listener with a login is configured: account and password are not asked for anywhere. Add \
             [[kafka.listener]] with protocol = \"SASL_SSL\" (docs/security.md)"
                .to_owned(),
        );
    }
    if account.is_none() {
        notes.push("this group came into being on first use and has no account".to_owned());
    }
    if entry.is_some_and(Entry::has_tls) {
        notes.push(
            "if the listener's certificate is of an authority of your own, the client needs that authority's \
             certificate (ssl.ca.location, ssl.truststore.location)"
                .to_owned(),
        );
    }
    notes
}

impl Facts<'_> {
    fn of_all_clients(&self) -> Vec<ClientSetting> {
        let setting = |client, text| ClientSetting { client, text };
        vec![
            setting("kcat", self.kcat()),
            setting("java", self.java()),
            setting("flink", self.flink()),
            setting("python", self.python()),
            setting("kafkajs", self.kafkajs()),
        ]
    }

    fn kcat(&self) -> String {
        let mut line = format!("kcat -b {}", self.bootstrap);
        if self.tls || self.login.is_some() {
            line.push_str(&format!(" -X security.protocol={}", self.protocol));
        }
        if let Some((user, mechanism)) = &self.login {
            line.push_str(&format!(
                " -X sasl.mechanisms={mechanism} -X sasl.username={user} -X 'sasl.password=<password>'"
            ));
        }
        line.push_str(&format!(
            " -X auto.offset.reset=earliest -G {} {}\n",
            self.group, self.topic
        ));
        line
    }

    fn java(&self) -> String {
        let mut text = format!(
            "bootstrap.servers={}\nsecurity.protocol={}\ngroup.id={}\n",
            self.bootstrap, self.protocol, self.group
        );
        if let Some((user, mechanism)) = &self.login {
            let jaas = jaas(user, mechanism);
            text.push_str(&format!(
                "sasl.mechanism={mechanism}\nsasl.jaas.config={jaas}\n"
            ));
        }
        text.push_str("auto.offset.reset=earliest\nenable.auto.commit=false\n");
        text
    }

    fn flink(&self) -> String {
        let mut options = vec![
            ("connector", "kafka".to_owned()),
            ("topic", self.topic.to_owned()),
            ("properties.bootstrap.servers", self.bootstrap.to_owned()),
            ("properties.group.id", self.group.to_owned()),
            ("properties.security.protocol", self.protocol.to_owned()),
        ];
        if let Some((user, mechanism)) = &self.login {
            options.push(("properties.sasl.mechanism", (*mechanism).to_owned()));
            options.push(("properties.sasl.jaas.config", jaas(user, mechanism)));
        }
        options.push(("properties.auto.offset.reset", "earliest".to_owned()));
        options.push(("scan.startup.mode", "group-offsets".to_owned()));
        options.push(("format", "debezium-json".to_owned()));
        let lines: Vec<String> = options
            .iter()
            .map(|(key, value)| format!("  '{key}' = '{value}'"))
            .collect();
        format!(
            "CREATE TABLE changes (\n  -- the columns of the table\n) WITH (\n{}\n);\n",
            lines.join(",\n")
        )
    }

    fn python(&self) -> String {
        let mut lines = vec![
            ("bootstrap.servers", self.bootstrap.to_owned()),
            ("security.protocol", self.protocol.to_owned()),
        ];
        if let Some((user, mechanism)) = &self.login {
            lines.push(("sasl.mechanisms", (*mechanism).to_owned()));
            lines.push(("sasl.username", user.clone()));
            lines.push(("sasl.password", "<password>".to_owned()));
        }
        lines.push(("group.id", self.group.to_owned()));
        lines.push(("auto.offset.reset", "earliest".to_owned()));
        let lines: Vec<String> = lines
            .iter()
            .map(|(key, value)| format!("    \"{key}\": \"{value}\",\n"))
            .collect();
        format!(
            "from confluent_kafka import Consumer\n\nconsumer = Consumer({{\n{}    \"enable.auto.commit\": False,\n}})\n\
             consumer.subscribe([\"{}\"])\n",
            lines.concat(),
            self.topic
        )
    }

    fn kafkajs(&self) -> String {
        let login = match &self.login {
            Some((user, mechanism)) => format!(
                "  sasl: {{ mechanism: '{}', username: '{user}', password: '<password>' }},\n",
                mechanism.to_lowercase()
            ),
            None => String::new(),
        };
        // In a function, since a file with `require` has no `await` outside of one.
        format!(
            "const {{ Kafka }} = require('kafkajs')\n\nconst kafka = new Kafka({{\n  brokers: ['{}'],\n  ssl: {},\n\
             {login}}})\nconst consumer = kafka.consumer({{ groupId: '{}' }})\n\nasync function main() {{\n  \
             await consumer.connect()\n  \
             await consumer.subscribe({{ topics: ['{}'], fromBeginning: true }})\n  \
             await consumer.run({{\n    eachMessage: async ({{ message }}) => console.log(message.offset, \
             String(message.value)),\n  }})\n}}\n\nmain()\n",
            self.bootstrap, self.tls, self.group, self.topic
        )
    }
}

fn jaas(user: &str, mechanism: &str) -> String {
    let module = if mechanism == Mechanism::Plain.name() {
        "org.apache.kafka.common.security.plain.PlainLoginModule"
    } else {
        "org.apache.kafka.common.security.scram.ScramLoginModule"
    };
    format!("{module} required username=\"{user}\" password=\"<password>\";")
}

#[cfg(test)]
mod tests;
