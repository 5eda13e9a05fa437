//! Where consumer groups are: each group has a log of its own in sled, its positions overwritten in place and a
//! history of who moved them (`docs/format.md`, "Logs of consumer groups").
//!
//! Writing goes through [`PositionStore::write`], many groups at once with one sync; what it was given is durable when
//! it returns. Whether a commit may be (who is active, which generation) is decided by the caller, who keeps the group
//! still until the write is done. Nothing here knows Kafka's messages.
//!
//! | part | does |
//! |---|---|
//! | [`value`] | a position, a history entry, a membership: values and their bytes |
//! | [`history`] | which history entries stay |
//! | [`store`] | reading, writing, forgetting |
//! | [`copy`] | `positions.copy`, and what a start without sled takes from it |

mod copy;
mod history;
mod store;
mod value;

pub use self::{
    copy::{RestoredPositions, restore_positions},
    store::{GroupWrite, PositionStore},
    value::{
        ActiveMember, FirstUse, GroupEvent, HistoryEntry, METADATA_BYTES_MAX, Membership, Move,
        Position, RestoredFrom, TopicPartition,
    },
};
