//! From a decoded request to its handler: one match, an arm per API.
//!
//! The versions are checked before (`headwater_protocol::api`); authorization comes here once there are accounts.

use headwater_protocol::{request::Request, response::Response};

use crate::{
    api,
    budget::Share,
    context::{Context, Session, Shared},
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
    let response = match request {
        Request::Fetch(request) => return fetch(ctx, request).await,
        Request::Produce(request) => {
            let response = api::produce::handle(ctx, request).map(Response::Produce);
            return Answer {
                response,
                held: None,
            };
        }
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
    };
    Answer {
        response: Some(response),
        held: None,
    }
}

async fn fetch(ctx: &Context<'_>, request: kafka_protocol::messages::FetchRequest) -> Answer {
    let fetched = api::fetch::handle(ctx, request).await;
    Answer {
        response: Some(Response::Fetch(fetched.response)),
        held: fetched.held,
    }
}
