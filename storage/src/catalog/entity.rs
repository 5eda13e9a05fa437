//! What the catalog holds: instances, feeds, topics, schema versions. Plain values; their JSON is what
//! `catalog.log` and sled store (`docs/format.md`). Fields unknown to this version are ignored when read.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::number::{FeedNumber, InstanceNumber, LeaderEpoch, TopicNumber};

/// Kind of a source database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// PostgreSQL, logical replication.
    Postgresql,
}

/// Gaps that an instance remembers; of more, the oldest are forgotten.
pub const GAPS_MAX: usize = 64;

/// Capture rests because an operator said so, until one takes it back. Outlives restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when, ms since 1970.
    pub since_ms: i64,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
}

/// Changes of the source that are not in the log, and will never be: between two incarnations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The incarnation that begins behind it.
    pub incarnation: u32,
    /// Source position up to which the log has everything, as stored in commit frames; empty: nothing was captured.
    #[serde(with = "hex")]
    pub from: Vec<u8>,
    /// Source position behind which the log goes on. Of another server, maybe: then nothing is known of what lies
    /// between.
    #[serde(with = "hex")]
    pub to: Vec<u8>,
    /// When it was accepted, ms since 1970.
    pub at_ms: i64,
    /// The state that made it necessary, or that it was forced.
    pub reason: String,
}

/// One tracked database. Fixed at creation: everything but `incarnation`, `pause` and `gaps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Dense from 1, never used twice.
    pub number: InstanceNumber,
    /// Unique in the data directory.
    pub name: String,
    /// What is read.
    pub source: SourceKind,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Counts the resyncs: 0 at first, one more after each gap. Never goes back.
    pub incarnation: u32,
    /// Set while capture is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// One for each resync, oldest first, at most [`GAPS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// What retention has left of an instance's log: files before this one are deleted, or will be at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldestFile {
    /// Whose log.
    pub instance: InstanceNumber,
    /// Number of its oldest file. Never goes back.
    pub file: u64,
}

/// How a feed spreads changes over topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedLayout {
    /// One topic per table.
    PerTable,
    /// One topic for the whole database, in commit order.
    Stream,
}

impl fmt::Display for FeedLayout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PerTable => "per-table",
            Self::Stream => "stream",
        })
    }
}

/// One rendering of an instance's changes into topics. Fixed at creation: everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Dense from 1 over all instances, never used twice.
    pub number: FeedNumber,
    /// Whose changes.
    pub instance: InstanceNumber,
    /// As in the configuration: `tables`, `dts`, or the operator's. With `prefix`, unique in the instance.
    pub name: String,
    /// Which topics.
    pub layout: FeedLayout,
    /// Which bytes: `debezium-json`.
    pub format: String,
    /// Variant of the format, where it has any: `flink`.
    pub preset: Option<String>,
    /// What the record key is made of: `primary-key`.
    pub key: String,
    /// Partitions of each topic.
    pub partitions: u32,
    /// What the topics' names begin with (layout `stream`: the topic's name).
    pub prefix: String,
    /// Source position behind which the feed begins, as stored in commit frames; empty: the instance's first.
    #[serde(with = "hex")]
    pub start_position: Vec<u8>,
}

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableIdentity {
    /// Schema (PostgreSQL) or database (MySQL), unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// PostgreSQL: `pg_class.oid`. Another one after the table was dropped and made anew.
    pub relation: u32,
}

/// One Kafka topic. Fixed at creation: everything but the table's `relation` and epochs that are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Dense from 1 over all instances, never used twice.
    pub number: TopicNumber,
    /// Kafka's topic id (KIP-516): random, never zero. [`random_id`] makes one.
    pub id: Uuid,
    /// Unique in the data directory; 1 to 249 of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Whose changes.
    pub instance: InstanceNumber,
    /// In which rendering.
    pub feed: FeedNumber,
    /// Of which table; `None` for a stream.
    pub table: Option<TableIdentity>,
    /// Oldest first, never empty; starts as [`Topic::first_epoch`].
    pub epochs: Vec<LeaderEpoch>,
}

impl Topic {
    /// The epochs of a new topic: epoch 0 from offset 0 on.
    #[must_use]
    pub fn first_epoch() -> Vec<LeaderEpoch> {
        vec![LeaderEpoch {
            epoch: 0,
            start_offset: 0,
        }]
    }

    /// The epoch that new records carry.
    #[must_use]
    pub fn epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |last| last.epoch)
    }
}

/// A table's definition from some commit on. Never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Dense from 1 over the data directory; commit frames name the highest one in force.
    pub version: u64,
    /// Whose table.
    pub instance: InstanceNumber,
    /// Which table.
    pub table: TableIdentity,
    /// Columns and key as the capture side describes them. Opaque here.
    pub definition: serde_json::Value,
}

/// A random version 4 id for a directory or topic: never zero, and its base64url form never begins with `-`,
/// which Kafka's command line tools would take for an option (as Kafka's own `Uuid.randomUuid`).
#[must_use]
pub fn random_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        let first_character = id.as_bytes()[0] >> 2;
        if !id.is_nil() && first_character != 62 {
            return id;
        }
    }
}

/// Bytes as lower case hexadecimal text.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let pairs = text.as_bytes().chunks(2);
        pairs
            .map(pair)
            .collect::<Option<_>>()
            .ok_or_else(|| D::Error::custom("not hexadecimal"))
    }

    fn pair(digits: &[u8]) -> Option<u8> {
        let [high, low] = digits else { return None };
        let value = |digit: &u8| {
            char::from(*digit)
                .to_digit(16)
                .and_then(|v| u8::try_from(v).ok())
        };
        Some(value(high)? << 4 | value(low)?)
    }
}
