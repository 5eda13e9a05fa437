//! Publications: what is published, what should be, and the statements between. Pure; [`super::source`] runs
//! the SQL.
//!
//! | publication | actions | tables |
//! |---|---|---|
//! | `<name>` | insert, truncate (from 11) | all that the filter matches |
//! | `<name>_keyed` | update, delete | those of them with a usable replica identity |
//!
//! Two, because a table without identity that publishes updates makes the **application's** UPDATE fail
//! (measured on 15). Both hold explicit lists: FOR ALL TABLES needs a superuser. Each table is listed with
//! ONLY, so that the filter decides about inheritance children too. A publication `<name>` alone was made by
//! the operator: it is used as it stands.
//!
//! Partitioned tables (13 and later): a matched root is listed beside its leaves, so that rows of a partition
//! made a moment ago are sent at once, under the leaf's name. The root is `keyed` only if it has a primary
//! key, which every leaf then has, and no leaf has lost its identity.
//! Manual: "CREATE PUBLICATION", "ALTER TABLE, REPLICA IDENTITY".

use std::collections::HashSet;

use super::error::{Failure, Names};
use super::query::{Row, column, flag, identifier, literal, table_name};
use super::url::NAME_BYTES_MAX;
use crate::filter::TableFilter;
use crate::table::ReplicaIdentity;

const PUBLISHES_TRUNCATE: u32 = 110_000;
const PUBLISHES_PARTITIONED: u32 = 130_000;
const KEYED_SUFFIX: &str = "_keyed";
/// What is left of a long name beside `_`, eight digits and the suffix.
const KEYED_STEM_BYTES: usize = NAME_BYTES_MAX - 15;

/// What exists under our names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Neither.
    None,
    /// The first alone.
    Single,
    /// Both.
    Pair,
    /// The second alone: somebody dropped the first.
    KeyedOnly,
}

/// Which publications START_REPLICATION names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One of the operator's, left alone.
    Single,
    /// Our two, kept up to date.
    Pair,
}

/// The second publication's name. Where the server would cut it, its own cut form, with a hash of the whole
/// name so that two long names do not meet.
pub(crate) fn keyed_name(publication: &str) -> String {
    let name = format!("{publication}{KEYED_SUFFIX}");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let end = (0..=KEYED_STEM_BYTES)
        .rev()
        .find(|&end| publication.is_char_boundary(end));
    let stem = publication.get(..end.unwrap_or(0)).unwrap_or_default();
    format!("{stem}_{:08x}{KEYED_SUFFIX}", fnv1a(publication.as_bytes()))
}

/// FNV-1a, 32 bits: the name must be the same for ever.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// All names of a layout.
pub(crate) fn names_of(layout: Layout, publication: &str) -> Vec<String> {
    match layout {
        Layout::Single => vec![publication.to_owned()],
        Layout::Pair => vec![publication.to_owned(), keyed_name(publication)],
    }
}

/// # Errors
/// The server would cut the name, or not take it.
pub(crate) fn check_name(publication: &str) -> Result<(), Failure> {
    let fits = (1..=NAME_BYTES_MAX).contains(&publication.len()) && !publication.contains('\0');
    if fits {
        return Ok(());
    }
    Err(Failure::misconfigured(
        format!("publication name {publication:?} must have 1 to {NAME_BYTES_MAX} bytes"),
        "choose another name",
    ))
}

/// Two flags: whether the first and the second exist, and whether the first is ours by its comment.
pub(crate) fn existing_sql(publication: &str) -> String {
    format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {0}), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {1}), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_publication p WHERE pubname = {0} \
           AND obj_description(p.oid, 'pg_publication') = {2})",
        literal(publication),
        literal(&keyed_name(publication)),
        literal(COMMENT)
    )
}

/// Set on what we made, so that an operator's publication is never taken for half of ours.
const COMMENT: &str = "made by headwater; with _keyed beside it";

/// What the answer to [`existing_sql`] says; and whether the first is marked as ours.
pub(crate) fn parse_existing(row: &Row) -> (Existing, bool) {
    let existing = match (flag(row, 0), flag(row, 1)) {
        (false, false) => Existing::None,
        (true, false) => Existing::Single,
        (true, true) => Existing::Pair,
        (false, true) => Existing::KeyedOnly,
    };
    (existing, flag(row, 2))
}

/// What to do about the publications at a start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublicationPlan {
    Create,
    Use(Layout),
}

/// Decides. `slot_exists`: a slot of ours was there before the publications; what it holds was written
/// without them and cannot be decoded (42704 at the first change up to 17, nothing at all from 18 on).
///
/// # Errors
/// A publication is missing whose changes were to be captured.
pub(crate) fn plan(
    existing: Existing,
    ours: bool,
    has_history: bool,
    names: &Names,
) -> Result<PublicationPlan, Failure> {
    let missing = |name: &str| {
        let slot = &names.slot;
        let reason = format!(
            "publication \"{name}\" is missing while slot \"{slot}\" holds changes: \
             what was changed without it cannot be read"
        );
        let fix = format!(
            "drop the slot and begin anew: SELECT pg_drop_replication_slot({}); \
             headwater instance resync {} --from now",
            literal(slot),
            names.instance
        );
        Err(Failure::misconfigured(reason, fix))
    };
    let publication = &names.publication;
    match existing {
        Existing::Pair => Ok(PublicationPlan::Use(Layout::Pair)),
        Existing::Single if ours => missing(&keyed_name(publication)),
        Existing::Single => Ok(PublicationPlan::Use(Layout::Single)),
        Existing::None if !has_history => Ok(PublicationPlan::Create),
        Existing::None | Existing::KeyedOnly => missing(publication),
    }
}

/// `pg_class.relkind`, as far as it can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelationKind {
    /// `r`: an ordinary table, or a partition.
    Table,
    /// `p`: has partitions instead of rows.
    Partitioned,
}

/// A table or partitioned table of the database, as the listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    pub(crate) replica_identity: ReplicaIdentity,
    /// Updates and deletes can be published without failing.
    pub(crate) usable_identity: bool,
    /// The partitioned table that it is a part of, if it is a partition.
    pub(crate) parent: Option<u32>,
    pub(crate) published: bool,
    pub(crate) published_keyed: bool,
}

/// The listing: first a row with the LSN before it, then a row for each table of applications.
pub(crate) fn listing_sql(publication: &str, layout: Layout, server_version: u32) -> String {
    let kinds = if server_version >= PUBLISHES_PARTITIONED {
        "'r', 'p'"
    } else {
        "'r'"
    };
    let listed = |name: &str| {
        format!(
            "c.oid IN (SELECT r.prrelid FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p \
             ON p.oid = r.prpubid WHERE p.pubname = {})",
            literal(name)
        )
    };
    let (published, keyed) = match layout {
        Layout::Pair => (listed(publication), listed(&keyed_name(publication))),
        // FOR ALL TABLES and FOR TABLES IN SCHEMA have no rows of their own; the view knows them.
        Layout::Single => {
            let visible = format!(
                "(n.nspname, c.relname) IN (SELECT schemaname, tablename FROM \
                 pg_catalog.pg_publication_tables WHERE pubname = {})",
                literal(publication)
            );
            (visible.clone(), visible)
        }
    };
    format!(
        "SELECT pg_current_wal_insert_lsn(), \
         floor(extract(epoch FROM clock_timestamp()) * 1000)::int8; \
         SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relreplident, \
         c.relreplident = 'f' OR EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid \
           AND i.indisvalid AND i.indimmediate AND (c.relreplident = 'd' AND i.indisprimary \
           OR c.relreplident = 'i' AND i.indisreplident)), \
         (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid AND c.relispartition LIMIT 1), \
         {published}, {keyed} \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ({kinds}) AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' \
         AND left(n.nspname, 3) <> 'pg_' ORDER BY n.nspname, c.relname"
    )
}

impl Listed {
    pub(crate) fn parse(row: &Row) -> Option<Self> {
        Some(Self {
            oid: column(row, 0)?.parse().ok()?,
            schema: column(row, 1)?.to_owned(),
            name: column(row, 2)?.to_owned(),
            kind: if flag(row, 3) {
                RelationKind::Partitioned
            } else {
                RelationKind::Table
            },
            replica_identity: match column(row, 4)? {
                "f" => ReplicaIdentity::Full,
                "i" => ReplicaIdentity::Index,
                "n" => ReplicaIdentity::Nothing,
                _ => ReplicaIdentity::Default,
            },
            usable_identity: flag(row, 5),
            parent: column(row, 6).and_then(|oid| oid.parse().ok()),
            published: flag(row, 7),
            published_keyed: flag(row, 8),
        })
    }

    /// Without rows of its own.
    pub(crate) fn is_partitioned(&self) -> bool {
        self.kind == RelationKind::Partitioned
    }

    /// Quoted, with its schema.
    pub(crate) fn quoted(&self) -> String {
        table_name(&self.schema, &self.name)
    }
}

/// What ALTER PUBLICATION has to do, as indexes into the listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) add: Vec<usize>,
    pub(crate) add_keyed: Vec<usize>,
    pub(crate) drop: Vec<usize>,
    pub(crate) drop_keyed: Vec<usize>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.add_keyed.is_empty()
            && self.drop.is_empty()
            && self.drop_keyed.is_empty()
    }
}

/// Compares what is published with what should be.
pub(crate) fn changes(tables: &[Listed], filter: &TableFilter) -> Changes {
    let unsafe_roots = unsafe_roots(tables);
    let mut changes = Changes::default();
    for (index, table) in tables.iter().enumerate() {
        let wanted = filter.matches(&table.schema, &table.name);
        let keyed = wanted && may_be_keyed(table, &unsafe_roots);
        match (wanted, table.published) {
            (true, false) => changes.add.push(index),
            (false, true) => changes.drop.push(index),
            (true, true) | (false, false) => {}
        }
        match (keyed, table.published_keyed) {
            (true, false) => changes.add_keyed.push(index),
            (false, true) => changes.drop_keyed.push(index),
            (true, true) | (false, false) => {}
        }
    }
    changes
}

/// Whether updates of the table may be published. FULL on a partitioned table says nothing about its parts.
fn may_be_keyed(table: &Listed, unsafe_roots: &HashSet<u32>) -> bool {
    let inherited = table.replica_identity == ReplicaIdentity::Default;
    table.usable_identity
        && (!table.is_partitioned() || (inherited && !unsafe_roots.contains(&table.oid)))
}

/// Partitioned tables that have, at any depth, a leaf without usable identity.
fn unsafe_roots(tables: &[Listed]) -> HashSet<u32> {
    let parents: std::collections::HashMap<u32, u32> = tables
        .iter()
        .filter_map(|table| Some((table.oid, table.parent?)))
        .collect();
    let mut roots = HashSet::new();
    for leaf in tables
        .iter()
        .filter(|table| !table.is_partitioned() && !table.usable_identity)
    {
        let mut above = leaf.parent;
        // The insert ends the walk where another leaf has passed already, and would end a cycle.
        while let Some(parent) = above.filter(|parent| roots.insert(*parent)) {
            above = parents.get(&parent).copied();
        }
    }
    roots
}

/// `action` is ADD or DROP. Empty for an empty list.
pub(crate) fn alter_sql(
    publication: &str,
    action: &str,
    tables: &[Listed],
    chosen: &[usize],
) -> Option<String> {
    let list = table_list(tables, chosen)?;
    Some(format!(
        "ALTER PUBLICATION {} {action} TABLE {list}",
        identifier(publication)
    ))
}

fn table_list(tables: &[Listed], chosen: &[usize]) -> Option<String> {
    let names = chosen.iter().filter_map(|&index| tables.get(index));
    let list = names
        .map(|table| format!("ONLY {}", table.quoted()))
        .collect::<Vec<_>>()
        .join(", ");
    (!list.is_empty()).then_some(list)
}

/// Both publications in one transaction. Also what a superuser is asked to run where we may not.
pub(crate) fn create_sql(
    publication: &str,
    tables: &[Listed],
    changes: &Changes,
    server_version: u32,
) -> Vec<String> {
    let actions = if server_version >= PUBLISHES_TRUNCATE {
        "insert, truncate"
    } else {
        "insert"
    };
    let create = |name: &str, chosen: &[usize], actions: &str| {
        let list = table_list(tables, chosen).map(|list| format!(" FOR TABLE {list}"));
        format!(
            "CREATE PUBLICATION {}{} WITH (publish = '{actions}')",
            identifier(name),
            list.unwrap_or_default()
        )
    };
    let keyed = keyed_name(publication);
    vec![
        create(publication, &changes.add, actions),
        create(&keyed, &changes.add_keyed, "update, delete"),
        format!(
            "COMMENT ON PUBLICATION {} IS {}",
            identifier(publication),
            literal(COMMENT)
        ),
    ]
}

/// Removes what [`create_sql`] made.
pub(crate) fn drop_sql(publication: &str) -> String {
    let (first, second) = (
        identifier(publication),
        identifier(&keyed_name(publication)),
    );
    format!("DROP PUBLICATION IF EXISTS {first}, {second}")
}

#[cfg(test)]
mod tests;
