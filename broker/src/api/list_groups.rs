//! ListGroups (api key 16), v0-v5.
//!
//! Names the groups that the client may use: those that operators made, and those of first use.
//!
//! Behaviour
//! - filters do not care about case; an unknown state or type matches nothing
//!
//! Versions
//! - v1 throttle_time_ms; v3 flexible; v4 states (KIP-518); v5 types (KIP-848): all are `classic`

use std::collections::HashSet;

use kafka_protocol::{
    messages::{GroupId, ListGroupsRequest, ListGroupsResponse, list_groups_response::ListedGroup},
    protocol::StrBytes,
};

use crate::{context::Context, group::CONSUMER};

/// The type of all groups here.
const CLASSIC: &str = "classic";

/// First versions with a state and a type in the answer.
const TELLS_STATE: i16 = 4;
const TELLS_TYPE: i16 = 5;

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    let (states, types) = (lower(request.states_filter), lower(request.types_filter));
    let mut listed = Vec::new();
    if types.is_empty() || types.contains(CLASSIC) {
        let groups = &ctx.shared.groups;
        for group in groups.all(&ctx.catalog()) {
            let state = group.state().await;
            let wanted = states.is_empty() || states.contains(&state.to_lowercase());
            if wanted && ctx.may_use_group(&group.id) {
                listed.push(entry(ctx, &group.id, state));
            }
        }
    }
    ListGroupsResponse::default().with_groups(listed)
}

fn lower(filter: Vec<StrBytes>) -> HashSet<String> {
    filter.iter().map(|word| word.to_lowercase()).collect()
}

fn entry(ctx: &Context<'_>, id: &str, state: &'static str) -> ListedGroup {
    let group = ListedGroup::default()
        .with_group_id(GroupId(StrBytes::from_string(id.to_owned())))
        .with_protocol_type(StrBytes::from_static_str(CONSUMER));
    let group = if ctx.version >= TELLS_STATE {
        group.with_group_state(StrBytes::from_static_str(state))
    } else {
        group
    };
    if ctx.version >= TELLS_TYPE {
        return group.with_group_type(StrBytes::from_static_str(CLASSIC));
    }
    group
}
