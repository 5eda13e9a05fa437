//! SaslAuthenticate (api key 36), v0-v2. Refused.
//!
//! Behaviour
//! - ILLEGAL_SASL_STATE, as Kafka answers on a listener without authentication
//!
//! Versions
//! - v1 lifetime of the session (KIP-368)
//! - v2 flexible

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::IllegalSaslState,
    message: "this listener does not authenticate: set security.protocol=PLAINTEXT in the client",
};
