//! SyncGroup and Heartbeat: what a member has, and whether it still has it.

use bytes::Bytes;
use headwater_storage::Now;

use super::{
    ASSIGNMENT_BYTES_KEPT, CONSUMER,
    coordinator::{Coordinator, Decision, Phase, Role},
    member::Caller,
    subscription::assigns_nothing,
};
use crate::error_code::Refusal;

/// `ConsumerProtocolAssignment` version 0 without topics and user data: every client reads it, franz-go and kafka-python
/// do not read an empty one.
pub(crate) const EMPTY_ASSIGNMENT: &[u8] = &[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// A SyncGroup request.
#[derive(Debug, Clone)]
pub(crate) struct Sync<'a> {
    pub(crate) caller: Caller<'a>,
    pub(crate) generation: i32,
    /// From version 5 on.
    pub(crate) protocol_type: Option<&'a str>,
    /// From version 5 on.
    pub(crate) protocol: Option<&'a str>,
    /// What the caller assigns to itself. What it assigns to others does not count.
    pub(crate) own_assignment: Option<Bytes>,
}

impl Coordinator {
    /// Answers a SyncGroup at once with the caller's share: what it assigned to itself if it is active, nothing
    /// otherwise.
    pub(crate) fn sync(&mut self, now: Now, sync: Sync<'_>) -> Decision<Result<Bytes, Refusal>> {
        let found = self
            .find_current(now, sync.caller, sync.generation)
            .and_then(|key| self.check_protocol(key, &sync).map(|()| key));
        let key = match found {
            Ok(key) => key,
            Err(refusal) => return Decision::only(Err(refusal)),
        };
        match (self.role(key), self.phase) {
            (Role::Standby, _) => Decision::only(Ok(Bytes::from_static(EMPTY_ASSIGNMENT))),
            (Role::Candidate, _) => Decision::only(Err(Refusal::RebalanceInProgress)),
            (Role::Active, Phase::Completing { .. }) => self.complete(key, sync.own_assignment),
            (Role::Active, Phase::Idle | Phase::Promoting { .. } | Phase::Stable { .. }) => {
                Decision::only(Ok(self.share(sync.own_assignment)))
            }
        }
    }

    /// The first SyncGroup of a generation.
    fn complete(&mut self, key: u64, own: Option<Bytes>) -> Decision<Result<Bytes, Refusal>> {
        let share = own.unwrap_or_else(|| Bytes::from_static(EMPTY_ASSIGNMENT));
        let kept = share.len() <= ASSIGNMENT_BYTES_KEPT;
        // A copy, since a slice would keep the whole request in memory.
        self.assignment = kept.then(|| Bytes::copy_from_slice(&share));
        self.phase = Phase::Stable { active: key };
        let member = self.members.get_mut(&key);
        let who = member.map(|member| {
            member.assigned(assigns_nothing(&share));
            member.who()
        });
        Decision {
            answer: Ok(share),
            write: Some((who.unwrap_or_default(), self.membership(), None)),
        }
    }

    /// A repeated SyncGroup gets what the first one got, or, where that was too long to keep, what it says itself.
    fn share(&self, own: Option<Bytes>) -> Bytes {
        let kept = self.assignment.clone();
        kept.or(own)
            .unwrap_or_else(|| Bytes::from_static(EMPTY_ASSIGNMENT))
    }

    fn check_protocol(&self, key: u64, sync: &Sync<'_>) -> Result<(), Refusal> {
        let own = self
            .members
            .get(&key)
            .map(|member| member.protocol.as_str());
        let differs = |asked: Option<&str>, agreed| asked.is_some() && asked != agreed;
        if differs(sync.protocol_type, Some(CONSUMER)) || differs(sync.protocol, own) {
            return Err(Refusal::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Answers a heartbeat and extends the session. Only a candidate is told to join again, and an active member that
    /// should have assigned itself something.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        caller: Caller<'_>,
        generation: i32,
    ) -> Result<(), Refusal> {
        let key = self.find_current(now, caller, generation)?;
        match self.role(key) {
            Role::Active if self.is_to_join_again(key) => Err(Refusal::RebalanceInProgress),
            Role::Active | Role::Standby => Ok(()),
            Role::Candidate => Err(Refusal::RebalanceInProgress),
        }
    }
    fn is_to_join_again(&self, key: u64) -> bool {
        let member = self.members.get(&key);
        member.is_some_and(|member| member.is_to_join_again)
    }
}
