//! SaslAuthenticate (api key 36), v0-v2.
//!
//! Carries the tokens of the mechanism that SaslHandshake v1 chose.
//!
//! Behaviour
//! - a login that fails: SASL_AUTHENTICATION_FAILED with a message, after a delay that grows with each failure of the
//!   user and of the address; then the connection is closed. Clients stop and show the message; without an answer they
//!   would come again for ever
//! - the message is the same for an unknown user and a wrong password; the log tells the operator which it was
//! - before a handshake, or after a login: ILLEGAL_SASL_STATE
//!
//! Versions
//! - v1 session lifetime (KIP-368): 0, a login is good as long as its connection
//! - v2 flexible

use bytes::Bytes;
use kafka_protocol::{
    error::ResponseError, messages::SaslAuthenticateResponse, protocol::StrBytes,
};

use crate::{
    auth::{
        Progress,
        login::{Refused, Why},
    },
    error_code::{Reason, Refusal},
};

/// What a request gets that comes after a login, or where none is due.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::IllegalSaslState,
    message: "no login is due: this listener wants none (security.protocol=PLAINTEXT or SSL), or it is done",
};

/// What a client is told whose token was taken.
pub(crate) fn answer(progress: &Progress) -> SaslAuthenticateResponse {
    let token = match progress {
        Progress::Challenge(token) => token,
        Progress::Entered(entered) => &entered.token,
        Progress::Refused(refused) => return refuse(refused),
    };
    SaslAuthenticateResponse::default().with_auth_bytes(Bytes::copy_from_slice(token.as_bytes()))
}

fn refuse(refused: &Refused) -> SaslAuthenticateResponse {
    let error = if refused.why == Why::IllegalState {
        ResponseError::IllegalSaslState
    } else {
        ResponseError::SaslAuthenticationFailed
    };
    SaslAuthenticateResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(refused.why.message())))
}
