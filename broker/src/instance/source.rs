//! Where an instance's groups come from, behind one face.

use std::io;

use headwater_capture::{
    Captured,
    encode::FeedFormat,
    limits::CaptureLimits,
    postgres::{self, Confirmer, Source, SourceStatus, source::CATALOG_POLL_INTERVAL},
};
use tokio::sync::watch;

use super::channel::ChannelSource;
use crate::{
    clock::Clock,
    config::{PostgresConfig, SourceConfig},
};

/// A source that runs.
#[derive(Debug)]
pub(super) enum RunningSource {
    Postgres {
        source: Source,
        confirmer: Confirmer,
    },
    Channel(ChannelSource),
}

impl RunningSource {
    /// Begins behind `position`, or at the beginning. Trouble with the database is a state, not an error.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        instance: &str,
        config: SourceConfig,
        feeds: Vec<FeedFormat>,
        position: Option<Vec<u8>>,
        clock: Clock,
    ) -> io::Result<Self> {
        match config {
            SourceConfig::Channel(channel) => Ok(Self::Channel(channel)),
            SourceConfig::Postgres(config) => {
                let config = postgres_config(instance, *config, feeds);
                let source = Source::spawn(config, position, move || clock.wall_ms())?;
                Ok(Self::Postgres {
                    confirmer: source.confirmer(),
                    source,
                })
            }
        }
    }

    /// The next thing for the log; `None` when there will be none. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Captured> {
        match self {
            Self::Postgres { source, .. } => source.next().await,
            Self::Channel(channel) => channel.captured.recv().await,
        }
    }

    /// Everything up to `position` is durable.
    pub(super) fn confirm(&self, position: &[u8]) {
        match self {
            Self::Postgres { confirmer, .. } => confirmer.confirm(position),
            Self::Channel(channel) => {
                channel.confirmed.send_replace(position.to_vec());
            }
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<SourceStatus> {
        match self {
            Self::Postgres { source, .. } => source.status(),
            Self::Channel(channel) => channel.status.clone(),
        }
    }

    /// Tells the server what was confirmed, and closes the connection.
    pub(super) async fn stop(&self) {
        match self {
            Self::Postgres { source, .. } => source.stop().await,
            Self::Channel(_) => {}
        }
    }
}

fn postgres_config(
    instance: &str,
    config: PostgresConfig,
    feeds: Vec<FeedFormat>,
) -> postgres::SourceConfig {
    let name = source_object(instance);
    postgres::SourceConfig {
        url: config.url,
        instance: instance.to_owned(),
        slot: config.slot.unwrap_or_else(|| name.clone()),
        slot_temporary: config.temporary,
        publication: config.publication.unwrap_or(name),
        tables: config.tables,
        columns: config.columns,
        feeds,
        limits: CaptureLimits::default(),
        drop_publications_at_stop: config.temporary,
        first_failure_is_final: config.first_failure_ends,
        catalog_poll_interval: CATALOG_POLL_INTERVAL,
    }
}

/// `headwater_<instance>` as PostgreSQL names slots: lower case, other characters `_`, at most 63 bytes.
fn source_object(instance: &str) -> String {
    let legal = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let mut name = format!(
        "headwater_{}",
        instance.chars().map(legal).collect::<String>()
    );
    name.truncate(63);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_named_as_the_server_wants_them() {
        for (instance, expected) in [
            ("shop", "headwater_shop"),
            ("Shop-2", "headwater_shop_2"),
            ("größe", "headwater_gr__e"),
        ] {
            assert_eq!(source_object(instance), expected);
        }
        assert_eq!(source_object(&"x".repeat(80)).len(), 63);
    }
}
