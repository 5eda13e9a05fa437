//! Moving a group, or looking at what moving it would do.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{
    body::{Answer, Sent},
    error::{ApiError, ErrorBody},
    seek_to,
};
use crate::{
    group_service::{SeekPlan, SeekRequest},
    http::{HttpState, peer::Who},
};

/// A seek. Either `to` or `undo`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seek {
    /// `start`, `end`, `now`, `offset N`, `past-damage`, a time as `2026-11-26T10:00:00Z`, or `-15m`.
    to: Option<String>,
    /// Take the last seek back that was not taken back yet.
    #[serde(default)]
    undo: bool,
    /// Only this topic; by default every topic of the group.
    topic: Option<String>,
    /// Put the group's consumers out first.
    #[serde(default)]
    disconnect: bool,
    /// Only tell what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// What a seek does, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeekAnswer {
    /// Where to; a time ago as the time that it was. `None`: the last seek is taken back.
    to: Option<String>,
    /// Whether it is done.
    applied: bool,
    #[serde(flatten)]
    plan: SeekPlan,
}

/// Moves a group; with `dry_run` only tells what that would do.
#[utoipa::path(
    post,
    path = "/api/v1/instances/{instance}/groups/{group}/seek",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name"), ("group" = String, Path, description = "Id or name")),
    request_body = Seek,
    responses((status = 200, body = SeekAnswer), (status = "default", body = ErrorBody))
)]
pub(super) async fn seek(
    State(state): State<Arc<HttpState>>,
    Extension(Who(who)): Extension<Who>,
    Path((instance, group)): Path<(String, String)>,
    Sent(seek): Sent<Seek>,
) -> Result<Answer<SeekAnswer>, ApiError> {
    let groups = &state.groups;
    groups.check_instance(&instance, &group)?;
    let applied = !seek.dry_run;
    let (to, plan) = match (seek.to, seek.undo) {
        (Some(said), false) => {
            let now_ms = state.clock.wall_ms();
            let (to, said) = seek_to::parse(&said, now_ms).map_err(ApiError::refused)?;
            let request = SeekRequest {
                to,
                said,
                topic: seek.topic,
                disconnect: seek.disconnect,
                who,
            };
            let plan = match applied {
                true => groups.seek(&group, &request).await?,
                false => groups.plan_seek(&group, &request).await?,
            };
            (Some(request.said), plan)
        }
        (None, true) if seek.topic.is_some() => {
            let line = "a seek is taken back in every topic that it moved: leave topic out";
            return Err(ApiError::refused(line));
        }
        (None, true) => match applied {
            true => (None, groups.undo_seek(&group, seek.disconnect, &who).await?),
            false => (None, groups.plan_undo(&group).await?),
        },
        (Some(_), true) | (None, false) => {
            let line = "say either where to (to), or that the last seek is to be taken back (undo)";
            return Err(ApiError::refused(line));
        }
    };
    Ok(Answer(SeekAnswer { to, applied, plan }))
}
