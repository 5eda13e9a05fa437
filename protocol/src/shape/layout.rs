//! The table of request layouts: every served API, every version. From Kafka's message schemas
//! (`clients/src/main/resources/common/message/*Request.json`).
//!
//! Reading it: a field is present in the versions it names; strings, arrays and bytes are compact
//! where the API's version is flexible; a structure ends with tagged fields there. `memory` is what
//! the decoder allocates for one element of an array, taken from the crate's own types.

use kafka_protocol::{messages as crate_messages, protocol::StrBytes};

use crate_messages::{
    fetch_request, list_offsets_request, metadata_request, offset_for_leader_epoch_request,
    produce_request,
};

use crate::api::Api;

/// A structure, or an element of an array.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Bytes of memory one takes as an element of an array, without what its own arrays take.
    pub(super) memory: usize,
    pub(super) fields: &'static [Field],
    /// Whether tagged fields follow in flexible versions: not behind elements that are plain values.
    pub(super) tagged: bool,
    /// The tagged fields that the decoder knows.
    pub(super) tags: &'static [Tag],
}

/// A field and the versions that have it, both ends inclusive.
#[derive(Debug)]
pub(super) struct Field {
    from: i16,
    to: i16,
    pub(super) shape: Shape,
}

impl Field {
    pub(super) fn is_in(&self, version: i16) -> bool {
        (self.from..=self.to).contains(&version)
    }
}

/// A tagged field that the decoder reads by its layout.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(super) tag: u32,
    /// First version that may have it.
    pub(super) from: i16,
    pub(super) shape: Shape,
}

/// How a field is laid out.
#[derive(Debug)]
pub(super) enum Shape {
    /// A value of so many bytes.
    Fixed(usize),
    String,
    NullableString,
    NullableBytes,
    Array(&'static Layout),
    NullableArray(&'static Layout),
    Structure(&'static Layout),
}

use Shape::{Array, Fixed, NullableArray, NullableBytes, NullableString, String, Structure};

const BOOL: Shape = Fixed(1);
const INT8: Shape = Fixed(1);
const INT16: Shape = Fixed(2);
const INT32: Shape = Fixed(4);
const INT64: Shape = Fixed(8);
const UUID: Shape = Fixed(16);

const fn all(shape: Shape) -> Field {
    between(0, i16::MAX, shape)
}

const fn since(from: i16, shape: Shape) -> Field {
    between(from, i16::MAX, shape)
}

const fn until(to: i16, shape: Shape) -> Field {
    between(0, to, shape)
}

const fn between(from: i16, to: i16, shape: Shape) -> Field {
    Field { from, to, shape }
}

/// A request: allocates nothing by itself.
const fn request(fields: &'static [Field]) -> Layout {
    Layout {
        memory: 0,
        fields,
        tagged: true,
        tags: &[],
    }
}

/// An element that the decoder puts into a `Vec<T>`.
const fn element<T>(fields: &'static [Field]) -> Layout {
    Layout {
        memory: size_of::<T>(),
        fields,
        tagged: true,
        tags: &[],
    }
}

/// An element that is a plain value, a `T` in memory.
const fn value<T>(fields: &'static [Field]) -> Layout {
    Layout {
        memory: size_of::<T>(),
        fields,
        tagged: false,
        tags: &[],
    }
}

/// The layout of an API's request, without its header.
pub(crate) fn request_layout(api: Api) -> &'static Layout {
    match api {
        Api::Produce => &PRODUCE,
        Api::Fetch => &FETCH,
        Api::ListOffsets => &LIST_OFFSETS,
        Api::Metadata => &METADATA,
        Api::FindCoordinator => &FIND_COORDINATOR,
        Api::ApiVersions => &API_VERSIONS,
        Api::OffsetForLeaderEpoch => &OFFSET_FOR_LEADER_EPOCH,
    }
}

static INT32_VALUE: Layout = value::<i32>(&[all(INT32)]);
static STRING_VALUE: Layout = value::<StrBytes>(&[all(String)]);

/// Versions 0-4.
static API_VERSIONS: Layout = request(&[
    since(3, String), // client software name
    since(3, String), // client software version
]);

/// Versions 0-12.
static METADATA: Layout = request(&[
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
static FETCH: Layout = Layout {
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
static LIST_OFFSETS: Layout = request(&[
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
static OFFSET_FOR_LEADER_EPOCH: Layout = request(&[
    since(3, INT32), // replica id
    all(Array(&OFFSET_FOR_LEADER_EPOCH_TOPIC)),
]);
static OFFSET_FOR_LEADER_EPOCH_TOPIC: Layout =
    element::<offset_for_leader_epoch_request::OffsetForLeaderTopic>(&[
        all(String), // topic
        all(Array(&OFFSET_FOR_LEADER_EPOCH_PARTITION)),
    ]);
static OFFSET_FOR_LEADER_EPOCH_PARTITION: Layout =
    element::<offset_for_leader_epoch_request::OffsetForLeaderPartition>(&[
        all(INT32), // partition
        all(INT32), // current leader epoch
        all(INT32), // leader epoch
    ]);

/// Versions 0-5.
static FIND_COORDINATOR: Layout = request(&[
    until(3, String), // key
    since(1, INT8),   // key type
    since(4, Array(&STRING_VALUE)),
]);

/// Versions 3-12.
static PRODUCE: Layout = request(&[
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
