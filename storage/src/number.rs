//! The numbers that name things on disk. Given once, never reused inside a data directory.

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One tracked database. Names the journal's folder.
    InstanceNumber
}
number! {
    /// One rendering of an instance's changes into topics.
    FeedNumber
}
number! {
    /// One consumer group. Names its positions and history in sled. Below 2^31 for groups of the catalog; the upper half
    /// is for groups that came into being on first use.
    GroupNumber
}
number! {
    /// One topic, over all instances. Stands in every frame header.
    TopicNumber
}

impl GroupNumber {
    /// The first number of groups that come into being on first use. Those of the catalog end before it.
    pub const FIRST_USE: Self = Self(1 << 31);

    /// Whether the group came into being on first use.
    #[must_use]
    pub fn is_first_use(self) -> bool {
        self >= Self::FIRST_USE
    }
}

/// From which offset on a topic's batches carry which leader epoch. A topic's list ascends in both fields
/// and starts with epoch 0 at offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderEpoch {
    /// The epoch, stamped into the batches.
    pub epoch: i32,
    /// First offset of the epoch.
    pub start_offset: i64,
}
