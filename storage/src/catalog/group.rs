//! Consumer groups in the catalog: a Kafka group with its account, as DTS has it. Lookups and the rules that a stored
//! group must keep; what a person who makes one may choose is in [`super::group_rules`].
//!
//! Groups that come into being on first use are not here: they have no account, and live in sled only.

use std::{collections::HashSet, ops::RangeInclusive, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Catalog,
    change::{require, require_next},
    group_rules,
};
use crate::{
    error::StorageError,
    number::{GroupNumber, InstanceNumber},
};

/// What a second consumer of a group is told while one is active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupMode {
    /// It stands by, with an empty assignment, and takes over when the active one goes.
    #[default]
    Exclusive,
    /// It is refused, loudly: `GROUP_MAX_SIZE_REACHED`.
    Reject,
}

/// SCRAM mechanism of a verifier (RFC 5802, RFC 7677).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifierMechanism {
    /// 32 byte keys.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// 64 byte keys.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl VerifierMechanism {
    /// Length of stored key and server key, bytes.
    #[must_use]
    pub fn key_bytes(self) -> usize {
        match self {
            Self::ScramSha256 => 32,
            Self::ScramSha512 => 64,
        }
    }
}

/// What proves that a client knows the password, and is not the password (RFC 5802, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVerifier {
    /// Which hash.
    pub mechanism: VerifierMechanism,
    /// Random, 8 to 64 bytes.
    #[serde(with = "base64_text")]
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2, 4,096 to 1,000,000.
    pub iterations: u32,
    /// `H(HMAC(salted password, "Client Key"))`.
    #[serde(with = "base64_text")]
    pub stored_key: Vec<u8>,
    /// `HMAC(salted password, "Server Key")`.
    #[serde(with = "base64_text")]
    pub server_key: Vec<u8>,
}

impl StoredVerifier {
    /// Bounds of [`StoredVerifier::iterations`]; the lower one is RFC 7677's, the upper one keeps a login from taking
    /// the processor for seconds.
    pub const ITERATIONS: RangeInclusive<u32> = 4_096..=1_000_000;

    /// Bounds of [`StoredVerifier::salt`], bytes.
    pub const SALT_BYTES: RangeInclusive<usize> = 8..=64;

    fn is_whole(&self) -> bool {
        let key_bytes = self.mechanism.key_bytes();
        self.stored_key.len() == key_bytes
            && self.server_key.len() == key_bytes
            && Self::SALT_BYTES.contains(&self.salt.len())
            && Self::ITERATIONS.contains(&self.iterations)
    }
}

/// One consumer group that an operator made. Fixed at creation: everything but `verifiers`, `mode`, `deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Dense from 1, never used twice.
    pub number: GroupNumber,
    /// Kafka's `group.id`. Of the groups that live, no two have the same id or name, nor one the other's.
    pub id: String,
    /// For people; accepted wherever the id is.
    pub name: String,
    /// Whose topics it may read.
    pub instance: InstanceNumber,
    /// First part of the SASL user name. Several groups may have the same.
    pub account: String,
    /// At most one of each mechanism; empty: nobody can log in as this group.
    pub verifiers: Vec<StoredVerifier>,
    /// What a second consumer is told.
    pub mode: GroupMode,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Number of the last group of transactions visible in the instance's log when it was made; 0 for none.
    pub created_group: u64,
    /// It is gone for good, and its id is free. A deleted group has no verifiers.
    pub deleted: bool,
}

impl Group {
    /// The verifier of a mechanism.
    #[must_use]
    pub fn verifier(&self, mechanism: VerifierMechanism) -> Option<&StoredVerifier> {
        self.verifiers
            .iter()
            .find(|verifier| verifier.mechanism == mechanism)
    }
}

impl Catalog {
    /// All groups that live, by number.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values().filter(|group| !group.deleted)
    }

    /// All groups of an instance that live, by number.
    pub fn groups_of(&self, instance: InstanceNumber) -> impl Iterator<Item = &Arc<Group>> {
        self.groups()
            .filter(move |group| group.instance == instance)
    }

    /// The group with this number; a deleted one too.
    #[must_use]
    pub fn group(&self, number: GroupNumber) -> Option<&Arc<Group>> {
        self.groups.get(&number)
    }

    /// The living group with this id.
    #[must_use]
    pub fn group_by_id(&self, id: &str) -> Option<&Arc<Group>> {
        self.group_named(id).filter(|group| group.id == id)
    }

    /// The living group with this name.
    #[must_use]
    pub fn group_by_name(&self, name: &str) -> Option<&Arc<Group>> {
        self.group_named(name).filter(|group| group.name == name)
    }

    /// The living group with this id or name: never more than one.
    #[must_use]
    pub fn group_named(&self, id_or_name: &str) -> Option<&Arc<Group>> {
        let number = self.groups_by_name.get(id_or_name)?;
        self.groups.get(number)
    }

    /// The living groups with this account, the oldest first.
    pub fn groups_of_account(&self, account: &str) -> impl Iterator<Item = &Arc<Group>> {
        self.groups().filter(move |group| group.account == account)
    }

    /// The living group that a SASL user name means: `<account>-<group id or name>`, split at the first hyphen, or
    /// `<account>` alone, which is the oldest living group with that account.
    #[must_use]
    pub fn group_of_user(&self, user: &str) -> Option<&Arc<Group>> {
        match user.split_once('-') {
            None => self.groups_of_account(user).next(),
            Some((account, id)) => self
                .group_named(id)
                .filter(|group| group.account == account),
        }
    }

    /// The last deleted group that had this id or name: its history may still be asked for.
    #[must_use]
    pub fn deleted_group(&self, id_or_name: &str) -> Option<&Arc<Group>> {
        let named = |group: &Group| group.id == id_or_name || group.name == id_or_name;
        let mut newest_first = self.groups.values().rev();
        newest_first.find(|group| group.deleted && named(group))
    }

    /// The number that the next new group must have.
    #[must_use]
    pub fn next_group(&self) -> GroupNumber {
        let last = self.groups.last_key_value();
        GroupNumber(last.map_or(1, |(number, _)| number.0 + 1))
    }
}

/// Makes or changes a group.
pub(super) fn put(catalog: &mut Catalog, group: &Group) -> Result<(), StorageError> {
    check_verifiers(group)?;
    match catalog.group(group.number) {
        Some(old) => check_change(old, group)?,
        None => check_new(catalog, group)?,
    }
    for name in [&group.id, &group.name] {
        if !group.deleted {
            catalog.groups_by_name.insert(name.clone(), group.number);
        } else if catalog.groups_by_name.get(name) == Some(&group.number) {
            catalog.groups_by_name.remove(name);
        }
    }
    catalog.groups.insert(group.number, Arc::new(group.clone()));
    Ok(())
}

/// A new one that is deleted already is what a start reads.
fn check_new(catalog: &Catalog, group: &Group) -> Result<(), StorageError> {
    catalog.require_instance(group.instance)?;
    require_next("group", group.number, catalog.next_group())?;
    require(!group.number.is_first_use(), || {
        "no group numbers are left".to_owned()
    })?;
    if group.deleted {
        return Ok(());
    }
    let broken = group_rules::check_names(catalog, &group.id, &group.name, &group.account);
    require(broken.is_empty(), || group_rules::in_one_line(&broken))
}

fn check_change(old: &Group, new: &Group) -> Result<(), StorageError> {
    require(!old.deleted || old == new, || {
        format!("group {} (number {}) is deleted", old.id, old.number)
    })?;
    let grown = Group {
        verifiers: old.verifiers.clone(),
        mode: old.mode,
        deleted: old.deleted,
        ..new.clone()
    };
    require(grown == *old, || {
        format!(
            "group {} (number {}) was created differently",
            old.id, old.number
        )
    })
}

fn check_verifiers(group: &Group) -> Result<(), StorageError> {
    let id = &group.id;
    require(!group.deleted || group.verifiers.is_empty(), || {
        format!("group {id}: a deleted group keeps no verifiers")
    })?;
    let mut mechanisms = HashSet::new();
    let fits =
        |verifier: &StoredVerifier| verifier.is_whole() && mechanisms.insert(verifier.mechanism);
    let (salt, iterations) = (StoredVerifier::SALT_BYTES, StoredVerifier::ITERATIONS);
    require(group.verifiers.iter().all(fits), || {
        format!(
            "group {id}: a verifier needs a salt of {} to {} bytes, {} to {} iterations, keys of the length of its \
             hash, and no other of its mechanism",
            salt.start(),
            salt.end(),
            iterations.start(),
            iterations.end()
        )
    })
}

/// Bytes as base64 text with padding.
pub(crate) mod base64_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD
            .decode(text)
            .map_err(|_| D::Error::custom("not base64"))
    }

    /// The same, where there may be none.
    pub(crate) mod optional {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Text(#[serde(with = "super")] Vec<u8>);

        pub(crate) fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            bytes.clone().map(Text).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            let text = Option::<Text>::deserialize(from)?;
            Ok(text.map(|text| text.0))
        }
    }
}
