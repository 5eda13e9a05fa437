//! SaslHandshake (api key 17), v0-v1. Refused.
//!
//! Behaviour
//! - ILLEGAL_SASL_STATE, as Kafka answers on a listener without authentication
//!
//! Versions
//! - v1 tokens follow in SaslAuthenticate (KIP-152), in v0 without header

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::IllegalSaslState,
    message: "this listener does not authenticate: set security.protocol=PLAINTEXT in the client",
};
