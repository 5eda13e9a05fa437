//! One group, its history, and the settings of its clients, as people read them.

use serde_json::Value;

use super::{
    Format, Language,
    answer::{DtsAnswer, GroupAnswer, HistoryAnswer, SettingsAnswer},
};
use crate::cli::{
    Exit, Screen,
    output::{self, or_dash, shown, time},
};

/// `group show`.
pub(super) fn write(answer: Value, format: Format) -> Result<(), Exit> {
    if format == Format::Json {
        return output::write_json(&answer);
    }
    let group: GroupAnswer = output::read(answer)?;
    let mut text = facts(&group);
    let clients: Vec<_> = group
        .clients
        .iter()
        .map(|client| {
            let since = time(Some(client.since_ms));
            let (role, address) = (client.role.clone(), client.address.clone());
            vec![
                role,
                client.client_id.clone(),
                client.software.clone(),
                address,
                since,
            ]
        })
        .collect();
    if !clients.is_empty() {
        let heads = ["ROLE", "CLIENT", "SOFTWARE", "ADDRESS", "SINCE"];
        text.push_str(&format!("\n{}", output::table(&heads, &clients)));
    }
    if !group.topics.is_empty() {
        text.push_str(&format!("\n{}", topics(&group)));
    }
    output::write(&text)
}

fn facts(group: &GroupAnswer) -> String {
    let mut facts = vec![
        ("id", group.id.clone()),
        ("name", shown(&group.name)),
        ("instance", or_dash(group.instance.as_ref())),
        ("account", or_dash(group.account.as_ref())),
        ("mode", group.mode.clone()),
        ("state", group.state.clone()),
        (
            "lag",
            format!(
                "{} records, {} seconds",
                group.lag_records, group.lag_seconds
            ),
        ),
        ("last commit", time(group.last_commit_ms)),
    ];
    if let Some(dts) = &group.dts {
        facts.push(("dts", as_dts(dts)));
    }
    if let Some(restored) = &group.restored_from {
        let from = time(restored.from_ms);
        facts.push(("position", format!("restored from {from}")));
    }
    let lines: Vec<String> = facts
        .iter()
        .map(|(what, value)| format!("{what:12} {value}\n"))
        .collect();
    lines.concat()
}

/// The figures of DTS's console under their names in its API.
fn as_dts(dts: &DtsAnswer) -> String {
    format!(
        "ConsumptionCheckpoint {}, MessageDelay {}, UnconsumedData {}",
        or_dash(Some(&dts.consumption_checkpoint).filter(|checkpoint| !checkpoint.is_empty())),
        dts.message_delay,
        dts.unconsumed_data
    )
}

fn topics(group: &GroupAnswer) -> String {
    let rows: Vec<_> = group
        .topics
        .iter()
        .map(|topic| {
            vec![
                topic.topic.clone(),
                topic.offset.to_string(),
                format!("{}..{}", topic.start, topic.end),
                topic.lag_records.to_string(),
                topic.lag_seconds.to_string(),
                time(Some(topic.commit_ms)),
                topic.state.clone(),
            ]
        })
        .collect();
    let heads = [
        "TOPIC",
        "OFFSET",
        "LOG",
        "LAG",
        "LAG SECONDS",
        "COMMITTED",
        "POSITION",
    ];
    output::table(&heads, &rows)
}

/// `group history`. A line for each position that moved.
pub(super) fn write_history(answer: Value, format: Format) -> Result<(), Exit> {
    if format == Format::Json {
        return output::write_json(&answer);
    }
    let history: HistoryAnswer = output::read(answer)?;
    let mut rows = Vec::new();
    for entry in &history.entries {
        let what = [Some(entry.event.clone()), entry.detail.clone()];
        let what: Vec<String> = what.into_iter().flatten().collect();
        let event = vec![
            entry.sequence.to_string(),
            time(Some(entry.at_ms)),
            entry.who.clone(),
            what.join(" "),
        ];
        let none = vec!["-".to_owned(); 3];
        let moves = entry.moves.iter().map(|moved| {
            vec![
                or_dash(moved.topic.as_ref()),
                or_dash(moved.from),
                or_dash(moved.to),
            ]
        });
        let mut moves: Vec<_> = moves.collect();
        if moves.is_empty() {
            moves.push(none);
        }
        rows.extend(
            moves
                .into_iter()
                .map(|moved| [event.clone(), moved].concat()),
        );
    }
    let heads = ["NUMBER", "TIME", "WHO", "EVENT", "TOPIC", "FROM", "TO"];
    output::write(&output::table(&heads, &rows))
}

/// `group clients`, and what `group create` ends with. Notes go where no script copies them.
pub(super) fn write_settings(
    answer: Value,
    only: Option<Language>,
    (format, screen): (Format, &Screen),
) -> Result<(), Exit> {
    if format == Format::Json {
        return output::write_json(&answer);
    }
    let answer: SettingsAnswer = output::read(answer)?;
    for note in &answer.notes {
        screen.line(&format!("note: {note}"));
    }
    let mut text = String::new();
    if let Some(user) = &answer.user {
        screen.line(&format!(
            "log in as {user}; put the password in place of <password>"
        ));
    }
    let wanted = only.map(Language::key);
    for setting in &answer.settings {
        match wanted {
            Some(wanted) if wanted == setting.client => text.push_str(&setting.text),
            Some(_) => {}
            None => text.push_str(&format!("# {}\n{}\n", setting.client, setting.text)),
        }
    }
    output::write(&text)
}

impl Language {
    /// The API's word.
    fn key(self) -> &'static str {
        match self {
            Self::Kcat => "kcat",
            Self::Java => "java",
            Self::Flink => "flink",
            Self::Python => "python",
            Self::Kafkajs => "kafkajs",
        }
    }
}
