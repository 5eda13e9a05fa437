//! `headwater instance ...`: the tracked databases of a running broker.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Exit,
    client::{ApiClient, Place, part},
    output::{self, Format, or_dash, shown, time},
};

#[derive(Debug, Args)]
pub(super) struct InstanceArgs {
    #[command(flatten)]
    place: Place,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
    #[command(subcommand)]
    command: InstanceCommand,
}

#[derive(Debug, Subcommand)]
enum InstanceCommand {
    /// All instances.
    List,
    /// One instance: state, source, tables, what its log holds, what is missing.
    Show(Named),
    /// Stop reading the source, over restarts; consumers go on, the source keeps its log.
    Pause {
        #[command(flatten)]
        instance: Named,
        /// Why, in one line: it is shown with the state.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Go on where it was paused; nothing is lost.
    Resume(Named),
    /// Go on behind changes that are lost: offsets continue, the gap is recorded.
    Resync {
        #[command(flatten)]
        instance: Named,
        /// now, earliest (the oldest that the slot still holds), or an LSN.
        #[arg(long, value_name = "now|earliest|LSN")]
        from: String,
        /// Also while nothing is lost: changes are skipped.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The instance.
    #[arg(value_name = "NAME")]
    name: String,
}

impl Named {
    fn path(&self, below: &str) -> String {
        format!("/api/v1/instances/{}{below}", part(&self.name))
    }
}

/// Asks the broker and writes what it says.
pub(super) async fn run(args: InstanceArgs) -> Result<(), Exit> {
    let client = ApiClient::at(&args.place)?;
    let answer = ask(&client, &args.command).await?;
    if args.format == Format::Json {
        return output::write_json(&answer);
    }
    output::write(&match args.command {
        InstanceCommand::List => list(&answer),
        InstanceCommand::Show(_) | InstanceCommand::Pause { .. } | InstanceCommand::Resume(_) => {
            show(&answer)
        }
        InstanceCommand::Resync { .. } => gap_table(std::slice::from_ref(&answer)),
    })
}

async fn ask(client: &ApiClient, command: &InstanceCommand) -> Result<Value, Exit> {
    match command {
        InstanceCommand::List => client.get("/api/v1/instances").await,
        InstanceCommand::Show(named) => client.get(&named.path("")).await,
        InstanceCommand::Pause { instance, reason } => {
            let body = json!({ "reason": reason });
            let path = instance.path("/pause");
            client.send(Method::POST, &path, Some(&body)).await
        }
        InstanceCommand::Resume(named) => {
            client
                .send(Method::POST, &named.path("/resume"), None)
                .await
        }
        InstanceCommand::Resync {
            instance,
            from,
            force,
        } => {
            let body = json!({ "from": from, "force": force });
            let path = instance.path("/resync");
            client.send(Method::POST, &path, Some(&body)).await
        }
    }
}

fn list(answer: &Value) -> String {
    let heads = [
        "INSTANCE",
        "STATE",
        "DTS",
        "SINCE",
        "DELAY s",
        "LOG bytes",
        "GROUPS",
        "GAPS",
    ];
    let rows: Vec<_> = items(&answer["instances"]).iter().map(row).collect();
    output::table(&heads, &rows)
}

fn row(instance: &Value) -> Vec<String> {
    vec![
        text(&instance["name"]),
        text(&instance["state"]),
        text(&instance["dts_state"]),
        time(instance["since_ms"].as_i64()),
        text(&instance["delay_seconds"]),
        text(&instance["log_bytes"]),
        format!(
            "{} of {}",
            text(&instance["groups"]),
            text(&instance["groups_limit"])
        ),
        items(&instance["gaps"]).len().to_string(),
    ]
}

fn show(instance: &Value) -> String {
    let mut out = facts(instance);
    for warning in items(&instance["warnings"]) {
        out.push_str(&format!("warning      {}\n", shown(&text(warning))));
    }
    let gaps = items(&instance["gaps"]);
    if !gaps.is_empty() {
        out.push_str(&format!("\n{}", gap_table(gaps)));
    }
    let tables: Vec<_> = items(&instance["tables"])
        .iter()
        .map(|table| {
            let captured = match table["keyed"].as_bool() {
                Some(true) => "inserts, updates, deletes",
                Some(false) | None => "inserts",
            };
            vec![
                text(&table["name"]),
                captured.to_owned(),
                text(&table["warning"]),
            ]
        })
        .collect();
    out.push_str(&format!(
        "\n{}",
        output::table(&["TABLE", "CAPTURED", "WARNING"], &tables)
    ));
    let topics: Vec<_> = items(&instance["topics"]).iter().map(topic).collect();
    let heads = ["TOPIC", "START", "END", "EPOCH", "OLDEST", "NEWEST"];
    out.push_str(&format!("\n{}", output::table(&heads, &topics)));
    out
}

fn facts(instance: &Value) -> String {
    let source = &instance["source"];
    let state = format!(
        "{} ({})",
        text(&instance["state"]),
        text(&instance["dts_state"])
    );
    let retention = &instance["retention"];
    let facts = [
        ("instance", text(&instance["name"])),
        ("state", state),
        ("since", time(instance["since_ms"].as_i64())),
        ("reason", text(&instance["reason"])),
        ("fix", text(&instance["fix"])),
        (
            "source",
            format!(
                "{} at PostgreSQL {}",
                text(&source["database"]),
                text(&source["version"])
            ),
        ),
        ("slot", text(&source["slot"])),
        ("publication", text(&source["publication"])),
        ("confirmed", text(&source["confirmed_lsn"])),
        (
            "source log",
            format!(
                "{}, {} bytes held, lost after {} more",
                text(&source["wal_level"]),
                text(&source["wal_held_bytes"]),
                text(&source["wal_safe_bytes"])
            ),
        ),
        (
            "delay",
            format!(
                "{} s, {} bytes",
                text(&instance["delay_seconds"]),
                text(&instance["lag_bytes"])
            ),
        ),
        ("log", format!("{} bytes", text(&instance["log_bytes"]))),
        (
            "retention",
            format!(
                "{} s, {} bytes",
                text(&retention["age_seconds"]),
                text(&retention["bytes"])
            ),
        ),
        (
            "groups",
            format!(
                "{} of {}",
                text(&instance["groups"]),
                text(&instance["groups_limit"])
            ),
        ),
        ("incarnation", text(&instance["incarnation"])),
    ];
    let line = |(name, value): &(&str, String)| format!("{name:<13}{}\n", shown(value));
    facts.iter().map(line).collect()
}

fn topic(topic: &Value) -> Vec<String> {
    vec![
        text(&topic["topic"]),
        text(&topic["start"]),
        text(&topic["end"]),
        text(&topic["epoch"]),
        time(topic["oldest_ms"].as_i64()),
        time(topic["newest_ms"].as_i64()),
    ]
}

fn gap_table(gaps: &[Value]) -> String {
    let row = |gap: &Value| {
        vec![
            text(&gap["incarnation"]),
            time(gap["at_ms"].as_i64()),
            text(&gap["from"]),
            text(&gap["to"]),
            text(&gap["reason"]),
        ]
    };
    let rows: Vec<_> = gaps.iter().map(row).collect();
    output::table(
        &["INCARNATION", "AT", "MISSING FROM", "TO", "REASON"],
        &rows,
    )
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A string without quotes; `-` for none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => or_dash(None::<&str>),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_shown_with_what_is_missing() {
        let instance = json!({
            "name": "shop", "state": "running", "dts_state": "Normal", "groups": 2, "groups_limit": 20,
            "gaps": [{"incarnation": 1, "from": "0/1", "to": "0/9", "reason": "slot lost"}],
            "topics": [{"topic": "shop.public.rows", "start": 0, "end": 4, "epoch": 1}],
        });
        let shown = show(&instance);
        for wanted in [
            "running (Normal)",
            "2 of 20",
            "slot lost",
            "shop.public.rows  0      4    1",
        ] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
        let listed = list(&json!({ "instances": [instance] }));
        assert!(
            listed.lines().any(|line| line.starts_with("shop")),
            "{listed}"
        );
    }
}
