//! The consumer groups of a running broker: the state machines of [`crate::group`] with a lock, a clock and a disk.
//!
//! A request locks its group, asks the state machine, waits until what it decided is durable, and answers. So a commit's
//! check and write are one step, and nobody is told that he is active before that is durable. The lock of one group
//! holds up no other; the writes of all groups share one sync ([`writer`]).
//!
//! | part | does |
//! |---|---|
//! | [`registry`] | which groups there are: the catalog's, and those of first use |
//! | [`configured`] | the groups that the configuration names |
//! | [`figures`] | what the metrics tell of groups |
//! | [`dts_view`] | a group in the words of DTS's API |
//! | [`live`] | one group with its state machine |
//! | [`writer`] | the thread that makes positions and memberships durable |
//! | [`timer`] | what time does: sessions end, groups of first use vanish, the copy is written |
//! | [`positions`] | commits, and positions for those who ask |
//! | [`lookup`] | small questions: whose group, what limit |
//! | [`operator`] | what the command line and HTTP do to groups |
//! | [`report`] | how groups are: lag, members, marks |
//! | [`seek`] | moving a group, and taking that back |
//! | [`unread`] | which groups lose what they have not read when retention deletes it |

mod configured;
mod dts_view;
mod figures;
mod live;
mod lookup;
mod operator;
mod positions;
mod registry;
mod report;
mod seek;
mod timer;
mod unread;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use headwater_storage::{
    Catalog, DataDirectory, GroupEvent, GroupWrite, InstanceNumber, Log, PositionStore,
    StorageError,
};
use tokio::sync::{Notify, watch};
use tracing::error;

pub use self::{
    dts_view::DtsView,
    operator::{GroupError, NewGroup},
    report::{ClientReport, GroupReport, PositionState, TopicReport},
    seek::{SeekMove, SeekPlan, SeekRequest, SeekTo},
};
use self::{figures::TimesOfGroups, registry::Registry, writer::Writer};
pub(crate) use self::{
    figures::{GroupFigure, GroupFigures, LOST_STATES},
    live::LiveGroup,
    positions::NewPositions,
    unread::LostUnread,
};
use crate::{
    auth::sessions::GroupSessions, clock::Clock, error_code::Refusal, group::Decision,
    metrics::GroupMetrics,
};

/// All groups.
#[derive(Debug)]
pub struct GroupService {
    clock: Clock,
    directory: Arc<DataDirectory>,
    /// The connections of each group.
    sessions: Arc<GroupSessions>,
    logs: HashMap<InstanceNumber, Arc<Log>>,
    store: Arc<PositionStore>,
    writer: Writer,
    registry: Registry,
    /// Tells the timer that a group has members.
    busy: Notify,
    metrics: GroupMetrics,
    /// For the metrics; held while they are taken.
    times: tokio::sync::Mutex<TimesOfGroups>,
    /// Groups that an operator may make in each instance.
    groups_max: HashMap<InstanceNumber, usize>,
    /// Held while a group is made, so that the limits hold.
    changing: tokio::sync::Mutex<()>,
}

/// What the groups need of the broker.
#[derive(Debug)]
pub(crate) struct GroupSetup {
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<DataDirectory>,
    pub(crate) sessions: Arc<GroupSessions>,
    pub(crate) logs: HashMap<InstanceNumber, Arc<Log>>,
    /// By instance; the default where it is not there.
    pub(crate) groups_max: HashMap<InstanceNumber, usize>,
    pub(crate) metrics: GroupMetrics,
    /// Where the writer says that the store failed: the process must end.
    pub(crate) failed: watch::Sender<Option<String>>,
}

impl GroupService {
    /// Reads what is stored, and starts the writer's thread. Blocks on the disk.
    pub(crate) fn start(setup: GroupSetup) -> Result<Arc<Self>, StorageError> {
        let store = Arc::new(setup.directory.open_positions()?);
        let catalog = setup.directory.catalog();
        let registry = Registry::load(&store, &catalog, setup.clock.now())?;
        let writer = Writer::start(Arc::clone(&store), setup.failed)?;
        Ok(Arc::new(Self {
            clock: setup.clock,
            directory: setup.directory,
            sessions: setup.sessions,
            logs: setup.logs,
            store,
            writer,
            registry,
            busy: Notify::new(),
            metrics: setup.metrics,
            times: tokio::sync::Mutex::default(),
            groups_max: setup.groups_max,
            changing: tokio::sync::Mutex::new(()),
        }))
    }

    /// Ends the writer's thread when everything that it was given is durable; writes the copy.
    pub(crate) async fn stop(self: Arc<Self>) {
        self.writer.stop().await;
        self.write_copy().await;
    }

    /// The group that clients call by this id or name, if there is one.
    pub(crate) fn find(&self, catalog: &Catalog, id: &str) -> Option<Arc<LiveGroup>> {
        self.registry
            .find(&self.store, catalog, id, self.clock.now())
    }

    /// The same; a group that is new comes into being, in memory so far. `named` is the instance of the first topic
    /// that the client names.
    pub(crate) fn find_or_make(
        &self,
        catalog: &Catalog,
        id: &str,
        named: Option<InstanceNumber>,
    ) -> Result<Arc<LiveGroup>, Refusal> {
        let now = self.clock.now();
        let found = self.registry.find(&self.store, catalog, id, now);
        let group = match found {
            Some(group) => group,
            None => self.registry.first_use(id, now)?,
        };
        group.bind(named);
        Ok(group)
    }

    /// Every group, those of the catalog first.
    pub(crate) fn all(&self, catalog: &Catalog) -> Vec<Arc<LiveGroup>> {
        self.registry.all(&self.store, catalog, self.clock.now())
    }

    /// Asks a group's state machine, and makes durable what it decided before the answer is given.
    ///
    /// # Errors
    /// `GroupIdNotFound`: it was deleted meanwhile. `CoordinatorNotAvailable`: the store failed, the broker is about to
    /// end.
    pub(crate) async fn ask<T>(
        &self,
        group: &LiveGroup,
        ask: impl FnOnce(&mut crate::group::Coordinator, headwater_storage::Now) -> Decision<T>,
    ) -> Result<T, Refusal> {
        let mut live = group.lock().await?;
        let now = self.clock.now();
        let decision = ask(&mut live.coordinator, now);
        if let Some((who, membership, event)) = decision.write {
            let is_takeover = matches!(event, Some(GroupEvent::Takeover { .. }));
            let write = GroupWrite {
                membership: Some(membership),
                event,
                ..live.write(group, now.wall_ms, who)
            };
            self.write(write).await?;
            live.written();
            group
                .counts
                .takeovers
                .fetch_add(u64::from(is_takeover), Ordering::Relaxed);
        }
        live.used(now.monotonic);
        self.busy.notify_one();
        Ok(decision.answer)
    }

    async fn write(&self, write: GroupWrite) -> Result<(), Refusal> {
        let written = self.writer.write(write).await;
        written.map_err(|error| {
            error!(%error, "a group's log cannot be written");
            Refusal::CoordinatorNotAvailable
        })
    }

    /// The log of the group's instance.
    fn log(&self, instance: InstanceNumber) -> Option<&Arc<Log>> {
        self.logs.get(&instance)
    }

    /// Runs `read` off the runtime, since it may read the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&PositionStore) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || read(&store)).await;
        reading.unwrap_or_else(|panic| {
            Err(StorageError::Damaged(format!(
                "reading a group's log panicked: {panic}"
            )))
        })
    }

    async fn write_copy(&self) {
        let (catalog, now_ms) = (self.directory.catalog(), self.clock.wall_ms());
        let written = self
            .read(move |store| store.write_copy(&catalog, now_ms))
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "the copy of the groups' positions is not written; tried again");
        }
    }
}
