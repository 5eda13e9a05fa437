//! The replication slot: what its state means for a start. Decisions only; [`super::source`] runs the SQL.
//!
//! | slot | nothing stored | position E stored |
//! |---|---|---|
//! | missing | create it | needs resync: changes since E are gone |
//! | ours, at F | start at F | F <= E: start at E; F > E: needs resync, somebody moved it |
//! | invalidated | needs resync | needs resync |
//! | another plugin, database, kind, two-phase | misconfigured | misconfigured |
//! | in use by another process | try again | try again |
//!
//! A slot is never made silently for a source that has a position: what lies between would be lost
//! without a word. Manual: "pg_replication_slots", "CREATE_REPLICATION_SLOT".

use super::error::{Failure, Names};
use super::position::Lsn;
use super::query::{Row, column, flag, identifier, literal};

/// First server version (as `server_version_num`) with something that we ask for.
const HAS_WAL_STATUS: u32 = 130_000;
const HAS_TWO_PHASE: u32 = 140_000;
const HAS_OPTION_LIST: u32 = 150_000;
const HAS_INVALIDATION_REASON: u32 = 170_000;
/// First server version whose slots can go on at a standby that was promoted.
pub(crate) const HAS_FAILOVER: u32 = 170_000;

/// A row of `pg_replication_slots`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlotRow {
    pub(crate) plugin: Option<String>,
    pub(crate) logical: bool,
    pub(crate) database: Option<String>,
    pub(crate) active_pid: Option<i32>,
    pub(crate) confirmed_flush: Option<Lsn>,
    pub(crate) restart: Option<Lsn>,
    pub(crate) wal_status: Option<String>,
    pub(crate) invalidation_reason: Option<String>,
    pub(crate) two_phase: bool,
    /// Standbys are given it too (from 17 on).
    pub(crate) failover: bool,
}

/// What to do with the slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SlotPlan {
    /// None there, and nothing was ever captured.
    Create,
    /// Stream from here.
    StartAt(u64),
    /// Another process streams from it.
    Busy { pid: i32 },
}

/// The query for [`SlotRow::parse`]: one row or none.
pub(crate) fn select_sql(slot: &str, server_version: u32) -> String {
    let since = |version, name: &'static str| {
        if server_version >= version {
            name
        } else {
            "NULL"
        }
    };
    format!(
        "SELECT plugin, slot_type = 'logical', database, active_pid, confirmed_flush_lsn, \
         restart_lsn, {}, {}, {}, {} FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        since(HAS_WAL_STATUS, "wal_status"),
        since(HAS_INVALIDATION_REASON, "invalidation_reason"),
        since(HAS_TWO_PHASE, "two_phase"),
        since(HAS_FAILOVER, "failover"),
        literal(slot)
    )
}

impl SlotRow {
    pub(crate) fn parse(row: &Row) -> Self {
        let text = |index| column(row, index).map(str::to_owned);
        let lsn = |index| column(row, index).and_then(|text| text.parse().ok());
        Self {
            plugin: text(0),
            logical: flag(row, 1),
            database: text(2),
            active_pid: column(row, 3).and_then(|pid| pid.parse().ok()),
            confirmed_flush: lsn(4),
            restart: lsn(5),
            wal_status: text(6),
            invalidation_reason: text(7),
            two_phase: flag(row, 8),
            failover: flag(row, 9),
        }
    }
}

/// How a slot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// It stays until somebody drops it.
    Durable,
    /// The same, and standbys are given it too.
    Failover,
    /// It goes with its connection.
    Temporary,
}

/// The command that makes the slot. Its answer's second column is where the slot begins. [`SlotKind::Failover`]: for
/// servers that have it only.
pub(crate) fn create_sql(slot: &str, kind: SlotKind, server_version: u32) -> String {
    let temporary = if kind == SlotKind::Temporary {
        " TEMPORARY"
    } else {
        ""
    };
    let snapshot = if kind == SlotKind::Failover {
        "(SNAPSHOT 'nothing', FAILOVER true)"
    } else if server_version >= HAS_OPTION_LIST {
        "(SNAPSHOT 'nothing')"
    } else {
        "NOEXPORT_SNAPSHOT"
    };
    let slot = identifier(slot);
    format!("CREATE_REPLICATION_SLOT {slot}{temporary} LOGICAL pgoutput {snapshot}")
}

/// First server version that sends logical messages.
const MESSAGES: u32 = 140_000;

/// Whether a server of this version is asked for logical messages; `wanted`: a feed carries them.
pub(crate) fn sends_messages(wanted: bool, server_version: u32) -> bool {
    wanted && server_version >= MESSAGES
}

/// First server version that sends rows in binary form.
pub(crate) const BINARY: u32 = 140_000;

/// What is asked for beside the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StartOptions {
    /// Logical messages; see [`sends_messages`].
    pub(crate) messages: bool,
    /// Values in binary form, from [`BINARY`] on.
    pub(crate) binary: bool,
}

/// The command that begins to stream. Protocol version 1: only committed transactions come, one after another.
pub(crate) fn start_sql(
    slot: &str,
    start: u64,
    publications: &[String],
    options: StartOptions,
) -> String {
    // The option is a list of identifiers inside a literal: quoted twice. The replication grammar knows no
    // E'' strings, so a backslash stays as it is and only quotes are doubled.
    let list = publications
        .iter()
        .map(|name| identifier(name))
        .collect::<Vec<_>>()
        .join(",");
    let messages = if options.messages {
        ", messages 'true'"
    } else {
        ""
    };
    let binary = if options.binary {
        ", binary 'true'"
    } else {
        ""
    };
    format!(
        "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names '{}'{messages}{binary})",
        identifier(slot),
        Lsn(start),
        list.replace('\'', "''")
    )
}

/// Decides by the table above. `stored`: the end of what the log holds. `temporary`: the slot goes with its
/// connection.
///
/// # Errors
/// Every case in which capture must not go on, with reason and fix.
pub(crate) fn plan(
    row: Option<&SlotRow>,
    stored: Option<u64>,
    temporary: bool,
    names: &Names,
) -> Result<SlotPlan, Failure> {
    let slot = &names.slot;
    let Some(row) = row else {
        let Some(stored) = stored else {
            return Ok(SlotPlan::Create);
        };
        let reason = if temporary {
            "the temporary slot ended with its connection; give --data DIR for a durable one"
                .to_owned()
        } else {
            format!(
                "slot \"{slot}\" is missing: changes after {} are no longer held",
                Lsn(stored)
            )
        };
        return Err(Failure::needs_resync(reason, names));
    };
    check_kind(row, names)?;
    if let Some(reason) = invalidation(row) {
        let reason = format!("slot \"{slot}\" was invalidated by the server: {reason}");
        return Err(Failure::needs_resync(reason, names));
    }
    if let Some(pid) = row.active_pid {
        return Ok(SlotPlan::Busy { pid });
    }
    let confirmed = row.confirmed_flush.map_or(0, |lsn| lsn.0);
    match stored {
        None => Ok(SlotPlan::StartAt(confirmed)),
        Some(stored) if confirmed <= stored => Ok(SlotPlan::StartAt(stored)),
        Some(stored) => Err(Failure::needs_resync(
            format!(
                "slot \"{slot}\" was moved by somebody else: changes between {} and {} are missing",
                Lsn(stored),
                Lsn(confirmed)
            ),
            names,
        )),
    }
}

/// Whether it is one of ours at all.
pub(crate) fn check_kind(row: &SlotRow, names: &Names) -> Result<(), Failure> {
    let slot = &names.slot;
    let other = |what: String| {
        let fix = "choose another slot name, or drop this slot if nobody needs it".to_owned();
        Err(Failure::misconfigured(
            format!("slot \"{slot}\" {what}"),
            fix,
        ))
    };
    if !row.logical {
        return other("is a physical slot".to_owned());
    }
    match (row.plugin.as_deref(), row.database.as_deref()) {
        (Some("pgoutput"), Some(database)) if database == names.database => {}
        (Some("pgoutput"), database) => {
            return other(format!(
                "belongs to database \"{}\"",
                database.unwrap_or_default()
            ));
        }
        (plugin, _) => {
            return other(format!(
                "has output plugin {}, not pgoutput",
                plugin.unwrap_or("none")
            ));
        }
    }
    if row.two_phase {
        return other(
            "was made with two_phase, which sends transactions before they commit".to_owned(),
        );
    }
    Ok(())
}

/// Why the server no longer holds what the slot was for, if it does not.
pub(crate) fn invalidation(row: &SlotRow) -> Option<String> {
    if let Some(reason) = &row.invalidation_reason {
        return Some(reason.clone());
    }
    match row.wal_status.as_deref() {
        Some("lost") => Some("its WAL was removed (max_slot_wal_keep_size)".to_owned()),
        Some(_) => None,
        None if row.restart.is_none() => Some("it has no restart_lsn".to_owned()),
        None => None,
    }
}

/// Transactions that a new slot waits for, oldest first: pid or prepared name, user, age in seconds.
pub(crate) const BLOCKERS_SQL: &str = "\
    SELECT 'pid ' || pid, usename, extract(epoch FROM now() - xact_start)::int8 \
    FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
    UNION ALL SELECT 'prepared transaction ' || gid, owner, extract(epoch FROM now() - prepared)::int8 \
    FROM pg_catalog.pg_prepared_xacts ORDER BY 3 DESC NULLS LAST LIMIT 10";

/// One line from the rows of [`BLOCKERS_SQL`].
pub(crate) fn blockers_text(rows: &[Row]) -> String {
    let blockers = rows.iter().map(|row| {
        let who = column(row, 0).unwrap_or("unknown");
        let user = column(row, 1).unwrap_or("unknown");
        match column(row, 2) {
            Some(seconds) => format!("{who} (user {user}, open for {seconds} s)"),
            None => format!("{who} (user {user})"),
        }
    });
    let blockers = blockers.collect::<Vec<_>>().join(", ");
    if blockers.is_empty() {
        return "the server makes the slot".to_owned();
    }
    format!("the slot begins when these open transactions have ended: {blockers}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::error::FailureClass;

    fn names() -> Names {
        Names {
            server: "db:5432".into(),
            user: "cdc".into(),
            database: "shop".into(),
            slot: "headwater_shop".into(),
            publication: "headwater_shop".into(),
            instance: "shop".into(),
        }
    }

    fn slot_at(confirmed: u64) -> SlotRow {
        SlotRow {
            plugin: Some("pgoutput".into()),
            logical: true,
            database: Some("shop".into()),
            confirmed_flush: Some(Lsn(confirmed)),
            restart: Some(Lsn(confirmed)),
            wal_status: Some("reserved".into()),
            ..SlotRow::default()
        }
    }

    fn class(row: Option<&SlotRow>, stored: Option<u64>) -> FailureClass {
        plan(row, stored, false, &names()).unwrap_err().class
    }

    #[test]
    fn a_slot_is_made_only_where_nothing_is_stored() {
        assert_eq!(plan(None, None, false, &names()), Ok(SlotPlan::Create));
        assert_eq!(class(None, Some(7)), FailureClass::NeedsResync);
        let temporary = plan(None, Some(7), true, &names()).unwrap_err();
        assert!(temporary.reason.contains("--data"), "{temporary:?}");
    }

    #[test]
    fn streaming_begins_at_what_is_stored_unless_the_slot_is_beyond() {
        let at = |confirmed, stored| plan(Some(&slot_at(confirmed)), stored, false, &names());
        assert_eq!(at(5, None), Ok(SlotPlan::StartAt(5)));
        assert_eq!(at(5, Some(5)), Ok(SlotPlan::StartAt(5)));
        assert_eq!(at(5, Some(9)), Ok(SlotPlan::StartAt(9)));
        let gap = at(9, Some(5)).unwrap_err();
        assert_eq!(gap.class, FailureClass::NeedsResync);
        assert!(
            gap.reason.contains("0/5") && gap.reason.contains("0/9"),
            "{gap:?}"
        );
    }

    #[test]
    fn an_invalidated_slot_is_told_with_the_servers_reason() {
        let lost = SlotRow {
            wal_status: Some("lost".into()),
            ..slot_at(5)
        };
        let removed = SlotRow {
            invalidation_reason: Some("idle_timeout".into()),
            ..slot_at(5)
        };
        let old = SlotRow {
            wal_status: None,
            restart: None,
            ..slot_at(5)
        };
        for row in [&lost, &removed, &old] {
            assert_eq!(class(Some(row), Some(5)), FailureClass::NeedsResync);
            assert_eq!(class(Some(row), None), FailureClass::NeedsResync);
        }
        let told = plan(Some(&removed), None, false, &names()).unwrap_err();
        assert!(told.reason.contains("idle_timeout"));
    }

    #[test]
    fn somebody_elses_slot_is_left_alone() {
        let rows = [
            SlotRow {
                plugin: Some("wal2json".into()),
                ..slot_at(5)
            },
            SlotRow {
                plugin: None,
                logical: false,
                ..slot_at(5)
            },
            SlotRow {
                database: Some("other".into()),
                ..slot_at(5)
            },
            SlotRow {
                two_phase: true,
                ..slot_at(5)
            },
        ];
        for row in rows {
            assert_eq!(
                class(Some(&row), Some(5)),
                FailureClass::Misconfigured,
                "{row:?}"
            );
        }
        let busy = SlotRow {
            active_pid: Some(42),
            ..slot_at(5)
        };
        assert_eq!(
            plan(Some(&busy), None, false, &names()),
            Ok(SlotPlan::Busy { pid: 42 })
        );
    }

    #[test]
    fn commands_follow_the_servers_version_and_quote_names() {
        assert_eq!(
            create_sql("s", SlotKind::Durable, 150_000),
            "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput (SNAPSHOT 'nothing')"
        );
        assert_eq!(
            create_sql("s", SlotKind::Temporary, 140_023),
            "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        );
        assert_eq!(
            create_sql("s", SlotKind::Failover, 180_000),
            "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER true)"
        );
        assert_eq!(
            start_sql(
                "s",
                0x1_0000_000a,
                &["it's".into(), "b\"c".into()],
                StartOptions::default()
            ),
            "START_REPLICATION SLOT \"s\" LOGICAL 1/A (proto_version '1', \
             publication_names '\"it''s\",\"b\"\"c\"')"
        );
        let all = StartOptions {
            messages: true,
            binary: true,
        };
        let end = "'', messages 'true', binary 'true')";
        assert!(start_sql("s", 1, &[], all).ends_with(end));
        assert!(sends_messages(true, 140_000) && !sends_messages(true, 130_023));
        assert!(!sends_messages(false, 180_000));
        assert!(select_sql("s", 100_000).contains("NULL, NULL, NULL, NULL"));
        assert!(select_sql("s", 180_000).contains("invalidation_reason, two_phase, failover"));
    }

    #[test]
    fn blockers_are_named() {
        let row = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned)).to_vec();
        let rows = [
            row([Some("pid 7"), Some("app"), Some("12")]),
            row([Some("pid 8"), None, None]),
        ];
        assert_eq!(
            blockers_text(&rows),
            "the slot begins when these open transactions have ended: pid 7 (user app, open for 12 s), \
             pid 8 (user unknown)"
        );
    }
}
