//! An address for Kafka clients, as people are told of it.

use std::net::SocketAddr;

use headwater_protocol::sasl::Mechanism;

use crate::config::ListenerConfig;

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `HOST:PORT`.
    pub(crate) bootstrap: String,
    /// Kafka's `security.protocol`.
    pub(crate) protocol: &'static str,
    /// Ways to log in; empty: nobody has to.
    pub(crate) mechanisms: Vec<Mechanism>,
}

impl Entry {
    /// The listener of `config` that was bound to `bound`. One that listens on every address, and advertises none, is
    /// told by the name of this machine.
    pub(crate) fn of(config: &ListenerConfig, bound: SocketAddr) -> Self {
        let bootstrap = match &config.advertised {
            Some(advertised) if advertised.host.contains(':') => {
                format!("[{}]:{}", advertised.host, advertised.port)
            }
            Some(advertised) => format!("{}:{}", advertised.host, advertised.port),
            None if bound.ip().is_unspecified() => {
                let name = rustix::system::uname();
                let name = name.nodename().to_string_lossy();
                format!("{name}:{}", bound.port())
            }
            None => bound.to_string(),
        };
        Self {
            bootstrap,
            protocol: config.protocol(),
            mechanisms: config
                .sasl
                .as_ref()
                .map_or_else(Vec::new, |sasl| sasl.mechanisms.clone()),
        }
    }

    pub(crate) fn has_login(&self) -> bool {
        !self.mechanisms.is_empty()
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.protocol.ends_with("SSL")
    }
}
