//! JoinGroup: who becomes a member, and who becomes active.

use headwater_storage::{GroupEvent, GroupMode, Now};

use super::{
    CONSUMER, MEMBERS_MAX, METADATA_BYTES_KEPT, SESSION_TIMEOUT_MS,
    coordinator::{Coordinator, Decision, Phase, Role},
    member::{Caller, Member, millis},
};
use crate::error_code::Refusal;

/// A JoinGroup request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Join<'a> {
    pub(crate) caller: Caller<'a>,
    /// As the client calls itself.
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
    pub(crate) software: &'a str,
    pub(crate) session_timeout_ms: i32,
    /// Of version 0, which has none: the session timeout.
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: &'a str,
    /// The first protocol offered; empty if none is.
    pub(crate) protocol: &'a str,
    /// What the client says with it: bytes of its own protocol.
    pub(crate) metadata: &'a [u8],
    /// Whether it subscribes to a topic that exists and that it may read.
    pub(crate) names_topics: bool,
    /// Whether the client expects `MEMBER_ID_REQUIRED` (version 4 and later).
    pub(crate) knows_pending: bool,
    /// Random; the id of a member that is new.
    pub(crate) fresh_id: &'a str,
}

/// The answer to a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Joined {
    /// No. `member_id` is the id to come back with, or the one that the client gave.
    Refused { refusal: Refusal, member_id: String },
    /// A member. It is active if it is the leader itself.
    Member {
        generation: i32,
        member_id: String,
        leader: String,
        protocol: String,
    },
}

impl Coordinator {
    /// Answers a JoinGroup at once; see the table of [`super`].
    pub(crate) fn join(&mut self, now: Now, join: &Join<'_>) -> Decision<Joined> {
        let admitted = check(join).and_then(|()| self.admit(now, join));
        let placed = admitted.and_then(|member| self.place(now, member));
        match placed {
            Ok(decision) => decision,
            Err(refusal) => Decision::only(Joined::Refused {
                refusal,
                member_id: if refusal == Refusal::MemberIdRequired {
                    join.fresh_id.to_owned()
                } else {
                    join.caller.member_id.to_owned()
                },
            }),
        }
    }

    /// Makes the caller a member, or finds it.
    fn admit(&mut self, now: Now, join: &Join<'_>) -> Result<u64, Refusal> {
        let key = self.find_or_insert(now, join)?;
        let of_others = self.members.iter().filter(|(other, _)| **other != key);
        let taken: usize = of_others.map(|(_, member)| member.metadata.len()).sum();
        if let Some(member) = self.members.get_mut(&key) {
            member.update(join, METADATA_BYTES_KEPT.saturating_sub(taken));
            member.touch(now.monotonic);
        }
        Ok(key)
    }

    fn find_or_insert(&mut self, now: Now, join: &Join<'_>) -> Result<u64, Refusal> {
        let caller = join.caller;
        if caller.member_id.is_empty() {
            return match caller.instance_id {
                Some(instance_id) => self.static_member(now, join, instance_id),
                None => self.new_member(now, join),
            };
        }
        if self.pending.contains_key(caller.member_id) {
            self.check_room(1)?;
            self.pending.remove(caller.member_id);
            return Ok(self.insert(now, join, caller.member_id.to_owned()));
        }
        self.find(caller)
    }

    /// A static member that has lost its id, or comes for the first time (KIP-345). The old id is fenced by being
    /// replaced.
    fn static_member(
        &mut self,
        now: Now,
        join: &Join<'_>,
        instance_id: &str,
    ) -> Result<u64, Refusal> {
        let known = |member: &Member| member.instance_id.as_deref() == Some(instance_id);
        let mut members = self.members.iter_mut();
        if let Some((key, member)) = members.find(|(_, member)| known(member)) {
            join.fresh_id.clone_into(&mut member.member_id);
            return Ok(*key);
        }
        self.check_room(0)?;
        Ok(self.insert(now, join, join.fresh_id.to_owned()))
    }

    fn new_member(&mut self, now: Now, join: &Join<'_>) -> Result<u64, Refusal> {
        self.check_room(0)?;
        if join.knows_pending {
            let forgotten = now.monotonic + millis(join.session_timeout_ms);
            self.pending.insert(join.fresh_id.to_owned(), forgotten);
            return Err(Refusal::MemberIdRequired);
        }
        Ok(self.insert(now, join, join.fresh_id.to_owned()))
    }

    /// `counted` of the members and pending ids are the caller's own.
    fn check_room(&self, counted: usize) -> Result<(), Refusal> {
        let others = self.members.len() + self.pending.len() - counted;
        let alone = self.mode == GroupMode::Reject && !self.members.is_empty();
        if alone || others >= MEMBERS_MAX {
            return Err(Refusal::GroupMaxSizeReached);
        }
        Ok(())
    }

    fn insert(&mut self, now: Now, join: &Join<'_>, member_id: String) -> u64 {
        let key = self.admissions;
        self.admissions += 1;
        self.members
            .insert(key, Member::new(join, member_id, now.wall_ms));
        key
    }

    fn place(&mut self, now: Now, member: u64) -> Result<Decision<Joined>, Refusal> {
        match (self.phase, self.role(member)) {
            (Phase::Idle, _) | (_, Role::Active | Role::Candidate) => self.activate(now, member),
            (
                Phase::Promoting {
                    candidate: leader, ..
                }
                | Phase::Completing { active: leader, .. }
                | Phase::Stable { active: leader },
                Role::Standby,
            ) => self.stand_by(member, leader),
        }
    }

    /// A new generation, whose leader and only member this is.
    fn activate(&mut self, now: Now, key: u64) -> Result<Decision<Joined>, Refusal> {
        // 2^31 activations of one group: a client that does nothing else takes weeks for it.
        let generation = self.generation.checked_add(1);
        let generation = generation.ok_or(Refusal::CoordinatorNotAvailable)?;
        let was_active = self.active() == Some(key);
        let member = self.members.get_mut(&key).ok_or(Refusal::UnknownMemberId)?;
        self.generation = generation;
        member.generation = generation;
        member.is_to_join_again = false;
        if !was_active {
            member.since_ms = now.wall_ms;
        }
        let until = now.monotonic + member.rebalance_timeout.max(member.session_timeout);
        self.phase = Phase::Completing { active: key, until };
        self.assignment = None;
        let joined = Joined::Member {
            generation,
            member_id: member.member_id.clone(),
            leader: member.member_id.clone(),
            protocol: member.protocol.clone(),
        };
        let (who, member_id) = (member.who(), member.member_id.clone());
        let event = self.takeover(member_id);
        Ok(Decision {
            answer: joined,
            write: Some((who, self.membership(), event)),
        })
    }

    /// What the history says: nothing where the same member goes on.
    fn takeover(&mut self, member: String) -> Option<GroupEvent> {
        let from = self.former.replace(member.clone());
        (from.as_ref() != Some(&member)).then_some(GroupEvent::Takeover { from, member })
    }

    fn stand_by(&mut self, key: u64, leader: u64) -> Result<Decision<Joined>, Refusal> {
        let leader = self
            .members
            .get(&leader)
            .map(|leader| leader.member_id.clone());
        let member = self.members.get_mut(&key).ok_or(Refusal::UnknownMemberId)?;
        member.generation = self.generation;
        Ok(Decision::only(Joined::Member {
            generation: self.generation,
            member_id: member.member_id.clone(),
            leader: leader.unwrap_or_default(),
            protocol: member.protocol.clone(),
        }))
    }
}

/// What does not depend on the group.
fn check(join: &Join<'_>) -> Result<(), Refusal> {
    if !SESSION_TIMEOUT_MS.contains(&join.session_timeout_ms) {
        return Err(Refusal::InvalidSessionTimeout);
    }
    if join.protocol_type != CONSUMER || join.protocol.is_empty() {
        return Err(Refusal::InconsistentGroupProtocol);
    }
    Ok(())
}
