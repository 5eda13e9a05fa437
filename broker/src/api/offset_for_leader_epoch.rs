//! OffsetForLeaderEpoch (api key 23), v2-v4.
//!
//! Tells where a leader epoch ended, so that a client can check its position after a resync (KIP-320).
//!
//! Behaviour
//! - the current epoch: that epoch and the log end; an older one: the largest epoch up to it and where that ended;
//!   one that never was: -1 and -1
//! - current_leader_epoch below ours: FENCED_LEADER_EPOCH, above: UNKNOWN_LEADER_EPOCH
//!
//! Versions
//! - v3 replica id (ignored)
//! - v4 flexible

use headwater_storage::Catalog;
use kafka_protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
};

use crate::{context::Context, error_code::Refusal};

/// Never fails.
pub(crate) fn handle(
    ctx: &Context<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let catalog = ctx.catalog();
    let topics = request
        .topics
        .into_iter()
        .map(|asked| topic(ctx, &catalog, asked))
        .collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

fn topic(
    ctx: &Context<'_>,
    catalog: &Catalog,
    asked: OffsetForLeaderTopic,
) -> OffsetForLeaderTopicResult {
    let answer = |partition: &OffsetForLeaderPartition| {
        let answer = EpochEndOffset::default().with_partition(partition.partition);
        match epoch_end(ctx, catalog, &asked.topic, partition) {
            Ok((epoch, end_offset)) => answer.with_leader_epoch(epoch).with_end_offset(end_offset),
            Err(refusal) => answer
                .with_error_code(refusal.code())
                .with_leader_epoch(-1)
                .with_end_offset(-1),
        }
    };
    let partitions = asked.partitions.iter().map(answer).collect();
    OffsetForLeaderTopicResult::default()
        .with_topic(asked.topic.clone())
        .with_partitions(partitions)
}

fn epoch_end(
    ctx: &Context<'_>,
    catalog: &Catalog,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), Refusal> {
    let partition = ctx.partition_named(catalog, topic, asked.partition)?;
    partition.check_epoch(asked.current_leader_epoch)?;
    Ok(partition
        .log
        .epoch_end(partition.topic, asked.leader_epoch)
        .unwrap_or((-1, -1)))
}
