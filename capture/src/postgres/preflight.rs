//! What must hold at the server before anything is made there: version, wal_level, being the primary.

use std::time::Duration;

use super::connection::Connection;
use super::error::{ConnectionError, Failure, Names};
use super::query::{Row, column, flag};

/// pgoutput came with PostgreSQL 10.
const OLDEST_SERVER: u32 = 100_000;
const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// What the server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    /// `server_version_num`: 150018 for 15.18.
    pub(crate) version_number: u32,
    pub(crate) version: String,
    wal_level: String,
    standby: bool,
    /// `None`: switched off.
    pub(crate) wal_sender_timeout: Option<Duration>,
}

// pg_is_in_recovery and the settings exist in every version that can be met; the rest is asked for later.
const FACTS_SQL: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
    current_setting('wal_level'), pg_is_in_recovery(), \
    (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout')";

impl ServerFacts {
    pub(crate) async fn ask(connection: &mut Connection) -> Result<Self, ConnectionError> {
        let rows = connection.query(FACTS_SQL, QUERY_LIMIT).await?;
        let unexpected = ConnectionError::Unexpected {
            stage: "server settings",
            tag: b'D',
        };
        rows.first().and_then(Self::parse).ok_or(unexpected)
    }

    fn parse(row: &Row) -> Option<Self> {
        let timeout: u64 = column(row, 4)?.parse().ok()?;
        Some(Self {
            version_number: column(row, 0)?.parse().ok()?,
            version: column(row, 1)?.to_owned(),
            wal_level: column(row, 2)?.to_owned(),
            standby: flag(row, 3),
            wal_sender_timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
        })
    }

    /// A primary with logical WAL.
    #[cfg(test)]
    pub(crate) fn of_version(version_number: u32, version: &str) -> Self {
        Self {
            version_number,
            version: version.to_owned(),
            wal_level: "logical".to_owned(),
            standby: false,
            wal_sender_timeout: None,
        }
    }

    pub(crate) fn is_standby(&self) -> bool {
        self.standby
    }

    /// # Errors
    /// Something that only a change at the server, or of the URL, can mend.
    pub(crate) fn check(&self, names: &Names) -> Result<(), Failure> {
        let server = &names.server;
        if self.version_number < OLDEST_SERVER {
            return Err(Failure::misconfigured(
                format!(
                    "{server} runs PostgreSQL {}, which has no pgoutput",
                    self.version
                ),
                "use PostgreSQL 10 or later",
            ));
        }
        if self.standby {
            return Err(Failure::misconfigured(
                format!("{server} is a standby: publications and slots are made on the primary"),
                "name the primary in the source's URL",
            ));
        }
        if self.wal_level != "logical" {
            return Err(Failure::misconfigured(
                format!(
                    "wal_level is {}, logical is needed at {server}",
                    self.wal_level
                ),
                "ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL",
            ));
        }
        Ok(())
    }
}

/// The answer to IDENTIFY_SYSTEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) system_id: u64,
    pub(crate) timeline: u32,
    pub(crate) database: String,
}

impl Identity {
    pub(crate) async fn ask(connection: &mut Connection) -> Result<Self, ConnectionError> {
        let rows = connection.query("IDENTIFY_SYSTEM", QUERY_LIMIT).await?;
        let unexpected = ConnectionError::Unexpected {
            stage: "IDENTIFY_SYSTEM",
            tag: b'D',
        };
        rows.first().and_then(Self::parse).ok_or(unexpected)
    }

    fn parse(row: &Row) -> Option<Self> {
        Some(Self {
            system_id: column(row, 0)?.parse().ok()?,
            timeline: column(row, 1)?.parse().ok()?,
            database: column(row, 3)?.to_owned(),
        })
    }
}

/// Where the server left `timeline`, by the history file of its present timeline: lines of
/// `timeline TAB lsn TAB reason`. `None` if the file does not name it.
pub(crate) fn switch_point(history: &str, timeline: u32) -> Option<u64> {
    history.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let is_it = fields.next()?.parse() == Ok(timeline);
        let lsn: super::position::Lsn = fields.next()?.parse().ok()?;
        is_it.then_some(lsn.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ServerFacts {
        let row = ["150018", "15.18", "logical", "f", "60000"].map(|text| Some(text.to_owned()));
        ServerFacts::parse(&row.to_vec()).unwrap()
    }

    fn names() -> Names {
        Names {
            server: "db:5432".into(),
            user: "cdc".into(),
            database: "shop".into(),
            slot: "s".into(),
            publication: "p".into(),
            instance: "shop".into(),
        }
    }

    #[test]
    fn a_server_as_it_should_be_passes() {
        assert_eq!(facts().check(&names()), Ok(()));
        assert_eq!(facts().wal_sender_timeout, Some(Duration::from_mins(1)));
    }

    #[test]
    fn each_thing_that_must_be_changed_is_named_with_its_fix() {
        let old = ServerFacts {
            version_number: 90_624,
            version: "9.6.24".into(),
            ..facts()
        };
        let standby = ServerFacts {
            standby: true,
            ..facts()
        };
        let level = ServerFacts {
            wal_level: "replica".into(),
            ..facts()
        };
        for (facts, thing, fix) in [
            (old, "9.6.24", "PostgreSQL 10"),
            (standby, "standby", "primary"),
            (
                level,
                "wal_level is replica, logical is needed",
                "ALTER SYSTEM SET wal_level = logical",
            ),
        ] {
            let failure = facts.check(&names()).unwrap_err();
            assert!(
                failure.reason.contains(thing) && failure.fix.contains(fix),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn the_switch_point_of_a_timeline_is_found() {
        let history = "1\t0/5000000\tno recovery target specified\n2\t1/A\tbefore 2026\n";
        assert_eq!(switch_point(history, 1), Some(0x500_0000));
        assert_eq!(switch_point(history, 2), Some(0x1_0000_000a));
        assert_eq!(switch_point(history, 3), None);
        assert_eq!(switch_point("nonsense", 3), None);
    }
}
