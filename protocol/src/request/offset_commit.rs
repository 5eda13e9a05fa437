//! OffsetCommit in version 1, which the crate does not have (it starts at 2).
//!
//! Clients for Kafka 0.8.2 send it, and Sarama when set to version 0.11: among them the DTS demo in
//! Go. It is version 2 with a time for each partition in place of the one retention time:
//!
//! | field | type |
//! |---|---|
//! | group id | string |
//! | generation id | i32 |
//! | member id | string |
//! | topics | array of name (string), partitions (array) |
//! | partitions | index (i32), offset (i64), time of the commit (i64, ms; -1 is now), metadata (nullable string) |
//!
//! The time is dropped: it only said from when an offset's expiry counts (Kafka 0.9 to 3.9), and
//! positions here do not expire by it. The response has the bytes of version 2.

use bytes::{Buf, Bytes};
use kafka_protocol::{
    messages::{
        OffsetCommitRequest, TopicName,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    },
    protocol::StrBytes,
};

/// Decodes what passed the shape check; None if a text is not UTF-8.
pub(super) fn decode_v1(body: &mut Bytes) -> Option<OffsetCommitRequest> {
    let request = OffsetCommitRequest::default()
        .with_group_id(string(body)?.into())
        .with_generation_id_or_member_epoch(body.try_get_i32().ok()?)
        .with_member_id(string(body)?);
    Some(request.with_topics(array(body, topic)?))
}

fn topic(body: &mut Bytes) -> Option<OffsetCommitRequestTopic> {
    let topic = OffsetCommitRequestTopic::default().with_name(TopicName(string(body)?));
    Some(topic.with_partitions(array(body, partition)?))
}

fn partition(body: &mut Bytes) -> Option<OffsetCommitRequestPartition> {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(body.try_get_i32().ok()?)
        .with_committed_offset(body.try_get_i64().ok()?);
    let _time_of_the_commit = body.try_get_i64().ok()?;
    Some(partition.with_committed_metadata(nullable_string(body)?))
}

fn string(body: &mut Bytes) -> Option<StrBytes> {
    nullable_string(body)?
}

/// A length of -1 is null. The shape check let no other negative one through.
fn nullable_string(body: &mut Bytes) -> Option<Option<StrBytes>> {
    let Ok(length) = usize::try_from(body.try_get_i16().ok()?) else {
        return Some(None);
    };
    if length > body.remaining() {
        return None;
    }
    StrBytes::from_utf8(body.split_to(length)).ok().map(Some)
}

/// The count fits the frame: the shape check has seen to it.
fn array<T>(body: &mut Bytes, element: fn(&mut Bytes) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(body.try_get_i32().ok()?).ok()?;
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(element(body)?);
    }
    Some(elements)
}
