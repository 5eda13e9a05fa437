//! The life of one tracked database: a thread of its own that pulls groups of transactions from the source and
//! appends them to the log.
//!
//! | part | does |
//! |---|---|
//! | [`feeds`] | the configured feeds, found or made in the catalog |
//! | [`recovery`] | what the start of the log found |
//! | [`registrar`] | tables become topics, before their first record |
//! | [`writer`] | the thread: pull, append, one sync, wake fetches, confirm |
//! | [`keeper`] | a second thread: seals finished files, rereads sealed ones, deletes old ones |
//! | [`source`], [`channel`] | where groups come from |
//! | [`large`] | when a transaction is too large, and what is said of it |
//! | [`order`], [`pause`], [`resync`] | what an operator may ask for meanwhile |
//! | [`report`] | how it is, for people and programs |

pub mod channel;
mod farewell;
mod feeds;
mod keeper;
mod large;
mod order;
mod pause;
mod recovery;
mod registrar;
pub mod report;
mod resync;
mod source;
mod writer;

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use headwater_capture::postgres::{SourceStatus, source::resync::ResyncFrom};
use headwater_storage::{
    Catalog, CatalogChange, DataDirectory, Gap, Instance, InstanceNumber, Journal, KeeperOptions,
    Log, RetentionLimits, SourceKind, StorageError,
};
use tokio::{runtime::Handle, sync::watch};

pub use self::order::OrderError;
pub(crate) use self::source::postgres_config;
use self::{
    keeper::KeeperThread,
    order::{Command, Done, Orders},
    registrar::Registrar,
    source::InstanceSource,
    writer::Writer,
};
use crate::{
    clock::Clock,
    config::InstanceConfig,
    fetch_wait::FetchWaits,
    group_service::GroupService,
    metrics::{InstanceLogMetrics, KeeperMetrics},
    space::watch::SpaceView,
};

/// What the rest of the broker may see of an instance.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// Its name.
    pub name: String,
    /// Its number in the catalog.
    pub number: InstanceNumber,
    /// Its log, for readers.
    pub log: Arc<Log>,
    /// How its capture is, by the source alone.
    pub status: watch::Receiver<SourceStatus>,
    standstill: watch::Receiver<Option<large::Standstill>>,
    pub(crate) space: SpaceView,
    /// Free bytes below which capture waits.
    pub(crate) space_stop: u64,
    pub(crate) directory: Arc<DataDirectory>,
    pub(crate) orders: Orders,
    pub(crate) retention: RetentionLimits,
    /// Slot and publication, where the source has them.
    pub(crate) source_names: Option<(String, String)>,
}

impl InstanceView {
    /// How its capture is: that it is paused, that a transaction is too large, or the source's status, or that the disk
    /// is full.
    #[must_use]
    pub fn status_now(&self) -> SourceStatus {
        let status = self.status.borrow().clone();
        let catalog = self.directory.catalog();
        let stored = catalog.instance(self.number);
        let standstill = self.standstill.borrow().clone();
        match (
            stored.and_then(|instance| instance.pause.as_ref()),
            standstill,
        ) {
            (Some(paused), _) => SourceStatus {
                state: pause::pause_state(&self.name, paused),
                since_ms: paused.since_ms,
                ..status
            },
            (None, Some(stands)) => SourceStatus {
                state: stands.state,
                since_ms: stands.since_ms,
                ..status
            },
            (None, None) => self.space.shown(status, self.space_stop),
        }
    }

    /// Counts its resyncs, each of which left a gap.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        let catalog = self.directory.catalog();
        let stored = catalog.instance(self.number);
        stored.map_or(0, |instance| instance.incarnation)
    }

    /// The gaps between its source incarnations, oldest first.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let catalog = self.directory.catalog();
        let stored = catalog.instance(self.number);
        stored.map_or_else(Vec::new, |instance| instance.gaps.clone())
    }

    /// Stops reading the source, until [`InstanceView::resume`], over restarts. When it returns, nothing more is
    /// captured; the slot is kept. `reason`: one line, may be empty.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn pause(&self, reason: &str) -> Result<(), OrderError> {
        let reason = reason.to_owned();
        self.orders.give(Command::Pause { reason }).await.map(drop)
    }

    /// Goes on where [`InstanceView::pause`] ended it. Nothing is lost.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn resume(&self) -> Result<(), OrderError> {
        self.orders.give(Command::Resume).await.map(drop)
    }

    /// Begins a new source incarnation and gives the gap before it, which is recorded. Offsets go on, with the next
    /// leader epoch. Without `force` only where changes are lost already.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn resync(&self, from: ResyncFrom, force: bool) -> Result<Gap, OrderError> {
        match self.orders.give(Command::Resync { from, force }).await? {
            Done::Resynced(gap) => Ok(gap),
            Done::Paused | Done::Resumed => unreachable!("an order is answered by its own answer"),
        }
    }
}

/// What an instance needs of the broker.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<DataDirectory>,
    pub(crate) waits: Arc<FetchWaits>,
    pub(crate) metrics: InstanceLogMetrics,
    pub(crate) keeper_metrics: KeeperMetrics,
    pub(crate) sync_min_interval: std::time::Duration,
    pub(crate) space: SpaceView,
    pub(crate) space_stop: u64,
    pub(crate) seal_bytes_per_second: u64,
    pub(crate) scrub_bytes_per_second: u64,
    /// Told what retention deletes.
    pub(crate) groups: Arc<GroupService>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Where a log thread says that the log failed: the process must not go on as if it worked.
    pub(crate) failed: watch::Sender<Option<String>>,
}

/// A running instance.
#[derive(Debug)]
pub(crate) struct RunningInstance {
    pub(crate) view: InstanceView,
    /// The log's and the keeper's.
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// The catalog's number of the instance called `name`; makes it if it is new.
pub(crate) fn find_or_make(
    directory: &DataDirectory,
    clock: Clock,
    name: &str,
) -> Result<InstanceNumber, StorageError> {
    let catalog = directory.catalog();
    if let Some(instance) = catalog.instance_by_name(name) {
        return Ok(instance.number);
    }
    let instance = Instance {
        number: catalog.next_instance(),
        name: name.to_owned(),
        source: SourceKind::Postgresql,
        created_ms: clock.wall_ms(),
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let number = instance.number;
    directory.change(vec![CatalogChange::Instance(instance)])?;
    Ok(number)
}

/// Starts the threads `log-<instance>` and `keep-<instance>`. Must be called on the runtime.
///
/// # Errors
/// What the catalog says to the feeds.
pub(crate) fn start(
    config: InstanceConfig,
    number: InstanceNumber,
    (mut journal, log): (Journal, Arc<Log>),
    surroundings: Surroundings,
) -> Result<RunningInstance, StorageError> {
    let directory = &surroundings.directory;
    let stored = writer::orders::stored(directory, &config.name)?;
    let now = surroundings.clock.now();
    resync::finish(&mut journal, &stored, (directory, now))?;
    let position = journal.position(SOURCE).map(<[u8]>::to_vec);
    let feeds = feeds::find_or_make(
        directory,
        number,
        &config.feeds,
        (&mut journal, position.as_deref()),
    )?;
    let source = InstanceSource::new(&config.name, config.source, surroundings.clock);
    let options = KeeperOptions {
        retention: config.retention,
        seal_bytes_per_second: surroundings.seal_bytes_per_second,
        scrub_bytes_per_second: surroundings.scrub_bytes_per_second,
        ..KeeperOptions::default()
    };
    let keeper = surroundings
        .directory
        .open_keeper(number, &log, (options, now))?;
    let keeper = KeeperThread::new(
        (config.name.clone(), number),
        keeper,
        surroundings.keeper_metrics.clone(),
        surroundings.clone(),
    );
    let (orders, received) = Orders::channel();
    let standstill = watch::Sender::new(None);
    let view = InstanceView {
        name: config.name.clone(),
        number,
        log,
        status: source.status(),
        standstill: standstill.subscribe(),
        space: surroundings.space.clone(),
        space_stop: surroundings.space_stop,
        directory: Arc::clone(&surroundings.directory),
        orders,
        retention: config.retention,
        source_names: source.names(),
    };
    let registrar = Registrar::new(number, feeds);
    let mut writer = Writer::new(
        config.name.clone(),
        journal,
        (source, received, standstill),
        (registrar, config.feeds),
        surroundings,
    );
    if stored.pause.is_none() {
        writer.begin()?;
    }
    let threads = vec![
        spawn(format!("log-{}", config.name), move |runtime| {
            writer.run(runtime);
        })?,
        spawn(format!("keep-{}", config.name), move |runtime| {
            keeper.run(runtime);
        })?,
    ];
    Ok(RunningInstance { view, threads })
}

fn spawn(
    name: String,
    run: impl FnOnce(&Handle) + Send + 'static,
) -> Result<JoinHandle<()>, StorageError> {
    let runtime = Handle::current();
    let thread = thread::Builder::new().name(name);
    thread.spawn(move || run(&runtime)).map_err(no_thread)
}

fn no_thread(error: io::Error) -> StorageError {
    StorageError::Invalid(format!("cannot start a thread: {error}"))
}

/// Number of the one source of an instance in its commit frames.
const SOURCE: u16 = 0;

/// The logs of all instances of the catalog, also of those that the configuration no longer names.
pub(crate) fn open_logs(
    directory: &DataDirectory,
    catalog: &Catalog,
    clock: Clock,
) -> Result<HashMap<InstanceNumber, (Journal, Arc<Log>)>, StorageError> {
    let mut logs = HashMap::new();
    for instance in catalog.instances() {
        let (journal, log, recovered) = directory.open_journal(instance.number, clock.now())?;
        recovery::tell(&instance.name, &recovered)?;
        logs.insert(instance.number, (journal, log));
    }
    Ok(logs)
}
