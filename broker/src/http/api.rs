//! The API of operators, `/api/v1/...`: what the command line does, and a console can do. A resource is a file that
//! gives its routes; the OpenAPI document is generated from the same handlers.
//!
//! Every error has one shape ([`error`]); what is sent is JSON of at most
//! [`HTTP_BODY_BYTES`](crate::limits::HTTP_BODY_BYTES) ([`body`]).

pub(crate) mod body;
pub(crate) mod client_settings;
pub(crate) mod entry;
pub(crate) mod error;
mod groups;
mod instances;
pub(crate) mod seek_to;

use std::sync::Arc;

use axum::{
    Extension, Router,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::error::{ApiError, ErrorBody};
use super::{HttpState, guard};

/// All routes below `/api`.
pub(super) fn router() -> Router<Arc<HttpState>> {
    let (routes, document) = documented().split_for_parts();
    routes
        .method_not_allowed_fallback(wrong_method)
        .route("/api/{*rest}", any(no_route))
        .layer(Extension(Arc::new(document)))
        .layer(middleware::from_fn(guard::json_on_writes))
}

/// A resource gives its routes here, with their description.
fn documented() -> OpenApiRouter<Arc<HttpState>> {
    let info = InfoBuilder::new()
        .title("headwater")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Consumer groups and instances of a headwater broker."))
        .build();
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .routes(routes!(openapi))
        .merge(groups::router())
        .merge(instances::router())
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "description",
    responses((status = 200, description = "The OpenAPI document"), (status = "default", body = ErrorBody))
)]
async fn openapi(Extension(document): Extension<Arc<OpenApi>>) -> Response {
    match document.to_json() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

async fn no_route() -> ApiError {
    let line = "there is no such path; /api/v1/openapi.json describes all";
    ApiError::new(StatusCode::NOT_FOUND, line)
}

async fn wrong_method() -> ApiError {
    let line = "this path has no such method; /api/v1/openapi.json describes all";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, line)
}

#[cfg(test)]
mod tests;
