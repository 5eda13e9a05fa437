//! Consumer groups with stock clients: they join, commit, go on where they were, and a standby takes over when the
//! active one leaves, is killed, or freezes; no record is missed, none is read by two at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use headwater_tests::harness::{
    Client, Coordinator, Headwater, Member, Options, Postgres, Version, clock, member::Membership,
};
use tempfile::TempDir;

/// The shortest session that is allowed, so that failover by silence is quick.
const SESSION_MS: u32 = 6_000;

/// So long that a takeover which had to wait for its end would be seen.
const LONG_SESSION_MS: u32 = 90_000;

/// A takeover takes no longer, on a machine however loaded. The exact times are held in the coordinator's own tests.
const TAKEOVER_MAX: Duration = Duration::from_secs(30);

/// A client has this much to start, connect and join, on a loaded machine.
const JOIN: Duration = Duration::from_secs(40);

struct World {
    postgres: Postgres,
    headwater: Headwater,
    topic: String,
    rows: i64,
    _data: TempDir,
}

impl World {
    fn start() -> Self {
        let postgres = Postgres::start(Version::V15);
        postgres.execute("CREATE TABLE items (id int PRIMARY KEY)");
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let headwater = Headwater::start(&Options::of(&postgres, data.path()));
        let topic = headwater.topic("items");
        Self {
            postgres,
            headwater,
            topic,
            rows: 0,
            _data: data,
        }
    }

    /// Makes one record; its offset.
    fn record(&mut self) -> i64 {
        self.postgres
            .execute(&format!("INSERT INTO items VALUES ({})", self.rows));
        self.rows += 1;
        self.rows - 1
    }

    fn member(&self, client: Client, group: &str) -> Member {
        Member::start(client, &self.headwater.bootstrap(), self.membership(group))
    }

    fn membership<'a>(&'a self, group: &'a str) -> Membership<'a> {
        Membership {
            group,
            topic: &self.topic,
            session_ms: SESSION_MS,
            instance_id: None,
            assignor: "range",
        }
    }
}

/// A client that commits what it got goes on behind it, also as another client.
#[test]
fn whoever_comes_next_goes_on_where_the_last_one_committed() {
    let mut world = World::start();
    for expected in 0..3 {
        assert_eq!(world.record(), expected);
    }
    let mut next = 0;
    for client in [Client::Kcat, Client::Python, Client::Java, Client::Kcat] {
        let last = world.record();
        let member = world.member(client, "relay");
        member.wait_for(last, JOIN);
        let got = member.stop();
        assert_eq!(got, (next..=last).collect::<Vec<_>>(), "{client:?}");
        next = last + 1;
    }
}

/// The time from the end of the active one until its standby has the next record.
fn takeover(
    world: &mut World,
    (client, session_ms): (Client, u32),
    end: fn(Member) -> Vec<i64>,
) -> Duration {
    let group = format!("takeover-{client:?}-{}", world.rows);
    let bootstrap = world.headwater.bootstrap();
    let coordinator = Coordinator {
        bootstrap: &bootstrap,
        group: &group,
    };
    let start = |world: &World| {
        let membership = Membership {
            session_ms,
            ..world.membership(&group)
        };
        Member::start(client, &bootstrap, membership)
    };
    let active = start(world);
    let first = world.record();
    active.wait_for(first, JOIN);
    let standby = start(world);
    standby.wait_assigned(JOIN);
    for _ in 0..3 {
        let offset = world.record();
        active.wait_for(offset, JOIN);
    }
    let read = standby.offsets();
    assert!(read.is_empty(), "{client:?}: a standby reads {read:?}");
    // kcat commits every 5 s, whatever it is told.
    coordinator.wait_committed(&world.topic, world.rows, JOIN);
    let got = end(active);
    let ended = clock::now();
    let next = world.record();
    standby.wait_for(next, JOIN);
    let took = ended.elapsed();
    assert_eq!(got.last(), Some(&(next - 1)), "{client:?}");
    let got = standby.stop();
    assert_eq!(got, [next], "{client:?}: no gap, no record twice");
    took
}

#[test]
fn a_standby_takes_over_at_once_when_the_active_one_leaves() {
    let mut world = World::start();
    for client in Client::ALL {
        let took = takeover(&mut world, (client, LONG_SESSION_MS), Member::stop);
        println!("{client:?}: took over {took:?} after a leave");
        assert!(took < TAKEOVER_MAX, "{client:?} took {took:?}");
    }
}

#[test]
fn a_standby_takes_over_within_the_session_when_the_active_one_is_killed() {
    let mut world = World::start();
    for client in Client::ALL {
        let took = takeover(&mut world, (client, SESSION_MS), Member::kill);
        println!("{client:?}: took over {took:?} after a kill");
        assert!(took < TAKEOVER_MAX, "{client:?} took {took:?}");
    }
}

/// The frozen one wakes up, believes that it is active, and may not commit.
#[test]
fn a_frozen_active_one_that_wakes_up_changes_nothing() {
    let mut world = World::start();
    for client in [Client::Python, Client::Java] {
        let group = format!("frozen-{client:?}");
        let mut active = world.member(client, &group);
        let first = world.record();
        active.wait_for(first, JOIN);
        let standby = world.member(client, &group);
        standby.wait_assigned(JOIN);
        active.freeze();
        let next = world.record();
        standby.wait_for(next, JOIN);
        active.thaw();
        thread::sleep(Duration::from_secs(3));
        let last = world.record();
        standby.wait_for(last, JOIN);
        assert!(
            !active.offsets().contains(&last),
            "{client:?}: it stands by now"
        );
        // It may have read what came while it was frozen, once; its commit of that did not count.
        drop(standby.stop());
        let after = world.member(client, &group);
        let newest = world.record();
        let got = clock::poll(JOIN, || {
            let both = [after.offsets(), active.offsets()].concat();
            both.contains(&newest).then_some(both)
        });
        let got = got.expect("one of them goes on");
        let behind = got.iter().filter(|offset| **offset > last).count();
        assert_eq!(behind, 1, "{client:?}: {got:?}");
    }
}

#[test]
fn clients_of_different_kinds_and_assignors_stand_by_for_each_other() {
    let mut world = World::start();
    let bootstrap = world.headwater.bootstrap();
    let kinds = [
        (Client::Java, "cooperative-sticky"),
        (Client::Python, "roundrobin"),
        (Client::Kcat, "range"),
        (Client::Java, "roundrobin"),
        (Client::Python, "cooperative-sticky"),
    ];
    let mut members = Vec::new();
    for (client, assignor) in kinds {
        let membership = Membership {
            assignor,
            ..world.membership("mixed")
        };
        let member = Member::start(client, &bootstrap, membership);
        member.wait_assigned(JOIN);
        members.push((client, member));
    }
    let mut next = 0;
    for (client, member) in members {
        for _ in 0..2 {
            let offset = world.record();
            member.wait_for(offset, JOIN);
        }
        let got = member.stop();
        assert_eq!(got, [next, next + 1], "{client:?}");
        next += 2;
    }
}

#[test]
fn a_static_member_that_comes_back_goes_on_without_a_takeover() {
    let mut world = World::start();
    let bootstrap = world.headwater.bootstrap();
    for client in [Client::Python, Client::Java] {
        let group = format!("static-{client:?}");
        let start = |world: &World, id| {
            let membership = Membership {
                instance_id: Some(id),
                ..world.membership(&group)
            };
            Member::start(client, &bootstrap, membership)
        };
        let active = start(&world, "one");
        let first = world.record();
        active.wait_for(first, JOIN);
        let standby = start(&world, "two");
        standby.wait_assigned(JOIN);
        drop(active.kill());
        let again = start(&world, "one");
        let next = world.record();
        again.wait_for(next, JOIN);
        assert!(
            standby.offsets().is_empty(),
            "{client:?}: it was not needed"
        );
    }
}

#[test]
fn the_same_member_stays_active_over_a_restart_of_the_broker() {
    let mut world = World::start();
    for client in [Client::Python, Client::Java] {
        let group = format!("restart-{client:?}");
        let active = world.member(client, &group);
        let first = world.record();
        active.wait_for(first, JOIN);
        let standby = world.member(client, &group);
        standby.wait_assigned(JOIN);
        let before: Instant = clock::now();
        world.headwater.kill();
        world.headwater.start_again();
        let down = before.elapsed();
        let next = world.record();
        active.wait_for(next, JOIN);
        assert!(
            standby.offsets().is_empty(),
            "{client:?}, down for {down:?}"
        );
        drop(active.stop());
        let last = world.record();
        standby.wait_for(last, JOIN);
        assert_eq!(standby.stop(), [last], "{client:?}");
    }
}
