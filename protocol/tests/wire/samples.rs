//! A filled-in request of every served API and version, encoded as a client does.

// With their paths, because another test takes this file in by its path.
#[path = "samples/admin.rs"]
mod admin;
#[path = "samples/groups.rs"]
mod groups;

use bytes::{BufMut, Bytes};
use headwater_protocol::{
    api::{Api, SERVED},
    request::Request,
};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, BrokerId, FetchRequest, ListOffsetsRequest, MetadataRequest,
        OffsetForLeaderEpochRequest, ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
        TopicName, TransactionalId,
        fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Encodable, StrBytes},
};
use uuid::Uuid;

pub(crate) const CORRELATION_ID: i32 = 0x0102_0304;
pub(crate) const CLIENT_ID: &str = "sample client";

/// Every API with every version that is decoded.
pub(crate) fn decoded_versions() -> impl Iterator<Item = (Api, i16)> {
    SERVED
        .iter()
        .flat_map(|row| (row.decoded_from..=row.max).map(|version| (row.api, version)))
}

/// The frame, without its length field, that a client would send for `request`.
pub(crate) fn frame(api: Api, version: i16, request: &Request) -> Vec<u8> {
    let mut frame = header(api, version);
    let encoded = match request {
        Request::OffsetCommit(request) if version == 1 => {
            groups::encode_offset_commit_v1(&mut frame, request);
            Ok(())
        }
        Request::Produce(request) => request.encode(&mut frame, version),
        Request::Fetch(request) => request.encode(&mut frame, version),
        Request::ListOffsets(request) => request.encode(&mut frame, version),
        Request::Metadata(request) => request.encode(&mut frame, version),
        Request::OffsetCommit(request) => request.encode(&mut frame, version),
        Request::OffsetFetch(request) => request.encode(&mut frame, version),
        Request::FindCoordinator(request) => request.encode(&mut frame, version),
        Request::JoinGroup(request) => request.encode(&mut frame, version),
        Request::Heartbeat(request) => request.encode(&mut frame, version),
        Request::LeaveGroup(request) => request.encode(&mut frame, version),
        Request::SyncGroup(request) => request.encode(&mut frame, version),
        Request::DescribeGroups(request) => request.encode(&mut frame, version),
        Request::ListGroups(request) => request.encode(&mut frame, version),
        Request::SaslHandshake(request) => request.encode(&mut frame, version),
        Request::ApiVersions(request) => request.encode(&mut frame, version),
        Request::CreateTopics(request) => request.encode(&mut frame, version),
        Request::DeleteTopics(request) => request.encode(&mut frame, version),
        Request::DeleteRecords(request) => request.encode(&mut frame, version),
        Request::OffsetForLeaderEpoch(request) => request.encode(&mut frame, version),
        Request::DescribeAcls(request) => request.encode(&mut frame, version),
        Request::DescribeConfigs(request) => request.encode(&mut frame, version),
        Request::AlterConfigs(request) => request.encode(&mut frame, version),
        Request::DescribeLogDirs(request) => request.encode(&mut frame, version),
        Request::SaslAuthenticate(request) => request.encode(&mut frame, version),
        Request::CreatePartitions(request) => request.encode(&mut frame, version),
        Request::DeleteGroups(request) => request.encode(&mut frame, version),
        Request::IncrementalAlterConfigs(request) => request.encode(&mut frame, version),
        Request::ListPartitionReassignments(request) => request.encode(&mut frame, version),
        Request::OffsetDelete(request) => request.encode(&mut frame, version),
        Request::DescribeCluster(request) => request.encode(&mut frame, version),
    };
    encoded.unwrap_or_else(|error| panic!("{api:?} {version}: {error}"));
    frame
}

/// Header version 1 or 2, as the version asks.
pub(crate) fn header(api: Api, version: i16) -> Vec<u8> {
    let row = api.served();
    let mut header = Vec::new();
    header.put_i16(row.key);
    header.put_i16(version);
    header.put_i32(CORRELATION_ID);
    header.put_i16(i16::try_from(CLIENT_ID.len()).unwrap());
    header.put_slice(CLIENT_ID.as_bytes());
    if row.is_flexible(version) {
        header.put_u8(0);
    }
    header
}

/// A request with every field of its version set, two elements in each array, and unknown tagged
/// fields where the version has them.
pub(crate) fn sample(api: Api, version: i16) -> Request {
    match api {
        Api::Produce => Request::Produce(produce(version)),
        Api::Fetch => Request::Fetch(fetch(version)),
        Api::ListOffsets => Request::ListOffsets(list_offsets(version)),
        Api::Metadata => Request::Metadata(metadata(version)),
        Api::OffsetCommit => Request::OffsetCommit(groups::offset_commit(version)),
        Api::OffsetFetch => Request::OffsetFetch(groups::offset_fetch(version)),
        Api::FindCoordinator => Request::FindCoordinator(groups::find_coordinator(version)),
        Api::JoinGroup => Request::JoinGroup(groups::join_group(version)),
        Api::Heartbeat => Request::Heartbeat(groups::heartbeat(version)),
        Api::LeaveGroup => Request::LeaveGroup(groups::leave_group(version)),
        Api::SyncGroup => Request::SyncGroup(groups::sync_group(version)),
        Api::DescribeGroups => Request::DescribeGroups(groups::describe_groups(version)),
        Api::ListGroups => Request::ListGroups(groups::list_groups(version)),
        Api::SaslHandshake => Request::SaslHandshake(sasl_handshake()),
        Api::ApiVersions => Request::ApiVersions(api_versions(version)),
        Api::CreateTopics => Request::CreateTopics(admin::create_topics()),
        Api::DeleteTopics => Request::DeleteTopics(admin::delete_topics(version)),
        Api::DeleteRecords => Request::DeleteRecords(admin::delete_records()),
        Api::OffsetForLeaderEpoch => Request::OffsetForLeaderEpoch(epochs(version)),
        Api::DescribeAcls => Request::DescribeAcls(admin::describe_acls()),
        Api::DescribeConfigs => Request::DescribeConfigs(admin::describe_configs(version)),
        Api::AlterConfigs => Request::AlterConfigs(admin::alter_configs()),
        Api::DescribeLogDirs => Request::DescribeLogDirs(admin::describe_log_dirs()),
        Api::SaslAuthenticate => Request::SaslAuthenticate(sasl_authenticate()),
        Api::CreatePartitions => Request::CreatePartitions(admin::create_partitions()),
        Api::DeleteGroups => Request::DeleteGroups(groups::delete_groups()),
        Api::IncrementalAlterConfigs => {
            Request::IncrementalAlterConfigs(admin::incremental_alter_configs())
        }
        Api::ListPartitionReassignments => {
            Request::ListPartitionReassignments(admin::list_partition_reassignments())
        }
        Api::OffsetDelete => Request::OffsetDelete(groups::offset_delete()),
        Api::DescribeCluster => Request::DescribeCluster(admin::describe_cluster(version)),
    }
}

fn sasl_handshake() -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text("SCRAM-SHA-256"))
}

fn sasl_authenticate() -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"n,,n=,r=nonce"))
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic_name(name: &'static str) -> TopicName {
    TopicName(text(name))
}

fn api_versions(version: i16) -> ApiVersionsRequest {
    let request = ApiVersionsRequest::default();
    if version < 3 {
        return request;
    }
    request
        .with_client_software_name(text("librdkafka"))
        .with_client_software_version(text("2.0.2"))
        .with_unknown_tagged_field(9, Bytes::from_static(b"later"))
}

fn metadata(version: i16) -> MetadataRequest {
    let topics = ["shop.public.orders", "shop.public.items"].map(|name| {
        let mut topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        if version >= 10 {
            topic = topic.with_topic_id(Uuid::from_u128(7));
        }
        if version >= 9 {
            topic = topic.with_unknown_tagged_field(3, Bytes::from_static(b"x"));
        }
        topic
    });
    let mut request = MetadataRequest::default().with_topics(Some(topics.to_vec()));
    if version >= 4 {
        request = request.with_allow_auto_topic_creation(false);
    }
    if version >= 8 {
        request = request.with_include_topic_authorized_operations(true);
    }
    if (8..=10).contains(&version) {
        request = request.with_include_cluster_authorized_operations(true);
    }
    request
}

fn fetch(version: i16) -> FetchRequest {
    let mut request = FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_isolation_level(1)
        .with_topics(vec![
            fetch_topic(version, "a", 2),
            fetch_topic(version, "shop.b", 1),
        ]);
    if version <= 14 {
        request = request.with_replica_id(BrokerId(-1));
    }
    if version >= 7 {
        let mut forgotten = ForgottenTopic::default().with_partitions(vec![0, 1, 2]);
        if version <= 12 {
            forgotten = forgotten.with_topic(topic_name("gone"));
        } else {
            forgotten = forgotten.with_topic_id(Uuid::from_u128(8));
        }
        request = request
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_forgotten_topics_data(vec![forgotten]);
    }
    if version >= 11 {
        request = request.with_rack_id(text("rack"));
    }
    if version >= 12 {
        request = request
            .with_cluster_id(Some(text("cluster")))
            .with_unknown_tagged_field(40, Bytes::from_static(b"unknown"));
    }
    if version >= 15 {
        let state = ReplicaState::default()
            .with_replica_id(BrokerId(3))
            .with_replica_epoch(4);
        request = request.with_replica_state(state);
    }
    request
}

fn fetch_topic(version: i16, name: &'static str, partitions: i32) -> FetchTopic {
    let partitions = (0..partitions).map(|index| {
        let mut partition = FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(1 << 40)
            .with_partition_max_bytes(1 << 20);
        if version >= 5 {
            partition = partition.with_log_start_offset(-1);
        }
        if version >= 9 {
            partition = partition.with_current_leader_epoch(2);
        }
        if version >= 12 {
            partition = partition.with_last_fetched_epoch(1);
        }
        partition
    });
    let topic = FetchTopic::default().with_partitions(partitions.collect());
    if version <= 12 {
        topic.with_topic(topic_name(name))
    } else {
        topic.with_topic_id(Uuid::from_u128(9))
    }
}

fn list_offsets(version: i16) -> ListOffsetsRequest {
    let partitions = [-1, 1_700_000_000_000].map(|timestamp| {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(3)
            .with_timestamp(timestamp);
        if version >= 4 {
            partition.with_current_leader_epoch(5)
        } else {
            partition
        }
    });
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name("shop.public.orders"))
        .with_partitions(partitions.to_vec());
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic.clone(), topic]);
    if version >= 2 {
        request.with_isolation_level(1)
    } else {
        request
    }
}

fn epochs(version: i16) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(1)
        .with_current_leader_epoch(2)
        .with_leader_epoch(3);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name("shop.public.orders"))
        .with_partitions(vec![partition.clone(), partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    if version >= 3 {
        request.with_replica_id(BrokerId(-1))
    } else {
        request
    }
}

fn produce(version: i16) -> ProduceRequest {
    let partition = PartitionProduceData::default()
        .with_index(1)
        .with_records(Some(Bytes::from_static(b"records")));
    let none = PartitionProduceData::default()
        .with_index(2)
        .with_records(None);
    let topic = TopicProduceData::default()
        .with_name(topic_name("shop.public.orders"))
        .with_partition_data(vec![partition, none]);
    let request = ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(text("transaction"))))
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    if version >= 9 {
        return request.with_unknown_tagged_field(1, Bytes::new());
    }
    request
}
