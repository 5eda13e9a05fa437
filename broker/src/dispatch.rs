//! From a decoded request to its handler: one match, an arm per API.
//!
//! The versions are checked before (`headwater_protocol::api`), and here what the principal may call at all
//! ([`crate::auth::authorize`]); topics and groups are judged one by one, by the handlers.

use headwater_protocol::{
    refusal::refuse,
    request::{Request, RequestHeader},
    response::Response,
};
use kafka_protocol::messages::{DescribeConfigsRequest, FetchRequest};

use crate::{
    api::{
        self, delete_groups, describe_groups, fetch::FilePart, heartbeat, join_group, leave_group,
        list_groups, offset_commit, offset_delete, offset_fetch, sync_group,
    },
    auth::authorize::{Access, access},
    budget::Share,
    context::{Context, Session, Shared},
    error_code::{Reason, Refusal},
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
    /// What the response has elsewhere, by its number there.
    pub(crate) files: Vec<FilePart>,
}

impl Answer {
    /// All of it is in memory, and counts as nothing.
    fn of(response: Option<Response>) -> Self {
        Self {
            response,
            held: None,
            files: Vec::new(),
        }
    }
}

/// Answers one request.
pub(crate) async fn dispatch(
    shared: &Shared,
    session: &Session,
    header: &RequestHeader,
    request: Request,
) -> Answer {
    let ctx = &Context {
        shared,
        session,
        version: header.version,
        client_id: header.client_id.as_deref().unwrap_or_default(),
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
        Request::JoinGroup(it) => Response::JoinGroup(join_group::handle(ctx, it).await),
        Request::SyncGroup(it) => Response::SyncGroup(sync_group::handle(ctx, it).await),
        Request::Heartbeat(it) => Response::Heartbeat(heartbeat::handle(ctx, it).await),
        Request::LeaveGroup(it) => Response::LeaveGroup(leave_group::handle(ctx, it).await),
        Request::OffsetCommit(it) => Response::OffsetCommit(offset_commit::handle(ctx, it).await),
        Request::OffsetFetch(it) => Response::OffsetFetch(offset_fetch::handle(ctx, it).await),
        Request::ListGroups(it) => Response::ListGroups(list_groups::handle(ctx, it).await),
        Request::DescribeGroups(it) => {
            Response::DescribeGroups(describe_groups::handle(ctx, it).await)
        }
        Request::DeleteGroups(it) => Response::DeleteGroups(delete_groups::handle(ctx, it).await),
        Request::OffsetDelete(it) => Response::OffsetDelete(offset_delete::handle(ctx, it).await),
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
    Answer::of(Some(response))
}

async fn fetch(ctx: &Context<'_>, request: FetchRequest) -> Answer {
    let fetched = api::fetch::handle(ctx, request).await;
    Answer {
        response: Some(Response::Fetch(fetched.response)),
        held: fetched.held,
        files: fetched.files,
    }
}

fn describe_configs(ctx: &Context<'_>, request: DescribeConfigsRequest) -> Answer {
    let described = api::describe_configs::handle(ctx, request);
    Answer {
        response: Some(Response::DescribeConfigs(described.response)),
        held: Some(described.held),
        files: Vec::new(),
    }
}

fn refuse_all(ctx: &Context<'_>, request: Request, reason: Reason) -> Answer {
    Answer::of(refuse(
        request,
        ctx.version,
        reason.refusal.error(),
        reason.message,
    ))
}
