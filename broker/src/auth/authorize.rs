//! The table: which principal may call which API. Deny by default: what is in no row cannot be compiled, what is
//! neither allowed nor cut by its handler is refused in `dispatch`, before a handler runs.
//!
//! | API | not logged in | anonymous, operator | group's account |
//! |---|---|---|---|
//! | ApiVersions, SaslHandshake, SaslAuthenticate | yes | yes | yes |
//! | Metadata, Fetch, ListOffsets, OffsetForLeaderEpoch | no | yes | topics of its instance |
//! | FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup, ListGroups, DescribeGroups, DeleteGroups | no | yes | itself |
//! | OffsetCommit, OffsetFetch, OffsetDelete | no | yes | itself, topics of its instance |
//! | DescribeConfigs | no | yes | topics of its instance; not the broker |
//! | DescribeCluster | no | yes | yes: it tells what Metadata tells |
//! | DescribeLogDirs, ListPartitionReassignments, DescribeAcls | no | yes | no |
//! | Produce, and all that changes topics, records or settings | no | yes: refused there, for everybody | no |
//!
//! Sources: Kafka's own checks (`KafkaApis`), with CLUSTER_AUTHORIZATION_FAILED for what concerns the broker as a whole.

use headwater_protocol::api::Api;

use super::principal::Principal;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It goes to its handler.
    Allowed,
    /// It goes to its handler, which answers for each topic and group by `Context::may_read` and
    /// `Context::may_use_group`.
    Own,
    /// It is answered by an error code, whole.
    Refused,
    /// The connection is closed: nobody has logged in.
    Closed,
}

/// What an API is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The connection itself.
    Connection,
    /// Topics or groups that the request names, or all of them.
    Named,
    /// The broker, in so far as Metadata tells it too.
    Cluster,
    /// The broker as a whole, or changes.
    Administration,
}

/// Looks a cell up.
pub(crate) fn access(api: Api, principal: &Principal) -> Access {
    match (about(api), principal) {
        (About::Connection, _)
        | (
            About::Named | About::Cluster | About::Administration,
            Principal::Anonymous | Principal::Operator,
        )
        | (About::Cluster, Principal::Group(_)) => Access::Allowed,
        (About::Named, Principal::Group(_)) => Access::Own,
        (About::Administration, Principal::Group(_)) => Access::Refused,
        (About::Named | About::Cluster | About::Administration, Principal::Unauthenticated) => {
            Access::Closed
        }
    }
}

fn about(api: Api) -> About {
    match api {
        Api::ApiVersions | Api::SaslHandshake | Api::SaslAuthenticate => About::Connection,
        Api::Metadata
        | Api::Fetch
        | Api::ListOffsets
        | Api::OffsetForLeaderEpoch
        | Api::FindCoordinator
        | Api::JoinGroup
        | Api::SyncGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::ListGroups
        | Api::DescribeGroups
        | Api::DeleteGroups
        | Api::OffsetCommit
        | Api::OffsetFetch
        | Api::OffsetDelete
        | Api::DescribeConfigs => About::Named,
        Api::DescribeCluster => About::Cluster,
        Api::DescribeLogDirs
        | Api::ListPartitionReassignments
        | Api::DescribeAcls
        | Api::Produce
        | Api::CreateTopics
        | Api::DeleteTopics
        | Api::CreatePartitions
        | Api::DeleteRecords
        | Api::AlterConfigs
        | Api::IncrementalAlterConfigs => About::Administration,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_protocol::api::SERVED;
    use headwater_storage::{GroupNumber, InstanceNumber};

    use super::{Access::*, *};
    use crate::auth::principal::GroupPrincipal;

    /// For each served API: not logged in, anonymous, a group's account, operator. Written down a second time, so that
    /// a change of the table is a change of two places.
    #[rustfmt::skip]
    const TABLE: [(Api, [Access; 4]); 30] = [
        (Api::Produce,                    [Closed,  Allowed, Refused, Allowed]),
        (Api::Fetch,                      [Closed,  Allowed, Own,     Allowed]),
        (Api::ListOffsets,                [Closed,  Allowed, Own,     Allowed]),
        (Api::Metadata,                   [Closed,  Allowed, Own,     Allowed]),
        (Api::OffsetCommit,               [Closed,  Allowed, Own,     Allowed]),
        (Api::OffsetFetch,                [Closed,  Allowed, Own,     Allowed]),
        (Api::FindCoordinator,            [Closed,  Allowed, Own,     Allowed]),
        (Api::JoinGroup,                  [Closed,  Allowed, Own,     Allowed]),
        (Api::Heartbeat,                  [Closed,  Allowed, Own,     Allowed]),
        (Api::LeaveGroup,                 [Closed,  Allowed, Own,     Allowed]),
        (Api::SyncGroup,                  [Closed,  Allowed, Own,     Allowed]),
        (Api::DescribeGroups,             [Closed,  Allowed, Own,     Allowed]),
        (Api::ListGroups,                 [Closed,  Allowed, Own,     Allowed]),
        (Api::SaslHandshake,              [Allowed, Allowed, Allowed, Allowed]),
        (Api::ApiVersions,                [Allowed, Allowed, Allowed, Allowed]),
        (Api::CreateTopics,               [Closed,  Allowed, Refused, Allowed]),
        (Api::DeleteTopics,               [Closed,  Allowed, Refused, Allowed]),
        (Api::DeleteRecords,              [Closed,  Allowed, Refused, Allowed]),
        (Api::OffsetForLeaderEpoch,       [Closed,  Allowed, Own,     Allowed]),
        (Api::DescribeAcls,               [Closed,  Allowed, Refused, Allowed]),
        (Api::DescribeConfigs,            [Closed,  Allowed, Own,     Allowed]),
        (Api::AlterConfigs,               [Closed,  Allowed, Refused, Allowed]),
        (Api::DescribeLogDirs,            [Closed,  Allowed, Refused, Allowed]),
        (Api::SaslAuthenticate,           [Allowed, Allowed, Allowed, Allowed]),
        (Api::CreatePartitions,           [Closed,  Allowed, Refused, Allowed]),
        (Api::DeleteGroups,               [Closed,  Allowed, Own,     Allowed]),
        (Api::IncrementalAlterConfigs,    [Closed,  Allowed, Refused, Allowed]),
        (Api::ListPartitionReassignments, [Closed,  Allowed, Refused, Allowed]),
        (Api::OffsetDelete,               [Closed,  Allowed, Own,     Allowed]),
        (Api::DescribeCluster,            [Closed,  Allowed, Allowed, Allowed]),
    ];

    fn group() -> Principal {
        Principal::Group(Arc::new(GroupPrincipal {
            number: GroupNumber(1),
            id: "orders".to_owned(),
            name: "Orders".to_owned(),
            instance: InstanceNumber(1),
        }))
    }

    #[test]
    fn every_api_is_decided_for_every_principal() {
        let principals = [
            Principal::Unauthenticated,
            Principal::Anonymous,
            group(),
            Principal::Operator,
        ];
        assert_eq!(TABLE.map(|(api, _)| api), SERVED.map(|row| row.api));
        for (api, cells) in TABLE {
            for (principal, expected) in principals.iter().zip(cells) {
                assert_eq!(
                    access(api, principal),
                    expected,
                    "{} {}",
                    api.name(),
                    principal.name()
                );
            }
        }
    }

    #[test]
    fn a_group_reads_its_instance_and_uses_itself_only() {
        let group = group();
        assert!(group.may_read(InstanceNumber(1)) && !group.may_read(InstanceNumber(2)));
        assert!(group.may_use_group("orders") && group.may_use_group("Orders"));
        for other in ["", "order", "orders2", "ORDERS"] {
            assert!(!group.may_use_group(other), "{other}");
        }
        let nobody = Principal::Unauthenticated;
        assert!(!nobody.may_read(InstanceNumber(1)) && !nobody.may_use_group("orders"));
        for all in [Principal::Anonymous, Principal::Operator] {
            assert!(all.may_read(InstanceNumber(2)) && all.may_use_group("any"));
        }
    }
}
