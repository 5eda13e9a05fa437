//! What `dev` and `run` have in common: the ready line, the signals, the stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use crate::RunningBroker;

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: certificates are read again.
#[derive(Debug)]
pub(super) struct HangUps(Signal);

impl HangUps {
    /// From now on it does not end the process.
    pub(super) fn catch() -> Result<Self, Exit> {
        caught(SignalKind::hangup()).map(Self)
    }

    /// Returns when one comes. Cancel safe.
    pub(super) async fn received(&mut self) {
        self.0.recv().await;
    }
}

fn caught(kind: SignalKind) -> Result<Signal, Exit> {
    signal(kind).map_err(|error| Exit::Failed(format!("cannot catch signals: {error}")))
}

impl Signals {
    /// From now on both stop the broker instead of the process.
    pub(super) fn catch() -> Result<Self, Exit> {
        Ok(Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
        })
    }

    /// Returns when one comes. Cancel safe.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// `headwater is ready: kafka 127.0.0.1:9092, http 127.0.0.1:9080`.
pub(super) fn ready_line(broker: &RunningBroker) -> String {
    let kafka: Vec<String> = broker
        .kafka_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut line = format!("headwater is ready: kafka {}", kafka.join(" "));
    if let Some(http) = broker.http_address() {
        line.push_str(&format!(", http {http}"));
    }
    line
}

/// Raises the soft limit of open files to the hard one: every client is a descriptor, and the usual soft limit of
/// 1,024 comes from programs that use select(2).
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "limit of open files stays");
    }
}
