//! Requests of tools about topics, settings and the cluster.

use kafka_protocol::messages::{
    AlterConfigsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeAclsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, IncrementalAlterConfigsRequest,
    ListPartitionReassignmentsRequest, alter_configs_request,
    create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
    create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    delete_topics_request::DeleteTopicState,
    describe_configs_request::DescribeConfigsResource,
    describe_log_dirs_request::DescribableLogDirTopic,
    incremental_alter_configs_request,
    list_partition_reassignments_request::ListPartitionReassignmentsTopics,
};
use uuid::Uuid;

use super::{text, topic_name};

const TOPIC: i8 = 2;
const NAME: &str = "shop.public.orders";

pub(super) fn create_topics() -> CreateTopicsRequest {
    let config = CreatableTopicConfig::default()
        .with_name(text("cleanup.policy"))
        .with_value(Some(text("delete")));
    let assignment = CreatableReplicaAssignment::default()
        .with_partition_index(0)
        .with_broker_ids(vec![BrokerId(1), BrokerId(2)]);
    let topic = CreatableTopic::default()
        .with_name(topic_name(NAME))
        .with_num_partitions(2)
        .with_replication_factor(1)
        .with_assignments(vec![assignment.clone(), assignment])
        .with_configs(vec![config.clone(), config.with_value(None)]);
    CreateTopicsRequest::default()
        .with_topics(vec![topic.clone(), topic])
        .with_timeout_ms(30_000)
        .with_validate_only(true)
}

pub(super) fn delete_topics(version: i16) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(30_000);
    if version < 6 {
        return request.with_topic_names(vec![topic_name(NAME), topic_name("other")]);
    }
    let named = DeleteTopicState::default().with_name(Some(topic_name(NAME)));
    let by_id = DeleteTopicState::default()
        .with_name(None)
        .with_topic_id(Uuid::from_u128(7));
    request.with_topics(vec![named, by_id])
}

pub(super) fn delete_records() -> DeleteRecordsRequest {
    let partitions = [0, 1].map(|index| {
        DeleteRecordsPartition::default()
            .with_partition_index(index)
            .with_offset(1 << 40)
    });
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(NAME))
        .with_partitions(partitions.to_vec());
    DeleteRecordsRequest::default()
        .with_topics(vec![topic.clone(), topic])
        .with_timeout_ms(30_000)
}

pub(super) fn create_partitions() -> CreatePartitionsRequest {
    let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]);
    let topic = CreatePartitionsTopic::default()
        .with_name(topic_name(NAME))
        .with_count(4)
        .with_assignments(Some(vec![assignment.clone(), assignment]));
    let without = topic.clone().with_assignments(None);
    CreatePartitionsRequest::default()
        .with_topics(vec![topic, without])
        .with_timeout_ms(30_000)
        .with_validate_only(true)
}

pub(super) fn describe_configs(version: i16) -> DescribeConfigsRequest {
    let some = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(NAME))
        .with_configuration_keys(Some(vec![text("retention.ms"), text("cleanup.policy")]));
    let all = some.clone().with_configuration_keys(None);
    DescribeConfigsRequest::default()
        .with_resources(vec![some, all])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3)
}

pub(super) fn alter_configs() -> AlterConfigsRequest {
    let config = alter_configs_request::AlterableConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1000")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(NAME))
        .with_configs(vec![config.clone(), config.with_value(None)]);
    AlterConfigsRequest::default()
        .with_resources(vec![resource.clone(), resource])
        .with_validate_only(true)
}

pub(super) fn incremental_alter_configs() -> IncrementalAlterConfigsRequest {
    let config = incremental_alter_configs_request::AlterableConfig::default()
        .with_name(text("retention.ms"))
        .with_config_operation(1)
        .with_value(Some(text("1000")));
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(NAME))
        .with_configs(vec![config.clone(), config.with_value(None)]);
    IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource.clone(), resource])
        .with_validate_only(true)
}

pub(super) fn describe_log_dirs() -> DescribeLogDirsRequest {
    let topic = DescribableLogDirTopic::default()
        .with_topic(topic_name(NAME))
        .with_partitions(vec![0, 1]);
    DescribeLogDirsRequest::default().with_topics(Some(vec![topic.clone(), topic]))
}

pub(super) fn list_partition_reassignments() -> ListPartitionReassignmentsRequest {
    let topic = ListPartitionReassignmentsTopics::default()
        .with_name(topic_name(NAME))
        .with_partition_indexes(vec![0, 1]);
    ListPartitionReassignmentsRequest::default()
        .with_timeout_ms(30_000)
        .with_topics(Some(vec![topic.clone(), topic]))
}

pub(super) fn describe_acls() -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(text(NAME)))
        .with_pattern_type_filter(3)
        .with_principal_filter(Some(text("User:x")))
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1)
}

pub(super) fn describe_cluster(version: i16) -> DescribeClusterRequest {
    DescribeClusterRequest::default()
        .with_include_cluster_authorized_operations(true)
        .with_endpoint_type(if version >= 1 { 2 } else { 1 })
        .with_include_fenced_brokers(version >= 2)
}
