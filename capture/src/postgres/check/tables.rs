//! Rules about tables: what identifies old rows, what is never in the stream, what is too large for clients.

use super::facts::{Facts, TableFacts};
use super::{Finding, shown_bytes};
use crate::encode::{FeedFormat, Preset};
use crate::postgres::publication::{Existing, Listed};
use crate::postgres::query::{identifier, table_name};
use crate::postgres::source::SourceConfig;
use crate::table::ReplicaIdentity;

/// Average bytes of a row's large values from which on clients need other settings than their defaults.
const ROW_BYTES: u64 = 1 << 20;

/// What the feeds do with a row whose old values are not sent; `None`: nothing is lost by that.
fn wants_full(config: &SourceConfig) -> Option<&'static str> {
    let feeds = &config.feeds;
    if feeds.iter().any(FeedFormat::shows_full_old_rows) {
        return Some(
            "the feed dts shows of old rows the key only, other values as EmptyObject NONE, which the Java demo ends at",
        );
    }
    let is_flink = |feed: &FeedFormat| {
        matches!(
            feed,
            FeedFormat::DebeziumJson {
                preset: Preset::Flink,
                ..
            }
        )
    };
    feeds.iter().any(is_flink).then_some(
        "updates and deletes come with before = null, at which Flink's debezium-json stops (unless it is read as upsert)",
    )
}

fn full_statement(table: &Listed) -> String {
    format!("ALTER TABLE {} REPLICA IDENTITY FULL", table.quoted())
}

/// What a table without usable identity loses, and its statement.
pub(crate) fn keyless(table: &Listed) -> Option<(String, String)> {
    if table.usable_identity {
        return None;
    }
    let cause = match table.replica_identity {
        ReplicaIdentity::Nothing => "replica identity is NOTHING",
        ReplicaIdentity::Index => "its replica identity index is gone",
        ReplicaIdentity::Default | ReplicaIdentity::Full => "no primary key",
    };
    let what = format!("{cause}: only inserts are captured");
    Some((what, full_statement(table)))
}

fn not_full<'a>(config: &'a SourceConfig, facts: &'a Facts) -> impl Iterator<Item = &'a Listed> {
    captured(config, facts)
        .filter(|table| table.usable_identity && table.replica_identity != ReplicaIdentity::Full)
}

/// Tables with rows of their own that the filter matches.
fn captured<'a>(config: &'a SourceConfig, facts: &'a Facts) -> impl Iterator<Item = &'a Listed> {
    facts.listed.iter().filter(|table| {
        config.tables.matches(&table.schema, &table.name) && !table.is_partitioned()
    })
}

pub(super) fn judge(config: &SourceConfig, facts: &Facts, found: &mut Vec<Finding>) {
    let before = found.len();
    let mut count = 0_usize;
    for table in captured(config, facts) {
        count += 1;
        if let Some((what, fix)) = keyless(table) {
            let what = format!("{}.{}: {what}", table.schema, table.name);
            found.push(Finding::warning("table", what, fix));
        }
        if facts.existing == Existing::Single && !table.published {
            let what = format!("{}.{}: not in the publication", table.schema, table.name);
            let publication = identifier(&config.publication);
            let fix = format!(
                "ALTER PUBLICATION {publication} ADD TABLE {}",
                table.quoted()
            );
            found.push(Finding::warning("table", what, fix));
        }
    }
    if let Some(why) = wants_full(config) {
        found.extend(not_full(config, facts).map(|table| {
            let what = format!("{}.{}: {why}", table.schema, table.name);
            Finding::warning("replica identity", what, full_statement(table))
        }));
    }
    found.extend(unusual(config, facts));
    if count == 0 {
        let what = "no table is captured now; those that appear later are";
        found.push(Finding::warning("table", what, "check the table patterns"));
    } else if found.len() == before {
        found.push(Finding::ok(
            "table",
            format!("{count} tables, all as they should be"),
        ));
    }
}

/// Unlogged tables, and tables with large values.
fn unusual(config: &SourceConfig, facts: &Facts) -> impl Iterator<Item = Finding> {
    let matched = facts
        .tables
        .iter()
        .filter(|table| config.tables.matches(&table.schema, &table.name));
    matched.filter_map(|table| unlogged(table).or_else(|| large_rows(table)))
}

fn unlogged(table: &TableFacts) -> Option<Finding> {
    let TableFacts { schema, name, .. } = table;
    table.unlogged.then(|| {
        let what = format!("{schema}.{name}: unlogged, so its changes are in no change log");
        let fix = format!("ALTER TABLE {} SET LOGGED", table_name(schema, name));
        Finding::warning("unlogged", what, fix)
    })
}

fn large_rows(table: &TableFacts) -> Option<Finding> {
    let TableFacts { schema, name, .. } = table;
    let average = table.toast_bytes.checked_div(table.rows?)?;
    (average >= ROW_BYTES).then(|| {
        let shown = shown_bytes(average);
        let what = format!("{schema}.{name}: rows hold {shown} of large values on average");
        let fix = "let clients fetch that much: docs/clients.md; or leave a column out ([instance.columns] exclude)";
        Finding::warning("large rows", what, fix)
    })
}

/// One line for a status, whose tables have the rest with them.
pub(super) fn summary(config: &SourceConfig, facts: &Facts) -> Option<String> {
    let why = wants_full(config)?;
    // The feed dts warns table by table.
    if config.feeds.iter().any(FeedFormat::shows_full_old_rows) {
        return None;
    }
    let count = not_full(config, facts).count();
    (count > 0).then(|| {
        format!(
            "replica identity: {count} tables are not REPLICA IDENTITY FULL: {why}; headwater check source lists the statements"
        )
    })
}
