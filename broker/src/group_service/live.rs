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
    limits::FIRST_USE_IDLE_MAX,
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

impl Idle {
    /// Whether the group vanishes now. One that was never durable was only looked at.
    pub(super) fn is_over(&self) -> bool {
        let idle = Duration::from_millis(self.record.idle_ms);
        !self.stored || idle >= FIRST_USE_IDLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Caller, Join};

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(monotonic: Duration) -> Now {
        Now {
            wall_ms: 0,
            monotonic,
        }
    }

    /// A group of first use as a start finds it, which was idle for so long before.
    fn group(idle: Duration, stored: bool) -> LiveGroup {
        let first_use = FirstUse {
            id: "console".to_owned(),
            instance: None,
            created_ms: 0,
            idle_ms: u64::try_from(idle.as_millis()).expect("is short"),
        };
        let parts = (stored, at(Duration::ZERO));
        LiveGroup::of_first_use(
            GroupNumber::FIRST_USE,
            first_use,
            &Membership::default(),
            parts,
        )
    }

    async fn idle(group: &LiveGroup, now: Duration) -> Idle {
        let mut live = group.lock().await.expect("is there");
        let idle = live.idle(now).expect("has no members");
        live.noted_idle(idle.record.clone(), now);
        idle
    }

    #[tokio::test]
    async fn a_group_of_first_use_vanishes_after_a_day_of_running_that_restarts_do_not_begin_anew()
    {
        let before = group(Duration::ZERO, true);
        for number in 1..=9 {
            let noted = idle(&before, number * 10 * MINUTE).await;
            assert_eq!(noted.record.idle_ms, u64::from(number) * 600_000);
            assert!(!noted.is_over());
        }
        let after = group(90 * MINUTE, true);
        let last = FIRST_USE_IDLE_MAX - 90 * MINUTE;
        assert!(!idle(&after, last - MINUTE).await.is_over());
        assert!(idle(&after, last).await.is_over());
        assert!(
            idle(&group(Duration::ZERO, false), MINUTE).await.is_over(),
            "it was only looked at"
        );
    }

    #[tokio::test]
    async fn a_commit_or_a_member_begins_the_day_of_a_group_of_first_use_anew() {
        let group = group(FIRST_USE_IDLE_MAX - MINUTE, true);
        let mut live = group.lock().await.expect("is there");
        let (committed, joined, left) = (MINUTE / 2, 600 * MINUTE, 9_000 * MINUTE);
        let write = live.write(&group, 0, String::new());
        let record = write.first_use.expect("what is stored must change");
        assert_eq!(record.idle_ms, 0);
        live.written();
        live.used(committed);
        let noted = live.idle(MINUTE).expect("has no members");
        assert_eq!(noted.record.idle_ms, 30_000, "since the commit");

        let caller = Caller {
            member_id: "",
            instance_id: None,
        };
        let join = Join {
            caller,
            client_id: "console",
            client_host: "127.0.0.1",
            software: "",
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer",
            protocol: "range",
            metadata: &[],
            names_topics: false,
            knows_pending: false,
            fresh_id: "member",
        };
        let joining = live.coordinator.join(at(joined), &join);
        assert!(joining.write.is_some(), "is active");
        assert!(live.idle(left).is_none(), "it has a member");
        let gone = live.coordinator.evict();
        assert!(gone.write.is_some(), "nobody is active");
        let noted = live.idle(left + MINUTE).expect("has no members");
        assert_eq!(noted.record.idle_ms, 60_000, "since the member left");
    }
}
