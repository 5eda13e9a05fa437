//! The one shape of an error, and the status code that goes with it.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::group_service::GroupError;

/// Something that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// One line.
    error: String,
    /// Every rule that is broken, each in one line; empty where the error says all.
    details: Vec<String>,
}

impl ApiError {
    /// An error that one line tells.
    pub(crate) fn new(status: StatusCode, line: impl Into<String>) -> Self {
        Self::with_details(status, line, Vec::new())
    }

    fn with_details(status: StatusCode, line: impl Into<String>, details: Vec<String>) -> Self {
        let error = line.into().replace('\n', " ");
        Self {
            status,
            body: ErrorBody { error, details },
        }
    }

    /// 400: what was sent cannot be read.
    pub(crate) fn unreadable(line: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, line)
    }

    /// 422: it can be read, and may not be.
    pub(crate) fn refused(line: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, line)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // Strings always become JSON.
        let text = serde_json::to_string(&self.body).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (self.status, kind, format!("{text}\n")).into_response()
    }
}

impl From<GroupError> for ApiError {
    fn from(error: GroupError) -> Self {
        let line = error.to_string();
        match error {
            GroupError::Rules(details) => {
                let line = match details.as_slice() {
                    [one] => one.clone(),
                    all => format!("{} rules are broken", all.len()),
                };
                Self::with_details(StatusCode::UNPROCESSABLE_ENTITY, line, details)
            }
            GroupError::Seek(_) => Self::refused(line),
            GroupError::UnknownGroup(_) | GroupError::UnknownInstance(_) => {
                Self::new(StatusCode::NOT_FOUND, line)
            }
            GroupError::HasMembers { .. } | GroupError::FirstUse(_) => {
                Self::new(StatusCode::CONFLICT, line)
            }
            GroupError::Storage(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, line),
        }
    }
}
