//! What a stock client is told about TLS and about who logs in, in the words of its library.

use std::path::PathBuf;

use super::Client;

/// How a client connects.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// SASL mechanism, user name and password; `None`: no login.
    pub sasl: Option<Sasl>,
    /// The certificate to trust, PEM; `None`: in clear.
    pub trusted: Option<PathBuf>,
}

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// As Kafka calls it: `SCRAM-SHA-256`.
    pub mechanism: &'static str,
    /// User name.
    pub user: String,
    /// In clear. No quotes or backslashes, since Java's settings would need them escaped.
    pub password: String,
}

impl Login {
    /// In clear.
    #[must_use]
    pub fn by(mechanism: &'static str, user: &str, password: &str) -> Self {
        Self {
            sasl: Some(Sasl {
                mechanism,
                user: user.to_owned(),
                password: password.to_owned(),
            }),
            trusted: None,
        }
    }

    /// The same over TLS.
    #[must_use]
    pub fn trusting(mut self, certificate: PathBuf) -> Self {
        self.trusted = Some(certificate);
        self
    }

    /// Settings of `client`: keys and values.
    #[must_use]
    pub(super) fn properties(&self, client: Client) -> Vec<(&'static str, String)> {
        let protocol = match (&self.sasl, &self.trusted) {
            (None, None) => return Vec::new(),
            (None, Some(_)) => "SSL",
            (Some(_), None) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        let mut properties = vec![("security.protocol", protocol.to_owned())];
        properties.extend(self.sasl.iter().flat_map(|sasl| sasl.properties(client)));
        if let Some(trusted) = &self.trusted {
            let trusted = trusted.display().to_string();
            match client {
                Client::Kcat | Client::Python => properties.push(("ssl.ca.location", trusted)),
                Client::Java => properties.extend([
                    ("ssl.truststore.type", "PEM".to_owned()),
                    ("ssl.truststore.location", trusted),
                ]),
            }
        }
        properties
    }
}

impl Sasl {
    fn properties(&self, client: Client) -> Vec<(&'static str, String)> {
        let Self {
            mechanism,
            user,
            password,
        } = self;
        match client {
            Client::Kcat | Client::Python => {
                let mut properties = vec![
                    ("sasl.mechanism", (*mechanism).to_owned()),
                    ("sasl.username", user.clone()),
                    ("sasl.password", password.clone()),
                ];
                // It looks for the coordinator of its group even where it only reads: it may use its own.
                if let (Client::Python, Some((_, group))) = (client, user.split_once('-')) {
                    properties.push(("group.id", group.to_owned()));
                }
                properties
            }
            Client::Java => {
                let module = if *mechanism == "PLAIN" {
                    "plain.PlainLoginModule"
                } else {
                    "scram.ScramLoginModule"
                };
                let jaas = format!(
                    "org.apache.kafka.common.security.{module} required username=\"{user}\" password=\"{password}\";"
                );
                vec![
                    ("sasl.mechanism", (*mechanism).to_owned()),
                    ("sasl.jaas.config", jaas),
                ]
            }
        }
    }
}
