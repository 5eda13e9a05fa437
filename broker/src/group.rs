//! The coordinator of one consumer group: one active consumer, the others hot standbys. A pure state machine: no
//! socket, no clock, no sled; every request is answered at once, with what has to be durable before the answer goes.
//!
//! Kafka's classic protocol gathers all members at a barrier and lets one of them divide the partitions. Here nobody
//! waits for anybody: whoever becomes active is told that it is the leader and the only member, so its own assignor
//! gives it everything; everybody else is told that somebody else leads, and that its own share is empty. So members
//! need no protocol in common, and standbys that come and go never disturb the active one.
//!
//! When the active member leaves, falls silent, or is put out, it is fenced first (its id is unknown from then on,
//! durably), and the longest-standing standby becomes the candidate: its next heartbeat, and nobody else's, is answered
//! `REBALANCE_IN_PROGRESS`; it joins again and is active in a new generation. A candidate that does not come within
//! [`CANDIDATE_WAIT`] makes way for the next one. Only an active member gets a new generation number; a standby keeps
//! the one that it was told when it joined.
//!
//! State of the group x who asks x what. `+` the session is extended. `new` is somebody without a member id, `pending`
//! was given one and is to come back with it (KIP-394), `other` has an id that is no member's.
//!
//! | state (Kafka's name)             | who       | JoinGroup        | SyncGroup            | Heartbeat | OffsetCommit | LeaveGroup      |
//! |----------------------------------|-----------|------------------|----------------------|-----------|--------------|-----------------|
//! | any                              | other     | 25               | 25                   | 25        | 25           | 25              |
//! | any                              | pending   | as `new`, below  | 25                   | 25        | 25           | forgotten       |
//! | idle (Empty)                     | new       | active           | -                    | -         | accepted (1) | -               |
//! | promoting (PreparingRebalance)   | new       | standby (2)      | -                    | -         | 25           | -               |
//! |                                  | candidate | active           | 27 +                 | 27 +      | 22 +         | next candidate  |
//! |                                  | standby   | standby +        | empty share +        | 0 +       | 22 +         | removed         |
//! | completing (CompletingRebalance) | new       | standby (2)      | -                    | -         | 25           | -               |
//! |                                  | active    | active anew +    | its share: stable +  | 0 +       | 27 +         | candidate, or idle |
//! |                                  | standby   | standby +        | empty share +        | 0 +       | 22 +         | removed         |
//! | stable (Stable)                  | new       | standby (2)      | -                    | -         | 25           | -               |
//! |                                  | active    | active anew +    | its share +          | 0 (3) +   | accepted +   | candidate, or idle |
//! |                                  | standby   | standby +        | empty share +        | 0 +       | 22 +         | removed         |
//!
//! (1) Without member id and with generation -1, as consumers do that assign partitions themselves. (2) In mode `reject`:
//! `GROUP_MAX_SIZE_REACHED`. A generation other than the member's own is answered 22 by SyncGroup, Heartbeat and
//! OffsetCommit; an instance id that another member has now, 82.
//!
//! (3) 27 while it has assigned itself nothing although it subscribes to topics that exist, at most
//! [`ASKED_AGAIN_MAX`] times: it joined before it knew of them, and may not notice for minutes. On Kafka a first member
//! waits 3 s for others (`group.initial.rebalance.delay.ms`), which hides that; here it would be too quick.
//!
//! Sources: Kafka's `ClassicGroup`, KIP-134, KIP-345, KIP-394, KIP-559. Where we differ: `docs/wire.md`.

mod coordinator;
mod departure;
mod fence;
mod join;
mod member;
pub(crate) mod subscription;
mod sync;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use self::{
    coordinator::{Coordinator, Decision, GroupView, MemberView, Role},
    join::{Join, Joined},
    member::Caller,
    sync::{EMPTY_ASSIGNMENT, Sync},
};

/// Members and pending ids of one group.
pub(crate) const MEMBERS_MAX: usize = 64;

/// Session timeouts that are accepted, ms (Kafka: `group.min.session.timeout.ms`, `group.max.session.timeout.ms`).
pub(crate) const SESSION_TIMEOUT_MS: std::ops::RangeInclusive<i32> = 6_000..=1_800_000;

/// How long a candidate may take to join before the next one is asked; less if its session is shorter.
pub(crate) const CANDIDATE_WAIT: Duration = Duration::from_secs(10);

/// How often an active member that assigned itself nothing is asked to join again.
pub(crate) const ASKED_AGAIN_MAX: u8 = 3;

/// An assignment that is longer is answered and not kept, bytes: tools then show none, and nothing else changes.
pub(crate) const ASSIGNMENT_BYTES_KEPT: usize = 32 << 10;

/// What members say when they join (subscription, user data of their assignor) is kept for tools, of all members of a
/// group together so much, bytes; tools see nothing of a member whose metadata do not fit.
pub(crate) const METADATA_BYTES_KEPT: usize = 8 << 10;

/// The protocol type of consumers. Others (Connect workers) need a barrier and are refused.
pub(crate) const CONSUMER: &str = "consumer";
