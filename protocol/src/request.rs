//! Requests: header, closed enum, and [`decode`].
//!
//! | header field | bytes |
//! |---|---|
//! | API key | i16 |
//! | API version | i16 |
//! | correlation id | i32 |
//! | client id | nullable string, length i16 in every version |
//! | tagged fields | in flexible versions (header version 2) |
//!
//! The first eight bytes are the same in every version, so an unknown version can still be answered
//! or refused by them.

mod offset_commit;

use bytes::{Buf, Bytes};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest,
        DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeAclsRequest,
        DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
        DescribeLogDirsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
        IncrementalAlterConfigsRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
        ListOffsetsRequest, ListPartitionReassignmentsRequest, MetadataRequest,
        OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest,
        ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
    },
    protocol::{Decodable, StrBytes},
};

pub use crate::shape::ShapeError;
use crate::{
    api::{Api, Served},
    limits::decoded_bytes_max,
    shape::{Walk, request_layout},
};

/// Characters of a client id that an error repeats.
const CLIENT_NAME_CHARACTERS_MAX: usize = 64;

/// What every request says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API asked for.
    pub api: Api,
    /// The version of request and response; one that the API's row decodes.
    pub version: i16,
    /// Repeated in the response.
    pub correlation_id: i32,
    /// The client's own name for itself; not an identity.
    pub client_id: Option<StrBytes>,
}

/// A decoded request, the crate's struct inside.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the API of its name")]
pub enum Request {
    Produce(ProduceRequest),
    Fetch(FetchRequest),
    ListOffsets(ListOffsetsRequest),
    Metadata(MetadataRequest),
    OffsetCommit(OffsetCommitRequest),
    OffsetFetch(OffsetFetchRequest),
    FindCoordinator(FindCoordinatorRequest),
    JoinGroup(JoinGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    SyncGroup(SyncGroupRequest),
    DescribeGroups(DescribeGroupsRequest),
    ListGroups(ListGroupsRequest),
    SaslHandshake(SaslHandshakeRequest),
    ApiVersions(ApiVersionsRequest),
    CreateTopics(CreateTopicsRequest),
    DeleteTopics(DeleteTopicsRequest),
    DeleteRecords(DeleteRecordsRequest),
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest),
    DescribeAcls(DescribeAclsRequest),
    DescribeConfigs(DescribeConfigsRequest),
    AlterConfigs(AlterConfigsRequest),
    DescribeLogDirs(DescribeLogDirsRequest),
    SaslAuthenticate(SaslAuthenticateRequest),
    CreatePartitions(CreatePartitionsRequest),
    DeleteGroups(DeleteGroupsRequest),
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest),
    ListPartitionReassignments(ListPartitionReassignmentsRequest),
    OffsetDelete(OffsetDeleteRequest),
    DescribeCluster(DescribeClusterRequest),
}

/// What to do about a frame that is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Close the connection without an answer, as Kafka does, and log the reason: some clients
    /// reconnect in a loop, and only the log tells why.
    #[error("{reason}")]
    Close {
        /// What is wrong, with the client's name for itself.
        reason: CloseReason,
    },
    /// Answer with [`crate::response::api_versions_unsupported`]: the client asks for a version of
    /// ApiVersions that is not served, and will ask again with one that is (KIP-511).
    #[error("ApiVersions of an unknown version")]
    AnswerApiVersionsV0 {
        /// The request's.
        correlation_id: i32,
    },
}

/// Why a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the facts of the messages")]
pub enum CloseReason {
    /// The frame is shorter than any request.
    #[error("frame is too short for a request, size={size}")]
    TooShort { size: usize },
    /// The API is not served.
    #[error("API is not served, key={key} version={version} client={client}")]
    UnknownApi {
        key: i16,
        version: i16,
        client: String,
    },
    /// The API is served, but not in this version.
    #[error("{} is not served in this version, version={version} client={client}", api.name())]
    UnsupportedVersion {
        api: Api,
        version: i16,
        client: String,
    },
    /// The frame does not have the layout of its version.
    #[error("{} request is malformed: {what}, version={version} client={client}", api.name())]
    Malformed {
        api: Api,
        version: i16,
        client: String,
        what: ShapeError,
    },
    /// The layout is right, a value is not (text that is not UTF-8).
    #[error("{} request cannot be decoded, version={version} client={client}", api.name())]
    Undecodable {
        api: Api,
        version: i16,
        client: String,
    },
}

/// Decodes a frame, its length field removed. Copies nothing: strings are slices of the frame.
///
/// Takes at most [`decoded_bytes_max`] of memory and time linear in the frame, whatever is in it.
///
/// # Errors
/// [`DecodeError`] says what to do: close the connection, or answer that the version is unknown.
pub fn decode(frame: Bytes) -> Result<(RequestHeader, Request), DecodeError> {
    let fixed = Fixed::of(&frame).ok_or(CloseReason::TooShort { size: frame.len() })?;
    let row = fixed.served(&frame)?;
    let walked =
        walk(row, fixed.version, &frame).map_err(|what| fixed.malformed(row.api, what, &frame))?;
    decode_walked(&fixed, row.api, &walked, &frame).ok_or_else(|| {
        let client = client_name(&frame);
        CloseReason::Undecodable {
            api: row.api,
            version: fixed.version,
            client,
        }
        .into()
    })
}

impl Request {
    /// The API that this asks.
    pub fn api(&self) -> Api {
        match self {
            Self::Produce(_) => Api::Produce,
            Self::Fetch(_) => Api::Fetch,
            Self::ListOffsets(_) => Api::ListOffsets,
            Self::Metadata(_) => Api::Metadata,
            Self::OffsetCommit(_) => Api::OffsetCommit,
            Self::OffsetFetch(_) => Api::OffsetFetch,
            Self::FindCoordinator(_) => Api::FindCoordinator,
            Self::JoinGroup(_) => Api::JoinGroup,
            Self::Heartbeat(_) => Api::Heartbeat,
            Self::LeaveGroup(_) => Api::LeaveGroup,
            Self::SyncGroup(_) => Api::SyncGroup,
            Self::DescribeGroups(_) => Api::DescribeGroups,
            Self::ListGroups(_) => Api::ListGroups,
            Self::SaslHandshake(_) => Api::SaslHandshake,
            Self::ApiVersions(_) => Api::ApiVersions,
            Self::CreateTopics(_) => Api::CreateTopics,
            Self::DeleteTopics(_) => Api::DeleteTopics,
            Self::DeleteRecords(_) => Api::DeleteRecords,
            Self::OffsetForLeaderEpoch(_) => Api::OffsetForLeaderEpoch,
            Self::DescribeAcls(_) => Api::DescribeAcls,
            Self::DescribeConfigs(_) => Api::DescribeConfigs,
            Self::AlterConfigs(_) => Api::AlterConfigs,
            Self::DescribeLogDirs(_) => Api::DescribeLogDirs,
            Self::SaslAuthenticate(_) => Api::SaslAuthenticate,
            Self::CreatePartitions(_) => Api::CreatePartitions,
            Self::DeleteGroups(_) => Api::DeleteGroups,
            Self::IncrementalAlterConfigs(_) => Api::IncrementalAlterConfigs,
            Self::ListPartitionReassignments(_) => Api::ListPartitionReassignments,
            Self::OffsetDelete(_) => Api::OffsetDelete,
            Self::DescribeCluster(_) => Api::DescribeCluster,
        }
    }
}

impl From<CloseReason> for DecodeError {
    fn from(reason: CloseReason) -> Self {
        Self::Close { reason }
    }
}

/// The first eight bytes.
struct Fixed {
    key: i16,
    version: i16,
    correlation_id: i32,
}

impl Fixed {
    const SIZE: usize = 8;

    fn of(frame: &[u8]) -> Option<Self> {
        let mut bytes = frame.get(..Self::SIZE)?;
        Some(Self {
            key: bytes.get_i16(),
            version: bytes.get_i16(),
            correlation_id: bytes.get_i32(),
        })
    }

    /// The row of the API, if it decodes this version.
    fn served(&self, frame: &[u8]) -> Result<&'static Served, DecodeError> {
        let (version, client) = (self.version, || client_name(frame));
        let Some(row) = Served::by_key(self.key) else {
            return Err(CloseReason::UnknownApi {
                key: self.key,
                version,
                client: client(),
            }
            .into());
        };
        if row.decodes(version) {
            return Ok(row);
        }
        if row.api == Api::ApiVersions {
            return Err(DecodeError::AnswerApiVersionsV0 {
                correlation_id: self.correlation_id,
            });
        }
        Err(CloseReason::UnsupportedVersion {
            api: row.api,
            version,
            client: client(),
        }
        .into())
    }

    fn malformed(&self, api: Api, what: ShapeError, frame: &[u8]) -> DecodeError {
        let client = client_name(frame);
        CloseReason::Malformed {
            api,
            version: self.version,
            client,
            what,
        }
        .into()
    }
}

/// What the walk over a frame found.
struct Walked<'a> {
    client_id: Option<&'a [u8]>,
    /// Bytes of the frame from the body on.
    body_size: usize,
    /// Bytes behind the last field; Kafka ignores them, and so do we.
    leftover_size: usize,
}

/// Checks the shape of header and body.
fn walk<'a>(row: &Served, version: i16, frame: &'a [u8]) -> Result<Walked<'a>, ShapeError> {
    let bytes = frame.get(Fixed::SIZE..).ok_or(ShapeError::Truncated)?;
    let flexible = row.is_flexible(version);
    let mut walk = Walk::new(bytes, version, flexible, decoded_bytes_max(frame.len()));
    let client_id = walk.client_id()?;
    if flexible {
        walk.tagged_fields(&[])?;
    }
    let body_size = walk.remaining();
    walk.structure(request_layout(row.api))?;
    Ok(Walked {
        client_id,
        body_size,
        leftover_size: walk.remaining(),
    })
}

/// Decodes what the walk has passed; None if a text is not UTF-8.
fn decode_walked(
    fixed: &Fixed,
    api: Api,
    walked: &Walked<'_>,
    frame: &Bytes,
) -> Option<(RequestHeader, Request)> {
    let client_id = match walked.client_id {
        Some(bytes) => Some(StrBytes::from_utf8(frame.slice_ref(bytes)).ok()?),
        None => None,
    };
    let mut body = frame.clone();
    body.advance(frame.len() - walked.body_size);
    let request = decode_body(api, fixed.version, &mut body)?;
    // The walk and the decoder must have read the same bytes, or the walk has vouched for others.
    let agreed = body.remaining() == walked.leftover_size;
    debug_assert!(
        agreed,
        "layout and decoder differ: {api:?} {}",
        fixed.version
    );
    let (version, correlation_id) = (fixed.version, fixed.correlation_id);
    agreed.then_some((
        RequestHeader {
            api,
            version,
            correlation_id,
            client_id,
        },
        request,
    ))
}

fn decode_body(api: Api, version: i16, body: &mut Bytes) -> Option<Request> {
    match api {
        Api::Produce => decoded(body, version).map(Request::Produce),
        Api::Fetch => decoded(body, version).map(Request::Fetch),
        Api::ListOffsets => decoded(body, version).map(Request::ListOffsets),
        Api::Metadata => decoded(body, version).map(Request::Metadata),
        Api::OffsetCommit => offset_commit(body, version).map(Request::OffsetCommit),
        Api::OffsetFetch => decoded(body, version).map(Request::OffsetFetch),
        Api::FindCoordinator => decoded(body, version).map(Request::FindCoordinator),
        Api::JoinGroup => decoded(body, version).map(Request::JoinGroup),
        Api::Heartbeat => decoded(body, version).map(Request::Heartbeat),
        Api::LeaveGroup => decoded(body, version).map(Request::LeaveGroup),
        Api::SyncGroup => decoded(body, version).map(Request::SyncGroup),
        Api::DescribeGroups => decoded(body, version).map(Request::DescribeGroups),
        Api::ListGroups => decoded(body, version).map(Request::ListGroups),
        Api::SaslHandshake => decoded(body, version).map(Request::SaslHandshake),
        Api::ApiVersions => decoded(body, version).map(Request::ApiVersions),
        Api::CreateTopics => decoded(body, version).map(Request::CreateTopics),
        Api::DeleteTopics => decoded(body, version).map(Request::DeleteTopics),
        Api::DeleteRecords => decoded(body, version).map(Request::DeleteRecords),
        Api::OffsetForLeaderEpoch => decoded(body, version).map(Request::OffsetForLeaderEpoch),
        Api::DescribeAcls => decoded(body, version).map(Request::DescribeAcls),
        Api::DescribeConfigs => decoded(body, version).map(Request::DescribeConfigs),
        Api::AlterConfigs => decoded(body, version).map(Request::AlterConfigs),
        Api::DescribeLogDirs => decoded(body, version).map(Request::DescribeLogDirs),
        Api::SaslAuthenticate => decoded(body, version).map(Request::SaslAuthenticate),
        Api::CreatePartitions => decoded(body, version).map(Request::CreatePartitions),
        Api::DeleteGroups => decoded(body, version).map(Request::DeleteGroups),
        Api::IncrementalAlterConfigs => {
            decoded(body, version).map(Request::IncrementalAlterConfigs)
        }
        Api::ListPartitionReassignments => {
            decoded(body, version).map(Request::ListPartitionReassignments)
        }
        Api::OffsetDelete => decoded(body, version).map(Request::OffsetDelete),
        Api::DescribeCluster => decoded(body, version).map(Request::DescribeCluster),
    }
}

fn offset_commit(body: &mut Bytes, version: i16) -> Option<OffsetCommitRequest> {
    if version == 1 {
        offset_commit::decode_v1(body)
    } else {
        decoded(body, version)
    }
}

/// The decoder's own words on an error repeat what [`CloseReason::Undecodable`] says.
fn decoded<T: Decodable>(body: &mut Bytes, version: i16) -> Option<T> {
    T::decode(body, version).ok()
}

/// The client id for a log line, whatever the API: it stands at the same place in every header.
/// Shortened and escaped, because a stranger wrote it; `-` where there is none.
fn client_name(frame: &[u8]) -> String {
    let bytes = frame.get(Fixed::SIZE..).unwrap_or_default();
    let name = Walk::new(bytes, 0, false, 0).client_id().ok().flatten();
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return "-".to_owned();
    };
    // Four bytes a character at most, so that a long id is not converted whole.
    let head = name.get(..4 * CLIENT_NAME_CHARACTERS_MAX).unwrap_or(name);
    let text = String::from_utf8_lossy(head);
    text.chars()
        .take(CLIENT_NAME_CHARACTERS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}
