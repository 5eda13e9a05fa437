//! One group with its lock.

use std::{
    sync::{OnceLock, atomic::AtomicU64},
    time::Duration,
};

use headwater_storage::{
    FirstUse, GroupMode, GroupNumber, GroupWrite, InstanceNumber, Membership, Now,
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    error_code::Refusal,
    group::{Coordinator, GroupView},
};

/// A group that clients and operators use.
#[derive(Debug)]
pub(crate) struct LiveGroup {
    pub(crate) number: GroupNumber,
    /// Kafka's `group.id`; of the catalog's groups not the name.
    pub(crate) id: String,
    /// Fixed once it is known: a group of first use has none before it names a topic.
    instance: OnceLock<InstanceNumber>,
    pub(super) counts: Counts,
    live: Mutex<Live>,
}

/// What happened to a group since this start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Commits that are durable.
    pub(super) commits: AtomicU64,
    /// Commits of somebody who may not (no longer, or not yet).
    pub(super) fenced: AtomicU64,
    /// How often another member became active.
    pub(super) takeovers: AtomicU64,
}

/// What changes.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) coordinator: Coordinator,
    /// Nothing may be done with it any more.
    gone: bool,
    /// Monotonic; the last request, or since when it has no members.
    last_use: Duration,
    /// Of a group of first use, as it is to be stored.
    first_use: Option<FirstUse>,
    /// Whether something of it is in sled.
    stored: bool,
}

impl LiveGroup {
    /// A group of the catalog.
    pub(super) fn of_catalog(
        group: &headwater_storage::Group,
        membership: &Membership,
        now: Now,
    ) -> Self {
        let coordinator = Coordinator::restore(group.mode, membership, now.monotonic);
        Self {
            number: group.number,
            id: group.id.clone(),
            instance: OnceLock::from(group.instance),
            counts: Counts::default(),
            live: Mutex::new(Live::new(coordinator, None, true, now)),
        }
    }

    /// A group of first use; `stored` if it is known from before.
    pub(super) fn of_first_use(
        number: GroupNumber,
        first_use: FirstUse,
        membership: &Membership,
        (stored, now): (bool, Now),
    ) -> Self {
        let coordinator = Coordinator::restore(GroupMode::Exclusive, membership, now.monotonic);
        Self {
            number,
            id: first_use.id.clone(),
            instance: first_use
                .instance
                .map_or_else(OnceLock::new, OnceLock::from),
            counts: Counts::default(),
            live: Mutex::new(Live::new(coordinator, Some(first_use), stored, now)),
        }
    }

    /// Whose topics it reads.
    pub(crate) fn instance(&self) -> Option<InstanceNumber> {
        self.instance.get().copied()
    }

    /// Fixes the instance of a group of first use.
    pub(crate) fn bind(&self, named: Option<InstanceNumber>) {
        if let Some(named) = named {
            self.instance.get_or_init(|| named);
        }
    }

    /// The group, still. `GroupIdNotFound`: it was deleted.
    pub(super) async fn lock(&self) -> Result<MutexGuard<'_, Live>, Refusal> {
        let live = self.live.lock().await;
        if live.gone {
            return Err(Refusal::GroupIdNotFound);
        }
        Ok(live)
    }

    /// Kafka's name of its state.
    pub(crate) async fn state(&self) -> &'static str {
        self.view().await.map_or("Dead", |view| view.state)
    }

    /// How it looks; `None`: it was deleted.
    pub(crate) async fn view(&self) -> Option<GroupView> {
        let live = self.lock().await.ok()?;
        Some(live.coordinator.view())
    }

    /// The same, if nobody has it now.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Live>> {
        self.live.try_lock().ok().filter(|live| !live.gone)
    }
}

impl Live {
    fn new(coordinator: Coordinator, first_use: Option<FirstUse>, stored: bool, now: Now) -> Self {
        Self {
            coordinator,
            gone: false,
            last_use: now.monotonic,
            first_use,
            stored,
        }
    }

    /// A write that says nothing yet but whose it is, and that the group exists.
    pub(super) fn write(&self, group: &LiveGroup, at_ms: i64, who: String) -> GroupWrite {
        GroupWrite {
            group: group.number,
            at_ms,
            who,
            positions: Vec::new(),
            membership: None,
            event: None,
            first_use: self.first_use_record(group),
        }
    }

    /// Where it differs from what is stored.
    fn first_use_record(&self, group: &LiveGroup) -> Option<FirstUse> {
        let known = self.first_use.as_ref()?;
        let now = FirstUse {
            instance: group.instance(),
            idle_ms: 0,
            ..known.clone()
        };
        (!self.stored || now != *known).then_some(now)
    }

    /// What [`Live::write`] gave is durable.
    pub(super) fn written(&mut self) {
        self.stored = true;
        if let Some(first_use) = &mut self.first_use {
            first_use.idle_ms = 0;
        }
    }

    pub(super) fn used(&mut self, now: Duration) {
        self.last_use = now;
    }

    /// From now on every [`LiveGroup::lock`] says that it is gone.
    pub(super) fn end(&mut self) {
        self.gone = true;
    }

    /// Of a group of first use without members: its record as of now, and whether it is stored. `None`: it is not one.
    pub(super) fn idle(&mut self, now: Duration) -> Option<Idle> {
        let first_use = self.first_use.as_mut()?;
        if !self.coordinator.is_quiet() {
            self.last_use = now;
            return None;
        }
        let since = now.saturating_sub(self.last_use);
        let idle_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Some(Idle {
            stored: self.stored,
            record: FirstUse {
                idle_ms: first_use.idle_ms.saturating_add(idle_ms),
                ..first_use.clone()
            },
        })
    }

    /// The record with its idle time is durable.
    pub(super) fn noted_idle(&mut self, record: FirstUse, now: Duration) {
        self.first_use = Some(record);
        self.last_use = now;
    }
}

/// See [`Live::idle`].
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) stored: bool,
    pub(super) record: FirstUse,
}
