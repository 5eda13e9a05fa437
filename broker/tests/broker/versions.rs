//! Every API at every served version is answered with bytes that a client decodes to the last one; and the contents
//! that do not depend on the log.

use headwater_protocol::api::{Api, SERVED};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, ListOffsetsRequest,
        MetadataRequest, OffsetForLeaderEpochRequest, ProduceRequest, TopicName, fetch_request,
        list_offsets_request, metadata_request::MetadataRequestTopic,
        offset_for_leader_epoch_request, produce_request,
    },
    protocol::StrBytes,
};

use crate::{
    admin, group_versions,
    harness::{Harness, ORDERS, ORDERS_KEY},
    refused,
    wire::{Client, framed},
};

pub(crate) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_answers_decodable_bytes_at_every_served_version() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    let mut client = harness.client().await;
    let id = client.topic_id(ORDERS).await;
    for row in &SERVED {
        for version in row.decoded_from..=row.max {
            ask(&mut client, row.api, version, id).await;
        }
    }
}

async fn ask(client: &mut Client, api: Api, version: i16, id: uuid::Uuid) {
    match api {
        Api::Produce => produce(client, version).await,
        Api::Fetch => fetch(client, version, id).await,
        Api::ListOffsets => list_offsets(client, version).await,
        Api::Metadata => metadata(client, version).await,
        Api::FindCoordinator => find_coordinator(client, version).await,
        Api::ApiVersions => {
            let answer = client.ask(&ApiVersionsRequest::default(), version).await;
            assert_eq!(
                (answer.error_code, answer.api_keys.len()),
                (0, SERVED.len())
            );
        }
        Api::OffsetForLeaderEpoch => epoch_end(client, version).await,
        Api::DescribeConfigs => admin::describe_configs(client, version).await,
        Api::DescribeCluster => admin::describe_cluster(client, version).await,
        Api::DescribeLogDirs => admin::describe_log_dirs(client, version).await,
        Api::ListPartitionReassignments => {
            admin::list_partition_reassignments(client, version).await;
        }
        Api::SaslHandshake => refused::sasl_handshake(client, version).await,
        Api::SaslAuthenticate => refused::sasl_authenticate(client, version).await,
        Api::CreateTopics => refused::create_topics(client, version).await,
        Api::DeleteTopics => refused::delete_topics(client, version).await,
        Api::DeleteRecords => refused::delete_records(client, version).await,
        Api::CreatePartitions => refused::create_partitions(client, version).await,
        Api::AlterConfigs => refused::alter_configs(client, version).await,
        Api::IncrementalAlterConfigs => refused::incremental_alter_configs(client, version).await,
        Api::DescribeAcls => refused::describe_acls(client, version).await,
        Api::OffsetCommit => group_versions::offset_commit(client, version).await,
        Api::OffsetFetch => group_versions::offset_fetch(client, version).await,
        Api::JoinGroup => group_versions::join_group(client, version).await,
        Api::Heartbeat => group_versions::heartbeat(client, version).await,
        Api::LeaveGroup => group_versions::leave_group(client, version).await,
        Api::SyncGroup => group_versions::sync_group(client, version).await,
        Api::DescribeGroups => group_versions::describe_groups(client, version).await,
        Api::ListGroups => group_versions::list_groups(client, version).await,
        Api::DeleteGroups => group_versions::delete_groups(client, version).await,
        Api::OffsetDelete => group_versions::offset_delete(client, version).await,
    }
}

async fn produce(client: &mut Client, version: i16) {
    let partition =
        produce_request::PartitionProduceData::default().with_records(Some(vec![0; 10].into()));
    let topic = produce_request::TopicProduceData::default()
        .with_name(name(ORDERS))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_topic_data(vec![topic]);
    let answer = client.ask(&request, version).await;
    assert_eq!(
        answer.responses[0].partition_responses[0].error_code, 29,
        "v{version}"
    );
}

async fn fetch(client: &mut Client, version: i16, id: uuid::Uuid) {
    let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20);
    let mut topic = fetch_request::FetchTopic::default().with_partitions(vec![partition]);
    if version >= 13 {
        topic.topic_id = id;
    } else {
        topic.topic = name(ORDERS);
    }
    let mut request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_min_bytes(1)
        .with_topics(vec![topic]);
    if version < 15 {
        request.replica_id = (-1).into();
    }
    let answer = client.ask(&request, version).await;
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0, "v{version}");
    assert_eq!(
        (partition.high_watermark, partition.last_stable_offset),
        (1, 1),
        "v{version}"
    );
    assert!(
        partition
            .records
            .as_ref()
            .is_some_and(|records| records.len() > 100),
        "v{version}"
    );
    if version >= 7 {
        assert_eq!(answer.session_id, 0);
    }
}

async fn list_offsets(client: &mut Client, version: i16) {
    let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
    let topic = list_offsets_request::ListOffsetsTopic::default()
        .with_name(name(ORDERS))
        .with_partitions(vec![partition]);
    let answer = client
        .ask(
            &ListOffsetsRequest::default().with_topics(vec![topic]),
            version,
        )
        .await;
    assert_eq!(answer.topics[0].partitions[0].offset, 1, "v{version}");
}

async fn metadata(client: &mut Client, version: i16) {
    let all = if version == 0 { Some(Vec::new()) } else { None };
    let answer = client
        .ask(&MetadataRequest::default().with_topics(all), version)
        .await;
    assert_eq!(
        (answer.brokers.len(), answer.topics.len()),
        (1, 2),
        "v{version}"
    );
    let topic = answer
        .topics
        .iter()
        .find(|topic| topic.name == Some(name(ORDERS)))
        .unwrap();
    assert_eq!(topic.partitions[0].leader_id, answer.brokers[0].node_id);
    assert_eq!(version >= 10, !topic.topic_id.is_nil(), "v{version}");
}

async fn find_coordinator(client: &mut Client, version: i16) {
    let group = StrBytes::from_static_str("a-group");
    let mut request = FindCoordinatorRequest::default();
    if version >= 4 {
        request.coordinator_keys = vec![group];
    } else {
        request.key = group;
    }
    let answer = client.ask(&request, version).await;
    let port = if version >= 4 {
        answer.coordinators[0].port
    } else {
        answer.port
    };
    assert_eq!(
        port,
        i32::from(client.stream.peer_addr().unwrap().port()),
        "v{version}"
    );
}

async fn epoch_end(client: &mut Client, version: i16) {
    let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default()
        .with_current_leader_epoch(-1)
        .with_leader_epoch(0);
    let topic = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
        .with_topic(name(ORDERS))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    let answer = client.ask(&request, version).await;
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(
        (
            partition.error_code,
            partition.leader_epoch,
            partition.end_offset
        ),
        (0, 0, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_the_address_they_connected_to() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let answer = client.metadata().await;
    assert_eq!(answer.brokers[0].host.as_str(), "127.0.0.1");
    assert_eq!(answer.brokers[0].port, i32::from(harness.address().port()));
    assert_eq!(answer.controller_id, answer.brokers[0].node_id);
    assert_eq!(answer.cluster_id.map(|id| id.len()), Some(22));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_empty_from_null_and_unknown_from_impossible() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let none = MetadataRequest::default().with_topics(Some(Vec::new()));
    assert!(client.ask(&none, 12).await.topics.is_empty());
    assert_eq!(client.ask(&none, 0).await.topics.len(), 2);

    let asked = |topic: &str| MetadataRequestTopic::default().with_name(Some(name(topic)));
    let by_id = MetadataRequestTopic::default()
        .with_name(None)
        .with_topic_id(uuid::Uuid::from_u128(7));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(true)
        .with_topics(Some(vec![
            asked(ORDERS),
            asked("nothing"),
            asked("no good"),
            asked(ORDERS),
            by_id,
        ]));
    let answer = client.ask(&request, 12).await;
    let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(
        codes,
        [0, 3, 17, 100],
        "and the repeated one is answered once"
    );
    let request = MetadataRequest::default().with_topics(None);
    assert_eq!(
        client.ask(&request, 12).await.topics.len(),
        2,
        "asking creates nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_of_api_versions_is_answered_and_the_connection_lives() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let request = framed(&[0, 18, 0, 99, 0, 0, 0, 7, 0, 3, b'r', b'a', b'w', 0]);
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &request)
        .await
        .unwrap();
    let answer = client.frame().await.unwrap();
    assert_eq!(
        &answer[..],
        [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]
    );
    assert_eq!(client.metadata().await.topics.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_produce_without_acknowledgement_gets_no_answer_and_the_next_request_its_own() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    client
        .send(&ProduceRequest::default().with_acks(0), 9)
        .await;
    assert_eq!(client.metadata().await.topics.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_no_coordinator_here() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    for (key_type, code) in [(0, 0), (1, 53), (2, 42)] {
        let keys = vec![StrBytes::from_static_str("x")];
        let request = FindCoordinatorRequest::default()
            .with_key_type(key_type)
            .with_coordinator_keys(keys);
        assert_eq!(
            client.ask(&request, 5).await.coordinators[0].error_code,
            code
        );
    }
}
