//! What a person who makes a consumer group may choose, as DTS has it: id, name, account, password, how many. The one
//! place for these rules; every broken one is told at once, each in one line.
//!
//! | field    | rule                                                                                      |
//! |----------|-------------------------------------------------------------------------------------------|
//! | id       | 1 to 128 of `A-Z a-z 0-9 . _ -`; no other group's id or name                                |
//! | name     | 1 to 128 characters, none of them a control character; no other group's id or name          |
//! | account  | 1 to 16 of `A-Z a-z 0-9 _`                                                                |
//! | password | 8 to 32 printable ASCII characters; two kinds of upper case, lower case, digits, the rest |
//! | number   | a limit for each instance, 20 by default                                                  |

use std::fmt;

use super::Catalog;
use crate::number::InstanceNumber;

/// Groups an operator may make in one instance, by default (DTS's limit).
pub const GROUPS_PER_INSTANCE: usize = 20;

/// Longest id, bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Longest name, characters (DTS's limit).
pub const NAME_CHARS_MAX: usize = 128;

/// Longest account, bytes (DTS's limit).
pub const ACCOUNT_BYTES_MAX: usize = 16;

/// Shortest password, characters (DTS's limit).
pub const PASSWORD_CHARS_MIN: usize = 8;

/// Longest password, characters (DTS's limit).
pub const PASSWORD_CHARS_MAX: usize = 32;

/// How many kinds of characters a password needs.
const PASSWORD_KINDS_MIN: usize = 2;

/// A group that somebody wants to make.
#[derive(Clone, Copy)]
pub struct WantedGroup<'a> {
    /// Kafka's `group.id`; [`default_id`] makes one from a name.
    pub id: &'a str,
    /// For people.
    pub name: &'a str,
    /// Where.
    pub instance: InstanceNumber,
    /// First part of the SASL user name.
    pub account: &'a str,
    /// In clear, for this check only; `None` where only verifiers are known.
    pub password: Option<&'a str>,
}

/// Shows everything but the password.
impl fmt::Debug for WantedGroup<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WantedGroup")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("instance", &self.instance)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// A rule that is not kept. Its text is one line that says how to keep it, and never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum BrokenRule {
    #[error("id {0:?} must be 1 to {ID_BYTES_MAX} of A-Z a-z 0-9 . _ -")]
    Id(String),
    #[error("name {0:?} must be 1 to {NAME_CHARS_MAX} characters, without control characters")]
    Name(String),
    #[error("{what} {taken:?} is taken by group {id} (name {name:?}); choose another")]
    Taken {
        what: &'static str,
        taken: String,
        id: String,
        name: String,
    },
    #[error("account {0:?} must be 1 to {ACCOUNT_BYTES_MAX} of A-Z a-z 0-9 _")]
    Account(String),
    #[error(
        "password has {0} characters; it must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX}"
    )]
    PasswordLength(usize),
    #[error("password must be of printable ASCII characters, without space")]
    PasswordCharacters,
    #[error(
        "password must have at least two kinds of: upper case letters, lower case letters, digits, special characters"
    )]
    PasswordKinds,
    #[error("no instance number {0}")]
    Instance(InstanceNumber),
    #[error(
        "instance {instance} has {groups} groups, its limit is {limit}; delete one, or raise the limit"
    )]
    TooMany {
        instance: String,
        groups: usize,
        limit: usize,
    },
}

/// Every rule that `wanted` breaks; none: it may be made. `groups_max` is the limit of groups of its instance.
#[must_use]
pub fn check(catalog: &Catalog, wanted: &WantedGroup<'_>, groups_max: usize) -> Vec<BrokenRule> {
    let mut broken = check_names(catalog, wanted.id, wanted.name, wanted.account);
    broken.extend(wanted.password.into_iter().flat_map(check_password));
    match catalog.instance(wanted.instance) {
        None => broken.push(BrokenRule::Instance(wanted.instance)),
        Some(instance) => {
            let groups = catalog.groups_of(wanted.instance).count();
            if groups >= groups_max {
                broken.push(BrokenRule::TooMany {
                    instance: instance.name.clone(),
                    groups,
                    limit: groups_max,
                });
            }
        }
    }
    broken
}

/// The rules of id, name and account alone.
pub(super) fn check_names(
    catalog: &Catalog,
    id: &str,
    name: &str,
    account: &str,
) -> Vec<BrokenRule> {
    let mut broken = Vec::new();
    if !is_id(id) {
        broken.push(BrokenRule::Id(shortened(id)));
    }
    if name.is_empty()
        || name.chars().count() > NAME_CHARS_MAX
        || name.chars().any(char::is_control)
    {
        broken.push(BrokenRule::Name(shortened(name)));
    }
    if !is_account(account) {
        broken.push(BrokenRule::Account(shortened(account)));
    }
    broken.extend(taken(catalog, "id", id));
    if name != id {
        broken.extend(taken(catalog, "name", name));
    }
    broken
}

/// Every rule that a password breaks.
#[must_use]
pub fn check_password(password: &str) -> Vec<BrokenRule> {
    let mut broken = Vec::new();
    let length = password.chars().count();
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&length) {
        broken.push(BrokenRule::PasswordLength(length));
    }
    if !password.chars().all(|c| c.is_ascii_graphic()) {
        broken.push(BrokenRule::PasswordCharacters);
    }
    let kinds: [fn(&char) -> bool; 4] = [
        char::is_ascii_uppercase,
        char::is_ascii_lowercase,
        char::is_ascii_digit,
        char::is_ascii_punctuation,
    ];
    let has = |kind: &&fn(&char) -> bool| password.chars().any(|c| kind(&c));
    if kinds.iter().filter(has).count() < PASSWORD_KINDS_MIN {
        broken.push(BrokenRule::PasswordKinds);
    }
    broken
}

/// The id that is made from a name where none is given: what an id cannot have becomes `_`.
#[must_use]
pub fn default_id(name: &str) -> String {
    let legal = |c: char| if is_id_character(c) { c } else { '_' };
    name.chars().take(ID_BYTES_MAX).map(legal).collect()
}

/// All of them, for an error that has one line.
pub(super) fn in_one_line(broken: &[BrokenRule]) -> String {
    let texts: Vec<String> = broken.iter().map(BrokenRule::to_string).collect();
    format!("group: {}", texts.join("; "))
}

fn taken(catalog: &Catalog, what: &'static str, wanted: &str) -> Option<BrokenRule> {
    catalog.group_named(wanted).map(|group| BrokenRule::Taken {
        what,
        taken: wanted.to_owned(),
        id: group.id.clone(),
        name: group.name.clone(),
    })
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.chars().all(is_id_character)
}

fn is_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn is_account(account: &str) -> bool {
    (1..=ACCOUNT_BYTES_MAX).contains(&account.len())
        && account
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Enough to recognise it by.
fn shortened(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_every_rule_it_breaks_and_never_repeated() {
        use BrokenRule::{PasswordCharacters, PasswordKinds, PasswordLength};
        for (password, expected) in [
            ("Secret12", vec![]),
            ("aaaa____", vec![]),
            ("aaaaaaa", vec![PasswordLength(7), PasswordKinds]),
            ("aaaaaaaa", vec![PasswordKinds]),
            ("secret 12", vec![PasswordCharacters]),
            ("s\u{e9}cret12", vec![PasswordCharacters]),
            ("", vec![PasswordLength(0), PasswordKinds]),
            ("Aa345678901234567890123456789012", vec![]),
            (
                "Aa3456789012345678901234567890123",
                vec![PasswordLength(33)],
            ),
        ] {
            let broken = check_password(password);
            assert_eq!(broken, expected, "{password:?}");
            let told = in_one_line(&broken);
            assert!(password.is_empty() || !told.contains(password));
        }
    }

    #[test]
    fn an_id_is_made_from_any_name() {
        assert_eq!(default_id("Order sync (EU)"), "Order_sync__EU_");
        assert_eq!(default_id(&"\u{e4}".repeat(500)), "_".repeat(128));
        assert!(is_id(&default_id("a")));
    }

    #[test]
    fn the_debug_form_of_a_wanted_group_has_no_password() {
        let wanted = WantedGroup {
            id: "a",
            name: "a",
            instance: InstanceNumber(1),
            account: "a",
            password: Some("Secret12"),
        };
        assert!(!format!("{wanted:?}").contains("Secret12"));
    }
}
