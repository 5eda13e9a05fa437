//! What the broker itself says about a consumer group, asked over the wire on a listener that wants no login: the
//! same for every client, so that a test need not guess how long one takes to join or to commit.

use std::{io, time::Duration};

use kafka_protocol::{
    messages::{
        DescribeGroupsRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::OffsetFetchRequestTopic,
    },
    protocol::StrBytes,
};

use super::clock;
use crate::wire::Wire;

const DESCRIBE_GROUPS_VERSION: i16 = 4;
const OFFSET_FETCH_VERSION: i16 = 5;
const OFFSET_COMMIT_VERSION: i16 = 5;

/// Where a group stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The committed offset.
    pub offset: i64,
    /// What was committed with it, as the broker answers it.
    pub metadata: String,
}

/// A consumer group as the broker at `bootstrap` sees it.
#[derive(Debug, Clone, Copy)]
pub struct Coordinator<'a> {
    /// Host and port of a listener without login.
    pub bootstrap: &'a str,
    /// Kafka's `group.id`.
    pub group: &'a str,
}

impl Coordinator<'_> {
    /// Waits until `count` members have joined. Panics after `limit`.
    pub fn wait_members(&self, count: usize, limit: Duration) {
        let joined = clock::poll(limit, || (self.members().ok()? == count).then_some(()));
        let (group, members) = (self.group, self.members());
        assert!(
            joined.is_some(),
            "{group} has {members:?} members after {limit:?}, expected {count}"
        );
    }

    /// Waits until the position of `topic` (partition 0) is `offset`. Panics after `limit`.
    pub fn wait_committed(&self, topic: &str, offset: i64, limit: Duration) {
        let committed = clock::poll(limit, || {
            (self.committed(topic).ok()? == Some(offset)).then_some(())
        });
        let (group, position) = (self.group, self.committed(topic));
        assert!(
            committed.is_some(),
            "{group} stands at {position:?} after {limit:?}, expected {offset}"
        );
    }

    /// Members that it has now.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn members(&self) -> io::Result<usize> {
        let request = DescribeGroupsRequest::default().with_groups(vec![self.id()]);
        let response = Wire::connect(self.bootstrap)?.call(DESCRIBE_GROUPS_VERSION, &request)?;
        Ok(response
            .groups
            .first()
            .map_or(0, |group| group.members.len()))
    }

    /// The next offset that it will read of `topic` (partition 0); `None`: it never committed.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn committed(&self, topic: &str) -> io::Result<Option<i64>> {
        let position = self.position(topic)?;
        Ok(position.map(|position| position.offset))
    }

    /// The same with the metadata.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn position(&self, topic: &str) -> io::Result<Option<Position>> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(self.id())
            .with_topics(Some(vec![topic]));
        let response = Wire::connect(self.bootstrap)?.call(OFFSET_FETCH_VERSION, &request)?;
        let partition = response
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        let committed = partition.filter(|partition| partition.committed_offset >= 0);
        Ok(committed.map(|partition| Position {
            offset: partition.committed_offset,
            metadata: partition.metadata.as_deref().unwrap_or_default().to_owned(),
        }))
    }

    /// Sets the position of `topic` (partition 0), as whoever assigns its partitions itself does. Nobody may be a member.
    ///
    /// # Errors
    /// As [`Wire::call`]; also the broker's refusal.
    pub fn commit(&self, topic: &str, position: &Position) -> io::Result<()> {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(position.offset)
            .with_committed_metadata(Some(StrBytes::from_string(position.metadata.clone())));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.id())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let response = Wire::connect(self.bootstrap)?.call(OFFSET_COMMIT_VERSION, &request)?;
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let refused = partitions
            .map(|partition| partition.error_code)
            .find(|code| *code != 0);
        refused.map_or(Ok(()), |code| {
            Err(io::Error::other(format!("refused with {code}")))
        })
    }

    fn id(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.group.to_owned()))
    }
}
