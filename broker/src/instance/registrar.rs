//! Tables become topics: looked up or made in the catalog before their first record is appended.
//!
//! The plan is pure ([`plan`]); [`Registrar::register`] makes it durable. A table keeps its topic by schema and
//! name: dropped and made anew it goes on in the same topic, renamed it gets another.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use headwater_capture::{
    Column, ReplicaIdentity, Table, TableKey, encode::cleaned_name, postgres::assembler::KnownKey,
};
use headwater_storage::{
    Catalog, CatalogChange, DataDirectory, InstanceNumber, Journal, Schema, StorageError,
    TableIdentity, Topic, TopicNumber, catalog::random_id,
};
use serde_json::{Value, json};
use tracing::warn;

use super::feeds::RunningFeed;
use crate::topic_name::{Altered, topic_name};

/// Knows which topic a table's batches go to.
#[derive(Debug)]
pub(super) struct Registrar {
    instance: InstanceNumber,
    feeds: Vec<RunningFeed>,
    topics: HashMap<(usize, TableKey), TopicNumber>,
}

impl Registrar {
    pub(super) fn new(instance: InstanceNumber, feeds: Vec<RunningFeed>) -> Self {
        Self {
            instance,
            feeds,
            topics: HashMap::new(),
        }
    }

    /// Where the batches of `table` go in the feed with this index; `None` if the table was never registered.
    /// Without a table: where those of the stream go, `None` if the feed is none.
    pub(super) fn topic(&self, feed: usize, table: Option<TableKey>) -> Option<TopicNumber> {
        match table {
            Some(table) => self.topics.get(&(feed, table)).copied(),
            None => self.feeds.get(feed)?.stream,
        }
    }

    pub(super) fn instance(&self) -> InstanceNumber {
        self.instance
    }

    pub(super) fn feeds(&self) -> &[RunningFeed] {
        &self.feeds
    }

    /// Another source numbers its tables anew.
    pub(super) fn forget_tables(&mut self) {
        self.topics.clear();
    }

    /// Makes topics and schema versions for `tables`, durable when it returns.
    ///
    /// # Errors
    /// Those of the catalog.
    pub(super) fn register(
        &mut self,
        tables: &[Table],
        directory: &DataDirectory,
        journal: &mut Journal,
    ) -> Result<(), StorageError> {
        let plan = self.planned(tables, directory)?;
        for altered in &plan.altered {
            warn!("{altered}");
        }
        for topic in &plan.new_topics {
            journal.add_topic(topic);
        }
        self.topics.extend(plan.topics);
        Ok(())
    }

    /// Plans and makes the change. Instances have a thread each: one that took the numbers of the plan meanwhile makes
    /// it invalid, and it is made anew. Whoever fails so has seen another succeed, so this ends.
    fn planned(&self, tables: &[Table], directory: &DataDirectory) -> Result<Plan, StorageError> {
        loop {
            let catalog = directory.catalog();
            let plan = plan(&catalog, self.instance, &self.feeds, tables);
            if plan.changes.is_empty() {
                return Ok(plan);
            }
            let overtaken = || directory.catalog().change_number() != catalog.change_number();
            match directory.change(plan.changes.clone()) {
                Err(StorageError::Invalid(_)) if overtaken() => {}
                changed => return changed.map(|_| plan),
            }
        }
    }
}

/// What the catalog must learn, and where each table then goes.
#[derive(Debug, Default)]
struct Plan {
    changes: Vec<CatalogChange>,
    new_topics: Vec<Topic>,
    topics: Vec<((usize, TableKey), TopicNumber)>,
    /// Lines about topics that are not called what their tables are called.
    altered: Vec<String>,
}

fn plan(
    catalog: &Catalog,
    instance: InstanceNumber,
    feeds: &[RunningFeed],
    tables: &[Table],
) -> Plan {
    let mut plan = Plan::default();
    let mut names = Names::new(catalog, instance);
    let per_table = |(_, feed): &(usize, &RunningFeed)| feed.stream.is_none();
    for (index, feed) in feeds.iter().enumerate().filter(per_table) {
        let has_topic = |table: &&Table| {
            (feed.carries_messages || !table.is_of_messages())
                && (feed.carries_transactions || !table.is_of_transactions())
        };
        for table in in_naming_order(tables).into_iter().filter(has_topic) {
            let number = match names.known.get(&(feed.number, &table.schema, &table.name)) {
                Some(topic) => {
                    plan.follow_relation(topic, table);
                    topic.number
                }
                None => plan.make_topic(&mut names, instance, feed, table),
            };
            plan.topics.push(((index, table.key), number));
        }
    }
    plan.add_schemas(catalog, instance, tables);
    plan
}

/// Tables whose names need no cleaning first, so that these keep their plain names whatever comes beside them.
fn in_naming_order(tables: &[Table]) -> Vec<&Table> {
    let mut ordered: Vec<&Table> = tables.iter().collect();
    let cleaned = |name: &str| cleaned_name(name) != name;
    ordered.sort_by_key(|table| {
        (
            cleaned(&table.schema) || cleaned(&table.name),
            &table.schema,
            &table.name,
        )
    });
    ordered
}

/// The topics that exist, by what they are of, and the names that are gone.
struct Names<'a> {
    known: HashMap<(headwater_storage::FeedNumber, &'a String, &'a String), &'a Arc<Topic>>,
    taken: HashSet<String>,
    next: TopicNumber,
}

impl<'a> Names<'a> {
    fn new(catalog: &'a Catalog, instance: InstanceNumber) -> Self {
        let of_table = |topic: &'a Arc<Topic>| {
            topic
                .table
                .as_ref()
                .map(|table| ((topic.feed, &table.schema, &table.name), topic))
        };
        Self {
            known: catalog.topics_of(instance).filter_map(of_table).collect(),
            taken: catalog.topics().map(|topic| topic.name.clone()).collect(),
            next: catalog.next_topic(),
        }
    }
}

impl Plan {
    /// A table that was dropped and made anew has another relation.
    fn follow_relation(&mut self, topic: &Topic, table: &Table) {
        let relation = topic.table.as_ref().map(|known| known.relation);
        if relation != Some(table.relation) {
            let changed = Topic {
                table: Some(identity(table)),
                ..topic.clone()
            };
            self.changes.push(CatalogChange::Topic(changed));
        }
    }

    fn make_topic(
        &mut self,
        names: &mut Names<'_>,
        instance: InstanceNumber,
        feed: &RunningFeed,
        table: &Table,
    ) -> TopicNumber {
        let named = topic_name(&feed.prefix, &table.schema, &table.name, &names.taken);
        if let Some(why) = named.altered {
            self.altered.push(told(&named.name, table, why));
        }
        names.taken.insert(named.name.clone());
        let number = names.next;
        names.next = TopicNumber(number.0 + 1);
        let topic = Topic {
            number,
            id: random_id(),
            name: named.name,
            instance,
            feed: feed.number,
            table: Some(identity(table)),
            epochs: Topic::first_epoch(),
        };
        self.changes.push(CatalogChange::Topic(topic.clone()));
        self.new_topics.push(topic);
        number
    }

    /// A new version for each table whose definition is not the latest one known.
    fn add_schemas(&mut self, catalog: &Catalog, instance: InstanceNumber, tables: &[Table]) {
        let mut version = catalog.next_schema_version();
        for table in tables.iter().filter(|table| !table.is_no_table()) {
            let definition = definition(table);
            let known = catalog.schema(instance, &table.schema, &table.name);
            if known.is_some_and(|known| known.definition == definition) {
                continue;
            }
            let schema = Schema {
                version,
                instance,
                table: identity(table),
                definition,
            };
            self.changes.push(CatalogChange::Schema(schema));
            version += 1;
        }
    }
}

fn told(topic: &str, table: &Table, why: Altered) -> String {
    let why = match why {
        Altered::TooLong => "its name is over 249 bytes",
        Altered::Taken => "another table has the topic of that name",
    };
    format!(
        "table {}.{} goes to topic {topic}: {why}",
        table.schema, table.name
    )
}

fn identity(table: &Table) -> TableIdentity {
    TableIdentity {
        schema: table.schema.clone(),
        name: table.name.clone(),
        relation: table.relation,
    }
}

/// A table's definition as the catalog keeps it (`docs/format.md`, "Schemas").
fn definition(table: &Table) -> Value {
    let columns: Vec<Value> = table.columns.iter().map(column).collect();
    json!({
        "relation": table.relation,
        "replica_identity": identity_name(table.replica_identity),
        "columns": columns,
    })
}

fn column(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type_oid": column.type_oid,
        "type": column.type_name,
        "modifier": column.type_modifier,
        "identity": column.identity,
        "key_position": column.key_position,
    })
}

/// The primary keys in what [`definition`] made of tables, those apart that have none.
pub(super) fn known_keys<'a>(schemas: impl Iterator<Item = &'a Arc<Schema>>) -> Vec<KnownKey> {
    let known = schemas.map(|schema| {
        let columns = schema.definition["columns"].as_array();
        let mut key: Vec<_> = columns
            .into_iter()
            .flatten()
            .filter_map(key_column)
            .collect();
        key.sort_unstable();
        KnownKey {
            schema: schema.table.schema.clone(),
            name: schema.table.name.clone(),
            columns: key.into_iter().map(|(_, name)| name.to_owned()).collect(),
        }
    });
    known.filter(|key| !key.columns.is_empty()).collect()
}

fn key_column(column: &Value) -> Option<(u64, &str)> {
    Some((column["key_position"].as_u64()?, column["name"].as_str()?))
}

fn identity_name(identity: ReplicaIdentity) -> &'static str {
    match identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Index => "index",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Nothing => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use headwater_capture::ColumnType;
    use headwater_storage::FeedNumber;

    use super::*;

    fn table(key: u32, schema: &str, name: &str) -> Table {
        Table {
            key: TableKey(key),
            relation: 16_000 + key,
            schema: schema.to_owned(),
            name: name.to_owned(),
            replica_identity: ReplicaIdentity::Default,
            columns: Vec::new(),
            unique_keys: Vec::new(),
        }
    }

    fn feed() -> RunningFeed {
        RunningFeed {
            number: FeedNumber(1),
            prefix: "shop".to_owned(),
            stream: None,
            carries_messages: false,
            carries_transactions: false,
        }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.new_topics
            .iter()
            .map(|topic| topic.name.as_str())
            .collect()
    }

    #[test]
    fn every_table_of_every_feed_gets_a_topic_and_one_schema_version() {
        let feeds = [
            feed(),
            RunningFeed {
                number: FeedNumber(2),
                prefix: "other".to_owned(),
                stream: None,
                carries_messages: false,
                carries_transactions: false,
            },
        ];
        let tables = [table(0, "public", "orders"), table(1, "public", "lines")];
        let plan = plan(&Catalog::default(), InstanceNumber(1), &feeds, &tables);
        assert_eq!(
            names(&plan),
            [
                "shop.public.lines",
                "shop.public.orders",
                "other.public.lines",
                "other.public.orders"
            ]
        );
        assert_eq!(plan.topics.len(), 4);
        assert_eq!(plan.changes.len(), 4 + 2);
        assert!(plan.altered.is_empty());
    }

    #[test]
    fn a_stream_has_its_one_topic_whatever_tables_come() {
        let stream = RunningFeed {
            number: FeedNumber(2),
            prefix: "shop".to_owned(),
            stream: Some(TopicNumber(7)),
            carries_messages: false,
            carries_transactions: false,
        };
        let feeds = [feed(), stream];
        let tables = [table(0, "public", "orders")];
        let plan = plan(&Catalog::default(), InstanceNumber(1), &feeds, &tables);
        assert_eq!(names(&plan), ["shop.public.orders"]);
        let registrar = Registrar::new(InstanceNumber(1), feeds.to_vec());
        assert_eq!(registrar.topic(1, None), Some(TopicNumber(7)));
        assert_eq!(registrar.topic(0, None), None);
    }

    #[test]
    fn of_two_names_that_clean_to_one_the_clean_one_stays_plain() {
        let tables = [table(0, "public", "a b"), table(1, "public", "a_b")];
        let plan = plan(&Catalog::default(), InstanceNumber(1), &[feed()], &tables);
        assert_eq!(names(&plan)[0], "shop.public.a_b");
        assert!(names(&plan)[1].starts_with("shop.public.a_b_"));
        assert_eq!(plan.altered.len(), 1);
        assert!(
            plan.altered[0].contains("public.a b"),
            "{}",
            plan.altered[0]
        );
    }

    #[test]
    fn messages_have_a_topic_in_feeds_that_carry_them_only() {
        let mut feeds = [feed(), feed()];
        feeds[1].number = FeedNumber(2);
        feeds[1].prefix = "cdc".to_owned();
        feeds[1].carries_messages = true;
        let tables = [Table::of_messages(TableKey(3))];
        let plan = plan(&Catalog::default(), InstanceNumber(1), &feeds, &tables);
        assert_eq!(names(&plan), ["cdc.message"]);
    }

    #[test]
    fn boundaries_of_transactions_have_a_topic_in_feeds_that_carry_them_only() {
        let mut feeds = [feed(), feed()];
        feeds[1].number = FeedNumber(2);
        feeds[1].prefix = "cdc".to_owned();
        feeds[1].carries_transactions = true;
        let tables = [Table::of_transactions(TableKey(3))];
        let plan = plan(&Catalog::default(), InstanceNumber(1), &feeds, &tables);
        assert_eq!(names(&plan), ["cdc.transaction"]);
        assert_eq!(plan.changes.len(), 1, "no schema");
    }

    #[test]
    fn schema_definitions_differ_when_a_column_does() {
        let plain = table(0, "public", "orders");
        let mut wider = plain.clone();
        wider.columns.push(Column {
            name: "id".to_owned(),
            type_oid: 20,
            type_name: "bigint".to_owned(),
            type_modifier: -1,
            value_type: ColumnType::default(),
            excluded: false,
            identity: true,
            key_position: Some(0),
        });
        assert_ne!(definition(&plain), definition(&wider));
        assert_eq!(definition(&plain), definition(&plain.clone()));
    }
}
