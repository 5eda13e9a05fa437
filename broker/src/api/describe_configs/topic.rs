//! The settings of a topic.

use headwater_protocol::batch::Compression;
use headwater_storage::{InstanceNumber, Topic};

use super::entry::{Entry, Kind};
use crate::context::Context;

/// How much of an instance's log is kept. Kafka's -1 stands for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retention {
    ms: i64,
    bytes: i64,
}

pub(super) fn entries(ctx: &Context<'_>, topic: &Topic) -> Vec<Entry> {
    let retention = retention(ctx, topic.instance);
    vec![
        Entry::always(
            "cleanup.policy",
            Kind::List,
            "delete",
            "Old records are deleted, never compacted.",
        ),
        Entry::file(
            "compression.type",
            Kind::String,
            compression(ctx, topic),
            "How batches are written now; each says its own, and is sent as it was written.",
        ),
        Entry::file(
            "max.message.bytes",
            Kind::Int,
            ctx.shared.record_bytes_max(topic.instance),
            "A row change of up to this size is kept whole.",
        ),
        Entry::always(
            "message.timestamp.type",
            Kind::String,
            "CreateTime",
            "A record's timestamp is the commit time at the source.",
        ),
        Entry::always(
            "min.insync.replicas",
            Kind::Int,
            1,
            "There is one node; a record is visible once it is on disk.",
        ),
        Entry::file(
            "retention.bytes",
            Kind::Long,
            retention.bytes,
            "Size of the log of the whole instance, over which its oldest records are deleted.",
        ),
        Entry::file(
            "retention.ms",
            Kind::Long,
            retention.ms,
            "Time that the broker ran since a record's file was finished, after which it is deleted.",
        ),
        Entry::always(
            "unclean.leader.election.enable",
            Kind::Boolean,
            false,
            "There is one node, and it serves only what is on disk.",
        ),
    ]
}

/// In Kafka's words.
fn compression(ctx: &Context<'_>, topic: &Topic) -> &'static str {
    let catalog = ctx.catalog();
    let instance = catalog.instance(topic.instance);
    let names = instance.zip(catalog.feed(topic.feed));
    let names = names.map(|(instance, feed)| (instance.name.clone(), feed.prefix.clone()));
    let configured = names.and_then(|names| ctx.shared.compression.get(&names));
    match configured.copied().unwrap_or_default() {
        Compression::None => "uncompressed",
        codec
        @ (Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd) => {
            codec.name()
        }
    }
}

/// Of an instance that the configuration no longer names nothing is deleted.
fn retention(ctx: &Context<'_>, instance: InstanceNumber) -> Retention {
    let Some(limits) = ctx.shared.retention.get(&instance) else {
        return Retention { ms: -1, bytes: -1 };
    };
    Retention {
        ms: i64::try_from(limits.age.as_millis()).unwrap_or(i64::MAX),
        bytes: i64::try_from(limits.bytes).unwrap_or(i64::MAX),
    }
}
