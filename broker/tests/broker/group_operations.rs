//! What operators do to groups, on the broker as a library.

use headwater::group_service::{GroupError, NewGroup, PositionState, SeekRequest, SeekTo};
use headwater_storage::{GroupEvent, GroupMode, catalog::group_rules::GROUPS_PER_INSTANCE};

use crate::{
    groups_wire::{NOBODY, become_active, commit, fetch, heartbeat, join},
    harness::{Harness, LINES, LINES_KEY, ORDERS, ORDERS_KEY},
};

fn new_group(name: &str) -> NewGroup {
    NewGroup {
        instance: "shop".to_owned(),
        id: None,
        name: name.to_owned(),
        account: "team".to_owned(),
        password: "Secret12".to_owned(),
        verifiers: Vec::new(),
        mode: GroupMode::Exclusive,
    }
}

fn seek_to(to: SeekTo, said: &str) -> SeekRequest {
    SeekRequest {
        to,
        said: said.to_owned(),
        topic: None,
        disconnect: false,
        who: "operator".to_owned(),
    }
}

#[tokio::test]
async fn a_group_is_made_used_by_id_or_name_and_deleted_with_its_history_kept() {
    let harness = Harness::start().await;
    let groups = harness.broker.groups();
    let made = groups
        .create(new_group("Order sync"), "operator")
        .await
        .unwrap();
    assert_eq!(made.id, "Order_sync");
    let mut client = harness.client().await;
    let (member_id, generation) = become_active(&mut client, "Order sync").await;
    let member = (member_id.as_str(), generation);
    assert_eq!(
        heartbeat(&mut client, "Order_sync", member).await,
        0,
        "one group, two names"
    );
    assert_eq!(
        commit(&mut client, "Order_sync", member, &[(ORDERS, 0, 3, "m")]).await,
        [0]
    );
    assert_eq!(groups.show("Order sync").await.unwrap().clients.len(), 1);

    let refused = groups
        .delete("Order_sync", false, "operator")
        .await
        .unwrap_err();
    assert!(
        matches!(refused, GroupError::HasMembers { members: 1, .. }),
        "{refused}"
    );
    groups.delete("Order_sync", true, "operator").await.unwrap();
    assert_eq!(heartbeat(&mut client, "Order_sync", member).await, 25);
    assert!(matches!(
        groups.show("Order_sync").await,
        Err(GroupError::UnknownGroup(_))
    ));
    let history = groups.history("Order_sync").await.unwrap();
    let (_, last) = history.last().unwrap();
    assert_eq!(
        (&last.event, last.who.as_str()),
        (&GroupEvent::Deleted, "operator")
    );
    assert_eq!(
        last.moves[0].from.as_ref().unwrap().offset,
        3,
        "the commit before it"
    );
    let again = groups
        .create(new_group("Order sync"), "operator")
        .await
        .unwrap();
    assert!(again.number > made.number);
    assert!(
        groups.show("Order_sync").await.unwrap().topics.is_empty(),
        "nothing is left of the old one"
    );
}

#[tokio::test]
async fn every_broken_rule_is_told_and_the_limit_holds_also_for_those_who_come_together() {
    let harness = Harness::start().await;
    let groups = harness.broker.groups();
    let bad = NewGroup {
        account: "with-hyphen".to_owned(),
        password: "short".to_owned(),
        id: Some("no spaces".to_owned()),
        ..new_group("x")
    };
    let GroupError::Rules(lines) = groups.create(bad, "operator").await.unwrap_err() else {
        panic!("rules are broken")
    };
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("short") || line.contains("password has"))
    );
    let nowhere = NewGroup {
        instance: "none".to_owned(),
        ..new_group("x")
    };
    assert!(matches!(
        groups.create(nowhere, "o").await,
        Err(GroupError::UnknownInstance(_))
    ));

    let mut tasks = Vec::new();
    for number in 0..GROUPS_PER_INSTANCE + 5 {
        let groups = std::sync::Arc::clone(groups);
        tasks.push(tokio::spawn(async move {
            groups
                .create(new_group(&format!("g{number}")), "o")
                .await
                .is_ok()
        }));
    }
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!(made, GROUPS_PER_INSTANCE);
}

#[tokio::test]
async fn a_group_of_first_use_is_in_the_way_until_it_is_deleted_and_has_no_password() {
    let harness = Harness::start().await;
    let groups = harness.broker.groups();
    let mut client = harness.client().await;
    commit(&mut client, "console", NOBODY, &[(ORDERS, 0, 3, "")]).await;
    let GroupError::Rules(lines) = groups.create(new_group("console"), "o").await.unwrap_err()
    else {
        panic!("it is taken")
    };
    assert!(
        lines[0].contains("came into being on first use"),
        "{lines:?}"
    );
    let refused = groups
        .set_password("console", "Secret12", Vec::new(), "o")
        .await;
    assert!(matches!(refused, Err(GroupError::FirstUse(_))));
    let report = groups.show("console").await.unwrap();
    assert_eq!(
        (report.account, report.instance.as_deref()),
        (None, Some("shop"))
    );
    groups.delete("console", false, "o").await.unwrap();
    groups.create(new_group("console"), "o").await.unwrap();

    commit(&mut client, "once", NOBODY, &[(ORDERS, 0, 3, "")]).await;
    groups.delete("once", false, "o").await.unwrap();
    let harness = harness.restart().await;
    let gone = harness.broker.groups().show("once").await;
    assert!(matches!(gone, Err(GroupError::UnknownGroup(_))), "for good");
}

#[tokio::test]
async fn a_seek_is_previewed_and_moves_every_topic() {
    let harness = with_group().await;
    let mut client = harness.client().await;
    let groups = harness.broker.groups();

    let start = seek_to(SeekTo::Start, "start");
    let plan = groups.plan_seek("g", &start).await.unwrap();
    let told: Vec<_> = plan
        .moves
        .iter()
        .map(|m| (m.topic.as_str(), m.from, m.to, m.records))
        .collect();
    let expected = [
        (LINES, Some(4), Some(0), -4),
        (ORDERS, Some(2), Some(0), -2),
    ];
    assert_eq!(told, expected);
    let times = (plan.moves[1].from_time_ms, plan.moves[1].to_time_ms);
    assert_eq!(times, (Some(3_000), Some(1_000)));
    let still = fetch(&mut client, "g").await[ORDERS].0;
    assert_eq!(still, 2, "a plan moves nothing");
    groups.seek("g", &start).await.unwrap();
    assert_eq!(fetch(&mut client, "g").await[LINES].0, 0);
    let end = seek_to(SeekTo::End, "end");
    groups.seek("g", &end).await.unwrap();
    let moved = fetch(&mut client, "g").await;
    assert_eq!((moved[ORDERS].0, moved[LINES].0), (3, 6));
}

/// Group `g` at offset 2 of 3 orders and 4 of 6 lines.
async fn with_group() -> Harness {
    let mut harness = Harness::start().await;
    for time in [1_000, 2_000, 3_000] {
        harness
            .commit(&[
                (ORDERS_KEY, vec![(time, b"o".to_vec())]),
                (
                    LINES_KEY,
                    vec![(time, b"l".to_vec()), (time, b"l".to_vec())],
                ),
            ])
            .await;
    }
    let mut client = harness.client().await;
    commit(
        &mut client,
        "g",
        NOBODY,
        &[(ORDERS, 0, 2, "mine"), (LINES, 0, 4, "")],
    )
    .await;
    harness
}

#[tokio::test]
async fn a_seek_to_a_time_puts_every_topic_before_the_same_transaction() {
    let mut harness = Harness::start().await;
    harness.commit_at(1_000_000, ORDERS_KEY, 2).await;
    harness.commit_at(2_000_000, LINES_KEY, 3).await;
    harness.commit_at(3_000_000, ORDERS_KEY, 4).await;
    let mut client = harness.client().await;
    let both = [(ORDERS, 0, 0, ""), (LINES, 0, 0, "")];
    commit(&mut client, "g", NOBODY, &both).await;
    let groups = harness.broker.groups();
    for (time, expected) in [
        (0, (0, 0)),
        (1_000_000, (0, 0)),
        (1_000_001, (2, 0)),
        (2_000_000, (2, 0)),
        (2_000_001, (2, 3)),
        (3_000_000, (2, 3)),
        (3_000_001, (6, 3)),
    ] {
        let request = seek_to(SeekTo::Time(time), "a time");
        groups.seek("g", &request).await.unwrap();
        let moved = fetch(&mut client, "g").await;
        assert_eq!((moved[ORDERS].0, moved[LINES].0), expected, "{time}");
    }
    // The source's clock steps back: what was committed later is not older for that.
    harness.commit_at(2_500_000, LINES_KEY, 5).await;
    let groups = harness.broker.groups();
    for (time, expected) in [(2_700_000, (2, 3)), (3_000_001, (6, 8))] {
        let request = seek_to(SeekTo::Time(time), "a time");
        groups.seek("g", &request).await.unwrap();
        let moved = fetch(&mut client, "g").await;
        assert_eq!((moved[ORDERS].0, moved[LINES].0), expected, "{time}");
    }
    let future = seek_to(SeekTo::Time(i64::MAX), "later");
    let refused = groups.seek("g", &future).await.unwrap_err().to_string();
    assert!(refused.contains("in the future"), "{refused}");
}

#[tokio::test]
async fn seeks_are_taken_back_the_last_one_first_with_all_there_was() {
    let harness = with_group().await;
    let mut client = harness.client().await;
    let groups = harness.broker.groups();
    for (to, said) in [(SeekTo::Start, "start"), (SeekTo::End, "end")] {
        groups.seek("g", &seek_to(to, said)).await.unwrap();
    }
    groups.undo_seek("g", false, "operator").await.unwrap();
    assert_eq!(fetch(&mut client, "g").await[LINES].0, 0);
    groups.undo_seek("g", false, "operator").await.unwrap();
    let back = fetch(&mut client, "g").await;
    assert_eq!((&back[ORDERS], back[LINES].0), (&(2, "mine".to_owned()), 4));
    let none = groups.undo_seek("g", false, "operator").await.unwrap_err();
    assert!(
        none.to_string()
            .contains("no seek that could be taken back"),
        "{none}"
    );
    let events: Vec<_> = groups
        .history("g")
        .await
        .unwrap()
        .into_iter()
        .map(|(_, e)| e.event)
        .collect();
    let seek = |to: &str| GroupEvent::Seek { to: to.to_owned() };
    let undo = |seek| GroupEvent::Undo { seek };
    assert_eq!(
        events,
        [
            GroupEvent::Commit,
            seek("start"),
            seek("end"),
            undo(3),
            undo(2)
        ]
    );
}

#[tokio::test]
async fn a_seek_waits_for_consumers_to_go_or_puts_them_out() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, 1_000, 10).await;
    let mut client = harness.client().await;
    let (member_id, generation) = become_active(&mut client, "g").await;
    let member = (member_id.as_str(), generation);
    commit(&mut client, "g", member, &[(ORDERS, 0, 1, "")]).await;
    let groups = harness.broker.groups();
    let refused = groups
        .seek("g", &seek_to(SeekTo::Start, "start"))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("--disconnect"), "{refused}");
    let disconnect = SeekRequest {
        disconnect: true,
        ..seek_to(SeekTo::Start, "start")
    };
    groups.seek("g", &disconnect).await.unwrap();
    assert_eq!(
        commit(&mut client, "g", member, &[(ORDERS, 0, 1, "")]).await,
        [25],
        "a late commit undoes nothing"
    );
    assert_eq!(heartbeat(&mut client, "g", member).await, 25);
    assert_eq!(
        join(&mut client, "g", "").await.error_code,
        0,
        "it may come again"
    );
    assert_eq!(fetch(&mut client, "g").await[ORDERS].0, 0);
}

#[tokio::test]
async fn a_seek_that_cannot_be_is_told_in_one_line() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, 1_000, 10).await;
    let mut client = harness.client().await;
    commit(&mut client, "one", NOBODY, &[(ORDERS, 0, 0, "")]).await;
    commit(
        &mut client,
        "two",
        NOBODY,
        &[(ORDERS, 0, 0, ""), (LINES, 0, 0, "")],
    )
    .await;
    let groups = harness.broker.groups();
    let topic = |name: &str, to| SeekRequest {
        topic: Some(name.to_owned()),
        ..seek_to(to, "x")
    };
    for (group, request, word) in [
        (
            "one",
            seek_to(SeekTo::Offset(2), "2"),
            "outside of the retained range 0 to 1",
        ),
        (
            "one",
            seek_to(SeekTo::Offset(-1), "-1"),
            "outside of the retained range",
        ),
        ("two", seek_to(SeekTo::Offset(0), "0"), "--topic"),
        ("two", topic("none", SeekTo::End), "no topic \"none\""),
        (
            "one",
            seek_to(SeekTo::PastDamage, "x"),
            "none of the group's positions is damaged",
        ),
        ("none", seek_to(SeekTo::End, "end"), "no group \"none\""),
    ] {
        let refused = groups.seek(group, &request).await.unwrap_err().to_string();
        assert!(
            refused.contains(word) && !refused.contains('\n'),
            "{refused}"
        );
    }
    groups
        .seek("two", &topic(ORDERS, SeekTo::Offset(1)))
        .await
        .unwrap();
    let moved = fetch(&mut client, "two").await;
    assert_eq!((moved[ORDERS].0, moved[LINES].0), (1, 0));
}

#[tokio::test]
async fn lag_is_told_in_records_and_seconds_and_is_nothing_on_an_idle_source() {
    let mut harness = Harness::start().await;
    let now = harness.broker.wall_ms();
    for age_s in [100, 50, 0] {
        harness
            .commit_one(ORDERS_KEY, now - age_s * 1_000, 10)
            .await;
    }
    let mut client = harness.client().await;
    commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 1, "m")]).await;
    let groups = harness.broker.groups();
    let report = groups.show("g").await.unwrap();
    assert_eq!(report.lag_records, 2);
    assert!(
        (50..55).contains(&report.lag_seconds),
        "{}",
        report.lag_seconds
    );
    let topic = &report.topics[0];
    assert_eq!((topic.offset, topic.start, topic.end), (1, 0, 3));
    assert_eq!(
        (topic.state, topic.metadata.as_str()),
        (PositionState::Good, "m")
    );

    commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 3, "")]).await;
    let report = groups.show("g").await.unwrap();
    assert_eq!((report.lag_records, report.lag_seconds), (0, 0));
    commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 9, "")]).await;
    let report = groups.show("g").await.unwrap();
    assert_eq!(report.topics[0].state, PositionState::BeyondEnd);
    assert_eq!(report.lag_records, 0);
}

#[tokio::test]
async fn a_new_password_puts_the_consumers_out_and_stands_in_the_history() {
    let harness = Harness::start().await;
    let groups = harness.broker.groups();
    groups.create(new_group("g"), "operator").await.unwrap();
    let mut client = harness.client().await;
    let (member_id, generation) = become_active(&mut client, "g").await;
    let weak = groups
        .set_password("g", "weak", Vec::new(), "o")
        .await
        .unwrap_err();
    assert!(matches!(weak, GroupError::Rules(_)));
    assert_eq!(
        heartbeat(&mut client, "g", (&member_id, generation)).await,
        0
    );
    groups
        .set_password("g", "Better12", Vec::new(), "security")
        .await
        .unwrap();
    assert_eq!(
        heartbeat(&mut client, "g", (&member_id, generation)).await,
        25
    );
    let history = groups.history("g").await.unwrap();
    let (_, last) = history.last().unwrap();
    assert_eq!(
        (&last.event, last.who.as_str()),
        (&GroupEvent::Password, "security")
    );
}

#[tokio::test]
async fn in_mode_reject_the_second_consumer_is_told_loudly() {
    let harness = Harness::start().await;
    let groups = harness.broker.groups();
    let strict = NewGroup {
        mode: GroupMode::Reject,
        ..new_group("g")
    };
    groups.create(strict, "o").await.unwrap();
    let mut client = harness.client().await;
    become_active(&mut client, "g").await;
    assert_eq!(join(&mut client, "g", "").await.error_code, 81);
    groups.set_mode("g", GroupMode::Exclusive).await.unwrap();
    assert_eq!(join(&mut client, "g", "").await.error_code, 0);
}
