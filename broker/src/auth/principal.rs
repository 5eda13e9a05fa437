//! Who is at the other end of a connection, as far as it was proven.

use std::sync::Arc;

use headwater_storage::{GroupNumber, InstanceNumber};

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// A client of a listener with authentication that has not logged in.
    Unauthenticated,
    /// Whoever reaches a listener without authentication.
    Anonymous,
    /// A consumer group's account.
    Group(Arc<GroupPrincipal>),
    /// The account of `[kafka.operator]`.
    Operator,
}

/// A consumer group, as of its login. A group's id and instance never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupPrincipal {
    pub(crate) number: GroupNumber,
    /// Kafka's `group.id`.
    pub(crate) id: String,
    /// Accepted in place of the id.
    pub(crate) name: String,
    pub(crate) instance: InstanceNumber,
}

impl Principal {
    /// Whether it may read the topics of `instance`. By the catalog, never by the names of topics.
    pub(crate) fn may_read(&self, instance: InstanceNumber) -> bool {
        match self {
            Self::Unauthenticated => false,
            Self::Anonymous | Self::Operator => true,
            Self::Group(group) => group.instance == instance,
        }
    }

    /// Whether it may join the group with this id, and commit for it; `name` is an alias of the id.
    pub(crate) fn may_use_group(&self, group_id: &str) -> bool {
        match self {
            Self::Unauthenticated => false,
            Self::Anonymous | Self::Operator => true,
            Self::Group(group) => group.id == group_id || group.name == group_id,
        }
    }

    /// Whether it may see what concerns the broker as a whole.
    pub(crate) fn may_administer(&self) -> bool {
        match self {
            Self::Unauthenticated | Self::Group(_) => false,
            Self::Anonymous | Self::Operator => true,
        }
    }

    /// For log lines.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Unauthenticated => "not logged in",
            Self::Anonymous => "anonymous",
            Self::Group(group) => &group.id,
            Self::Operator => "operator",
        }
    }
}
