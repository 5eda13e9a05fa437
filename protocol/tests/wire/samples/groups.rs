//! Requests of members and tools about consumer groups.

use bytes::{BufMut, Bytes};
use kafka_protocol::{
    messages::{
        DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
        HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
        OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
        offset_fetch_request::{
            OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
        },
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};

use super::{text, topic_name};

fn group_id(id: &'static str) -> GroupId {
    GroupId(text(id))
}

fn instance_id(version: i16, first: i16) -> Option<StrBytes> {
    (version >= first).then(|| text("instance"))
}

pub(super) fn find_coordinator(version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default();
    if version >= 4 {
        return request.with_coordinator_keys(vec![text("group one"), text("group two")]);
    }
    let request = request.with_key(text("group one"));
    if version >= 1 {
        request.with_key_type(0)
    } else {
        request
    }
}

pub(super) fn join_group(version: i16) -> JoinGroupRequest {
    let protocols = ["range", "cooperative-sticky"].map(|name| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(Bytes::from_static(b"subscription"))
    });
    let request = JoinGroupRequest::default()
        .with_group_id(group_id("group"))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(if version >= 1 { 300_000 } else { -1 })
        .with_member_id(text("member"))
        .with_group_instance_id(instance_id(version, 5))
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.to_vec())
        .with_reason((version >= 8).then(|| text("because")));
    if version >= 6 {
        return request.with_unknown_tagged_field(1, Bytes::from_static(b"later"));
    }
    request
}

pub(super) fn sync_group(version: i16) -> SyncGroupRequest {
    let assignments = ["member one", "member two"].map(|member| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::from_static(b"assignment"))
    });
    SyncGroupRequest::default()
        .with_group_id(group_id("group"))
        .with_generation_id(3)
        .with_member_id(text("member one"))
        .with_group_instance_id(instance_id(version, 3))
        .with_protocol_type((version >= 5).then(|| text("consumer")))
        .with_protocol_name((version >= 5).then(|| text("range")))
        .with_assignments(assignments.to_vec())
}

pub(super) fn heartbeat(version: i16) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group_id("group"))
        .with_generation_id(3)
        .with_member_id(text("member"))
        .with_group_instance_id(instance_id(version, 3))
}

pub(super) fn leave_group(version: i16) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(group_id("group"));
    if version < 3 {
        return request.with_member_id(text("member"));
    }
    let members = ["member one", "member two"].map(|member| {
        MemberIdentity::default()
            .with_member_id(text(member))
            .with_group_instance_id(instance_id(version, 3))
            .with_reason((version >= 5).then(|| text("because")))
    });
    request.with_members(members.to_vec())
}

pub(super) fn offset_commit(version: i16) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(1)
        .with_committed_offset(1 << 40)
        .with_committed_leader_epoch(if version >= 6 { 2 } else { -1 })
        .with_committed_metadata(Some(text("1700000000|x")));
    let without = partition.clone().with_committed_metadata(None);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name("shop.public.orders"))
        .with_partitions(vec![partition, without]);
    OffsetCommitRequest::default()
        .with_group_id(group_id("group"))
        .with_generation_id_or_member_epoch(3)
        .with_member_id(text("member"))
        .with_group_instance_id(instance_id(version, 7))
        .with_retention_time_ms(if (2..=4).contains(&version) {
            60_000
        } else {
            -1
        })
        .with_topics(vec![topic.clone(), topic])
}

/// The body as Kafka's schema of 0.8.2 to 3.9 has it, which the crate cannot write.
pub(super) fn encode_offset_commit_v1(frame: &mut Vec<u8>, request: &OffsetCommitRequest) {
    put_string(frame, Some(&request.group_id));
    frame.put_i32(request.generation_id_or_member_epoch);
    put_string(frame, Some(&request.member_id));
    put_count(frame, request.topics.len());
    for topic in &request.topics {
        put_string(frame, Some(&topic.name));
        put_count(frame, topic.partitions.len());
        for partition in &topic.partitions {
            frame.put_i32(partition.partition_index);
            frame.put_i64(partition.committed_offset);
            frame.put_i64(1_700_000_000_000);
            put_string(frame, partition.committed_metadata.as_ref());
        }
    }
}

fn put_string(frame: &mut Vec<u8>, text: Option<&StrBytes>) {
    let Some(text) = text else {
        return frame.put_i16(-1);
    };
    frame.put_i16(i16::try_from(text.len()).unwrap());
    frame.put_slice(text.as_bytes());
}

fn put_count(frame: &mut Vec<u8>, count: usize) {
    frame.put_i32(i32::try_from(count).unwrap());
}

pub(super) fn offset_fetch(version: i16) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name("shop.public.orders"))
            .with_partition_indexes(vec![0, 1]);
        let mut some = OffsetFetchRequestGroup::default()
            .with_group_id(group_id("group one"))
            .with_topics(Some(vec![topic.clone(), topic]));
        if version >= 9 {
            some = some
                .with_member_id(Some(text("member")))
                .with_member_epoch(4);
        }
        let all = OffsetFetchRequestGroup::default()
            .with_group_id(group_id("group two"))
            .with_topics(None);
        return request.with_groups(vec![some, all]);
    }
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic_name("shop.public.orders"))
        .with_partition_indexes(vec![0, 1]);
    request
        .with_group_id(group_id("group"))
        .with_topics(Some(vec![topic.clone(), topic]))
}

pub(super) fn describe_groups(version: i16) -> DescribeGroupsRequest {
    DescribeGroupsRequest::default()
        .with_groups(vec![group_id("group one"), group_id("group two")])
        .with_include_authorized_operations(version >= 3)
}

pub(super) fn list_groups(version: i16) -> ListGroupsRequest {
    let mut request = ListGroupsRequest::default();
    if version >= 4 {
        request = request.with_states_filter(vec![text("Stable"), text("Empty")]);
    }
    if version >= 5 {
        request = request.with_types_filter(vec![text("classic"), text("consumer")]);
    }
    request
}

pub(super) fn delete_groups() -> DeleteGroupsRequest {
    DeleteGroupsRequest::default()
        .with_groups_names(vec![group_id("group one"), group_id("group two")])
}

pub(super) fn offset_delete() -> OffsetDeleteRequest {
    let partitions =
        [0, 1].map(|index| OffsetDeleteRequestPartition::default().with_partition_index(index));
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic_name("shop.public.orders"))
        .with_partitions(partitions.to_vec());
    OffsetDeleteRequest::default()
        .with_group_id(group_id("group"))
        .with_topics(vec![topic.clone(), topic])
}
