//! OffsetFetch (api key 9), v1-v9.
//!
//! Tells where groups are. What is acknowledged is seen at once, so require_stable has nothing to wait for.
//!
//! Behaviour
//! - no position, an unknown partition or group: offset -1, leader epoch -1, empty metadata, no error (clients throw on
//!   partition errors here)
//! - v2+ null topics: every position of the group that the client may read
//! - a topic that the client may not read: TOPIC_AUTHORIZATION_FAILED, left out where all are asked for
//! - a group named a second time (v8+), and those behind the first 100,000 positions of one answer: INVALID_REQUEST
//! - metadata comes back byte for byte; of topics in format `dts-avro` the leading number before `|` or NUL alone
//!   (docs/wire.md)
//!
//! Versions
//! - v2 null topics, error of the group; v3 throttle_time_ms; v5 leader epoch; v6 flexible; v7 require_stable (KIP-447)
//! - v8 several groups (KIP-709); v9 member epoch (no such members here)

use std::collections::{HashMap, HashSet};

use headwater_storage::{Catalog, Position, TopicNumber, TopicPartition};
use kafka_protocol::{
    messages::{
        GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName,
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::StrBytes,
};

use crate::{context::Context, dts, error_code::Refusal, limits::OFFSET_FETCH_POSITIONS_MAX};

/// First version that asks for several groups.
const SEVERAL: i16 = 8;

/// First version with an error of the group itself.
const GROUP_ERROR: i16 = 2;

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut answer = Answer {
        ctx,
        answered: HashSet::new(),
        positions_left: OFFSET_FETCH_POSITIONS_MAX,
    };
    if ctx.version >= SEVERAL {
        let mut groups = Vec::with_capacity(request.groups.len());
        for asked in request.groups {
            groups.push(answer.group(asked).await);
        }
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            OffsetFetchRequestTopics::default()
                .with_name(topic.name)
                .with_partition_indexes(topic.partition_indexes)
        });
        topics.collect()
    });
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(request.group_id)
        .with_topics(topics);
    one_group(ctx, answer.group(asked).await)
}

/// The same answer in the form of older versions.
fn one_group(ctx: &Context<'_>, group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    let response = OffsetFetchResponse::default().with_topics(topics.collect());
    if ctx.version < GROUP_ERROR {
        return response;
    }
    response.with_error_code(group.error_code)
}

/// One response in the making.
struct Answer<'a> {
    ctx: &'a Context<'a>,
    answered: HashSet<GroupId>,
    positions_left: usize,
}

type Positions = HashMap<TopicPartition, Position>;

impl Answer<'_> {
    async fn group(&mut self, asked: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let answer = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
        match self.topics(&asked).await {
            Ok(topics) => answer.with_topics(topics),
            // Version 1 has errors in partitions only.
            Err(refusal) if self.ctx.version < GROUP_ERROR => {
                let topics = asked.topics.unwrap_or_default().into_iter();
                answer.with_topics(topics.map(|topic| refused(topic, refusal)).collect())
            }
            Err(refusal) => answer.with_error_code(refusal.code()),
        }
    }

    async fn topics(
        &mut self,
        asked: &OffsetFetchRequestGroup,
    ) -> Result<Vec<OffsetFetchResponseTopics>, Refusal> {
        let first = self.answered.insert(asked.group_id.clone());
        if !first || self.positions_left == 0 {
            return Err(Refusal::InvalidRequest);
        }
        let catalog = self.ctx.catalog();
        let positions = match self.ctx.group(&catalog, &asked.group_id)? {
            Some(group) => self.ctx.shared.groups.positions(&group).await,
            None => Ok(Vec::new()),
        };
        let positions = positions.map_err(|_| Refusal::CoordinatorNotAvailable)?;
        let positions: Positions = positions.into_iter().collect();
        let topics = match &asked.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| self.named(&catalog, topic, &positions))
                .collect(),
            None => self.every(&catalog, positions),
        };
        let count: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        self.positions_left = self.positions_left.saturating_sub(count);
        Ok(topics)
    }

    fn named(
        &self,
        catalog: &Catalog,
        asked: &OffsetFetchRequestTopics,
        positions: &Positions,
    ) -> OffsetFetchResponseTopics {
        let topic = catalog.topic_by_name(&asked.name);
        let readable = self.ctx.partition_named(catalog, &asked.name, 0);
        if readable.is_err_and(|refusal| refusal == Refusal::TopicAuthorizationFailed) {
            return refused(asked.clone(), Refusal::TopicAuthorizationFailed);
        }
        let partitions = asked.partition_indexes.iter().map(|index| {
            let at = topic.zip(u16::try_from(*index).ok());
            let position = at.and_then(|(topic, partition)| {
                positions.get(&TopicPartition {
                    topic: topic.number,
                    partition,
                })
            });
            partition(catalog, topic.map(|topic| topic.number), (*index, position))
        });
        OffsetFetchResponseTopics::default()
            .with_name(asked.name.clone())
            .with_partitions(partitions.collect())
    }

    fn every(&self, catalog: &Catalog, positions: Positions) -> Vec<OffsetFetchResponseTopics> {
        let mut topics = Vec::with_capacity(positions.len());
        for (at, position) in positions {
            let Some(topic) = catalog.topic(at.topic) else {
                continue;
            };
            if self.ctx.partition_named(catalog, &topic.name, 0).is_err() {
                continue;
            }
            let index = i32::from(at.partition);
            let partition = partition(catalog, Some(at.topic), (index, Some(&position)));
            topics.push(
                OffsetFetchResponseTopics::default()
                    .with_name(TopicName(StrBytes::from_string(topic.name.clone())))
                    .with_partitions(vec![partition]),
            );
        }
        topics
    }
}

fn refused(topic: OffsetFetchRequestTopics, refusal: Refusal) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| {
        none()
            .with_partition_index(*index)
            .with_error_code(refusal.code())
    });
    OffsetFetchResponseTopics::default()
        .with_partitions(partitions.collect())
        .with_name(topic.name)
}

/// No position.
fn none() -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
}

fn partition(
    catalog: &Catalog,
    topic: Option<TopicNumber>,
    (index, position): (i32, Option<&Position>),
) -> OffsetFetchResponsePartitions {
    let answer = none().with_partition_index(index);
    let Some(position) = position else {
        return answer;
    };
    let topic = topic.and_then(|topic| catalog.topic(topic));
    let metadata = if topic.is_some_and(|topic| dts::is_of_dts(catalog, topic)) {
        dts::dts_offset_of_metadata(&position.metadata)
    } else {
        &position.metadata
    };
    answer
        .with_committed_offset(position.offset)
        .with_committed_leader_epoch(position.leader_epoch)
        .with_metadata(Some(StrBytes::from_string(metadata.to_owned())))
}
