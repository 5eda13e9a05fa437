//! Where an instance's groups come from, behind one face. A source can be stopped and started again behind another
//! position: the status goes on in the same place.

use std::{future::pending, io};

use headwater_capture::{
    Captured,
    encode::FeedFormat,
    limits::CaptureLimits,
    postgres::{
        self, Confirmer, Source, SourceStatus,
        assembler::KnownKey,
        error::Failure,
        source::{
            CATALOG_POLL_INTERVAL,
            resync::{self, ResyncFrom},
        },
    },
};
use tokio::sync::watch;

use super::channel::ChannelSource;
use crate::{
    clock::Clock,
    config::{PostgresConfig, SourceConfig},
};

/// A source that runs or rests.
#[derive(Debug)]
pub(super) enum InstanceSource {
    Postgres(Box<PostgresSource>),
    Channel {
        channel: ChannelSource,
        /// Whether anything is taken from it.
        runs: bool,
    },
}

#[derive(Debug)]
pub(super) struct PostgresSource {
    config: postgres::SourceConfig,
    status: watch::Sender<SourceStatus>,
    clock: Clock,
    /// `None` while it rests.
    running: Option<(Source, Confirmer)>,
}

impl InstanceSource {
    /// At rest: see [`InstanceSource::start`].
    pub(super) fn new(instance: &str, config: SourceConfig, clock: Clock) -> Self {
        match config {
            SourceConfig::Channel(channel) => Self::Channel {
                channel,
                runs: false,
            },
            SourceConfig::Postgres(config) => Self::Postgres(Box::new(PostgresSource {
                config: postgres_config(instance, *config),
                status: watch::Sender::new(SourceStatus::starting(clock.wall_ms())),
                clock,
                running: None,
            })),
        }
    }

    /// Begins behind `position`, or at the beginning. Trouble with the database is a state, not an error.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        &mut self,
        feeds: Vec<FeedFormat>,
        known_keys: Vec<KnownKey>,
        position: Option<Vec<u8>>,
    ) -> io::Result<()> {
        match self {
            Self::Channel { runs, .. } => *runs = true,
            Self::Postgres(postgres) => {
                let clock = postgres.clock;
                let config = postgres::SourceConfig {
                    feeds,
                    known_keys,
                    ..postgres.config.clone()
                };
                let status = postgres.status.clone();
                let source =
                    Source::spawn_showing(config, position, status, move || clock.wall_ms())?;
                let confirmer = source.confirmer();
                postgres.running = Some((source, confirmer));
            }
        }
        Ok(())
    }

    /// The next thing for the log; `None` when there will be none. Waits for ever while it rests. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Captured> {
        match self {
            Self::Postgres(postgres) => match &mut postgres.running {
                Some((source, _)) => source.next().await,
                None => pending().await,
            },
            Self::Channel { runs: false, .. } => pending().await,
            Self::Channel { channel, .. } => channel.captured.recv().await,
        }
    }

    /// Everything up to `position` is durable.
    pub(super) fn confirm(&self, position: &[u8]) {
        match self {
            Self::Postgres(postgres) => {
                if let Some((_, confirmer)) = &postgres.running {
                    confirmer.confirm(position);
                }
            }
            Self::Channel { channel, .. } => {
                channel.confirmed.send_replace(position.to_vec());
            }
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<SourceStatus> {
        match self {
            Self::Postgres(postgres) => postgres.status.subscribe(),
            Self::Channel { channel, .. } => channel.status.clone(),
        }
    }

    /// Tells the server what was confirmed, and closes the connection. Then it rests.
    pub(super) async fn stop(&mut self) {
        match self {
            Self::Postgres(postgres) => {
                if let Some((source, _)) = postgres.running.take() {
                    source.stop().await;
                }
            }
            Self::Channel { runs, .. } => *runs = false,
        }
    }

    /// Slot and publication.
    pub(super) fn names(&self) -> Option<(String, String)> {
        match self {
            Self::Postgres(postgres) => {
                let config = &postgres.config;
                Some((config.slot.clone(), config.publication.clone()))
            }
            Self::Channel { .. } => None,
        }
    }

    /// What the source holds goes when its connection does.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(postgres) => postgres.config.slot_temporary,
            Self::Channel { .. } => false,
        }
    }

    /// A new beginning, while it rests: the position to start from. `cancelled` takes it back.
    pub(super) async fn begin_anew(
        &self,
        stored: Option<&[u8]>,
        from: ResyncFrom,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Postgres(postgres) => {
                let clock = postgres.clock;
                let wires = (postgres.status.clone(), cancelled);
                let config = postgres.config.clone();
                resync::begin(config, stored, from, wires, move || clock.wall_ms()).await
            }
            Self::Channel { .. } => Err(Failure {
                class: postgres::error::FailureClass::Misconfigured,
                reason: "this source is no database: it has no log to go back to".to_owned(),
                fix: String::new(),
            }),
        }
    }
}

/// What capture is given for an instance.
pub(crate) fn postgres_config(instance: &str, config: PostgresConfig) -> postgres::SourceConfig {
    let name = source_object(instance);
    postgres::SourceConfig {
        url: config.url,
        instance: instance.to_owned(),
        slot: config.slot.unwrap_or_else(|| name.clone()),
        slot_temporary: config.temporary,
        publication: config.publication.unwrap_or(name),
        tables: config.tables,
        columns: config.columns,
        feeds: Vec::new(),
        known_keys: Vec::new(),
        limits: CaptureLimits {
            record_bytes_max: config.records.bytes_max,
            oversize: config.records.oversize,
            ..CaptureLimits::default()
        },
        drop_publications_at_stop: config.temporary,
        first_failure_is_final: config.first_failure_ends,
        always_binary: false,
        catalog_poll_interval: CATALOG_POLL_INTERVAL,
        failover_slot: config.failover_slot,
        heartbeat_interval: config.heartbeat_interval,
        wal_warn_bytes: config.wal_warn_bytes,
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
