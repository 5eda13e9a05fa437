//! DescribeGroups (api key 15), v0-v6.
//!
//! State and members of groups. Standbys have an empty assignment.
//!
//! Behaviour
//! - an unknown group: state Dead; v6+ GROUP_ID_NOT_FOUND (KIP-1043)
//! - a group that is named twice is answered once
//! - members' metadata are what they said when they joined: empty where that is not kept (long, or from before a start
//!   of the broker). Authorized operations are not told (-2^31)
//!
//! Versions
//! - v1 throttle_time_ms; v3 authorized operations (KIP-430); v4 static members (KIP-345); v5 flexible; v6 error message

use std::collections::HashSet;

use kafka_protocol::{
    messages::{
        DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
    },
    protocol::StrBytes,
};

use crate::{
    context::Context,
    error_code::Refusal,
    group::{CONSUMER, MemberView},
};

/// First version with static members.
const STATIC_MEMBERS: i16 = 4;

/// First version with an error for an unknown group.
const TELLS_UNKNOWN_GROUP: i16 = 6;

/// Never fails.
pub(crate) async fn handle(
    ctx: &Context<'_>,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut answered = HashSet::new();
    let mut groups = Vec::new();
    for id in request.groups {
        if answered.insert(id.clone()) {
            groups.push(group(ctx, id).await);
        }
    }
    DescribeGroupsResponse::default().with_groups(groups)
}

async fn group(ctx: &Context<'_>, id: GroupId) -> DescribedGroup {
    let answer = DescribedGroup::default();
    let found = match ctx.group(&ctx.catalog(), &id) {
        Ok(found) => found,
        Err(refusal) => return answer.with_group_id(id).with_error_code(refusal.code()),
    };
    let view = match found {
        Some(group) => group.view().await,
        None => None,
    };
    let Some(view) = view else {
        return unknown(ctx, id);
    };
    let members = view.members.into_iter().map(|m| member(ctx, m)).collect();
    answer
        .with_group_id(id)
        .with_group_state(StrBytes::from_static_str(view.state))
        .with_protocol_type(StrBytes::from_static_str(CONSUMER))
        .with_protocol_data(StrBytes::from_string(view.protocol))
        .with_members(members)
}

fn unknown(ctx: &Context<'_>, id: GroupId) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead"));
    if ctx.version < TELLS_UNKNOWN_GROUP {
        return answer.with_group_id(id);
    }
    let message = format!("group {:?} is not here", id.as_str());
    answer
        .with_group_id(id)
        .with_error_code(Refusal::GroupIdNotFound.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn member(ctx: &Context<'_>, member: MemberView) -> DescribedGroupMember {
    let instance_id = member.instance_id.filter(|_| ctx.version >= STATIC_MEMBERS);
    DescribedGroupMember::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_group_instance_id(instance_id.map(StrBytes::from_string))
        .with_client_id(StrBytes::from_string(member.client_id))
        // As Kafka writes it: Java's InetAddress.
        .with_client_host(StrBytes::from_string(format!("/{}", member.client_host)))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}
