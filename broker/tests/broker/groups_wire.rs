//! Short ways to ask as a member of a group.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
        join_group_request::JoinGroupRequestProtocol,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};

use crate::{harness::ORDERS, wire::Client};

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// `ConsumerProtocolSubscription` version 0 of one topic.
pub(crate) fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend([0xff; 4]);
    bytes.into()
}

pub(crate) fn join_request(group: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(subscription(ORDERS));
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

pub(crate) async fn join(client: &mut Client, group: &str, member_id: &str) -> JoinGroupResponse {
    client.ask(&join_request(group, member_id), 3).await
}

/// Joins and synchronises as the active member; its id and generation.
pub(crate) async fn become_active(client: &mut Client, group: &str) -> (String, i32) {
    let joined = join(client, group, "").await;
    assert_eq!(joined.error_code, 0);
    assert_eq!(joined.leader, joined.member_id, "is active");
    let member_id = joined.member_id.to_string();
    let share = sync(client, group, (&member_id, joined.generation_id)).await;
    assert_eq!(share, Ok(Bytes::from(format!("share of {member_id}"))));
    (member_id, joined.generation_id)
}

pub(crate) async fn sync(
    client: &mut Client,
    group: &str,
    (member_id, generation): (&str, i32),
) -> Result<Bytes, i16> {
    let own = SyncGroupRequestAssignment::default()
        .with_member_id(text(member_id))
        .with_assignment(Bytes::from(format!("share of {member_id}")));
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_assignments(vec![own]);
    let answer = client.ask(&request, 3).await;
    match answer.error_code {
        0 => Ok(answer.assignment),
        code => Err(code),
    }
}

pub(crate) async fn heartbeat(
    client: &mut Client,
    group: &str,
    (member_id, generation): (&str, i32),
) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member_id));
    client.ask(&request, 3).await.error_code
}

pub(crate) async fn leave(client: &mut Client, group: &str, member_id: &str) -> i16 {
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member_id));
    client.ask(&request, 1).await.error_code
}

pub(crate) fn commit_request(
    group: &str,
    (member_id, generation): (&str, i32),
    positions: &[(&str, i32, i64, &str)],
) -> OffsetCommitRequest {
    let topics = positions
        .iter()
        .map(|(topic, partition, offset, metadata)| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(text(metadata)));
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(vec![partition])
        });
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member_id))
        .with_retention_time_ms(-1)
        .with_topics(topics.collect())
}

/// The code of each partition.
pub(crate) async fn commit(
    client: &mut Client,
    group: &str,
    member: (&str, i32),
    positions: &[(&str, i32, i64, &str)],
) -> Vec<i16> {
    let answer = client
        .ask(&commit_request(group, member, positions), 2)
        .await;
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

/// Offset and metadata by topic, of all topics.
pub(crate) async fn fetch(client: &mut Client, group: &str) -> HashMap<String, (i64, String)> {
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(group))
        .with_topics(None);
    let answer = client.ask(&request, 5).await;
    assert_eq!(answer.error_code, 0);
    let topics = answer.topics.iter().map(|topic| {
        let partition = &topic.partitions[0];
        let metadata = partition.metadata.clone().unwrap_or_default().to_string();
        (
            topic.name.to_string(),
            (partition.committed_offset, metadata),
        )
    });
    topics.collect()
}

pub(crate) const NOBODY: (&str, i32) = ("", -1);
