//! SCRAM, the server's side (RFC 5802, section 5): four messages, one of each kind.
//!
//! ```text
//! client-first  gs2-header "n=" name ",r=" client nonce
//! server-first  "r=" client nonce, server nonce ",s=" salt ",i=" iterations
//! client-final  "c=" gs2-header in base64 ",r=" both nonces ",p=" proof
//! server-final  "v=" signature
//! ```
//!
//! Rules
//! - gs2-header: `n,,` (client without channel binding) or `y,,` (client that could, and saw none offered: true here).
//!   `p=` asks for what is not offered. An authorization id must be the user name.
//! - `c=` must repeat the header, and `r=` the nonces that were sent, byte for byte (CVE-2024-56128: Kafka did not look).
//!   librdkafka before 2.6.1 writes its own nonce twice (`r=` client nonce, client nonce, server nonce). That is let
//!   through to the proof, which covers the server-first message as we sent it, our fresh nonce in it: a proof of
//!   another login does not fit, whatever `r=` says.
//! - extensions are read over, except `m=`, which a server must refuse if it does not know it. (`tokenauth=true` names a
//!   delegation token; there are none, so the user name is unknown.)

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{SaslError, ScramVerifier, USER_NAME_BYTES_MAX, text};

/// Longest nonce of a client, bytes. Java sends 25, librdkafka 64.
const NONCE_BYTES_MAX: usize = 512;

/// The first message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    user_name: String,
    nonce: String,
    gs2_header: String,
    /// The message without its header, as it is signed.
    bare: String,
}

/// What was sent to the client, and what its answer must fit.
#[derive(Debug, Clone)]
pub struct Challenge {
    first: ClientFirst,
    verifier: ScramVerifier,
    /// Both nonces, as sent.
    nonce: String,
    message: String,
}

/// The client has the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    message: String,
}

impl ClientFirst {
    /// Reads it.
    ///
    /// # Errors
    /// [`SaslError`] for everything that is not as the module says.
    pub fn parse(token: &[u8]) -> Result<Self, SaslError> {
        let message = text(token)?;
        let (flag, rest) = split(message, "no channel binding flag")?;
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(SaslError::ChannelBinding),
            _ => return Err(SaslError::Malformed("channel binding flag")),
        }
        let (authorization_id, bare) = split(rest, "no authorization id")?;
        let (name, rest) = split(bare, "no nonce")?;
        let user_name = user_name(name)?;
        check_authorization_id(authorization_id, &user_name)?;
        let nonce = rest
            .split(',')
            .next()
            .and_then(|part| part.strip_prefix("r="));
        let nonce = nonce.ok_or(SaslError::Malformed("no nonce"))?;
        check_nonce(nonce)?;
        let header_size = message.len() - bare.len();
        Ok(Self {
            user_name,
            nonce: nonce.to_owned(),
            gs2_header: message.get(..header_size).unwrap_or_default().to_owned(),
            bare: bare.to_owned(),
        })
    }

    /// Who wants to log in; not empty.
    pub fn user_name(&self) -> &str {
        &self.user_name
    }

    /// Goes on with the verifier of this user. `server_nonce` must be fresh and random: printable ASCII without comma,
    /// base64 for instance.
    pub fn challenge(self, verifier: ScramVerifier, server_nonce: &str) -> Challenge {
        let nonce = format!("{}{server_nonce}", self.nonce);
        let salt = STANDARD.encode(verifier.salt());
        let message = format!("r={nonce},s={salt},i={}", verifier.iterations());
        Challenge {
            first: self,
            verifier,
            nonce,
            message,
        }
    }
}

impl Challenge {
    /// server-first, to be sent.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Reads the client's answer. Whatever it is, there is no second try: a challenge is used up.
    ///
    /// # Errors
    /// [`SaslError::Proof`] for a wrong password, the others for what is not as the module says.
    pub fn verify(self, token: &[u8]) -> Result<Proven, SaslError> {
        let message = text(token)?;
        let (signed, proof) = message
            .rsplit_once(",p=")
            .ok_or(SaslError::Malformed("no proof"))?;
        self.check_signed(signed)?;
        let proof = STANDARD
            .decode(proof)
            .map_err(|_| SaslError::Malformed("proof is not base64"))?;
        let auth_message = format!("{},{},{signed}", self.first.bare, self.message);
        if !self.verifier.is_proof(&proof, auth_message.as_bytes()) {
            return Err(SaslError::Proof);
        }
        let signature = self.verifier.server_signature(auth_message.as_bytes());
        Ok(Proven {
            message: format!("v={}", STANDARD.encode(signature)),
        })
    }

    /// `c=` and `r=` of the client's answer.
    fn check_signed(&self, signed: &str) -> Result<(), SaslError> {
        let mut parts = signed.split(',');
        let header = parts.next().and_then(|part| part.strip_prefix("c="));
        let header = header.ok_or(SaslError::Malformed("no channel binding"))?;
        if header != STANDARD.encode(&self.first.gs2_header) {
            return Err(SaslError::ChannelBinding);
        }
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        let nonce = nonce.ok_or(SaslError::Malformed("no nonce"))?;
        let once = nonce == self.nonce;
        let twice = nonce.strip_prefix(&self.first.nonce) == Some(&self.nonce);
        if once || twice {
            Ok(())
        } else {
            Err(SaslError::Nonce)
        }
    }
}

impl Proven {
    /// server-final, to be sent.
    pub fn message(&self) -> &str {
        &self.message
    }
}

fn split<'a>(message: &'a str, missing: &'static str) -> Result<(&'a str, &'a str), SaslError> {
    message.split_once(',').ok_or(SaslError::Malformed(missing))
}

/// `n=` and the name, in which `,` and `=` stand as `=2C` and `=3D`.
fn user_name(part: &str) -> Result<String, SaslError> {
    if part.starts_with("m=") {
        return Err(SaslError::Malformed("mandatory extension"));
    }
    let escaped = part
        .strip_prefix("n=")
        .filter(|name| !name.is_empty())
        .ok_or(SaslError::Malformed("no user name"))?;
    unescape(escaped)
}

fn unescape(escaped: &str) -> Result<String, SaslError> {
    // An escape takes three bytes for one.
    if escaped.len() > 3 * USER_NAME_BYTES_MAX {
        return Err(SaslError::TooLong("user name"));
    }
    let mut parts = escaped.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(SaslError::Malformed("user name")),
        };
        name.push(character);
        name.push_str(rest);
    }
    if name.len() > USER_NAME_BYTES_MAX {
        return Err(SaslError::TooLong("user name"));
    }
    Ok(name)
}

fn check_authorization_id(part: &str, user_name: &str) -> Result<(), SaslError> {
    if part.is_empty() {
        return Ok(());
    }
    let escaped = part
        .strip_prefix("a=")
        .ok_or(SaslError::Malformed("authorization id"))?;
    if unescape(escaped)? == user_name {
        Ok(())
    } else {
        Err(SaslError::AuthorizationId)
    }
}

fn check_nonce(nonce: &str) -> Result<(), SaslError> {
    if nonce.len() > NONCE_BYTES_MAX {
        return Err(SaslError::TooLong("nonce"));
    }
    // RFC 5802: printable ASCII without comma, which ended it.
    let printable = !nonce.is_empty() && nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if printable {
        Ok(())
    } else {
        Err(SaslError::Malformed("nonce"))
    }
}

#[cfg(test)]
mod tests;
