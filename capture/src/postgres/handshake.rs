//! The login: answers to what the server asks for. Pure; [`super::connection`] carries the messages.
//!
//! | server asks for | answer |
//! |---|---|
//! | nothing (trust, peer, certificate) | - |
//! | SCRAM-SHA-256-PLUS, SCRAM-SHA-256 | the exchange; the server must prove itself too |
//! | md5 | the salted hash |
//! | the password in clear | inside verified TLS only, else [`LoginError::ClearPassword`] |
//! | anything else | [`LoginError::Method`] |
//!
//! Manual: "Message Flow, Start-up", "SASL Authentication".

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::error::LoginError;
use super::message::{Authentication, split_nul};
use super::url::{ChannelBindingMode, Password};

/// What a login may rely on.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Option<Password>,
    pub(crate) channel_binding: ChannelBindingMode,
    /// The connection is TLS and the server's certificate was checked.
    pub(crate) verified: bool,
    /// The certificate's hash, on TLS connections whose certificate has one.
    pub(crate) end_point: Option<Vec<u8>>,
}

/// One login.
pub(crate) struct Login {
    credentials: Credentials,
    scram: Scram,
}

enum Scram {
    NotAsked,
    Exchanging {
        exchange: Box<ScramSha256>,
        bound: bool,
    },
    /// The server has proven that it knows the password.
    Proven {
        bound: bool,
    },
}

/// What to do after a message of the login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Send this.
    Send(BytesMut),
    /// Wait for the server's next message.
    Wait,
    /// Logged in.
    Done,
}

impl Login {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            scram: Scram::NotAsked,
        }
    }

    /// Answers one message.
    ///
    /// # Errors
    /// The login cannot or must not go on; the connection has to be closed.
    pub(crate) fn answer(&mut self, message: &Authentication<'_>) -> Result<Answer, LoginError> {
        match message {
            Authentication::Ok => self.logged_in(),
            Authentication::CleartextPassword if !self.credentials.verified => {
                Err(LoginError::ClearPassword)
            }
            Authentication::CleartextPassword => password_message(self.password()?.reveal()),
            Authentication::Md5Password { salt } => {
                let user = self.credentials.user.as_bytes();
                let hash = md5_hash(user, self.password()?.reveal(), *salt);
                password_message(hash.as_bytes())
            }
            Authentication::Sasl(mechanisms) => self.begin_scram(mechanisms),
            Authentication::SaslContinue(challenge) => self.continue_scram(challenge),
            Authentication::SaslFinal(proof) => self.finish_scram(proof),
            Authentication::Unsupported(method) => Err(LoginError::Method(method_name(*method))),
        }
    }

    fn password(&self) -> Result<&Password, LoginError> {
        self.credentials
            .password
            .as_ref()
            .ok_or(LoginError::NoPassword)
    }

    /// A server that leaves out its proof is not the one that holds our password.
    fn logged_in(&self) -> Result<Answer, LoginError> {
        let bound = match self.scram {
            Scram::NotAsked => false,
            Scram::Exchanging { .. } => {
                return Err(LoginError::Scram("it left out its proof".into()));
            }
            Scram::Proven { bound } => bound,
        };
        if self.credentials.channel_binding == ChannelBindingMode::Require && !bound {
            return Err(LoginError::ChannelBinding);
        }
        Ok(Answer::Done)
    }

    fn begin_scram(&mut self, mechanisms: &[u8]) -> Result<Answer, LoginError> {
        let offered = mechanism_names(mechanisms);
        let plus_offered = offered.contains(&SCRAM_SHA_256_PLUS.as_bytes());
        if !plus_offered && !offered.contains(&SCRAM_SHA_256.as_bytes()) {
            let names = offered.iter().map(|name| name.escape_ascii().to_string());
            return Err(LoginError::Method(
                names.take(8).collect::<Vec<_>>().join(", "),
            ));
        }
        let (binding, bound) = self.channel_binding(plus_offered)?;
        let mechanism = if bound {
            SCRAM_SHA_256_PLUS
        } else {
            SCRAM_SHA_256
        };
        let exchange = Box::new(ScramSha256::new(self.password()?.reveal(), binding));
        let mut reply = BytesMut::new();
        frontend::sasl_initial_response(mechanism, exchange.message(), &mut reply)
            .map_err(scram_error)?;
        self.scram = Scram::Exchanging { exchange, bound };
        Ok(Answer::Send(reply))
    }

    /// How the exchange is bound to the TLS connection. "Unrequested" tells an honest server that we could
    /// have, so that it notices when somebody between us removed its offer.
    fn channel_binding(&self, offered: bool) -> Result<(ChannelBinding, bool), LoginError> {
        let wanted = self.credentials.channel_binding;
        match &self.credentials.end_point {
            Some(hash) if offered && wanted != ChannelBindingMode::Disable => {
                Ok((ChannelBinding::tls_server_end_point(hash.clone()), true))
            }
            Some(_) | None if wanted == ChannelBindingMode::Require => {
                Err(LoginError::ChannelBinding)
            }
            Some(_) if wanted == ChannelBindingMode::Prefer => {
                Ok((ChannelBinding::unrequested(), false))
            }
            Some(_) | None => Ok((ChannelBinding::unsupported(), false)),
        }
    }

    fn continue_scram(&mut self, challenge: &[u8]) -> Result<Answer, LoginError> {
        let Scram::Exchanging { exchange, .. } = &mut self.scram else {
            return Err(LoginError::Scram("a challenge without an exchange".into()));
        };
        exchange.update(challenge).map_err(scram_error)?;
        let mut reply = BytesMut::new();
        frontend::sasl_response(exchange.message(), &mut reply).map_err(scram_error)?;
        Ok(Answer::Send(reply))
    }

    fn finish_scram(&mut self, proof: &[u8]) -> Result<Answer, LoginError> {
        let Scram::Exchanging { exchange, bound } = &mut self.scram else {
            return Err(LoginError::Scram("a proof without an exchange".into()));
        };
        exchange.finish(proof).map_err(scram_error)?;
        self.scram = Scram::Proven { bound: *bound };
        Ok(Answer::Wait)
    }
}

fn password_message(password: &[u8]) -> Result<Answer, LoginError> {
    let mut reply = BytesMut::new();
    frontend::password_message(password, &mut reply)
        .map_err(|_| LoginError::Method("password: it holds a NUL".into()))?;
    Ok(Answer::Send(reply))
}

fn mechanism_names(mut list: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    while let Some((name, rest)) = split_nul(list).filter(|(name, _)| !name.is_empty()) {
        names.push(name);
        list = rest;
    }
    names
}

fn method_name(method: u32) -> String {
    match method {
        2 => "Kerberos V5".to_owned(),
        6 => "SCM credential".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        other => other.to_string(),
    }
}

/// The exchange's errors speak of its syntax; none of them holds the password.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn scram_error(error: std::io::Error) -> LoginError {
    LoginError::Scram(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(password: Option<&str>) -> Credentials {
        Credentials {
            user: "md5_user".into(),
            password: password.map(Password::new),
            channel_binding: ChannelBindingMode::Prefer,
            verified: false,
            end_point: None,
        }
    }

    fn sent(answer: Result<Answer, LoginError>) -> Vec<u8> {
        match answer {
            Ok(Answer::Send(bytes)) => bytes.to_vec(),
            other => panic!("nothing to send: {other:?}"),
        }
    }

    #[test]
    fn a_password_goes_in_clear_inside_verified_tls_only() {
        let mut login = Login::new(credentials(Some("secret")));
        let refused = login.answer(&Authentication::CleartextPassword);
        assert_eq!(refused, Err(LoginError::ClearPassword));
        let mut login = Login::new(Credentials {
            verified: true,
            ..credentials(Some("secret"))
        });
        let message = sent(login.answer(&Authentication::CleartextPassword));
        assert_eq!(message, b"p\0\0\0\x0bsecret\0");
    }

    #[test]
    fn md5_is_the_hash_of_hash_and_salt() {
        let mut login = Login::new(credentials(Some("password")));
        let message = sent(login.answer(&Authentication::Md5Password {
            salt: [0x2a, 0x3d, 0x8f, 0xe0],
        }));
        assert!(message.ends_with(b"md562af4dd09bbb41884907a838a3233294\0"));
    }

    #[test]
    fn without_a_password_the_login_says_so() {
        for message in [
            Authentication::Md5Password { salt: [0; 4] },
            Authentication::Sasl(b"SCRAM-SHA-256\0\0"),
        ] {
            let refused = Login::new(credentials(None)).answer(&message);
            assert_eq!(refused, Err(LoginError::NoPassword));
        }
        assert_eq!(
            Login::new(credentials(None)).answer(&Authentication::Ok),
            Ok(Answer::Done)
        );
    }

    #[test]
    fn a_server_that_leaves_out_its_proof_is_refused() {
        let mut login = Login::new(credentials(Some("x")));
        sent(login.answer(&Authentication::Sasl(b"SCRAM-SHA-256\0\0")));
        assert!(matches!(
            login.answer(&Authentication::Ok),
            Err(LoginError::Scram(_))
        ));
    }

    #[test]
    fn nonsense_at_every_step_of_scram_is_an_error() {
        for challenge in [
            &b""[..],
            b"r=",
            b"r=x,s=AAAA,i=4096",
            b"\xff",
            b"r=x,s=!,i=99999999999",
        ] {
            let mut login = Login::new(credentials(Some("x")));
            assert!(
                login
                    .answer(&Authentication::SaslContinue(challenge))
                    .is_err()
            );
            sent(login.answer(&Authentication::Sasl(b"SCRAM-SHA-256\0\0")));
            assert!(
                login
                    .answer(&Authentication::SaslContinue(challenge))
                    .is_err()
            );
            assert!(
                login
                    .answer(&Authentication::SaslContinue(challenge))
                    .is_err()
            );
            assert!(login.answer(&Authentication::SaslFinal(b"v=AAAA")).is_err());
        }
    }

    #[test]
    fn channel_binding_is_used_where_both_sides_can() {
        let with = |end_point: Option<Vec<u8>>, channel_binding| {
            let credentials = Credentials {
                end_point,
                channel_binding,
                ..credentials(Some("x"))
            };
            Login::new(credentials)
        };
        let both = Authentication::Sasl(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let plain = Authentication::Sasl(b"SCRAM-SHA-256\0\0");
        let hash = Some(vec![1; 32]);

        let message = sent(with(hash.clone(), ChannelBindingMode::Prefer).answer(&both));
        assert!(message[5..].starts_with(b"SCRAM-SHA-256-PLUS\0"));
        let message = sent(with(hash.clone(), ChannelBindingMode::Prefer).answer(&plain));
        assert!(message.windows(3).any(|part| part == b"y,,"));
        let message = sent(with(hash.clone(), ChannelBindingMode::Disable).answer(&both));
        assert!(message.windows(3).any(|part| part == b"n,,"));
        for (end_point, offer) in [(hash, plain), (None, both)] {
            let refused = with(end_point, ChannelBindingMode::Require).answer(&offer);
            assert_eq!(refused, Err(LoginError::ChannelBinding));
        }
    }

    #[test]
    fn unknown_methods_are_named() {
        let mut login = Login::new(credentials(Some("x")));
        let refused = login.answer(&Authentication::Sasl(b"OAUTHBEARER\0\0"));
        assert_eq!(refused, Err(LoginError::Method("OAUTHBEARER".into())));
        let refused = login.answer(&Authentication::Unsupported(7));
        assert_eq!(refused, Err(LoginError::Method("GSSAPI".into())));
    }
}
