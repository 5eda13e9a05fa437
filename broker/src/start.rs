//! How a broker comes up: data directory, logs, instances, sockets, in this order. What fails first is told, and
//! what was started before is stopped by being dropped.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use headwater_protocol::batch::Compression;
use headwater_storage::{
    DataDirectory, InstanceNumber, Journal, Log, RetentionLimits, StorageError, StoreOptions,
};
use prometheus_client::registry::Registry;
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tracing::warn;

use crate::{
    auth::{Auth, NoRandom},
    certificate::Certificate,
    clock::Clock,
    config::{
        self, BrokerConfig, FeedConfig, InstanceConfig, ListenerConfig, SourceConfig, StorageConfig,
    },
    context::Shared,
    fetch_session::FetchSessions,
    fetch_wait::FetchWaits,
    group_service::{GroupService, GroupSetup},
    http::{HttpServer, HttpState, api::entry::Entry},
    hush::Hush,
    instance::{self, InstanceView, RunningInstance, Surroundings},
    metrics::{
        GroupMetrics, GroupsNow, InstanceLogMetrics, KafkaMetrics, KeeperMetrics, KeepersMetrics,
        LogMetrics, Pulled,
    },
    running::RunningBroker,
    server::Listener,
    space::{self, watch::SpaceView},
};

/// Starts brokers.
#[derive(Debug)]
pub struct Broker;

/// Why a broker did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory: locked, damaged, refused, or the disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The configuration asks for what may not be.
    #[error("{0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on kafka {address}: {source}; end what listens there, or choose another address"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Logins need randomness.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    /// The HTTP sockets cannot be listened on; the text names which.
    #[error("{0}")]
    Http(String),
}

/// Journals and logs by instance, journals of those that are not configured closed.
type Logs = HashMap<InstanceNumber, (Journal, Arc<Log>)>;

impl Broker {
    /// Starts a broker on the current runtime. When it returns, clients can connect. Databases that cannot be
    /// reached are no error here: see [`instance::InstanceView::status`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: BrokerConfig) -> Result<RunningBroker, StartError> {
        check_listeners(&config)?;
        let clock = Clock::start();
        let (directory, mut logs) = open(&config, clock).await?;
        let (listeners, certificates) = bind(&config.listeners).await?;
        let http = bind_http(&config).await?;

        let (stop, stopped) = watch::channel(false);
        let (failed, failure) = watch::channel(None);
        let mut registry = Registry::default();
        let (metrics, log_metrics, keepers) = live_metrics(&mut registry);
        let [requests, strangers, responses] = Shared::budgets();
        let auth = auth(&config, &directory)?;
        let readers = readers(&logs);
        let groups = start_groups(
            (clock, &directory, &auth),
            (&readers, &config.instances),
            (&failed, &mut registry),
        )
        .await?;
        let shared = Arc::new(Shared {
            clock,
            retention: retention(&directory, &config.instances),
            record_bytes_max: record_bytes_max(&directory, &config.instances),
            directory,
            auth,
            logs: readers,
            groups: Arc::clone(&groups),
            waits: Arc::new(FetchWaits::default()),
            fetch_sessions: FetchSessions::default(),
            requests,
            strangers,
            responses,
            compression: compression(&config.instances),
            metrics,
            connections: config.connections,
            stop: stopped.clone(),
            refusals: Hush::default(),
            accepts: Hush::default(),
        });

        let mut instances = Vec::new();
        let space = SpaceView::new();
        for mut instance in config.instances {
            configure_groups(&groups, &mut instance).await?;
            let metrics = (log_metrics.of(&instance.name), keepers.of(&instance.name));
            let surroundings = surroundings(&shared, metrics, (&config.storage, &space), &failed);
            instances.push(start_instance(instance, &mut logs, surroundings)?);
        }
        close_unused(logs)?;
        let views = views(&instances);
        let watching = watch_space(&shared, &config.storage, &space);
        registry.register_collector(Box::new(Pulled::new(&shared, views.clone(), space)));

        let http_address = http.tcp_address();
        let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
        let servers = serve(listeners, &shared);
        tokio::spawn(groups.run(stopped));
        let entries = (&*config.listeners, &*addresses);
        let http = tokio::spawn(http.serve(http_state(registry, views, &shared, entries)));
        Ok(RunningBroker {
            addresses,
            certificates,
            http_address,
            http,
            instances,
            servers,
            watching,
            stop,
            failure,
            shared,
        })
    }
}

fn check_listeners(config: &BrokerConfig) -> Result<(), StartError> {
    config::check_listeners(&config.listeners, config.http_listen).map_err(StartError::Config)
}

fn live_metrics(registry: &mut Registry) -> (Arc<KafkaMetrics>, LogMetrics, KeepersMetrics) {
    (
        KafkaMetrics::new(registry),
        LogMetrics::new(registry),
        KeepersMetrics::new(registry),
    )
}

fn http_state(
    mut registry: Registry,
    instances: Vec<InstanceView>,
    shared: &Shared,
    (configs, bound): (&[ListenerConfig], &[SocketAddr]),
) -> HttpState {
    let groups_now = GroupsNow::default();
    registry.register_collector(Box::new(groups_now.clone()));
    HttpState {
        registry,
        instances,
        groups: Arc::clone(&shared.groups),
        groups_now,
        clock: shared.clock,
        entries: entries(configs, bound),
        stop: shared.stop.clone(),
    }
}

/// The listeners, as people are told of them.
fn entries(configs: &[ListenerConfig], bound: &[SocketAddr]) -> Vec<Entry> {
    let entries = configs.iter().zip(bound);
    entries
        .map(|(config, bound)| Entry::of(config, *bound))
        .collect()
}

/// What the configuration says of each instance, by its number.
fn by_instance<T>(
    directory: &DataDirectory,
    instances: &[InstanceConfig],
    of: impl Fn(&InstanceConfig) -> Option<T>,
) -> HashMap<InstanceNumber, T> {
    let catalog = directory.catalog();
    let told = instances.iter().filter_map(|config| {
        let instance = catalog.instance_by_name(&config.name)?;
        Some((instance.number, of(config)?))
    });
    told.collect()
}

fn groups_max(
    directory: &DataDirectory,
    instances: &[InstanceConfig],
) -> HashMap<InstanceNumber, usize> {
    by_instance(directory, instances, |config| Some(config.groups_max))
}

fn retention(
    directory: &DataDirectory,
    instances: &[InstanceConfig],
) -> HashMap<InstanceNumber, RetentionLimits> {
    by_instance(directory, instances, |config| Some(config.retention))
}

fn record_bytes_max(
    directory: &DataDirectory,
    instances: &[InstanceConfig],
) -> HashMap<InstanceNumber, usize> {
    by_instance(directory, instances, |config| match &config.source {
        SourceConfig::Postgres(source) => Some(source.records.bytes_max),
        SourceConfig::Channel(_) => None,
    })
}

/// By instance and topic prefix.
fn compression(instances: &[InstanceConfig]) -> HashMap<(String, String), Compression> {
    let of_instance = |instance: &InstanceConfig| {
        let feeds = instance.feeds.iter();
        let named = |feed: &FeedConfig| (instance.name.clone(), feed.prefix.clone());
        let pairs: Vec<_> = feeds.map(|feed| (named(feed), feed.compression)).collect();
        pairs
    };
    instances.iter().flat_map(of_instance).collect()
}

fn views(instances: &[RunningInstance]) -> Vec<InstanceView> {
    let instances = instances.iter();
    instances.map(|instance| instance.view.clone()).collect()
}

async fn bind_http(config: &BrokerConfig) -> Result<HttpServer, StartError> {
    let bound = HttpServer::bind(&config.data_dir, config.http_listen).await;
    bound.map_err(StartError::Http)
}

fn auth(config: &BrokerConfig, directory: &Arc<DataDirectory>) -> Result<Auth, StartError> {
    let operator = config.operator.as_ref();
    Ok(Auth::new(
        Arc::clone(directory),
        &config.connections,
        operator,
    )?)
}

fn surroundings(
    shared: &Shared,
    (metrics, keeper_metrics): (InstanceLogMetrics, KeeperMetrics),
    (storage, space): (&StorageConfig, &SpaceView),
    failed: &watch::Sender<Option<String>>,
) -> Surroundings {
    Surroundings {
        clock: shared.clock,
        directory: Arc::clone(&shared.directory),
        waits: Arc::clone(&shared.waits),
        metrics,
        keeper_metrics,
        sync_min_interval: storage.sync_min_interval,
        space: space.clone(),
        space_stop: storage.space.stop,
        seal_bytes_per_second: storage.seal_bytes_per_second,
        scrub_bytes_per_second: storage.scrub_bytes_per_second,
        groups: Arc::clone(&shared.groups),
        stop: shared.stop.clone(),
        failed: failed.clone(),
    }
}

fn watch_space(shared: &Shared, config: &StorageConfig, space: &SpaceView) -> JoinHandle<()> {
    tokio::spawn(space::watch::run(
        space.clone(),
        config.space,
        Arc::clone(&shared.directory),
        shared.logs.values().cloned().collect(),
        shared.clock,
    ))
}

fn serve(listeners: Vec<Listener>, shared: &Arc<Shared>) -> JoinSet<()> {
    let mut servers = JoinSet::new();
    let permits = Arc::new(Semaphore::new(shared.connections.connections_max));
    for listener in listeners {
        servers.spawn(listener.serve(Arc::clone(shared), Arc::clone(&permits)));
    }
    servers
}

/// Opens the directory and all logs, off the runtime since it reads the disk.
async fn open(
    config: &BrokerConfig,
    clock: Clock,
) -> Result<(Arc<DataDirectory>, Logs), StartError> {
    let path = config.data_dir.clone();
    let mut options = StoreOptions::default();
    options.journal.file_bytes = config.storage.file_bytes;
    options.journal.ring_bytes = config.storage.ring_bytes;
    options.cache_bytes = config.storage.cache_bytes;
    options.ballast_bytes = config.storage.space.ballast;
    options.opened_ms = clock.wall_ms();
    let names: Vec<String> = config
        .instances
        .iter()
        .map(|instance| instance.name.clone())
        .collect();
    let opening = tokio::task::spawn_blocking(move || {
        let directory = DataDirectory::open(&path, &options)?;
        for name in names {
            instance::find_or_make(&directory, clock, &name)?;
        }
        let logs = instance::open_logs(&directory, &directory.catalog(), clock)?;
        Ok((Arc::new(directory), logs))
    });
    match opening.await {
        Ok(opened) => opened,
        Err(panic) => Err(StorageError::Damaged(format!(
            "opening the data directory panicked: {panic}"
        ))
        .into()),
    }
}

/// The logs without their writers.
fn readers(logs: &Logs) -> HashMap<InstanceNumber, Arc<Log>> {
    let logs = logs.iter();
    logs.map(|(number, (_, log))| (*number, Arc::clone(log)))
        .collect()
}

/// Reads the groups, off the runtime since it reads the disk.
async fn start_groups(
    (clock, directory, auth): (Clock, &Arc<DataDirectory>, &Auth),
    (logs, instances): (&HashMap<InstanceNumber, Arc<Log>>, &[InstanceConfig]),
    (failed, registry): (&watch::Sender<Option<String>>, &mut Registry),
) -> Result<Arc<GroupService>, StartError> {
    let setup = GroupSetup {
        clock,
        directory: Arc::clone(directory),
        sessions: Arc::clone(&auth.sessions),
        logs: logs.clone(),
        groups_max: groups_max(directory, instances),
        metrics: GroupMetrics::new(registry),
        failed: failed.clone(),
    };
    let starting = tokio::task::spawn_blocking(move || GroupService::start(setup)).await;
    match starting {
        Ok(started) => Ok(started?),
        Err(panic) => {
            Err(StorageError::Damaged(format!("opening the groups panicked: {panic}")).into())
        }
    }
}

/// Sees to it that the groups of the configuration are there.
async fn configure_groups(
    groups: &GroupService,
    instance: &mut InstanceConfig,
) -> Result<(), StartError> {
    for group in std::mem::take(&mut instance.groups) {
        let done = groups.configure(&instance.name, group).await;
        done.map_err(StartError::Config)?;
    }
    Ok(())
}

/// All listeners, and the certificates of those that have one.
async fn bind(
    configs: &[ListenerConfig],
) -> Result<(Vec<Listener>, Vec<Arc<Certificate>>), StartError> {
    let mut listeners = Vec::new();
    let mut certificates = Vec::new();
    for config in configs {
        let address = config.listen;
        let certificate = config.tls.as_ref().map(Certificate::load).transpose();
        let certificate = certificate
            .map_err(|line| StartError::Config(format!("listener {address}: {line}")))?
            .map(Arc::new);
        certificates.extend(certificate.clone());
        let bound = Listener::bind(config, certificate).await;
        listeners.push(bound.map_err(|source| StartError::Listen { address, source })?);
        if config.exposes_passwords() {
            warn!(
                "listener {address} takes passwords in clear from the network (allow_plain_without_tls): whoever sees \
                 the traffic has them"
            );
        }
    }
    Ok((listeners, certificates))
}

fn start_instance(
    config: InstanceConfig,
    logs: &mut Logs,
    surroundings: Surroundings,
) -> Result<RunningInstance, StartError> {
    let catalog = surroundings.directory.catalog();
    let number = catalog
        .instance_by_name(&config.name)
        .map(|instance| instance.number);
    let opened = number.and_then(|number| logs.remove(&number).map(|opened| (number, opened)));
    let Some((number, opened)) = opened else {
        return Err(StartError::Config(format!(
            "instance {:?} is there twice",
            config.name
        )));
    };
    Ok(instance::start(config, number, opened, surroundings)?)
}

/// Instances that the configuration no longer names are read only.
fn close_unused(logs: Logs) -> Result<(), StorageError> {
    logs.into_values()
        .try_for_each(|(journal, _)| journal.close())
}
