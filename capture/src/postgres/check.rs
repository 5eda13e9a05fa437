//! What a server is like as a source: each finding is one line, with what mends it. Nothing is written to the server.
//!
//! ```text
//! facts (SQL, one trial of a replication connection) -> rules: server, objects, tables -> findings
//! ```
//!
//! `headwater check source` shows all of them; a source that starts logs and shows what is not in order ([`warnings`]).
//! The rules are pure and stand here only. An error is what capture cannot begin or go on with.

mod facts;
mod objects;
mod server;
pub(crate) mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub(crate) use self::facts::Facts;
use self::facts::Trial;
use super::connection::{Connection, Purpose};
use super::error::{ConnectionError, Failure, Names};
use super::preflight::{Identity, ServerFacts};
use super::source::SourceConfig;

const CLOSE_LIMIT: Duration = Duration::from_millis(300);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Capture works; something is missing, or will hurt one day.
    Warning,
    /// Capture does not work.
    Error,
}

impl Severity {
    /// `ok`, `warning`, `error`. Never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, as programs may look for it: a setting's name, `login`, `slot`, `table`, ...
    pub about: &'static str,
    /// What was found.
    pub what: String,
    /// SQL, or what else to do. `None`: nothing is to be done.
    pub fix: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Ok,
            about,
            what: what.into(),
            fix: None,
        }
    }

    fn warning(about: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            fix: Some(fix.into()),
            ..Self::ok(about, what)
        }
    }

    fn error(about: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::warning(about, what, fix)
        }
    }

    fn failed(about: &'static str, failure: &Failure) -> Self {
        Self {
            severity: Severity::Error,
            fix: Some(failure.fix.clone()).filter(|fix| !fix.is_empty()),
            ..Self::ok(about, failure.reason.as_str())
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// Looks at the server that `config` names, and gives every finding in the order of the rules. A server that cannot be
/// looked at is a finding too.
pub async fn check(config: &SourceConfig) -> Vec<Finding> {
    let names = config.names();
    let application_name = format!("headwater_check_{}", config.instance);
    let mut catalog =
        match Connection::connect(&config.url, &application_name, Purpose::Catalog).await {
            Ok(connection) => connection,
            Err(error) => return vec![refused("login", &error, &names)],
        };
    let gathered = Facts::gather(config, &mut catalog).await;
    catalog.close(CLOSE_LIMIT).await;
    let mut facts = match gathered {
        Ok(facts) => facts,
        Err(error) => return vec![refused("catalog", &error, &names)],
    };
    facts.trial = try_replication(config, &application_name, &facts.server, &names).await;
    findings(config, &facts)
}

fn refused(about: &'static str, error: &ConnectionError, names: &Names) -> Finding {
    Finding::failed(about, &Failure::from_connection(error, names))
}

/// A walsender answers only where role, pg_hba.conf and free places allow it, so it is asked for one.
async fn try_replication(
    config: &SourceConfig,
    application_name: &str,
    server: &ServerFacts,
    names: &Names,
) -> Trial {
    if server.check(names).is_err() {
        return Trial::NotMade;
    }
    let tried = async {
        let mut connection =
            Connection::connect(&config.url, application_name, Purpose::Replication).await?;
        let identity = Identity::ask(&mut connection).await?;
        connection.close(CLOSE_LIMIT).await;
        Ok(identity)
    };
    match Box::pin(tried).await {
        Ok(identity) => Trial::Worked(identity),
        Err(error) => Trial::Failed(Failure::from_connection(&error, names)),
    }
}

/// All rules over the facts. Pure.
pub(crate) fn findings(config: &SourceConfig, facts: &Facts) -> Vec<Finding> {
    let names = config.names();
    let mut found = Vec::new();
    server::judge(config, facts, &names, &mut found);
    objects::judge(config, facts, &names, &mut found);
    tables::judge(config, facts, &mut found);
    found
}

/// What a source that starts shows: all that is neither in order nor a reason not to start, with what each table says
/// of itself left to the tables, and the rest of the tables in one line.
pub(crate) fn warnings(config: &SourceConfig, facts: &Facts) -> Vec<String> {
    let names = config.names();
    let mut found = Vec::new();
    server::judge(config, facts, &names, &mut found);
    objects::judge(config, facts, &names, &mut found);
    // What is in the way of a start is told by the source's state.
    let by_state = ["slot", "open transactions"];
    found.retain(|finding| {
        finding.severity == Severity::Warning && !by_state.contains(&finding.about)
    });
    let told = found.iter().map(Finding::to_string);
    told.chain(tables::summary(config, facts)).collect()
}

/// Bytes for people, in the unit of PostgreSQL's settings.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size);
    match unit {
        Some((size, name)) => {
            let tenths = bytes.saturating_mul(10) / size;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}
