//! Logging: `tracing` to stderr, text or JSON. Row values are never logged; passwords live in types whose
//! `Debug` hides them.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// How to log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Text unless JSON is asked for.
    #[serde(default)]
    pub format: LogFormat,
    /// What to log.
    #[serde(default)]
    pub level: LogLevel,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// The least important line that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A person should look.
    Error,
    /// A person may want to look.
    Warn,
    /// What an operator wants to read afterwards.
    #[default]
    Info,
    /// What a developer wants to read.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The target of the line that says where the broker listens: written at every level.
pub(crate) const READY: &str = "headwater::ready";

/// Starts logging to `writer`, once in a process. `HEADWATER_LOG` (directives as of `tracing`'s `EnvFilter`)
/// goes before the configuration.
pub fn init<W>(config: &LogConfig, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    init_with(&directives(config.level), config.format, writer);
}

/// [`init`] with directives instead of a level.
pub(crate) fn init_with<W>(directives: &str, format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_from_env("HEADWATER_LOG").unwrap_or_else(|_| EnvFilter::new(directives));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let started = match format {
        LogFormat::Text => builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_target(false)
            .try_init(),
    };
    // A second start in one process (an embedding program that logs by itself) keeps the first.
    drop(started);
}

/// sled tells at `info` what no operator needs.
fn directives(level: LogLevel) -> String {
    let sled = if level == LogLevel::Error {
        "error"
    } else {
        "warn"
    };
    format!("{},sled={sled},{READY}=info", level.name())
}
