//! One handler per file, named as the API. Each has the shape `handle(&Context, XRequest) -> XResponse` (async
//! where it may wait) and never fails: a refusal is an error code in the response.

pub(crate) mod api_versions;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod refused;
