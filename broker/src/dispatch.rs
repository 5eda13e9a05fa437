//! From a decoded request to its handler: one match, an arm per API.
//!
//! The versions are checked before (`headwater_protocol::api`), and here what the principal may call at all
//! ([`crate::auth::authorize`]); topics and groups are judged one by one, by the handlers.

use headwater_protocol::{refusal::refuse, request::Request, response::Response};
use kafka_protocol::messages::{DescribeConfigsRequest, FetchRequest};

use crate::{
    api,
    auth::authorize::{Access, access},
    budget::Share,
    context::{Context, Session, Shared},
    error_code::{Reason, Refusal},
};

/// The group APIs. They are not listed; this is for clients that do not look.
const NO_GROUPS: Reason = Reason {
    refusal: Refusal::GroupAuthorizationFailed,
    message: "consumer groups are not served: assign partitions in the client",
};

/// What concerns the broker as a whole, to a group's account.
const NOT_ALLOWED: Reason = Reason {
    refusal: Refusal::ClusterAuthorizationFailed,
    message: "a group's account may read its instance's topics and use its own group; log in as the operator for this",
};

/// What goes back to the client.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None`: the client expects nothing.
    pub(crate) response: Option<Response>,
    /// To be kept until the response is sent.
    pub(crate) held: Option<Share>,
}

/// Answers one request.
pub(crate) async fn dispatch(
    shared: &Shared,
    session: &Session,
    version: i16,
    request: Request,
) -> Answer {
    let ctx = &Context {
        shared,
        session,
        version,
    };
    match access(request.api(), &session.principal) {
        Access::Allowed | Access::Own => {}
        Access::Refused | Access::Closed => return refuse_all(ctx, request, NOT_ALLOWED),
    }
    let response = match request {
        Request::Fetch(request) => return fetch(ctx, request).await,
        Request::ApiVersions(request) => {
            Response::ApiVersions(api::api_versions::handle(ctx, request))
        }
        Request::Metadata(request) => Response::Metadata(api::metadata::handle(ctx, request)),
        Request::ListOffsets(request) => {
            Response::ListOffsets(api::list_offsets::handle(ctx, request).await)
        }
        Request::OffsetForLeaderEpoch(request) => {
            Response::OffsetForLeaderEpoch(api::offset_for_leader_epoch::handle(ctx, request))
        }
        Request::FindCoordinator(request) => {
            Response::FindCoordinator(api::find_coordinator::handle(ctx, request))
        }
        Request::Produce(_) => return refuse_all(ctx, request, api::produce::REASON),
        Request::CreateTopics(_) => return refuse_all(ctx, request, api::create_topics::REASON),
        Request::DeleteTopics(_) => return refuse_all(ctx, request, api::delete_topics::REASON),
        Request::CreatePartitions(_) => {
            return refuse_all(ctx, request, api::create_partitions::REASON);
        }
        Request::DeleteRecords(_) => return refuse_all(ctx, request, api::delete_records::REASON),
        Request::AlterConfigs(_) => return refuse_all(ctx, request, api::alter_configs::REASON),
        Request::IncrementalAlterConfigs(_) => {
            return refuse_all(ctx, request, api::incremental_alter_configs::REASON);
        }
        Request::DescribeAcls(_) => return refuse_all(ctx, request, api::describe_acls::REASON),
        Request::SaslHandshake(_) => return refuse_all(ctx, request, api::sasl_handshake::REASON),
        Request::SaslAuthenticate(_) => {
            return refuse_all(ctx, request, api::sasl_authenticate::REASON);
        }
        Request::OffsetCommit(_)
        | Request::OffsetFetch(_)
        | Request::JoinGroup(_)
        | Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::SyncGroup(_)
        | Request::DescribeGroups(_)
        | Request::ListGroups(_)
        | Request::DeleteGroups(_)
        | Request::OffsetDelete(_) => return refuse_all(ctx, request, NO_GROUPS),
        Request::DescribeConfigs(request) => return describe_configs(ctx, request),
        Request::DescribeLogDirs(request) => {
            Response::DescribeLogDirs(api::describe_log_dirs::handle(ctx, request))
        }
        Request::ListPartitionReassignments(_) => {
            Response::ListPartitionReassignments(api::list_partition_reassignments::handle())
        }
        Request::DescribeCluster(request) => {
            Response::DescribeCluster(api::describe_cluster::handle(ctx, &request))
        }
    };
    Answer {
        response: Some(response),
        held: None,
    }
}

async fn fetch(ctx: &Context<'_>, request: FetchRequest) -> Answer {
    let fetched = api::fetch::handle(ctx, request).await;
    Answer {
        response: Some(Response::Fetch(fetched.response)),
        held: fetched.held,
    }
}

fn describe_configs(ctx: &Context<'_>, request: DescribeConfigsRequest) -> Answer {
    let described = api::describe_configs::handle(ctx, request);
    Answer {
        response: Some(Response::DescribeConfigs(described.response)),
        held: Some(described.held),
    }
}

fn refuse_all(ctx: &Context<'_>, request: Request, reason: Reason) -> Answer {
    Answer {
        response: refuse(request, ctx.version, reason.refusal.error(), reason.message),
        held: None,
    }
}
