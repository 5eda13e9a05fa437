//! What the rules look at, and the SQL that asks for it. Readable by every role; nothing is written.

use std::collections::HashMap;
use std::time::Duration;

use crate::postgres::connection::Connection;
use crate::postgres::error::{ConnectionError, Failure};
use crate::postgres::position::Lsn;
use crate::postgres::preflight::{Identity, ServerFacts};
use crate::postgres::publication::{self, Existing, Layout, Listed};
use crate::postgres::query::{Row, column, flag};
use crate::postgres::slot::{self, SlotRow};
use crate::postgres::source::SourceConfig;

const QUERY_LIMIT: Duration = Duration::from_secs(40);

/// Settings that a rule looks at; where a version lacks one, it is not there.
const SETTINGS_SQL: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN \
    ('max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size', 'wal_sender_timeout', \
     'idle_replication_slot_timeout', 'sync_replication_slots', 'synchronized_standby_slots', 'fsync', \
     'server_encoding')";

/// One row: places taken, rights, protection. A walsender of another role is counted, though not shown.
const ROLE_SQL: &str = "SELECT (SELECT count(*) FROM pg_catalog.pg_replication_slots), \
    (SELECT count(*) FROM pg_catalog.pg_stat_replication), \
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
    has_database_privilege(current_database(), 'CREATE'), \
    (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid())";

/// Slots that hold WAL and that nobody reads.
const IDLE_SLOTS_SQL: &str = "SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 \
    FROM pg_catalog.pg_replication_slots WHERE NOT active AND NOT temporary AND restart_lsn IS NOT NULL \
    ORDER BY 2 DESC LIMIT 20";

/// Tables that the stream never shows, tables that we may not publish, and how large their rows' values are:
/// oid, unlogged, owned (with its rights), bytes in TOAST, rows as of the last ANALYZE.
const TABLES_SQL: &str = "SELECT c.oid, n.nspname, c.relname, c.relpersistence = 'u', \
    pg_has_role(current_user, c.relowner, 'USAGE'), \
    CASE WHEN c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) ELSE 0 END, c.reltuples::int8 \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence IN ('p', 'u') AND n.nspname <> 'information_schema' \
    AND left(n.nspname, 3) <> 'pg_' ORDER BY n.nspname, c.relname";

/// What became of the attempt to be let in as a walsender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trial {
    NotMade,
    Worked(Identity),
    Failed(Failure),
}

/// What [`TABLES_SQL`] says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableFacts {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) unlogged: bool,
    pub(crate) owned: bool,
    pub(crate) toast_bytes: u64,
    /// `None`: never analyzed.
    pub(crate) rows: Option<u64>,
}

/// A server, as far as the rules look at it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one answer of the server"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) server: ServerFacts,
    pub(crate) settings: HashMap<String, String>,
    pub(crate) slots_taken: u64,
    pub(crate) walsenders: u64,
    pub(crate) superuser: bool,
    pub(crate) may_create: bool,
    pub(crate) encrypted: bool,
    pub(crate) slot: Option<SlotRow>,
    /// Name, and bytes of WAL that it holds.
    pub(crate) idle_slots: Vec<(String, u64)>,
    /// What a new slot would wait for; empty: nothing.
    pub(crate) blockers: Option<String>,
    pub(crate) existing: Existing,
    pub(crate) ours: bool,
    pub(crate) listed: Vec<Listed>,
    pub(crate) tables: Vec<TableFacts>,
    pub(crate) trial: Trial,
}

impl Facts {
    /// Asks for everything but the trial.
    ///
    /// # Errors
    /// The connection is lost, or the server refuses a query.
    pub(crate) async fn gather(
        config: &SourceConfig,
        connection: &mut Connection,
    ) -> Result<Self, ConnectionError> {
        let server = ServerFacts::ask(connection).await?;
        let version = server.version_number;
        let settings = connection.query(SETTINGS_SQL, QUERY_LIMIT).await?;
        let role = connection.query(ROLE_SQL, QUERY_LIMIT).await?;
        let slot_sql = slot::select_sql(&config.slot, version);
        let slot = connection.query(&slot_sql, QUERY_LIMIT).await?;
        let existing_sql = publication::existing_sql(&config.publication);
        let existing = connection.query(&existing_sql, QUERY_LIMIT).await?;
        let (existing, ours) = publication::parse_existing(existing.first().unwrap_or(&Row::new()));
        // The place in the log cannot be asked of a standby, which is refused anyway.
        let (idle, blockers, listed) = if server.is_standby() {
            Default::default()
        } else {
            Self::primary(config, connection, (version, existing)).await?
        };
        let tables = connection.query(TABLES_SQL, QUERY_LIMIT).await?;
        let role = role.first().cloned().unwrap_or_default();
        Ok(Self {
            server,
            settings: settings.iter().filter_map(pair).collect(),
            slots_taken: number(&role, 0),
            walsenders: number(&role, 1),
            superuser: flag(&role, 2),
            may_create: flag(&role, 3),
            encrypted: flag(&role, 4),
            slot: slot.first().map(SlotRow::parse),
            idle_slots: idle.iter().filter_map(idle_slot).collect(),
            blockers: (!blockers.is_empty()).then(|| slot::blockers_text(&blockers)),
            existing,
            ours,
            listed,
            tables: tables.iter().filter_map(TableFacts::parse).collect(),
            trial: Trial::NotMade,
        })
    }

    /// Idle slots, transactions that a new slot would wait for, the listing.
    async fn primary(
        config: &SourceConfig,
        connection: &mut Connection,
        (version, existing): (u32, Existing),
    ) -> Result<(Vec<Row>, Vec<Row>, Vec<Listed>), ConnectionError> {
        let idle = connection.query(IDLE_SLOTS_SQL, QUERY_LIMIT).await?;
        let blockers = connection.query(slot::BLOCKERS_SQL, QUERY_LIMIT).await?;
        let layout = if existing == Existing::Single {
            Layout::Single
        } else {
            Layout::Pair
        };
        let sql = publication::listing_sql(&config.publication, layout, version);
        let listing = connection.query(&sql, QUERY_LIMIT).await?;
        let listed = listing.iter().skip(1).filter_map(Listed::parse).collect();
        Ok((idle, blockers, listed))
    }

    /// A setting that is a number in its base unit; `None`: not there, or -1.
    pub(crate) fn setting(&self, name: &str) -> Option<u64> {
        self.settings.get(name)?.parse().ok()
    }

    /// `max_slot_wal_keep_size` in bytes; `None`: no limit.
    pub(crate) fn keep_bytes(&self) -> Option<u64> {
        let megabytes = self.setting("max_slot_wal_keep_size")?;
        Some(megabytes.saturating_mul(1 << 20))
    }

    /// Up to where our slot is confirmed, if it has been used.
    pub(crate) fn confirmed(&self) -> Option<Lsn> {
        self.slot.as_ref()?.confirmed_flush
    }
}

impl TableFacts {
    fn parse(row: &Row) -> Option<Self> {
        Some(Self {
            oid: column(row, 0)?.parse().ok()?,
            schema: column(row, 1)?.to_owned(),
            name: column(row, 2)?.to_owned(),
            unlogged: flag(row, 3),
            owned: flag(row, 4),
            toast_bytes: number(row, 5),
            rows: column(row, 6).and_then(|rows| rows.parse().ok()),
        })
    }
}

fn number(row: &Row, index: usize) -> u64 {
    let parsed = column(row, index).and_then(|text| text.parse().ok());
    parsed.unwrap_or_default()
}

fn pair(row: &Row) -> Option<(String, String)> {
    Some((column(row, 0)?.to_owned(), column(row, 1)?.to_owned()))
}

fn idle_slot(row: &Row) -> Option<(String, u64)> {
    Some((column(row, 0)?.to_owned(), number(row, 1)))
}
