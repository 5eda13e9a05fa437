//! Topics and their records: Metadata, Fetch, ListOffsets, OffsetForLeaderEpoch, Produce.

use kafka_protocol::messages::{
    fetch_request, list_offsets_request, metadata_request, offset_for_leader_epoch_request,
    produce_request,
};

use super::{
    Array, BOOL, INT8, INT16, INT32, INT32_VALUE, INT64, Layout, NullableArray, NullableBytes,
    NullableString, String, Structure, Tag, UUID, all, between, element, request, since, until,
};

/// Versions 0-12.
pub(super) static METADATA: Layout = request(&[
    until(0, Array(&METADATA_TOPIC)), // empty asks for all topics
    since(1, NullableArray(&METADATA_TOPIC)), // null asks for all topics
    since(4, BOOL),                   // allow auto topic creation
    between(8, 10, BOOL),             // include cluster authorized operations
    since(8, BOOL),                   // include topic authorized operations
]);
static METADATA_TOPIC: Layout = element::<metadata_request::MetadataRequestTopic>(&[
    since(10, UUID), // topic id
    until(9, String),
    since(10, NullableString), // name; null asks by id
]);

/// Versions 4-16.
pub(super) static FETCH: Layout = Layout {
    memory: 0,
    tagged: true,
    tags: &[
        Tag {
            tag: 0,
            from: 12,
            shape: NullableString,
        }, // cluster id
        Tag {
            tag: 1,
            from: 15,
            shape: Structure(&FETCH_REPLICA_STATE),
        },
    ],
    fields: &[
        until(14, INT32), // replica id
        all(INT32),       // max wait, ms
        all(INT32),       // min bytes
        all(INT32),       // max bytes
        all(INT8),        // isolation level
        since(7, INT32),  // session id
        since(7, INT32),  // session epoch
        all(Array(&FETCH_TOPIC)),
        since(7, Array(&FETCH_FORGOTTEN_TOPIC)),
        since(11, String), // rack id
    ],
};
static FETCH_REPLICA_STATE: Layout = request(&[
    all(INT32), // replica id
    all(INT64), // replica epoch
]);
static FETCH_TOPIC: Layout = element::<fetch_request::FetchTopic>(&[
    until(12, String), // topic
    since(13, UUID),   // topic id
    all(Array(&FETCH_PARTITION)),
]);
static FETCH_PARTITION: Layout = Layout {
    memory: size_of::<fetch_request::FetchPartition>(),
    tagged: true,
    tags: &[
        Tag {
            tag: 0,
            from: 17,
            shape: UUID,
        }, // replica directory id
        Tag {
            tag: 1,
            from: 18,
            shape: INT64,
        }, // high watermark
    ],
    fields: &[
        all(INT32),       // partition
        since(9, INT32),  // current leader epoch
        all(INT64),       // fetch offset
        since(12, INT32), // last fetched epoch
        since(5, INT64),  // log start offset
        all(INT32),       // partition max bytes
    ],
};
static FETCH_FORGOTTEN_TOPIC: Layout = element::<fetch_request::ForgottenTopic>(&[
    until(12, String), // topic
    since(13, UUID),   // topic id
    all(Array(&INT32_VALUE)),
]);

/// Versions 1-9.
pub(super) static LIST_OFFSETS: Layout = request(&[
    all(INT32),     // replica id
    since(2, INT8), // isolation level
    all(Array(&LIST_OFFSETS_TOPIC)),
]);
static LIST_OFFSETS_TOPIC: Layout = element::<list_offsets_request::ListOffsetsTopic>(&[
    all(String), // name
    all(Array(&LIST_OFFSETS_PARTITION)),
]);
static LIST_OFFSETS_PARTITION: Layout = element::<list_offsets_request::ListOffsetsPartition>(&[
    all(INT32),      // partition
    since(4, INT32), // current leader epoch
    all(INT64),      // timestamp
]);

/// Versions 2-4.
pub(super) static OFFSET_FOR_LEADER_EPOCH: Layout = request(&[
    since(3, INT32), // replica id
    all(Array(&OFFSET_FOR_LEADER_EPOCH_TOPIC)),
]);
pub(super) static OFFSET_FOR_LEADER_EPOCH_TOPIC: Layout =
    element::<offset_for_leader_epoch_request::OffsetForLeaderTopic>(&[
        all(String), // topic
        all(Array(&OFFSET_FOR_LEADER_EPOCH_PARTITION)),
    ]);
pub(super) static OFFSET_FOR_LEADER_EPOCH_PARTITION: Layout =
    element::<offset_for_leader_epoch_request::OffsetForLeaderPartition>(&[
        all(INT32), // partition
        all(INT32), // current leader epoch
        all(INT32), // leader epoch
    ]);

/// Versions 3-12.
pub(super) static PRODUCE: Layout = request(&[
    all(NullableString), // transactional id
    all(INT16),          // acks
    all(INT32),          // timeout, ms
    all(Array(&PRODUCE_TOPIC)),
]);
static PRODUCE_TOPIC: Layout = element::<produce_request::TopicProduceData>(&[
    all(String), // name
    all(Array(&PRODUCE_PARTITION)),
]);
static PRODUCE_PARTITION: Layout = element::<produce_request::PartitionProduceData>(&[
    all(INT32),         // partition
    all(NullableBytes), // records
]);
