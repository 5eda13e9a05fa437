//! What is always refused, with the code that its clients stop at.

use kafka_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeAclsRequest, IncrementalAlterConfigsRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest, alter_configs_request,
    create_partitions_request::CreatePartitionsTopic,
    create_topics_request::CreatableTopic,
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    delete_topics_request::DeleteTopicState,
    incremental_alter_configs_request,
};

use crate::{harness::ORDERS, versions::name, wire::Client};

const ILLEGAL_SASL_STATE: i16 = 34;
const POLICY_VIOLATION: i16 = 44;
const SECURITY_DISABLED: i16 = 54;

pub(crate) async fn sasl_handshake(client: &mut Client, version: i16) {
    let answer = client.ask(&SaslHandshakeRequest::default(), version).await;
    assert_eq!(answer.error_code, ILLEGAL_SASL_STATE, "v{version}");
}

pub(crate) async fn sasl_authenticate(client: &mut Client, version: i16) {
    let request = SaslAuthenticateRequest::default();
    let answer = client.ask(&request, version).await;
    assert_eq!(answer.error_code, ILLEGAL_SASL_STATE, "v{version}");
}

pub(crate) async fn describe_acls(client: &mut Client, version: i16) {
    let answer = client.ask(&DescribeAclsRequest::default(), version).await;
    assert_eq!(answer.error_code, SECURITY_DISABLED, "v{version}");
}

pub(crate) async fn create_topics(client: &mut Client, version: i16) {
    let topics = vec![CreatableTopic::default().with_name(name("new"))];
    let request = CreateTopicsRequest::default().with_topics(topics);
    let answer = client.ask(&request, version).await;
    let topic = &answer.topics[0];
    assert_eq!(
        (topic.error_code, &topic.name),
        (POLICY_VIOLATION, &name("new")),
        "v{version}"
    );
    let message = topic.error_message.as_ref().expect("the reason is told");
    assert!(message.contains("tables of the source"), "{message}");
}

pub(crate) async fn delete_topics(client: &mut Client, version: i16) {
    let state = DeleteTopicState::default().with_name(Some(name(ORDERS)));
    let request = DeleteTopicsRequest::default();
    let request = if version < 6 {
        request.with_topic_names(vec![name(ORDERS)])
    } else {
        request.with_topics(vec![state])
    };
    let answer = client.ask(&request, version).await;
    assert_eq!(
        answer.responses[0].error_code, POLICY_VIOLATION,
        "v{version}"
    );
}

pub(crate) async fn delete_records(client: &mut Client, version: i16) {
    let topic = DeleteRecordsTopic::default()
        .with_name(name(ORDERS))
        .with_partitions(vec![DeleteRecordsPartition::default()]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
    let answer = client.ask(&request, version).await;
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, POLICY_VIOLATION, "v{version}");
}

pub(crate) async fn create_partitions(client: &mut Client, version: i16) {
    let topic = CreatePartitionsTopic::default()
        .with_name(name(ORDERS))
        .with_count(2);
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
    let answer = client.ask(&request, version).await;
    assert_eq!(answer.results[0].error_code, POLICY_VIOLATION, "v{version}");
}

pub(crate) async fn alter_configs(client: &mut Client, version: i16) {
    let resources = vec![alter_configs_request::AlterConfigsResource::default()];
    let request = AlterConfigsRequest::default().with_resources(resources);
    let answer = client.ask(&request, version).await;
    assert_eq!(
        answer.responses[0].error_code, POLICY_VIOLATION,
        "v{version}"
    );
}

pub(crate) async fn incremental_alter_configs(client: &mut Client, version: i16) {
    let resources = vec![incremental_alter_configs_request::AlterConfigsResource::default()];
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let answer = client.ask(&request, version).await;
    assert_eq!(
        answer.responses[0].error_code, POLICY_VIOLATION,
        "v{version}"
    );
}
