//! Refusals of what tools ask of topics, settings and the cluster.

use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeAclsResponse, DescribeClusterRequest,
    DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    DescribeLogDirsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    ListPartitionReassignmentsResponse, alter_configs_response,
    create_partitions_response::CreatePartitionsTopicResult,
    create_topics_response::CreatableTopicResult,
    delete_records_request::DeleteRecordsTopic,
    delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
    delete_topics_request::DeleteTopicState,
    delete_topics_response::DeletableTopicResult,
    describe_configs_response::DescribeConfigsResult,
    incremental_alter_configs_response,
};

use super::Refusal;

impl Refusal {
    pub(super) fn create_topics(&self, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            CreatableTopicResult::default()
                .with_name(topic.name)
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
        });
        CreateTopicsResponse::default().with_topics(topics.collect())
    }

    /// Version 6 and later ask by name or by id.
    pub(super) fn delete_topics(&self, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let named = request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState::default().with_name(Some(name)));
        let topics = named.chain(request.topics).map(|topic| {
            DeletableTopicResult::default()
                .with_name(topic.name)
                .with_topic_id(topic.topic_id)
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
        });
        DeleteTopicsResponse::default().with_responses(topics.collect())
    }

    pub(super) fn delete_records(&self, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let topics = request.topics.into_iter();
        let topics = topics
            .map(|topic| self.delete_records_topic(topic))
            .collect();
        DeleteRecordsResponse::default().with_topics(topics)
    }

    fn delete_records_topic(&self, topic: DeleteRecordsTopic) -> DeleteRecordsTopicResult {
        let partitions = topic.partitions.iter().map(|partition| {
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(-1)
                .with_error_code(self.code)
        });
        DeleteRecordsTopicResult::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    }

    pub(super) fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            CreatePartitionsTopicResult::default()
                .with_name(topic.name)
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
        });
        CreatePartitionsResponse::default().with_results(topics.collect())
    }

    pub(super) fn describe_configs(
        &self,
        request: DescribeConfigsRequest,
    ) -> DescribeConfigsResponse {
        let resources = request.resources.into_iter().map(|resource| {
            DescribeConfigsResult::default()
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        });
        DescribeConfigsResponse::default().with_results(resources.collect())
    }

    pub(super) fn alter_configs(&self, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let resources = request.resources.into_iter().map(|resource| {
            alter_configs_response::AlterConfigsResourceResponse::default()
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        });
        AlterConfigsResponse::default().with_responses(resources.collect())
    }

    pub(super) fn incremental_alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let resources = request.resources.into_iter().map(|resource| {
            incremental_alter_configs_response::AlterConfigsResourceResponse::default()
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        });
        IncrementalAlterConfigsResponse::default().with_responses(resources.collect())
    }

    /// Before version 3 there is no place for an error, and no directory is told.
    pub(super) fn describe_log_dirs(&self) -> DescribeLogDirsResponse {
        DescribeLogDirsResponse::default().with_error_code(self.code)
    }

    pub(super) fn list_partition_reassignments(&self) -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse::default()
            .with_error_code(self.code)
            .with_error_message(self.message.clone())
    }

    pub(super) fn describe_acls(&self) -> DescribeAclsResponse {
        DescribeAclsResponse::default()
            .with_error_code(self.code)
            .with_error_message(self.message.clone())
    }

    /// The answer says of what kind its endpoints are: the kind that was asked for.
    pub(super) fn describe_cluster(
        &self,
        request: &DescribeClusterRequest,
    ) -> DescribeClusterResponse {
        DescribeClusterResponse::default()
            .with_error_code(self.code)
            .with_error_message(self.message.clone())
            .with_endpoint_type(request.endpoint_type)
    }
}
