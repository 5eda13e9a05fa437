//! What happened to a group.

use std::sync::Arc;

use axum::extract::{Path, State};
use headwater_storage::{Catalog, GroupEvent, HistoryEntry};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    body::Answer,
    error::{ApiError, ErrorBody},
};
use crate::http::HttpState;

/// What happened to a group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// Oldest first.
    entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Grows.
    sequence: u64,
    /// When, ms since 1970.
    at_ms: i64,
    /// A client or an operator.
    who: String,
    /// `commit`, `seek`, `undo`, `takeover`, `created`, `password`, `deleted` or `restored`.
    event: &'static str,
    /// Where to, which seek, from whom to whom; `None`: there is no more to say.
    detail: Option<String>,
    /// The positions that it moved; all of the group where it moved none.
    moves: Vec<Move>,
}

/// A position before and after.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Move {
    /// Its name; `None`: the topic is gone.
    topic: Option<String>,
    /// Always 0 today.
    partition: u16,
    /// `None`: there was none.
    from: Option<i64>,
    /// `None`: there is none any more.
    to: Option<i64>,
}

/// What happened to a group, also to the last deleted one of this id.
#[utoipa::path(
    get,
    path = "/api/v1/instances/{instance}/groups/{group}/history",
    tag = "groups",
    params(("instance" = String, Path, description = "Its name"), ("group" = String, Path, description = "Id or name")),
    responses((status = 200, body = History), (status = "default", body = ErrorBody))
)]
pub(super) async fn history(
    State(state): State<Arc<HttpState>>,
    Path((instance, group)): Path<(String, String)>,
) -> Result<Answer<History>, ApiError> {
    state.groups.check_instance_of_history(&instance, &group)?;
    let catalog = state.groups.catalog();
    let history = state.groups.history(&group).await?;
    let entries = history
        .into_iter()
        .map(|(sequence, happened)| entry(&catalog, sequence, happened));
    Ok(Answer(History {
        entries: entries.collect(),
    }))
}

fn entry(catalog: &Catalog, sequence: u64, happened: HistoryEntry) -> Entry {
    let (event, detail) = told(&happened.event);
    let moves = happened.moves.iter().map(|moved| Move {
        topic: catalog
            .topic(moved.at.topic)
            .map(|topic| topic.name.clone()),
        partition: moved.at.partition,
        from: moved.from.as_ref().map(|position| position.offset),
        to: moved.to.as_ref().map(|position| position.offset),
    });
    Entry {
        sequence,
        at_ms: happened.at_ms,
        event,
        detail,
        moves: moves.collect(),
        who: happened.who,
    }
}

fn told(event: &GroupEvent) -> (&'static str, Option<String>) {
    match event {
        GroupEvent::Commit => ("commit", None),
        GroupEvent::Seek { to } => ("seek", Some(format!("to {to}"))),
        GroupEvent::Undo { seek } => ("undo", Some(format!("of {seek}"))),
        GroupEvent::Takeover { from: None, member } => ("takeover", Some(format!("by {member}"))),
        GroupEvent::Takeover {
            from: Some(from),
            member,
        } => ("takeover", Some(format!("from {from} by {member}"))),
        GroupEvent::Created => ("created", None),
        GroupEvent::Password => ("password", None),
        GroupEvent::Deleted => ("deleted", None),
        GroupEvent::Restored { from_ms } => (
            "restored",
            from_ms.and_then(|ms| {
                let from = jiff::Timestamp::from_millisecond(ms).ok()?;
                Some(format!("from {from}"))
            }),
        ),
    }
}
