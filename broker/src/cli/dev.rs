//! `headwater dev <source-url>`: one database on a laptop, without a file.

mod report;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use headwater_capture::{
    encode::{DebeziumOptions, FeedFormat, Preset},
    filter::{ColumnFilter, TableFilter},
    postgres::{PasswordSources, SourceState, SourceUrl},
};
use headwater_protocol::batch::Compression;
use headwater_storage::catalog::group_rules::GROUPS_PER_INSTANCE;
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};

use self::report::Report;
use super::{Exit, Screen, serve};
use crate::{
    Broker, RunningBroker,
    config::{
        BrokerConfig, ConnectionConfig, FeedConfig, InstanceConfig, ListenerConfig, PostgresConfig,
        RecordLimits, SourceConfig, StorageConfig, check_listeners, check_name,
    },
    limits::{DEV_RETENTION, NAME_CHARS, WAL_WARN_BYTES},
    telemetry::{self, LogFormat},
};

/// What is logged. States of the source are told by [`report`] and by the last line, once and not twice.
const LOGGED: &str = "warn,headwater_capture::postgres::source=off";

/// How often the status is looked at.
const TICKS_PER_SECOND: u64 = 4;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The database: postgres://USER@HOST:PORT/DATABASE. The password may come from PGPASSWORD or ~/.pgpass.
    #[arg(value_name = "SOURCE_URL")]
    source_url: String,
    /// Where Kafka clients connect.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9092")]
    kafka: SocketAddr,
    /// Where health and metrics are.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9080")]
    http: SocketAddr,
    /// Keep the log here, and slot and publications in the database. Without it all of them are temporary.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Topics are NAME.SCHEMA.TABLE [default: the database's name].
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Capture only these tables: schema.table with * and ?. May be given several times.
    #[arg(long, value_name = "PATTERN", num_args = 1)]
    tables: Vec<String>,
    /// Which feeds, with commas between them: tables (a topic for each table), dts (one topic for DTS clients).
    #[arg(long, value_name = "FEEDS", default_value = "tables")]
    feeds: String,
    /// How changes are written.
    #[arg(long, value_name = "PRESET", default_value = "flink")]
    preset: String,
}

/// A `dev` that can be started.
#[derive(Debug)]
pub(super) struct Dev {
    broker: BrokerConfig,
    /// Removed when this is dropped.
    temporary: Option<TempDir>,
    source: String,
}

/// Checks the arguments.
pub(super) fn prepare(args: DevArgs) -> Result<Dev, Exit> {
    let url = SourceUrl::parse(&args.source_url).map_err(|error| Exit::Usage(error.to_string()))?;
    let url = PasswordSources::from_environment()
        .complete(url)
        .map_err(|error| Exit::Usage(error.to_string()))?;
    let name = args
        .instance
        .unwrap_or_else(|| instance_name(&url.database));
    check_name(&name).map_err(|why| Exit::Usage(format!("--instance {name:?}: {why}")))?;
    let feeds = feeds(&args.feeds, &args.preset, &name).map_err(Exit::Usage)?;
    let tables = TableFilter::parse(&args.tables, &[])
        .map_err(|error| Exit::Usage(format!("--tables: {error}")))?;
    let listener = ListenerConfig::plaintext(args.kafka);
    check_listeners(std::slice::from_ref(&listener), Some(args.http)).map_err(Exit::Usage)?;
    let (data_dir, temporary) = data_dir(args.data)?;
    let source = url.redacted();
    let postgres = PostgresConfig {
        url,
        tables,
        columns: ColumnFilter::default(),
        slot: None,
        publication: None,
        failover_slot: false,
        heartbeat_interval: None,
        wal_warn_bytes: WAL_WARN_BYTES,
        records: RecordLimits::default(),
        temporary: temporary.is_some(),
        first_failure_ends: true,
    };
    let instance = InstanceConfig {
        groups_max: GROUPS_PER_INSTANCE,
        groups: Vec::new(),
        feeds,
        name,
        source: SourceConfig::Postgres(Box::new(postgres)),
        retention: DEV_RETENTION,
    };
    let broker = BrokerConfig {
        data_dir,
        listeners: vec![listener],
        connections: ConnectionConfig::default(),
        operator: None,
        http_listen: Some(args.http),
        storage: storage(temporary.is_some()),
        instances: vec![instance],
    };
    Ok(Dev {
        broker,
        temporary,
        source,
    })
}

/// A directory that is gone at the end is not opened on a full disk.
fn storage(is_temporary: bool) -> StorageConfig {
    let mut storage = StorageConfig::default();
    if is_temporary {
        storage.space.ballast = 0;
    }
    storage
}

/// Runs until a signal comes, the log fails, or the source turns out to be unusable at the first attempt.
pub(super) async fn run(dev: Dev, screen: &Screen) -> Result<(), Exit> {
    telemetry::init_with(LOGGED, LogFormat::Text, screen.clone());
    serve::raise_file_limit(dev.broker.connections.connections_max);
    let mut signals = serve::Signals::catch()?;
    let broker = Broker::start(dev.broker).await?;
    screen.line(&serve::ready_line(&broker));
    screen.line(&format!("source {}", dev.source));
    screen.line(match &dev.temporary {
        Some(_) => "data in a temporary directory, gone at the end (--data DIR keeps it)",
        None => "data is kept; so are slot and publications in the database",
    });
    let ended = tokio::select! {
        () = signals.received() => Ok(()),
        failure = broker.failed() => Err(Exit::Failed(failure)),
        refused = unusable(&broker) => Err(Exit::SourceRefused(refused)),
        never = watch(&broker, screen) => match never {},
    };
    screen.end_status();
    let stopped = broker.stop().await.map_err(Exit::Failed);
    ended.and(stopped)
}

/// One line about a source that cannot be used before it ever ran. Never returns once it has run.
async fn unusable(broker: &RunningBroker) -> String {
    let Some(instance) = broker.instances().next() else {
        return std::future::pending().await;
    };
    let mut status = instance.status.clone();
    loop {
        let state = status.borrow_and_update().state.clone();
        match &state {
            SourceState::Starting | SourceState::WaitingForSlot { .. } => {}
            SourceState::Running | SourceState::Stopped => return std::future::pending().await,
            SourceState::Reconnecting { .. }
            | SourceState::NeedsResync { .. }
            | SourceState::SourceMisconfigured { .. }
            | SourceState::SourceRefused { .. }
            | SourceState::RowUnreadable { .. }
            | SourceState::RecordTooLarge { .. } => return told(&state),
            SourceState::TransactionTooLarge { .. }
            | SourceState::DiskFull { .. }
            | SourceState::Paused { .. } => {}
        }
        if status.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// The reason and what to do, in one line.
fn told(state: &SourceState) -> String {
    let reason = state.reason().unwrap_or(state.name());
    match (state, state.fix()) {
        (_, Some(fix)) => format!("{reason}: {fix}"),
        (SourceState::Reconnecting { .. }, None) => {
            format!(
                "cannot reach the source: {reason}: check host and port, and that the server runs"
            )
        }
        (_, None) => reason.to_owned(),
    }
}

enum Never {}

/// Shows topics as they appear, and how things are.
async fn watch(broker: &RunningBroker, screen: &Screen) -> Never {
    let mut report = Report::new(screen.is_terminal());
    let mut ticks = interval(Duration::from_millis(1000 / TICKS_PER_SECOND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        for line in report.news(broker) {
            screen.line(&line);
        }
        if let Some(status) = report.status(broker) {
            screen.status(&status);
        }
    }
}

/// The feeds that `--feeds` names, with commas between them.
pub(super) fn feeds(asked: &str, preset: &str, instance: &str) -> Result<Vec<FeedConfig>, String> {
    let preset = preset_named(preset)?;
    let mut feeds: Vec<FeedConfig> = Vec::new();
    for name in asked.split(',').map(str::trim) {
        let feed = match name {
            "tables" => FeedConfig::tables(instance, preset),
            "dts" => FeedConfig::dts(instance),
            _ => {
                return Err(format!(
                    "--feeds {name:?} is unknown: the feeds of this version are tables and dts"
                ));
            }
        };
        if feeds.iter().any(|known| known.name == feed.name) {
            return Err(format!("--feeds names {name} twice"));
        }
        feeds.push(feed);
    }
    Ok(feeds)
}

fn preset_named(preset: &str) -> Result<Preset, String> {
    match preset {
        "flink" => Ok(Preset::Flink),
        "debezium" => Ok(Preset::Debezium(DebeziumOptions::default())),
        _ => Err(format!(
            "--preset {preset:?} is unknown: write flink or debezium"
        )),
    }
}

fn data_dir(asked: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), Exit> {
    if let Some(path) = asked {
        return Ok((path, None));
    }
    let temporary = tempfile::Builder::new()
        .prefix("headwater-dev-")
        .tempdir()
        .map_err(|error| Exit::Failed(format!("cannot make a temporary directory: {error}")))?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

/// The database's name as an instance can have it.
pub(super) fn instance_name(database: &str) -> String {
    let legal = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    database.chars().map(legal).take(NAME_CHARS).collect()
}

impl FeedConfig {
    /// The default feed of an instance: a topic per table.
    #[must_use]
    pub fn tables(instance: &str, preset: Preset) -> Self {
        let format = FeedFormat::DebeziumJson {
            preset,
            name: instance.to_owned(),
        };
        Self {
            name: "tables".to_owned(),
            prefix: instance.to_owned(),
            format,
            compression: Compression::None,
        }
    }

    /// The feed for clients of Alibaba Cloud DTS: one topic, named as the instance.
    #[must_use]
    pub fn dts(instance: &str) -> Self {
        Self {
            name: "dts".to_owned(),
            prefix: instance.to_owned(),
            format: FeedFormat::DtsAvro { next_id: 0 },
            compression: Compression::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_named_with_commas_between_them() {
        let names = |asked: &str| -> Vec<String> {
            let feeds = feeds(asked, "flink", "shop").expect("known feeds");
            feeds.into_iter().map(|feed| feed.name).collect()
        };
        assert_eq!(names("tables"), ["tables"]);
        assert_eq!(names("tables, dts"), ["tables", "dts"]);
        assert_eq!(names("dts"), ["dts"]);
        assert!(feeds("tables,dts", "debezium", "shop").is_ok());
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (asked, preset, word) in [
            ("tabels", "flink", "tabels"),
            ("tables,tables", "flink", "twice"),
            ("", "flink", "unknown"),
            ("tables", "spark", "spark"),
        ] {
            let line = feeds(asked, preset, "shop").expect_err("refused");
            assert!(line.contains(word), "{line}");
        }
    }

    #[test]
    fn the_instance_is_named_after_the_database() {
        for (database, name) in [
            ("shop", "shop"),
            ("My Shop", "My_Shop"),
            ("a.b", "a_b"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(instance_name(database), name);
            assert_eq!(check_name(&instance_name(database)), Ok(()));
        }
    }
}
