//! SyncGroup (api key 14), v0-v5.
//!
//! Gives a member its share: the active member what it assigned to itself, everybody else nothing. Answered at once.
//!
//! Behaviour
//! - assignments for other members do not count
//! - UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION; a candidate: REBALANCE_IN_PROGRESS
//! - v5 with another protocol than JoinGroup told: INCONSISTENT_GROUP_PROTOCOL
//!
//! Versions
//! - v1 throttle_time_ms; v3 static members (KIP-345); v4 flexible; v5 protocol type and name (KIP-559)

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::{
    context::Context,
    error_code::Refusal,
    group::{Caller, Sync},
};

/// First version that names the protocol.
const TELLS_PROTOCOL: i16 = 5;

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    match sync(ctx, &request).await {
        Ok(assignment) => {
            let response = SyncGroupResponse::default().with_assignment(assignment);
            if ctx.version < TELLS_PROTOCOL {
                return response;
            }
            response
                .with_protocol_type(request.protocol_type)
                .with_protocol_name(request.protocol_name)
        }
        Err(refusal) => SyncGroupResponse::default().with_error_code(refusal.code()),
    }
}

async fn sync(ctx: &Context<'_>, request: &SyncGroupRequest) -> Result<Bytes, Refusal> {
    let group = ctx.member_group(&request.group_id)?;
    let mut assignments = request.assignments.iter();
    let own = assignments.find(|assignment| assignment.member_id == request.member_id);
    let sync = Sync {
        caller: Caller {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
        },
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_deref(),
        protocol: request.protocol_name.as_deref(),
        own_assignment: own.map(|own| own.assignment.clone()),
    };
    let groups = &ctx.shared.groups;
    groups
        .ask(&group, |coordinator, now| coordinator.sync(now, sync))
        .await?
}
