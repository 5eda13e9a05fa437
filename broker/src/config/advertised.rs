//! The address that clients are told: `HOST:PORT`.

use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, de::Error};

/// An address as Metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// 1-65535.
    pub port: u16,
}

impl<'de> Deserialize<'de> for Advertised {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(Error::custom)
    }
}

impl Advertised {
    /// Reads `HOST:PORT`, with brackets around an IPv6 address.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let told = || format!("{text:?} is not HOST:PORT, as in kafka.example.org:9092");
        let (host, port) = text.rsplit_once(':').ok_or_else(told)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = !host.is_empty() && host.len() <= 255 && host.chars().all(legal);
        let sound = match bare {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => named,
        };
        if !sound {
            return Err(told());
        }
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(told)?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for (text, host, port) in [
            ("kafka.example.org:9092", "kafka.example.org", 9092),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let read = Advertised::parse(text);
            assert_eq!(
                read,
                Ok(Advertised {
                    host: host.to_owned(),
                    port
                }),
                "{text}"
            );
        }
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "::1:9092",
            "[x]:1",
            "a b:1",
            "http://h:1",
        ] {
            assert!(Advertised::parse(text).is_err(), "{text}");
        }
    }
}
