//! JoinGroup (api key 11), v0-v9.
//!
//! Makes the client a member of its group: active, or a standby. Answered at once; nobody waits for other members
//! (deviation, docs/wire.md).
//!
//! Behaviour
//! - whoever becomes active is told that it is the leader and the only member; everybody else that somebody else leads
//! - v4+ without member id: MEMBER_ID_REQUIRED with an id to come back with (KIP-394); older clients and static members
//!   are members at once
//! - the protocol is the first that the client offers: members need none in common. Another protocol type than
//!   `consumer`, or no protocol: INCONSISTENT_GROUP_PROTOCOL
//! - session timeout outside of 6 s to 30 min: INVALID_SESSION_TIMEOUT; a full group, or one in mode `reject`:
//!   GROUP_MAX_SIZE_REACHED; a group id that cannot be: INVALID_GROUP_ID
//! - an unknown group comes into being on first use
//!
//! Versions
//! - v1 rebalance timeout; v2 throttle_time_ms; v4 MEMBER_ID_REQUIRED; v5 static members (KIP-345); v6 flexible
//! - v7 protocol type (KIP-559); v8 reason (ignored); v9 skip_assignment (never set: the leader always has to assign)

use headwater_storage::{Catalog, InstanceNumber};
use kafka_protocol::{
    messages::{
        JoinGroupRequest, JoinGroupResponse, join_group_request::JoinGroupRequestProtocol,
        join_group_response::JoinGroupResponseMember,
    },
    protocol::StrBytes,
};
use uuid::Uuid;

use crate::{
    context::Context,
    error_code::Refusal,
    group::{CONSUMER, Caller, Join, Joined, subscription},
    limits::{CLIENT_ID_CHARS, GROUP_ID_BYTES},
};

/// First version in which a new client expects to be asked to come back with an id.
const KNOWS_PENDING: i16 = 4;

/// First version with a protocol type in the answer.
const TELLS_PROTOCOL_TYPE: i16 = 7;

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: JoinGroupRequest) -> JoinGroupResponse {
    match join(ctx, &request).await {
        Ok(joined) => response(ctx, request, joined),
        Err(refusal) => refused(ctx, refusal, request.member_id),
    }
}

async fn join(ctx: &Context<'_>, request: &JoinGroupRequest) -> Result<Joined, Refusal> {
    let instance_id = request.group_instance_id.as_deref();
    if instance_id.is_some_and(|id| id.is_empty() || id.len() > GROUP_ID_BYTES) {
        return Err(Refusal::InvalidRequest);
    }
    let catalog = ctx.catalog();
    let first = request.protocols.first();
    let named = first.and_then(|protocol| named_instance(ctx, &catalog, protocol));
    let group = ctx.group_or_new(&catalog, &request.group_id, named)?;
    let fresh_id = fresh_id(instance_id.unwrap_or(ctx.client_id));
    let host = ctx.session.peer.ip().to_canonical().to_string();
    let join = Join {
        caller: Caller {
            member_id: &request.member_id,
            instance_id,
        },
        client_id: shortened(ctx.client_id),
        client_host: &host,
        software: ctx.session.software(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: &request.protocol_type,
        protocol: first.map_or("", |protocol| shortened(&protocol.name)),
        metadata: first.map_or(&[], |protocol| &protocol.metadata),
        names_topics: named.is_some(),
        knows_pending: ctx.version >= KNOWS_PENDING,
        fresh_id: &fresh_id,
    };
    let groups = &ctx.shared.groups;
    groups
        .ask(&group, |coordinator, now| coordinator.join(now, &join))
        .await
}

/// The instance of the first topic that is named and that the client may know.
fn named_instance(
    ctx: &Context<'_>,
    catalog: &Catalog,
    protocol: &JoinGroupRequestProtocol,
) -> Option<InstanceNumber> {
    let mut topics = subscription::topics(&protocol.metadata);
    topics.find_map(|name| ctx.instance_of(catalog, name))
}

/// franz-go goes by what stands before the random part, for static members.
fn fresh_id(name: &str) -> String {
    format!("{}-{}", shortened(name), Uuid::new_v4())
}

fn shortened(name: &str) -> &str {
    let end = name.char_indices().nth(CLIENT_ID_CHARS);
    end.map_or(name, |(end, _)| name.get(..end).unwrap_or(name))
}

fn response(ctx: &Context<'_>, request: JoinGroupRequest, joined: Joined) -> JoinGroupResponse {
    let (generation, member_id, leader, protocol) = match joined {
        Joined::Refused { refusal, member_id } => {
            return refused(ctx, refusal, StrBytes::from_string(member_id));
        }
        Joined::Member {
            generation,
            member_id,
            leader,
            protocol,
        } => (generation, member_id, leader, protocol),
    };
    let member_id = StrBytes::from_string(member_id);
    let leads = *member_id == *leader;
    let only_member = || {
        let first = request.protocols.into_iter().next();
        JoinGroupResponseMember::default()
            .with_member_id(member_id.clone())
            .with_group_instance_id(request.group_instance_id)
            .with_metadata(first.map(|protocol| protocol.metadata).unwrap_or_default())
    };
    JoinGroupResponse::default()
        .with_generation_id(generation)
        .with_protocol_type(protocol_type(ctx))
        .with_protocol_name(Some(StrBytes::from_string(protocol)))
        .with_leader(StrBytes::from_string(leader))
        .with_members(if leads {
            vec![only_member()]
        } else {
            Vec::new()
        })
        .with_member_id(member_id)
}

fn refused(ctx: &Context<'_>, refusal: Refusal, member_id: StrBytes) -> JoinGroupResponse {
    // Before version 7 the name cannot be null.
    let protocol = (ctx.version < TELLS_PROTOCOL_TYPE).then(StrBytes::default);
    JoinGroupResponse::default()
        .with_error_code(refusal.code())
        .with_generation_id(-1)
        .with_protocol_name(protocol)
        .with_member_id(member_id)
}

fn protocol_type(ctx: &Context<'_>) -> Option<StrBytes> {
    (ctx.version >= TELLS_PROTOCOL_TYPE).then(|| StrBytes::from_static_str(CONSUMER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_begins_with_the_clients_name_and_is_never_long() {
        let id = fresh_id("app");
        assert!(id.starts_with("app-") && id.len() == 4 + 36);
        let long = "\u{e4}".repeat(20_000);
        assert_eq!(fresh_id(&long).chars().count(), CLIENT_ID_CHARS + 37);
        assert_ne!(fresh_id("app"), id);
    }
}
