//! Walks every cell of the table in the module's doc comment: state of the group x who asks x request.

use std::time::Duration;

use headwater_storage::GroupMode;

use super::world::{World, caller, is_active, refusal_of};
use crate::{error_code::Refusal, group::EMPTY_ASSIGNMENT};

/// `a` was or is active, `b` is the candidate where there is one, `c` stands by, `p` is a pending id.
const STATES: [(&str, &str); 4] = [
    ("idle", "Empty"),
    ("promoting", "PreparingRebalance"),
    ("completing", "CompletingRebalance"),
    ("stable", "Stable"),
];

fn world_in(state: &str) -> World {
    let mut world = match state {
        "idle" => {
            let mut world = World::new(GroupMode::Exclusive);
            world.join("a");
            world.leave("a").expect("is a member");
            world
        }
        "promoting" => {
            let mut world = World::stable(GroupMode::Exclusive);
            world.leave("a").expect("is a member");
            world
        }
        "completing" => {
            let mut world = World::new(GroupMode::Exclusive);
            world.join("a");
            world.join("c");
            world
        }
        _ => World::stable(GroupMode::Exclusive),
    };
    let pending = world.join_as(caller(""), "p", true);
    assert_eq!(refusal_of(&pending), Some(Refusal::MemberIdRequired));
    world.pass(Duration::from_secs(1));
    world
}

/// What a caller of this name gets, in words: JoinGroup, SyncGroup, Heartbeat, OffsetCommit, and the state behind its
/// LeaveGroup. Each asks a fresh group.
fn row(state: &str, who: &str) -> [String; 5] {
    let fresh = || world_in(state);
    let generation = 1;
    let code = |result: Result<(), Refusal>| match result {
        Ok(()) => "ok".to_owned(),
        Err(refusal) => refusal.code().to_string(),
    };
    let joined = match who {
        "new" => fresh().join("n"),
        other => fresh().rejoin(other),
    };
    let join = match refusal_of(&joined) {
        Some(refusal) => refusal.code().to_string(),
        None if is_active(&joined) => "active".to_owned(),
        None => "standby".to_owned(),
    };
    let name = if who == "new" { "" } else { who };
    let sync = match fresh().sync(name, generation) {
        Ok(share) if share == EMPTY_ASSIGNMENT => "nothing".to_owned(),
        Ok(share) => String::from_utf8(share.to_vec()).expect("is text"),
        Err(refusal) => refusal.code().to_string(),
    };
    let heartbeat = code(fresh().heartbeat(name, generation));
    let commit = code(fresh().commit(name, if who == "new" { -1 } else { generation }));
    let mut left = fresh();
    let leave = match left.leave(name) {
        Ok(()) => left.group.view().state.to_owned(),
        Err(refusal) => refusal.code().to_string(),
    };
    [join, sync, heartbeat, commit, leave]
}

#[test]
fn every_cell_of_the_table() {
    #[rustfmt::skip]
    let expected = [
        ("idle",       "new",   ["active",  "25",        "25", "ok", "25"]),
        ("idle",       "p",     ["active",  "25",        "25", "25", "Empty"]),
        ("idle",       "other", ["25",      "25",        "25", "25", "25"]),
        ("promoting",  "new",   ["standby", "25",        "25", "25", "25"]),
        ("promoting",  "p",     ["standby", "25",        "25", "25", "PreparingRebalance"]),
        ("promoting",  "other", ["25",      "25",        "25", "25", "25"]),
        ("promoting",  "a",     ["25",      "25",        "25", "25", "25"]),
        ("promoting",  "b",     ["active",  "27",        "27", "22", "PreparingRebalance"]),
        ("promoting",  "c",     ["standby", "nothing",   "ok", "22", "PreparingRebalance"]),
        ("completing", "new",   ["standby", "25",        "25", "25", "25"]),
        ("completing", "p",     ["standby", "25",        "25", "25", "CompletingRebalance"]),
        ("completing", "other", ["25",      "25",        "25", "25", "25"]),
        ("completing", "a",     ["active",  "all for a", "ok", "27", "PreparingRebalance"]),
        ("completing", "c",     ["standby", "nothing",   "ok", "22", "CompletingRebalance"]),
        ("stable",     "new",   ["standby", "25",        "25", "25", "25"]),
        ("stable",     "p",     ["standby", "25",        "25", "25", "Stable"]),
        ("stable",     "other", ["25",      "25",        "25", "25", "25"]),
        ("stable",     "a",     ["active",  "all for a", "ok", "ok", "PreparingRebalance"]),
        ("stable",     "c",     ["standby", "nothing",   "ok", "22", "Stable"]),
    ];
    for (state, who, cells) in expected {
        assert_eq!(row(state, who), cells, "{who} in a group that is {state}");
    }
    for (state, kafka) in STATES {
        assert_eq!(world_in(state).group.view().state, kafka);
    }
}

#[test]
fn another_generation_is_refused_in_every_state_to_every_member() {
    for (state, _) in STATES {
        for who in ["a", "b", "c"] {
            for generation in [-1, 0, 2, i32::MAX] {
                let mut world = world_in(state);
                if world.heartbeat(who, 1) == Err(Refusal::UnknownMemberId) {
                    continue;
                }
                let expected = Some(Refusal::IllegalGeneration);
                assert_eq!(world.sync(who, generation).err(), expected);
                assert_eq!(world.heartbeat(who, generation).err(), expected);
                assert_eq!(world.commit(who, generation).err(), expected);
            }
        }
    }
}

#[test]
fn what_the_table_marks_extends_the_session_and_nothing_else_does() {
    for (state, who) in [
        ("promoting", "b"),
        ("promoting", "c"),
        ("completing", "a"),
        ("completing", "c"),
        ("stable", "a"),
        ("stable", "c"),
    ] {
        type Ask = fn(&mut World, &str);
        let requests: [(Ask, bool); 5] = [
            (
                |world, who| {
                    world.heartbeat(who, 1).ok();
                },
                true,
            ),
            (
                |world, who| {
                    world.sync(who, 1).ok();
                },
                true,
            ),
            (
                |world, who| {
                    world.commit(who, 1).ok();
                },
                true,
            ),
            (|world, who| drop(world.rejoin(who)), true),
            (
                |world, who| {
                    world.heartbeat(who, 7).ok();
                },
                false,
            ),
        ];
        for (at, (ask, extends)) in requests.into_iter().enumerate() {
            let mut world = world_in(state);
            world.pass(Duration::from_millis(8_500));
            ask(&mut world, who);
            world.pass(Duration::from_secs(1));
            let there = world
                .group
                .view()
                .members
                .iter()
                .any(|m| m.member_id == who);
            assert_eq!(there, extends, "request {at} of {who} in {state}");
        }
    }
}
