//! What a connection begins with: ApiVersions and SASL.

use super::{Bytes, Layout, String, all, request, since};

/// Versions 0-4.
pub(super) static API_VERSIONS: Layout = request(&[
    since(3, String), // client software name
    since(3, String), // client software version
]);

/// Versions 0-1.
pub(super) static SASL_HANDSHAKE: Layout = request(&[
    all(String), // mechanism
]);

/// Versions 0-2.
pub(super) static SASL_AUTHENTICATE: Layout = request(&[
    all(Bytes), // token
]);
