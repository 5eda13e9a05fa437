//! From the shape of the file to [`BrokerConfig`]: names, addresses, URLs, patterns, prefixes, secrets.

use std::{collections::HashSet, path::Path, time::Duration};

use headwater_capture::{
    encode::{self, DebeziumOptions, FeedFormat, Preset},
    filter::{ColumnFilter, PatternError, TableFilter},
    limits::{Oversize, RECORD_BYTES_LEAST, RECORD_BYTES_MOST},
    postgres::{PasswordReader, SourceUrl, url::Password},
};
use toml::Spanned;

use super::{
    Columns, Feed, File, Format, Instance, Layout, Loaded, OversizeName, PresetName, Retention,
    Source, Storage, Tables, kafka::connections,
};
use crate::limits::{self, FILE_BYTES, RETENTION_FILES_MIN};
use crate::{
    config::{
        BrokerConfig, FeedConfig, InstanceConfig, PostgresConfig, RecordLimits, RetentionLimits,
        SourceConfig, StorageConfig, check_listeners, check_name,
        error::ConfigError,
        unit::{DurationText, SizeText},
    },
    space::SpaceLimits,
};

/// Prefixes that are taken: a stream may have the prefix of topics per table, whose names go on behind it.
type Prefixes = HashSet<(encode::Layout, String)>;

/// Whether secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Read,
    /// Only named: the file is checked where they are not.
    Leave,
}

/// Checks what the types of the fields do not.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    pub(super) path: &'a Path,
    /// The file's content, for line numbers.
    pub(super) text: &'a str,
    pub(super) secrets: Secrets,
}

impl Checker<'_> {
    pub(super) fn loaded(&self, file: File) -> Result<Loaded, ConfigError> {
        self.not_zero("kafka.idle_close", file.kafka.idle_close)?;
        self.not_zero("kafka.progress_deadline", file.kafka.progress_deadline)?;
        self.not_zero("kafka.login_deadline", file.kafka.login_deadline)?;
        let listeners = self.listeners(&file.kafka)?;
        let http_listen = file.http.listen.map(|address| address.0);
        check_listeners(&listeners, http_listen)
            .map_err(|line| ConfigError::whole(self.path, line))?;
        let storage = self.storage(&file.storage)?;
        let instances = self.instances(file.instances, storage.file_bytes)?;
        let broker = BrokerConfig {
            data_dir: file.server.data_dir,
            listeners,
            connections: connections(&file.kafka),
            operator: self.operator(file.kafka.operator.as_ref())?,
            http_listen,
            storage,
            instances,
        };
        Ok(Loaded {
            broker,
            log: file.log,
        })
    }

    fn instances(
        &self,
        instances: Vec<Instance>,
        file_bytes: u64,
    ) -> Result<Vec<InstanceConfig>, ConfigError> {
        let mut names = HashSet::new();
        let mut prefixes = HashSet::new();
        let mut group_names = HashSet::new();
        let mut checked = Vec::new();
        for instance in instances {
            self.named(&instance.name, "instance", &mut names)?;
            let retention = self.retention(&instance.retention, file_bytes)?;
            let groups_max = self.groups_max(instance.groups_max.as_ref())?;
            let groups = self.groups(&instance.groups, &mut group_names)?;
            checked.push(InstanceConfig {
                groups_max,
                groups,
                ..self.instance(instance, retention, &mut prefixes)?
            });
        }
        Ok(checked)
    }

    fn instance(
        &self,
        instance: Instance,
        retention: RetentionLimits,
        prefixes: &mut Prefixes,
    ) -> Result<InstanceConfig, ConfigError> {
        let name = instance.name.get_ref().clone();
        let mut feeds = Vec::new();
        if instance.feeds.is_empty() {
            if !prefixes.insert((encode::Layout::PerTable, name.clone())) {
                return Err(self.at(
                    &instance.name,
                    format!("the topic prefix {name:?} is used twice"),
                ));
            }
            feeds.push(FeedConfig::tables(&name, Preset::Flink));
        }
        let mut names = HashSet::new();
        for feed in &instance.feeds {
            self.named(&feed.name, "feed", &mut names)?;
            feeds.push(self.feed(&name, feed, prefixes)?);
        }
        let tables = self.tables(&instance.tables)?;
        let columns = self.columns(&instance.columns)?;
        let records = self.records(instance.record_max_bytes.as_ref(), instance.oversize)?;
        let source = self.source(instance.source, (tables, columns), records)?;
        Ok(InstanceConfig {
            name,
            source,
            feeds,
            retention,
            groups_max: 0,
            groups: Vec::new(),
        })
    }

    fn feed(
        &self,
        instance: &str,
        feed: &Feed,
        prefixes: &mut Prefixes,
    ) -> Result<FeedConfig, ConfigError> {
        let preset = self.preset(feed)?;
        let name = feed.name.get_ref();
        let layout = self.layout(feed)?;
        let spanned = feed.prefix.as_ref().unwrap_or(&feed.name);
        let prefix = match (&feed.prefix, layout, name.as_str()) {
            (Some(prefix), ..) => prefix.get_ref().clone(),
            (None, encode::Layout::PerTable, "tables") | (None, encode::Layout::Stream, "dts") => {
                instance.to_owned()
            }
            (None, ..) => format!("{instance}-{name}"),
        };
        check_name(&prefix)
            .map_err(|line| self.at(spanned, format!("topic prefix {prefix:?}: {line}")))?;
        if !prefixes.insert((layout, prefix.clone())) {
            return Err(self.at(
                spanned,
                format!("the topic prefix {prefix:?} is used twice"),
            ));
        }
        let format = match feed.format {
            Format::DebeziumJson => FeedFormat::DebeziumJson {
                preset,
                name: prefix.clone(),
            },
            Format::DtsAvro => FeedFormat::DtsAvro { next_id: 0 },
        };
        Ok(FeedConfig {
            name: name.clone(),
            prefix,
            format,
            compression: feed.compression.0,
        })
    }

    /// The layout that goes with the format; another one, or a preset where there is none, is refused.
    fn layout(&self, feed: &Feed) -> Result<encode::Layout, ConfigError> {
        let (needed, told) = match feed.format {
            Format::DebeziumJson => (encode::Layout::PerTable, "per-table"),
            Format::DtsAvro => (encode::Layout::Stream, "stream"),
        };
        if let Some(asked) = &feed.layout {
            let layout = match asked.get_ref() {
                Layout::PerTable => encode::Layout::PerTable,
                Layout::Stream => encode::Layout::Stream,
            };
            if layout != needed {
                return Err(self.at(
                    asked,
                    format!("in this version the layout of this format is {told}: write layout = {told:?}"),
                ));
            }
        }
        match (feed.format, &feed.preset) {
            (Format::DtsAvro, Some(preset)) => {
                Err(self.at(preset, "format dts-avro has no presets: take the line out"))
            }
            (Format::DtsAvro, None) | (Format::DebeziumJson, _) => Ok(needed),
        }
    }

    fn preset(&self, feed: &Feed) -> Result<Preset, ConfigError> {
        let is_on =
            |option: &Option<Spanned<bool>>| option.as_ref().is_some_and(|on| *on.get_ref());
        match feed
            .preset
            .as_ref()
            .map_or(PresetName::Flink, |preset| *preset.get_ref())
        {
            PresetName::Flink => {
                let options = [
                    ("schemas", &feed.schemas),
                    ("truncates", &feed.truncates),
                    ("transaction_metadata", &feed.transaction_metadata),
                ];
                for (name, option) in options {
                    if let Some(option) = option.as_ref().filter(|on| *on.get_ref()) {
                        let line = format!(
                            "{name} is an option of preset debezium: leave it out, or write preset = \"debezium\""
                        );
                        return Err(self.at(option, line));
                    }
                }
                Ok(Preset::Flink)
            }
            PresetName::Debezium => Ok(Preset::Debezium(DebeziumOptions {
                schemas: is_on(&feed.schemas),
                truncates: is_on(&feed.truncates),
                transactions: is_on(&feed.transaction_metadata),
            })),
        }
    }

    fn columns(&self, columns: &Columns) -> Result<ColumnFilter, ConfigError> {
        let pattern = |pattern: &Spanned<String>| {
            pattern
                .get_ref()
                .parse()
                .map_err(|error: PatternError| self.at(pattern, error.to_string()))
        };
        Ok(ColumnFilter {
            exclude: columns
                .exclude
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
        })
    }

    fn source(
        &self,
        source: Source,
        (tables, columns): (TableFilter, ColumnFilter),
        records: RecordLimits,
    ) -> Result<SourceConfig, ConfigError> {
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
            let from = from.get_ref().clone();
            let reader = PasswordReader::new(move || from.read().map(Password::new));
            url = url
                .with_password(Password::new(password))
                .with_password_reader(reader);
        }
        let (heartbeat_interval, wal_warn_bytes) = self.watch(&source)?;
        Ok(SourceConfig::Postgres(Box::new(PostgresConfig {
            url,
            tables,
            columns,
            slot: source.slot,
            publication: source.publication,
            failover_slot: source.failover_slot,
            heartbeat_interval,
            wal_warn_bytes,
            records,
            temporary: false,
            first_failure_ends: false,
        })))
    }

    /// How often a heartbeat is written, and from how much held log on the source is warned of.
    fn watch(&self, source: &Source) -> Result<(Option<Duration>, u64), ConfigError> {
        let too_often =
            |every: &&Spanned<DurationText>| every.get_ref().0 < limits::HEARTBEAT_INTERVAL_MIN;
        if let Some(every) = source.heartbeat_interval.as_ref().filter(too_often) {
            return Err(self.at(every, "heartbeat_interval: write at least 1s"));
        }
        if let Some(bytes) = source
            .wal_warn
            .as_ref()
            .filter(|size| size.get_ref().0 == 0)
        {
            return Err(self.at(bytes, "wal_warn: write at least 1B"));
        }
        let every = source.heartbeat_interval.as_ref();
        let bytes = source.wal_warn.as_ref();
        Ok((
            every.map(|every| every.get_ref().0),
            bytes.map_or(limits::WAL_WARN_BYTES, |size| size.get_ref().0 as u64),
        ))
    }

    fn records(
        &self,
        size: Option<&Spanned<SizeText>>,
        oversize: OversizeName,
    ) -> Result<RecordLimits, ConfigError> {
        let default = RecordLimits::default();
        let bytes_max = size.map_or(default.bytes_max, |size| size.get_ref().0);
        if let Some(size) = size
            && !(RECORD_BYTES_LEAST..=RECORD_BYTES_MOST).contains(&bytes_max)
        {
            let line = "record_max_bytes is between 64KiB and 1945MiB (1.9 GiB): write for example \"1GiB\"";
            return Err(self.at(size, line));
        }
        Ok(RecordLimits {
            bytes_max,
            oversize: match oversize {
                OversizeName::Omit => Oversize::Omit,
                OversizeName::Stop => Oversize::Stop,
            },
        })
    }

    fn storage(&self, storage: &Storage) -> Result<StorageConfig, ConfigError> {
        let default = StorageConfig::default();
        let space = self.space(storage, default.space)?;
        let file_bytes = match &storage.file_bytes {
            Some(size) => self.file_bytes(size)?,
            None => default.file_bytes,
        };
        Ok(StorageConfig {
            sync_min_interval: storage
                .sync_min_interval
                .map_or(default.sync_min_interval, |text| text.0),
            ring_bytes: storage.ring_bytes.map_or(default.ring_bytes, |text| text.0),
            cache_bytes: storage
                .cache_bytes
                .map_or(default.cache_bytes, |text| text.0),
            file_bytes,
            seal_bytes_per_second: storage
                .seal_bytes_per_second
                .map_or(default.seal_bytes_per_second, |text| text.0 as u64),
            scrub_bytes_per_second: storage
                .scrub_bytes_per_second
                .map_or(default.scrub_bytes_per_second, |text| text.0 as u64),
            space,
        })
    }

    fn space(&self, storage: &Storage, default: SpaceLimits) -> Result<SpaceLimits, ConfigError> {
        let bytes = |text: Option<SizeText>, default| text.map_or(default, |text| text.0 as u64);
        let limits = SpaceLimits {
            low: bytes(storage.space_low_bytes, default.low),
            stop: bytes(storage.space_stop_bytes, default.stop),
            ballast: bytes(storage.ballast_bytes, default.ballast),
        };
        if limits.stop <= limits.low {
            return Ok(limits);
        }
        let line = format!(
            "storage.space_stop_bytes ({} bytes) is above storage.space_low_bytes ({} bytes): capture would stop before \
             the oldest records are deleted; make it smaller",
            limits.stop, limits.low
        );
        Err(ConfigError::whole(self.path, line))
    }

    fn file_bytes(&self, size: &Spanned<SizeText>) -> Result<u64, ConfigError> {
        let bytes = size.get_ref().0 as u64;
        if FILE_BYTES.contains(&bytes) && bytes.is_multiple_of(8) {
            return Ok(bytes);
        }
        let line = "file_bytes is between 64KiB and 1GiB and a multiple of 8 bytes: write for example \"64MiB\"";
        Err(self.at(size, line))
    }

    fn retention(
        &self,
        retention: &Retention,
        file_bytes: u64,
    ) -> Result<RetentionLimits, ConfigError> {
        let mut limits = RetentionLimits::default();
        if let Some(age) = &retention.age {
            limits.age = age.get_ref().0;
            if limits.age.is_zero() {
                let line = "retention age cannot be 0: nothing could be read twice; write for example \"7d\"";
                return Err(self.at(age, line));
            }
        }
        if let Some(size) = &retention.size {
            limits.bytes = size.get_ref().0 as u64;
            let least = RETENTION_FILES_MIN * file_bytes;
            if limits.bytes < least {
                let line = format!(
                    "retention size must be at least {least}B, {RETENTION_FILES_MIN} files of the log: the newest ones \
                     are always kept"
                );
                return Err(self.at(size, line));
            }
        }
        Ok(limits)
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

    fn not_zero(&self, key: &str, duration: Option<DurationText>) -> Result<(), ConfigError> {
        match duration {
            Some(DurationText(Duration::ZERO)) => Err(ConfigError::whole(
                self.path,
                format!("{key} cannot be 0: every client would be closed"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn at<T>(&self, place: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.path, self.text, place.span().start, message)
    }
}
