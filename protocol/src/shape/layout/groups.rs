//! Consumer groups: membership, positions, and what tools ask of groups.

use kafka_protocol::{
    messages::{
        GroupId, delete_groups_response, describe_groups_response, find_coordinator_response,
        join_group_request, leave_group_request, offset_commit_request, offset_delete_request,
        offset_fetch_request, offset_fetch_response, sync_group_request,
    },
    protocol::StrBytes,
};

use super::{
    Array, BOOL, Bytes, INT8, INT32, INT64, Layout, NullableArray, NullableString, STRING_VALUE,
    String, all, answered_value, between, element, request, since, until,
};

/// Versions 0-5.
pub(super) static FIND_COORDINATOR: Layout = request(&[
    until(3, String), // key
    since(1, INT8),   // key type
    since(4, Array(&FIND_COORDINATOR_KEY)),
]);
static FIND_COORDINATOR_KEY: Layout =
    answered_value::<StrBytes, find_coordinator_response::Coordinator>(&[all(String)]);

/// Versions 0-9.
pub(super) static JOIN_GROUP: Layout = request(&[
    all(String),              // group id
    all(INT32),               // session timeout, ms
    since(1, INT32),          // rebalance timeout, ms
    all(String),              // member id
    since(5, NullableString), // group instance id
    all(String),              // protocol type
    all(Array(&JOIN_GROUP_PROTOCOL)),
    since(8, NullableString), // reason
]);
static JOIN_GROUP_PROTOCOL: Layout = element::<join_group_request::JoinGroupRequestProtocol>(&[
    all(String), // name
    all(Bytes),  // metadata
]);

/// Versions 0-5.
pub(super) static SYNC_GROUP: Layout = request(&[
    all(String),              // group id
    all(INT32),               // generation id
    all(String),              // member id
    since(3, NullableString), // group instance id
    since(5, NullableString), // protocol type
    since(5, NullableString), // protocol name
    all(Array(&SYNC_GROUP_ASSIGNMENT)),
]);
static SYNC_GROUP_ASSIGNMENT: Layout =
    element::<sync_group_request::SyncGroupRequestAssignment>(&[
        all(String), // member id
        all(Bytes),  // assignment
    ]);

/// Versions 0-4.
pub(super) static HEARTBEAT: Layout = request(&[
    all(String),              // group id
    all(INT32),               // generation id
    all(String),              // member id
    since(3, NullableString), // group instance id
]);

/// Versions 0-5.
pub(super) static LEAVE_GROUP: Layout = request(&[
    all(String),      // group id
    until(2, String), // member id
    since(3, Array(&LEAVE_GROUP_MEMBER)),
]);
static LEAVE_GROUP_MEMBER: Layout = element::<leave_group_request::MemberIdentity>(&[
    all(String),              // member id
    all(NullableString),      // group instance id
    since(5, NullableString), // reason
]);

/// Versions 1-9; version 1 as Kafka had it until 4.0.
pub(super) static OFFSET_COMMIT: Layout = request(&[
    all(String),              // group id
    all(INT32),               // generation id or member epoch
    all(String),              // member id
    since(7, NullableString), // group instance id
    between(2, 4, INT64),     // retention time, ms
    all(Array(&OFFSET_COMMIT_TOPIC)),
]);
static OFFSET_COMMIT_TOPIC: Layout = element::<offset_commit_request::OffsetCommitRequestTopic>(&[
    all(String), // name
    all(Array(&OFFSET_COMMIT_PARTITION)),
]);
static OFFSET_COMMIT_PARTITION: Layout =
    element::<offset_commit_request::OffsetCommitRequestPartition>(&[
        all(INT32),           // partition
        all(INT64),           // offset
        between(1, 1, INT64), // time of the commit, ms
        since(6, INT32),      // leader epoch
        all(NullableString),  // metadata
    ]);

/// Versions 1-9.
pub(super) static OFFSET_FETCH: Layout = request(&[
    until(7, String),                                  // group id
    until(1, Array(&OFFSET_FETCH_TOPIC)),              // empty asks for nothing
    between(2, 7, NullableArray(&OFFSET_FETCH_TOPIC)), // null asks for all topics
    since(8, Array(&OFFSET_FETCH_GROUP)),
    since(7, BOOL), // require stable
]);
static OFFSET_FETCH_TOPIC: Layout = element::<offset_fetch_request::OffsetFetchRequestTopic>(&[
    all(String), // name
    all(Array(&OFFSET_FETCH_PARTITION)),
]);
static OFFSET_FETCH_GROUP: Layout = element::<offset_fetch_request::OffsetFetchRequestGroup>(&[
    all(String),              // group id
    since(9, NullableString), // member id
    since(9, INT32),          // member epoch
    all(NullableArray(&OFFSET_FETCH_GROUP_TOPIC)),
]);
static OFFSET_FETCH_GROUP_TOPIC: Layout =
    element::<offset_fetch_request::OffsetFetchRequestTopics>(&[
        all(String), // name
        all(Array(&OFFSET_FETCH_GROUP_PARTITION)),
    ]);
static OFFSET_FETCH_PARTITION: Layout =
    answered_value::<i32, offset_fetch_response::OffsetFetchResponsePartition>(&[all(INT32)]);
static OFFSET_FETCH_GROUP_PARTITION: Layout =
    answered_value::<i32, offset_fetch_response::OffsetFetchResponsePartitions>(&[all(INT32)]);

/// Versions 0-6.
pub(super) static DESCRIBE_GROUPS: Layout = request(&[
    all(Array(&DESCRIBE_GROUPS_GROUP)),
    since(3, BOOL), // include authorized operations
]);
static DESCRIBE_GROUPS_GROUP: Layout =
    answered_value::<GroupId, describe_groups_response::DescribedGroup>(&[all(String)]);

/// Versions 0-5.
pub(super) static LIST_GROUPS: Layout = request(&[
    since(4, Array(&STRING_VALUE)), // states
    since(5, Array(&STRING_VALUE)), // types
]);

/// Versions 0-2.
pub(super) static DELETE_GROUPS: Layout = request(&[all(Array(&DELETE_GROUPS_GROUP))]);
static DELETE_GROUPS_GROUP: Layout =
    answered_value::<GroupId, delete_groups_response::DeletableGroupResult>(&[all(String)]);

/// Version 0.
pub(super) static OFFSET_DELETE: Layout = request(&[
    all(String), // group id
    all(Array(&OFFSET_DELETE_TOPIC)),
]);
static OFFSET_DELETE_TOPIC: Layout = element::<offset_delete_request::OffsetDeleteRequestTopic>(&[
    all(String), // name
    all(Array(&OFFSET_DELETE_PARTITION)),
]);
static OFFSET_DELETE_PARTITION: Layout =
    element::<offset_delete_request::OffsetDeleteRequestPartition>(&[all(INT32)]);
