//! Instances: list, show, pause, resume, resync.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use headwater_capture::postgres::source::resync::ResyncFrom;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::{Answer, Sent},
    error::{ApiError, ErrorBody},
};
use crate::{
    http::HttpState,
    instance::{
        InstanceView, OrderError,
        report::{GapReport, InstanceReport},
    },
};

/// The routes of instances.
pub(super) fn router() -> OpenApiRouter<Arc<HttpState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(resync))
}

/// Instances, without their tables and topics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstanceList {
    /// As configured.
    instances: Vec<InstanceReport>,
}

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseWanted {
    /// Why, in one line of at most 200 characters.
    #[serde(default)]
    reason: String,
}

/// A new beginning.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResyncWanted {
    /// `now`, `earliest`, or an LSN.
    from: String,
    /// Also while nothing is lost.
    #[serde(default)]
    force: bool,
}

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        let status = match &error {
            OrderError::Refused(_) => StatusCode::CONFLICT,
            OrderError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

/// All instances.
#[utoipa::path(
    get,
    path = "/api/v1/instances",
    tag = "instances",
    responses((status = 200, body = InstanceList), (status = "default", body = ErrorBody))
)]
async fn list(State(state): State<Arc<HttpState>>) -> Answer<InstanceList> {
    let now = state.clock.wall_ms();
    let summary = |it: &InstanceView| it.summary(now, state.groups.limit(&it.name));
    Answer(InstanceList {
        instances: state.instances.iter().map(summary).collect(),
    })
}

/// One instance: state, source, tables, data range, delay, gaps.
#[utoipa::path(
    get,
    path = "/api/v1/instances/{instance}",
    tag = "instances",
    params(("instance" = String, Path, description = "Its name")),
    responses((status = 200, body = InstanceReport), (status = "default", body = ErrorBody))
)]
async fn show(
    State(state): State<Arc<HttpState>>,
    Path(instance): Path<String>,
) -> Result<Answer<InstanceReport>, ApiError> {
    reported(&state, &instance).await
}

/// Stops reading the source, over restarts, until it is resumed. The slot is kept, and the source keeps its log for it.
#[utoipa::path(
    post,
    path = "/api/v1/instances/{instance}/pause",
    tag = "instances",
    params(("instance" = String, Path, description = "Its name")),
    request_body = PauseWanted,
    responses((status = 200, body = InstanceReport), (status = "default", body = ErrorBody))
)]
async fn pause(
    State(state): State<Arc<HttpState>>,
    Path(instance): Path<String>,
    Sent(wanted): Sent<PauseWanted>,
) -> Result<Answer<InstanceReport>, ApiError> {
    named(&state, &instance)?.pause(&wanted.reason).await?;
    reported(&state, &instance).await
}

/// Goes on where it was paused.
#[utoipa::path(
    post,
    path = "/api/v1/instances/{instance}/resume",
    tag = "instances",
    params(("instance" = String, Path, description = "Its name")),
    responses((status = 200, body = InstanceReport), (status = "default", body = ErrorBody))
)]
async fn resume(
    State(state): State<Arc<HttpState>>,
    Path(instance): Path<String>,
) -> Result<Answer<InstanceReport>, ApiError> {
    named(&state, &instance)?.resume().await?;
    reported(&state, &instance).await
}

/// Begins a new source incarnation behind a gap, which is recorded. Offsets go on, with the next leader epoch.
#[utoipa::path(
    post,
    path = "/api/v1/instances/{instance}/resync",
    tag = "instances",
    params(("instance" = String, Path, description = "Its name")),
    request_body = ResyncWanted,
    responses((status = 200, body = GapReport), (status = "default", body = ErrorBody))
)]
async fn resync(
    State(state): State<Arc<HttpState>>,
    Path(instance): Path<String>,
    Sent(wanted): Sent<ResyncWanted>,
) -> Result<Answer<GapReport>, ApiError> {
    let instance = named(&state, &instance)?;
    let from: ResyncFrom = wanted.from.parse().map_err(|_| {
        let from = &wanted.from;
        ApiError::refused(format!(
            "from {from:?} is not understood: now, earliest, or an LSN such as 16/B374D848"
        ))
    })?;
    let gap = instance.resync(from, wanted.force).await?;
    Ok(Answer(GapReport::from(&gap)))
}

fn named<'a>(state: &'a HttpState, name: &str) -> Result<&'a InstanceView, ApiError> {
    let found = state.instances.iter().find(|it| it.name == name);
    found.ok_or_else(|| {
        let line = format!("there is no instance {name:?}; GET /api/v1/instances lists all");
        ApiError::new(StatusCode::NOT_FOUND, line)
    })
}

/// Off the runtime: it looks at the disk.
async fn reported(state: &HttpState, name: &str) -> Result<Answer<InstanceReport>, ApiError> {
    let view = named(state, name)?.clone();
    let (now, limit) = (state.clock.wall_ms(), state.groups.limit(name));
    let looked = spawn_blocking(move || view.report(now, limit)).await;
    looked.map(Answer).map_err(|panic| {
        let line = format!("looking at the log panicked: {panic}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, line)
    })
}
