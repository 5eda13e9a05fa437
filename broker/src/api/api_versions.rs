//! ApiVersions (api key 18), v0-v4.
//!
//! Answers which APIs and versions are served: the table of `headwater_protocol::api`, nothing else.
//!
//! Behaviour
//! - a version above ours does not get here: the decoder asks for the answer in the form of v0 with error 35
//! - the client's software name and version are shown with the groups it joins, and not judged (Kafka answers 42 to
//!   odd ones)
//! - no features are told, so that no client switches to a transaction or group protocol that is not here
//!
//! Versions
//! - v1 throttle_time_ms
//! - v3 flexible, client software (KIP-511)
//! - v4 features with minimum 0 (KIP-584)

use headwater_protocol::api;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::context::Context;

/// Never fails.
pub(crate) fn handle(ctx: &Context<'_>, request: ApiVersionsRequest) -> ApiVersionsResponse {
    ctx.session.says_software(
        &request.client_software_name,
        &request.client_software_version,
    );
    api::api_versions_response()
}
