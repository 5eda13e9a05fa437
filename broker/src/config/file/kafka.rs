//! `[kafka]` and what is below it: listeners, limits, the operator's account.

use std::{net::SocketAddr, num::NonZeroUsize};

use headwater_protocol::sasl::Mechanism;
use toml::Spanned;

use super::{
    Kafka, Listener, Operator, Protocol, Tls,
    check::{Checker, Secrets},
};
use crate::config::{
    ConnectionConfig, ListenerConfig, OperatorConfig, SaslConfig, TlsFiles, error::ConfigError,
};

/// Longest user name of the operator, bytes; as long as the account of a group.
const OPERATOR_BYTES_MAX: usize = 16;

impl Checker<'_> {
    /// One on loopback, in clear, where none is asked for.
    pub(super) fn listeners(&self, kafka: &Kafka) -> Result<Vec<ListenerConfig>, ConfigError> {
        if kafka.listeners.is_empty() {
            let local = SocketAddr::from(([127, 0, 0, 1], 9092));
            return Ok(vec![ListenerConfig::plaintext(local)]);
        }
        let listeners = kafka.listeners.iter();
        listeners.map(|listener| self.listener(listener)).collect()
    }

    fn listener(&self, spanned: &Spanned<Listener>) -> Result<ListenerConfig, ConfigError> {
        let listener = spanned.get_ref();
        let (tls, sasl) = match listener.protocol {
            Protocol::Plaintext => (false, false),
            Protocol::SaslPlaintext => (false, true),
            Protocol::Ssl => (true, false),
            Protocol::SaslSsl => (true, true),
        };
        let config = ListenerConfig {
            advertised: listener.advertised.clone(),
            allow_unauthenticated: listener.allow_unauthenticated,
            tls: self.tls(spanned, tls)?,
            ..ListenerConfig::plaintext(listener.listen.0)
        };
        let sasl = self.sasl(spanned, sasl, &config)?;
        Ok(ListenerConfig { sasl, ..config })
    }

    fn tls(
        &self,
        spanned: &Spanned<Listener>,
        wanted: bool,
    ) -> Result<Option<TlsFiles>, ConfigError> {
        match (&spanned.get_ref().tls, wanted) {
            (None, false) => Ok(None),
            (Some(Tls { certificate, key }), true) => Ok(Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (None, true) => Err(self.at(
                spanned,
                "this listener's protocol needs a certificate: write tls = { certificate = \"PATH\", key = \"PATH\" }",
            )),
            (Some(_), false) => Err(self.at(
                spanned,
                "this listener has tls and a protocol without it: set protocol = \"SASL_SSL\" or \"SSL\", or leave tls out",
            )),
        }
    }

    /// Without a list: all mechanisms, but PLAIN only where the password is not seen on the network.
    fn sasl(
        &self,
        spanned: &Spanned<Listener>,
        wanted: bool,
        config: &ListenerConfig,
    ) -> Result<Option<SaslConfig>, ConfigError> {
        let listener = spanned.get_ref();
        let allow_plain_without_tls = listener.allow_plain_without_tls;
        if !wanted {
            if listener.mechanisms.is_none() && !allow_plain_without_tls {
                return Ok(None);
            }
            return Err(self.at(
                spanned,
                "mechanisms and allow_plain_without_tls are for logins: set protocol = \"SASL_SSL\" or \
                 \"SASL_PLAINTEXT\", or leave them out",
            ));
        }
        let hidden = config.tls.is_some() || config.listen.ip().is_loopback();
        let mechanisms = match &listener.mechanisms {
            Some(names) => names
                .iter()
                .map(|name| self.mechanism(name))
                .collect::<Result<_, _>>()?,
            None if hidden || allow_plain_without_tls => Mechanism::ALL.to_vec(),
            None => Mechanism::ALL
                .into_iter()
                .filter(|one| *one != Mechanism::Plain)
                .collect(),
        };
        Ok(Some(SaslConfig {
            mechanisms,
            allow_plain_without_tls,
        }))
    }

    fn mechanism(&self, name: &Spanned<String>) -> Result<Mechanism, ConfigError> {
        let text = name.get_ref();
        Mechanism::by_name(text).ok_or_else(|| {
            let known = Mechanism::ALL.map(Mechanism::name);
            self.at(
                name,
                format!(
                    "mechanism {text:?} is unknown: known are {}",
                    known.join(", ")
                ),
            )
        })
    }

    pub(super) fn operator(
        &self,
        operator: Option<&Operator>,
    ) -> Result<Option<OperatorConfig>, ConfigError> {
        let Some(Operator { user, password }) = operator else {
            return Ok(None);
        };
        let name = user.get_ref();
        let legal = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || name.len() > OPERATOR_BYTES_MAX || !legal {
            return Err(self.at(
                user,
                format!("operator user {name:?}: a user has 1 to 16 characters of A-Z a-z 0-9 _"),
            ));
        }
        let secret = match self.secrets {
            Secrets::Leave => String::new(),
            Secrets::Read => {
                let read = password.get_ref().read();
                read.map_err(|line| self.at(password, line))?
            }
        };
        Ok(Some(OperatorConfig {
            user: name.clone(),
            password: secret,
        }))
    }
}

pub(super) fn connections(kafka: &Kafka) -> ConnectionConfig {
    let default = ConnectionConfig::default();
    let count = |asked: Option<NonZeroUsize>, default| asked.map_or(default, NonZeroUsize::get);
    ConnectionConfig {
        connections_max: count(kafka.connections_max, default.connections_max),
        idle_close: kafka.idle_close.map_or(default.idle_close, |text| text.0),
        progress_deadline: kafka
            .progress_deadline
            .map_or(default.progress_deadline, |text| text.0),
        login_deadline: kafka
            .login_deadline
            .map_or(default.login_deadline, |text| text.0),
        unauthenticated_max: count(kafka.unauthenticated_max, default.unauthenticated_max),
        unauthenticated_per_address_max: count(
            kafka.unauthenticated_per_address_max,
            default.unauthenticated_per_address_max,
        ),
    }
}
