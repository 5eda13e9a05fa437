//! Which source, which of its tables and how they are written: what `dev` and `check source` are told by arguments.

use clap::Args;
use headwater_capture::{
    encode::{DebeziumOptions, FeedFormat, Preset},
    filter::{ColumnFilter, TableFilter},
    postgres::{PasswordSources, SourceUrl},
};
use headwater_protocol::batch::Compression;

use super::Exit;
use crate::{
    config::{FeedConfig, PostgresConfig, RecordLimits, check_name},
    limits::{NAME_CHARS, WAL_WARN_BYTES},
};

#[derive(Debug, Args)]
pub(super) struct SourceOptions {
    /// The instance [default: the database's name]. Topics are NAME.SCHEMA.TABLE, slot and publications headwater_NAME.
    #[arg(long, value_name = "NAME")]
    pub(super) instance: Option<String>,
    /// Only these tables: schema.table with * and ?. May be given several times.
    #[arg(long, value_name = "PATTERN", num_args = 1)]
    tables: Vec<String>,
    /// Which feeds, with commas between them: tables (a topic for each table), dts (one topic for DTS clients).
    #[arg(long, value_name = "FEEDS", default_value = "tables")]
    feeds: String,
    /// How changes are written: flink, debezium.
    #[arg(long, value_name = "PRESET", default_value = "flink")]
    preset: String,
}

/// What the options say, checked.
#[derive(Debug)]
pub(super) struct ChosenSource {
    pub(super) instance: String,
    pub(super) feeds: Vec<FeedConfig>,
    /// Kept beyond the process, with everything at its default that no option says.
    pub(super) postgres: PostgresConfig,
}

impl SourceOptions {
    /// Reads them, and the password from where libpq would look for it.
    ///
    /// # Errors
    /// One line: which option, what is wrong with it.
    pub(super) fn chosen(self, source_url: &str) -> Result<ChosenSource, Exit> {
        let usage = Exit::Usage;
        let url = SourceUrl::parse(source_url).map_err(|error| usage(error.to_string()))?;
        let completed = PasswordSources::from_environment().complete(url);
        let url = completed.map_err(|error| usage(error.to_string()))?;
        let of_database = || instance_name(&url.database);
        let instance = self.instance.unwrap_or_else(of_database);
        check_name(&instance).map_err(|why| usage(format!("--instance {instance:?}: {why}")))?;
        let feeds = feeds(&self.feeds, &self.preset, &instance).map_err(usage)?;
        let tables = TableFilter::parse(&self.tables, &[]);
        let tables = tables.map_err(|error| usage(format!("--tables: {error}")))?;
        let postgres = PostgresConfig {
            url,
            tables,
            columns: ColumnFilter::default(),
            slot: None,
            publication: None,
            failover_slot: false,
            heartbeat_interval: None,
            wal_warn_bytes: WAL_WARN_BYTES,
            records: RecordLimits::default(),
            temporary: false,
            first_failure_ends: true,
        };
        Ok(ChosenSource {
            instance,
            feeds,
            postgres,
        })
    }
}

/// The feeds that `--feeds` names, with commas between them.
fn feeds(asked: &str, preset: &str, instance: &str) -> Result<Vec<FeedConfig>, String> {
    let preset = preset_named(preset)?;
    let mut feeds: Vec<FeedConfig> = Vec::new();
    for name in asked.split(',').map(str::trim) {
        let feed = match name {
            "tables" => FeedConfig::tables(instance, preset),
            "dts" => FeedConfig::dts(instance),
            _ => {
                return Err(format!(
                    "--feeds {name:?} is unknown: the feeds of this version are tables and dts"
                ));
            }
        };
        if feeds.iter().any(|known| known.name == feed.name) {
            return Err(format!("--feeds names {name} twice"));
        }
        feeds.push(feed);
    }
    Ok(feeds)
}

fn preset_named(preset: &str) -> Result<Preset, String> {
    match preset {
        "flink" => Ok(Preset::Flink),
        "debezium" => Ok(Preset::Debezium(DebeziumOptions::default())),
        _ => Err(format!(
            "--preset {preset:?} is unknown: write flink or debezium"
        )),
    }
}

/// The database's name as an instance can have it.
fn instance_name(database: &str) -> String {
    let legal = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    database.chars().map(legal).take(NAME_CHARS).collect()
}

impl FeedConfig {
    /// The default feed of an instance: a topic per table.
    #[must_use]
    pub fn tables(instance: &str, preset: Preset) -> Self {
        let format = FeedFormat::DebeziumJson {
            preset,
            name: instance.to_owned(),
        };
        Self {
            name: "tables".to_owned(),
            prefix: instance.to_owned(),
            format,
            compression: Compression::None,
        }
    }

    /// The feed for clients of Alibaba Cloud DTS: one topic, named as the instance.
    #[must_use]
    pub fn dts(instance: &str) -> Self {
        Self {
            name: "dts".to_owned(),
            prefix: instance.to_owned(),
            format: FeedFormat::DtsAvro { next_id: 0 },
            compression: Compression::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_named_with_commas_between_them() {
        let names = |asked: &str| -> Vec<String> {
            let feeds = feeds(asked, "flink", "shop").expect("known feeds");
            feeds.into_iter().map(|feed| feed.name).collect()
        };
        assert_eq!(names("tables"), ["tables"]);
        assert_eq!(names("tables, dts"), ["tables", "dts"]);
        assert_eq!(names("dts"), ["dts"]);
        assert!(feeds("tables,dts", "debezium", "shop").is_ok());
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (asked, preset, word) in [
            ("tabels", "flink", "tabels"),
            ("tables,tables", "flink", "twice"),
            ("", "flink", "unknown"),
            ("tables", "spark", "spark"),
        ] {
            let line = feeds(asked, preset, "shop").expect_err("refused");
            assert!(line.contains(word), "{line}");
        }
    }

    #[test]
    fn the_instance_is_named_after_the_database() {
        for (database, name) in [
            ("shop", "shop"),
            ("My Shop", "My_Shop"),
            ("a.b", "a_b"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(instance_name(database), name);
            assert_eq!(check_name(&instance_name(database)), Ok(()));
        }
    }
}
