//! An address for Kafka clients: in clear or by TLS, with or without authentication. Kafka's four protocols.

use std::{net::SocketAddr, path::PathBuf};

use headwater_protocol::sasl::Mechanism;

use super::Advertised;

/// One address for Kafka clients.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What clients are told to connect to; without it, the address they connected to.
    pub advertised: Option<Advertised>,
    /// Lets a listener without authentication leave loopback.
    pub allow_unauthenticated: bool,
    /// `None`: in clear.
    pub tls: Option<TlsFiles>,
    /// `None`: whoever connects may read everything.
    pub sasl: Option<SaslConfig>,
}

/// What a listener shows in TLS handshakes. PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The listener's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key, without password.
    pub key: PathBuf,
}

/// How clients log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslConfig {
    /// At least one.
    pub mechanisms: Vec<Mechanism>,
    /// Lets PLAIN be used in clear off loopback.
    pub allow_plain_without_tls: bool,
}

impl ListenerConfig {
    /// A listener in clear and without authentication.
    #[must_use]
    pub fn plaintext(listen: SocketAddr) -> Self {
        Self {
            listen,
            advertised: None,
            allow_unauthenticated: false,
            tls: None,
            sasl: None,
        }
    }

    /// Kafka's `security.protocol` for its clients.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), None) => "SSL",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Whether passwords cross a network in clear.
    pub(crate) fn exposes_passwords(&self) -> bool {
        let plain = |sasl: &SaslConfig| sasl.mechanisms.contains(&Mechanism::Plain);
        !self.listen.ip().is_loopback()
            && self.tls.is_none()
            && self.sasl.as_ref().is_some_and(plain)
    }

    fn check(&self) -> Result<(), String> {
        let listen = self.listen;
        let Some(sasl) = &self.sasl else {
            if listen.ip().is_loopback() || self.allow_unauthenticated {
                return Ok(());
            }
            return Err(format!(
                "listener {listen} leaves loopback and has no authentication: listen on 127.0.0.1, set protocol = \
                 \"SASL_SSL\" on it, or set allow_unauthenticated = true on it if the network is trusted"
            ));
        };
        if sasl.mechanisms.is_empty() {
            return Err(format!(
                "listener {listen} has no mechanism to log in by: name one in mechanisms, or leave the key out"
            ));
        }
        if self.exposes_passwords() && !sasl.allow_plain_without_tls {
            return Err(format!(
                "listener {listen} leaves loopback and takes passwords in clear (PLAIN without TLS): set protocol = \
                 \"SASL_SSL\" on it, leave PLAIN out of mechanisms, or set allow_plain_without_tls = true on it if \
                 the network is trusted"
            ));
        }
        Ok(())
    }
}

/// Refuses listeners that would let anybody on the network read the database's changes, or a password.
///
/// # Errors
/// One line that names the listener and the way out.
pub fn check_listeners(
    listeners: &[ListenerConfig],
    http: Option<SocketAddr>,
) -> Result<(), String> {
    listeners.iter().try_for_each(ListenerConfig::check)?;
    match http {
        Some(address) if !address.ip().is_loopback() => Err(format!(
            "http.listen {address} leaves loopback, which needs TLS and credentials that this version does not \
             have: listen on 127.0.0.1, or use the socket headwater.sock in the data directory"
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(listen: &str, tls: bool, mechanisms: Option<&[Mechanism]>) -> ListenerConfig {
        let sasl = mechanisms.map(|mechanisms| SaslConfig {
            mechanisms: mechanisms.to_vec(),
            allow_plain_without_tls: false,
        });
        let files = TlsFiles {
            certificate: "c".into(),
            key: "k".into(),
        };
        ListenerConfig {
            tls: tls.then_some(files),
            sasl,
            ..ListenerConfig::plaintext(listen.parse().expect("an address"))
        }
    }

    #[test]
    fn off_loopback_there_is_authentication_and_no_password_in_clear() {
        let (local, network) = ("127.0.0.1:9092", "0.0.0.0:9092");
        let scram = &Mechanism::ALL[1..];
        let plain = &Mechanism::ALL[..1];
        for (listen, tls, mechanisms, sound) in [
            (local, false, None, true),
            (local, true, None, true),
            (local, false, Some(plain), true),
            (network, false, None, false),
            (network, true, None, false),
            (network, false, Some(scram), true),
            (network, false, Some(plain), false),
            (network, true, Some(plain), true),
            (network, true, Some(&[]), false),
        ] {
            let listener = listener(listen, tls, mechanisms);
            let checked = check_listeners(std::slice::from_ref(&listener), None);
            assert_eq!(checked.is_ok(), sound, "{listener:?}: {checked:?}");
        }
    }

    #[test]
    fn an_operator_may_trust_his_network() {
        let mut open = listener("0.0.0.0:9092", false, None);
        open.allow_unauthenticated = true;
        let mut plain = listener("0.0.0.0:9092", false, Some(&Mechanism::ALL));
        assert!(plain.exposes_passwords());
        plain
            .sasl
            .as_mut()
            .expect("it has one")
            .allow_plain_without_tls = true;
        assert_eq!(check_listeners(&[open, plain], None), Ok(()));
    }
}
