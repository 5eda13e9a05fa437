//! Looking at the server's catalog over an ordinary connection: which tables there are, what they are made
//! of, and keeping our publications up to date with them.
//!
//! While changes are streamed this runs as a task of its own, so that a slow catalog never holds up a status
//! message; its connection may come and go. Statements have a lock timeout of one second: ALTER PUBLICATION
//! takes SHARE UPDATE EXCLUSIVE, which no row change waits for, and must not queue behind DDL for long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::keeper::{Keeper, Listing};
use super::types;
use super::unique_keys;
use super::worker::{Shared, Warned};
use crate::postgres::assembler::CatalogTable;
use crate::postgres::connection::{Connection, Purpose};
use crate::postgres::error::ConnectionError;
use crate::postgres::position::Lsn;
use crate::postgres::publication::{self, Changes, Layout, Listed, alter_sql, keyed_name};
use crate::postgres::query::{Row, column, flag};
use crate::postgres::status::update;
use crate::postgres::wal::{self, WalHeld, WalLevel};
use crate::table::{Column, ReplicaIdentity};
use crate::value::ColumnType;

pub(super) const QUERY_LIMIT: Duration = Duration::from_secs(40);
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// Relations described by one query.
const DESCRIBED_AT_ONCE: usize = 200;
/// First server versions with what the description has to leave out.
pub(super) const INCLUDED_COLUMNS: u32 = 110_000;
const GENERATED_COLUMNS: u32 = 120_000;

/// Not transactional: it costs no transaction id. Its prefix is one of ours (`assembler/messages`).
const HEARTBEAT_SQL: &str = "SELECT pg_logical_emit_message(false, 'headwater.heartbeat', '')";

/// A relation and what the catalog says of it; `None`: it is gone.
pub(super) type Described = (u32, Option<CatalogTable>);

/// What the task has to say.
pub(super) enum Event {
    /// The answer to a request, for each relation asked for.
    Described(Vec<Described>),
    /// Tables that a poll found.
    Found(Vec<Described>),
    /// At this time of the server, ms since 1970, its log ended here.
    Looked { lsn: Lsn, time_ms: i64 },
}

/// The task beside the stream.
pub(super) struct CatalogTask {
    requests: mpsc::Sender<Vec<u32>>,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl CatalogTask {
    /// Goes on with this connection, and makes a new one whenever it is lost.
    pub(super) fn spawn(shared: Arc<Shared>, connection: Connection) -> Self {
        let (requests, request_receiver) = mpsc::channel(1);
        let (event_sender, events) = mpsc::channel(4);
        let catalog = Catalog {
            shared,
            connection: Some(connection),
            requests: request_receiver,
            events: event_sender,
            wal_level: WalLevel::Fine,
        };
        Self {
            requests,
            events,
            task: tokio::spawn(catalog.run()),
        }
    }

    /// Asks for these relations; the answer comes as an event. One request at a time.
    pub(super) fn describe(&self, relations: Vec<u32>) {
        // The stream waits for the answer before it can ask again, so there is room; a task that is gone has
        // closed `events` too.
        drop(self.requests.try_send(relations));
    }

    /// The next event; `None` if the task is gone. Cancel safe.
    pub(super) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for CatalogTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Catalog {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    requests: mpsc::Receiver<Vec<u32>>,
    events: mpsc::Sender<Event>,
    /// As of the last look.
    wal_level: WalLevel,
}

impl Catalog {
    async fn run(mut self) {
        let mut polls = interval(self.shared.config.catalog_poll_interval);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        polls.tick().await;
        let mut heartbeats = heartbeats(self.shared.config.heartbeat_interval);
        loop {
            let sent = tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(relations) => self.answer(relations).await,
                    None => return,
                },
                _ = polls.tick() => self.poll().await,
                () = beat(&mut heartbeats) => {
                    self.heartbeat().await;
                    Ok(())
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// Answers, however long it takes to reach the server.
    async fn answer(&mut self, relations: Vec<u32>) -> Result<(), mpsc::error::SendError<Event>> {
        loop {
            match self.try_describe(&relations).await {
                Ok(described) => {
                    self.warn(None);
                    return self.events.send(Event::Described(described)).await;
                }
                Err(error) => self.lost(&error),
            }
            sleep(RECONNECT_DELAY).await;
        }
    }

    async fn poll(&mut self) -> Result<(), mpsc::error::SendError<Event>> {
        let had_connection = self.connection.is_some();
        let mut found = self.try_poll().await;
        if found.is_err() && had_connection {
            // The server may close a connection that was idle for long; only a fresh one tells the truth.
            self.connection = None;
            found = self.try_poll().await;
        }
        match found {
            Ok(found) => {
                match self.watch_wal().await {
                    Ok(()) => self.warn(None),
                    Err(error) => self.lost(&error),
                }
                self.look().await?;
                if !found.is_empty() {
                    return self.events.send(Event::Found(found)).await;
                }
            }
            Err(error) => self.lost(&error),
        }
        Ok(())
    }

    /// How much the server holds for our slot; told when it becomes too much.
    async fn watch_wal(&mut self) -> Result<(), ConnectionError> {
        let version = self.shared.keeper.lock().await.server_version;
        let shared = Arc::clone(&self.shared);
        let sql = wal::select_sql(&shared.names.slot, version);
        let rows = self.connection().await?.query(&sql, QUERY_LIMIT).await?;
        let before = self.wal_level;
        let wal = rows.first().and_then(WalHeld::parse).map(|held| WalHeld {
            level: held.level_after(before, shared.config.wal_warn_bytes),
            ..held
        });
        self.wal_level = wal.as_ref().map_or(WalLevel::Fine, |held| held.level);
        if self.wal_level != before {
            let warning = wal
                .as_ref()
                .and_then(|held| held.warning(&shared.names.slot));
            shared.warn(Warned::Wal, warning.into_iter().collect());
        }
        shared.show(|status| update(&mut status.wal, wal));
        Ok(())
    }

    /// A message of our own in the source's log: no feed shows it, and the server goes past it.
    async fn heartbeat(&mut self) {
        let beaten = match self.connection().await {
            Ok(connection) => connection.query(HEARTBEAT_SQL, QUERY_LIMIT).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = beaten {
            self.lost(&error);
        }
    }

    async fn look(&mut self) -> Result<(), mpsc::error::SendError<Event>> {
        let looked = {
            let keeper = self.shared.keeper.lock().await;
            let time_ms = keeper.last_time_ms;
            keeper.last_lsn.map(|lsn| Event::Looked { lsn, time_ms })
        };
        match looked {
            Some(looked) => self.events.send(looked).await,
            None => Ok(()),
        }
    }

    async fn try_describe(&mut self, relations: &[u32]) -> Result<Vec<Described>, ConnectionError> {
        let server_version = self.shared.keeper.lock().await.server_version;
        describe(self.connection().await?, relations, server_version).await
    }

    async fn try_poll(&mut self) -> Result<Vec<Described>, ConnectionError> {
        let shared = Arc::clone(&self.shared);
        let connection = self.connection().await?;
        refresh(&shared, connection).await
    }

    async fn connection(&mut self) -> Result<&mut Connection, ConnectionError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let Shared {
                    config,
                    application_name,
                    ..
                } = &*self.shared;
                Connection::connect(&config.url, application_name, Purpose::Catalog).await?
            }
        };
        Ok(self.connection.insert(connection))
    }

    fn lost(&mut self, error: &ConnectionError) {
        self.connection = None;
        self.warn(Some(self.shared.failure(error).reason));
    }

    /// The stream goes on without a catalog until a relation has to be looked up.
    fn warn(&self, reason: Option<String>) {
        let warnings: Vec<String> = reason
            .map(|reason| format!("the catalog cannot be read: {reason}"))
            .into_iter()
            .collect();
        self.shared.warn(Warned::Catalog, warnings);
    }
}

/// `None`: there are none.
fn heartbeats(every: Option<Duration>) -> Option<Interval> {
    every.map(|every| {
        let mut beats = interval(every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats
    })
}

async fn beat(beats: &mut Option<Interval>) {
    match beats {
        Some(beats) => drop(beats.tick().await),
        None => std::future::pending().await,
    }
}

/// One look at the catalog: changes the publications where they should be changed, shows the tables, and
/// describes those that were not announced on this connection.
///
/// # Errors
/// The connection is lost or the catalog cannot be read. A refused ALTER is a table's warning.
pub(super) async fn refresh(
    shared: &Shared,
    connection: &mut Connection,
) -> Result<Vec<Described>, ConnectionError> {
    let mut keeper = shared.keeper.lock().await;
    keeper.tick();
    let mut listing = list(shared, connection, &keeper).await?;
    if keeper.layout == Some(Layout::Pair) {
        let changes = wanted_changes(shared, &keeper, &listing);
        if !changes.is_empty() {
            let before = listing;
            alter(shared, connection, &mut keeper, (&before, &changes)).await?;
            listing = list(shared, connection, &keeper).await?;
            note_late_tables(connection, &mut keeper, (&before, &listing)).await?;
        }
    }
    keeper.last_lsn = Some(listing.lsn);
    keeper.last_time_ms = listing.time_ms;
    let matches = |table: &Listed| shared.config.tables.matches(&table.schema, &table.name);
    let tables = keeper.table_status(&listing, matches, &shared.names.publication);
    shared.show(|status| update(&mut status.tables, tables));
    let through_root = keeper.layout == Some(Layout::Single);
    let captured = listing.tables.iter().filter(|table| {
        table.published && matches(table) && (!table.is_partitioned() || through_root)
    });
    let new: Vec<u32> = captured
        .map(|table| table.oid)
        .filter(|oid| keeper.announce(*oid))
        .collect();
    describe(connection, &new, keeper.server_version).await
}

async fn list(
    shared: &Shared,
    connection: &mut Connection,
    keeper: &Keeper,
) -> Result<Listing, ConnectionError> {
    let layout = keeper.layout.unwrap_or(Layout::Pair);
    let sql = publication::listing_sql(&shared.names.publication, layout, keeper.server_version);
    let rows = connection.query(&sql, QUERY_LIMIT).await?;
    let unexpected = ConnectionError::Unexpected {
        stage: "list of tables",
        tag: b'D',
    };
    let (first, tables) = rows.split_first().ok_or(unexpected)?;
    let lsn = column(first, 0)
        .and_then(|text| text.parse().ok())
        .unwrap_or(Lsn(0));
    let time_ms = column(first, 1).and_then(|text| text.parse().ok());
    Ok(Listing {
        lsn,
        time_ms: time_ms.unwrap_or_default(),
        tables: tables.iter().filter_map(Listed::parse).collect(),
    })
}

/// The listing before there are publications: all tables of the database.
pub(super) async fn list_for_creation(
    shared: &Shared,
    connection: &mut Connection,
    keeper: &Keeper,
) -> Result<(Vec<Listed>, Changes), ConnectionError> {
    let listing = list(shared, connection, keeper).await?;
    let changes = publication::changes(&listing.tables, &shared.config.tables);
    Ok((listing.tables, changes))
}

fn wanted_changes(shared: &Shared, keeper: &Keeper, listing: &Listing) -> Changes {
    let mut changes = publication::changes(&listing.tables, &shared.config.tables);
    let lists = [
        &mut changes.add,
        &mut changes.add_keyed,
        &mut changes.drop,
        &mut changes.drop_keyed,
    ];
    for list in lists {
        list.retain(|&index| {
            listing
                .tables
                .get(index)
                .is_some_and(|table| !keeper.is_refused(table.oid))
        });
    }
    changes
}

/// Everything in one transaction; where the server refuses that, each table by itself.
async fn alter(
    shared: &Shared,
    connection: &mut Connection,
    keeper: &mut Keeper,
    (listing, changes): (&Listing, &Changes),
) -> Result<(), ConnectionError> {
    let statement =
        |chosen: &Changes| statements(&shared.names.publication, &listing.tables, chosen);
    match connection.query(&statement(changes), QUERY_LIMIT).await {
        Ok(_) => return Ok(()),
        Err(ConnectionError::Server(_)) => {}
        Err(error) => return Err(error),
    }
    for (index, table) in listing.tables.iter().enumerate() {
        let only = |list: &Vec<usize>| list.iter().copied().filter(|&at| at == index).collect();
        let chosen = Changes {
            add: only(&changes.add),
            add_keyed: only(&changes.add_keyed),
            drop: only(&changes.drop),
            drop_keyed: only(&changes.drop_keyed),
        };
        if chosen.is_empty() {
            continue;
        }
        let statement = statement(&chosen);
        match connection.query(&statement, QUERY_LIMIT).await {
            Ok(_) => {}
            Err(ConnectionError::Server(error)) => {
                keeper.refused(table, &error.message, &statement);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Taking out comes first: a table that lost its identity fails the application's updates meanwhile.
fn statements(publication: &str, tables: &[Listed], changes: &Changes) -> String {
    let keyed = keyed_name(publication);
    let all = [
        alter_sql(&keyed, "DROP", tables, &changes.drop_keyed),
        alter_sql(publication, "DROP", tables, &changes.drop),
        alter_sql(publication, "ADD", tables, &changes.add),
        alter_sql(&keyed, "ADD", tables, &changes.add_keyed),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Remembers what may be missing of the tables that were added. One without a single page, in the file that it was made
/// with (TRUNCATE gives it another), never had a row.
async fn note_late_tables(
    connection: &mut Connection,
    keeper: &mut Keeper,
    (before, after): (&Listing, &Listing),
) -> Result<(), ConnectionError> {
    let earlier: HashMap<u32, &Listed> = before
        .tables
        .iter()
        .map(|table| (table.oid, table))
        .collect();
    let added = after
        .tables
        .iter()
        .filter(|table| !table.is_partitioned())
        .filter_map(|table| {
            let was = earlier.get(&table.oid)?;
            let rows = table.published && !was.published;
            let keyed = table.published_keyed && !was.published_keyed;
            (rows || keyed).then_some((table, rows))
        });
    let added: Vec<(&Listed, bool)> = added.collect();
    let oids: Vec<u32> = added.iter().map(|(table, _)| table.oid).collect();
    if oids.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT oid FROM pg_catalog.pg_class WHERE oid IN ({}) \
         AND (pg_relation_size(oid) > 0 OR pg_relation_filenode(oid) <> oid)",
        oid_list(&oids)
    );
    let rows = connection.query(&sql, QUERY_LIMIT).await?;
    let with_a_past: Vec<u32> = rows
        .iter()
        .filter_map(|row| column(row, 0)?.parse().ok())
        .collect();
    for (table, rows) in added
        .into_iter()
        .filter(|(table, _)| with_a_past.contains(&table.oid))
    {
        keeper.added_late(table, rows, after.lsn);
    }
    Ok(())
}

/// Definitions by object id, in the order asked for.
pub(super) async fn describe(
    connection: &mut Connection,
    relations: &[u32],
    server_version: u32,
) -> Result<Vec<Described>, ConnectionError> {
    let mut described = Vec::with_capacity(relations.len());
    for chunk in relations.chunks(DESCRIBED_AT_ONCE) {
        let rows = connection
            .query(&describe_sql(chunk, server_version), QUERY_LIMIT)
            .await?;
        let mut tables: HashMap<u32, CatalogTable> = HashMap::new();
        for row in &rows {
            add_column(&mut tables, row);
        }
        types::resolve(connection, &mut tables).await?;
        unique_keys::resolve(connection, &mut tables, server_version).await?;
        described.extend(chunk.iter().map(|oid| (*oid, tables.remove(oid))));
    }
    Ok(described)
}

pub(super) fn oid_list(oids: &[u32]) -> String {
    oids.iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A row for each column, in order; one row with NULLs for a table without columns. Generated columns are
/// not in the stream (from 18 on only where a publication asks for them, which ours do not).
fn describe_sql(relations: &[u32], server_version: u32) -> String {
    let not_generated = if server_version >= GENERATED_COLUMNS {
        "AND a.attgenerated = ''"
    } else {
        ""
    };
    // Columns that an index merely includes are not part of its key.
    let key = if server_version >= INCLUDED_COLUMNS {
        "AND k.place <= i.indnkeyatts"
    } else {
        ""
    };
    let in_index = format!(
        "FROM pg_catalog.pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) \
         WHERE i.indrelid = c.oid AND i.indisvalid AND k.attnum = a.attnum {key}"
    );
    format!(
        "SELECT c.oid, n.nspname, c.relname, c.relreplident, a.attname, a.atttypid, \
         format_type(a.atttypid, NULL), a.atttypmod, \
         c.relreplident = 'f' OR EXISTS (SELECT 1 {in_index} AND i.indimmediate \
           AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)), \
         (SELECT k.place - 1 {in_index} AND i.indisprimary LIMIT 1) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
           AND NOT a.attisdropped {not_generated} \
         WHERE c.oid IN ({}) ORDER BY c.oid, a.attnum",
        oid_list(relations)
    )
}

fn add_column(tables: &mut HashMap<u32, CatalogTable>, row: &Row) {
    let Some(oid) = column(row, 0).and_then(|oid| oid.parse().ok()) else {
        return;
    };
    let text = |index| column(row, index).unwrap_or_default().to_owned();
    let table = tables.entry(oid).or_insert_with(|| CatalogTable {
        schema: text(1),
        name: text(2),
        replica_identity: match column(row, 3) {
            Some("f") => ReplicaIdentity::Full,
            Some("i") => ReplicaIdentity::Index,
            Some("n") => ReplicaIdentity::Nothing,
            Some(_) | None => ReplicaIdentity::Default,
        },
        columns: Vec::new(),
        unique_keys: Vec::new(),
    });
    let Some(name) = column(row, 4) else { return };
    table.columns.push(Column {
        name: name.to_owned(),
        type_oid: column(row, 5).and_then(|oid| oid.parse().ok()).unwrap_or(0),
        type_name: text(6),
        type_modifier: column(row, 7)
            .and_then(|number| number.parse().ok())
            .unwrap_or(-1),
        value_type: ColumnType::default(),
        excluded: false,
        identity: flag(row, 8),
        key_position: column(row, 9).and_then(|place| place.parse().ok()),
    });
}
