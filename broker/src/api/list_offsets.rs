//! ListOffsets (api key 2), v1-v9.
//!
//! Finds an offset by a special value or by time.
//!
//! Behaviour
//! - -1 latest: the high watermark. -2 earliest and (v8+) -4 earliest local: the log start. v7+ -3: the first record
//!   with the largest timestamp, and that timestamp. v9+ -5 latest tiered: -1, nothing is tiered. A special value
//!   below its version, or an unknown one: UNSUPPORTED_VERSION
//! - a time: the first record in offset order that is not older, and that record's time; none: -1 and -1
//! - a time of 1 to 99,999,999,999 is in seconds, and so is the answer's (deviation, docs/wire.md)
//! - a topic of format `dts-avro`, a time in seconds, not later than now, and no such record: the high watermark
//! - current_leader_epoch below ours: FENCED_LEADER_EPOCH, above: UNKNOWN_LEADER_EPOCH
//!
//! Versions
//! - v2 isolation level (no transactions here: ignored); v4 leader epoch (KIP-320); v6 flexible
//! - v7 max timestamp (KIP-734); v8 earliest local (KIP-405); v9 latest tiered (KIP-1005)

use std::sync::Arc;

use bytes::Bytes;
use headwater_protocol::batch::{BatchHeader, first_at_or_after};
use headwater_storage::{Catalog, Log, ReadError, TopicNumber};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
};

use crate::{
    context::{Context, Partition},
    dts,
    error_code::Refusal,
};

/// Largest timestamp that is taken for seconds: the year 5138 in seconds, March 1973 in milliseconds.
const SECONDS_MAX: i64 = 99_999_999_999;

/// What a request's timestamp asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    Latest,
    Earliest,
    MaxTimestamp,
    LatestTiered,
    /// `unit_ms` is what one of the request's units is in milliseconds.
    Time {
        at_ms: i64,
        unit_ms: i64,
    },
}

/// Offset, timestamp in the request's unit, leader epoch; -1 each where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found {
    offset: -1,
    timestamp: -1,
    leader_epoch: -1,
};

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let catalog = ctx.catalog();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        topics.push(topic(ctx, &catalog, asked).await);
    }
    ListOffsetsResponse::default().with_topics(topics)
}

async fn topic(
    ctx: &Context<'_>,
    catalog: &Catalog,
    asked: ListOffsetsTopic,
) -> ListOffsetsTopicResponse {
    let mut partitions = Vec::with_capacity(asked.partitions.len());
    for partition in &asked.partitions {
        let answer =
            ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index);
        partitions.push(match find(ctx, catalog, &asked.name, partition).await {
            Ok(found) => answer
                .with_offset(found.offset)
                .with_timestamp(found.timestamp)
                .with_leader_epoch(found.leader_epoch),
            Err(refusal) => answer
                .with_error_code(refusal.code())
                .with_offset(-1)
                .with_timestamp(-1)
                .with_leader_epoch(-1),
        });
    }
    ListOffsetsTopicResponse::default()
        .with_name(asked.name)
        .with_partitions(partitions)
}

async fn find(
    ctx: &Context<'_>,
    catalog: &Catalog,
    name: &str,
    asked: &ListOffsetsPartition,
) -> Result<Found, Refusal> {
    let lookup = lookup(ctx.version, asked.timestamp)?;
    let partition = ctx.partition_named(catalog, name, asked.partition_index)?;
    partition.check_epoch(asked.current_leader_epoch)?;

    // Older versions have no field for it.
    let leader_epoch = if ctx.version >= 4 {
        partition.ends.epoch
    } else {
        -1
    };
    match lookup {
        Lookup::Latest => Ok(Found {
            offset: partition.ends.end,
            timestamp: -1,
            leader_epoch,
        }),
        Lookup::Earliest => Ok(Found {
            offset: partition.ends.start,
            timestamp: -1,
            leader_epoch,
        }),
        Lookup::LatestTiered => Ok(NOTHING),
        Lookup::MaxTimestamp => {
            let found = by_time(&partition, Log::batch_of_max_timestamp, None).await?;
            Ok(found.map_or(NOTHING, |(offset, timestamp)| Found {
                offset,
                timestamp,
                leader_epoch,
            }))
        }
        Lookup::Time { at_ms, unit_ms } => {
            let search = move |log: &Log, topic| log.batch_at_time(topic, at_ms);
            let found = by_time(&partition, search, Some(at_ms)).await?;
            let found = found.map(|(offset, timestamp_ms)| Found {
                offset,
                timestamp: timestamp_ms.div_euclid(unit_ms),
                leader_epoch,
            });
            let end = Found {
                offset: partition.ends.end,
                timestamp: at_ms.div_euclid(unit_ms),
                leader_epoch,
            };
            let is_end = || unit_ms == 1_000 && ends_at(ctx, catalog, &partition, end.timestamp);
            Ok(found.unwrap_or_else(|| if is_end() { end } else { NOTHING }))
        }
    }
}

/// Whether a lookup in seconds that no record answers is answered with the log end.
fn ends_at(ctx: &Context<'_>, catalog: &Catalog, partition: &Partition, at_s: i64) -> bool {
    let topic = catalog.topic(partition.topic);
    let is_of_dts = topic.is_some_and(|topic| dts::is_of_dts(catalog, topic));
    is_of_dts && dts::is_answered_with_the_end(at_s, ctx.shared.clock.wall_ms())
}

fn lookup(version: i16, timestamp: i64) -> Result<Lookup, Refusal> {
    match timestamp {
        -1 => Ok(Lookup::Latest),
        -2 => Ok(Lookup::Earliest),
        -3 if version >= 7 => Ok(Lookup::MaxTimestamp),
        -4 if version >= 8 => Ok(Lookup::Earliest),
        -5 if version >= 9 => Ok(Lookup::LatestTiered),
        i64::MIN..=-1 => Err(Refusal::UnsupportedVersion),
        0 => Ok(Lookup::Time {
            at_ms: 0,
            unit_ms: 1,
        }),
        1..=SECONDS_MAX => Ok(Lookup::Time {
            at_ms: timestamp * 1000,
            unit_ms: 1000,
        }),
        _ => Ok(Lookup::Time {
            at_ms: timestamp,
            unit_ms: 1,
        }),
    }
}

/// The batch that `search` finds, off the runtime since it may read files, and in it the first record that is not
/// older than `at_ms` (`None`: than the batch's newest).
async fn by_time<S>(
    partition: &Partition,
    search: S,
    at_ms: Option<i64>,
) -> Result<Option<(i64, i64)>, Refusal>
where
    S: FnOnce(&Log, TopicNumber) -> Result<Option<Bytes>, ReadError> + Send + 'static,
{
    let (log, topic) = (Arc::clone(&partition.log), partition.topic);
    let searched = tokio::task::spawn_blocking(move || search(&log, topic)).await;
    // A search that panicked found damage that it could not name.
    let batch = searched
        .map_err(|_| Refusal::CorruptMessage)?
        .map_err(|error| Refusal::from(&error))?;
    let Some(batch) = batch else {
        return Ok(None);
    };
    let newest = || BatchHeader::parse(&batch).map(|header| header.max_timestamp);
    let at_ms = at_ms
        .map_or_else(newest, Ok)
        .map_err(|_| Refusal::CorruptMessage)?;
    first_at_or_after(&batch, at_ms).map_err(|_| Refusal::CorruptMessage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_values_belong_to_versions() {
        for (timestamp, first_version, expected) in [
            (-1, 1, Lookup::Latest),
            (-2, 1, Lookup::Earliest),
            (-3, 7, Lookup::MaxTimestamp),
            (-4, 8, Lookup::Earliest),
            (-5, 9, Lookup::LatestTiered),
        ] {
            for version in 1..=9 {
                let expected = if version >= first_version {
                    Ok(expected)
                } else {
                    Err(Refusal::UnsupportedVersion)
                };
                assert_eq!(
                    lookup(version, timestamp),
                    expected,
                    "v{version} {timestamp}"
                );
            }
        }
        assert_eq!(lookup(9, -6), Err(Refusal::UnsupportedVersion));
        assert_eq!(lookup(9, i64::MIN), Err(Refusal::UnsupportedVersion));
    }

    #[test]
    fn small_times_are_seconds() {
        for (timestamp, at_ms, unit_ms) in [
            (0, 0, 1),
            (1, 1_000, 1_000),
            (1_700_000_000, 1_700_000_000_000, 1_000),
            (99_999_999_999, 99_999_999_999_000, 1_000),
            (100_000_000_000, 100_000_000_000, 1),
            (1_700_000_000_000, 1_700_000_000_000, 1),
            (i64::MAX, i64::MAX, 1),
        ] {
            assert_eq!(lookup(1, timestamp), Ok(Lookup::Time { at_ms, unit_ms }));
        }
    }
}
