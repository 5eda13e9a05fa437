//! LeaveGroup (api key 13), v0-v5.
//!
//! Takes members out of a group. If the active one goes, it is fenced, and a standby is promoted.
//!
//! Behaviour
//! - each member is answered for itself: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID
//! - v3+: a static member may be named by its instance id alone (`kafka-consumer-groups --remove-members`)
//!
//! Versions
//! - v1 throttle_time_ms; v3 several members (KIP-345); v4 flexible; v5 reason (ignored)

use kafka_protocol::messages::{
    LeaveGroupRequest, LeaveGroupResponse, leave_group_request::MemberIdentity,
    leave_group_response::MemberResponse,
};

use crate::{
    context::Context,
    error_code::{NONE, Refusal},
    group::Caller,
    group_service::LiveGroup,
};

/// First version that names several members.
const SEVERAL: i16 = 3;

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let response = LeaveGroupResponse::default();
    let group = match ctx.member_group(&request.group_id) {
        Ok(group) => group,
        Err(refusal) => return response.with_error_code(refusal.code()),
    };
    if ctx.version < SEVERAL {
        let caller = Caller {
            member_id: &request.member_id,
            instance_id: None,
        };
        return response.with_error_code(leave(ctx, &group, caller).await);
    }
    let mut members = Vec::with_capacity(request.members.len());
    for member in request.members {
        let code = leave(ctx, &group, caller(&member)).await;
        members.push(
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code),
        );
    }
    response.with_members(members)
}

fn caller(member: &MemberIdentity) -> Caller<'_> {
    Caller {
        member_id: &member.member_id,
        instance_id: member.group_instance_id.as_deref(),
    }
}

async fn leave(ctx: &Context<'_>, group: &LiveGroup, caller: Caller<'_>) -> i16 {
    let groups = &ctx.shared.groups;
    let left = groups
        .ask(group, |coordinator, now| coordinator.leave(now, caller))
        .await;
    match left.and_then(|left| left) {
        Ok(()) => NONE,
        Err(Refusal::GroupIdNotFound) => Refusal::UnknownMemberId.code(),
        Err(refusal) => refusal.code(),
    }
}
