//! What `dev` and `run` have in common: the ready line, the signals, the stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use crate::{RunningBroker, limits::FILES_BESIDE_CONNECTIONS};

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
/// 1,024 comes from programs that use select(2). Says so where that is too little for `connections_max`.
pub(super) fn raise_file_limit(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "limit of open files stays");
            limit.current
        }
    };
    if let Some(line) = too_few_files(files, connections_max) {
        tracing::warn!("{line}");
    }
}

/// `files`: what the process may have open; `None`: any number.
fn too_few_files(files: Option<u64>, connections_max: usize) -> Option<String> {
    let wanted = (connections_max as u64).saturating_add(FILES_BESIDE_CONNECTIONS);
    let files = files.filter(|files| *files < wanted)?;
    let left = files.saturating_sub(FILES_BESIDE_CONNECTIONS);
    Some(format!(
        "the limit of {files} open files leaves room for about {left} connections, and kafka.connections_max is \
         {connections_max}: raise it to {wanted} (ulimit -Hn, LimitNOFILE of systemd), or lower kafka.connections_max"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_files_that_is_too_low_for_the_connections_is_told_in_one_line() {
        assert_eq!(too_few_files(None, 12_000), None);
        assert_eq!(too_few_files(Some(12_512), 12_000), None);
        let line = too_few_files(Some(4_096), 12_000).expect("is too low");
        for part in ["4096", "3584", "12000", "12512", "kafka.connections_max"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains('\n'));
        assert!(too_few_files(Some(100), usize::MAX).is_some());
    }
}
