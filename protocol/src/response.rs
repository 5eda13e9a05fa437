//! Responses: closed enum, and [`encode`] into byte pieces for one vectored write.
//!
//! A response frame is its length (i32), the correlation id, in flexible versions an empty section
//! of tagged fields (never for ApiVersions), and the body in the version that was asked for.

use bytes::{BufMut, Bytes};
use kafka_protocol::{
    error::ResponseError,
    messages::{
        AlterConfigsResponse, ApiVersionsResponse, CreatePartitionsResponse, CreateTopicsResponse,
        DeleteGroupsResponse, DeleteRecordsResponse, DeleteTopicsResponse, DescribeAclsResponse,
        DescribeClusterResponse, DescribeConfigsResponse, DescribeGroupsResponse,
        DescribeLogDirsResponse, FindCoordinatorResponse, HeartbeatResponse,
        IncrementalAlterConfigsResponse, JoinGroupResponse, LeaveGroupResponse, ListGroupsResponse,
        ListOffsetsResponse, ListPartitionReassignmentsResponse, MetadataResponse,
        OffsetCommitResponse, OffsetDeleteResponse, OffsetFetchResponse,
        OffsetForLeaderEpochResponse, ProduceResponse, SaslAuthenticateResponse,
        SaslHandshakeResponse, SyncGroupResponse,
    },
    protocol::Encodable,
};

use crate::{
    api::{Api, Served},
    fetch_response::FetchResponse,
    request::RequestHeader,
};

/// A response, the crate's struct inside; Fetch has a struct of our own.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the API of its name")]
pub enum Response {
    Produce(ProduceResponse),
    Fetch(FetchResponse),
    ListOffsets(ListOffsetsResponse),
    Metadata(MetadataResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponse),
    FindCoordinator(FindCoordinatorResponse),
    JoinGroup(JoinGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    SyncGroup(SyncGroupResponse),
    DescribeGroups(DescribeGroupsResponse),
    ListGroups(ListGroupsResponse),
    SaslHandshake(SaslHandshakeResponse),
    ApiVersions(ApiVersionsResponse),
    CreateTopics(CreateTopicsResponse),
    DeleteTopics(DeleteTopicsResponse),
    DeleteRecords(DeleteRecordsResponse),
    OffsetForLeaderEpoch(OffsetForLeaderEpochResponse),
    DescribeAcls(DescribeAclsResponse),
    DescribeConfigs(DescribeConfigsResponse),
    AlterConfigs(AlterConfigsResponse),
    DescribeLogDirs(DescribeLogDirsResponse),
    SaslAuthenticate(SaslAuthenticateResponse),
    CreatePartitions(CreatePartitionsResponse),
    DeleteGroups(DeleteGroupsResponse),
    IncrementalAlterConfigs(IncrementalAlterConfigsResponse),
    ListPartitionReassignments(ListPartitionReassignmentsResponse),
    OffsetDelete(OffsetDeleteResponse),
    DescribeCluster(DescribeClusterResponse),
}

impl Response {
    /// The API that this answers.
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

/// A part of an encoded response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Memory(Bytes),
    /// Bytes that whoever made the response has somewhere else.
    Elsewhere {
        /// His name for them.
        number: usize,
        /// How many.
        length: usize,
    },
}

impl Piece {
    /// Bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Elsewhere { length, .. } => *length,
        }
    }
}

/// The response cannot be sent: a fault of ours. The caller logs it and closes the connection,
/// because a client waits for the answer to every request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The handler answered with another API's response.
    #[error("{} request was answered with another response, got={}", asked.name(), got.name())]
    WrongApi {
        /// The API of the request.
        asked: Api,
        /// The API of the response.
        got: Api,
    },
    /// A field is set that the version does not have, or a string is too long for it.
    #[error("{} response has no form in this version, version={version} cause={cause}", api.name())]
    Version {
        /// The API.
        api: Api,
        /// The version asked for.
        version: i16,
        /// What the encoder says.
        cause: String,
    },
    /// The frame would be longer than an i32 can say.
    #[error("response exceeds what a frame can carry, size={size}")]
    TooLarge {
        /// Bytes it would have.
        size: usize,
    },
}

/// Encodes a response to the request of `header`: the frame with its length field, in pieces that
/// are to be written in order. Record batches are among them as they were given, never copied.
///
/// # Errors
/// [`EncodeError`], all of them faults of the handler that made the response.
pub fn encode(header: &RequestHeader, response: Response) -> Result<Vec<Piece>, EncodeError> {
    let got = response.api();
    if got != header.api {
        return Err(EncodeError::WrongApi {
            asked: header.api,
            got,
        });
    }
    match response {
        Response::Fetch(response) => response.encode(header.version, header.correlation_id),
        Response::Produce(response) => encode_plain(header, &response),
        Response::ListOffsets(response) => encode_plain(header, &response),
        Response::Metadata(response) => encode_plain(header, &response),
        Response::OffsetCommit(response) => encode_offset_commit(header, &response),
        Response::OffsetFetch(response) => encode_plain(header, &response),
        Response::FindCoordinator(response) => encode_plain(header, &response),
        Response::JoinGroup(response) => encode_plain(header, &response),
        Response::Heartbeat(response) => encode_plain(header, &response),
        Response::LeaveGroup(response) => encode_plain(header, &response),
        Response::SyncGroup(response) => encode_plain(header, &response),
        Response::DescribeGroups(response) => encode_plain(header, &response),
        Response::ListGroups(response) => encode_plain(header, &response),
        Response::SaslHandshake(response) => encode_plain(header, &response),
        Response::ApiVersions(response) => encode_plain(header, &response),
        Response::CreateTopics(response) => encode_plain(header, &response),
        Response::DeleteTopics(response) => encode_plain(header, &response),
        Response::DeleteRecords(response) => encode_plain(header, &response),
        Response::OffsetForLeaderEpoch(response) => encode_plain(header, &response),
        Response::DescribeAcls(response) => encode_plain(header, &response),
        Response::DescribeConfigs(response) => encode_plain(header, &response),
        Response::AlterConfigs(response) => encode_plain(header, &response),
        Response::DescribeLogDirs(response) => encode_plain(header, &response),
        Response::SaslAuthenticate(response) => encode_plain(header, &response),
        Response::CreatePartitions(response) => encode_plain(header, &response),
        Response::DeleteGroups(response) => encode_plain(header, &response),
        Response::IncrementalAlterConfigs(response) => encode_plain(header, &response),
        Response::ListPartitionReassignments(response) => encode_plain(header, &response),
        Response::OffsetDelete(response) => encode_plain(header, &response),
        Response::DescribeCluster(response) => encode_plain(header, &response),
    }
}

/// The answer to an ApiVersions request of a version that is not served, its length field included:
/// version 0, UNSUPPORTED_VERSION, and the one entry for ApiVersions itself.
///
/// One entry and no more: librdkafka and the Java client look for it and ask again with its highest
/// version; franz-go does so only if it stands alone.
pub fn api_versions_unsupported(correlation_id: i32) -> Bytes {
    let row = Api::ApiVersions.served();
    let mut frame = Vec::with_capacity(20);
    frame.put_i32(16);
    frame.put_i32(correlation_id);
    frame.put_i16(ResponseError::UnsupportedVersion.code());
    frame.put_i32(1);
    frame.put_i16(row.key);
    frame.put_i16(row.min);
    frame.put_i16(row.max);
    Bytes::from(frame)
}

/// Version 1 of OffsetCommit has the response of version 2, where the crate begins.
fn encode_offset_commit(
    header: &RequestHeader,
    body: &OffsetCommitResponse,
) -> Result<Vec<Piece>, EncodeError> {
    let version = header.version.max(2);
    encode_plain(
        &RequestHeader {
            version,
            ..header.clone()
        },
        body,
    )
}

fn encode_plain(header: &RequestHeader, body: &impl Encodable) -> Result<Vec<Piece>, EncodeError> {
    let row = header.api.served();
    let head_size = 4 + head_size(row, header.version);
    let refuse = |cause: &dyn std::fmt::Display| EncodeError::Version {
        api: header.api,
        version: header.version,
        cause: cause.to_string(),
    };
    let body_size = body
        .compute_size(header.version)
        .map_err(|error| refuse(&error))?;
    let mut frame = Vec::with_capacity(head_size + body_size);
    put_head(&mut frame, row, header.version, header.correlation_id);
    body.encode(&mut frame, header.version)
        .map_err(|error| refuse(&error))?;
    patch_length(&mut frame, 0)?;
    Ok(vec![Piece::Memory(Bytes::from(frame))])
}

fn head_size(row: &Served, version: i16) -> usize {
    if row.response_header_version(version) == 0 {
        4
    } else {
        5
    }
}

/// Writes an empty length field and the response header.
pub(crate) fn put_head(frame: &mut Vec<u8>, row: &Served, version: i16, correlation_id: i32) {
    frame.put_i32(0);
    frame.put_i32(correlation_id);
    if row.response_header_version(version) > 0 {
        frame.put_u8(0);
    }
}

/// Fills the length field in front of `frame`, behind which `elsewhere` more bytes will be sent that
/// `frame` does not hold.
pub(crate) fn patch_length(frame: &mut [u8], elsewhere: usize) -> Result<(), EncodeError> {
    let size = (frame.len() + elsewhere).saturating_sub(4);
    let length = i32::try_from(size).map_err(|_| EncodeError::TooLarge { size })?;
    if let Some(field) = frame.first_chunk_mut::<4>() {
        *field = length.to_be_bytes();
    }
    Ok(())
}
