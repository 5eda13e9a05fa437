//! SASL as Kafka clients use it: PLAIN (RFC 4616) and the server's side of SCRAM (RFC 5802, RFC 7677).
//!
//! Pure: no socket, no clock, no randomness. Salts and nonces are arguments, and who has which verifier is the
//! caller's business. A login by SCRAM:
//!
//! | client sends | here | server sends |
//! |---|---|---|
//! | client-first | [`scram::ClientFirst::parse`]; the caller finds the verifier of [`scram::ClientFirst::user_name`] | |
//! | | [`scram::ClientFirst::challenge`] | [`scram::Challenge::message`] |
//! | client-final | [`scram::Challenge::verify`] | [`scram::Proven::message`] |
//!
//! A login by PLAIN is one token, [`plain::PlainLogin::parse`], checked by [`ScramVerifier::is_password`]: nothing but
//! verifiers is ever stored.
//!
//! Texts are compared as the bytes that came: neither Kafka nor librdkafka prepares strings (SASLprep, RFC 4013), and
//! a server that did would refuse passwords that they accept.

pub mod plain;
pub mod scram;
mod verifier;

pub use verifier::{ITERATIONS, ITERATIONS_RANGE, SALT_BYTES, ScramVerifier, VerifierError};

/// Largest token that is looked at, bytes. A SCRAM message with the longest names and nonces has half of it.
pub const TOKEN_BYTES_MAX: usize = 4 << 10;

/// Longest user name, bytes: an account, a hyphen and a group's name of 128 characters fit.
pub const USER_NAME_BYTES_MAX: usize = 640;

/// Longest password that is tried, bytes.
pub const PASSWORD_BYTES_MAX: usize = 1 << 10;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// The password itself, RFC 4616.
    Plain,
    /// A proof that the client has it.
    Scram(ScramMechanism),
}

/// The hash that SCRAM works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramMechanism {
    /// RFC 7677.
    Sha256,
    /// The same with SHA-512, as Kafka has it.
    Sha512,
}

impl Mechanism {
    /// All that are there, in the order in which clients are told.
    pub const ALL: [Self; 3] = [
        Self::Plain,
        Self::Scram(ScramMechanism::Sha256),
        Self::Scram(ScramMechanism::Sha512),
    ];

    /// The name that clients send.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(ScramMechanism::Sha256) => "SCRAM-SHA-256",
            Self::Scram(ScramMechanism::Sha512) => "SCRAM-SHA-512",
        }
    }

    /// The mechanism with this name, in this case: as Kafka.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

impl ScramMechanism {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Bytes of its keys and proofs.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// Why a token is refused. None of the texts repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// Over [`TOKEN_BYTES_MAX`], or a part of it over its own bound.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// Not the layout of its mechanism.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// The client wants to act as somebody else.
    #[error("authorization id differs from user name")]
    AuthorizationId,
    /// The client insists on binding to the TLS channel, which is not offered.
    #[error("channel binding is not offered")]
    ChannelBinding,
    /// The nonce is not the one that was sent.
    #[error("nonce differs from the one sent")]
    Nonce,
    /// The client does not have the password.
    #[error("proof does not fit")]
    Proof,
}

/// A token as text, if it is not too long.
fn text(token: &[u8]) -> Result<&str, SaslError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(SaslError::TooLong("message"));
    }
    str::from_utf8(token).map_err(|_| SaslError::Malformed("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_known_by_their_exact_names() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::by_name(mechanism.name()), Some(mechanism));
        }
        for unknown in [
            "",
            "plain",
            "GSSAPI",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256-PLUS",
            "OAUTHBEARER",
        ] {
            assert_eq!(Mechanism::by_name(unknown), None, "{unknown}");
        }
    }
}
