//! The group APIs at every version: each answers with bytes of that version and says what it should.

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, LeaveGroupRequest,
    ListGroupsRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
    leave_group_request::MemberIdentity,
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic},
};
use tokio::io::AsyncWriteExt;

use crate::{
    groups_wire::{
        NOBODY, become_active, commit, commit_request, fetch, group_id, join_request, text,
        topic_name,
    },
    harness::ORDERS,
    wire::{Client, framed},
};

/// A group of its own for each API and version.
fn named(api: &str, version: i16) -> String {
    format!("{api}-{version}")
}

pub(crate) async fn join_group(client: &mut Client, version: i16) {
    let group = named("join", version);
    let mut joined = client.ask(&join_request(&group, ""), version).await;
    if version >= 4 {
        assert_eq!(joined.error_code, 79, "v{version}");
        let request = join_request(&group, &joined.member_id);
        joined = client.ask(&request, version).await;
    }
    assert_eq!(
        (joined.error_code, joined.generation_id),
        (0, 1),
        "v{version}"
    );
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert!(!joined.skip_assignment);
}

pub(crate) async fn sync_group(client: &mut Client, version: i16) {
    let group = named("sync", version);
    let (member_id, generation) = become_active(client, &group).await;
    let mut request = SyncGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_generation_id(generation)
        .with_member_id(text(&member_id));
    if version >= 5 {
        request.protocol_type = Some(text("consumer"));
        request.protocol_name = Some(text("range"));
    }
    let answer = client.ask(&request, version).await;
    assert_eq!(answer.error_code, 0, "v{version}");
    assert_eq!(answer.assignment, format!("share of {member_id}"));
    assert_eq!(
        answer.protocol_name, request.protocol_name,
        "Java checks it"
    );
}

pub(crate) async fn heartbeat(client: &mut Client, version: i16) {
    let group = named("heartbeat", version);
    let (member_id, generation) = become_active(client, &group).await;
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(&group))
        .with_generation_id(generation)
        .with_member_id(text(&member_id));
    assert_eq!(
        client.ask(&request, version).await.error_code,
        0,
        "v{version}"
    );
}

pub(crate) async fn leave_group(client: &mut Client, version: i16) {
    let group = named("leave", version);
    let (member_id, _) = become_active(client, &group).await;
    let mut request = LeaveGroupRequest::default().with_group_id(group_id(&group));
    if version >= 3 {
        request.members = vec![MemberIdentity::default().with_member_id(text(&member_id))];
    } else {
        request.member_id = text(&member_id);
    }
    let answer = client.ask(&request, version).await;
    assert_eq!(answer.error_code, 0, "v{version}");
    assert!(answer.members.iter().all(|member| member.error_code == 0));
    assert_eq!(answer.members.len(), usize::from(version >= 3));
}

pub(crate) async fn offset_commit(client: &mut Client, version: i16) {
    let group = named("commit", version);
    if version == 1 {
        commit_v1(client, &group).await;
    } else {
        let mut request = commit_request(&group, NOBODY, &[(ORDERS, 0, 5, "m")]);
        if version > 4 {
            request.retention_time_ms = -1;
        }
        let answer = client.ask(&request, version).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "v{version}");
    }
    assert_eq!(fetch(client, &group).await[ORDERS], (5, "m".to_owned()));
}

/// By hand: the crate begins at version 2. As the DTS demo in Go sends it.
async fn commit_v1(client: &mut Client, group: &str) {
    let mut body = BytesMut::new();
    body.put_i16(8);
    body.put_i16(1);
    body.put_i32(77);
    put_text(&mut body, "sarama");
    put_text(&mut body, group);
    body.put_i32(-1);
    put_text(&mut body, "");
    body.put_i32(1);
    put_text(&mut body, ORDERS);
    body.put_i32(1);
    body.put_i32(0);
    body.put_i64(5);
    body.put_i64(-1);
    put_text(&mut body, "m");
    client.stream.write_all(&framed(&body)).await.unwrap();
    let mut answer = client.frame().await.expect("is answered");
    assert_eq!((answer.get_i32(), answer.get_i32()), (77, 1));
    let length = usize::try_from(answer.get_i16()).unwrap();
    assert_eq!(answer.split_to(length), ORDERS);
    assert_eq!(
        (answer.get_i32(), answer.get_i32(), answer.get_i16()),
        (1, 0, 0)
    );
    assert!(answer.is_empty());
}

fn put_text(body: &mut BytesMut, text: &str) {
    body.put_i16(i16::try_from(text.len()).unwrap());
    body.put_slice(text.as_bytes());
}

pub(crate) async fn offset_fetch(client: &mut Client, version: i16) {
    let group = named("fetch", version);
    commit(client, &group, NOBODY, &[(ORDERS, 0, 5, "m")]).await;
    if version >= 8 {
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group_id(&group))
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let answer = client.ask(&request, version).await;
        let partition = &answer.groups[0].topics[0].partitions[0];
        assert_eq!(partition.committed_offset, 5, "v{version}");
        return;
    }
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic_name(ORDERS))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(&group))
        .with_topics(Some(vec![topic]));
    let answer = client.ask(&request, version).await;
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(partition.committed_offset, 5, "v{version}");
    assert_eq!(partition.metadata.as_deref(), Some("m"));
}

pub(crate) async fn list_groups(client: &mut Client, version: i16) {
    let group = named("list", version);
    commit(client, &group, NOBODY, &[(ORDERS, 0, 5, "m")]).await;
    let answer = client.ask(&ListGroupsRequest::default(), version).await;
    assert_eq!(answer.error_code, 0);
    let mut groups = answer.groups.iter();
    let listed = groups.find(|listed| *listed.group_id == *group).unwrap();
    assert_eq!(&*listed.protocol_type, "consumer");
    assert_eq!(
        &*listed.group_state,
        if version >= 4 { "Empty" } else { "" }
    );
    assert_eq!(
        &*listed.group_type,
        if version >= 5 { "classic" } else { "" }
    );
}

pub(crate) async fn describe_groups(client: &mut Client, version: i16) {
    let group = named("describe", version);
    let (member_id, _) = become_active(client, &group).await;
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
    let answer = client.ask(&request, version).await;
    let described = &answer.groups[0];
    assert_eq!(
        (described.error_code, &*described.group_state),
        (0, "Stable")
    );
    assert_eq!(&*described.members[0].member_id, member_id, "v{version}");
    assert_eq!(&*described.members[0].client_id, "raw");
}

pub(crate) async fn delete_groups(client: &mut Client, version: i16) {
    let group = named("delete", version);
    commit(client, &group, NOBODY, &[(ORDERS, 0, 5, "m")]).await;
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
    let answer = client.ask(&request, version).await;
    assert_eq!(answer.results[0].error_code, 0, "v{version}");
    assert!(fetch(client, &group).await.is_empty());
}

pub(crate) async fn offset_delete(client: &mut Client, version: i16) {
    let group = named("forget", version);
    commit(client, &group, NOBODY, &[(ORDERS, 0, 5, "m")]).await;
    let request = OffsetDeleteRequest::default().with_group_id(group_id(&group));
    let answer = client.ask(&request, version).await;
    assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
}
