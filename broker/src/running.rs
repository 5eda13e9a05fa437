//! A broker that runs: where it listens, whether it still can, and how it stops.

use std::{net::SocketAddr, sync::Arc};

use headwater_storage::Group;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::timeout,
};
use tracing::{error, info};

use crate::{
    auth::stored_verifiers,
    certificate::Certificate,
    context::Shared,
    group_service::GroupService,
    instance::{InstanceView, RunningInstance},
    limits::STOP_INSTANCES,
};

/// A running broker. Dropping it without [`RunningBroker::stop`] is as good as a crash: safe, but the next start has
/// more to look at.
#[derive(Debug)]
pub struct RunningBroker {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Of the listeners that have one.
    pub(crate) certificates: Vec<Arc<Certificate>>,
    pub(crate) http_address: Option<SocketAddr>,
    pub(crate) http: JoinHandle<()>,
    pub(crate) instances: Vec<RunningInstance>,
    pub(crate) servers: JoinSet<()>,
    /// Looks at the free space.
    pub(crate) watching: JoinHandle<()>,
    pub(crate) stop: watch::Sender<bool>,
    /// One line once the log of an instance failed.
    pub(crate) failure: watch::Receiver<Option<String>>,
    pub(crate) shared: Arc<Shared>,
}

impl RunningBroker {
    /// Where Kafka clients connect, in the order of the configuration, with the ports that were taken.
    #[must_use]
    pub fn kafka_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where HTTP clients connect over TCP.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The tracked databases.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceView> {
        self.instances.iter().map(|instance| &instance.view)
    }

    /// The consumer groups.
    #[must_use]
    pub fn groups(&self) -> &Arc<GroupService> {
        &self.shared.groups
    }

    /// Names of all topics, in the order they came into being.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.shared
            .directory
            .catalog()
            .topics()
            .map(|topic| topic.name.clone())
            .collect()
    }

    /// Kafka connections open now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.shared.metrics.connections()
    }

    /// The broker's wall clock, ms since 1970.
    #[must_use]
    pub fn wall_ms(&self) -> i64 {
        self.shared.clock.wall_ms()
    }

    /// Makes or changes a consumer group, durably. With a `password`, in clear, it gets verifiers of that and no other;
    /// the connections that logged in by the old one end. `group` must keep the rules of the catalog.
    ///
    /// # Errors
    /// One line about what may not be, or about the disk.
    pub async fn put_group(
        &self,
        mut group: Group,
        password: Option<String>,
    ) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let put = move || {
            if let Some(password) = password {
                let verifiers = stored_verifiers(&password);
                group.verifiers = verifiers.map_err(|error| error.to_string())?;
            }
            let changed = shared.auth.change_group(group);
            changed.map(drop).map_err(|error| error.to_string())
        };
        let done = spawn_blocking(put).await;
        done.unwrap_or_else(|panic| Err(format!("changing a group panicked: {panic}")))
    }

    /// Reads the certificates and keys of all TLS listeners again, for handshakes from now on, and says in the log how
    /// that went. Where new files are not good, the old ones stay in use. Connections that are open stay as they are.
    pub async fn reload_certificates(&self) {
        let certificates = self.certificates.clone();
        let reloaded = spawn_blocking(move || {
            for certificate in certificates {
                let path = certificate.path().display();
                match certificate.reload() {
                    Ok(()) => info!("certificate {path} is in use from now on"),
                    Err(line) => {
                        error!("certificate not reloaded, the old one stays in use: {line}");
                    }
                }
            }
        });
        // A thread that panicked has changed nothing.
        drop(reloaded.await);
    }

    /// Waits until the log of an instance fails, and says so in one line. The broker must then be stopped and the
    /// process must end: what was not durable may never be called durable later. Cancel safe.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        let failed = failure.wait_for(Option::is_some).await;
        match failed.ok().and_then(|line| line.clone()) {
            Some(line) => line,
            // All log threads have ended well, or there were none.
            None => std::future::pending().await,
        }
    }

    /// Stops in less than 2 s: no new connections, running requests are answered, the source hears of the last commit,
    /// the log notes its end.
    ///
    /// # Errors
    /// One line about a log thread that failed, or did not end in time.
    pub async fn stop(mut self) -> Result<(), String> {
        self.stop.send_replace(true);
        let drained = async { while self.servers.join_next().await.is_some() {} };
        let closed = close(self.instances);
        let ((), closed) = tokio::join!(drained, closed);
        Arc::clone(&self.shared.groups).stop().await;
        self.http.abort();
        self.watching.abort();
        // The router holds the data directory; a cancelled task is an error of no interest.
        drop(self.http.await);
        info!("stopped");
        closed?;
        match self.failure.borrow().clone() {
            Some(line) => Err(line),
            None => Ok(()),
        }
    }
}

/// Waits for the log threads.
async fn close(instances: Vec<RunningInstance>) -> Result<(), String> {
    let threads: Vec<_> = instances
        .into_iter()
        .flat_map(|instance| instance.threads)
        .collect();
    let joined = spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
    if timeout(STOP_INSTANCES, joined).await.is_err() {
        return Err(
            "the log did not close in time; nothing is lost, the next start looks it over"
                .to_owned(),
        );
    }
    Ok(())
}
