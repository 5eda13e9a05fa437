//! What the catalog poll remembers between two looks. Pure.

use std::collections::{HashMap, HashSet};

use crate::postgres::check::tables::keyless;
use crate::postgres::position::Lsn;
use crate::postgres::publication::{Layout, Listed};
use crate::postgres::query::identifier;
use crate::postgres::status::TableStatus;
use crate::table::ReplicaIdentity;

/// Polls that a statement which the server refused is left alone: it stands in the server's log each time.
const POLLS_AFTER_REFUSAL: u32 = 20;
/// Tables whose past is remembered for a warning.
const NOTES_MAX: usize = 10_000;

/// One look at the catalog.
#[derive(Debug)]
pub(super) struct Listing {
    /// Before the look: what is not in it was committed later.
    pub(super) lsn: Lsn,
    /// The server's clock at that moment, ms since 1970.
    pub(super) time_ms: i64,
    pub(super) tables: Vec<Listed>,
}

/// Memory of one source's polls.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Our publications, once they are known.
    pub(super) layout: Option<Layout>,
    pub(super) server_version: u32,
    /// We made the publications in this life.
    pub(super) made_by_us: bool,
    /// LSN of the last look: what was there then was published then.
    pub(super) last_lsn: Option<Lsn>,
    /// The server's clock at the last look, ms since 1970.
    pub(super) last_time_ms: i64,
    /// A feed shows full old rows.
    pub(super) wants_full_old_rows: bool,
    /// Tables that the assembler was told of on this connection.
    announced: HashSet<u32>,
    /// What may be missing of a table, for good.
    notes: HashMap<u32, String>,
    /// Why a table could not be added or taken out, and for how many polls it is left alone.
    refusals: HashMap<u32, (String, u32)>,
}

impl Keeper {
    /// A new connection: the assembler wants to be told of all tables again.
    pub(super) fn connected(&mut self) {
        self.announced.clear();
    }

    /// Whether the table was not announced on this connection before.
    pub(super) fn announce(&mut self, oid: u32) -> bool {
        self.announced.insert(oid)
    }

    /// One poll has passed.
    pub(super) fn tick(&mut self) {
        self.refusals.retain(|_, (_, polls)| {
            *polls = polls.saturating_sub(1);
            *polls > 0
        });
    }

    /// Whether a change for this table was refused lately.
    pub(super) fn is_refused(&self, oid: u32) -> bool {
        self.refusals.contains_key(&oid)
    }

    /// The server refused to change a publication for this table.
    pub(super) fn refused(&mut self, table: &Listed, message: &str, statement: &str) {
        let told = format!(
            "publication cannot be changed: {message}; its owner or a superuser can: {statement}"
        );
        self.refusals.insert(table.oid, (told, POLLS_AFTER_REFUSAL));
    }

    /// The table was added to publications only now; what was written before is missing, unless the table
    /// never had a row. `rows`: inserts too, else only updates and deletes.
    pub(super) fn added_late(&mut self, table: &Listed, rows: bool, until: Lsn) {
        let Some(from) = self.last_lsn else { return };
        if self.notes.len() >= NOTES_MAX {
            return;
        }
        let what = if rows {
            "changes"
        } else {
            "updates and deletes"
        };
        let note = format!(
            "{what} between {from} and {until} may be missing: the table was published at {until}"
        );
        tracing::warn!(
            schema = table.schema,
            table = table.name,
            note,
            "captured table"
        );
        self.notes.insert(table.oid, note);
    }

    /// The tables to show, and what is wrong with each.
    pub(super) fn table_status(
        &self,
        listing: &Listing,
        matches: impl Fn(&Listed) -> bool,
        publication: &str,
    ) -> Vec<TableStatus> {
        let layout = self.layout.unwrap_or(Layout::Pair);
        let shown = listing
            .tables
            .iter()
            .filter(|table| matches(table))
            .filter(|table| {
                // A partitioned table has no rows of its own; through the root they come only if the operator's
                // publication says so, and then the listing shows the root alone.
                !table.is_partitioned() || (layout == Layout::Single && table.published)
            });
        let status = shown.map(|table| TableStatus {
            schema: table.schema.clone(),
            name: table.name.clone(),
            replica_identity: table.replica_identity,
            keyed: table.published_keyed && table.usable_identity,
            warning: self.warning(table, layout, publication),
        });
        status
            .chain(unmatched_partitions(listing, &matches))
            .collect()
    }

    /// The most important thing about a table first.
    fn warning(&self, table: &Listed, layout: Layout, publication: &str) -> Option<String> {
        let refusal = self.refusals.get(&table.oid).map(|(told, _)| told.clone());
        let quoted = table.quoted();
        let missing = || {
            let publication = identifier(publication);
            format!("not in the publication: ALTER PUBLICATION {publication} ADD TABLE {quoted}")
        };
        let note = self.notes.get(&table.oid).cloned();
        if refusal.is_some() {
            refusal
        } else if !table.published && layout == Layout::Single {
            Some(missing())
        } else if let Some((what, fix)) = keyless(table) {
            let note = note.map_or_else(String::new, |note| format!("; {note}"));
            Some(format!("{what}; {fix}{note}"))
        } else {
            note.or_else(|| self.old_rows_warning(table))
        }
    }

    fn old_rows_warning(&self, table: &Listed) -> Option<String> {
        let is_full = table.replica_identity == ReplicaIdentity::Full;
        (self.wants_full_old_rows && !is_full).then(|| {
            let quoted = table.quoted();
            format!(
                "the feed dts shows of old rows the key only, other values as EmptyObject NONE, which the Java demo \
                 ends at; ALTER TABLE {quoted} REPLICA IDENTITY FULL"
            )
        })
    }
}

/// Partitioned tables that the filter matches while it misses some of their partitions: the rows come under
/// the partitions' names, so this is hardly what was meant.
fn unmatched_partitions<'a>(
    listing: &'a Listing,
    matches: &'a impl Fn(&Listed) -> bool,
) -> impl Iterator<Item = TableStatus> + 'a {
    let missed: HashSet<u32> = listing
        .tables
        .iter()
        .filter(|table| !matches(table))
        .filter_map(|table| table.parent)
        .collect();
    let roots = listing
        .tables
        .iter()
        .filter(|table| table.is_partitioned() && matches(table));
    roots
        .filter(move |root| missed.contains(&root.oid))
        .map(|root| TableStatus {
            schema: root.schema.clone(),
            name: root.name.clone(),
            replica_identity: root.replica_identity,
            keyed: false,
            warning: Some(
                "rows come under the names of the partitions, and some are not included".to_owned(),
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::publication::RelationKind;

    fn table(oid: u32, name: &str) -> Listed {
        Listed {
            oid,
            schema: "public".into(),
            name: name.into(),
            kind: RelationKind::Table,
            replica_identity: ReplicaIdentity::Default,
            usable_identity: true,
            parent: None,
            published: true,
            published_keyed: true,
        }
    }

    fn status(keeper: &Keeper, tables: Vec<Listed>) -> Vec<TableStatus> {
        let listing = Listing {
            lsn: Lsn(9),
            time_ms: 0,
            tables,
        };
        keeper.table_status(&listing, |table| table.name != "excluded", "p")
    }

    #[test]
    fn a_table_without_identity_is_named_with_its_statement() {
        let keyless = Listed {
            usable_identity: false,
            published_keyed: false,
            ..table(1, "log")
        };
        let shown = status(&Keeper::default(), vec![keyless, table(2, "fine")]);
        assert!(!shown[0].keyed && shown[1].keyed);
        let warning = shown[0].warning.as_deref().unwrap();
        assert!(
            warning.contains("ALTER TABLE \"public\".\"log\" REPLICA IDENTITY FULL"),
            "{warning}"
        );
        assert_eq!(shown[1].warning, None);
    }

    #[test]
    fn a_table_without_full_old_rows_is_named_where_a_feed_shows_them() {
        let keeper = Keeper {
            wants_full_old_rows: true,
            ..Keeper::default()
        };
        let full = Listed {
            replica_identity: ReplicaIdentity::Full,
            ..table(2, "full")
        };
        let shown = status(&keeper, vec![table(1, "keyed"), full]);
        let warning = shown[0].warning.as_deref().unwrap();
        assert!(
            warning.contains("ALTER TABLE \"public\".\"keyed\" REPLICA IDENTITY FULL"),
            "{warning}"
        );
        assert_eq!(shown[1].warning, None);
    }

    #[test]
    fn what_may_be_missing_of_a_late_table_is_told_with_its_range() {
        let mut keeper = Keeper::default();
        keeper.added_late(&table(1, "a"), true, Lsn(7));
        assert_eq!(
            status(&keeper, vec![table(1, "a")])[0].warning,
            None,
            "a first start misses nothing"
        );
        keeper.last_lsn = Some(Lsn(5));
        keeper.added_late(&table(1, "a"), true, Lsn(7));
        let warning = status(&keeper, vec![table(1, "a")])[0]
            .warning
            .clone()
            .unwrap();
        assert!(warning.contains("between 0/5 and 0/7"), "{warning}");
    }

    #[test]
    fn a_refused_statement_is_left_alone_for_a_while() {
        let mut keeper = Keeper::default();
        keeper.refused(
            &table(1, "a"),
            "must be owner",
            "ALTER PUBLICATION p ADD TABLE a",
        );
        let warning = status(&keeper, vec![table(1, "a")])[0]
            .warning
            .clone()
            .unwrap();
        assert!(warning.contains("must be owner") && warning.contains("ALTER PUBLICATION p"));
        for _ in 1..POLLS_AFTER_REFUSAL {
            keeper.tick();
            assert!(keeper.is_refused(1));
        }
        keeper.tick();
        assert!(!keeper.is_refused(1));
    }

    #[test]
    fn a_partitioned_table_is_shown_only_if_partitions_are_missed() {
        let root = Listed {
            kind: RelationKind::Partitioned,
            ..table(1, "root")
        };
        let leaf = Listed {
            parent: Some(1),
            ..table(2, "leaf")
        };
        let missed = Listed {
            parent: Some(1),
            ..table(3, "excluded")
        };
        let names = |tables| -> Vec<String> {
            status(&Keeper::default(), tables)
                .into_iter()
                .map(|table| table.name)
                .collect()
        };
        assert_eq!(names(vec![root.clone(), leaf.clone()]), ["leaf"]);
        assert_eq!(names(vec![root, leaf, missed]), ["leaf", "root"]);
    }

    #[test]
    fn every_table_is_announced_once_a_connection() {
        let mut keeper = Keeper::default();
        assert!(keeper.announce(1) && !keeper.announce(1));
        keeper.connected();
        assert!(keeper.announce(1));
    }
}
