//! Refusals of what concerns topics and their records.

use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse,
    list_offsets_request::ListOffsetsTopic,
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
    metadata_response::MetadataResponseTopic,
    offset_for_leader_epoch_request::OffsetForLeaderTopic,
    offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
    produce_request::TopicProduceData,
    produce_response::{PartitionProduceResponse, TopicProduceResponse},
};

use super::Refusal;
use crate::fetch_response::{FetchPartition, FetchResponse, FetchTopic};

impl Refusal {
    /// None for acks 0, which expects no answer: with one, the client would take every later answer
    /// for that of another request.
    pub(super) fn produce(&self, request: ProduceRequest) -> Option<ProduceResponse> {
        if request.acks == 0 {
            return None;
        }
        let topics = request.topic_data.into_iter();
        let responses = topics.map(|topic| self.produce_topic(topic)).collect();
        Some(ProduceResponse::default().with_responses(responses))
    }

    fn produce_topic(&self, topic: TopicProduceData) -> TopicProduceResponse {
        let partitions = topic.partition_data.iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(self.code)
                .with_error_message(self.message.clone())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
        });
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions.collect())
    }

    pub(super) fn fetch(&self, request: kafka_protocol::messages::FetchRequest) -> FetchResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| FetchPartition {
                index: partition.partition,
                error_code: self.code,
                high_watermark: -1,
                last_stable_offset: -1,
                log_start_offset: -1,
                records: Vec::new(),
            });
            FetchTopic {
                partitions: partitions.collect(),
                name: topic.topic,
                topic_id: topic.topic_id,
            }
        });
        FetchResponse {
            topics: topics.collect(),
            ..FetchResponse::default()
        }
    }

    pub(super) fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let topics = request.topics.into_iter();
        let topics = topics.map(|topic| self.list_offsets_topic(topic)).collect();
        ListOffsetsResponse::default().with_topics(topics)
    }

    fn list_offsets_topic(&self, topic: ListOffsetsTopic) -> ListOffsetsTopicResponse {
        let partitions = topic.partitions.iter().map(|partition| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(self.code)
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    }

    pub(super) fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
        let topics = request.topics.into_iter().flatten().map(|topic| {
            // Before version 12 no topic of an answer may be without a name.
            let name = topic.name.unwrap_or_default();
            MetadataResponseTopic::default()
                .with_error_code(self.code)
                .with_name(Some(name))
                .with_topic_id(topic.topic_id)
        });
        MetadataResponse::default().with_topics(topics.collect())
    }

    pub(super) fn offset_for_leader_epoch(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter();
        let topics = topics.map(|topic| self.epoch_topic(topic)).collect();
        OffsetForLeaderEpochResponse::default().with_topics(topics)
    }

    fn epoch_topic(&self, topic: OffsetForLeaderTopic) -> OffsetForLeaderTopicResult {
        let partitions = topic.partitions.iter().map(|partition| {
            EpochEndOffset::default()
                .with_partition(partition.partition)
                .with_error_code(self.code)
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(partitions.collect())
            .with_topic(topic.topic)
    }
}
