//! What operators do to groups: make, list, give a password, delete. The command line and HTTP say it in their own words.

use std::sync::Arc;

use headwater_storage::{
    CatalogChange, Group, GroupEvent, GroupMode, GroupWrite, HistoryEntry, StorageError,
    StoredVerifier,
    catalog::group_rules::{self, WantedGroup},
};

use super::{GroupReport, GroupService, LiveGroup};
use crate::error_code::Refusal;

/// Why an operator's wish is not done. Each text is one line that says how to go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// No such group.
    #[error("no group {0:?}; `headwater group list` shows all")]
    UnknownGroup(String),
    /// No such instance.
    #[error("no instance {0:?}; `headwater instance list` shows all")]
    UnknownInstance(String),
    /// Rules that are not kept: all of them, each in one line.
    #[error("{}", .0.join("\n"))]
    Rules(Vec<String>),
    /// Somebody consumes.
    #[error("group {group} has {members} consumers now; stop them, or {instead}")]
    HasMembers {
        /// Its id.
        group: String,
        /// Active and standby.
        members: usize,
        /// What to do instead.
        instead: &'static str,
    },
    /// Only a group that an operator made can do this.
    #[error(
        "group {0} came into being on first use and has no account; make it with `headwater group create`"
    )]
    FirstUse(String),
    /// The seek cannot be.
    #[error("{0}")]
    Seek(String),
    /// The store failed.
    #[error("{0}")]
    Storage(String),
}

impl From<StorageError> for GroupError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// A group that an operator wants. No `Debug` shows the password.
#[derive(Clone)]
pub struct NewGroup {
    /// Name of the instance.
    pub instance: String,
    /// Kafka's `group.id`; `None`: made from the name.
    pub id: Option<String>,
    /// For people.
    pub name: String,
    /// First part of the SASL user name.
    pub account: String,
    /// In clear, to check the rules; it is not stored.
    pub password: String,
    /// What is stored of the password.
    pub verifiers: Vec<StoredVerifier>,
    /// What a second consumer is told.
    pub mode: GroupMode,
}

impl std::fmt::Debug for NewGroup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewGroup")
            .field("instance", &self.instance)
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl GroupService {
    /// Makes a group. `who` is the operator, for the history.
    ///
    /// # Errors
    /// [`GroupError::UnknownInstance`]; [`GroupError::Rules`] with every rule that is broken; [`GroupError::Storage`].
    pub async fn create(&self, new: NewGroup, who: &str) -> Result<Arc<Group>, GroupError> {
        let _one_at_a_time = self.changing.lock().await;
        let group = self.checked(new)?;
        let changed = self.change(CatalogChange::Group(group.clone())).await?;
        self.note(&group, GroupEvent::Created, who).await?;
        let made = changed.group(group.number).map(Arc::clone);
        made.ok_or(GroupError::UnknownGroup(group.id))
    }

    fn checked(&self, new: NewGroup) -> Result<Group, GroupError> {
        let catalog = self.directory.catalog();
        let instance = catalog
            .instance_by_name(&new.instance)
            .ok_or_else(|| GroupError::UnknownInstance(new.instance.clone()))?;
        let id = new.id.unwrap_or_else(|| group_rules::default_id(&new.name));
        let wanted = WantedGroup {
            id: &id,
            name: &new.name,
            instance: instance.number,
            account: &new.account,
            password: Some(&new.password),
        };
        let broken = group_rules::check(&catalog, &wanted, self.limit(&new.instance));
        let mut lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
        for name in [&id, &new.name] {
            if self.registry.is_first_use(name) {
                lines.push(format!(
                    "{name:?} is a group that came into being on first use; delete it first, or choose another id"
                ));
            }
        }
        lines.dedup();
        if !lines.is_empty() {
            return Err(GroupError::Rules(lines));
        }
        let visible = self.log(instance.number).map(|log| log.stats().group);
        Ok(Group {
            number: catalog.next_group(),
            id,
            name: new.name,
            instance: instance.number,
            account: new.account,
            verifiers: new.verifiers,
            mode: new.mode,
            created_ms: self.clock.wall_ms(),
            created_group: visible.unwrap_or(0),
            deleted: false,
        })
    }

    /// Gives a group another password. Its consumers are put out, and have to log in with it.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::FirstUse`], [`GroupError::Rules`], [`GroupError::Storage`].
    pub async fn set_password(
        &self,
        id: &str,
        password: &str,
        verifiers: Vec<StoredVerifier>,
        who: &str,
    ) -> Result<(), GroupError> {
        let broken = group_rules::check_password(password);
        if !broken.is_empty() {
            let lines = broken.iter().map(ToString::to_string).collect();
            return Err(GroupError::Rules(lines));
        }
        let group = Group {
            verifiers,
            ..self.of_catalog(id)?
        };
        self.change(CatalogChange::Group(group.clone())).await?;
        // Behind the change: who logs in later has been checked against it.
        self.sessions.end(group.number);
        self.note(&group, GroupEvent::Password, who).await?;
        let live = self.known(id)?;
        self.ask(&live, |coordinator, _| coordinator.evict())
            .await
            .map_err(|refusal| gone(id, refusal))
    }

    /// Says what a second consumer is told from now on.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::FirstUse`], [`GroupError::Storage`].
    pub async fn set_mode(&self, id: &str, mode: GroupMode) -> Result<(), GroupError> {
        let group = Group {
            mode,
            ..self.of_catalog(id)?
        };
        self.change(CatalogChange::Group(group)).await?;
        let live = self.known(id)?;
        let mut locked = live.lock().await.map_err(|refusal| gone(id, refusal))?;
        locked.coordinator.set_mode(mode);
        Ok(())
    }

    /// Deletes a group with its positions; of one that an operator made, the history stays. With `force` also while it
    /// has consumers, which are put out.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`]; [`GroupError::HasMembers`] without `force`; [`GroupError::Storage`].
    pub async fn delete(&self, id: &str, force: bool, who: &str) -> Result<(), GroupError> {
        let live = self.known(id)?;
        let mut locked = live.lock().await.map_err(|refusal| gone(id, refusal))?;
        let members = locked.coordinator.view().members.len();
        if members > 0 && !force {
            return Err(GroupError::HasMembers {
                group: live.id.clone(),
                members,
                instead: "delete it with --force",
            });
        }
        if let Ok(group) = self.of_catalog(id) {
            self.note(&group, GroupEvent::Deleted, who).await?;
            let deleted = Group {
                verifiers: Vec::new(),
                deleted: true,
                ..group
            };
            self.change(CatalogChange::Group(deleted)).await?;
            self.sessions.end(live.number);
        }
        // From here on nobody finds it; what a crash leaves in sled belongs to a number that is never used again.
        locked.end();
        self.registry.remove(&live);
        let forgotten = self.writer.forget(live.number).await;
        forgotten.map_err(GroupError::Storage)
    }

    /// All groups, or those of one instance, without their topics.
    ///
    /// # Errors
    /// [`GroupError::UnknownInstance`], [`GroupError::Storage`].
    pub async fn list(&self, instance: Option<&str>) -> Result<Vec<GroupReport>, GroupError> {
        let catalog = self.directory.catalog();
        let wanted = match instance {
            None => None,
            Some(name) => Some(
                catalog
                    .instance_by_name(name)
                    .ok_or_else(|| GroupError::UnknownInstance(name.to_owned()))?
                    .number,
            ),
        };
        let mut reports = Vec::new();
        for live in self.all(&catalog) {
            if wanted.is_none() || live.instance() == wanted {
                reports.push(self.report(&catalog, &live).await?);
            }
        }
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(reports)
    }

    /// One group.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::Storage`].
    pub async fn show(&self, id: &str) -> Result<GroupReport, GroupError> {
        let live = self.known(id)?;
        self.report(&self.directory.catalog(), &live).await
    }

    /// What happened to a group, oldest first, with sequences; also of the last deleted one of this id.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::Storage`].
    pub async fn history(&self, id: &str) -> Result<Vec<(u64, HistoryEntry)>, GroupError> {
        let catalog = self.directory.catalog();
        let number = match self.find(&catalog, id) {
            Some(live) => live.number,
            None => {
                let deleted = catalog.deleted_group(id).map(|group| group.number);
                deleted.ok_or_else(|| GroupError::UnknownGroup(id.to_owned()))?
            }
        };
        Ok(self.read(move |store| store.history(number)).await?)
    }

    pub(super) fn known(&self, id: &str) -> Result<Arc<LiveGroup>, GroupError> {
        let found = self.find(&self.directory.catalog(), id);
        found.ok_or_else(|| GroupError::UnknownGroup(id.to_owned()))
    }

    fn of_catalog(&self, id: &str) -> Result<Group, GroupError> {
        let catalog = self.directory.catalog();
        match catalog.group_named(id) {
            Some(group) => Ok(Group::clone(group)),
            None if self.registry.is_first_use(id) => Err(GroupError::FirstUse(id.to_owned())),
            None => Err(GroupError::UnknownGroup(id.to_owned())),
        }
    }

    async fn change(
        &self,
        change: CatalogChange,
    ) -> Result<Arc<headwater_storage::Catalog>, GroupError> {
        let directory = Arc::clone(&self.directory);
        let changing = tokio::task::spawn_blocking(move || directory.change(vec![change])).await;
        match changing {
            Ok(changed) => Ok(changed?),
            Err(panic) => Err(GroupError::Storage(format!(
                "changing the catalog panicked: {panic}"
            ))),
        }
    }

    /// An entry of the history that moves nothing.
    async fn note(&self, group: &Group, event: GroupEvent, who: &str) -> Result<(), GroupError> {
        let write = GroupWrite {
            group: group.number,
            at_ms: self.clock.wall_ms(),
            who: who.to_owned(),
            positions: Vec::new(),
            membership: None,
            event: Some(event),
            first_use: None,
        };
        self.writer.write(write).await.map_err(GroupError::Storage)
    }
}

/// A group that went while it was asked for, or a store that failed.
pub(super) fn gone(id: &str, refusal: Refusal) -> GroupError {
    if refusal == Refusal::GroupIdNotFound {
        return GroupError::UnknownGroup(id.to_owned());
    }
    GroupError::Storage("the group's log cannot be written; the broker is about to end".to_owned())
}
