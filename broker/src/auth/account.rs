//! From a SASL user name to an account: the operator's, or a consumer group's from the catalog.
//!
//! User names of groups: `<account>-<group id or name>`, split at the first hyphen, since an account has none; or
//! `<account>` alone, which means the oldest group of that account. The operator's name has no hyphen either, and goes
//! before an account of the same name.

use std::{fmt, sync::Arc};

use headwater_protocol::sasl::{Mechanism, ScramMechanism, ScramVerifier};
use headwater_storage::{Catalog, Group, GroupNumber, StoredVerifier, VerifierMechanism};

use super::principal::{GroupPrincipal, Principal};

/// The operator's account, from the configuration.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) user: String,
    /// One of each mechanism.
    pub(crate) verifiers: Vec<ScramVerifier>,
}

/// Why there is no such account. Told in the log, never to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// No group has this account.
    Account,
    /// The account is there, a group of this id is not.
    Group,
    /// The group is there and has another account.
    AccountOfGroup,
    /// There is no password for this mechanism.
    Verifier(Mechanism),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("wrong account: no consumer group has it"),
            Self::Group => {
                f.write_str("wrong group: the account is known, no consumer group has this id")
            }
            Self::AccountOfGroup => f.write_str("wrong account: the consumer group has another"),
            Self::Verifier(mechanism) => {
                let name = mechanism.name();
                write!(
                    f,
                    "no password is stored for {name}: set the group's password again"
                )
            }
        }
    }
}

/// Somebody says who he is.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) user: String,
    pub(crate) principal: Result<Principal, Unknown>,
    /// Of the account, or a stand-in.
    pub(crate) verifier: ScramVerifier,
}

impl Claim {
    pub(crate) fn of(
        user: &str,
        principal: Result<Principal, Unknown>,
        verifier: ScramVerifier,
    ) -> Self {
        Self {
            user: user.to_owned(),
            principal,
            verifier,
        }
    }
}

/// The account that `user` means, and what its password is checked against.
pub(crate) fn find(
    catalog: &Catalog,
    operator: Option<&Operator>,
    user: &str,
    mechanism: Mechanism,
) -> Result<(Principal, ScramVerifier), Unknown> {
    if let Some(operator) = operator.filter(|operator| operator.user == user) {
        let verifier = operator
            .verifiers
            .iter()
            .find(|one| fits(one.mechanism(), mechanism));
        let verifier = verifier.ok_or(Unknown::Verifier(mechanism))?;
        return Ok((Principal::Operator, verifier.clone()));
    }
    let group = catalog
        .group_of_user(user)
        .ok_or_else(|| why_unknown(catalog, user))?;
    let verifier = verifier_of(group, mechanism).ok_or(Unknown::Verifier(mechanism))?;
    Ok((principal(group), verifier))
}

fn why_unknown(catalog: &Catalog, user: &str) -> Unknown {
    let (account, group) = user.split_once('-').unwrap_or((user, ""));
    if catalog.group_named(group).is_some() {
        Unknown::AccountOfGroup
    } else if catalog.groups_of_account(account).next().is_some() {
        Unknown::Group
    } else {
        Unknown::Account
    }
}

fn principal(group: &Arc<Group>) -> Principal {
    Principal::Group(Arc::new(GroupPrincipal {
        number: group.number,
        id: group.id.clone(),
        name: group.name.clone(),
        instance: group.instance,
    }))
}

/// Whether `verifier` is still one of the group's: it lives, and its password was not changed.
pub(crate) fn is_current(catalog: &Catalog, group: GroupNumber, verifier: &ScramVerifier) -> bool {
    let same = |stored: &StoredVerifier| {
        stored.stored_key == verifier.stored_key() && stored.salt == verifier.salt()
    };
    let group = catalog.group(group).filter(|group| !group.deleted);
    group.is_some_and(|group| group.verifiers.iter().any(same))
}

/// For PLAIN any verifier does; the first is taken.
fn verifier_of(group: &Group, mechanism: Mechanism) -> Option<ScramVerifier> {
    let stored = group
        .verifiers
        .iter()
        .find(|stored| fits(scram(stored.mechanism), mechanism))?;
    verifier(stored)
}

fn verifier(stored: &StoredVerifier) -> Option<ScramVerifier> {
    ScramVerifier::from_parts(
        scram(stored.mechanism),
        stored.salt.clone(),
        stored.iterations,
        stored.stored_key.clone(),
        stored.server_key.clone(),
    )
    .ok()
}

/// Whether the group's password is this one. Takes some ms of processor time.
pub(crate) fn is_password(stored: &StoredVerifier, password: &str) -> bool {
    verifier(stored).is_some_and(|verifier| verifier.is_password(password))
}

/// As the catalog keeps it.
pub(crate) fn stored(verifier: &ScramVerifier) -> StoredVerifier {
    StoredVerifier {
        mechanism: match verifier.mechanism() {
            ScramMechanism::Sha256 => VerifierMechanism::ScramSha256,
            ScramMechanism::Sha512 => VerifierMechanism::ScramSha512,
        },
        salt: verifier.salt().to_vec(),
        iterations: verifier.iterations().get(),
        stored_key: verifier.stored_key().to_vec(),
        server_key: verifier.server_key().to_vec(),
    }
}

fn fits(stored: ScramMechanism, asked: Mechanism) -> bool {
    match asked {
        Mechanism::Plain => true,
        Mechanism::Scram(asked) => stored == asked,
    }
}

/// The protocol's word for the catalog's.
fn scram(stored: VerifierMechanism) -> ScramMechanism {
    match stored {
        VerifierMechanism::ScramSha256 => ScramMechanism::Sha256,
        VerifierMechanism::ScramSha512 => ScramMechanism::Sha512,
    }
}

#[cfg(test)]
mod tests;
