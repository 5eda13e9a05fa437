//! `headwater run --config FILE`: a server. A source that cannot be used is a state, not an end.

use std::path::Path;

use tracing::{error, info};

use super::{Exit, serve};
use crate::{Broker, config::file, telemetry};

pub(super) fn prepare(path: &Path) -> Result<file::Loaded, Exit> {
    file::load(path).map_err(|error| Exit::Usage(error.to_string()))
}

pub(super) async fn run(loaded: file::Loaded) -> Result<(), Exit> {
    telemetry::init(&loaded.log, std::io::stderr);
    serve::raise_file_limit(loaded.broker.connections.connections_max);
    let mut signals = serve::Signals::catch()?;
    let mut hang_ups = serve::HangUps::catch()?;
    let broker = Broker::start(loaded.broker).await?;
    info!(target: telemetry::READY, "{}", serve::ready_line(&broker));
    let failure = loop {
        tokio::select! {
            () = signals.received() => break None,
            failure = broker.failed() => break Some(failure),
            () = hang_ups.received() => broker.reload_certificates().await,
        }
    };
    if let Some(failure) = &failure {
        error!("the log failed, stopping: {failure}");
    }
    let stopped = broker.stop().await;
    failure.map_or(stopped, Err).map_err(Exit::Failed)
}
