//! `headwater check source URL`, or `--config FILE`: what a database is like as a source, before anything is made
//! there. Writes nothing.
//!
//! Findings go to standard output, one a line, or all as one JSON object. The rules: `capture/src/postgres/check.rs`.

use std::path::{Path, PathBuf};

use clap::Args;
use headwater_capture::postgres::{
    self,
    check::{self, Finding, Severity},
};
use serde_json::{Value, json};

use super::{
    Exit,
    output::{self, Format, shown},
    source_options::SourceOptions,
};
use crate::{
    config::{FeedConfig, InstanceConfig, PostgresConfig, SourceConfig, file},
    instance::postgres_config,
};

#[derive(Debug, Args)]
pub(super) struct CheckSource {
    /// The database: postgres://USER@HOST:PORT/DATABASE. The password may come from PGPASSWORD or ~/.pgpass.
    #[arg(value_name = "SOURCE_URL", required_unless_present = "config")]
    source_url: Option<String>,
    /// What `run` would capture by this file; which of its instances, --instance tells where there are several.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["source_url", "tables", "feeds", "preset", "slot", "publication", "failover_slot"]
    )]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: SourceOptions,
    /// Another replication slot.
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
    /// Another publication.
    #[arg(long, value_name = "PUBLICATION")]
    publication: Option<String>,
    /// The slot is to be one that standbys are given too.
    #[arg(long)]
    failover_slot: bool,
    /// How the findings are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) async fn run(args: CheckSource) -> Result<(), Exit> {
    let format = args.format;
    let config = config(args)?;
    let server = config.url.server();
    let findings = Box::pin(check::check(&config)).await;
    let text = match format {
        Format::Table => findings.iter().map(line).collect(),
        Format::Json => format!("{}\n", as_json(&findings)),
    };
    output::write(&text)?;
    let errors = count(&findings, Severity::Error);
    if errors == 0 {
        return Ok(());
    }
    Err(Exit::SourceRefused(format!(
        "{server} cannot be captured as it is: {errors} errors"
    )))
}

fn config(args: CheckSource) -> Result<postgres::SourceConfig, Exit> {
    if let Some(path) = args.config {
        return configured(&path, args.options.instance.as_deref());
    }
    let chosen = args.options.chosen(&args.source_url.unwrap_or_default())?;
    let config = PostgresConfig {
        slot: args.slot,
        publication: args.publication,
        failover_slot: args.failover_slot,
        ..chosen.postgres
    };
    Ok(with_feeds(&chosen.instance, chosen.feeds, config))
}

/// The source of an instance of a configuration file, as `run` has it.
fn configured(path: &Path, instance: Option<&str>) -> Result<postgres::SourceConfig, Exit> {
    let loaded = file::load(path).map_err(|error| Exit::Usage(error.to_string()))?;
    let chosen = chosen(loaded.broker.instances, instance);
    let instance = chosen.map_err(|why| Exit::Usage(format!("{}: {why}", path.display())))?;
    match instance.source {
        SourceConfig::Postgres(config) => Ok(with_feeds(&instance.name, instance.feeds, *config)),
        SourceConfig::Channel(_) => Err(Exit::Usage(format!(
            "instance {:?} has no database",
            instance.name
        ))),
    }
}

/// The instance of this name; without a name the only one.
fn chosen(instances: Vec<InstanceConfig>, named: Option<&str>) -> Result<InstanceConfig, String> {
    let names: Vec<String> = instances.iter().map(|each| each.name.clone()).collect();
    let there = || match names.as_slice() {
        [] => "there is none: write an [[instance]]".to_owned(),
        _ => format!("there are: {}", names.join(", ")),
    };
    let mut matching = instances
        .into_iter()
        .filter(|each| named.is_none_or(|named| each.name == named));
    match (matching.next(), matching.next(), named) {
        (Some(instance), None, _) => Ok(instance),
        (None, _, Some(named)) => Err(format!("no instance is named {named:?}; {}", there())),
        _ => Err(format!("name an instance with --instance; {}", there())),
    }
}

fn with_feeds(
    instance: &str,
    feeds: Vec<FeedConfig>,
    config: PostgresConfig,
) -> postgres::SourceConfig {
    postgres::SourceConfig {
        feeds: feeds.into_iter().map(|feed| feed.format).collect(),
        ..postgres_config(instance, config)
    }
}

fn line(finding: &Finding) -> String {
    let severity = finding.severity.name();
    shown(&format!("{severity:<8} {finding}")) + "\n"
}

fn as_json(findings: &[Finding]) -> Value {
    let each = findings.iter().map(|finding| {
        json!({
            "severity": finding.severity.name(),
            "about": finding.about,
            "what": finding.what,
            "fix": finding.fix,
        })
    });
    json!({
        "usable": count(findings, Severity::Error) == 0,
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
        "findings": each.collect::<Vec<_>>(),
    })
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    let of_it = findings
        .iter()
        .filter(|finding| finding.severity == severity);
    of_it.count()
}
