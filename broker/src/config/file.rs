//! `headwater.toml`: its shape, and from there to [`BrokerConfig`]. The keys are described in
//! `docs/configuration.md`; unknown ones are errors.

mod check;
mod group;
mod kafka;

use std::{fs, io::Read, net::SocketAddr, num::NonZeroUsize, path::Path, path::PathBuf};

use headwater_protocol::batch::{Compression, UnknownCompression};
use serde::Deserialize;
use toml::Spanned;

use self::{
    check::{Checker, Secrets},
    group::FileGroup,
};
use super::{
    Advertised, BrokerConfig,
    error::ConfigError,
    secret::PasswordFrom,
    unit::{DurationText, SizeText},
};
use crate::{limits, telemetry::LogConfig};

/// A configuration file, read and checked, secrets included.
#[derive(Debug)]
pub struct Loaded {
    /// For [`crate::Broker::start`].
    pub broker: BrokerConfig,
    /// For [`crate::telemetry::init`].
    pub log: LogConfig,
}

/// Reads and checks `path`, and reads the secrets it names.
///
/// # Errors
/// One line with file, line and fix.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let text = read(path)?;
    let file = parse(path, &text)?;
    let secrets = Secrets::Read;
    Checker {
        path,
        text: &text,
        secrets,
    }
    .loaded(file)
}

/// Checks `path` as [`load`] does, but only names the secrets, so that it works where they are not.
///
/// # Errors
/// One line with file, line and fix.
pub fn check(path: &Path) -> Result<(), ConfigError> {
    let text = read(path)?;
    let file = parse(path, &text)?;
    let secrets = Secrets::Leave;
    Checker {
        path,
        text: &text,
        secrets,
    }
    .loaded(file)
    .map(drop)
}

/// The data directory that `path` names; nothing else of the file is looked at closely.
///
/// # Errors
/// One line with file, line and fix.
pub fn data_dir(path: &Path) -> Result<PathBuf, ConfigError> {
    let text = read(path)?;
    Ok(parse(path, &text)?.server.data_dir)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Server,
    #[serde(default)]
    kafka: Kafka,
    #[serde(default)]
    http: Http,
    #[serde(default)]
    log: LogConfig,
    #[serde(default)]
    storage: Storage,
    #[serde(default, rename = "instance")]
    instances: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    data_dir: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    #[serde(default, rename = "listener")]
    listeners: Vec<Spanned<Listener>>,
    operator: Option<Operator>,
    connections_max: Option<NonZeroUsize>,
    unauthenticated_max: Option<NonZeroUsize>,
    unauthenticated_per_address_max: Option<NonZeroUsize>,
    idle_close: Option<DurationText>,
    progress_deadline: Option<DurationText>,
    login_deadline: Option<DurationText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operator {
    user: Spanned<String>,
    password: Spanned<PasswordFrom>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listener {
    listen: Address,
    advertised: Option<Advertised>,
    #[serde(default)]
    protocol: Protocol,
    tls: Option<Tls>,
    mechanisms: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    allow_unauthenticated: bool,
    #[serde(default)]
    allow_plain_without_tls: bool,
}

/// Kafka's names of its four protocols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Protocol {
    #[default]
    #[serde(rename = "PLAINTEXT")]
    Plaintext,
    #[serde(rename = "SASL_PLAINTEXT")]
    SaslPlaintext,
    #[serde(rename = "SSL")]
    Ssl,
    #[serde(rename = "SASL_SSL")]
    SaslSsl,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    listen: Option<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Storage {
    sync_min_interval: Option<DurationText>,
    ring_bytes: Option<SizeText>,
    file_bytes: Option<Spanned<SizeText>>,
    seal_bytes_per_second: Option<SizeText>,
    scrub_bytes_per_second: Option<SizeText>,
    cache_bytes: Option<SizeText>,
    space_low_bytes: Option<SizeText>,
    space_stop_bytes: Option<SizeText>,
    ballast_bytes: Option<SizeText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    name: Spanned<String>,
    source: Source,
    #[serde(default)]
    tables: Tables,
    #[serde(default)]
    retention: Retention,
    #[serde(default)]
    columns: Columns,
    #[serde(default, rename = "feed")]
    feeds: Vec<Feed>,
    groups_max: Option<Spanned<usize>>,
    record_max_bytes: Option<Spanned<SizeText>>,
    #[serde(default)]
    oversize: OversizeName,
    #[serde(default, rename = "group")]
    groups: Vec<FileGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    url: Spanned<String>,
    password: Option<Spanned<PasswordFrom>>,
    slot: Option<String>,
    publication: Option<String>,
    #[serde(default)]
    failover_slot: bool,
    heartbeat_interval: Option<Spanned<DurationText>>,
    wal_warn: Option<Spanned<SizeText>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retention {
    age: Option<Spanned<DurationText>>,
    size: Option<Spanned<SizeText>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    include: Vec<Spanned<String>>,
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feed {
    name: Spanned<String>,
    prefix: Option<Spanned<String>>,
    /// By default the one that the format is made for.
    layout: Option<Spanned<Layout>>,
    #[serde(default)]
    format: Format,
    preset: Option<Spanned<PresetName>>,
    schemas: Option<Spanned<bool>>,
    truncates: Option<Spanned<bool>>,
    transaction_metadata: Option<Spanned<bool>>,
    #[serde(default)]
    compression: CompressionName,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
struct CompressionName(Compression);

impl TryFrom<String> for CompressionName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = name.parse().map(Self);
        known.map_err(|error: UnknownCompression| format!("compression {name:?}: {error}"))
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layout {
    PerTable,
    Stream,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    #[default]
    DebeziumJson,
    DtsAvro,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PresetName {
    Flink,
    Debezium,
}

/// What becomes of a record over `record_max_bytes`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OversizeName {
    #[default]
    Omit,
    Stop,
}

/// A numeric address with port.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Address(SocketAddr);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let told = |_| format!("{text:?} is not an address: write IP:PORT, as in 127.0.0.1:9092");
        text.parse().map(Self).map_err(told)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| {
        file.take(limits::CONFIG_BYTES_MAX + 1)
            .read_to_string(&mut text)
    });
    match read {
        Err(error) => Err(ConfigError::whole(path, format!("cannot be read: {error}"))),
        Ok(size) if size as u64 > limits::CONFIG_BYTES_MAX => Err(ConfigError::whole(
            path,
            "larger than 1 MiB: this is not a configuration file",
        )),
        Ok(_) => Ok(text),
    }
}

fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))
}
