//! Small questions about groups, for those who name a group below its instance.

use std::sync::Arc;

use headwater_storage::{Catalog, catalog::group_rules::GROUPS_PER_INSTANCE};

use super::{GroupError, GroupService};

impl GroupService {
    /// What the broker knows now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.directory.catalog()
    }

    /// How many groups an operator may make in the instance called so.
    pub(crate) fn limit(&self, instance: &str) -> usize {
        let catalog = self.catalog();
        let number = catalog.instance_by_name(instance).map(|it| it.number);
        let configured = number.and_then(|number| self.groups_max.get(&number));
        configured.copied().unwrap_or(GROUPS_PER_INSTANCE)
    }

    /// Whether the group is one of this instance.
    ///
    /// # Errors
    /// [`GroupError::UnknownInstance`]; [`GroupError::UnknownGroup`], also where it belongs to another instance.
    pub(crate) fn check_instance(&self, instance: &str, id: &str) -> Result<(), GroupError> {
        let catalog = self.catalog();
        let number = self.instance_number(&catalog, instance)?;
        let live = self.find(&catalog, id);
        match live.and_then(|live| live.instance()) {
            Some(found) if found == number => Ok(()),
            Some(_) | None => Err(GroupError::UnknownGroup(id.to_owned())),
        }
    }

    /// The same; the last deleted group of this id is good as well.
    ///
    /// # Errors
    /// As [`GroupService::check_instance`].
    pub(crate) fn check_instance_of_history(
        &self,
        instance: &str,
        id: &str,
    ) -> Result<(), GroupError> {
        let catalog = self.catalog();
        if self.find(&catalog, id).is_some() {
            return self.check_instance(instance, id);
        }
        let number = self.instance_number(&catalog, instance)?;
        let deleted = catalog
            .deleted_group(id)
            .filter(|group| group.instance == number);
        deleted
            .map(drop)
            .ok_or_else(|| GroupError::UnknownGroup(id.to_owned()))
    }

    /// A topic of the instance, for examples.
    pub(crate) fn example_topic(&self, instance: &str) -> Option<String> {
        let catalog = self.catalog();
        let number = catalog.instance_by_name(instance)?.number;
        let topic = catalog.topics_of(number).next()?;
        Some(topic.name.clone())
    }

    fn instance_number(
        &self,
        catalog: &Catalog,
        name: &str,
    ) -> Result<headwater_storage::InstanceNumber, GroupError> {
        let found = catalog.instance_by_name(name).map(|it| it.number);
        found.ok_or_else(|| GroupError::UnknownInstance(name.to_owned()))
    }
}
