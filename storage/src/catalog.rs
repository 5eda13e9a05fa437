//! The catalog: what exists in a data directory and cannot be read off the journal. Instances, feeds, topics,
//! schema versions, consumer groups.
//!
//! A [`Catalog`] is an immutable snapshot with lookups, and the rules of what may change ([`Catalog::with`]).
//! It does no I/O: [`CatalogStore`](store::CatalogStore) makes changes durable, in `catalog.log` first and then
//! in sled.
//!
//! | thing    | number            | unique                            | may change later                   |
//! |----------|-------------------|-----------------------------------|------------------------------------|
//! | instance | dense from 1      | name                              | incarnation, upwards, with its gap; pause |
//! | feed     | dense from 1      | name and prefix in an instance    | nothing                            |
//! | topic    | dense from 1      | name, id (in the whole directory) | relation of its table, more epochs |
//! | schema   | version, from 1   | version                           | nothing                            |
//! | group    | dense from 1      | id and name, of those that live   | verifiers, mode; may be deleted    |
//! | oldest file | one per instance |                                  | its number, upwards                |

mod change;
mod entity;
mod group;
pub mod group_rules;
pub mod store;
mod stored;

pub(crate) use self::{
    group::base64_text,
    stored::{from_json, to_json},
};

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use uuid::Uuid;

pub use self::{
    change::CatalogChange,
    entity::{
        Feed, FeedLayout, GAPS_MAX, Gap, Instance, OldestFile, Pause, Schema, SourceKind,
        TableIdentity, Topic, random_id,
    },
    group::{Group, GroupMode, StoredVerifier, VerifierMechanism},
};
use crate::{
    error::StorageError,
    number::{FeedNumber, GroupNumber, InstanceNumber, TopicNumber},
};

/// What exists, as of one change. Cheap to clone: the things in it are shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    change_number: u64,
    instances: BTreeMap<InstanceNumber, Arc<Instance>>,
    feeds: BTreeMap<FeedNumber, Arc<Feed>>,
    topics: BTreeMap<TopicNumber, Arc<Topic>>,
    topics_by_name: HashMap<String, TopicNumber>,
    topics_by_id: HashMap<Uuid, TopicNumber>,
    /// Latest version of each table, by instance, schema and name.
    schemas: BTreeMap<(InstanceNumber, String, String), Arc<Schema>>,
    schema_version: u64,
    /// The deleted ones included.
    groups: BTreeMap<GroupNumber, Arc<Group>>,
    /// By id and by name, of those that live: no id is another group's name.
    groups_by_name: HashMap<String, GroupNumber>,
    oldest_files: BTreeMap<InstanceNumber, u64>,
}

impl Catalog {
    /// Counts the changes since the directory was made; 0 for an empty catalog.
    #[must_use]
    pub fn change_number(&self) -> u64 {
        self.change_number
    }

    /// All instances, by number.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// The instance with this number.
    #[must_use]
    pub fn instance(&self, number: InstanceNumber) -> Option<&Arc<Instance>> {
        self.instances.get(&number)
    }

    /// The instance with this name.
    #[must_use]
    pub fn instance_by_name(&self, name: &str) -> Option<&Arc<Instance>> {
        self.instances
            .values()
            .find(|instance| instance.name == name)
    }

    /// The oldest file that retention has left of an instance's log.
    #[must_use]
    pub fn oldest_file(&self, instance: InstanceNumber) -> u64 {
        self.oldest_files.get(&instance).copied().unwrap_or(1)
    }

    /// All feeds of an instance, by number; also those the configuration no longer asks for.
    pub fn feeds_of(&self, instance: InstanceNumber) -> impl Iterator<Item = &Arc<Feed>> {
        self.feeds
            .values()
            .filter(move |feed| feed.instance == instance)
    }

    /// The feed with this number.
    #[must_use]
    pub fn feed(&self, number: FeedNumber) -> Option<&Arc<Feed>> {
        self.feeds.get(&number)
    }

    /// The stored feed that `wanted` means: same instance, name and prefix. `None`: it may be created. Number
    /// and start position of `wanted` do not count.
    ///
    /// # Errors
    /// [`StorageError::Invalid`], naming the feed and what differs, where a feed of that name and prefix was
    /// created with something else, or where another feed of the same layout has the prefix.
    pub fn check_feed(&self, wanted: &Feed) -> Result<Option<&Arc<Feed>>, StorageError> {
        change::check_feed(self, wanted)
    }

    /// All topics, by number.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// All topics of an instance, by number.
    pub fn topics_of(&self, instance: InstanceNumber) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics
            .values()
            .filter(move |topic| topic.instance == instance)
    }

    /// The topic with this number.
    #[must_use]
    pub fn topic(&self, number: TopicNumber) -> Option<&Arc<Topic>> {
        self.topics.get(&number)
    }

    /// The topic with this name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics_by_name
            .get(name)
            .and_then(|number| self.topics.get(number))
    }

    /// The topic with this Kafka topic id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics_by_id
            .get(&id)
            .and_then(|number| self.topics.get(number))
    }

    /// The topic of a table in a feed, whatever the table's relation is now.
    #[must_use]
    pub fn topic_of_table(
        &self,
        feed: FeedNumber,
        schema: &str,
        name: &str,
    ) -> Option<&Arc<Topic>> {
        self.topics.values().find(|topic| {
            let of = |table: &TableIdentity| table.schema == schema && table.name == name;
            topic.feed == feed && topic.table.as_ref().is_some_and(of)
        })
    }

    /// The latest definition of a table.
    #[must_use]
    pub fn schema(
        &self,
        instance: InstanceNumber,
        schema: &str,
        name: &str,
    ) -> Option<&Arc<Schema>> {
        self.schemas
            .get(&(instance, schema.to_owned(), name.to_owned()))
    }

    /// The latest definition of each table of an instance, by schema and name.
    pub fn schemas_of(&self, instance: InstanceNumber) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas
            .values()
            .filter(move |schema| schema.instance == instance)
    }

    /// The highest schema version so far; 0 if there is none.
    #[must_use]
    pub fn schema_version(&self) -> u64 {
        self.schema_version
    }

    /// The number that the next new instance must have.
    #[must_use]
    pub fn next_instance(&self) -> InstanceNumber {
        let last = self.instances.last_key_value();
        InstanceNumber(last.map_or(1, |(number, _)| number.0 + 1))
    }

    /// The number that the next new feed must have. Several in one change count on from it.
    #[must_use]
    pub fn next_feed(&self) -> FeedNumber {
        FeedNumber(
            self.feeds
                .last_key_value()
                .map_or(1, |(number, _)| number.0 + 1),
        )
    }

    /// The number that the next new topic must have. Several in one change count on from it.
    #[must_use]
    pub fn next_topic(&self) -> TopicNumber {
        TopicNumber(
            self.topics
                .last_key_value()
                .map_or(1, |(number, _)| number.0 + 1),
        )
    }

    /// The version that the next new schema must have.
    #[must_use]
    pub fn next_schema_version(&self) -> u64 {
        self.schema_version + 1
    }

    /// The catalog after `changes`, taken in order as one change.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for the first one that may not be; `self` is as before.
    pub fn with(&self, changes: &[CatalogChange]) -> Result<Self, StorageError> {
        let mut next = self.clone();
        changes.iter().try_for_each(|change| next.apply(change))?;
        next.change_number += 1;
        Ok(next)
    }

    /// Whether both have the same things, whatever their change numbers.
    fn same_things(&self, other: &Self) -> bool {
        *self
            == Self {
                change_number: self.change_number,
                ..other.clone()
            }
    }
}
