//! `headwater.toml`: its shape, and from there to [`BrokerConfig`]. The keys are described in
//! `docs/configuration.md`; unknown ones are errors.

use std::{collections::HashSet, fs, io::Read, net::SocketAddr, path::Path, path::PathBuf};

use headwater_capture::{
    encode::{FeedFormat, Preset},
    filter::{PatternError, TableFilter},
    postgres::{SourceUrl, url::Password},
};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Advertised, BrokerConfig, ConnectionConfig, FeedConfig, InstanceConfig, ListenerConfig,
    PostgresConfig, SourceConfig, StorageConfig, check_listeners, check_name,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Read,
    Leave,
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
    listeners: Vec<Listener>,
    connections_max: Option<usize>,
    idle_close: Option<DurationText>,
    progress_deadline: Option<DurationText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listener {
    listen: Address,
    advertised: Option<Advertised>,
    #[serde(default)]
    allow_unauthenticated: bool,
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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    name: Spanned<String>,
    source: Source,
    #[serde(default)]
    tables: Tables,
    #[serde(default, rename = "feed")]
    feeds: Vec<Feed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    url: Spanned<String>,
    password: Option<Spanned<PasswordFrom>>,
    slot: Option<String>,
    publication: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    include: Vec<Spanned<String>>,
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feed {
    name: Spanned<String>,
    prefix: Option<Spanned<String>>,
    #[serde(default)]
    layout: Layout,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    preset: PresetName,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layout {
    #[default]
    PerTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    #[default]
    DebeziumJson,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PresetName {
    #[default]
    Flink,
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

impl<'de> Deserialize<'de> for Advertised {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
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
        if !named && (bare.is_none() || host.parse::<std::net::Ipv6Addr>().is_err()) {
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

struct Checker<'a> {
    path: &'a Path,
    text: &'a str,
    secrets: Secrets,
}

impl Checker<'_> {
    fn loaded(&self, file: File) -> Result<Loaded, ConfigError> {
        let listeners = listeners(&file.kafka);
        let http_listen = file.http.listen.map(|address| address.0);
        check_listeners(&listeners, http_listen)
            .map_err(|line| ConfigError::whole(self.path, line))?;
        let broker = BrokerConfig {
            data_dir: file.server.data_dir,
            listeners,
            connections: connections(&file.kafka),
            http_listen,
            storage: storage(&file.storage),
            instances: self.instances(file.instances)?,
        };
        Ok(Loaded {
            broker,
            log: file.log,
        })
    }

    fn instances(&self, instances: Vec<Instance>) -> Result<Vec<InstanceConfig>, ConfigError> {
        let mut names = HashSet::new();
        let mut prefixes = HashSet::new();
        let mut checked = Vec::new();
        for instance in instances {
            self.named(&instance.name, "instance", &mut names)?;
            checked.push(self.instance(instance, &mut prefixes)?);
        }
        Ok(checked)
    }

    fn instance(
        &self,
        instance: Instance,
        prefixes: &mut HashSet<String>,
    ) -> Result<InstanceConfig, ConfigError> {
        let name = instance.name.get_ref().clone();
        let mut feeds = Vec::new();
        if instance.feeds.is_empty() {
            if !prefixes.insert(name.clone()) {
                return Err(self.at(
                    &instance.name,
                    format!("the topic prefix {name:?} is used twice"),
                ));
            }
            feeds.push(FeedConfig::tables(&name));
        }
        let mut names = HashSet::new();
        for feed in &instance.feeds {
            self.named(&feed.name, "feed", &mut names)?;
            feeds.push(self.feed(&name, feed, prefixes)?);
        }
        let tables = self.tables(&instance.tables)?;
        let source = self.source(instance.source, tables)?;
        Ok(InstanceConfig {
            name,
            source,
            feeds,
        })
    }

    fn feed(
        &self,
        instance: &str,
        feed: &Feed,
        prefixes: &mut HashSet<String>,
    ) -> Result<FeedConfig, ConfigError> {
        let (Layout::PerTable, Format::DebeziumJson, PresetName::Flink) =
            (&feed.layout, &feed.format, &feed.preset);
        let name = feed.name.get_ref();
        let spanned = feed.prefix.as_ref().unwrap_or(&feed.name);
        let prefix = match &feed.prefix {
            Some(prefix) => prefix.get_ref().clone(),
            None if name == "tables" => instance.to_owned(),
            None => format!("{instance}-{name}"),
        };
        check_name(&prefix)
            .map_err(|line| self.at(spanned, format!("topic prefix {prefix:?}: {line}")))?;
        if !prefixes.insert(prefix.clone()) {
            return Err(self.at(
                spanned,
                format!("the topic prefix {prefix:?} is used twice"),
            ));
        }
        let format = FeedFormat::DebeziumJson {
            preset: Preset::Flink,
            name: prefix.clone(),
        };
        Ok(FeedConfig {
            name: name.clone(),
            prefix,
            format,
        })
    }

    fn source(&self, source: Source, tables: TableFilter) -> Result<SourceConfig, ConfigError> {
        let mut url = SourceUrl::parse(source.url.get_ref())
            .map_err(|error| self.at(&source.url, format!("source url: {error}")))?;
        if url.password.is_some() {
            return Err(self.at(
                &source.url,
                "the source url holds a password: take it out and write password = { file = \"PATH\" } or \
                 { env = \"NAME\" }",
            ));
        }
        if let (Secrets::Read, Some(from)) = (self.secrets, &source.password) {
            let password = from.get_ref().read().map_err(|line| self.at(from, line))?;
            url = url.with_password(Password::new(password));
        }
        Ok(SourceConfig::Postgres(Box::new(PostgresConfig {
            url,
            tables,
            slot: source.slot,
            publication: source.publication,
            temporary: false,
            first_failure_ends: false,
        })))
    }

    fn tables(&self, tables: &Tables) -> Result<TableFilter, ConfigError> {
        let pattern = |pattern: &Spanned<String>| {
            pattern
                .get_ref()
                .parse()
                .map_err(|error: PatternError| self.at(pattern, error.to_string()))
        };
        Ok(TableFilter {
            include: tables
                .include
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
            exclude: tables
                .exclude
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Checks the form of a name and that it is new.
    fn named(
        &self,
        name: &Spanned<String>,
        what: &str,
        names: &mut HashSet<String>,
    ) -> Result<(), ConfigError> {
        let text = name.get_ref();
        check_name(text).map_err(|line| self.at(name, format!("{what} name {text:?}: {line}")))?;
        if !names.insert(text.clone()) {
            return Err(self.at(name, format!("{what} {text:?} is there twice")));
        }
        Ok(())
    }

    fn at<T>(&self, place: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.path, self.text, place.span().start, message)
    }
}

fn listeners(kafka: &Kafka) -> Vec<ListenerConfig> {
    if kafka.listeners.is_empty() {
        return vec![ListenerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 9092)),
            advertised: None,
            allow_unauthenticated: false,
        }];
    }
    let listener = |listener: &Listener| ListenerConfig {
        listen: listener.listen.0,
        advertised: listener.advertised.clone(),
        allow_unauthenticated: listener.allow_unauthenticated,
    };
    kafka.listeners.iter().map(listener).collect()
}

fn connections(kafka: &Kafka) -> ConnectionConfig {
    let default = ConnectionConfig::default();
    ConnectionConfig {
        connections_max: kafka.connections_max.unwrap_or(default.connections_max),
        idle_close: kafka.idle_close.map_or(default.idle_close, |text| text.0),
        progress_deadline: kafka
            .progress_deadline
            .map_or(default.progress_deadline, |text| text.0),
    }
}

fn storage(storage: &Storage) -> StorageConfig {
    let default = StorageConfig::default();
    StorageConfig {
        sync_min_interval: storage
            .sync_min_interval
            .map_or(default.sync_min_interval, |text| text.0),
        ring_bytes: storage.ring_bytes.map_or(default.ring_bytes, |text| text.0),
    }
}
