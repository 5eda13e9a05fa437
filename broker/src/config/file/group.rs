//! `[[instance.group]]` and `groups_max`: consumer groups that must be there.

use std::collections::HashSet;

use headwater_storage::{
    GroupMode,
    catalog::group_rules::{GROUPS_PER_INSTANCE, check_password, default_id},
};
use serde::Deserialize;
use toml::Spanned;

use super::{
    PasswordFrom,
    check::{Checker, Secrets},
};
use crate::config::{GroupConfig, error::ConfigError};

/// Most that `groups_max` may be: each is a line in the catalog, and all are listed at once.
const GROUPS_MAX_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGroup {
    name: Spanned<String>,
    id: Option<Spanned<String>>,
    account: Spanned<String>,
    mode: Option<GroupMode>,
    password: Spanned<PasswordFrom>,
}

impl Checker<'_> {
    /// The limit of an instance's groups.
    pub(super) fn groups_max(&self, max: Option<&Spanned<usize>>) -> Result<usize, ConfigError> {
        match max {
            None => Ok(GROUPS_PER_INSTANCE),
            Some(max) if *max.get_ref() <= GROUPS_MAX_MAX => Ok(*max.get_ref()),
            Some(max) => Err(self.at(max, format!("groups_max is at most {GROUPS_MAX_MAX}"))),
        }
    }

    /// Names and ids must differ over the whole file, since group ids are unique in the broker. The other rules are
    /// the catalog's, and are checked when a group is made.
    pub(super) fn groups(
        &self,
        groups: &[FileGroup],
        taken: &mut HashSet<String>,
    ) -> Result<Vec<GroupConfig>, ConfigError> {
        groups
            .iter()
            .map(|group| self.group(group, taken))
            .collect()
    }

    fn group(
        &self,
        group: &FileGroup,
        taken: &mut HashSet<String>,
    ) -> Result<GroupConfig, ConfigError> {
        let name = group.name.get_ref();
        let id = match &group.id {
            Some(id) => id.get_ref().clone(),
            None => default_id(name),
        };
        let is_new = taken.insert(id.clone()) && (id == *name || taken.insert(name.clone()));
        if !is_new {
            let line = format!("the id or name of group {name:?} is there twice");
            return Err(self.at(&group.name, line));
        }
        Ok(GroupConfig {
            password: self.group_password(&group.password)?,
            name: name.clone(),
            id,
            account: group.account.get_ref().clone(),
            mode: group.mode,
        })
    }

    fn group_password(&self, from: &Spanned<PasswordFrom>) -> Result<String, ConfigError> {
        if self.secrets == Secrets::Leave {
            return Ok(String::new());
        }
        let password = from.get_ref().read().map_err(|line| self.at(from, line))?;
        let broken = check_password(&password);
        if broken.is_empty() {
            return Ok(password);
        }
        let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
        Err(self.at(from, lines.join("; ")))
    }
}
