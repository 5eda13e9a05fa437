//! Rules about slots, publications and the rights to make them.

use super::facts::{Facts, TableFacts};
use super::{Finding, shown_bytes};
use crate::postgres::error::Names;
use crate::postgres::publication::{self, Existing, Layout, PublicationPlan, keyed_name};
use crate::postgres::query::{identifier, literal, table_name};
use crate::postgres::slot::{self, HAS_FAILOVER};
use crate::postgres::source::SourceConfig;

/// Tables that are named in one line.
const NAMED_MAX: usize = 5;
/// WAL that a slot which nobody reads may hold before it is told, bytes.
const IDLE_SLOT_BYTES: u64 = 256 << 20;

pub(super) fn judge(config: &SourceConfig, facts: &Facts, names: &Names, found: &mut Vec<Finding>) {
    if let Err(failure) = publication::check_name(&names.publication) {
        found.push(Finding::failed("publication", &failure));
    }
    found.push(publications(config, facts, names));
    found.extend(ownership(config, facts, names));
    found.extend(our_slot(facts, names));
    found.extend(blockers(facts));
    found.extend(idle_slots(facts, names));
    if !config.slot_temporary {
        found.extend(failover(config, facts, names));
    }
}

fn publications(config: &SourceConfig, facts: &Facts, names: &Names) -> Finding {
    const ABOUT: &str = "publication";
    let name = &names.publication;
    match publication::plan(facts.existing, facts.ours, facts.slot.is_some(), names) {
        Err(failure) => Finding::failed(ABOUT, &failure),
        Ok(PublicationPlan::Use(Layout::Pair)) => {
            let keyed = keyed_name(name);
            Finding::ok(ABOUT, format!("{name:?} and {keyed:?} are there"))
        }
        Ok(PublicationPlan::Use(Layout::Single)) => {
            let what = format!("{name:?} was made by somebody else and is used as it stands");
            Finding::ok(ABOUT, what)
        }
        Ok(PublicationPlan::Create) if facts.may_create || facts.superuser => {
            Finding::ok(ABOUT, format!("{name:?} can be made in this database"))
        }
        Ok(PublicationPlan::Create) => {
            let changes = publication::changes(&facts.listed, &config.tables);
            let version = facts.server.version_number;
            let sql = publication::create_sql(name, &facts.listed, &changes, version).join("; ");
            let (user, database) = (identifier(&names.user), identifier(&names.database));
            let what = format!(
                "user {:?} may not make publications in database {:?}",
                names.user, names.database
            );
            let fix = format!(
                "GRANT CREATE ON DATABASE {database} TO {user} (and make it owner of its tables); or as a superuser: {sql}"
            );
            Finding::error(ABOUT, what, fix)
        }
    }
}

/// Only an owner can add a table to a publication.
fn ownership(config: &SourceConfig, facts: &Facts, names: &Names) -> Option<Finding> {
    const ABOUT: &str = "ownership";
    if facts.superuser || facts.existing == Existing::Single {
        return None;
    }
    let is_published = |table: &TableFacts| {
        let listed = facts.listed.iter().find(|listed| listed.oid == table.oid);
        listed.is_some_and(|listed| listed.published)
    };
    let wanted = facts
        .tables
        .iter()
        .filter(|table| !table.unlogged && config.tables.matches(&table.schema, &table.name));
    let foreign: Vec<&TableFacts> = wanted
        .filter(|table| !table.owned && !is_published(table))
        .collect();
    let Some(first) = foreign.first() else {
        return Some(Finding::ok(ABOUT, "every table can be published, or is"));
    };
    let user = identifier(&names.user);
    let what = format!(
        "{} tables belong to other roles and cannot be published by {:?}: {}",
        foreign.len(),
        names.user,
        named(&foreign)
    );
    let table = table_name(&first.schema, &first.name);
    let fix = format!(
        "for each: ALTER TABLE {table} OWNER TO {user}, or GRANT its owner TO {user}, or ALTER PUBLICATION {} ADD TABLE {table} as its owner",
        identifier(&names.publication)
    );
    Some(match facts.existing {
        Existing::None => Finding::error(ABOUT, what, fix),
        Existing::Single | Existing::Pair | Existing::KeyedOnly => {
            Finding::warning(ABOUT, what, fix)
        }
    })
}

/// The first few, and how many more.
fn named(tables: &[&TableFacts]) -> String {
    let names: Vec<String> = tables
        .iter()
        .take(NAMED_MAX)
        .map(|table| format!("{}.{}", table.schema, table.name))
        .collect();
    let more = tables.len().saturating_sub(NAMED_MAX);
    if more == 0 {
        return names.join(", ");
    }
    format!("{} and {more} more", names.join(", "))
}

fn our_slot(facts: &Facts, names: &Names) -> Vec<Finding> {
    const ABOUT: &str = "slot";
    let name = &names.slot;
    let Some(row) = &facts.slot else {
        return vec![Finding::ok(ABOUT, format!("{name:?} can be made"))];
    };
    let quoted = literal(name);
    if let Err(failure) = slot::check_kind(row, names) {
        return vec![Finding::failed(ABOUT, &failure)];
    }
    if let Some(reason) = slot::invalidation(row) {
        let what =
            format!("{name:?} was invalidated by the server: {reason}; what it held is lost");
        let fix = format!(
            "headwater instance resync {} --from now; where headwater has never run with it: SELECT pg_drop_replication_slot({quoted})",
            names.instance
        );
        return vec![Finding::error(ABOUT, what, fix)];
    }
    let confirmed = facts.confirmed().unwrap_or_default();
    match row.active_pid {
        None => {
            let what = format!("{name:?} is there and is used from {confirmed} on");
            vec![Finding::ok(ABOUT, what)]
        }
        Some(pid) => {
            let what = format!("{name:?} is in use by process {pid}, at {confirmed}");
            let fix = format!(
                "nothing, if that is headwater; else SELECT usename, application_name, client_addr FROM pg_stat_activity WHERE pid = {pid}"
            );
            vec![Finding::warning(ABOUT, what, fix)]
        }
    }
}

/// A slot that is still to be made waits for them.
fn blockers(facts: &Facts) -> Option<Finding> {
    let blockers = facts.blockers.as_ref().filter(|_| facts.slot.is_none())?;
    let fix = "wait for them, or SELECT pg_terminate_backend(PID)";
    Some(Finding::warning(
        "open transactions",
        blockers.as_str(),
        fix,
    ))
}

/// Forgotten slots fill the disk that ours is kept on.
fn idle_slots(facts: &Facts, names: &Names) -> Vec<Finding> {
    let forgotten = facts
        .idle_slots
        .iter()
        .filter(|(name, bytes)| *name != names.slot && *bytes >= IDLE_SLOT_BYTES);
    let told = forgotten.map(|(name, bytes)| {
        let what = format!(
            "{name:?} is read by nobody and holds {} of WAL",
            shown_bytes(*bytes)
        );
        let fix = format!(
            "if nobody needs it: SELECT pg_drop_replication_slot({})",
            literal(name)
        );
        Finding::warning("other slots", what, fix)
    });
    told.collect()
}

/// From 17 on; only where standbys are said to have our slot.
fn failover(config: &SourceConfig, facts: &Facts, names: &Names) -> Option<Finding> {
    const ABOUT: &str = "failover";
    if facts.server.version_number < HAS_FAILOVER {
        return config.failover_slot.then(|| {
            let what = "failover_slot is on, and servers before 17 have no failover slots";
            Finding::error(ABOUT, what, "take failover_slot out of the configuration")
        });
    }
    let has_failover = facts.slot.as_ref().map(|slot| slot.failover);
    let on_standbys = "each standby needs sync_replication_slots = on, hot_standby_feedback = on, \
        primary_slot_name and a dbname in primary_conninfo";
    Some(match (config.failover_slot, has_failover) {
        (true, Some(false)) => {
            let what = format!("slot {:?} was made without failover", names.slot);
            let slot = identifier(&names.slot);
            let fix = format!(
                "on a replication connection while headwater is stopped: ALTER_REPLICATION_SLOT {slot} (FAILOVER true)"
            );
            Finding::warning(ABOUT, what, fix)
        }
        (true, None | Some(true)) => Finding::ok(ABOUT, format!("a failover slot; {on_standbys}")),
        (false, Some(true)) => {
            Finding::ok(ABOUT, "the slot is a failover slot, made by somebody else")
        }
        (false, None | Some(false)) => {
            let what = "off: after a failover the slot is gone and a resync is needed; \
                failover_slot = true in the configuration changes that for a new slot";
            Finding::ok(ABOUT, what)
        }
    })
}
