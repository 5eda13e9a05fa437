//! The settings of this broker.

use headwater_capture::limits::RECORD_BYTES_MAX;
use headwater_protocol::limits::REQUEST_BYTES_MAX;

use super::entry::{Entry, Kind};
use crate::{
    context::Context,
    limits::{FETCH_BYTES_MAX, NODE_ID},
};

pub(super) fn entries(ctx: &Context<'_>) -> Vec<Entry> {
    let mut entries = always();
    let connections = &ctx.shared.connections;
    entries.extend([
        Entry::file(
            "connections.max.idle.ms",
            Kind::Long,
            connections.idle_close.as_millis(),
            "A connection without a request for this long is closed.",
        ),
        Entry::file(
            "max.connections",
            Kind::Int,
            connections.connections_max,
            "Connections over all listeners.",
        ),
    ]);
    entries
}

fn always() -> Vec<Entry> {
    let one = "There is one node, and every topic has one partition on it.";
    let from_the_source = "Topics follow the tables of the source database.";
    vec![
        Entry::always("node.id", Kind::Int, NODE_ID, one),
        Entry::always("default.replication.factor", Kind::Int, 1, one),
        Entry::always("min.insync.replicas", Kind::Int, 1, one),
        Entry::always("num.partitions", Kind::Int, 1, one),
        Entry::always(
            "auto.create.topics.enable",
            Kind::Boolean,
            false,
            from_the_source,
        ),
        Entry::always("delete.topic.enable", Kind::Boolean, false, from_the_source),
        Entry::always(
            "log.message.timestamp.type",
            Kind::String,
            "CreateTime",
            "A record's timestamp is the commit time at the source.",
        ),
        Entry::always(
            "message.max.bytes",
            Kind::Int,
            RECORD_BYTES_MAX,
            "A row change of up to this size is kept whole.",
        ),
        Entry::always(
            "fetch.max.bytes",
            Kind::Int,
            FETCH_BYTES_MAX,
            "A response carries at most this besides its first batch.",
        ),
        Entry::always(
            "socket.request.max.bytes",
            Kind::Int,
            REQUEST_BYTES_MAX,
            "A larger request closes the connection.",
        ),
    ]
}
