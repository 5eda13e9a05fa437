//! Refusals of what concerns consumer groups.

use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupResponse, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupResponse,
    delete_groups_response::DeletableGroupResult,
    describe_groups_response::DescribedGroup,
    find_coordinator_response::Coordinator,
    offset_commit_request::OffsetCommitRequestTopic,
    offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    offset_fetch_request::OffsetFetchRequestTopic,
    offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
    },
};

use super::Refusal;

impl Refusal {
    /// Version 4 and later ask for several keys and have an error for each (KIP-699).
    pub(super) fn find_coordinator(
        &self,
        request: FindCoordinatorRequest,
        version: i16,
    ) -> FindCoordinatorResponse {
        let response = FindCoordinatorResponse::default();
        if version < 4 {
            return response
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
                .with_node_id((-1).into())
                .with_port(-1);
        }
        let keys = request.coordinator_keys.into_iter().map(|key| {
            Coordinator::default()
                .with_key(key)
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
                .with_node_id((-1).into())
                .with_port(-1)
        });
        response.with_coordinators(keys.collect())
    }

    /// Before version 7 the name of the protocol may not be null.
    pub(super) fn join_group(&self, request: JoinGroupRequest, version: i16) -> JoinGroupResponse {
        let response = JoinGroupResponse::default()
            .with_error_code(self.code)
            .with_member_id(request.member_id);
        if version < 7 {
            return response;
        }
        response.with_protocol_name(None)
    }

    pub(super) fn sync_group(&self) -> SyncGroupResponse {
        SyncGroupResponse::default().with_error_code(self.code)
    }

    pub(super) fn heartbeat(&self) -> HeartbeatResponse {
        HeartbeatResponse::default().with_error_code(self.code)
    }

    pub(super) fn leave_group(&self) -> LeaveGroupResponse {
        LeaveGroupResponse::default().with_error_code(self.code)
    }

    pub(super) fn offset_commit(&self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let topics = request.topics.into_iter();
        let topics = topics
            .map(|topic| self.offset_commit_topic(topic))
            .collect();
        OffsetCommitResponse::default().with_topics(topics)
    }

    fn offset_commit_topic(&self, topic: OffsetCommitRequestTopic) -> OffsetCommitResponseTopic {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(self.code)
        });
        OffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    }

    /// By partition in version 1, as a whole from 2 on, by group from 8 on (KIP-709).
    pub(super) fn offset_fetch(
        &self,
        request: OffsetFetchRequest,
        version: i16,
    ) -> OffsetFetchResponse {
        let response = OffsetFetchResponse::default();
        if version >= 8 {
            let groups = request.groups.into_iter().map(|group| {
                OffsetFetchResponseGroup::default()
                    .with_group_id(group.group_id)
                    .with_error_code(self.code)
            });
            return response.with_groups(groups.collect());
        }
        if version >= 2 {
            return response.with_error_code(self.code);
        }
        let topics = request.topics.into_iter().flatten();
        response.with_topics(topics.map(|topic| self.offset_fetch_topic(topic)).collect())
    }

    fn offset_fetch_topic(&self, topic: OffsetFetchRequestTopic) -> OffsetFetchResponseTopic {
        let partitions = topic.partition_indexes.iter().map(|index| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(*index)
                .with_committed_offset(-1)
                .with_metadata(Some(Default::default()))
                .with_error_code(self.code)
        });
        OffsetFetchResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    }

    /// There is room for words from version 6 on.
    pub(super) fn describe_groups(
        &self,
        request: DescribeGroupsRequest,
        version: i16,
    ) -> DescribeGroupsResponse {
        let message = self.message.clone().filter(|_| version >= 6);
        let groups = request.groups.into_iter().map(|group| {
            DescribedGroup::default()
                .with_group_id(group)
                .with_error_code(self.code)
                .with_error_message(message.clone())
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    pub(super) fn list_groups(&self) -> ListGroupsResponse {
        ListGroupsResponse::default().with_error_code(self.code)
    }

    pub(super) fn delete_groups(&self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let groups = request.groups_names.into_iter().map(|group| {
            DeletableGroupResult::default()
                .with_group_id(group)
                .with_error_code(self.code)
        });
        DeleteGroupsResponse::default().with_results(groups.collect())
    }

    pub(super) fn offset_delete(&self) -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(self.code)
    }
}
