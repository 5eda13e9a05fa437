//! ListPartitionReassignments (api key 46), v0-v0.
//!
//! Tells which partitions are on their way to other brokers. With one node there are none, ever.
//!
//! Behaviour
//! - always empty; as in Kafka, a partition that is not being moved is not in the answer, known or not
//!
//! Versions
//! - v0 flexible (KIP-455)

use kafka_protocol::messages::ListPartitionReassignmentsResponse;

/// Never fails.
pub(crate) fn handle() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
