//! Consumer groups over raw sockets: what stock clients do not show, and what hostile ones send.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
    join_group_request::JoinGroupRequestProtocol,
    leave_group_request::MemberIdentity,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch_request::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    },
    sync_group_request::SyncGroupRequestAssignment,
};

use crate::{
    groups_wire::{
        NOBODY, become_active, commit, commit_request, fetch, group_id, heartbeat, join,
        join_request, leave, subscription, sync, text, topic_name,
    },
    harness::{Harness, LINES, ORDERS},
};

#[tokio::test]
async fn a_second_member_stands_by_and_takes_over_where_the_first_one_committed() {
    let harness = Harness::start().await;
    let (mut first, mut second) = (harness.client().await, harness.client().await);
    let (a, generation) = become_active(&mut first, "g").await;
    let standby = join(&mut second, "g", "").await;
    assert_eq!((standby.error_code, &*standby.leader), (0, a.as_str()));
    assert!(standby.members.is_empty());
    let b = standby.member_id.to_string();
    let b_member = (b.as_str(), standby.generation_id);
    let empty = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(sync(&mut second, "g", b_member).await, Ok(empty));
    assert_eq!(heartbeat(&mut first, "g", (&a, generation)).await, 0);
    assert_eq!(
        commit(&mut first, "g", (&a, generation), &[(ORDERS, 0, 7, "m")]).await,
        [0]
    );
    assert_eq!(
        commit(&mut second, "g", b_member, &[(ORDERS, 0, 99, "")]).await,
        [22],
        "a standby moves nothing"
    );

    assert_eq!(leave(&mut first, "g", &a).await, 0);
    assert_eq!(
        commit(&mut first, "g", (&a, generation), &[(ORDERS, 0, 99, "")]).await,
        [25],
        "the former one is fenced"
    );
    assert_eq!(heartbeat(&mut second, "g", b_member).await, 27);
    let active = join(&mut second, "g", &b).await;
    assert_eq!(active.leader, active.member_id);
    assert_eq!(active.members[0].metadata, subscription(ORDERS));
    assert!(active.generation_id > generation);
    assert_eq!(
        fetch(&mut second, "g").await[ORDERS],
        (7, "m".to_owned()),
        "the last accepted commit"
    );
}

/// kafka-python 3.0 does so when it joins before it has seen its topic, and then waits for its next metadata refresh.
#[tokio::test]
async fn a_member_that_takes_none_of_the_topics_it_names_is_asked_to_join_again() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    for (topic, expected) in [(ORDERS, 27), ("shop.public.unknown", 0)] {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(subscription(topic));
        let request = join_request(topic, "").with_protocols(vec![protocol]);
        let joined = client.ask(&request, 3).await;
        let own = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(&[
                0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
            ]));
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(topic))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![own]);
        assert_eq!(client.ask(&request, 3).await.error_code, 0);
        let member = (joined.member_id.as_str(), joined.generation_id);
        let told = heartbeat(&mut client, topic, member).await;
        assert_eq!(told, expected, "{topic}");
    }
}

#[tokio::test]
async fn a_silent_active_member_is_replaced_within_its_session_and_a_heartbeat() {
    let harness = Harness::start().await;
    let (mut first, mut second) = (harness.client().await, harness.client().await);
    let (a, generation) = become_active(&mut first, "g").await;
    let b = join(&mut second, "g", "").await;
    let b_member = (&*b.member_id, b.generation_id);
    let started = tokio::time::Instant::now();
    let mut told = 0;
    while told == 0 && started.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        told = heartbeat(&mut second, "g", b_member).await;
    }
    assert_eq!(told, 27);
    let after = started.elapsed().as_secs_f64();
    assert!(
        (5.9..7.5).contains(&after),
        "took {after} s, the session is 6 s"
    );
    assert_eq!(heartbeat(&mut first, "g", (&a, generation)).await, 25);
}

#[tokio::test]
async fn a_new_client_is_asked_to_come_back_with_an_id() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    for version in 4..=9 {
        let group = format!("g{version}");
        let asked = client.ask(&join_request(&group, ""), version).await;
        assert_eq!(
            (asked.error_code, asked.generation_id),
            (79, -1),
            "v{version}"
        );
        assert!(asked.member_id.starts_with("raw-"), "{}", &*asked.member_id);
        let joined = client
            .ask(&join_request(&group, &asked.member_id), version)
            .await;
        assert_eq!(joined.error_code, 0, "v{version}");
        assert_eq!(joined.leader, asked.member_id);
        let expected = (version >= 7).then(|| text("consumer"));
        assert_eq!(joined.protocol_type, expected);
    }
}

#[tokio::test]
async fn positions_and_the_active_member_survive_a_restart_of_the_broker() {
    let mut harness = Harness::start().await;
    let mut client = harness.client().await;
    let (member_id, generation) = become_active(&mut client, "g").await;
    let member = (member_id.as_str(), generation);
    let metadata = "x".repeat(4_096);
    assert_eq!(
        commit(
            &mut client,
            "g",
            member,
            &[(ORDERS, 0, 5, &metadata), (LINES, 0, 6, "")]
        )
        .await,
        [0, 0]
    );
    harness = harness.restart().await;
    let mut client = harness.client().await;
    assert_eq!(
        heartbeat(&mut client, "g", member).await,
        0,
        "it is still active"
    );
    assert_eq!(
        commit(&mut client, "g", member, &[(LINES, 0, 7, "")]).await,
        [0]
    );
    let positions = fetch(&mut client, "g").await;
    assert_eq!(positions[ORDERS], (5, metadata));
    assert_eq!(positions[LINES], (7, String::new()));
    let standby = join(&mut client, "g", "").await;
    assert_eq!(&*standby.leader, member_id);
}

#[tokio::test]
async fn whoever_assigns_its_partitions_itself_commits_while_nobody_is_there() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    assert_eq!(
        commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 3, "1700000009")]).await,
        [0]
    );
    assert_eq!(
        commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 1, "")]).await,
        [0],
        "back too"
    );
    let (member_id, _) = become_active(&mut client, "g").await;
    assert_eq!(
        commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 9, "")]).await,
        [25]
    );
    leave(&mut client, "g", &member_id).await;
    assert_eq!(
        commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 9, "")]).await,
        [0]
    );
    assert_eq!(fetch(&mut client, "g").await[ORDERS].0, 9);
}

#[tokio::test]
async fn bad_partitions_are_refused_each_for_itself_and_the_good_ones_are_committed() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let long = "m".repeat(4_097);
    let positions = [
        (ORDERS, 0, 4, "good"),
        (ORDERS, 1, 4, ""),
        ("shop.public.none", 0, 4, ""),
        (LINES, 0, 4, long.as_str()),
        (LINES, 0, -1, ""),
        (LINES, -1, 4, ""),
        (LINES, 0, i64::MAX, "behind the end"),
    ];
    let codes = commit(&mut client, "g", NOBODY, &positions).await;
    assert_eq!(codes, [0, 3, 3, 12, 42, 3, 0]);
    let stored = fetch(&mut client, "g").await;
    assert_eq!(stored[ORDERS], (4, "good".to_owned()));
    assert_eq!(stored[LINES].0, i64::MAX);
}

#[tokio::test]
async fn unknown_groups_and_impossible_ids_get_the_documented_codes() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let ghost = ("ghost", 3);
    assert_eq!(heartbeat(&mut client, "none", ghost).await, 25);
    assert_eq!(sync(&mut client, "none", ghost).await, Err(25));
    assert_eq!(leave(&mut client, "none", "ghost").await, 25);
    let request = commit_request("none", ghost, &[(ORDERS, 0, 1, "")]);
    for (version, code) in [(2, 22), (8, 22), (9, 69)] {
        let answer = client
            .ask(&request.clone().with_retention_time_ms(-1), version)
            .await;
        assert_eq!(
            answer.topics[0].partitions[0].error_code, code,
            "v{version}"
        );
    }
    assert!(fetch(&mut client, "none").await.is_empty());
    for id in ["", &"g".repeat(250)] {
        assert_eq!(join(&mut client, id, "").await.error_code, 24);
        assert_eq!(heartbeat(&mut client, id, ghost).await, 24);
        assert_eq!(
            commit(&mut client, id, NOBODY, &[(ORDERS, 0, 1, "")]).await,
            [24]
        );
    }
    let describe = DescribeGroupsRequest::default().with_groups(vec![group_id("none")]);
    let old = client.ask(&describe, 5).await;
    assert_eq!(
        (old.groups[0].error_code, &*old.groups[0].group_state),
        (0, "Dead")
    );
    let new = client.ask(&describe, 6).await;
    assert_eq!(new.groups[0].error_code, 69);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id("none")]);
    assert_eq!(client.ask(&delete, 2).await.results[0].error_code, 69);
    let listed = client.ask(&ListGroupsRequest::default(), 4).await;
    assert!(listed.groups.is_empty(), "asking makes no group");
}

#[tokio::test]
async fn offsets_are_fetched_in_the_shape_of_every_version() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    commit(&mut client, "g", NOBODY, &[(ORDERS, 0, 4, "m")]).await;
    for version in 1..=7 {
        let topics = [ORDERS, "shop.public.none"].map(|name| {
            OffsetFetchRequestTopic::default()
                .with_name(topic_name(name))
                .with_partition_indexes(vec![0, 9])
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id("g"))
            .with_topics(Some(topics.to_vec()));
        let answer = client.ask(&request, version).await;
        let told: Vec<_> = answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|p| {
                (
                    p.committed_offset,
                    p.error_code,
                    p.metadata.clone().unwrap().to_string(),
                )
            })
            .collect();
        let none = (-1, 0, String::new());
        let expected = [(4, 0, "m".to_owned()), none.clone(), none.clone(), none];
        assert_eq!(told, expected, "v{version}");
    }
    for version in 8..=9 {
        let named = OffsetFetchRequestTopics::default()
            .with_name(topic_name(ORDERS))
            .with_partition_indexes(vec![0]);
        let group = |id: &str, topics| {
            OffsetFetchRequestGroup::default()
                .with_group_id(group_id(id))
                .with_topics(topics)
        };
        let groups = vec![
            group("g", Some(vec![named])),
            group("none", None),
            group("g", None),
        ];
        let request = OffsetFetchRequest::default().with_groups(groups);
        let answer = client.ask(&request, version).await;
        let told: Vec<_> = answer
            .groups
            .iter()
            .map(|group| {
                (
                    group.group_id.to_string(),
                    group.error_code,
                    group.topics.len(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("g".to_owned(), 0, 1),
                ("none".to_owned(), 0, 0),
                ("g".to_owned(), 42, 0)
            ],
            "every asked group is echoed"
        );
        assert_eq!(answer.groups[0].topics[0].partitions[0].committed_offset, 4);
    }
}

#[tokio::test]
async fn tools_see_groups_and_delete_those_without_members() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let (member_id, generation) = become_active(&mut client, "busy").await;
    join(&mut client, "busy", "").await;
    commit(
        &mut client,
        "busy",
        (&member_id, generation),
        &[(ORDERS, 0, 1, "")],
    )
    .await;
    commit(&mut client, "idle", NOBODY, &[(ORDERS, 0, 1, "")]).await;

    let filter = |states: &[&str]| {
        ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
    };
    for (states, expected) in [
        (&[][..], 2),
        (&["stable"], 1),
        (&["EMPTY"], 1),
        (&["nonsense"], 0),
    ] {
        let listed = client.ask(&filter(states), 4).await;
        assert_eq!(listed.groups.len(), expected, "{states:?}");
    }
    let described = client
        .ask(
            &DescribeGroupsRequest::default().with_groups(vec![group_id("busy"); 3]),
            5,
        )
        .await;
    assert_eq!(
        described.groups.len(),
        1,
        "named three times, answered once"
    );
    let group = &described.groups[0];
    assert_eq!(
        (&*group.group_state, &*group.protocol_data),
        ("Stable", "range")
    );
    let assignments: Vec<_> = group
        .members
        .iter()
        .map(|m| m.member_assignment.len())
        .collect();
    assert_eq!(assignments, [format!("share of {member_id}").len(), 10]);
    assert_eq!(&*group.members[0].client_host, "/127.0.0.1");
    for member in &group.members {
        assert_eq!(member.member_metadata, subscription(ORDERS));
    }

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![
        group_id("busy"),
        group_id("idle"),
        group_id("idle"),
    ]);
    let results = client.ask(&delete, 2).await.results;
    let codes: Vec<_> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [68, 0]);
    assert!(fetch(&mut client, "idle").await.is_empty());
    assert_eq!(client.ask(&filter(&[]), 4).await.groups.len(), 1);
}

#[tokio::test]
async fn positions_are_deleted_only_while_nobody_consumes() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let (member_id, generation) = become_active(&mut client, "g").await;
    commit(
        &mut client,
        "g",
        (&member_id, generation),
        &[(ORDERS, 0, 1, ""), (LINES, 0, 2, "")],
    )
    .await;
    let partition = OffsetDeleteRequestPartition::default();
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic_name(ORDERS))
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id("g"))
        .with_topics(vec![topic]);
    let answer = client.ask(&request, 0).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 86);
    leave(&mut client, "g", &member_id).await;
    let answer = client.ask(&request, 0).await;
    assert_eq!(
        (answer.error_code, answer.topics[0].partitions[0].error_code),
        (0, 0)
    );
    let left = fetch(&mut client, "g").await;
    assert_eq!(left.keys().collect::<Vec<_>>(), [LINES]);
}

#[tokio::test]
async fn several_members_leave_in_one_request_each_answered_for_itself() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let (a, _) = become_active(&mut client, "g").await;
    let b = join(&mut client, "g", "").await.member_id;
    let members = [&a, &*b, "ghost"].map(|id| MemberIdentity::default().with_member_id(text(id)));
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_members(members.to_vec());
    let answer = client.ask(&request, 5).await;
    let codes: Vec<_> = answer
        .members
        .iter()
        .map(|member| member.error_code)
        .collect();
    assert_eq!((answer.error_code, codes), (0, vec![0, 0, 25]));
}

#[tokio::test]
async fn names_repeated_or_not_as_often_as_a_request_has_room_take_linear_time() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let started = tokio::time::Instant::now();
    let long = "n".repeat(24);
    let protocol = JoinGroupRequestProtocol::default().with_name(text(&long));
    let request = join_request("g", "").with_protocols(vec![protocol; 30_000]);
    assert_eq!(client.ask(&request, 3).await.error_code, 0);
    let partitions = vec![OffsetCommitRequestPartition::default(); 50_000];
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(ORDERS))
        .with_partitions(partitions);
    let request = commit_request(&long, NOBODY, &[]).with_topics(vec![topic]);
    let answer = client.ask(&request, 9).await;
    assert!(
        answer.topics[0]
            .partitions
            .iter()
            .all(|p| p.error_code == 0)
    );
    let ghosts = vec![MemberIdentity::default().with_member_id(text(&long)); 30_000];
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_members(ghosts);
    let answer = client.ask(&request, 5).await;
    assert!(answer.members.iter().all(|member| member.error_code == 25));
    let groups = vec![
        OffsetFetchRequestGroup::default()
            .with_group_id(group_id(&long))
            .with_topics(None);
        30_000
    ];
    let answer = client
        .ask(&OffsetFetchRequest::default().with_groups(groups), 8)
        .await;
    assert_eq!(
        answer
            .groups
            .iter()
            .filter(|group| group.error_code == 0)
            .count(),
        1
    );
    let distinct = |number: u32| group_id(&format!("{number:040}"));
    let groups = (0..20_000).map(|number| {
        OffsetFetchRequestGroup::default()
            .with_group_id(distinct(number))
            .with_topics(None)
    });
    let request = OffsetFetchRequest::default().with_groups(groups.collect());
    let answer = client.ask(&request, 8).await;
    assert!(answer.groups.iter().all(|group| group.error_code == 0));
    let names: Vec<_> = (0..20_000).map(distinct).collect();
    let request = DescribeGroupsRequest::default().with_groups(names.clone());
    let answer = client.ask(&request, 5).await;
    assert_eq!(answer.groups.len(), 20_000);
    let request = DeleteGroupsRequest::default().with_groups_names(names);
    let answer = client.ask(&request, 2).await;
    assert!(answer.results.iter().all(|group| group.error_code == 69));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "took {took:?}");
}

#[tokio::test]
async fn groups_of_first_use_have_a_limit_and_the_others_go_on() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    for number in 0..1_000 {
        let request = commit_request(&format!("g{number}"), NOBODY, &[(ORDERS, 0, 1, "")]);
        client.send(&request, 2).await;
        let answer = client.receive::<OffsetCommitRequest>(2).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{number}");
    }
    assert_eq!(
        commit(&mut client, "late", NOBODY, &[(ORDERS, 0, 1, "")]).await,
        [30]
    );
    assert_eq!(join(&mut client, "late", "").await.error_code, 30);
    assert_eq!(
        commit(&mut client, "g7", NOBODY, &[(ORDERS, 0, 2, "")]).await,
        [0]
    );
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id("g8")]);
    assert_eq!(client.ask(&delete, 2).await.results[0].error_code, 0);
    assert_eq!(
        commit(&mut client, "late", NOBODY, &[(ORDERS, 0, 1, "")]).await,
        [0]
    );
}

#[tokio::test]
async fn commits_of_many_clients_at_once_are_all_durable_when_they_are_answered() {
    let harness = Harness::start().await;
    let mut tasks = Vec::new();
    for number in 0..20 {
        let mut client = harness.client().await;
        tasks.push(tokio::spawn(async move {
            let group = format!("g{number}");
            let (member_id, generation) = become_active(&mut client, &group).await;
            for offset in 1..=50 {
                let codes = commit(
                    &mut client,
                    &group,
                    (&member_id, generation),
                    &[(ORDERS, 0, offset, "")],
                )
                .await;
                assert_eq!(codes, [0]);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let harness = harness.restart().await;
    let mut client = harness.client().await;
    for number in 0..20 {
        assert_eq!(
            fetch(&mut client, &format!("g{number}")).await[ORDERS].0,
            50
        );
    }
}
