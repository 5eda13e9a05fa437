//! The table of request layouts: every served API, every version. From Kafka's message schemas
//! (`clients/src/main/resources/common/message/*Request.json`).
//!
//! Reading it: a field is present in the versions it names; strings, arrays and bytes are compact
//! where the API's version is flexible; a structure ends with tagged fields there. `memory` is what
//! the decoder allocates for one element of an array, taken from the crate's own types; where the
//! element is small and the answer repeats it in something larger, that is counted too.

mod admin;
mod groups;
mod records;
mod session;

use kafka_protocol::protocol::StrBytes;

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
    Bytes,
    NullableBytes,
    Array(&'static Layout),
    NullableArray(&'static Layout),
    Structure(&'static Layout),
}

use Shape::{Array, Bytes, Fixed, NullableArray, NullableBytes, NullableString, String, Structure};

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

/// An element `T`, to which an `A` of the response answers.
const fn answered<T, A>(fields: &'static [Field]) -> Layout {
    Layout {
        memory: size_of::<T>() + size_of::<A>(),
        fields,
        tagged: true,
        tags: &[],
    }
}

/// An element that is a plain value, a `T` in memory, to which an `A` of the response answers.
const fn answered_value<T, A>(fields: &'static [Field]) -> Layout {
    Layout {
        memory: size_of::<T>() + size_of::<A>(),
        fields,
        tagged: false,
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
        Api::Produce => &records::PRODUCE,
        Api::Fetch => &records::FETCH,
        Api::ListOffsets => &records::LIST_OFFSETS,
        Api::Metadata => &records::METADATA,
        Api::OffsetCommit => &groups::OFFSET_COMMIT,
        Api::OffsetFetch => &groups::OFFSET_FETCH,
        Api::FindCoordinator => &groups::FIND_COORDINATOR,
        Api::JoinGroup => &groups::JOIN_GROUP,
        Api::Heartbeat => &groups::HEARTBEAT,
        Api::LeaveGroup => &groups::LEAVE_GROUP,
        Api::SyncGroup => &groups::SYNC_GROUP,
        Api::DescribeGroups => &groups::DESCRIBE_GROUPS,
        Api::ListGroups => &groups::LIST_GROUPS,
        Api::SaslHandshake => &session::SASL_HANDSHAKE,
        Api::ApiVersions => &session::API_VERSIONS,
        Api::CreateTopics => &admin::CREATE_TOPICS,
        Api::DeleteTopics => &admin::DELETE_TOPICS,
        Api::DeleteRecords => &admin::DELETE_RECORDS,
        Api::OffsetForLeaderEpoch => &records::OFFSET_FOR_LEADER_EPOCH,
        Api::DescribeAcls => &admin::DESCRIBE_ACLS,
        Api::DescribeConfigs => &admin::DESCRIBE_CONFIGS,
        Api::AlterConfigs => &admin::ALTER_CONFIGS,
        Api::DescribeLogDirs => &admin::DESCRIBE_LOG_DIRS,
        Api::SaslAuthenticate => &session::SASL_AUTHENTICATE,
        Api::CreatePartitions => &admin::CREATE_PARTITIONS,
        Api::DeleteGroups => &groups::DELETE_GROUPS,
        Api::IncrementalAlterConfigs => &admin::INCREMENTAL_ALTER_CONFIGS,
        Api::ListPartitionReassignments => &admin::LIST_PARTITION_REASSIGNMENTS,
        Api::OffsetDelete => &groups::OFFSET_DELETE,
        Api::DescribeCluster => &admin::DESCRIBE_CLUSTER,
    }
}

static INT32_VALUE: Layout = value::<i32>(&[all(INT32)]);
static STRING_VALUE: Layout = value::<StrBytes>(&[all(String)]);
