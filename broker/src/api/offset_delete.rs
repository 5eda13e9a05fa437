//! OffsetDelete (api key 47), v0-v0.
//!
//! Takes positions of a group away; the history keeps them.
//!
//! Behaviour
//! - while the group has members: GROUP_SUBSCRIBED_TO_TOPIC for every partition (Kafka looks at the members'
//!   subscriptions, which are not kept here)
//! - an unknown group: GROUP_ID_NOT_FOUND; an unknown partition: UNKNOWN_TOPIC_OR_PARTITION
//!
//! Versions
//! - v0 is the only one (KIP-496)

use std::{collections::BTreeSet, sync::Arc};

use headwater_storage::{Catalog, TopicPartition};
use kafka_protocol::messages::{
    OffsetDeleteRequest, OffsetDeleteResponse,
    offset_delete_request::OffsetDeleteRequestTopic,
    offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
};

use crate::{
    context::Context,
    error_code::{NONE, Refusal},
    group_service::LiveGroup,
};

/// Never fails.
pub(crate) async fn handle(
    ctx: &Context<'_>,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let catalog = ctx.catalog();
    let found = ctx.group(&catalog, &request.group_id);
    let group = match found.and_then(|found| found.ok_or(Refusal::GroupIdNotFound)) {
        Ok(group) => group,
        Err(refusal) => return OffsetDeleteResponse::default().with_error_code(refusal.code()),
    };
    match delete(ctx, &catalog, &group, &request.topics).await {
        Ok(()) => response(ctx, &catalog, request.topics, None),
        Err(Refusal::GroupSubscribedToTopic) => {
            let subscribed = Some(Refusal::GroupSubscribedToTopic);
            response(ctx, &catalog, request.topics, subscribed)
        }
        Err(refusal) => OffsetDeleteResponse::default().with_error_code(refusal.code()),
    }
}

async fn delete(
    ctx: &Context<'_>,
    catalog: &Catalog,
    group: &Arc<LiveGroup>,
    topics: &[OffsetDeleteRequestTopic],
) -> Result<(), Refusal> {
    let mut partitions = BTreeSet::new();
    for topic in topics {
        for partition in &topic.partitions {
            let index = partition.partition_index;
            if let Ok(found) = ctx.partition_named(catalog, &topic.name, index) {
                partitions.insert(TopicPartition {
                    topic: found.topic,
                    partition: 0,
                });
            }
        }
    }
    let partitions = partitions.into_iter().collect();
    let groups = &ctx.shared.groups;
    groups.remove_positions(group, partitions, ctx.who()).await
}

fn response(
    ctx: &Context<'_>,
    catalog: &Catalog,
    topics: Vec<OffsetDeleteRequestTopic>,
    refusal: Option<Refusal>,
) -> OffsetDeleteResponse {
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let found = ctx.partition_named(catalog, &topic.name, index);
            let refusal = found.err().or(refusal);
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(refusal.map_or(NONE, Refusal::code))
        });
        OffsetDeleteResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
