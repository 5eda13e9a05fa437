//! DeleteGroups (api key 42), v0-v2.
//!
//! Deletes groups of first use that have no members, with their positions.
//!
//! Behaviour
//! - a group that an operator made is deleted by `headwater group delete` only: GROUP_AUTHORIZATION_FAILED. It has an
//!   account, and a tool that cleans up positions does not mean that
//! - members: NON_EMPTY_GROUP; unknown: GROUP_ID_NOT_FOUND; named twice: answered once
//!
//! Versions
//! - v1 throttle_time_ms; v2 flexible

use std::collections::HashSet;

use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, delete_groups_response::DeletableGroupResult,
};

use crate::{
    context::Context,
    error_code::{NONE, Refusal},
    group_service::GroupError,
};

/// Never fails.
pub(crate) async fn handle(
    ctx: &Context<'_>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut answered = HashSet::new();
    let mut results = Vec::new();
    for id in request.groups_names {
        if !answered.insert(id.clone()) {
            continue;
        }
        let code = match delete(ctx, &id).await {
            Ok(()) => NONE,
            Err(refusal) => refusal.code(),
        };
        results.push(
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(code),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}

async fn delete(ctx: &Context<'_>, id: &str) -> Result<(), Refusal> {
    let found = ctx.group(&ctx.catalog(), id)?;
    let group = found.ok_or(Refusal::GroupIdNotFound)?;
    if !group.number.is_first_use() {
        return Err(Refusal::GroupAuthorizationFailed);
    }
    let deleted = ctx.shared.groups.delete(id, false, &ctx.who()).await;
    deleted.map_err(|error| match error {
        GroupError::HasMembers { .. } => Refusal::NonEmptyGroup,
        GroupError::UnknownGroup(_) => Refusal::GroupIdNotFound,
        GroupError::UnknownInstance(_)
        | GroupError::Rules(_)
        | GroupError::FirstUse(_)
        | GroupError::Seek(_)
        | GroupError::Storage(_) => Refusal::CoordinatorNotAvailable,
    })
}
