//! `headwater check source URL`: what a database is like as a source, before anything is made there. Writes nothing.
//!
//! Findings go to standard output, one a line, or all as one JSON object. The rules: `capture/src/postgres/check.rs`.

use clap::Args;
use headwater_capture::{
    filter::{ColumnFilter, TableFilter},
    postgres::{
        PasswordSources, SourceUrl,
        check::{self, Finding, Severity},
    },
};
use serde_json::{Value, json};

use super::{
    Exit, dev,
    output::{self, Format, shown},
};
use crate::{
    config::{PostgresConfig, RecordLimits, check_name},
    instance::postgres_config,
    limits::WAL_WARN_BYTES,
};

#[derive(Debug, Args)]
pub(super) struct CheckSource {
    /// The database: postgres://USER@HOST:PORT/DATABASE. The password may come from PGPASSWORD or ~/.pgpass.
    #[arg(value_name = "SOURCE_URL")]
    source_url: String,
    /// The instance that will read it [default: the database's name]. Slot and publications are headwater_NAME.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only these tables: schema.table with * and ?. May be given several times.
    #[arg(long, value_name = "PATTERN", num_args = 1)]
    tables: Vec<String>,
    /// Which feeds, with commas between them: tables, dts.
    #[arg(long, value_name = "FEEDS", default_value = "tables")]
    feeds: String,
    /// How changes will be written: flink, debezium.
    #[arg(long, value_name = "PRESET", default_value = "flink")]
    preset: String,
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

fn config(args: CheckSource) -> Result<headwater_capture::postgres::SourceConfig, Exit> {
    let usage = |line: String| Exit::Usage(line);
    let url = SourceUrl::parse(&args.source_url).map_err(|error| usage(error.to_string()))?;
    let completed = PasswordSources::from_environment().complete(url);
    let url = completed.map_err(|error| usage(error.to_string()))?;
    let of_database = || dev::instance_name(&url.database);
    let name = args.instance.unwrap_or_else(of_database);
    check_name(&name).map_err(|why| usage(format!("--instance {name:?}: {why}")))?;
    let feeds = dev::feeds(&args.feeds, &args.preset, &name).map_err(Exit::Usage)?;
    let tables = TableFilter::parse(&args.tables, &[]);
    let tables = tables.map_err(|error| usage(format!("--tables: {error}")))?;
    let config = PostgresConfig {
        url,
        tables,
        columns: ColumnFilter::default(),
        slot: args.slot,
        publication: args.publication,
        failover_slot: args.failover_slot,
        heartbeat_interval: None,
        wal_warn_bytes: WAL_WARN_BYTES,
        records: RecordLimits::default(),
        temporary: false,
        first_failure_ends: true,
    };
    Ok(headwater_capture::postgres::SourceConfig {
        feeds: feeds.into_iter().map(|feed| feed.format).collect(),
        ..postgres_config(&name, config)
    })
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
