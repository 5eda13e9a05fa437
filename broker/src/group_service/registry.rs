//! Which groups there are. Those of the catalog come up when somebody first asks for them, or at the start if they had
//! an active member; those of first use are all in memory, at most [`FIRST_USE_GROUPS_MAX`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headwater_storage::{Catalog, FirstUse, Group, GroupNumber, Now, PositionStore, StorageError};

use super::live::LiveGroup;
use crate::{error_code::Refusal, limits::FIRST_USE_GROUPS_MAX};

/// See the module.
#[derive(Debug)]
pub(super) struct Registry {
    groups: Mutex<Groups>,
}

#[derive(Debug, Default)]
struct Groups {
    live: HashMap<GroupNumber, Arc<LiveGroup>>,
    first_uses: HashMap<String, GroupNumber>,
    next_first_use: u32,
}

impl Registry {
    /// As it was when the broker stopped.
    pub(super) fn load(
        store: &PositionStore,
        catalog: &Catalog,
        now: Now,
    ) -> Result<Self, StorageError> {
        let mut groups = Groups {
            next_first_use: GroupNumber::FIRST_USE.0,
            ..Groups::default()
        };
        for (number, first_use) in store.first_uses()? {
            let id = first_use.id.clone();
            let membership = store.membership(number);
            let live = LiveGroup::of_first_use(number, first_use, &membership, (true, now));
            groups.live.insert(number, Arc::new(live));
            groups.first_uses.insert(id, number);
            groups.next_first_use = groups.next_first_use.max(number.0.saturating_add(1));
        }
        for group in catalog.groups() {
            if store.membership(group.number).active.is_some() {
                groups.catalog_group(store, group, now);
            }
        }
        let groups = Mutex::new(groups);
        Ok(Self { groups })
    }

    /// The group with this id or name: one of the catalog goes before one of first use.
    pub(super) fn find(
        &self,
        store: &PositionStore,
        catalog: &Catalog,
        id: &str,
        now: Now,
    ) -> Option<Arc<LiveGroup>> {
        let mut groups = self.groups();
        if let Some(group) = catalog.group_named(id) {
            return Some(groups.catalog_group(store, group, now));
        }
        let number = groups.first_uses.get(id)?;
        groups.live.get(number).map(Arc::clone)
    }

    /// The group of first use with this id; makes it.
    pub(super) fn first_use(&self, id: &str, now: Now) -> Result<Arc<LiveGroup>, Refusal> {
        let mut groups = self.groups();
        if let Some(number) = groups.first_uses.get(id) {
            let found = groups.live.get(number).map(Arc::clone);
            return found.ok_or(Refusal::CoordinatorNotAvailable);
        }
        if groups.first_uses.len() >= FIRST_USE_GROUPS_MAX {
            return Err(Refusal::GroupAuthorizationFailed);
        }
        let number = GroupNumber(groups.next_first_use);
        // 2^31 of them: more than a broker makes in its life.
        let next = groups.next_first_use.checked_add(1);
        groups.next_first_use = next.ok_or(Refusal::CoordinatorNotAvailable)?;
        let first_use = FirstUse {
            id: id.to_owned(),
            instance: None,
            created_ms: now.wall_ms,
            idle_ms: 0,
        };
        let membership = headwater_storage::Membership::default();
        let live = LiveGroup::of_first_use(number, first_use, &membership, (false, now));
        let live = Arc::new(live);
        groups.live.insert(number, Arc::clone(&live));
        groups.first_uses.insert(id.to_owned(), number);
        Ok(live)
    }

    /// Every group, those of the catalog first.
    pub(super) fn all(
        &self,
        store: &PositionStore,
        catalog: &Catalog,
        now: Now,
    ) -> Vec<Arc<LiveGroup>> {
        let mut groups = self.groups();
        let of_catalog = catalog.groups();
        let mut all: Vec<_> = of_catalog
            .map(|group| groups.catalog_group(store, group, now))
            .collect();
        let numbers = groups.first_uses.values();
        let first_uses = numbers.filter_map(|number| groups.live.get(number));
        all.extend(first_uses.map(Arc::clone));
        all
    }

    /// The groups that are up.
    pub(super) fn live(&self) -> Vec<Arc<LiveGroup>> {
        self.groups().live.values().map(Arc::clone).collect()
    }

    /// Whether a group of first use has this id.
    pub(super) fn is_first_use(&self, id: &str) -> bool {
        self.groups().first_uses.contains_key(id)
    }

    /// How many groups of first use there are.
    pub(super) fn first_uses(&self) -> usize {
        self.groups().first_uses.len()
    }

    /// Takes a group off, which is gone.
    pub(super) fn remove(&self, group: &LiveGroup) {
        let mut groups = self.groups();
        groups.live.remove(&group.number);
        if groups.first_uses.get(&group.id) == Some(&group.number) {
            groups.first_uses.remove(&group.id);
        }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        // Each change is one insert or remove in each map; a half of one only hides a group of first use.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    fn catalog_group(&mut self, store: &PositionStore, group: &Group, now: Now) -> Arc<LiveGroup> {
        let live = self.live.entry(group.number).or_insert_with(|| {
            let membership = store.membership(group.number);
            Arc::new(LiveGroup::of_catalog(group, &membership, now))
        });
        Arc::clone(live)
    }
}
