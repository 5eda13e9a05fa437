//! The rules one by one.

use std::time::Duration;

use bytes::Bytes;
use headwater_storage::{GroupEvent, GroupMode};

use super::world::{
    SESSION, SESSION_MS, World, caller, fixed, generation_of, is_active, refusal_of,
};
use crate::{
    error_code::Refusal,
    group::{
        ASKED_AGAIN_MAX, EMPTY_ASSIGNMENT, Join, Joined, MEMBERS_MAX, METADATA_BYTES_KEPT, Role,
        Sync,
    },
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_joining_standby_never_disturbs_the_active_one() {
    let mut world = World::stable(GroupMode::Exclusive);
    for name in ["d", "e", "f"] {
        let joined = world.join(name);
        assert_eq!(
            joined,
            Joined::Member {
                generation: 1,
                member_id: name.to_owned(),
                leader: "a".to_owned(),
                protocol: "range".to_owned(),
            }
        );
        assert_eq!(world.sync(name, 1).expect("is a member"), EMPTY_ASSIGNMENT);
        assert_eq!(world.heartbeat("a", 1), Ok(()));
        assert_eq!(world.commit("a", 1), Ok(()));
        world.leave(name).expect("is a member");
        assert_eq!(world.heartbeat("a", 1), Ok(()));
    }
}

#[test]
fn after_a_leave_the_longest_standing_standby_takes_over_and_only_it_is_told() {
    let mut world = World::stable(GroupMode::Exclusive);
    world.leave("a").expect("is a member");
    assert_eq!(
        world.stored.active, None,
        "fenced durably before anyone hears"
    );
    assert_eq!(world.commit("a", 1), Err(Refusal::UnknownMemberId));
    assert_eq!(world.heartbeat("c", 1), Ok(()));
    assert_eq!(world.heartbeat("b", 1), Err(Refusal::RebalanceInProgress));
    let joined = world.rejoin("b");
    assert!(is_active(&joined) && generation_of(&joined) == 2);
    assert_eq!(
        world.stored.active.as_ref().expect("is stored").member_id,
        "b"
    );
    assert_eq!(world.sync("b", 2).expect("is active"), "all for b");
    assert_eq!(world.commit("b", 2), Ok(()));
    assert_eq!(world.heartbeat("c", 1), Ok(()), "and c is not disturbed");
}

#[test]
fn a_silent_active_member_is_replaced_when_its_session_ends() {
    let mut world = World::stable(GroupMode::Exclusive);
    for _ in 0..9 {
        world.pass(SECOND);
        assert_eq!(world.heartbeat("b", 1), Ok(()));
    }
    world.pass(SECOND);
    assert_eq!(world.heartbeat("b", 1), Err(Refusal::RebalanceInProgress));
    assert!(is_active(&world.rejoin("b")));
    assert_eq!(world.commit("a", 1), Err(Refusal::UnknownMemberId));
    assert_eq!(world.heartbeat("a", 1), Err(Refusal::UnknownMemberId));
    assert!(!is_active(&world.join("a2")), "the former one stands by");
}

#[test]
fn a_candidate_that_does_not_come_makes_way_and_a_lone_one_keeps_its_chance() {
    let mut world = World::stable(GroupMode::Exclusive);
    world.leave("a").expect("is a member");
    for _ in 0..10 {
        assert_eq!(world.heartbeat("b", 1), Err(Refusal::RebalanceInProgress));
        assert_eq!(world.heartbeat("c", 1), Ok(()));
        world.pass(SECOND);
    }
    assert_eq!(world.heartbeat("b", 1), Ok(()), "a standby again");
    assert_eq!(world.heartbeat("c", 1), Err(Refusal::RebalanceInProgress));
    world.leave("b").expect("is a member");
    for _ in 0..30 {
        world.pass(SECOND);
        assert_eq!(world.heartbeat("c", 1), Err(Refusal::RebalanceInProgress));
    }
    assert!(is_active(&world.rejoin("c")));
}

#[test]
fn an_active_member_that_never_says_what_it_takes_is_replaced() {
    let mut world = World::new(GroupMode::Exclusive);
    world.join("a");
    world.join("b");
    for _ in 0..60 {
        assert_eq!(world.heartbeat("a", 1), Ok(()));
        assert_eq!(world.heartbeat("b", 1), Ok(()));
        world.pass(SECOND);
    }
    assert_eq!(world.heartbeat("a", 1), Err(Refusal::UnknownMemberId));
    assert_eq!(world.heartbeat("b", 1), Err(Refusal::RebalanceInProgress));
}

#[test]
fn in_mode_reject_the_second_is_refused_until_the_first_is_gone() {
    for knows_pending in [false, true] {
        let mut world = World::stable(GroupMode::Reject);
        let second = world.join_as(caller(""), "b", knows_pending);
        assert_eq!(refusal_of(&second), Some(Refusal::GroupMaxSizeReached));
        let fixed = world.join_as(fixed("", "i"), "b", knows_pending);
        assert_eq!(refusal_of(&fixed), Some(Refusal::GroupMaxSizeReached));
        assert!(is_active(&world.rejoin("a")), "the first may join again");
        world.leave("a").expect("is a member");
        assert!(is_active(&world.join("b")));
    }
    let mut world = World::new(GroupMode::Reject);
    for name in ["p", "q"] {
        let asked = world.join_as(caller(""), name, true);
        assert_eq!(refusal_of(&asked), Some(Refusal::MemberIdRequired));
    }
    assert!(is_active(&world.rejoin("q")));
    assert_eq!(
        refusal_of(&world.rejoin("p")),
        Some(Refusal::GroupMaxSizeReached)
    );
}

#[test]
fn a_new_client_comes_back_with_the_id_it_was_given_and_not_after_its_session() {
    let mut world = World::new(GroupMode::Exclusive);
    let asked = world.join_as(caller(""), "p", true);
    assert_eq!(
        asked,
        Joined::Refused {
            refusal: Refusal::MemberIdRequired,
            member_id: "p".to_owned()
        }
    );
    assert!(world.group.is_empty() && !world.group.is_quiet());
    assert!(is_active(&world.rejoin("p")));
    world.join_as(caller(""), "q", true);
    world.pass(SESSION);
    assert_eq!(
        refusal_of(&world.rejoin("q")),
        Some(Refusal::UnknownMemberId)
    );
}

#[test]
fn members_and_pending_ids_are_bounded_and_those_inside_go_on() {
    let mut world = World::stable(GroupMode::Exclusive);
    for number in 3..MEMBERS_MAX {
        let joined = world.join_as(caller(""), &format!("m{number}"), number % 2 == 0);
        assert_ne!(refusal_of(&joined), Some(Refusal::GroupMaxSizeReached));
    }
    assert_eq!(
        refusal_of(&world.join("late")),
        Some(Refusal::GroupMaxSizeReached)
    );
    assert!(
        refusal_of(&world.rejoin("m4")).is_none(),
        "a pending id is counted already"
    );
    assert!(is_active(&world.rejoin("a")));
    world.leave("b").expect("is a member");
    assert!(refusal_of(&world.join("late")).is_none());
}

#[test]
fn a_static_member_that_comes_back_replaces_itself_and_its_former_id_is_fenced() {
    let mut world = World::new(GroupMode::Exclusive);
    assert!(
        is_active(&world.join_as(fixed("", "i"), "i-1", true)),
        "is never pending"
    );
    world.sync("i-1", 1).expect("is active");
    world.join("b");
    let back = world.join_as(fixed("", "i"), "i-2", true);
    assert!(is_active(&back) && generation_of(&back) == 2);
    assert_eq!(
        world.heartbeat("b", 1),
        Ok(()),
        "a standby hears nothing of it"
    );
    let old = fixed("i-1", "i");
    assert_eq!(
        world.group.heartbeat(world.now, old, 1),
        Err(Refusal::FencedInstanceId)
    );
    assert_eq!(
        world.group.check_commit(world.now, old, 1),
        Err(Refusal::FencedInstanceId)
    );
    let joined = world.join_as(old, "unused", true);
    assert_eq!(refusal_of(&joined), Some(Refusal::FencedInstanceId));
    let left = world.group.leave(world.now, old);
    assert_eq!(left.answer, Err(Refusal::FencedInstanceId));
    assert_eq!(world.commit("i-1", 1), Err(Refusal::UnknownMemberId));
    let left = world.group.leave(world.now, fixed("", "i"));
    assert_eq!(world.store(left), Ok(()), "by its instance id alone");
    assert_eq!(world.heartbeat("b", 1), Err(Refusal::RebalanceInProgress));
}

#[test]
fn a_static_standby_that_comes_back_stays_a_standby() {
    let mut world = World::stable(GroupMode::Exclusive);
    assert!(!is_active(&world.join_as(fixed("", "i"), "i-1", true)));
    assert!(!is_active(&world.join_as(fixed("", "i"), "i-2", true)));
    assert_eq!(world.group.view().members.len(), 4);
    assert_eq!(world.heartbeat("a", 1), Ok(()));
}

#[test]
fn the_same_member_stays_active_over_a_restart_and_standbys_join_again() {
    let mut world = World::stable(GroupMode::Exclusive);
    world.restart(GroupMode::Exclusive);
    assert_eq!(world.heartbeat("b", 1), Err(Refusal::UnknownMemberId));
    assert!(!is_active(&world.join("b2")));
    assert_eq!(world.heartbeat("a", 1), Ok(()));
    assert_eq!(world.commit("a", 1), Ok(()));
    assert_eq!(world.sync("a", 1).expect("is active"), "all for a");
    world.pass(SESSION);
    assert_eq!(
        world.heartbeat("a", 1),
        Err(Refusal::UnknownMemberId),
        "it was silent"
    );
}

#[test]
fn a_member_that_was_fenced_before_a_restart_is_unknown_after_it() {
    let mut world = World::stable(GroupMode::Exclusive);
    world.leave("a").expect("is a member");
    world.restart(GroupMode::Exclusive);
    assert_eq!(world.commit("a", 1), Err(Refusal::UnknownMemberId));
    let joined = world.join("b2");
    assert_eq!(generation_of(&joined), 2, "no generation is given twice");
}

#[test]
fn an_operator_puts_everybody_out_and_they_may_come_again() {
    let mut world = World::stable(GroupMode::Exclusive);
    let evicted = world.group.evict();
    world.store(evicted);
    assert!(world.group.is_quiet() && world.stored.active.is_none());
    for name in ["a", "b", "c"] {
        assert_eq!(world.heartbeat(name, 1), Err(Refusal::UnknownMemberId));
        assert_eq!(
            refusal_of(&world.rejoin(name)),
            Some(Refusal::UnknownMemberId)
        );
    }
    assert_eq!(world.commit("", -1), Ok(()), "nobody is there");
    assert!(is_active(&world.join("b2")));
    assert_eq!(world.commit("", -1), Err(Refusal::UnknownMemberId));
}

#[test]
fn impossible_requests_change_nothing() {
    let good = Join {
        caller: caller(""),
        client_id: "app",
        client_host: "h",
        software: "",
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer",
        protocol: "range",
        metadata: b"topics",
        names_topics: true,
        knows_pending: false,
        fresh_id: "n",
    };
    let short = Join {
        session_timeout_ms: 5_999,
        ..good
    };
    let long = Join {
        session_timeout_ms: 1_800_001,
        ..good
    };
    let negative = Join {
        session_timeout_ms: -1,
        ..good
    };
    let connect = Join {
        protocol_type: "connect",
        ..good
    };
    let silent = Join {
        protocol: "",
        ..good
    };
    for (join, expected) in [
        (short, Refusal::InvalidSessionTimeout),
        (long, Refusal::InvalidSessionTimeout),
        (negative, Refusal::InvalidSessionTimeout),
        (connect, Refusal::InconsistentGroupProtocol),
        (silent, Refusal::InconsistentGroupProtocol),
    ] {
        let mut world = World::new(GroupMode::Exclusive);
        let decision = world.group.join(world.now, &join);
        assert_eq!(decision.write, None);
        assert_eq!(refusal_of(&decision.answer), Some(expected));
        assert!(world.group.is_quiet());
    }
    let mut world = World::new(GroupMode::Exclusive);
    let hurried = Join {
        rebalance_timeout_ms: -5,
        ..good
    };
    let joined = world.group.join(world.now, &hurried).answer;
    assert!(
        is_active(&joined),
        "a rebalance timeout below the session's is the session's"
    );
}

#[test]
fn a_sync_with_another_protocol_is_refused() {
    let mut world = World::new(GroupMode::Exclusive);
    world.join("a");
    let good = Sync {
        caller: caller("a"),
        generation: 1,
        protocol_type: Some("consumer"),
        protocol: Some("range"),
        own_assignment: None,
    };
    for bad in [
        Sync {
            protocol: Some("sticky"),
            ..good.clone()
        },
        Sync {
            protocol_type: Some("connect"),
            ..good.clone()
        },
    ] {
        let answer = world.group.sync(world.now, bad).answer;
        assert_eq!(answer, Err(Refusal::InconsistentGroupProtocol));
    }
    let answer = world.group.sync(world.now, good).answer;
    assert_eq!(
        answer.expect("is right"),
        EMPTY_ASSIGNMENT,
        "it took nothing"
    );
}

#[test]
fn an_assignment_too_long_to_keep_is_still_answered_also_when_it_is_repeated() {
    let mut world = World::new(GroupMode::Exclusive);
    world.join("a");
    let long = Bytes::from(vec![7; 100_000]);
    for _ in 0..2 {
        let sync = Sync {
            caller: caller("a"),
            generation: 1,
            protocol_type: None,
            protocol: None,
            own_assignment: Some(long.clone()),
        };
        let decision = world.group.sync(world.now, sync);
        assert_eq!(world.store(decision).expect("is active"), long);
    }
    assert_eq!(
        world.stored.active.as_ref().expect("is stored").assignment,
        None
    );
}

#[test]
fn the_history_hears_of_takeovers_and_not_of_the_same_member_joining_again() {
    let mut world = World::stable(GroupMode::Exclusive);
    let join = Join {
        caller: caller("a"),
        client_id: "app",
        client_host: "10.0.0.9",
        software: "",
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer",
        protocol: "range",
        metadata: b"topics",
        names_topics: true,
        knows_pending: true,
        fresh_id: "unused",
    };
    let (who, _, event) = world
        .group
        .join(world.now, &join)
        .write
        .expect("is written");
    assert_eq!((who.as_str(), event), ("app@10.0.0.9", None));
    world.leave("a").expect("is a member");
    let join = Join {
        caller: caller("b"),
        ..join
    };
    let (_, _, event) = world
        .group
        .join(world.now, &join)
        .write
        .expect("is written");
    let expected = GroupEvent::Takeover {
        from: Some("a".to_owned()),
        member: "b".to_owned(),
    };
    assert_eq!(event, Some(expected));
}

#[test]
fn tools_see_who_is_active_and_who_stands_by() {
    let mut world = World::stable(GroupMode::Exclusive);
    world.leave("a").expect("is a member");
    let roles = |world: &World| {
        let members = world.group.view().members;
        members
            .iter()
            .map(|m| (m.member_id.clone(), m.role))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        roles(&world),
        [
            ("b".to_owned(), Role::Candidate),
            ("c".to_owned(), Role::Standby)
        ]
    );
    world.rejoin("b");
    world.sync("b", 2).expect("is active");
    let view = world.group.view();
    assert_eq!(
        (view.state, view.generation, view.protocol.as_str()),
        ("Stable", 2, "range")
    );
    assert_eq!(view.members[0].assignment, "all for b");
    assert_eq!(view.members[1].assignment, EMPTY_ASSIGNMENT);
}

#[test]
fn what_members_say_when_they_join_is_shown_as_far_as_the_group_has_room() {
    let mut world = World::stable(GroupMode::Exclusive);
    let long = vec![b'x'; METADATA_BYTES_KEPT - 2 * b"topics".len()];
    let longer = [&long[..], b"y"].concat();
    let mut say = |name: &str, metadata: &[u8]| {
        let join = Join {
            caller: caller(name),
            client_id: "app",
            client_host: "10.0.0.9",
            software: "test 1",
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer",
            protocol: "range",
            metadata,
            names_topics: true,
            knows_pending: false,
            fresh_id: "unused",
        };
        let joined = world.group.join(world.now, &join);
        world.store(joined);
        let members = world.group.view().members;
        members
            .iter()
            .map(|member| member.metadata.len())
            .collect::<Vec<_>>()
    };
    let short = b"topics".len();
    assert_eq!(say("c", b"topics"), [short; 3]);
    assert_eq!(say("b", &longer), [short, 0, short]);
    assert_eq!(say("b", &long), [short, long.len(), short]);
    assert_eq!(say("c", b"topics and"), [short, long.len(), 0]);
    assert_eq!(say("b", b""), [short, 0, 0]);
}

fn assign(world: &mut World, name: &str, assignment: &'static [u8]) {
    let sync = Sync {
        caller: caller(name),
        generation: world.group.view().generation,
        protocol_type: None,
        protocol: None,
        own_assignment: Some(Bytes::from_static(assignment)),
    };
    let decision = world.group.sync(world.now, sync);
    assert_eq!(world.store(decision), Ok(Bytes::from_static(assignment)));
}

/// It joined before it knew its topics.
#[test]
fn an_active_member_that_assigns_itself_nothing_is_asked_to_join_again_a_few_times() {
    let mut world = World::stable(GroupMode::Exclusive);
    let again = Err(Refusal::RebalanceInProgress);
    for _ in 0..2 {
        for round in 1..=ASKED_AGAIN_MAX + 2 {
            let generation = generation_of(&world.rejoin("a"));
            assert_eq!(world.heartbeat("a", generation), Ok(()), "it is at it");
            assign(&mut world, "a", EMPTY_ASSIGNMENT);
            let told = world.heartbeat("a", generation);
            let expected = if round <= ASKED_AGAIN_MAX {
                again
            } else {
                Ok(())
            };
            assert_eq!(told, expected, "round {round}");
            assert_eq!(world.commit("a", generation), Ok(()));
            assert_eq!(
                world.heartbeat("b", 1),
                Ok(()),
                "standbys are not disturbed"
            );
        }
        // Once it has something, the next time counts from the start.
        let generation = generation_of(&world.rejoin("a"));
        assign(&mut world, "a", b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0");
        assert_eq!(world.heartbeat("a", generation), Ok(()));
    }
}
