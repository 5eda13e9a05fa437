//! [`refuse`]: the answer to a request, whatever its API, that refuses all of it with one error.
//!
//! Where the error stands differs by API and version: for the whole response, or for each partition,
//! topic, group or resource that was asked for. As in Kafka (`AbstractRequest.getErrorResponse` of
//! each request), with one difference: a Fetch is always refused partition by partition, because Java
//! clients take few errors for a whole Fetch. A list that was asked for as a whole (all topics, all
//! positions before version 2) has no place for an error and is answered empty.
//!
//! The answer is as long as the request, and made in time linear in it.

mod admin;
mod groups;
mod records;

use kafka_protocol::{
    error::ResponseError,
    messages::{ApiVersionsResponse, SaslAuthenticateResponse, SaslHandshakeResponse},
    protocol::StrBytes,
};

use crate::{request::Request, response::Response};

/// What is said to everything in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    /// Kafka's number.
    code: i16,
    /// One sentence for the client's user, where the response has room for it.
    message: Option<StrBytes>,
}

/// Refuses a request of `version` with `error`. `message` is told where the version has a field for
/// it, and is for people: what is refused and what to do.
///
/// None: the client expects no answer (Produce with acks 0).
pub fn refuse(
    request: Request,
    version: i16,
    error: ResponseError,
    message: &str,
) -> Option<Response> {
    let refusal = &Refusal {
        code: error.code(),
        message: Some(StrBytes::from_string(message.to_owned())),
    };
    Some(match request {
        Request::Produce(request) => return refusal.produce(request).map(Response::Produce),
        Request::Fetch(request) => Response::Fetch(refusal.fetch(request)),
        Request::ListOffsets(request) => Response::ListOffsets(refusal.list_offsets(request)),
        Request::Metadata(request) => Response::Metadata(refusal.metadata(request)),
        Request::OffsetCommit(request) => Response::OffsetCommit(refusal.offset_commit(request)),
        Request::OffsetFetch(request) => {
            Response::OffsetFetch(refusal.offset_fetch(request, version))
        }
        Request::FindCoordinator(request) => {
            Response::FindCoordinator(refusal.find_coordinator(request, version))
        }
        Request::JoinGroup(request) => Response::JoinGroup(refusal.join_group(request, version)),
        Request::Heartbeat(_) => Response::Heartbeat(refusal.heartbeat()),
        Request::LeaveGroup(_) => Response::LeaveGroup(refusal.leave_group()),
        Request::SyncGroup(_) => Response::SyncGroup(refusal.sync_group()),
        Request::DescribeGroups(request) => {
            Response::DescribeGroups(refusal.describe_groups(request, version))
        }
        Request::ListGroups(_) => Response::ListGroups(refusal.list_groups()),
        Request::SaslHandshake(_) => Response::SaslHandshake(refusal.sasl_handshake()),
        Request::ApiVersions(_) => Response::ApiVersions(refusal.api_versions()),
        Request::CreateTopics(request) => Response::CreateTopics(refusal.create_topics(request)),
        Request::DeleteTopics(request) => Response::DeleteTopics(refusal.delete_topics(request)),
        Request::DeleteRecords(request) => Response::DeleteRecords(refusal.delete_records(request)),
        Request::OffsetForLeaderEpoch(request) => {
            Response::OffsetForLeaderEpoch(refusal.offset_for_leader_epoch(request))
        }
        Request::DescribeAcls(_) => Response::DescribeAcls(refusal.describe_acls()),
        Request::DescribeConfigs(request) => {
            Response::DescribeConfigs(refusal.describe_configs(request))
        }
        Request::AlterConfigs(request) => Response::AlterConfigs(refusal.alter_configs(request)),
        Request::DescribeLogDirs(_) => Response::DescribeLogDirs(refusal.describe_log_dirs()),
        Request::SaslAuthenticate(_) => Response::SaslAuthenticate(refusal.sasl_authenticate()),
        Request::CreatePartitions(request) => {
            Response::CreatePartitions(refusal.create_partitions(request))
        }
        Request::DeleteGroups(request) => Response::DeleteGroups(refusal.delete_groups(request)),
        Request::IncrementalAlterConfigs(request) => {
            Response::IncrementalAlterConfigs(refusal.incremental_alter_configs(request))
        }
        Request::ListPartitionReassignments(_) => {
            Response::ListPartitionReassignments(refusal.list_partition_reassignments())
        }
        Request::OffsetDelete(_) => Response::OffsetDelete(refusal.offset_delete()),
        Request::DescribeCluster(request) => {
            Response::DescribeCluster(refusal.describe_cluster(&request))
        }
    })
}

impl Refusal {
    fn sasl_handshake(&self) -> SaslHandshakeResponse {
        SaslHandshakeResponse::default().with_error_code(self.code)
    }

    fn sasl_authenticate(&self) -> SaslAuthenticateResponse {
        SaslAuthenticateResponse::default()
            .with_error_code(self.code)
            .with_error_message(self.message.clone())
    }

    fn api_versions(&self) -> ApiVersionsResponse {
        ApiVersionsResponse::default().with_error_code(self.code)
    }
}
