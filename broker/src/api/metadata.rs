//! Metadata (api key 3), v0-v12.
//!
//! Answers who serves which topic: always this one node, at the address the client connected to or the one that its
//! listener advertises.
//!
//! Behaviour
//! - all topics: v0 empty list, v1+ null list; v1+ empty list: no topics, only the broker
//! - unknown name: UNKNOWN_TOPIC_OR_PARTITION, never created; impossible name: INVALID_TOPIC_EXCEPTION
//! - to a group's account: all topics are those of its instance; any other name, known or not:
//!   TOPIC_AUTHORIZATION_FAILED; any other id: UNKNOWN_TOPIC_ID
//! - unknown id: UNKNOWN_TOPIC_ID; neither name nor id: INVALID_REQUEST
//! - a topic that is asked for twice is answered once, as in Kafka
//! - authorized operations are not told (-2^31)
//!
//! Versions
//! - v1 controller id, rack, internal flag; v2 cluster id; v3 throttle_time_ms; v4 auto-create flag (never obeyed)
//! - v7 leader epoch (KIP-320); v8 authorized operations (KIP-430); v9 flexible
//! - v10 topic ids in the answer (KIP-516); v11 no cluster operations; v12 lookup by id

use std::collections::HashSet;

use headwater_capture::encode::cleaned_name;
use headwater_storage::{Catalog, Topic};
use kafka_protocol::{
    messages::{
        BrokerId, MetadataRequest, MetadataResponse, TopicName,
        metadata_request::MetadataRequestTopic,
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
    },
    protocol::StrBytes,
};

use crate::{
    context::Context,
    error_code::{NONE, Refusal},
    limits::{NODE_ID, TOPIC_NAME_BYTES},
};

/// "Not told" in a field of authorized operations.
const OPERATIONS_NOT_TOLD: i32 = i32::MIN;

/// Never fails.
pub(crate) fn handle(ctx: &Context<'_>, request: MetadataRequest) -> MetadataResponse {
    let catalog = ctx.catalog();
    let topics = match request.topics {
        None => all(ctx, &catalog),
        Some(asked) if asked.is_empty() && ctx.version == 0 => all(ctx, &catalog),
        Some(asked) => named(ctx, &catalog, asked),
    };
    MetadataResponse::default()
        .with_brokers(vec![this_broker(ctx)])
        .with_cluster_id(Some(StrBytes::from_string(
            ctx.shared.directory.cluster_id().to_owned(),
        )))
        .with_controller_id(BrokerId(NODE_ID))
        .with_cluster_authorized_operations(OPERATIONS_NOT_TOLD)
        .with_topics(topics)
}

fn this_broker(ctx: &Context<'_>) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(ctx.host())
        .with_port(ctx.port())
}

fn all(ctx: &Context<'_>, catalog: &Catalog) -> Vec<MetadataResponseTopic> {
    let readable = catalog.topics().filter(|topic| ctx.may_read(topic));
    readable.map(|topic| found(ctx, topic)).collect()
}

fn named(
    ctx: &Context<'_>,
    catalog: &Catalog,
    asked: Vec<MetadataRequestTopic>,
) -> Vec<MetadataResponseTopic> {
    let mut seen = HashSet::new();
    let mut answers = Vec::new();
    for topic in asked {
        if seen.insert((topic.topic_id, topic.name.clone())) {
            answers.push(one(ctx, catalog, topic));
        }
    }
    answers
}

/// By name where there is one (before v12 ids only come back), else by id.
fn one(ctx: &Context<'_>, catalog: &Catalog, asked: MetadataRequestTopic) -> MetadataResponseTopic {
    let answer =
        MetadataResponseTopic::default().with_topic_authorized_operations(OPERATIONS_NOT_TOLD);
    if let Some(name) = asked.name {
        return match ctx.topic_named(catalog, &name) {
            Ok(topic) => found(ctx, topic),
            Err(refusal) => answer
                .with_error_code(unknown(refusal, &name).code())
                .with_name(Some(name)),
        };
    }
    if asked.topic_id.is_nil() {
        // Before v12 the name of an answer cannot be null.
        let name = Some(TopicName::default());
        return answer
            .with_error_code(Refusal::InvalidRequest.code())
            .with_name(name);
    }
    match ctx.topic_with_id(catalog, asked.topic_id) {
        Ok(topic) => found(ctx, topic),
        Err(refusal) => answer
            .with_error_code(refusal.code())
            .with_topic_id(asked.topic_id)
            .with_name((ctx.version < 12).then(TopicName::default)),
    }
}

/// How a name is refused for which there is no topic: an unknown one that no topic can have is an invalid one. Kafka's
/// rule for names: 1-249 of `[A-Za-z0-9._-]`, not `.` or `..` (`Topic.validate`).
pub(crate) fn unknown(refusal: Refusal, name: &str) -> Refusal {
    let legal = !name.is_empty() && name.len() <= TOPIC_NAME_BYTES && cleaned_name(name) == *name;
    if refusal != Refusal::UnknownTopicOrPartition || (legal && name != "." && name != "..") {
        refusal
    } else {
        Refusal::InvalidTopic
    }
}

fn found(ctx: &Context<'_>, topic: &Topic) -> MetadataResponseTopic {
    let log = ctx.shared.logs.get(&topic.instance);
    let epoch = log
        .and_then(|log| log.ends(topic.number))
        .map_or(0, |ends| ends.epoch);
    let nodes = vec![BrokerId(NODE_ID)];
    let partition = MetadataResponsePartition::default()
        .with_partition_index(0)
        .with_leader_id(BrokerId(NODE_ID))
        .with_leader_epoch(epoch)
        .with_replica_nodes(nodes.clone())
        .with_isr_nodes(nodes);
    MetadataResponseTopic::default()
        .with_error_code(NONE)
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_topic_id(topic.id)
        .with_topic_authorized_operations(OPERATIONS_NOT_TOLD)
        .with_partitions(vec![partition])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_names_are_told_apart_from_unknown_ones() {
        let unknown_topic = Refusal::UnknownTopicOrPartition;
        for name in ["orders", "shop.public.orders", "a_b-c", "..."] {
            assert_eq!(unknown(unknown_topic, name), unknown_topic, "{name}");
        }
        let long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "größe", long.as_str()] {
            assert_eq!(
                unknown(unknown_topic, name),
                Refusal::InvalidTopic,
                "{name}"
            );
            let not_allowed = Refusal::TopicAuthorizationFailed;
            assert_eq!(unknown(not_allowed, name), not_allowed, "{name}");
        }
    }
}
