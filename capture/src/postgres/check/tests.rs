//! Each rule on facts made by hand.

use std::collections::HashMap;

use super::facts::TableFacts;
use super::*;
use crate::encode::{FeedFormat, Preset};
use crate::filter::{ColumnFilter, TableFilter};
use crate::limits::CaptureLimits;
use crate::postgres::SourceUrl;
use crate::postgres::publication::{Existing, Listed, RelationKind};
use crate::postgres::slot::SlotRow;
use crate::table::ReplicaIdentity;

fn config() -> SourceConfig {
    SourceConfig {
        url: SourceUrl::parse("postgres://cdc@127.0.0.1/shop").expect("a URL"),
        instance: "shop".into(),
        slot: "headwater_shop".into(),
        slot_temporary: false,
        failover_slot: false,
        publication: "headwater_shop".into(),
        tables: TableFilter::default(),
        columns: ColumnFilter::default(),
        feeds: vec![FeedFormat::DebeziumJson {
            preset: Preset::Flink,
            name: "shop".into(),
        }],
        limits: CaptureLimits::default(),
        drop_publications_at_stop: false,
        first_failure_is_final: true,
        always_binary: false,
        catalog_poll_interval: Duration::from_secs(3),
        heartbeat_interval: None,
        wal_warn_bytes: 1 << 30,
        known_keys: Vec::new(),
    }
}

/// A server as it should be, with one table.
fn facts() -> Facts {
    let settings = [
        ("max_replication_slots", "10"),
        ("max_wal_senders", "10"),
        ("max_slot_wal_keep_size", "20480"),
        ("wal_sender_timeout", "60000"),
        ("idle_replication_slot_timeout", "0"),
    ];
    Facts {
        server: ServerFacts::of_version(180_004, "18.4"),
        settings: settings
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        slots_taken: 0,
        walsenders: 0,
        superuser: false,
        may_create: true,
        encrypted: false,
        slot: None,
        idle_slots: Vec::new(),
        blockers: None,
        existing: Existing::None,
        ours: false,
        listed: vec![Listed {
            oid: 1,
            schema: "public".into(),
            name: "orders".into(),
            kind: RelationKind::Table,
            replica_identity: ReplicaIdentity::Full,
            usable_identity: true,
            parent: None,
            published: false,
            published_keyed: false,
        }],
        tables: vec![TableFacts {
            oid: 1,
            schema: "public".into(),
            name: "orders".into(),
            unlogged: false,
            owned: true,
            toast_bytes: 0,
            rows: Some(10),
        }],
        trial: Trial::Worked(Identity {
            system_id: 7,
            timeline: 1,
            database: "shop".into(),
        }),
    }
}

/// The one finding that is not ok.
fn found(config: &SourceConfig, facts: &Facts) -> Finding {
    let all = findings(config, facts);
    let mut bad = all
        .iter()
        .filter(|finding| finding.severity != Severity::Ok);
    let first = bad
        .next()
        .unwrap_or_else(|| panic!("nothing was found: {all:?}"));
    assert_eq!(bad.next(), None, "{all:?}");
    first.clone()
}

fn is(finding: &Finding, severity: Severity, about: &str, words: &[&str]) {
    let line = finding.to_string();
    assert_eq!(
        (finding.severity, finding.about),
        (severity, about),
        "{line}"
    );
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
}

#[test]
fn a_server_as_it_should_be_has_no_findings() {
    let all = findings(&config(), &facts());
    assert!(
        all.iter().all(|finding| finding.severity == Severity::Ok),
        "{all:?}"
    );
    assert!(warnings(&config(), &facts()).is_empty());
}

#[test]
fn each_setting_is_judged_with_its_statement() {
    let with = |name: &str, value: &str| {
        let mut facts = facts();
        facts.settings.insert(name.into(), value.into());
        found(&config(), &facts)
    };
    let cases = [
        ("max_slot_wal_keep_size", "-1", "no limit"),
        ("max_slot_wal_keep_size", "64", "64.0 MB"),
        ("idle_replication_slot_timeout", "3600", "3600 s"),
        ("wal_sender_timeout", "0", "for ever"),
        ("wal_sender_timeout", "1000", "1000 ms"),
    ];
    for (name, value, word) in cases {
        is(
            &with(name, value),
            Severity::Warning,
            name,
            &[word, "ALTER SYSTEM SET", name],
        );
    }
}

#[test]
fn places_that_are_all_taken_are_an_error_unless_ours_is_among_them() {
    let mut full = facts();
    full.slots_taken = 10;
    is(
        &found(&config(), &full),
        Severity::Error,
        "max_replication_slots",
        &["10", "restart"],
    );
    full.slot = Some(slot());
    let all = findings(&config(), &full);
    assert!(all.iter().all(
        |finding| finding.about != "max_replication_slots" || finding.severity == Severity::Ok
    ));
    let mut full = facts();
    full.walsenders = 10;
    is(
        &found(&config(), &full),
        Severity::Error,
        "max_wal_senders",
        &["pg_stat_replication"],
    );
}

fn slot() -> SlotRow {
    SlotRow {
        plugin: Some("pgoutput".into()),
        logical: true,
        database: Some("shop".into()),
        restart: Some(crate::postgres::position::Lsn(1)),
        ..SlotRow::default()
    }
}

#[test]
fn slots_are_judged_by_their_state() {
    let with = |slot: SlotRow| {
        let mut facts = facts();
        (facts.slot, facts.existing) = (Some(slot), Existing::Pair);
        found(&config(), &facts)
    };
    let lost = SlotRow {
        wal_status: Some("lost".into()),
        ..slot()
    };
    is(
        &with(lost),
        Severity::Error,
        "slot",
        &["max_slot_wal_keep_size", "resync shop"],
    );
    let foreign = SlotRow {
        plugin: Some("wal2json".into()),
        ..slot()
    };
    is(&with(foreign), Severity::Error, "slot", &["wal2json"]);
    let busy = SlotRow {
        active_pid: Some(42),
        ..slot()
    };
    is(
        &with(busy),
        Severity::Warning,
        "slot",
        &["42", "pg_stat_activity"],
    );
    let mut forgotten = facts();
    forgotten.idle_slots = vec![("old".into(), 1 << 30), ("young".into(), 1)];
    is(
        &found(&config(), &forgotten),
        Severity::Warning,
        "other slots",
        &["old", "1.0 GB", "pg_drop_replication_slot('old')"],
    );
}

#[test]
fn rights_are_named_with_what_gives_them() {
    let mut weak = facts();
    weak.may_create = false;
    is(
        &found(&config(), &weak),
        Severity::Error,
        "publication",
        &[
            "GRANT CREATE ON DATABASE \"shop\" TO \"cdc\"",
            "CREATE PUBLICATION",
        ],
    );
    let mut foreign = facts();
    foreign.tables[0].owned = false;
    is(
        &found(&config(), &foreign),
        Severity::Error,
        "ownership",
        &["public.orders", "OWNER TO \"cdc\""],
    );
    foreign.superuser = true;
    assert!(
        findings(&config(), &foreign)
            .iter()
            .all(|finding| finding.severity == Severity::Ok)
    );
    let mut refused = facts();
    refused.trial = Trial::Failed(Failure::refused("user \"cdc\" lacks a privilege", "x"));
    is(
        &found(&config(), &refused),
        Severity::Error,
        "replication",
        &["ALTER ROLE \"cdc\" REPLICATION"],
    );
}

#[test]
fn tables_are_judged_one_by_one() {
    let mut keyless = facts();
    keyless.listed[0].usable_identity = false;
    keyless.listed[0].replica_identity = ReplicaIdentity::Default;
    let words = [
        "public.orders: no primary key",
        "ALTER TABLE \"public\".\"orders\" REPLICA IDENTITY FULL",
    ];
    is(
        &found(&config(), &keyless),
        Severity::Warning,
        "table",
        &words,
    );
    let mut keyed = facts();
    keyed.listed[0].replica_identity = ReplicaIdentity::Default;
    is(
        &found(&config(), &keyed),
        Severity::Warning,
        "replica identity",
        &["Flink", words[1]],
    );
    assert_eq!(
        warnings(&config(), &keyed).len(),
        1,
        "one line for all tables"
    );
    let mut large = facts();
    large.tables[0].toast_bytes = 50 << 20;
    is(
        &found(&config(), &large),
        Severity::Warning,
        "large rows",
        &["5.0 MB"],
    );
    let mut unlogged = facts();
    unlogged.tables[0].unlogged = true;
    is(
        &found(&config(), &unlogged),
        Severity::Warning,
        "unlogged",
        &["SET LOGGED"],
    );
    let mut none = facts();
    none.listed = Vec::new();
    is(
        &found(&config(), &none),
        Severity::Warning,
        "table",
        &["no table is captured"],
    );
}

#[test]
fn only_a_connection_over_the_network_needs_protection() {
    let mut remote = config();
    remote.url = SourceUrl::parse("postgres://cdc@db.example.org/shop").expect("a URL");
    is(
        &found(&remote, &facts()),
        Severity::Warning,
        "tls",
        &["in clear", "verify-full"],
    );
    let encrypted = Facts {
        encrypted: true,
        ..facts()
    };
    is(
        &found(&remote, &encrypted),
        Severity::Warning,
        "tls",
        &["not checked"],
    );
    remote.url =
        SourceUrl::parse("postgres://cdc@db.example.org/shop?sslmode=verify-full").expect("a URL");
    assert!(
        findings(&remote, &encrypted)
            .iter()
            .all(|finding| finding.severity == Severity::Ok)
    );
}

#[test]
fn what_an_old_version_lacks_is_named() {
    let of = |number, version| {
        let mut facts = Facts {
            server: ServerFacts::of_version(number, version),
            ..facts()
        };
        facts.settings = HashMap::from([
            ("max_replication_slots".into(), "10".into()),
            ("max_wal_senders".into(), "10".into()),
        ]);
        facts
    };
    is(
        &found(&config(), &of(100_023, "10.23")),
        Severity::Warning,
        "version",
        &["10.23", "TRUNCATE", "partitioned", "failover"],
    );
    let all = findings(&config(), &of(150_018, "15.18"));
    assert!(
        all.iter()
            .any(|finding| finding.what.contains("failover slots (17)")
                && !finding.what.contains("TRUNCATE"))
    );
    let mut wants = config();
    wants.failover_slot = true;
    is(
        &found(&wants, &of(150_018, "15.18")),
        Severity::Error,
        "failover",
        &["before 17"],
    );
}
