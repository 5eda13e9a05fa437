//! Produce (api key 0), v0-v12. Refused.
//!
//! Advertised because librdkafka before 2.11.1 reads record batches only from brokers that serve Produce 0-3 and up
//! (its feature table; kcat of Debian 12 is one). Every partition is answered TOPIC_AUTHORIZATION_FAILED, which
//! producers report at once instead of retrying.
//!
//! Behaviour
//! - acks 0: no response at all, as the client expects none (else every later response would be taken for another
//!   request's)
//!
//! Versions
//! - v5 log start offset
//! - v8 record errors (KIP-467)
//! - v9 flexible
//! - v10 leader of the partition (KIP-951)

use kafka_protocol::{
    messages::{
        ProduceRequest, ProduceResponse,
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
    },
    protocol::StrBytes,
};

use crate::{context::Context, error_code::Refusal};

/// Never fails. `None`: the client expects no response.
pub(crate) fn handle(_ctx: &Context<'_>, request: ProduceRequest) -> Option<ProduceResponse> {
    if request.acks == 0 {
        return None;
    }
    let topics = request.topic_data.into_iter().map(topic).collect();
    Some(ProduceResponse::default().with_responses(topics))
}

fn topic(topic: TopicProduceData) -> TopicProduceResponse {
    let partitions = topic.partition_data.iter().map(partition).collect();
    TopicProduceResponse::default()
        .with_name(topic.name)
        .with_topic_id(topic.topic_id)
        .with_partition_responses(partitions)
}

fn partition(partition: &PartitionProduceData) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(partition.index)
        .with_error_code(Refusal::TopicAuthorizationFailed.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(Some(StrBytes::from_static_str(
            "topics are filled from the source database only",
        )))
}
