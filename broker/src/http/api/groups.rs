//! Consumer groups: make, list, show, give a password, delete, move, look back.
//!
//! A group is named below its instance, by id or name. One that belongs to another instance is not found there.

mod history;
mod seek;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
};
use headwater_storage::GroupMode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::{Answer, Asked, Sent},
    client_settings::{self, ClientSettings},
    error::{ApiError, ErrorBody},
};
use crate::{
    auth::stored_verifiers,
    group_service::{GroupReport, NewGroup},
    http::{HttpState, peer::Who},
};

/// The routes of groups.
pub(super) fn router() -> OpenApiRouter<Arc<HttpState>> {
    OpenApiRouter::new()
        .routes(routes!(list_all))
        .routes(routes!(list, create))
        .routes(routes!(show, delete))
        .routes(routes!(password))
        .routes(routes!(clients))
        .routes(routes!(history::history))
        .routes(routes!(seek::seek))
}

/// Groups, without their topics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupList {
    /// By id.
    groups: Vec<GroupReport>,
    /// Those of them that an operator made.
    made: usize,
    /// How many an operator may make in this instance; of all instances: `None`.
    limit: Option<usize>,
}

/// A group to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupToMake {
    /// For people.
    name: String,
    /// Kafka's `group.id`; by default made from the name.
    id: Option<String>,
    /// 1 to 16 of `A-Z a-z 0-9 _`.
    account: String,
    /// 8 to 32 characters.
    #[schema(write_only)]
    password: String,
    /// `exclusive` (default): a second consumer stands by. `reject`: it is refused.
    #[serde(default)]
    #[schema(value_type = String)]
    mode: GroupMode,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// 8 to 32 characters.
    #[schema(write_only)]
    password: String,
}

/// How to delete.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowToDelete {
    /// Also while it has consumers, which are put out.
    #[serde(default)]
    force: bool,
}

/// All groups of the broker.
#[utoipa::path(
    get,
    path = "/api/v1/groups",
    tag = "groups",
    responses((status = 200, body = GroupList), (status = "default", body = ErrorBody))
)]
async fn list_all(State(state): State<Arc<HttpState>>) -> Result<Answer<GroupList>, ApiError> {
    listed(&state, None).await
}

/// The groups of one instance.
#[utoipa::path(
    get,
    path = "/api/v1/instances/{instance}/groups",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name")),
    responses((status = 200, body = GroupList), (status = "default", body = ErrorBody))
)]
async fn list(
    State(state): State<Arc<HttpState>>,
    Path(instance): Path<String>,
) -> Result<Answer<GroupList>, ApiError> {
    listed(&state, Some(&instance)).await
}

async fn listed(state: &HttpState, instance: Option<&str>) -> Result<Answer<GroupList>, ApiError> {
    let mut groups = state.groups.list(instance).await?;
    for group in &mut groups {
        group.topics.clear();
    }
    Ok(Answer(GroupList {
        made: groups
            .iter()
            .filter(|group| group.account.is_some())
            .count(),
        limit: instance.map(|instance| state.groups.limit(instance)),
        groups,
    }))
}

/// Makes a group.
#[utoipa::path(
    post,
    path = "/api/v1/instances/{instance}/groups",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name")),
    request_body = GroupToMake,
    responses((status = 201, body = GroupReport), (status = "default", body = ErrorBody))
)]
async fn create(
    State(state): State<Arc<HttpState>>,
    Extension(who): Extension<Who>,
    Path(instance): Path<String>,
    Sent(wanted): Sent<GroupToMake>,
) -> Result<(StatusCode, Answer<GroupReport>), ApiError> {
    let verifiers = verifiers(wanted.password.clone()).await?;
    let new = NewGroup {
        instance,
        id: wanted.id,
        name: wanted.name,
        account: wanted.account,
        password: wanted.password,
        verifiers,
        mode: wanted.mode,
    };
    let made = state.groups.create(new, &who.0).await?;
    let report = state.groups.show(&made.id).await?;
    Ok((StatusCode::CREATED, Answer(report)))
}

/// One group: who consumes, and how far it is.
#[utoipa::path(
    get,
    path = "/api/v1/instances/{instance}/groups/{group}",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name"), ("group" = String, Path, description = "Id or name")),
    responses((status = 200, body = GroupReport), (status = "default", body = ErrorBody))
)]
async fn show(
    State(state): State<Arc<HttpState>>,
    Path((instance, group)): Path<(String, String)>,
) -> Result<Answer<GroupReport>, ApiError> {
    state.groups.check_instance(&instance, &group)?;
    Ok(Answer(state.groups.show(&group).await?))
}

/// Deletes a group with its positions.
#[utoipa::path(
    delete,
    path = "/api/v1/instances/{instance}/groups/{group}",
    tag = "groups",
    params(
        ("instance" = String, Path, description = "Its name"),
        ("group" = String, Path, description = "Id or name"),
        ("force" = Option<bool>, Query, description = "Also while it has consumers, which are put out")
    ),
    responses((status = 204, description = "It is gone"), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(state): State<Arc<HttpState>>,
    Extension(who): Extension<Who>,
    Path((instance, group)): Path<(String, String)>,
    Asked(how): Asked<HowToDelete>,
) -> Result<StatusCode, ApiError> {
    state.groups.check_instance(&instance, &group)?;
    state.groups.delete(&group, how.force, &who.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a group another password; its consumers are put out.
#[utoipa::path(
    put,
    path = "/api/v1/instances/{instance}/groups/{group}/password",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name"), ("group" = String, Path, description = "Id or name")),
    request_body = NewPassword,
    responses((status = 204, description = "It is in force"), (status = "default", body = ErrorBody))
)]
async fn password(
    State(state): State<Arc<HttpState>>,
    Extension(who): Extension<Who>,
    Path((instance, group)): Path<(String, String)>,
    Sent(NewPassword { password }): Sent<NewPassword>,
) -> Result<StatusCode, ApiError> {
    state.groups.check_instance(&instance, &group)?;
    let verifiers = verifiers(password.clone()).await?;
    let groups = &state.groups;
    groups
        .set_password(&group, &password, verifiers, &who.0)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Client settings of a group, ready to copy; the password is not in them.
#[utoipa::path(
    get,
    path = "/api/v1/instances/{instance}/groups/{group}/clients",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name"), ("group" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClientSettings), (status = "default", body = ErrorBody))
)]
async fn clients(
    State(state): State<Arc<HttpState>>,
    Path((instance, group)): Path<(String, String)>,
) -> Result<Answer<ClientSettings>, ApiError> {
    state.groups.check_instance(&instance, &group)?;
    let report = state.groups.show(&group).await?;
    let topic = state.groups.example_topic(&instance);
    Ok(Answer(client_settings::settings(
        &report.id,
        report.account.as_deref(),
        topic.as_deref(),
        &state.entries,
    )))
}

/// Takes some ms of processor time, so not on the runtime.
async fn verifiers(password: String) -> Result<Vec<headwater_storage::StoredVerifier>, ApiError> {
    let failed = |line: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, line);
    let making = tokio::task::spawn_blocking(move || stored_verifiers(&password)).await;
    let made = making.map_err(|panic| failed(format!("making verifiers panicked: {panic}")))?;
    made.map_err(|error| failed(error.to_string()))
}
