//! Rules about the server: version, settings, protection of the connection, places for slots and walsenders.

use super::facts::{Facts, Trial};
use super::{Finding, shown_bytes};
use crate::postgres::error::{FailureClass, Names};
use crate::postgres::query::{identifier, literal};
use crate::postgres::source::SourceConfig;
use crate::postgres::url::{Host, SslMode};

/// `max_slot_wal_keep_size` below which a short stop of headwater loses the slot.
const KEEP_BYTES_MIN: u64 = 1 << 30;
/// `wal_sender_timeout` below which a busy machine is cut off, ms.
const WAL_SENDER_TIMEOUT_MIN_MS: u64 = 5_000;

/// What a version lacks, the newest first: the version (as `server_version_num`) that has it, and what is then missing.
const FEATURES: [(u32, &str); 9] = [
    (
        170_000,
        "failover slots (17): after a failover the slot is gone and a resync is needed",
    ),
    (
        160_000,
        "notice of ALTER SCHEMA RENAME (16): its tables keep their topics until the next connection",
    ),
    (
        150_000,
        "row filters and column lists of publications (15): they cannot be used",
    ),
    (
        150_000,
        "notice of a partition attached or detached, in a publication with publish_via_partition_root (15): it is seen at \
         the next connection",
    ),
    (140_000, "logical messages in the stream (14)"),
    (
        140_000,
        "rows in binary form (14): a row whose text the server cannot make stops capture",
    ),
    (
        130_000,
        "max_slot_wal_keep_size (13): a stopped headwater holds WAL without limit",
    ),
    (
        130_000,
        "partitioned tables in publications (13): rows of a new partition come once it is published",
    ),
    (
        110_000,
        "TRUNCATE in the stream (11): a truncated table is not noticed",
    ),
];

pub(super) fn judge(config: &SourceConfig, facts: &Facts, names: &Names, found: &mut Vec<Finding>) {
    let server = &facts.server;
    if let Err(failure) = server.check(names) {
        found.push(Finding::failed("server", &failure));
    } else {
        found.push(Finding::ok("wal_level", "logical, on a primary"));
    }
    found.push(version(facts));
    found.push(protection(config, facts));
    found.push(walsender_timeout(facts));
    if !config.slot_temporary {
        found.extend(keep_size(facts));
        found.extend(idle_timeout(facts));
    }
    found.extend(trial(facts, names));
    found.extend(places(facts));
}

fn version(facts: &Facts) -> Finding {
    let number = facts.server.version_number;
    let missing: Vec<&str> = FEATURES
        .iter()
        .filter(|(since, _)| number < *since)
        .map(|(_, what)| *what)
        .collect();
    let version = &facts.server.version;
    if missing.is_empty() {
        return Finding::ok("version", format!("PostgreSQL {version}"));
    }
    let told = format!(
        "PostgreSQL {version}, which does not have: {}",
        missing.join("; ")
    );
    if number < 130_000 {
        Finding::warning("version", told, "upgrade the server where this matters")
    } else {
        Finding::ok("version", told)
    }
}

/// A loopback address or a Unix socket needs no TLS.
fn protection(config: &SourceConfig, facts: &Facts) -> Finding {
    const FIX: &str = "sslmode=verify-full (with sslrootcert=FILE) in the source's URL";
    let is_local = match &config.url.host {
        Host::Unix(_) => true,
        Host::Tcp(host) => {
            let address: Result<std::net::IpAddr, _> = host.parse();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    };
    let is_verified = match config.url.tls.mode {
        SslMode::VerifyFull | SslMode::VerifyCa => true,
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => false,
    };
    if is_local {
        Finding::ok("tls", "the connection stays on this machine")
    } else if !facts.encrypted {
        let what = "rows go over the network in clear, and anybody on the way can change them";
        Finding::warning("tls", what, FIX)
    } else if !is_verified {
        let what = "TLS, but the server's certificate is not checked: anybody on the way can be the server";
        Finding::warning("tls", what, FIX)
    } else {
        Finding::ok("tls", "TLS, and the server's certificate is checked")
    }
}

fn walsender_timeout(facts: &Facts) -> Finding {
    const ABOUT: &str = "wal_sender_timeout";
    const FIX: &str = "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf()";
    match facts.setting(ABOUT) {
        Some(0) => {
            let what = "0: the slot stays in use for ever after a connection that just vanished";
            Finding::warning(ABOUT, what, FIX)
        }
        Some(ms) if ms < WAL_SENDER_TIMEOUT_MIN_MS => {
            let what = format!("{ms} ms: a busy machine or network is cut off");
            Finding::warning(ABOUT, what, FIX)
        }
        Some(ms) => Finding::ok(ABOUT, format!("{ms} ms")),
        None => Finding::ok(ABOUT, "unknown"),
    }
}

/// From 13 on.
fn keep_size(facts: &Facts) -> Option<Finding> {
    const ABOUT: &str = "max_slot_wal_keep_size";
    facts.settings.get(ABOUT)?;
    let Some(bytes) = facts.keep_bytes() else {
        let what = "no limit: while headwater is stopped or paused the server keeps all its WAL, until its disk is full";
        let fix = "ALTER SYSTEM SET max_slot_wal_keep_size = '20GB' (what the disk can spare); SELECT pg_reload_conf()";
        return Some(Finding::warning(ABOUT, what, fix));
    };
    let shown = shown_bytes(bytes);
    if bytes >= KEEP_BYTES_MIN {
        return Some(Finding::ok(ABOUT, shown));
    }
    let what = format!(
        "{shown}: while headwater is away, the slot and all changes since are lost after that much WAL"
    );
    let fix = "ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf()";
    Some(Finding::warning(ABOUT, what, fix))
}

/// From 18 on.
fn idle_timeout(facts: &Facts) -> Option<Finding> {
    const ABOUT: &str = "idle_replication_slot_timeout";
    let seconds = facts.setting(ABOUT)?;
    if seconds == 0 {
        return Some(Finding::ok(ABOUT, "off"));
    }
    let what = format!(
        "{seconds} s: a stop or pause of headwater longer than this loses the slot and all changes since"
    );
    let fix = "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()";
    Some(Finding::warning(ABOUT, what, fix))
}

fn trial(facts: &Facts, names: &Names) -> Option<Finding> {
    const ABOUT: &str = "replication";
    match &facts.trial {
        Trial::NotMade => None,
        Trial::Worked(identity) => {
            let system = identity.system_id;
            let what = format!("user {:?} may replicate (system {system})", names.user);
            Some(Finding::ok(ABOUT, what))
        }
        Trial::Failed(failure) => {
            let mut finding = Finding::failed(ABOUT, failure);
            if failure.class == FailureClass::Refused && finding.what.contains("lacks a privilege")
            {
                let user = identifier(&names.user);
                let role = literal(&names.user);
                finding.fix = Some(format!(
                    "ALTER ROLE {user} REPLICATION (Amazon RDS: GRANT rds_replication TO {user}); \
                     SELECT rolreplication FROM pg_roles WHERE rolname = {role}"
                ));
            }
            Some(finding)
        }
    }
}

/// Slots and walsenders that are free. Ours count as free.
fn places(facts: &Facts) -> [Finding; 2] {
    let (has_slot, is_read) = match &facts.slot {
        Some(slot) => (1, u64::from(slot.active_pid.is_some())),
        None => (0, 0),
    };
    let judged = |about: &'static str, taken: u64, ours: u64, list: &str| {
        let most = facts.setting(about).unwrap_or_default();
        let others = taken.saturating_sub(ours);
        if others < most {
            return Finding::ok(about, format!("{most}, of which others use {others}"));
        }
        let what = format!("{most}, and all are in use");
        let fix = format!(
            "ALTER SYSTEM SET {about} = {}, then restart PostgreSQL; or end what nobody needs: {list}",
            most + 4
        );
        Finding::error(about, what, fix)
    };
    [
        judged(
            "max_replication_slots",
            facts.slots_taken,
            has_slot,
            "SELECT slot_name, active FROM pg_replication_slots",
        ),
        judged(
            "max_wal_senders",
            facts.walsenders,
            is_read,
            "SELECT pid, usename, application_name FROM pg_stat_replication",
        ),
    ]
}
