//! What may become of the catalog: the changes, and the rules each must keep.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Catalog, Feed, Group, Instance, OldestFile, Schema, TableIdentity, Topic, entity::GAPS_MAX,
    group,
};
use crate::{
    error::StorageError,
    number::{InstanceNumber, LeaderEpoch},
};

/// One thing made or changed. The whole new value; the same value again changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CatalogChange {
    /// An instance.
    Instance(Instance),
    /// A feed.
    Feed(Feed),
    /// A topic.
    Topic(Topic),
    /// A schema version.
    Schema(Schema),
    /// A consumer group.
    Group(Group),
    /// The oldest file of an instance's log. A lower one than before changes nothing.
    OldestFile(OldestFile),
}

/// Longest topic name, bytes (Kafka's `Topic.MAX_NAME_LENGTH`).
const TOPIC_NAME_BYTES_MAX: usize = 249;

impl Catalog {
    pub(super) fn apply(&mut self, change: &CatalogChange) -> Result<(), StorageError> {
        match change {
            CatalogChange::Instance(instance) => self.put_instance(instance),
            CatalogChange::Feed(feed) => self.put_feed(feed),
            CatalogChange::Topic(topic) => self.put_topic(topic),
            CatalogChange::Schema(schema) => self.put_schema(schema),
            CatalogChange::Group(group) => group::put(self, group),
            CatalogChange::OldestFile(oldest) => self.put_oldest_file(oldest),
        }
    }

    fn put_instance(&mut self, instance: &Instance) -> Result<(), StorageError> {
        let name = &instance.name;
        if let Some(old) = self.instance(instance.number) {
            let grown = Instance {
                incarnation: old.incarnation,
                pause: old.pause.clone(),
                gaps: old.gaps.clone(),
                ..instance.clone()
            };
            require(
                grown == **old && instance.incarnation >= old.incarnation,
                || {
                    format!(
                        "instance {name} (number {}) was created differently",
                        old.number
                    )
                },
            )?;
            check_gaps(old, instance)?;
        } else {
            require(!name.is_empty(), || "an instance needs a name".to_owned())?;
            require_next("instance", instance.number, self.next_instance())?;
            require(self.instance_by_name(name).is_none(), || {
                format!("instance {name} exists already")
            })?;
        }
        self.instances
            .insert(instance.number, Arc::new(instance.clone()));
        Ok(())
    }

    fn put_feed(&mut self, feed: &Feed) -> Result<(), StorageError> {
        self.require_instance(feed.instance)?;
        if let Some(old) = self.feed(feed.number) {
            return require(**old == *feed, || {
                format!(
                    "feed {} (number {}) was created differently",
                    feed.name, feed.number
                )
            });
        }
        require_next("feed", feed.number, self.next_feed())?;
        require(feed.partitions > 0, || {
            format!("feed {} needs a partition", feed.name)
        })?;
        require(check_feed(self, feed)?.is_none(), || {
            format!(
                "feed {} with prefix {} exists already",
                feed.name, feed.prefix
            )
        })?;
        self.feeds.insert(feed.number, Arc::new(feed.clone()));
        Ok(())
    }

    fn put_topic(&mut self, topic: &Topic) -> Result<(), StorageError> {
        check_epochs(topic)?;
        match self.topic(topic.number) {
            Some(old) => check_topic_change(old, topic)?,
            None => self.check_new_topic(topic)?,
        }
        self.topics_by_name.insert(topic.name.clone(), topic.number);
        self.topics_by_id.insert(topic.id, topic.number);
        self.topics.insert(topic.number, Arc::new(topic.clone()));
        Ok(())
    }

    fn check_new_topic(&self, topic: &Topic) -> Result<(), StorageError> {
        let name = &topic.name;
        self.require_instance(topic.instance)?;
        let feed = self
            .feed(topic.feed)
            .filter(|feed| feed.instance == topic.instance);
        require(feed.is_some(), || {
            format!("topic {name}: no feed number {}", topic.feed)
        })?;
        require_next("topic", topic.number, self.next_topic())?;
        require(is_topic_name(name), || {
            format!("{name:?} is no topic name: 1 to {TOPIC_NAME_BYTES_MAX} of A-Z a-z 0-9 . _ -")
        })?;
        require(!topic.id.is_nil(), || {
            format!("topic {name} needs an id other than zero")
        })?;
        require(self.topic_by_id(topic.id).is_none(), || {
            format!("topic {name}: id {} is taken", topic.id)
        })?;
        self.topic_by_name(name).map_or(Ok(()), |taken| {
            let (wanted, taken) = (self.describe(topic), self.describe(taken));
            Err(StorageError::Invalid(format!(
                "topic name {name} is wanted for {wanted}, and taken by {taken}; \
                 give one of the feeds another prefix"
            )))
        })
    }

    fn put_schema(&mut self, schema: &Schema) -> Result<(), StorageError> {
        self.require_instance(schema.instance)?;
        let next = self.next_schema_version();
        require(schema.version == next, || {
            format!(
                "schema version {} does not follow {}",
                schema.version,
                next - 1
            )
        })?;
        let TableIdentity {
            schema: namespace,
            name,
            relation: _,
        } = schema.table.clone();
        self.schemas
            .insert((schema.instance, namespace, name), Arc::new(schema.clone()));
        self.schema_version = schema.version;
        Ok(())
    }

    fn put_oldest_file(&mut self, oldest: &OldestFile) -> Result<(), StorageError> {
        self.require_instance(oldest.instance)?;
        let file = self.oldest_file(oldest.instance).max(oldest.file);
        self.oldest_files.insert(oldest.instance, file);
        Ok(())
    }

    pub(super) fn require_instance(&self, number: InstanceNumber) -> Result<(), StorageError> {
        require(self.instances.contains_key(&number), || {
            format!("no instance number {number}")
        })
    }

    /// Instance, feed and table of a topic, for people.
    fn describe(&self, topic: &Topic) -> String {
        let instance = self
            .instance(topic.instance)
            .map_or("?", |instance| &instance.name);
        let feed = self.feed(topic.feed).map_or("?", |feed| &feed.name);
        let table = topic.table.as_ref();
        let table = table.map_or(String::new(), |t| {
            format!(", table {}.{}", t.schema, t.name)
        });
        format!("instance {instance}, feed {feed}{table}")
    }
}

pub(super) fn check_feed<'a>(
    catalog: &'a Catalog,
    wanted: &Feed,
) -> Result<Option<&'a Arc<Feed>>, StorageError> {
    let mut same_prefix = catalog
        .feeds_of(wanted.instance)
        .filter(|feed| feed.prefix == wanted.prefix);
    let Some(found) =
        same_prefix.find(|feed| feed.name == wanted.name || feed.layout == wanted.layout)
    else {
        return Ok(None);
    };
    let differences = feed_differences(found, wanted);
    require(differences.is_empty(), || {
        format!(
            "feed {} with prefix {} was created with {}; what a feed is created with stays: \
             use a new prefix",
            found.name,
            found.prefix,
            differences.join(", "),
        )
    })?;
    Ok(Some(found))
}

/// `field was, not is` for each field that is fixed at creation.
fn feed_differences(old: &Feed, new: &Feed) -> Vec<String> {
    let preset = |feed: &Feed| feed.preset.clone().unwrap_or_else(|| "none".to_owned());
    let fields = [
        ("name", old.name.clone(), new.name.clone()),
        ("layout", old.layout.to_string(), new.layout.to_string()),
        ("format", old.format.clone(), new.format.clone()),
        ("preset", preset(old), preset(new)),
        ("key", old.key.clone(), new.key.clone()),
        (
            "partitions",
            old.partitions.to_string(),
            new.partitions.to_string(),
        ),
    ];
    let differs = fields.into_iter().filter(|(_, old, new)| old != new);
    differs
        .map(|(field, old, new)| format!("{field} {old} (wanted now: {new})"))
        .collect()
}

/// An incarnation and its gap come together.
fn check_gaps(old: &Instance, new: &Instance) -> Result<(), StorageError> {
    let follows = if new.incarnation == old.incarnation {
        new.gaps == old.gaps
    } else {
        new.gaps.last().map(|gap| gap.incarnation) == Some(new.incarnation)
    };
    require(follows && new.gaps.len() <= GAPS_MAX, || {
        format!(
            "instance {}: each incarnation has the gap before it, and at most {GAPS_MAX} are kept",
            new.name
        )
    })
}

fn check_topic_change(old: &Topic, new: &Topic) -> Result<(), StorageError> {
    let relation = |table: &TableIdentity| TableIdentity {
        relation: 0,
        ..table.clone()
    };
    let same_table = old.table.as_ref().map(relation) == new.table.as_ref().map(relation);
    let fixed = |topic: &Topic| (topic.id, topic.name.clone(), topic.instance, topic.feed);
    require(same_table && fixed(old) == fixed(new), || {
        format!(
            "topic {} (number {}) was created differently",
            old.name, old.number
        )
    })?;
    require(new.epochs.starts_with(&old.epochs), || {
        format!("topic {}: leader epochs are added, never changed", old.name)
    })
}

fn check_epochs(topic: &Topic) -> Result<(), StorageError> {
    let rises = |pair: &[LeaderEpoch]| match pair {
        [a, b] => a.epoch < b.epoch && a.start_offset <= b.start_offset,
        _ => true,
    };
    let starts = topic.epochs.starts_with(&Topic::first_epoch());
    require(starts && topic.epochs.windows(2).all(rises), || {
        format!(
            "topic {}: leader epochs must rise from 0 at offset 0",
            topic.name
        )
    })
}

/// Kafka's rule (`Topic.validate`).
fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(legal)
        && !matches!(name, "." | "..")
}

pub(super) fn require_next<N: PartialEq + std::fmt::Display>(
    what: &str,
    given: N,
    next: N,
) -> Result<(), StorageError> {
    require(given == next, || {
        format!("the next {what} has number {next}, not {given}")
    })
}

pub(super) fn require(
    condition: bool,
    otherwise: impl FnOnce() -> String,
) -> Result<(), StorageError> {
    if condition {
        Ok(())
    } else {
        Err(StorageError::Invalid(otherwise()))
    }
}
