//! From nothing to a replication stream: connections, checks, publications, slot.
//!
//! ```text
//! catalog connection -> server facts -> slot there? -> publications -> tables
//!   -> replication connection -> IDENTIFY_SYSTEM, same server? -> slot: create or check -> START_REPLICATION
//! ```
//!
//! The order matters: a slot decodes with the catalog as of each change, so the publications come first.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::catalog::{self, Described};
use super::handover::Handover;
use super::worker::{Ended, Progress, Shared, Warned};
use crate::encode::FeedFormat;
use crate::postgres::assembler::{AssembleError, Assembler, AssemblerConfig};
use crate::postgres::check;
use crate::postgres::connection::{Connection, Purpose};
use crate::postgres::error::{ConnectionError, Failure, FailureClass, Names, SqlState};
use crate::postgres::position::Lsn;
use crate::postgres::preflight::{Identity, ServerFacts, switch_point};
use crate::postgres::publication::{self, Layout, PublicationPlan};
use crate::postgres::query::{column, literal};
use crate::postgres::slot::{self, SlotKind, SlotPlan, SlotRow, StartOptions};
use crate::postgres::state::SourceState;
use crate::postgres::status::{ServerInfo, update};

const QUERY_LIMIT: Duration = Duration::from_secs(40);
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often the transactions that a new slot waits for are looked up.
const BLOCKERS_INTERVAL: Duration = Duration::from_secs(1);
/// For taking back the creation of a slot when the source is stopped meanwhile.
const CANCEL_LIMIT: Duration = Duration::from_millis(300);

/// A server that streams to us.
pub(super) struct Ready {
    pub(super) replication: Connection,
    pub(super) catalog: Connection,
    pub(super) facts: ServerFacts,
}

/// Both connections, before the slot is touched.
pub(super) struct Opened {
    pub(super) replication: Connection,
    pub(super) catalog: Connection,
    facts: ServerFacts,
    pub(super) identity: Identity,
    layout: Layout,
    tables: Vec<Described>,
}

/// Opens a session. Meanwhile what is ready is handed over.
pub(super) async fn open(
    shared: &Shared,
    handover: &mut Handover,
    progress: &mut Progress,
) -> Result<Ready, Ended> {
    let captured_end = progress.captured_end(handover.assembler.as_ref());
    let known = Known {
        server: progress.server,
        end: progress.assembled_end(handover.assembler.as_ref()),
    };
    let mut opened = tokio::select! {
        biased;
        () = shared.stopped() => return Err(Ended::Stopped),
        never = handover.serve() => match never {},
        // Boxed: the future of a whole login is large.
        opened = Box::pin(open_connections(shared, known)) => opened?,
    };
    let start = open_slot(shared, &mut opened, (captured_end, &*progress)).await?;
    let Opened {
        mut replication,
        catalog,
        facts,
        identity,
        layout,
        tables,
    } = opened;
    prepare_assembler(shared, handover, (&identity, &facts, start), tables)?;
    if let Some(Promoted { before, now }) = was_promoted(progress.server, &identity) {
        let instance = &shared.names.instance;
        tracing::info!(
            instance,
            before,
            now,
            "the server was promoted to another timeline: capture goes on"
        );
    }
    progress.server = Some((identity.system_id, identity.timeline));
    progress.walsender_pid = Some(replication.backend_pid());
    let publications = publication::names_of(layout, &shared.names.publication);
    let wanted = shared.config.feeds.iter().any(FeedFormat::carries_messages);
    let messages = slot::sends_messages(wanted, facts.version_number);
    progress.server_version = facts.version_number;
    let options = StartOptions {
        messages,
        binary: progress.form.is_binary(),
    };
    let command = slot::start_sql(&shared.names.slot, start, &publications, options);
    tokio::select! {
        biased;
        () = shared.stopped() => return Err(Ended::Stopped),
        never = handover.serve() => match never {},
        started = replication.copy_both(&command, START_LIMIT) => {
            started.map_err(|error| shared.failure(&error))?;
        }
    }
    Ok(Ready {
        replication,
        catalog,
        facts,
    })
}

/// What is captured so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// System and timeline that it is of.
    server: Option<(u64, u32)>,
    /// Up to where; `None`: nothing is.
    end: Option<u64>,
}

pub(super) async fn open_connections(shared: &Shared, known: Known) -> Result<Opened, Failure> {
    let failure = |error: ConnectionError| shared.failure(&error);
    publication::check_name(&shared.names.publication)?;
    let mut catalog = connect(shared, Purpose::Catalog).await?;
    let facts = ServerFacts::ask(&mut catalog).await.map_err(failure)?;
    check_facts(&facts, known, &shared.names)?;
    look_round(shared, &mut catalog).await?;
    let slot = find_slot(shared, &mut catalog, &facts).await?;
    let has_history = known.end.is_some() || slot.is_some();
    let layout = open_publications(shared, &mut catalog, &facts, (has_history, known.end)).await?;
    let tables = catalog::refresh(shared, &mut catalog)
        .await
        .map_err(failure)?;
    let mut replication = connect(shared, Purpose::Replication).await?;
    let identity = Identity::ask(&mut replication).await.map_err(failure)?;
    check_identity(shared, &mut replication, &identity, known).await?;
    let server = ServerInfo {
        version: facts.version.clone(),
        system_id: identity.system_id,
        timeline: identity.timeline,
        database: identity.database.clone(),
    };
    shared.show(|status| update(&mut status.server, Some(server)));
    Ok(Opened {
        replication,
        catalog,
        facts,
        identity,
        layout,
        tables,
    })
}

pub(super) async fn connect(shared: &Shared, purpose: Purpose) -> Result<Connection, Failure> {
    let connected =
        Connection::connect(&shared.config.url, &shared.application_name, purpose).await;
    connected.map_err(|error| shared.failure(&error))
}

pub(super) async fn find_slot(
    shared: &Shared,
    catalog: &mut Connection,
    facts: &ServerFacts,
) -> Result<Option<SlotRow>, Failure> {
    let sql = slot::select_sql(&shared.names.slot, facts.version_number);
    let rows = catalog
        .query(&sql, QUERY_LIMIT)
        .await
        .map_err(|error| shared.failure(&error))?;
    Ok(rows.first().map(SlotRow::parse))
}

/// Makes or finds the publications.
async fn open_publications(
    shared: &Shared,
    catalog: &mut Connection,
    facts: &ServerFacts,
    (has_history, captured_end): (bool, Option<u64>),
) -> Result<Layout, Failure> {
    let names = &shared.names;
    let sql = publication::existing_sql(&names.publication);
    let rows = catalog
        .query(&sql, QUERY_LIMIT)
        .await
        .map_err(|error| shared.failure(&error))?;
    let (existing, ours) = publication::parse_existing(rows.first().unwrap_or(&Vec::new()));
    let plan = publication::plan(existing, ours, has_history, names)?;
    let layout = match plan {
        PublicationPlan::Create => Layout::Pair,
        PublicationPlan::Use(layout) => layout,
    };
    {
        let mut keeper = shared.keeper.lock().await;
        keeper.connected();
        keeper.layout = Some(layout);
        keeper.server_version = facts.version_number;
        let feeds = &shared.config.feeds;
        keeper.wants_full_old_rows = feeds.iter().any(FeedFormat::shows_full_old_rows);
        keeper.last_lsn = keeper.last_lsn.or(captured_end.map(Lsn));
    }
    if plan == PublicationPlan::Create {
        create_publications(shared, catalog, facts).await?;
    }
    Ok(layout)
}

async fn create_publications(
    shared: &Shared,
    catalog: &mut Connection,
    facts: &ServerFacts,
) -> Result<(), Failure> {
    let names = &shared.names;
    let mut keeper = shared.keeper.lock().await;
    let listed = catalog::list_for_creation(shared, catalog, &keeper).await;
    let (tables, changes) = listed.map_err(|error| shared.failure(&error))?;
    let statements =
        publication::create_sql(&names.publication, &tables, &changes, facts.version_number);
    match catalog.query(&statements.join("; "), QUERY_LIMIT).await {
        Ok(_) => {
            keeper.made_by_us = true;
            Ok(())
        }
        Err(ConnectionError::Server(error))
            if error.sqlstate == SqlState::INSUFFICIENT_PRIVILEGE =>
        {
            Err(Failure::refused(
                format!(
                    "user \"{}\" may not make the publications: {}",
                    names.user, error.message
                ),
                format!(
                    "as a superuser in database {}: {};",
                    names.database,
                    statements.join("; ")
                ),
            ))
        }
        Err(error) => Err(shared.failure(&error)),
    }
}

/// A standby where changes were captured before is a failover under way: its promotion ends that, not a person.
fn check_facts(facts: &ServerFacts, known: Known, names: &Names) -> Result<(), Failure> {
    if known.end.is_some() && facts.is_standby() {
        let server = &names.server;
        return Err(Failure::retry(format!(
            "{server} is a standby: it is promoted, or the address leads to the primary again, or the source's URL has to name it"
        )));
    }
    facts.check(names)
}

/// The server that the stored position is of; perhaps promoted since, if nothing of ours was left behind.
async fn check_identity(
    shared: &Shared,
    replication: &mut Connection,
    identity: &Identity,
    known: Known,
) -> Result<(), Failure> {
    let (Some((system_id, timeline)), Some(end)) = (known.server, known.end) else {
        return Ok(());
    };
    let server = &shared.names.server;
    let resync = |reason| Err(Failure::needs_resync(reason, &shared.names));
    if identity.system_id != system_id {
        let now = identity.system_id;
        return resync(format!(
            "{server} is another server: system identifier {now}, captured so far was {system_id}"
        ));
    }
    if identity.timeline < timeline {
        let now = identity.timeline;
        return resync(format!(
            "{server} is on timeline {now}, behind timeline {timeline} that was captured"
        ));
    }
    if identity.timeline == timeline {
        return Ok(());
    }
    let command = format!("TIMELINE_HISTORY {}", identity.timeline);
    let rows = replication
        .query(&command, QUERY_LIMIT)
        .await
        .map_err(|e| shared.failure(&e))?;
    let history = rows
        .first()
        .and_then(|row| column(row, 1))
        .unwrap_or_default();
    match switch_point(history, timeline) {
        Some(switch) if end <= switch => Ok(()),
        Some(switch) => resync(format!(
            "{server} was promoted at {}, and changes up to {} were captured that it never had",
            Lsn(switch),
            Lsn(end)
        )),
        None => resync(format!(
            "{server} does not descend from timeline {timeline}"
        )),
    }
}

/// Makes or checks the slot, and gives the LSN to start from.
async fn open_slot(
    shared: &Shared,
    opened: &mut Opened,
    (captured_end, progress): (Option<u64>, &Progress),
) -> Result<u64, Ended> {
    let names = &shared.names;
    let row = find_slot(shared, &mut opened.catalog, &opened.facts).await?;
    let temporary = shared.config.slot_temporary;
    let plan = slot::plan(row.as_ref(), captured_end, temporary, names).map_err(|failure| {
        let promoted = was_promoted(progress.server, &opened.identity);
        match promoted.filter(|_| row.is_none() && !temporary) {
            Some(Promoted { before, now }) => Failure {
                reason: format!(
                    "{}: {} was promoted (timeline {before} to {now}), and standbys are given the slot with failover_slot \
                     only (PostgreSQL 17 and later)",
                    failure.reason, names.server
                ),
                ..failure
            },
            None => failure,
        }
    });
    match plan? {
        SlotPlan::StartAt(lsn) => Ok(lsn),
        SlotPlan::Create => create_slot(shared, opened).await,
        SlotPlan::Busy { pid } => {
            if Some(pid) == progress.walsender_pid {
                end_ghost(shared, &mut opened.catalog, pid).await;
            }
            Err(Failure::retry(format!("slot \"{}\" is active for PID {pid}", names.slot)).into())
        }
    }
}

/// A standby that became the primary since changes were captured.
struct Promoted {
    before: u32,
    now: u32,
}

fn was_promoted(known: Option<(u64, u32)>, identity: &Identity) -> Option<Promoted> {
    let (system_id, before) = known?;
    let now = identity.timeline;
    (system_id == identity.system_id && before < now).then_some(Promoted { before, now })
}

/// Our own last walsender has not noticed that its connection is gone. Nobody else's is touched.
pub(super) async fn end_ghost(shared: &Shared, catalog: &mut Connection, pid: i32) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE pid = {pid} AND usename = current_user AND application_name = {}",
        literal(&shared.application_name)
    );
    // Without the right to it, the server's own timeout ends the process later.
    drop(catalog.query(&sql, QUERY_LIMIT).await);
}

/// The server answers when all transactions that were open have ended; until then it is shown which.
pub(super) async fn create_slot(shared: &Shared, opened: &mut Opened) -> Result<u64, Ended> {
    let Opened {
        replication,
        catalog,
        facts,
        ..
    } = opened;
    let command = create_command(shared, facts)?;
    let pid = replication.backend_pid();
    replication
        .queue_query(&command)
        .map_err(|error| shared.failure(&error))?;
    let mut creation = Box::pin(replication.rows());
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => {
                // A slot made after we are gone would hold the server's WAL for nobody.
                let cancel = format!("SELECT pg_cancel_backend({pid})");
                drop(catalog.query(&cancel, CANCEL_LIMIT).await);
                drop(timeout(CANCEL_LIMIT, creation).await);
                return Err(Ended::Stopped);
            }
            created = &mut creation => {
                let rows = created.map_err(|error| shared.failure(&error))?;
                let point = rows.first().and_then(|row| column(row, 1)?.parse::<Lsn>().ok());
                let unreadable = || Failure::retry("the answer to CREATE_REPLICATION_SLOT is not understood");
                return Ok(point.ok_or_else(unreadable)?.0);
            }
            () = sleep(BLOCKERS_INTERVAL) => {
                if let Ok(rows) = catalog.query(slot::BLOCKERS_SQL, QUERY_LIMIT).await {
                    shared.enter(SourceState::WaitingForSlot { reason: slot::blockers_text(&rows) });
                }
            }
        }
    }
}

fn create_command(shared: &Shared, facts: &ServerFacts) -> Result<String, Failure> {
    let config = &shared.config;
    let version = facts.version_number;
    let kind = match (config.slot_temporary, config.failover_slot) {
        (true, _) => SlotKind::Temporary,
        (false, false) => SlotKind::Durable,
        (false, true) if version >= slot::HAS_FAILOVER => SlotKind::Failover,
        (false, true) => {
            let reason = format!(
                "failover_slot is on, and PostgreSQL {} has no failover slots (17 and later have)",
                facts.version
            );
            return Err(Failure::misconfigured(
                reason,
                "take failover_slot out of the configuration",
            ));
        }
    };
    Ok(slot::create_sql(&shared.names.slot, kind, version))
}

/// Shows what is not in order although capture can go on.
async fn look_round(shared: &Shared, catalog: &mut Connection) -> Result<(), Failure> {
    let facts = check::Facts::gather(&shared.config, catalog).await;
    let facts = facts.map_err(|error| shared.failure(&error))?;
    shared.warn(Warned::Checks, check::warnings(&shared.config, &facts));
    Ok(())
}

/// The first session makes the assembler; later ones tell it what may have changed.
fn prepare_assembler(
    shared: &Shared,
    handover: &mut Handover,
    (identity, facts, start): (&Identity, &ServerFacts, u64),
    tables: Vec<Described>,
) -> Result<(), Failure> {
    let config = &shared.config;
    let assembler = handover.assembler.get_or_insert_with(|| {
        let config = AssemblerConfig {
            system_id: identity.system_id,
            timeline: identity.timeline,
            database: identity.database.clone(),
            server_version: facts.version.clone(),
            feeds: config.feeds.clone(),
            tables: config.tables.clone(),
            columns: config.columns.clone(),
            known_keys: config.known_keys.clone(),
            limits: config.limits.clone(),
        };
        Assembler::new(config, start)
    });
    assembler.set_timeline(identity.timeline);
    assembler.set_server_version(&facts.version);
    announce(assembler, tables).map_err(|error| assemble_failure(&error, &shared.names))
}

/// Tells the assembler of tables that the catalog shows.
pub(super) fn announce(
    assembler: &mut Assembler,
    tables: Vec<Described>,
) -> Result<(), AssembleError> {
    for (relation, table) in tables {
        if let Some(table) = table {
            assembler.announce(relation, table)?;
        }
    }
    Ok(())
}

/// What it means that the stream cannot be assembled.
pub(super) fn assemble_failure(error: &AssembleError, names: &Names) -> Failure {
    match error {
        AssembleError::Malformed(_) | AssembleError::OutOfPlace { .. } => {
            Failure::retry(error.to_string())
        }
        AssembleError::RecordTooLarge { .. } => Failure {
            class: FailureClass::RecordTooLarge,
            reason: error.to_string(),
            fix: "raise record_bytes_max, set oversize = \"omit\", or exclude the table or column, and start again"
                .to_owned(),
        },
        AssembleError::Unreadable { commit_lsn, .. } => {
            let fix = "a later version of headwater may read it";
            Failure::row_unreadable(error.to_string(), fix, (commit_lsn.0, names))
        }
        AssembleError::TooManyRelations { .. } => {
            Failure::misconfigured(error.to_string(), "include fewer tables")
        }
    }
}

/// Removes the publications that this source made.
pub(super) async fn drop_publications(shared: &Shared) {
    if !shared.keeper.lock().await.made_by_us {
        return;
    }
    let dropped = async {
        let Shared {
            config,
            application_name,
            names,
            ..
        } = shared;
        let mut connection =
            Connection::connect(&config.url, application_name, Purpose::Catalog).await?;
        connection
            .query(&publication::drop_sql(&names.publication), QUERY_LIMIT)
            .await?;
        connection.close(CANCEL_LIMIT).await;
        Ok::<(), ConnectionError>(())
    };
    if let Err(error) = Box::pin(dropped).await {
        tracing::info!(instance = shared.names.instance, %error, "publications stay at the server");
    }
}
