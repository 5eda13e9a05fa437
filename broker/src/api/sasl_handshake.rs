//! SaslHandshake (api key 17), v0-v1.
//!
//! A client that has not logged in chooses a mechanism.
//!
//! Behaviour
//! - a mechanism that this listener does not offer: UNSUPPORTED_SASL_MECHANISM with the list of those that it does, and
//!   the connection is closed (a client that comes again has another one configured)
//! - a second time, or after a login (none is ever due again: the session's lifetime is 0): ILLEGAL_SASL_STATE
//! - on a listener without authentication: ILLEGAL_SASL_STATE, by `dispatch`
//!
//! Versions
//! - v0 tokens follow without header, each with its length in front (KIP-43)
//! - v1 tokens follow in SaslAuthenticate (KIP-152)

use headwater_protocol::sasl::Mechanism;
use kafka_protocol::{error::ResponseError, messages::SaslHandshakeResponse, protocol::StrBytes};

use crate::{
    auth::login::NotChosen,
    error_code::{NONE, Reason, Refusal},
};

/// What a request gets that comes after a login, or where none is due.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::IllegalSaslState,
    message: "no login is due: this listener wants none (security.protocol=PLAINTEXT or SSL), or it is done",
};

/// What a client is told that chose a mechanism.
pub(crate) fn answer(
    offered: &[Mechanism],
    chosen: Result<(), NotChosen>,
) -> SaslHandshakeResponse {
    let code = match chosen {
        Ok(()) => NONE,
        Err(NotChosen::Unsupported) => ResponseError::UnsupportedSaslMechanism.code(),
        Err(NotChosen::IllegalState) => ResponseError::IllegalSaslState.code(),
    };
    let names = offered
        .iter()
        .map(|one| StrBytes::from_static_str(one.name()));
    SaslHandshakeResponse::default()
        .with_error_code(code)
        .with_mechanisms(names.collect())
}
