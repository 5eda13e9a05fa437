//! The login of one connection: which token is due, what it leads to. Pure: accounts and nonces come from outside, and
//! a password is checked outside.
//!
//! | state | SaslHandshake | token (SaslAuthenticate, or raw after handshake v0) |
//! |---|---|---|
//! | start | a mechanism that is offered: chosen; else UNSUPPORTED_SASL_MECHANISM, and the start again | ILLEGAL_SASL_STATE, over |
//! | chosen, PLAIN | ILLEGAL_SASL_STATE, over | checked: in, or over |
//! | chosen, SCRAM | ILLEGAL_SASL_STATE, over | client-first: challenged; else over |
//! | challenged | ILLEGAL_SASL_STATE, over | client-final: in, or over |
//! | over | ILLEGAL_SASL_STATE | ILLEGAL_SASL_STATE |
//!
//! A login that is over is answered, and its connection closed: each try costs a connection, and so a place.

use std::{fmt, sync::Arc};

use headwater_protocol::sasl::{
    Mechanism, SaslError,
    plain::PlainLogin,
    scram::{Challenge, ClientFirst},
};

use super::account::{Claim, Unknown};

/// Where a login stands.
#[derive(Debug)]
pub(crate) struct Login {
    offered: Arc<[Mechanism]>,
    state: State,
    raw: bool,
}

#[derive(Debug)]
enum State {
    Start,
    Chosen(Mechanism),
    Challenged(Box<(Claim, Challenge)>),
    Over,
}

/// Why a mechanism cannot be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotChosen {
    /// It is not offered here.
    Unsupported,
    /// Not now.
    IllegalState,
}

/// What a token leads to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this.
    Challenge(String),
    /// Check this password, then [`judge`].
    Password {
        claim: Claim,
        password: String,
    },
    /// The client has the password; send this.
    Proven {
        claim: Claim,
        token: String,
    },
    Refused(Refused),
}

/// How a password was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    Right,
    Wrong,
    /// It was not checked: too many wait.
    Busy,
}

/// A login that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// As the client wrote it; empty where it did not get that far.
    pub(crate) user: String,
    pub(crate) why: Why,
}

/// For the log; the client is told [`Why::message`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The token makes no sense.
    Token(SaslError),
    Unknown(Unknown),
    WrongPassword,
    /// While the client proved the old one.
    PasswordChanged,
    /// Too many passwords wait to be checked.
    Busy,
    /// A token that is not due.
    IllegalState,
    /// The system gives no random bytes.
    NoNonce,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(error) => error.fmt(f),
            Self::Unknown(unknown) => unknown.fmt(f),
            Self::WrongPassword => f.write_str("wrong password"),
            Self::PasswordChanged => f.write_str("the password was changed meanwhile"),
            Self::Busy => f.write_str("too many logins wait to be checked"),
            Self::IllegalState => f.write_str("a SASL token that is not due"),
            Self::NoNonce => f.write_str("the system gives no random bytes"),
        }
    }
}

impl Why {
    /// For the metrics: one word of few.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Token(SaslError::Proof) | Self::WrongPassword => "wrong_password",
            Self::Token(
                SaslError::TooLong(_)
                | SaslError::Malformed(_)
                | SaslError::AuthorizationId
                | SaslError::ChannelBinding
                | SaslError::Nonce,
            ) => "malformed",
            Self::Unknown(Unknown::Account | Unknown::AccountOfGroup) => "unknown_account",
            Self::Unknown(Unknown::Group) => "unknown_group",
            Self::Unknown(Unknown::Verifier(_)) => "no_verifier",
            Self::PasswordChanged => "password_changed",
            Self::Busy => "busy",
            Self::IllegalState => "illegal_state",
            Self::NoNonce => "no_randomness",
        }
    }

    /// What the client is told: the same for an unknown user and a wrong password.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Token(SaslError::Proof) | Self::Unknown(_) | Self::WrongPassword => {
                "Authentication failed: wrong user name or password".to_owned()
            }
            Self::Token(
                SaslError::TooLong(_)
                | SaslError::Malformed(_)
                | SaslError::AuthorizationId
                | SaslError::ChannelBinding
                | SaslError::Nonce,
            )
            | Self::PasswordChanged
            | Self::Busy
            | Self::IllegalState
            | Self::NoNonce => format!("Authentication failed: {self}"),
        }
    }
}

impl Refused {
    pub(crate) fn of(user: String, why: Why) -> Self {
        Self { user, why }
    }
}

impl Login {
    /// At the start, with these mechanisms to choose from.
    pub(crate) fn new(offered: Arc<[Mechanism]>) -> Self {
        Self {
            offered,
            state: State::Start,
            raw: false,
        }
    }

    /// What a client may choose from.
    pub(crate) fn offered(&self) -> &[Mechanism] {
        &self.offered
    }

    /// Whether frames are tokens from now on, without header: handshake v0 chose so (KIP-43).
    pub(crate) fn takes_raw_tokens(&self) -> bool {
        self.raw
    }

    /// SaslHandshake of `version`.
    pub(crate) fn choose(&mut self, mechanism: &str, version: i16) -> Result<(), NotChosen> {
        let State::Start = self.state else {
            self.state = State::Over;
            return Err(NotChosen::IllegalState);
        };
        let known = Mechanism::by_name(mechanism);
        let chosen = known.filter(|known| self.offered.contains(known));
        self.state = State::Chosen(chosen.ok_or(NotChosen::Unsupported)?);
        self.raw = version == 0;
        Ok(())
    }

    /// The next token of the client. `find` says whom a user name means, `nonce` gives a fresh one.
    pub(crate) fn token(
        &mut self,
        token: &[u8],
        find: impl FnOnce(&str, Mechanism) -> Claim,
        nonce: impl FnOnce() -> Option<String>,
    ) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start | State::Over => refused(String::new(), Why::IllegalState),
            State::Chosen(Mechanism::Plain) => plain(token, find),
            State::Chosen(mechanism @ Mechanism::Scram(_)) => {
                self.challenge(token, |user| find(user, mechanism), nonce)
            }
            State::Challenged(challenged) => prove(*challenged, token),
        }
    }

    fn challenge(
        &mut self,
        token: &[u8],
        find: impl FnOnce(&str) -> Claim,
        nonce: impl FnOnce() -> Option<String>,
    ) -> Step {
        let first = match ClientFirst::parse(token) {
            Ok(first) => first,
            Err(error) => return refused(String::new(), Why::Token(error)),
        };
        let claim = find(first.user_name());
        let Some(nonce) = nonce() else {
            return refused(claim.user, Why::NoNonce);
        };
        let challenge = first.challenge(claim.verifier.clone(), &nonce);
        let message = challenge.message().to_owned();
        self.state = State::Challenged(Box::new((claim, challenge)));
        Step::Challenge(message)
    }
}

fn plain(token: &[u8], find: impl FnOnce(&str, Mechanism) -> Claim) -> Step {
    match PlainLogin::parse(token) {
        Err(error) => refused(String::new(), Why::Token(error)),
        Ok(login) => Step::Password {
            claim: find(login.user_name, Mechanism::Plain),
            password: login.password.to_owned(),
        },
    }
}

fn prove((claim, challenge): (Claim, Challenge), token: &[u8]) -> Step {
    match (challenge.verify(token), &claim.principal) {
        (Ok(proven), Ok(_)) => Step::Proven {
            claim,
            token: proven.message().to_owned(),
        },
        (Err(SaslError::Proof) | Ok(_), Err(unknown)) => {
            let why = Why::Unknown(unknown.clone());
            refused(claim.user, why)
        }
        (Err(SaslError::Proof), Ok(_)) => refused(claim.user, Why::WrongPassword),
        (Err(error), _) => refused(claim.user, Why::Token(error)),
    }
}

/// A claim whose password was checked.
pub(crate) fn judge(claim: Claim, checked: Checked) -> Result<Claim, Refused> {
    let why = match (&claim.principal, checked) {
        (_, Checked::Busy) => Why::Busy,
        (Err(unknown), Checked::Right | Checked::Wrong) => Why::Unknown(unknown.clone()),
        (Ok(_), Checked::Wrong) => Why::WrongPassword,
        (Ok(_), Checked::Right) => return Ok(claim),
    };
    Err(Refused::of(claim.user, why))
}

fn refused(user: String, why: Why) -> Step {
    Step::Refused(Refused::of(user, why))
}

#[cfg(test)]
mod tests;
