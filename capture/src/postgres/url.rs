//! The source's URL, as libpq writes it.
//!
//! ```text
//! postgresql://user:password@host:port/database?sslmode=verify-full&sslrootcert=/etc/ca.pem
//! postgres://user@/database?host=/var/run/postgresql          (a Unix socket's directory)
//! ```
//!
//! Differences from libpq, each an error that says so: one host only; a user must be named; parameters that
//! we do not serve are refused instead of ignored. The password is shown nowhere: not by `Debug`, not by
//! [`SourceUrl::redacted`], not in an error. Manual: "Connection Strings", "Parameter Key Words".

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::password::PasswordReader;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// PostgreSQL's port.
const PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server cuts longer ones silently (NAMEDATALEN - 1).
pub(crate) const NAME_BYTES_MAX: usize = 63;
const PARAMETERS: &str = "host, port, user, password, dbname, sslmode, sslrootcert, sslcert, sslkey, \
                          channel_binding, connect_timeout, application_name";
/// What is written as `%XX` where a URL is shown.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b':')
    .add(b'?')
    .add(b'@')
    .add(b'&');

/// A parsed source URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceUrl {
    /// Where the server listens.
    pub host: Host,
    /// TCP port, or the number in a Unix socket's name.
    pub port: u16,
    /// Role to log in as.
    pub user: String,
    /// Its password, if known.
    pub password: Option<Password>,
    /// Where the password is read anew for each login, if it may change there.
    pub password_reader: Option<PasswordReader>,
    /// Database to read.
    pub database: String,
    /// How the connection is protected.
    pub tls: TlsSettings,
    /// Limit for a connection to be made, login included.
    pub connect_timeout: Duration,
    /// Name shown in `pg_stat_activity`, if not our own.
    pub application_name: Option<String>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The directory of a Unix socket `.s.PGSQL.<port>`.
    Unix(PathBuf),
}

/// A password that does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// For the login only.
    pub(crate) fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The TLS part of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `sslmode`
    pub mode: SslMode,
    /// `sslrootcert`; `None`: not given
    pub root: Option<RootCertificates>,
    /// `sslcert`
    pub certificate: Option<PathBuf>,
    /// `sslkey`
    pub key: Option<PathBuf>,
    /// `channel_binding`
    pub channel_binding: ChannelBindingMode,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// The system's certificate authorities, or Mozilla's where the system has none.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// libpq's `sslmode`. Manual: "SSL Support".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Plaintext.
    Disable,
    /// Plaintext, and TLS only if the server refuses that.
    Allow,
    /// TLS if the server has it. No protection against an active attacker.
    Prefer,
    /// TLS, the certificate unchecked; with `sslrootcert` as `VerifyCa`.
    Require,
    /// TLS, the certificate signed by a trusted authority.
    VerifyCa,
    /// And issued for this host.
    VerifyFull,
}

/// libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBindingMode {
    /// Never.
    Disable,
    /// Where server and certificate allow it.
    Prefer,
    /// Or not at all.
    Require,
}

/// What is wrong with a source URL. Never contains a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceUrlError {
    /// Not one of the two schemes.
    #[error("source URL must begin with postgres:// or postgresql://")]
    Scheme,
    /// Several hosts.
    #[error("source URL names several hosts: name the primary alone")]
    SeveralHosts,
    /// No user.
    #[error("source URL names no user: postgres://USER@HOST/DATABASE")]
    NoUser,
    /// A part that cannot be read.
    #[error("source URL: {part} {problem}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A parameter that we do not have.
    #[error("source URL: unknown parameter \"{0}\"; there are {PARAMETERS}")]
    UnknownParameter(String),
    /// A parameter with a value that it cannot have.
    #[error("source URL: {name}={value:?} is not valid: {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Two parameters that do not go together.
    #[error("source URL: {0}")]
    Conflict(&'static str),
}

impl SourceUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Anything that libpq would refuse, and what this module's documentation lists.
    pub fn parse(text: &str) -> Result<Self, SourceUrlError> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(SourceUrlError::Scheme)?;
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = location.split_once('/').unwrap_or((location, ""));
        let mut parts = Parts::default();
        // The last @ ends the user part, so that a password may hold one unencoded.
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        parts.set_user(user)?;
        parts.set_host_and_port(host)?;
        parts.database = non_empty(decode("the database", database)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            parts.set_parameter(pair)?;
        }
        parts.finish()
    }

    /// The same with this password.
    #[must_use]
    pub fn with_password(mut self, password: Password) -> Self {
        self.password = Some(password);
        self.password_reader = None;
        self
    }

    /// The same with a password that is read anew for each login.
    #[must_use]
    pub fn with_password_reader(mut self, reader: PasswordReader) -> Self {
        self.password_reader = Some(reader);
        self
    }

    /// The password for a login that begins now.
    ///
    /// # Errors
    /// One line: why it cannot be read.
    pub fn present_password(&self) -> Result<Option<Password>, String> {
        match &self.password_reader {
            Some(reader) => reader.read().map(Some),
            None => Ok(self.password.clone()),
        }
    }

    /// The URL without its password, to be shown.
    pub fn redacted(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let password = if self.password.is_some() { ":***" } else { "" };
        let (user, database) = (encode(&self.user), encode(&self.database));
        let mode = self.tls.mode.name();
        match &self.host {
            Host::Tcp(_) => {
                format!(
                    "postgres://{user}{password}@{}/{database}?sslmode={mode}",
                    self.server()
                )
            }
            Host::Unix(directory) => format!(
                "postgres://{user}{password}@:{}/{database}?host={}",
                self.port,
                directory.display()
            ),
        }
    }

    /// `host:port`, or the socket's path.
    pub fn server(&self) -> String {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::Unix(_) => self.socket_path().unwrap_or_default().display().to_string(),
        }
    }

    /// The Unix socket's file, if it is one.
    pub(crate) fn socket_path(&self) -> Option<PathBuf> {
        match &self.host {
            Host::Tcp(_) => None,
            Host::Unix(directory) => Some(directory.join(format!(".s.PGSQL.{}", self.port))),
        }
    }
}

impl SslMode {
    /// As libpq spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    const ALL: [Self; 6] = [
        Self::Disable,
        Self::Allow,
        Self::Prefer,
        Self::Require,
        Self::VerifyCa,
        Self::VerifyFull,
    ];
}

/// What was read so far.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<Password>,
    database: Option<String>,
    mode: Option<SslMode>,
    root: Option<RootCertificates>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    channel_binding: Option<ChannelBindingMode>,
    connect_timeout: Option<Duration>,
    application_name: Option<String>,
}

impl Parts {
    fn set_user(&mut self, text: &str) -> Result<(), SourceUrlError> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        };
        self.user = non_empty(decode("the user", user)?);
        if let Some(password) = password {
            self.password = non_empty(decode("the password", password)?).map(Password);
        }
        Ok(())
    }

    fn set_host_and_port(&mut self, text: &str) -> Result<(), SourceUrlError> {
        if text.contains(',') {
            return Err(SourceUrlError::SeveralHosts);
        }
        let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((address, rest))) => (address, rest.strip_prefix(':').unwrap_or(rest)),
            Some(None) => return Err(part("the host", "has an opening bracket only")),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        self.host = non_empty(decode("the host", host)?);
        if !port.is_empty() {
            self.port = Some(parse_port(port)?);
        }
        Ok(())
    }

    fn set_parameter(&mut self, pair: &str) -> Result<(), SourceUrlError> {
        let (name, value) = pair
            .split_once('=')
            .ok_or(part("a parameter", "is not of the form name=value"))?;
        let value = decode("a parameter", value)?;
        match name {
            "host" if value.contains(',') => return Err(SourceUrlError::SeveralHosts),
            "host" => self.host = non_empty(value),
            "port" => self.port = Some(parse_port(&value)?),
            "user" => self.user = non_empty(value),
            "password" => self.password = non_empty(value).map(Password),
            "dbname" => self.database = non_empty(value),
            "sslmode" => self.mode = Some(parse_ssl_mode(value)?),
            "sslrootcert" if value == "system" => self.root = Some(RootCertificates::System),
            "sslrootcert" => self.root = non_empty(value).map(|f| RootCertificates::File(f.into())),
            "sslcert" => self.certificate = non_empty(value).map(PathBuf::from),
            "sslkey" => self.key = non_empty(value).map(PathBuf::from),
            "channel_binding" => self.channel_binding = Some(parse_channel_binding(value)?),
            "connect_timeout" => self.connect_timeout = Some(parse_connect_timeout(value)?),
            "application_name" => self.application_name = non_empty(value),
            unknown => {
                return Err(SourceUrlError::UnknownParameter(
                    unknown.chars().take(64).collect(),
                ));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<SourceUrl, SourceUrlError> {
        let user = self.user.ok_or(SourceUrlError::NoUser)?;
        let host = match self.host {
            None => Host::Tcp("localhost".to_owned()),
            Some(host) if host.starts_with('/') => Host::Unix(host.into()),
            Some(host) => Host::Tcp(host),
        };
        if self.certificate.is_some() != self.key.is_some() {
            return Err(SourceUrlError::Conflict(
                "sslcert and sslkey are given together or not at all",
            ));
        }
        Ok(SourceUrl {
            host,
            port: self.port.unwrap_or(PORT),
            password: self.password,
            password_reader: None,
            database: self.database.unwrap_or_else(|| user.clone()),
            user,
            tls: TlsSettings {
                mode: ssl_mode(self.mode, self.root.as_ref())?,
                root: self.root,
                certificate: self.certificate,
                key: self.key,
                channel_binding: self.channel_binding.unwrap_or(ChannelBindingMode::Prefer),
            },
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            application_name: self.application_name,
        })
    }
}

/// As libpq: `sslrootcert=system` means, and demands, verify-full. Anyone can have a certificate for a name
/// of their own from a public authority.
fn ssl_mode(
    mode: Option<SslMode>,
    root: Option<&RootCertificates>,
) -> Result<SslMode, SourceUrlError> {
    match (mode, root) {
        (None | Some(SslMode::VerifyFull), Some(RootCertificates::System)) => {
            Ok(SslMode::VerifyFull)
        }
        (Some(_), Some(RootCertificates::System)) => Err(SourceUrlError::Conflict(
            "sslrootcert=system needs sslmode=verify-full",
        )),
        (mode, None | Some(RootCertificates::File(_))) => Ok(mode.unwrap_or(SslMode::Prefer)),
    }
}

fn parse_ssl_mode(value: String) -> Result<SslMode, SourceUrlError> {
    let expected = "one of disable, allow, prefer, require, verify-ca, verify-full";
    SslMode::ALL
        .into_iter()
        .find(|mode| mode.name() == value)
        .ok_or(SourceUrlError::Value {
            name: "sslmode",
            value,
            expected,
        })
}

fn parse_channel_binding(value: String) -> Result<ChannelBindingMode, SourceUrlError> {
    match value.as_str() {
        "disable" => Ok(ChannelBindingMode::Disable),
        "prefer" => Ok(ChannelBindingMode::Prefer),
        "require" => Ok(ChannelBindingMode::Require),
        _ => Err(SourceUrlError::Value {
            name: "channel_binding",
            value,
            expected: "one of disable, prefer, require",
        }),
    }
}

fn parse_connect_timeout(value: String) -> Result<Duration, SourceUrlError> {
    match value.parse() {
        Ok(seconds @ 1..=3_600) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(SourceUrlError::Value {
            name: "connect_timeout",
            value,
            expected: "seconds from 1 to 3600",
        }),
    }
}

fn parse_port(text: &str) -> Result<u16, SourceUrlError> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        Ok(0) | Err(_) => Err(part("the port", "is not a number from 1 to 65535")),
    }
}

/// Percent-decoding that refuses what libpq refuses: a stray `%`, and NUL.
fn decode(name: &'static str, text: &str) -> Result<String, SourceUrlError> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(part(
                name,
                "holds a % that is not followed by two hex digits (write %25)",
            ));
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded
        .map_err(|_| part(name, "is not UTF-8"))?
        .into_owned();
    if decoded.contains('\0') {
        return Err(part(name, "holds a NUL"));
    }
    Ok(decoded)
}

fn part(part: &'static str, problem: &'static str) -> SourceUrlError {
    SourceUrlError::Part { part, problem }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
