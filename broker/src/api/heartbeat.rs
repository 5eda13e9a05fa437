//! Heartbeat (api key 12), v0-v4.
//!
//! Extends a member's session, and tells a candidate to join again: it is to become active.
//!
//! Behaviour
//! - UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION; a candidate: REBALANCE_IN_PROGRESS
//!
//! Versions
//! - v1 throttle_time_ms; v3 static members (KIP-345); v4 flexible

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::{
    context::Context,
    error_code::{NONE, Refusal},
    group::{Caller, Decision},
};

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let code = match heartbeat(ctx, &request).await {
        Ok(()) => NONE,
        Err(refusal) => refusal.code(),
    };
    HeartbeatResponse::default().with_error_code(code)
}

async fn heartbeat(ctx: &Context<'_>, request: &HeartbeatRequest) -> Result<(), Refusal> {
    let group = ctx.member_group(&request.group_id)?;
    let caller = Caller {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let groups = &ctx.shared.groups;
    groups
        .ask(&group, |coordinator, now| {
            Decision::only(coordinator.heartbeat(now, caller, request.generation_id))
        })
        .await?
}
