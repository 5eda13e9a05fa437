//! A group, a clock, and short ways to ask.

use std::time::Duration;

use bytes::Bytes;
use headwater_storage::{GroupMode, Membership, Now};

use crate::{
    error_code::Refusal,
    group::{Caller, Coordinator, Decision, Join, Joined, Sync},
};

pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const SESSION: Duration = Duration::from_secs(10);

pub(super) fn caller(member_id: &str) -> Caller<'_> {
    Caller {
        member_id,
        instance_id: None,
    }
}

pub(super) fn fixed<'a>(member_id: &'a str, instance_id: &'a str) -> Caller<'a> {
    Caller {
        member_id,
        instance_id: Some(instance_id),
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) group: Coordinator,
    pub(super) now: Now,
    /// What is durable.
    pub(super) stored: Membership,
}

impl World {
    pub(super) fn new(mode: GroupMode) -> Self {
        let stored = Membership::default();
        Self {
            group: Coordinator::restore(mode, &stored, Duration::ZERO),
            now: Now {
                wall_ms: 0,
                monotonic: Duration::ZERO,
            },
            stored,
        }
    }

    pub(super) fn store<T>(&mut self, decision: Decision<T>) -> T {
        if let Some((_, membership, _)) = decision.write {
            assert!(membership.generation >= self.stored.generation);
            self.stored = membership;
        }
        decision.answer
    }

    /// The process is killed and starts again; `down` passes for the members, not for their sessions.
    pub(super) fn restart(&mut self, mode: GroupMode) {
        self.group = Coordinator::restore(mode, &self.stored, self.now.monotonic);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.wall_ms += i64::try_from(time.as_millis()).expect("is small");
        let ticked = self.group.tick(self.now);
        self.store(ticked);
    }

    pub(super) fn join_as(&mut self, caller: Caller<'_>, fresh_id: &str, knows: bool) -> Joined {
        let join = Join {
            caller,
            client_id: "app",
            client_host: "10.0.0.9",
            software: "test 1",
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer",
            protocol: "range",
            metadata: b"topics",
            names_topics: true,
            knows_pending: knows,
            fresh_id,
        };
        let joined = self.group.join(self.now, &join);
        self.store(joined)
    }

    /// An old client, which is admitted at once; its id is `name`.
    pub(super) fn join(&mut self, name: &str) -> Joined {
        self.join_as(caller(""), name, false)
    }

    /// A member that joins again.
    pub(super) fn rejoin(&mut self, name: &str) -> Joined {
        self.join_as(caller(name), "unused", true)
    }

    pub(super) fn sync(&mut self, name: &str, generation: i32) -> Result<Bytes, Refusal> {
        let sync = Sync {
            caller: caller(name),
            generation,
            protocol_type: None,
            protocol: None,
            own_assignment: Some(Bytes::from(format!("all for {name}"))),
        };
        let decision = self.group.sync(self.now, sync);
        self.store(decision)
    }

    pub(super) fn heartbeat(&mut self, name: &str, generation: i32) -> Result<(), Refusal> {
        self.group.heartbeat(self.now, caller(name), generation)
    }

    pub(super) fn commit(&mut self, name: &str, generation: i32) -> Result<(), Refusal> {
        self.group.check_commit(self.now, caller(name), generation)
    }

    pub(super) fn leave(&mut self, name: &str) -> Result<(), Refusal> {
        let decision = self.group.leave(self.now, caller(name));
        self.store(decision)
    }

    /// `a` active and stable in generation 1, `b` and `c` standing by.
    pub(super) fn stable(mode: GroupMode) -> Self {
        let mut world = Self::new(mode);
        assert!(is_active(&world.join("a")));
        world.sync("a", 1).expect("is active");
        if mode == GroupMode::Exclusive {
            assert!(!is_active(&world.join("b")) && !is_active(&world.join("c")));
        }
        world
    }
}

pub(super) fn is_active(joined: &Joined) -> bool {
    matches!(joined, Joined::Member { member_id, leader, .. } if member_id == leader)
}

pub(super) fn generation_of(joined: &Joined) -> i32 {
    match joined {
        Joined::Member { generation, .. } => *generation,
        Joined::Refused { .. } => -1,
    }
}

pub(super) fn refusal_of(joined: &Joined) -> Option<Refusal> {
    match joined {
        Joined::Member { .. } => None,
        Joined::Refused { refusal, .. } => Some(*refusal),
    }
}
