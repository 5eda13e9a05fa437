//! What handlers take and give: a bounded JSON body, a query, a JSON answer. What cannot be read is an [`ApiError`].

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use tokio::time::timeout;

use super::error::ApiError;
use crate::limits::{HTTP_BODY_BYTES, HTTP_BODY_TIMEOUT};

/// A request's body. The guard has seen to it that it says it is JSON.
#[derive(Debug)]
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Sent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let sending = to_bytes(request.into_body(), HTTP_BODY_BYTES);
        let bytes = timeout(HTTP_BODY_TIMEOUT, sending).await.map_err(|_| {
            let line = "the body did not arrive in time";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, line)
        })?;
        let bytes = bytes.map_err(|_| {
            let line = format!("the body is cut off, or larger than {HTTP_BODY_BYTES} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, line)
        })?;
        let read = serde_json::from_slice(&bytes).map_err(unreadable);
        read.map(Self)
    }
}

/// Tells where, and never what stands there: it may be a password.
fn unreadable(error: serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    let names_a_key = ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|start| told.starts_with(start));
    let what = if names_a_key {
        told
    } else if error.is_data() {
        format!("a value of the wrong kind at line {line} column {column}")
    } else {
        format!("not JSON at line {line} column {column}")
    };
    ApiError::unreadable(format!("the body cannot be read: {what}"))
}

/// A request's query.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        let query = query.map_err(|error| ApiError::unreadable(error.body_text()))?;
        Ok(Self(query.0))
    }
}

/// 200 with JSON.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(text) => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (kind, format!("{text}\n")).into_response()
            }
            Err(error) => {
                ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
            }
        }
    }
}
