//! Positions, history entries and memberships as values, and the bytes of a position.
//!
//! Position: version u8 = 1, three zero bytes, leader epoch i32, offset i64, commit time i64, metadata. The others
//! are JSON.

use serde::{Deserialize, Serialize};

use crate::{
    catalog::base64_text,
    codec::{Input, Output},
    frame::FrameError,
    number::{InstanceNumber, TopicNumber},
};

const VERSION: u8 = 1;

/// Longest metadata of a position, bytes (Kafka's `offset.metadata.max.bytes`).
pub const METADATA_BYTES_MAX: usize = 4_096;

/// One partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicNumber,
    /// From 0.
    pub partition: u16,
}

/// Where a group is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The next record to be read.
    pub offset: i64,
    /// Leader epoch of the record before, as the client said; -1 if it did not.
    pub leader_epoch: i32,
    /// When it was committed, ms since 1970.
    pub commit_ms: i64,
    /// As the client gave it, byte for byte; at most [`METADATA_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
}

impl Position {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = vec![VERSION, 0, 0, 0];
        value.i32(self.leader_epoch);
        value.i64(self.offset);
        value.i64(self.commit_ms);
        value.extend_from_slice(self.metadata.as_bytes());
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, FrameError> {
        let (head, metadata) = value.split_at_checked(24).ok_or(FrameError::Malformed)?;
        let mut input = Input::new(head);
        if input.u8()? != VERSION {
            return Err(FrameError::Newer("position"));
        }
        input.zeros(3)?;
        let leader_epoch = input.i32()?;
        let (offset, commit_ms) = (input.i64()?, input.i64()?);
        let metadata = std::str::from_utf8(metadata).map_err(|_| FrameError::Malformed)?;
        Ok(Self {
            offset,
            leader_epoch,
            commit_ms,
            metadata: metadata.to_owned(),
        })
    }
}

/// What happened to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum GroupEvent {
    /// A consumer committed; at most one a minute is kept.
    Commit,
    /// Somebody moved the group.
    Seek {
        /// As asked for: `start`, `-15m`, `kafka tool`.
        to: String,
    },
    /// Somebody took a seek back.
    Undo {
        /// Sequence of the seek.
        seek: u64,
    },
    /// Another member became active.
    Takeover {
        /// Member id of the one before, if there was one.
        from: Option<String>,
        /// Member id of the new one.
        member: String,
    },
    /// The group was made.
    Created,
    /// It has a new password.
    Password,
    /// It was deleted.
    Deleted,
    /// Sled was lost, and the positions come from the copy.
    Restored {
        /// When the copy was written, ms since 1970; `None`: there was none that could be read.
        from_ms: Option<i64>,
    },
}

/// A position before and after an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where.
    #[serde(flatten)]
    pub at: TopicPartition,
    /// `None`: there was none.
    pub from: Option<Position>,
    /// `None`: there is none any more.
    pub to: Option<Position>,
}

/// One entry of a group's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When, ms since 1970.
    pub at_ms: i64,
    /// A client or an operator.
    pub who: String,
    /// What.
    pub event: GroupEvent,
    /// The positions it moved; all of the group where it moved none.
    pub moves: Vec<Move>,
}

impl HistoryEntry {
    /// Without metadata, which may be large.
    pub(super) fn without_metadata(mut self) -> Self {
        let positions = self.moves.iter_mut().flat_map(|m| [&mut m.from, &mut m.to]);
        for position in positions.flatten() {
            position.metadata.clear();
        }
        self
    }
}

/// The member that holds a group's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveMember {
    /// Given by the broker.
    pub member_id: String,
    /// Kafka's `group.instance.id` (KIP-345).
    pub instance_id: Option<String>,
    /// As the client calls itself.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Name and version of its library, as it says (KIP-511); may be empty.
    pub software: String,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// How long it may take to synchronise.
    pub rebalance_timeout_ms: i32,
    /// Its assignor.
    pub protocol: String,
    /// What it assigned to itself; `None` before that, and where it is too long to keep.
    #[serde(with = "base64_text::optional")]
    pub assignment: Option<Vec<u8>>,
    /// Since when it is active, ms since 1970.
    pub since_ms: i64,
}

/// Sled was lost, and a group's positions are those of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredFrom {
    /// When the copy was written, ms since 1970; `None`: there was none that could be read.
    pub from_ms: Option<i64>,
    /// When it was taken, ms since 1970.
    pub at_ms: i64,
}

/// What a start has to know of a group's members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Of the last active member; never goes back.
    pub generation: i32,
    /// `None`: nobody is active.
    pub active: Option<ActiveMember>,
    /// Until somebody commits or seeks.
    pub restored: Option<RestoredFrom>,
}

/// A group that came into being on first use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUse {
    /// Kafka's `group.id`.
    pub id: String,
    /// Of the first topic that it named; `None` so far.
    pub instance: Option<InstanceNumber>,
    /// When, ms since 1970.
    pub created_ms: i64,
    /// How long the broker ran since its last member and commit, ms.
    pub idle_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_the_bytes_of_the_table() {
        let position = Position {
            offset: 7,
            leader_epoch: -1,
            commit_ms: 1_790_000_000_000,
            metadata: "1700000009\0".to_owned(),
        };
        let bytes = position.encode();
        assert_eq!(bytes[..8], [1, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(bytes[8..16], [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(bytes[24..], *b"1700000009\0");
        assert_eq!(Position::decode(&bytes), Ok(position));
    }

    #[test]
    fn bytes_that_are_no_position_are_refused() {
        let good = Position {
            offset: 7,
            leader_epoch: 0,
            commit_ms: 1,
            metadata: String::new(),
        }
        .encode();
        for (at, byte) in [(0, 2), (1, 1), (3, 9)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(Position::decode(&bad).is_err(), "byte {at}");
        }
        assert!(Position::decode(&good[..23]).is_err());
        assert!(Position::decode(&[good.as_slice(), &[0xff]].concat()).is_err());
    }
}
