//! `headwater dev <source-url>`: one database on a laptop, without a file.

mod report;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use headwater_capture::postgres::SourceState;
use headwater_storage::catalog::group_rules::GROUPS_PER_INSTANCE;
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};

use self::report::Report;
use super::{Exit, Screen, serve, source_options::SourceOptions};
use crate::{
    Broker, RunningBroker,
    config::{
        BrokerConfig, ConnectionConfig, InstanceConfig, ListenerConfig, SourceConfig,
        StorageConfig, check_listeners,
    },
    limits::DEV_RETENTION,
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
    #[command(flatten)]
    options: SourceOptions,
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
    let mut chosen = args.options.chosen(&args.source_url)?;
    let listener = ListenerConfig::plaintext(args.kafka);
    check_listeners(std::slice::from_ref(&listener), Some(args.http)).map_err(Exit::Usage)?;
    let (data_dir, temporary) = data_dir(args.data)?;
    let source = chosen.postgres.url.redacted();
    chosen.postgres.temporary = temporary.is_some();
    let instance = InstanceConfig {
        groups_max: GROUPS_PER_INSTANCE,
        groups: Vec::new(),
        feeds: chosen.feeds,
        name: chosen.instance,
        source: SourceConfig::Postgres(Box::new(chosen.postgres)),
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
