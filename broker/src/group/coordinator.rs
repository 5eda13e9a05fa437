//! The state of a group, what of it is durable, and how it looks from outside.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use headwater_storage::{ActiveMember, GroupEvent, GroupMode, Membership, Now};

use super::member::{Caller, Member, millis};
use crate::error_code::Refusal;

/// One group. `u64` keys count admissions: the smallest is the longest-standing member.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(super) mode: GroupMode,
    /// Of the last active member; 0 before the first.
    pub(super) generation: i32,
    pub(super) phase: Phase,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) admissions: u64,
    /// Ids given away (KIP-394), and when they are forgotten (monotonic).
    pub(super) pending: HashMap<String, Duration>,
    /// What the active member assigned to itself, if it is kept.
    pub(super) assignment: Option<Bytes>,
    /// Member id of the last active member, and since this start.
    pub(super) former: Option<String>,
}

/// Where the group is. Times are monotonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No members.
    Idle,
    /// Nobody is active; the candidate is told so by its next heartbeat.
    Promoting { candidate: u64, until: Duration },
    /// The active member has joined, and has not said yet what it assigns to itself.
    Completing { active: u64, until: Duration },
    /// The active member works.
    Stable { active: u64 },
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds all partitions.
    Active,
    /// Is to become active.
    Candidate,
    /// Waits.
    Standby,
}

/// An answer, and what must be durable before it is given.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub(crate) struct Decision<T> {
    pub(crate) answer: T,
    /// Who did it, for the history, and what there is to remember.
    pub(crate) write: Option<(String, Membership, Option<GroupEvent>)>,
}

impl<T> Decision<T> {
    /// Nothing to remember.
    pub(crate) fn only(answer: T) -> Self {
        Self {
            answer,
            write: None,
        }
    }
}

/// A group as tools see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupView {
    /// Kafka's name.
    pub(crate) state: &'static str,
    pub(crate) generation: i32,
    /// Of the active member; empty if there is none.
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberView>,
}

/// A member as tools see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberView {
    pub(crate) role: Role,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) software: String,
    /// Wall clock, ms.
    pub(crate) since_ms: i64,
    /// Empty where they are not kept.
    pub(crate) metadata: Bytes,
    /// Empty where none is kept.
    pub(crate) assignment: Bytes,
}

impl Coordinator {
    /// A group as it was when the broker stopped. The active member has a whole session to show itself; standbys join
    /// again.
    pub(crate) fn restore(mode: GroupMode, membership: &Membership, now: Duration) -> Self {
        let mut group = Self {
            mode,
            generation: membership.generation,
            phase: Phase::Idle,
            members: BTreeMap::new(),
            admissions: 0,
            pending: HashMap::new(),
            assignment: None,
            former: None,
        };
        if let Some(active) = &membership.active {
            group.restore_active(active, now);
        }
        group
    }

    fn restore_active(&mut self, active: &ActiveMember, now: Duration) {
        let mut member = Member {
            member_id: active.member_id.clone(),
            instance_id: active.instance_id.clone(),
            client_id: active.client_id.clone(),
            client_host: active.client_host.clone(),
            software: active.software.clone(),
            session_timeout: millis(active.session_timeout_ms),
            rebalance_timeout: millis(active.rebalance_timeout_ms),
            protocol: active.protocol.clone(),
            metadata: Bytes::new(),
            names_topics: false,
            is_to_join_again: false,
            asked_again: 0,
            generation: self.generation,
            expires: now,
            since_ms: active.since_ms,
        };
        member.touch(now);
        self.assignment = active.assignment.clone().map(Bytes::from);
        // Without an assignment it may have synchronised or not: it may do so still, and need not.
        self.phase = Phase::Stable { active: 0 };
        self.former = Some(member.member_id.clone());
        self.members.insert(0, member);
        self.admissions = 1;
    }

    /// What a start has to know.
    pub(super) fn membership(&self) -> Membership {
        let active = self.active().and_then(|active| self.members.get(&active));
        Membership {
            generation: self.generation,
            active: active.map(|member| ActiveMember {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                software: member.software.clone(),
                session_timeout_ms: whole_millis(member.session_timeout),
                rebalance_timeout_ms: whole_millis(member.rebalance_timeout),
                protocol: member.protocol.clone(),
                assignment: self.assignment.as_ref().map(|bytes| bytes.to_vec()),
                since_ms: member.since_ms,
            }),
            restored: None,
        }
    }

    /// The active member.
    pub(super) fn active(&self) -> Option<u64> {
        match self.phase {
            Phase::Completing { active, .. } | Phase::Stable { active } => Some(active),
            Phase::Idle | Phase::Promoting { .. } => None,
        }
    }

    pub(super) fn role(&self, member: u64) -> Role {
        match self.phase {
            Phase::Completing { active, .. } | Phase::Stable { active } if active == member => {
                Role::Active
            }
            Phase::Promoting { candidate, .. } if candidate == member => Role::Candidate,
            Phase::Idle
            | Phase::Promoting { .. }
            | Phase::Completing { .. }
            | Phase::Stable { .. } => Role::Standby,
        }
    }

    /// Whether nobody is there: a consumer that assigns its partitions itself may commit, an operator may seek.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether there is nothing to wait for either.
    pub(crate) fn is_quiet(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    /// What a second consumer is told.
    pub(crate) fn mode(&self) -> &'static str {
        match self.mode {
            GroupMode::Exclusive => "exclusive",
            GroupMode::Reject => "reject",
        }
    }

    /// From now on, for who joins from now on.
    pub(crate) fn set_mode(&mut self, mode: GroupMode) {
        self.mode = mode;
    }

    /// The member that a request is from.
    pub(super) fn find(&self, caller: Caller<'_>) -> Result<u64, Refusal> {
        let named = |member: &Member| member.member_id == caller.member_id;
        let (key, member) = match caller.instance_id {
            None => self.members.iter().find(|(_, member)| named(member)),
            Some(_) => self
                .members
                .iter()
                .find(|(_, member)| member.instance_id.as_deref() == caller.instance_id),
        }
        .ok_or(Refusal::UnknownMemberId)?;
        if named(member) {
            Ok(*key)
        } else {
            Err(Refusal::FencedInstanceId)
        }
    }

    /// The member that a request is from, if the request is of its generation; extends its session.
    pub(super) fn find_current(
        &mut self,
        now: Now,
        caller: Caller<'_>,
        generation: i32,
    ) -> Result<u64, Refusal> {
        let key = self.find(caller)?;
        let member = self.members.get_mut(&key).ok_or(Refusal::UnknownMemberId)?;
        if member.generation != generation {
            return Err(Refusal::IllegalGeneration);
        }
        member.touch(now.monotonic);
        Ok(key)
    }

    /// How the group looks.
    pub(crate) fn view(&self) -> GroupView {
        let active = self.active().and_then(|active| self.members.get(&active));
        let members = self.members.iter();
        GroupView {
            state: match self.phase {
                Phase::Idle => "Empty",
                Phase::Promoting { .. } => "PreparingRebalance",
                Phase::Completing { .. } => "CompletingRebalance",
                Phase::Stable { .. } => "Stable",
            },
            generation: self.generation,
            protocol: active.map_or_else(String::new, |active| active.protocol.clone()),
            members: members
                .map(|(key, member)| self.member_view(*key, member))
                .collect(),
        }
    }

    fn member_view(&self, key: u64, member: &Member) -> MemberView {
        let role = self.role(key);
        let assignment = match role {
            Role::Active => self.assignment.clone().unwrap_or_default(),
            Role::Candidate | Role::Standby => Bytes::from_static(super::EMPTY_ASSIGNMENT),
        };
        MemberView {
            role,
            member_id: member.member_id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            software: member.software.clone(),
            since_ms: member.since_ms,
            metadata: member.metadata.clone(),
            assignment,
        }
    }
}

fn whole_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
