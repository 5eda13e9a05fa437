use std::time::Duration;

use bytes::Bytes;
use headwater_protocol::response::Piece;
use kafka_protocol::messages::fetch_request::{FetchPartition as Wire, FetchTopic, ForgottenTopic};

use super::*;
use crate::limits::{FETCH_SESSION_EVICT_AFTER, FETCH_SESSIONS_BYTES_MAX, FETCH_SESSIONS_MAX};

const NOW: Duration = Duration::from_secs(1_000);
const CLIENT: u64 = 7;

fn topic(name: &str, offset: i64) -> FetchTopic {
    let name = TopicName(StrBytes::from_string(name.to_owned()));
    let partition = Wire::default().with_fetch_offset(offset);
    FetchTopic::default()
        .with_topic(name)
        .with_partitions(vec![partition])
}

fn forgotten(name: &str) -> ForgottenTopic {
    let name = TopicName(StrBytes::from_string(name.to_owned()));
    ForgottenTopic::default()
        .with_topic(name)
        .with_partitions(vec![0])
}

fn request(id: i32, epoch: i32, names: &[&str]) -> FetchRequest {
    FetchRequest::default()
        .with_session_id(id)
        .with_session_epoch(epoch)
        .with_topics(names.iter().map(|name| topic(name, 0)).collect())
}

fn named(name: &str) -> TopicRef {
    TopicRef {
        name: TopicName(StrBytes::from_string(name.to_owned())),
        id: Uuid::nil(),
    }
}

fn answer(end: i64, records: &[u8]) -> FetchPartition {
    FetchPartition {
        high_watermark: end,
        last_stable_offset: end,
        records: if records.is_empty() {
            Vec::new()
        } else {
            vec![Piece::Memory(Bytes::copy_from_slice(records))]
        },
        ..FetchPartition::default()
    }
}

fn names(session: &FetchSession) -> Vec<(String, i64)> {
    let partitions = session.partitions();
    partitions
        .map(|(topic, asked)| (topic.name.to_string(), asked.offset))
        .collect()
}

fn opened(sessions: &FetchSessions, client: u64, names: &[&str]) -> FetchSession {
    match sessions.begin(NOW, client, &request(0, 0, names), false) {
        Begun::Within(session) => session,
        other @ (Begun::Without | Begun::Refused(_)) => panic!("no session begins: {other:?}"),
    }
}

fn refusal(begun: Begun) -> Refusal {
    match begun {
        Begun::Refused(refusal) => refusal,
        other @ (Begun::Without | Begun::Within(_)) => panic!("it is not refused: {other:?}"),
    }
}

/// A session of `a` and `b` at rest: its next epoch is 1.
fn at_rest(sessions: &FetchSessions) -> i32 {
    let session = opened(sessions, CLIENT, &["a", "b"]);
    let id = session.id();
    sessions.give_back(NOW, CLIENT, session);
    id
}

#[test]
fn every_pair_of_id_and_epoch_is_answered_as_the_table_says() {
    #[derive(Debug, PartialEq)]
    enum Is {
        Without,
        New,
        Same,
        No(Refusal),
    }
    let not_found = || Is::No(Refusal::FetchSessionIdNotFound);
    let wrong_epoch = || Is::No(Refusal::InvalidFetchSessionEpoch);
    let other = 1_000_000;
    // Session id asked for (0: none, 1: the connection's own, other), epoch, names by id, what happens.
    let table = [
        (0, -1, false, Is::Without),
        (0, 0, false, Is::New),
        (0, 1, false, not_found()),
        (1, -1, false, Is::Without),
        (1, 0, false, Is::New),
        (1, 1, false, Is::Same),
        (1, 2, false, wrong_epoch()),
        (1, i32::MAX, false, wrong_epoch()),
        (1, -2, false, wrong_epoch()),
        (1, 1, true, Is::No(Refusal::FetchSessionTopicIdError)),
        (1, 2, true, wrong_epoch()),
        (other, -1, false, Is::Without),
        (other, 0, false, Is::New),
        (other, 1, false, not_found()),
        (other, 1, true, not_found()),
    ];
    for (asked, epoch, by_id, expected) in table {
        let sessions = FetchSessions::default();
        let own = at_rest(&sessions);
        let id = if asked == 1 { own } else { asked };
        let is = match sessions.begin(NOW, CLIENT, &request(id, epoch, &["c"]), by_id) {
            Begun::Without => Is::Without,
            Begun::Refused(refusal) => Is::No(refusal),
            Begun::Within(session) if session.id() == own => Is::Same,
            Begun::Within(_) => Is::New,
        };
        assert_eq!(is, expected, "id={asked} epoch={epoch} by_id={by_id}");
        // What refuses or needs no session leaves the one there is; what ends it leaves none.
        let left = match expected {
            Is::No(_) | Is::New | Is::Same => 1,
            Is::Without => usize::from(asked == 0),
        };
        assert_eq!(sessions.count(), left, "id={asked} epoch={epoch}");
    }
}

#[test]
fn a_session_takes_changed_new_and_forgotten_partitions_and_keeps_the_others() {
    let sessions = FetchSessions::default();
    let id = at_rest(&sessions);
    let next = request(id, 1, &[])
        .with_topics(vec![topic("b", 5), topic("c", 9)])
        .with_forgotten_topics_data(vec![forgotten("a"), forgotten("never there")]);
    let Begun::Within(session) = sessions.begin(NOW, CLIENT, &next, false) else {
        panic!("the session goes on");
    };
    let expected = [("b".to_owned(), 5), ("c".to_owned(), 9)];
    assert_eq!(names(&session), expected);
}

#[test]
fn epochs_count_up_and_begin_at_1_again_after_the_largest() {
    let mut session = FetchSession::new(1, false, &[topic("a", 0)]);
    session.next_epoch = i32::MAX - 1;
    for epoch in [i32::MAX - 1, i32::MAX, 1, 2] {
        let request = request(1, epoch, &[]);
        assert_eq!(session.check(&request, false), Ok(()), "epoch={epoch}");
        session.update(&request);
    }
}

#[test]
fn a_client_is_told_what_it_does_not_know_and_nothing_else() {
    let mut session = FetchSession::new(1, false, &[topic("a", 0), topic("b", 0)]);
    let failed = FetchPartition {
        error_code: 1,
        ..answer(12, b"")
    };
    let moved_start = FetchPartition {
        log_start_offset: 4,
        ..answer(12, b"")
    };
    let steps = [
        ("the first answer", answer(10, b""), true),
        ("nothing new", answer(10, b""), false),
        ("records", answer(10, b"x"), true),
        ("a new end without records", answer(12, b""), true),
        ("nothing new", answer(12, b""), false),
        ("a new log start", moved_start.clone(), true),
        ("nothing new", moved_start, false),
        ("an error", failed.clone(), true),
        ("the error again", failed, true),
        ("the end of the error", answer(12, b""), true),
        ("nothing new", answer(12, b""), false),
    ];
    for (what, answer, told) in steps {
        assert_eq!(session.tells(&named("a"), &answer), told, "{what}");
    }
}

#[test]
fn partitions_that_gave_records_come_last_the_next_time() {
    let topics = ["a", "b", "c"].map(|name| topic(name, 0));
    let mut session = FetchSession::new(1, false, &topics);
    assert!(session.tells(&named("a"), &answer(1, b"x")));
    assert!(session.tells(&named("b"), &answer(1, b"")));
    let order: Vec<String> = names(&session).into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["b", "c", "a"]);
    session.update(&request(1, 1, &["a"]));
    assert_eq!(names(&session).len(), 3, "a change adds none");
}

#[test]
fn one_partition_named_100_000_times_is_one_partition() {
    let request = request(0, 0, &vec!["a"; 100_000]);
    let session = FetchSession::new(1, false, &request.topics);
    assert_eq!(names(&session).len(), 1);
    assert!(session.bytes() < 1_000);
}

#[test]
fn a_session_that_forgets_all_its_partitions_ends() {
    let sessions = FetchSessions::default();
    let id = at_rest(&sessions);
    let next = request(id, 1, &[]).with_forgotten_topics_data(vec![forgotten("a"), forgotten("b")]);
    assert!(matches!(
        sessions.begin(NOW, CLIENT, &next, false),
        Begun::Without
    ));
    assert_eq!(sessions.count(), 0);
    assert!(matches!(
        sessions.begin(NOW, CLIENT, &request(0, 0, &[]), false),
        Begun::Without
    ));
}

#[test]
fn another_connection_cannot_go_on_with_a_session() {
    let sessions = FetchSessions::default();
    let id = at_rest(&sessions);
    let begun = sessions.begin(NOW, CLIENT + 1, &request(id, 1, &[]), false);
    assert_eq!(refusal(begun), Refusal::FetchSessionIdNotFound);
    let begun = sessions.begin(NOW, CLIENT, &request(id, 1, &[]), false);
    assert!(matches!(begun, Begun::Within(_)));
    sessions.forget(CLIENT);
    assert_eq!(sessions.count(), 0);
}

#[test]
fn when_all_places_are_taken_new_clients_do_without_until_one_is_unused_for_long() {
    let sessions = FetchSessions::default();
    for client in 0..FETCH_SESSIONS_MAX as u64 {
        let session = opened(&sessions, client, &["a"]);
        // Client 0 is the oldest; client 1 is in the middle of a request.
        if client != 1 {
            let used = NOW + Duration::from_millis(client);
            sessions.give_back(used, client, session);
        }
    }
    let late = FETCH_SESSIONS_MAX as u64;
    let full = request(0, 0, &["a"]);
    let soon = NOW + FETCH_SESSION_EVICT_AFTER - Duration::from_millis(1);
    assert!(matches!(
        sessions.begin(soon, late, &full, false),
        Begun::Without
    ));
    let later = NOW + FETCH_SESSION_EVICT_AFTER + Duration::from_millis(2);
    for (client, begins) in [(late, true), (late + 1, true), (late + 2, false)] {
        let begun = sessions.begin(later, client, &full, false);
        assert_eq!(matches!(begun, Begun::Within(_)), begins, "{client}");
    }
    assert_eq!(sessions.count(), FETCH_SESSIONS_MAX);
    let evicted = sessions.begin(later, 0, &request(1, 1, &[]), false);
    assert_eq!(refusal(evicted), Refusal::FetchSessionIdNotFound);
}

#[test]
fn sessions_are_bounded_in_bytes_when_they_begin_and_when_they_grow() {
    let sessions = FetchSessions::default();
    let name = |number: usize| format!("topic-{number:06}");
    let per_partition = FETCH_SESSION_PARTITION_BYTES + name(0).len();
    let fitting = FETCH_SESSIONS_BYTES_MAX / per_partition;
    let many = |count: usize| {
        let topics = (0..count).map(|number| topic(&name(number), 0));
        request(0, 0, &[]).with_topics(topics.collect())
    };
    let begun = sessions.begin(NOW, CLIENT, &many(fitting + 1), false);
    assert!(matches!(begun, Begun::Without), "too large for all of it");

    let Begun::Within(session) = sessions.begin(NOW, CLIENT, &many(fitting), false) else {
        panic!("it fits");
    };
    let id = session.id();
    sessions.give_back(NOW, CLIENT, session);
    let begun = sessions.begin(NOW, CLIENT + 1, &many(1), false);
    assert!(matches!(begun, Begun::Without), "no room beside it");

    let begun = sessions.begin(NOW, CLIENT, &request(id, 1, &["one more"]), false);
    assert_eq!(refusal(begun), Refusal::FetchSessionIdNotFound);
    assert_eq!(sessions.count(), 0, "what outgrew the bound is gone");
    let begun = sessions.begin(NOW, CLIENT + 1, &many(1), false);
    assert!(matches!(begun, Begun::Within(_)), "and its room is free");
}

#[test]
fn a_name_is_kept_without_the_frame_it_came_in() {
    let frame = Bytes::from(vec![b'n'; 1 << 20]);
    let name = StrBytes::from_utf8(frame.slice(..10)).expect("it is text");
    let mut asked = topic("", 0);
    asked.topic = TopicName(name);
    let session = FetchSession::new(1, false, &[asked]);
    assert!(frame.is_unique(), "the session holds on to the frame");
    assert_eq!(names(&session)[0].0, "n".repeat(10));
}
