//! FindCoordinator (api key 10), v0-v5.
//!
//! Names this broker as the coordinator of every group, so that clients which only look (UIs, admin clients, and
//! librdkafka before 2.11, which needs this API to enable others) go on.
//!
//! Behaviour
//! - key type 0 (group): this node, at the address the client connected to; to a group's account only for its own id,
//!   else GROUP_AUTHORIZATION_FAILED
//! - key type 1 (transaction): TRANSACTIONAL_ID_AUTHORIZATION_FAILED, nothing is produced here
//! - any other: INVALID_REQUEST
//!
//! Versions
//! - v1 key type, throttle_time_ms, error message
//! - v3 flexible
//! - v4 several keys in one request (KIP-699)
//! - v5 no change here (KIP-890)

use kafka_protocol::{
    messages::{
        BrokerId, FindCoordinatorRequest, FindCoordinatorResponse,
        find_coordinator_response::Coordinator,
    },
    protocol::StrBytes,
};

use crate::{context::Context, error_code::Refusal, limits::NODE_ID};

/// First version that asks for a list of keys.
const BATCHED: i16 = 4;

/// Never fails.
pub(crate) fn handle(
    ctx: &Context<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if ctx.version < BATCHED {
        let found = coordinator(ctx, request.key_type, request.key);
        return FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_error_message(found.error_message)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port);
    }
    let keys = request.coordinator_keys.into_iter();
    let found = keys
        .map(|key| coordinator(ctx, request.key_type, key))
        .collect();
    FindCoordinatorResponse::default().with_coordinators(found)
}

fn coordinator(ctx: &Context<'_>, key_type: i8, key: StrBytes) -> Coordinator {
    let (refusal, message) = match key_type {
        0 => match ctx.check_group(&key) {
            Ok(()) => return this_node(ctx, key),
            Err(refusal) => (refusal, "this account may use its own group only"),
        },
        1 => (
            Refusal::TransactionalIdAuthorizationFailed,
            "there is nothing to produce to here",
        ),
        _ => (Refusal::InvalidRequest, "unknown key type"),
    };
    Coordinator::default()
        .with_key(key)
        .with_node_id(BrokerId(-1))
        .with_port(-1)
        .with_error_code(refusal.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
}

fn this_node(ctx: &Context<'_>, key: StrBytes) -> Coordinator {
    Coordinator::default()
        .with_key(key)
        .with_node_id(BrokerId(NODE_ID))
        .with_host(ctx.host())
        .with_port(ctx.port())
}
