//! Responses as clients read them.

use bytes::{Buf, Bytes};
use headwater_protocol::{
    api::{Api, SERVED, api_versions_response},
    request::RequestHeader,
    response::{EncodeError, Response, api_versions_unsupported},
};

use kafka_protocol::{
    messages::{
        AlterConfigsResponse, ApiVersionsResponse, BrokerId, CreatePartitionsResponse,
        CreateTopicsResponse, DeleteGroupsResponse, DeleteRecordsResponse, DeleteTopicsResponse,
        DescribeAclsResponse, DescribeClusterResponse, DescribeConfigsResponse,
        DescribeGroupsResponse, DescribeLogDirsResponse, FindCoordinatorResponse,
        HeartbeatResponse, IncrementalAlterConfigsResponse, JoinGroupResponse, LeaveGroupResponse,
        ListGroupsResponse, ListOffsetsResponse, ListPartitionReassignmentsResponse,
        MetadataResponse, OffsetCommitResponse, OffsetDeleteResponse, OffsetFetchResponse,
        OffsetForLeaderEpochResponse, ProduceResponse, ResponseHeader, SaslAuthenticateResponse,
        SaslHandshakeResponse, SyncGroupResponse, TopicName,
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
    },
    protocol::{Decodable, StrBytes},
};

use crate::samples::decoded_versions;

use crate::encode;

fn header(api: Api, version: i16) -> RequestHeader {
    RequestHeader {
        api,
        version,
        correlation_id: -5,
        client_id: None,
    }
}

/// Takes length and header off, checks both, and leaves the body.
fn body(api: Api, version: i16, pieces: &[Bytes]) -> Bytes {
    let mut frame = Bytes::from(pieces.concat());
    assert_eq!(
        usize::try_from(frame.get_i32()).unwrap(),
        frame.len(),
        "{api:?} {version}"
    );
    let header_version = api.served().response_header_version(version);
    let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
    assert_eq!(header.correlation_id, -5);
    frame
}

fn decode_whole<T: Decodable>(mut body: Bytes, version: i16) -> T {
    let decoded = T::decode(&mut body, version).unwrap();
    assert!(body.is_empty(), "the body has bytes that no field claims");
    decoded
}

fn empty_response(api: Api) -> Response {
    match api {
        Api::Produce => Response::Produce(ProduceResponse::default()),
        Api::Fetch => Response::Fetch(headwater_protocol::fetch_response::FetchResponse::default()),
        Api::ListOffsets => Response::ListOffsets(ListOffsetsResponse::default()),
        Api::Metadata => Response::Metadata(MetadataResponse::default()),
        Api::OffsetCommit => Response::OffsetCommit(OffsetCommitResponse::default()),
        Api::OffsetFetch => Response::OffsetFetch(OffsetFetchResponse::default()),
        Api::FindCoordinator => Response::FindCoordinator(FindCoordinatorResponse::default()),
        Api::JoinGroup => Response::JoinGroup(JoinGroupResponse::default()),
        Api::Heartbeat => Response::Heartbeat(HeartbeatResponse::default()),
        Api::LeaveGroup => Response::LeaveGroup(LeaveGroupResponse::default()),
        Api::SyncGroup => Response::SyncGroup(SyncGroupResponse::default()),
        Api::DescribeGroups => Response::DescribeGroups(DescribeGroupsResponse::default()),
        Api::ListGroups => Response::ListGroups(ListGroupsResponse::default()),
        Api::SaslHandshake => Response::SaslHandshake(SaslHandshakeResponse::default()),
        Api::ApiVersions => Response::ApiVersions(ApiVersionsResponse::default()),
        Api::CreateTopics => Response::CreateTopics(CreateTopicsResponse::default()),
        Api::DeleteTopics => Response::DeleteTopics(DeleteTopicsResponse::default()),
        Api::DeleteRecords => Response::DeleteRecords(DeleteRecordsResponse::default()),
        Api::OffsetForLeaderEpoch => {
            Response::OffsetForLeaderEpoch(OffsetForLeaderEpochResponse::default())
        }
        Api::DescribeAcls => Response::DescribeAcls(DescribeAclsResponse::default()),
        Api::DescribeConfigs => Response::DescribeConfigs(DescribeConfigsResponse::default()),
        Api::AlterConfigs => Response::AlterConfigs(AlterConfigsResponse::default()),
        Api::DescribeLogDirs => Response::DescribeLogDirs(DescribeLogDirsResponse::default()),
        Api::SaslAuthenticate => Response::SaslAuthenticate(SaslAuthenticateResponse::default()),
        Api::CreatePartitions => Response::CreatePartitions(CreatePartitionsResponse::default()),
        Api::DeleteGroups => Response::DeleteGroups(DeleteGroupsResponse::default()),
        Api::IncrementalAlterConfigs => {
            Response::IncrementalAlterConfigs(IncrementalAlterConfigsResponse::default())
        }
        Api::ListPartitionReassignments => {
            Response::ListPartitionReassignments(ListPartitionReassignmentsResponse::default())
        }
        Api::OffsetDelete => Response::OffsetDelete(OffsetDeleteResponse::default()),
        Api::DescribeCluster => Response::DescribeCluster(DescribeClusterResponse::default()),
    }
}

#[test]
fn every_api_has_an_empty_response_in_every_version_with_length_and_header_right() {
    for (api, version) in decoded_versions() {
        let pieces = encode(&header(api, version), empty_response(api)).unwrap();
        body(api, version, &pieces);
    }
}

#[test]
fn api_versions_lists_the_table_and_no_features_behind_header_0_in_every_version() {
    for version in 0..=4 {
        let response = Response::ApiVersions(api_versions_response());
        let pieces = encode(&header(Api::ApiVersions, version), response).unwrap();
        assert_eq!(pieces[0][4..8], (-5_i32).to_be_bytes());
        // Error code 0 right behind the correlation id: no section of tagged fields.
        assert_eq!(pieces[0][8..10], [0, 0]);
        let decoded: ApiVersionsResponse =
            decode_whole(body(Api::ApiVersions, version, &pieces), version);
        let listed: Vec<_> = decoded
            .api_keys
            .iter()
            .map(|listed| (listed.api_key, listed.min_version, listed.max_version))
            .collect();
        let rows = SERVED.iter();
        let rows: Vec<_> = rows.map(|row| (row.key, row.min, row.max)).collect();
        assert_eq!(listed, rows);
        assert!(decoded.supported_features.is_empty() && decoded.finalized_features.is_empty());
    }
}

#[test]
fn the_answer_to_an_unknown_version_of_api_versions_has_exactly_one_entry() {
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 16,            // length
        0, 0, 1, 0,             // correlation id
        0, 35,                  // UNSUPPORTED_VERSION
        0, 0, 0, 1,             // one entry
        0, 18, 0, 0, 0, 4,      // ApiVersions 0 to 4
    ];
    assert_eq!(api_versions_unsupported(256), expected[..]);
}

#[test]
fn a_metadata_response_comes_back_in_every_version() {
    for version in 0..=12 {
        let partition = MetadataResponsePartition::default()
            .with_leader_id(BrokerId(1))
            .with_replica_nodes(vec![BrokerId(1)])
            .with_isr_nodes(vec![BrokerId(1)]);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str(
                "shop.public.orders",
            ))))
            .with_partitions(vec![partition]);
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(StrBytes::from_static_str("127.0.0.1"))
            .with_port(9092);
        let response = MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_topics(vec![topic]);
        let pieces = encode(
            &header(Api::Metadata, version),
            Response::Metadata(response.clone()),
        )
        .unwrap();
        let decoded: MetadataResponse =
            decode_whole(body(Api::Metadata, version, &pieces), version);
        assert_eq!(decoded.brokers[0].port, 9092);
        assert_eq!(
            decoded.topics[0].name, response.topics[0].name,
            "version {version}"
        );
    }
}

#[test]
fn a_list_offsets_response_comes_back_in_every_version() {
    for version in 1..=9 {
        let partition = ListOffsetsPartitionResponse::default()
            .with_offset(42)
            .with_timestamp(1_700_000_000_000)
            .with_leader_epoch(if version >= 4 { 3 } else { -1 });
        let topic = ListOffsetsTopicResponse::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition]);
        let response = ListOffsetsResponse::default().with_topics(vec![topic]);
        let pieces = encode(
            &header(Api::ListOffsets, version),
            Response::ListOffsets(response.clone()),
        )
        .unwrap();
        let decoded: ListOffsetsResponse =
            decode_whole(body(Api::ListOffsets, version, &pieces), version);
        assert_eq!(decoded, response, "version {version}");
    }
}

#[test]
fn a_response_of_another_api_or_without_a_form_in_the_version_is_an_error() {
    let wrong = encode(&header(Api::Fetch, 4), empty_response(Api::Metadata));
    assert_eq!(
        wrong,
        Err(EncodeError::WrongApi {
            asked: Api::Fetch,
            got: Api::Metadata
        })
    );

    let long = "x".repeat(40_000);
    let broker = MetadataResponseBroker::default().with_host(StrBytes::from_string(long));
    let response = Response::Metadata(MetadataResponse::default().with_brokers(vec![broker]));
    let refused = encode(&header(Api::Metadata, 1), response);
    assert!(matches!(
        refused,
        Err(EncodeError::Version {
            api: Api::Metadata,
            version: 1,
            ..
        })
    ));
}
