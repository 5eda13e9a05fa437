//! Groups that the configuration names: made if they are missing, given the password and the mode if these are others.
//! All else that differs is an error, since a group's name, account and instance are fixed when it is made.

use headwater_storage::{Group, GroupMode};
use tracing::info;

use super::{GroupError, GroupService, NewGroup};
use crate::{
    auth::{account::is_password, stored_verifiers},
    config::GroupConfig,
};

/// The operator of the history.
const WHO: &str = "configuration file";

impl GroupService {
    /// Sees to it that `wanted` is there as a group of `instance`.
    ///
    /// # Errors
    /// One line that names the group and what is wrong with it.
    pub(crate) async fn configure(
        &self,
        instance: &str,
        wanted: GroupConfig,
    ) -> Result<(), String> {
        let name = wanted.name.clone();
        let done = match self.catalog().group_named(&wanted.id) {
            None => self.make_configured(instance, wanted).await,
            Some(there) => {
                let there = Group::clone(there);
                self.compare(instance, &wanted, &there)?;
                self.renew(there, wanted).await
            }
        };
        done.map_err(|error| {
            let told = error.to_string().replace('\n', "; ");
            format!("group {name:?} of instance {instance:?}: {told}")
        })
    }

    async fn make_configured(&self, instance: &str, wanted: GroupConfig) -> Result<(), GroupError> {
        let new = NewGroup {
            instance: instance.to_owned(),
            id: Some(wanted.id),
            name: wanted.name,
            account: wanted.account,
            verifiers: verifiers(&wanted.password).await?,
            password: wanted.password,
            mode: wanted.mode.unwrap_or(GroupMode::Exclusive),
        };
        self.create(new, WHO).await.map(drop)
    }

    fn compare(&self, instance: &str, wanted: &GroupConfig, there: &Group) -> Result<(), String> {
        let catalog = self.catalog();
        let of = catalog.instance(there.instance);
        let of = of.map_or("", |instance| instance.name.as_str());
        let differing = [
            ("id", wanted.id.as_str(), there.id.as_str()),
            ("name", &wanted.name, &there.name),
            ("account", &wanted.account, &there.account),
            ("instance", instance, of),
        ];
        let differing: Vec<String> = differing
            .iter()
            .filter(|(_, wanted, there)| wanted != there)
            .map(|(what, wanted, there)| format!("{what} {there:?}, not {wanted:?}"))
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the configuration names group {:?}, which is there with {}: these are fixed when a group is made; write \
             what is there, or delete the group",
            wanted.name,
            differing.join(", ")
        ))
    }

    async fn renew(&self, there: Group, wanted: GroupConfig) -> Result<(), GroupError> {
        if let Some(mode) = wanted.mode.filter(|mode| *mode != there.mode) {
            self.set_mode(&there.id, mode).await?;
            info!(group = there.id, ?mode, "mode of the configuration file");
        }
        self.renew_password(there, wanted.password).await
    }

    async fn renew_password(&self, there: Group, password: String) -> Result<(), GroupError> {
        let stored = there.verifiers.first().cloned();
        let asked = password.clone();
        let same = tokio::task::spawn_blocking(move || {
            stored.is_some_and(|stored| is_password(&stored, &asked))
        });
        // A check that panicked found nothing right.
        if same.await.unwrap_or(false) {
            return Ok(());
        }
        let verifiers = verifiers(&password).await?;
        self.set_password(&there.id, &password, verifiers, WHO)
            .await
    }
}

async fn verifiers(password: &str) -> Result<Vec<headwater_storage::StoredVerifier>, GroupError> {
    let password = password.to_owned();
    let made = tokio::task::spawn_blocking(move || stored_verifiers(&password)).await;
    let failed = |line: String| GroupError::Storage(line);
    made.map_err(|panic| failed(panic.to_string()))?
        .map_err(|error| failed(error.to_string()))
}
