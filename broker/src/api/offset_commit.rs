//! OffsetCommit (api key 8), v1-v9.
//!
//! Makes a group's positions durable, then answers. Only the active member of the group may, in its generation; or
//! somebody without member id and with generation -1, while the group has no members (consumers that assign their
//! partitions themselves, `kafka-consumer-groups --reset-offsets`).
//!
//! Behaviour
//! - order of the checks: group, member (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
//!   REBALANCE_IN_PROGRESS), then each partition for itself: the good ones are committed, in one step
//! - a topic of another instance than the group's: TOPIC_AUTHORIZATION_FAILED; metadata over 4,096 bytes:
//!   OFFSET_METADATA_TOO_LARGE; a negative offset: INVALID_REQUEST. Any other offset is taken, also behind the end
//! - an unknown group: comes into being if the generation is -1; else v9+ GROUP_ID_NOT_FOUND, older ILLEGAL_GENERATION
//! - retention time (v2-v4) and time stamps (v1) do not count: positions stay as long as the group
//!
//! Versions
//! - v1 a time for each partition (the DTS demo in Go needs it); v3 throttle_time_ms; v6 leader epoch (KIP-320)
//! - v7 static members (KIP-345); v8 flexible; v9 member epoch (no such members here)

use std::{collections::HashMap, sync::Arc};

use headwater_storage::{
    Catalog, InstanceNumber, Position, TopicPartition, positions::METADATA_BYTES_MAX,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
};

use crate::{
    context::Context,
    error_code::{NONE, Refusal},
    group::Caller,
    group_service::{LiveGroup, NewPositions},
};

/// First version in which an unknown group is told as such.
const TELLS_UNKNOWN_GROUP: i16 = 9;

/// Never fails.
pub(crate) async fn handle(
    ctx: &Context<'_>,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let catalog = ctx.catalog();
    let group = match group(ctx, &catalog, &request) {
        Ok(group) => group,
        Err(refusal) => return all(request.topics, refusal),
    };
    let mut commit = Commit {
        ctx,
        catalog: &catalog,
        instance: group.instance(),
        now_ms: ctx.shared.clock.wall_ms(),
        positions: HashMap::new(),
    };
    let verdicts: Vec<Vec<i16>> = request
        .topics
        .iter()
        .map(|topic| commit.topic(topic))
        .collect();
    let new = NewPositions {
        caller: Caller {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
        },
        generation: request.generation_id_or_member_epoch,
        positions: commit.positions,
        who: ctx.who(),
    };
    match ctx.shared.groups.commit(&group, new).await {
        Ok(()) => response(request.topics, verdicts),
        Err(refusal) => all(request.topics, refusal),
    }
}

fn group(
    ctx: &Context<'_>,
    catalog: &Catalog,
    request: &OffsetCommitRequest,
) -> Result<Arc<LiveGroup>, Refusal> {
    let id = &request.group_id;
    let mut topics = request.topics.iter();
    let named = topics.find_map(|topic| ctx.instance_of(catalog, &topic.name));
    if request.generation_id_or_member_epoch < 0 {
        return ctx.group_or_new(catalog, id, named);
    }
    let found = ctx.group(catalog, id)?;
    if let Some(group) = &found {
        group.bind(named);
    }
    found.ok_or(if ctx.version >= TELLS_UNKNOWN_GROUP {
        Refusal::GroupIdNotFound
    } else {
        Refusal::IllegalGeneration
    })
}

/// One request, partition by partition.
struct Commit<'a> {
    ctx: &'a Context<'a>,
    catalog: &'a Catalog,
    /// The group's.
    instance: Option<InstanceNumber>,
    now_ms: i64,
    /// The good ones.
    positions: HashMap<TopicPartition, Position>,
}

impl Commit<'_> {
    /// The code of each partition.
    fn topic(&mut self, topic: &OffsetCommitRequestTopic) -> Vec<i16> {
        let codes = topic.partitions.iter().map(|partition| {
            let taken = self.partition(&topic.name, partition);
            taken.map_or_else(Refusal::code, |()| NONE)
        });
        codes.collect()
    }

    fn partition(
        &mut self,
        topic: &str,
        asked: &OffsetCommitRequestPartition,
    ) -> Result<(), Refusal> {
        let index = asked.partition_index;
        let partition = self.ctx.partition_named(self.catalog, topic, index)?;
        let foreign = self.ctx.instance_of(self.catalog, topic) != self.instance;
        if foreign {
            return Err(Refusal::TopicAuthorizationFailed);
        }
        let metadata = asked.committed_metadata.as_deref().unwrap_or_default();
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(Refusal::OffsetMetadataTooLarge);
        }
        if asked.committed_offset < 0 {
            return Err(Refusal::InvalidRequest);
        }
        let at = TopicPartition {
            topic: partition.topic,
            partition: u16::try_from(index).map_err(|_| Refusal::UnknownTopicOrPartition)?,
        };
        let position = Position {
            offset: asked.committed_offset,
            leader_epoch: asked.committed_leader_epoch,
            commit_ms: self.now_ms,
            metadata: metadata.to_owned(),
        };
        self.positions.insert(at, position);
        Ok(())
    }
}

fn response(
    topics: Vec<OffsetCommitRequestTopic>,
    verdicts: Vec<Vec<i16>>,
) -> OffsetCommitResponse {
    let topics = topics.into_iter().zip(verdicts).map(|(topic, codes)| {
        let partitions = topic.partitions.iter().zip(codes);
        let partitions = partitions.map(|(partition, code)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn all(topics: Vec<OffsetCommitRequestTopic>, refusal: Refusal) -> OffsetCommitResponse {
    let codes = |topic: &OffsetCommitRequestTopic| vec![refusal.code(); topic.partitions.len()];
    let verdicts = topics.iter().map(codes).collect();
    response(topics, verdicts)
}
