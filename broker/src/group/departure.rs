//! How members go (by LeaveGroup, by silence, by an operator) and who comes next. The one who goes is fenced first.

use std::time::Duration;

use headwater_storage::Now;

use super::{
    CANDIDATE_WAIT,
    coordinator::{Coordinator, Decision, Phase, Role},
    member::Caller,
};
use crate::error_code::Refusal;

impl Coordinator {
    /// One member leaves. A static one may be named by its instance id alone (version 3 and later).
    pub(crate) fn leave(&mut self, now: Now, caller: Caller<'_>) -> Decision<Result<(), Refusal>> {
        if self.pending.remove(caller.member_id).is_some() {
            return Decision::only(Ok(()));
        }
        match self.find_leaving(caller) {
            Ok(key) => self.remove(now.monotonic, key).answer(Ok(())),
            Err(refusal) => Decision::only(Err(refusal)),
        }
    }

    fn find_leaving(&self, caller: Caller<'_>) -> Result<u64, Refusal> {
        let by_instance = caller.member_id.is_empty() && caller.instance_id.is_some();
        if !by_instance {
            return self.find(caller);
        }
        let mut members = self.members.iter();
        let found = members.find(|(_, m)| m.instance_id.as_deref() == caller.instance_id);
        found.map(|(key, _)| *key).ok_or(Refusal::UnknownMemberId)
    }

    /// An operator puts everybody out; they may join again at once.
    pub(crate) fn evict(&mut self) -> Decision<()> {
        let was_active = self.active().is_some();
        self.members.clear();
        self.pending.clear();
        self.phase = Phase::Idle;
        self.assignment = None;
        self.fenced(was_active, "operator".to_owned())
    }

    /// What time does: sessions end, pending ids are forgotten, a candidate that does not come makes way.
    pub(crate) fn tick(&mut self, now: Now) -> Decision<()> {
        let now = now.monotonic;
        self.pending.retain(|_, forgotten| *forgotten > now);
        let mut fence = Decision::only(());
        let expired = self.members.iter().filter(|(_, m)| m.expires <= now);
        let mut gone: Vec<u64> = expired.map(|(key, _)| *key).collect();
        if let Phase::Completing { active, until } = self.phase
            && until <= now
            && !gone.contains(&active)
        {
            gone.push(active);
        }
        for key in gone {
            let removed = self.remove(now, key);
            fence.write = removed.write.or(fence.write);
        }
        if let Phase::Promoting { candidate, until } = self.phase
            && until <= now
        {
            self.phase = self.elect(now, Some(candidate));
        }
        fence
    }

    /// When [`Coordinator::tick`] next has something to do; monotonic.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Idle | Phase::Stable { .. } => None,
            Phase::Promoting { until, .. } | Phase::Completing { until, .. } => Some(until),
        };
        let sessions = self.members.values().map(|member| member.expires);
        let pending = self.pending.values().copied();
        sessions.chain(pending).chain(phase).min()
    }

    fn remove(&mut self, now: Duration, key: u64) -> Decision<()> {
        let role = self.role(key);
        let Some(member) = self.members.remove(&key) else {
            return Decision::only(());
        };
        match role {
            Role::Standby => Decision::only(()),
            Role::Candidate => {
                self.phase = self.elect(now, Some(key));
                Decision::only(())
            }
            Role::Active => {
                self.assignment = None;
                self.phase = self.elect(now, None);
                self.fenced(true, member.who())
            }
        }
    }

    /// The longest-standing member, or the next one behind `after`.
    fn elect(&self, now: Duration, after: Option<u64>) -> Phase {
        let first = after.map_or(0, |after| after + 1);
        let behind = self.members.range(first..).next();
        let next = behind.or_else(|| self.members.first_key_value());
        next.map_or(Phase::Idle, |(key, member)| Phase::Promoting {
            candidate: *key,
            until: now + CANDIDATE_WAIT.min(member.session_timeout),
        })
    }

    fn fenced(&self, was_active: bool, who: String) -> Decision<()> {
        Decision {
            answer: (),
            write: was_active.then(|| (who, self.membership(), None)),
        }
    }
}

impl Decision<()> {
    fn answer<T>(self, answer: T) -> Decision<T> {
        Decision {
            answer,
            write: self.write,
        }
    }
}
