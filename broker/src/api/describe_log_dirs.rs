//! DescribeLogDirs (api key 35), v1-v4.
//!
//! Tells how much the topics take on disk. Each instance has a log of its own, told as one directory with the
//! instance's name.
//!
//! Behaviour
//! - topics of an instance share its files: a topic's size is its part of the log by number of records
//! - all topics: null; else those that are asked for. Topics and partitions that are not there are left out, as in Kafka
//! - an instance none of whose topics is asked for is left out
//! - free and total space of the volume are not told (-1)
//!
//! Versions
//! - v2 flexible; v3 error of the whole response; v4 space of the volume (KIP-827)

use std::{collections::HashSet, sync::Arc};

use headwater_storage::{Catalog, Ends, InstanceNumber, Log, Topic, TopicNumber};
use kafka_protocol::{
    messages::{
        DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
        describe_log_dirs_request::DescribableLogDirTopic,
        describe_log_dirs_response::{
            DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
        },
    },
    protocol::StrBytes,
};

use crate::context::Context;

/// Never fails.
pub(crate) fn handle(
    ctx: &Context<'_>,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let asked = request.topics.map(names);
    let catalog = ctx.catalog();
    let results = catalog.instances().filter_map(|instance| {
        let log = ctx.shared.logs.get(&instance.number)?;
        let topics = topics(&catalog, instance.number, log, asked.as_ref());
        let directory = StrBytes::from_string(instance.name.clone());
        (!topics.is_empty()).then(|| {
            DescribeLogDirsResult::default()
                .with_log_dir(directory)
                .with_topics(topics)
        })
    });
    DescribeLogDirsResponse::default().with_results(results.collect())
}

/// The topics that are asked for with partition 0: there is no other.
fn names(asked: Vec<DescribableLogDirTopic>) -> HashSet<TopicName> {
    let with_partition = asked
        .into_iter()
        .filter(|topic| topic.partitions.contains(&0));
    with_partition.map(|topic| topic.topic).collect()
}

/// An instance's topics with their parts of its log.
fn topics(
    catalog: &Catalog,
    instance: InstanceNumber,
    log: &Log,
    asked: Option<&HashSet<TopicName>>,
) -> Vec<DescribeLogDirsTopic> {
    let all: Vec<&Arc<Topic>> = catalog.topics_of(instance).collect();
    let numbers: Vec<TopicNumber> = all.iter().map(|topic| topic.number).collect();
    let records: Vec<u64> = log.all_ends(&numbers).iter().map(records).collect();
    let (records_of_all, bytes_of_all) = (records.iter().sum(), log.stats().bytes);
    let sized = all.into_iter().zip(records).map(|(topic, records)| {
        let size = part(bytes_of_all, records, records_of_all);
        (TopicName(StrBytes::from_string(topic.name.clone())), size)
    });
    sized
        .filter(|(name, _)| asked.is_none_or(|asked| asked.contains(name)))
        .map(|(name, size)| described(name, size))
        .collect()
}

/// Records that a topic has; none before its log is there.
fn records(ends: &Option<Ends>) -> u64 {
    ends.map_or(0, |ends| ends.end.abs_diff(ends.start))
}

/// `whole * records / records_of_all`.
fn part(whole: u64, records: u64, records_of_all: u64) -> i64 {
    let product = u128::from(whole) * u128::from(records);
    let part = product.checked_div(u128::from(records_of_all));
    i64::try_from(part.unwrap_or(0)).unwrap_or(i64::MAX)
}

fn described(name: TopicName, size: i64) -> DescribeLogDirsTopic {
    let partition = DescribeLogDirsPartition::default()
        .with_partition_index(0)
        .with_partition_size(size);
    DescribeLogDirsTopic::default()
        .with_name(name)
        .with_partitions(vec![partition])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_log_are_in_proportion_and_never_overflow() {
        assert_eq!(part(1_000, 1, 4), 250);
        assert_eq!(part(1_000, 0, 0), 0);
        assert_eq!(part(u64::MAX, u64::MAX, u64::MAX), i64::MAX);
        assert_eq!(part(1 << 62, 1 << 62, 1 << 63), 1 << 61);
    }
}
