//! Logins over raw sockets: who gets in, what the others are told, and what strangers may cost.

use std::time::{Duration, Instant};

use headwater::config::ConnectionConfig;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use tokio::io::AsyncWriteExt;

use crate::{
    secured::{
        ORDERS_PASSWORD, ORDERS_USER, SHOP_TOPIC, STOCK_PASSWORD, Secured, Settings, group, plain,
    },
    wire::{Client, framed},
};

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

async fn secured_with(connections: ConnectionConfig) -> Secured {
    Secured::start_with(Settings {
        connections,
        tls: None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_a_user_name_gets_in_by_every_version() {
    let secured = Secured::start().await;
    for user in [ORDERS_USER, "team", "team-The group orders"] {
        for version in 0..=2 {
            let mut client = secured.stranger().await;
            client.handshake("PLAIN", 1).await;
            let answer = client.token(plain(user, ORDERS_PASSWORD), version).await;
            assert_eq!(
                (answer.error_code, answer.session_lifetime_ms),
                (0, 0),
                "{user}"
            );
            assert_eq!(client.metadata().await.topics.len(), 1, "{user}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_tokens_follow_a_handshake_of_version_0() {
    let secured = Secured::start().await;
    let mut client = secured.stranger().await;
    assert_eq!(client.handshake("PLAIN", 0).await.error_code, 0);
    let token = plain(ORDERS_USER, ORDERS_PASSWORD);
    client.stream.write_all(&framed(&token)).await.unwrap();
    assert_eq!(client.frame().await.as_deref(), Some(&b""[..]));
    assert_eq!(client.metadata().await.topics.len(), 1);

    let mut client = secured.stranger().await;
    client.handshake("PLAIN", 0).await;
    let token = plain(ORDERS_USER, "Wrong-2024");
    client.stream.write_all(&framed(&token)).await.unwrap();
    assert_eq!(client.frame().await, None, "a refusal has no words there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same_and_cut_off() {
    let secured = Secured::start().await;
    let mut told = Vec::new();
    for (user, password) in [
        (ORDERS_USER, "Wrong-2024"),
        (ORDERS_USER, STOCK_PASSWORD),
        ("team-stock", ORDERS_PASSWORD),
        ("team-nothing", ORDERS_PASSWORD),
        ("nobody", ORDERS_PASSWORD),
        ("root", ORDERS_PASSWORD),
    ] {
        let mut client = secured.stranger().await;
        let answer = client.log_in(user, password).await;
        assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED, "{user}");
        told.push(answer.error_message);
        assert_eq!(client.frame().await, None, "{user}");
    }
    assert!(
        told[0]
            .as_ref()
            .is_some_and(|message| message.contains("password"))
    );
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_mechanism_is_answered_by_those_that_there_are() {
    let secured = Secured::start().await;
    for version in 0..=1 {
        let mut client = secured.stranger().await;
        let answer = client.handshake("GSSAPI", version).await;
        assert_eq!(answer.error_code, UNSUPPORTED_SASL_MECHANISM);
        let names: Vec<&str> = answer.mechanisms.iter().map(|name| name.as_str()).collect();
        assert_eq!(names, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
        assert_eq!(client.frame().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_the_wrong_time_is_an_illegal_state() {
    let secured = Secured::start().await;
    let mut early = secured.stranger().await;
    let answer = early.token(plain(ORDERS_USER, ORDERS_PASSWORD), 2).await;
    assert_eq!(answer.error_code, ILLEGAL_SASL_STATE);
    assert_eq!(early.frame().await, None);

    let mut twice = secured.stranger().await;
    twice.handshake("PLAIN", 1).await;
    assert_eq!(
        twice.handshake("PLAIN", 1).await.error_code,
        ILLEGAL_SASL_STATE
    );
    assert_eq!(twice.frame().await, None);

    // After a login, and where none is due, as in Kafka: told, and the connection lives.
    let logged_in = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    for mut client in [logged_in, secured.anonymous().await] {
        assert_eq!(
            client.handshake("PLAIN", 1).await.error_code,
            ILLEGAL_SASL_STATE
        );
        let answer = client.token(plain(ORDERS_USER, ORDERS_PASSWORD), 2).await;
        assert_eq!(answer.error_code, ILLEGAL_SASL_STATE);
        assert!(!client.metadata().await.topics.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_ask_for_versions_and_nothing_else() {
    let secured = Secured::start().await;
    let mut client = secured.stranger().await;
    for version in 0..=4 {
        let answer = client.ask(&ApiVersionsRequest::default(), version).await;
        assert_eq!(answer.error_code, 0);
        assert!(answer.api_keys.iter().any(|row| row.api_key == 17));
    }
    client.send(&MetadataRequest::default(), 12).await;
    assert_eq!(client.frame().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sends_small_frames_and_a_user_larger_ones() {
    let secured = secured_with(ConnectionConfig {
        // Not that is what ends the connection.
        login_deadline: Duration::from_secs(600),
        ..ConnectionConfig::default()
    })
    .await;
    let mut client = secured.stranger().await;
    client
        .stream
        .write_all(&(64 * 1024 + 1_i32).to_be_bytes())
        .await
        .unwrap();
    assert_eq!(client.frame().await, None);

    let mut client = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let mut request = crate::wire::list_offsets(SHOP_TOPIC, -1, -1);
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = vec![partition; 10_000];
    let answer = client.ask(&request, 9).await;
    assert_eq!(answer.topics[0].partitions.len(), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_are_slow_are_cut_off_and_users_are_served_meanwhile() {
    let limit = Duration::from_millis(600);
    let secured = secured_with(ConnectionConfig {
        login_deadline: limit,
        ..ConnectionConfig::default()
    })
    .await;
    let started = Instant::now();
    let mut silent = secured.stranger().await;
    let mut dripping = secured.stranger().await;
    let drip = async {
        // A frame of one byte each 50 ms: always some progress, never a login.
        dripping
            .stream
            .write_all(&1000_i32.to_be_bytes())
            .await
            .unwrap();
        while dripping.stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let user = async {
        let mut client = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
        assert_eq!(client.metadata().await.topics.len(), 1);
        tokio::time::sleep(2 * limit).await;
        assert_eq!(
            client.metadata().await.topics.len(),
            1,
            "the deadline is for strangers"
        );
    };
    let ((), closed, ()) = tokio::join!(drip, silent.frame(), user);
    assert_eq!(closed, None);
    let took = started.elapsed();
    assert!((limit..limit * 6).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_few_places_and_a_login_gives_its_place_back() {
    let secured = secured_with(ConnectionConfig {
        unauthenticated_per_address_max: 2,
        login_deadline: Duration::from_secs(600),
        ..ConnectionConfig::default()
    })
    .await;
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(secured.user(ORDERS_USER, ORDERS_PASSWORD).await);
    }
    let mut first = secured.stranger().await;
    let mut second = secured.stranger().await;
    for client in [&mut first, &mut second] {
        client.ask(&ApiVersionsRequest::default(), 0).await;
    }
    let mut third = secured.stranger().await;
    assert_eq!(third.frame().await, None);
    // Where nobody logs in there are no such places.
    assert_eq!(secured.anonymous().await.metadata().await.topics.len(), 2);
    drop(first);
    let mut patience = 200;
    loop {
        let mut client = secured.stranger().await;
        client.send(&ApiVersionsRequest::default(), 0).await;
        if client.frame().await.is_some() {
            break;
        }
        patience -= 1;
        assert!(patience > 0, "the place does not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_wait_longer_and_longer_and_who_is_right_does_not_wait() {
    let secured = Secured::start().await;
    let mut waited = Vec::new();
    for _ in 0..5 {
        let mut client = secured.stranger().await;
        let started = Instant::now();
        client.log_in(ORDERS_USER, "Wrong-2024").await;
        waited.push(started.elapsed());
    }
    for (waited, least) in waited.iter().zip([100, 200, 400, 800, 1600]) {
        assert!(*waited >= Duration::from_millis(least), "{waited:?}");
    }
    let started = Instant::now();
    secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let took = started.elapsed();
    // A sixth failure would wait for 3.2 s.
    assert!(took < Duration::from_millis(3_000), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_and_a_deletion_end_the_connections_of_the_group_and_no_others() {
    let secured = Secured::start().await;
    let mut orders = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let mut parked = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let fetch = crate::wire::Fetch {
        wait_ms: 60_000,
        ..crate::wire::Fetch::of(SHOP_TOPIC, 0)
    };
    parked.send(&fetch.request(), 12).await;
    let mut stock = secured.user("team-stock", STOCK_PASSWORD).await;
    let groups = secured.broker.groups();
    let changed = groups.set_password("orders", "Changed-2024", Vec::new(), "operator");
    changed.await.unwrap();

    let started = Instant::now();
    assert_eq!((orders.frame().await, parked.frame().await), (None, None));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(stock.metadata().await.topics.len(), 1);
    let refused = secured
        .stranger()
        .await
        .log_in(ORDERS_USER, ORDERS_PASSWORD)
        .await;
    assert_eq!(refused.error_code, SASL_AUTHENTICATION_FAILED);
    let changed = secured
        .broker
        .put_group(group(1, "orders", 1), Some("Changed-2024".to_owned()));
    changed.await.unwrap();
    let mut orders = secured.user(ORDERS_USER, "Changed-2024").await;
    groups.delete("orders", false, "operator").await.unwrap();
    assert_eq!(orders.frame().await, None);
    let refused = secured
        .stranger()
        .await
        .log_in(ORDERS_USER, "Changed-2024")
        .await;
    assert_eq!(refused.error_code, SASL_AUTHENTICATION_FAILED);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_for_a_token_are_refused_and_the_broker_lives() {
    let secured = Secured::start().await;
    let long = vec![b'x'; 60_000];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for token in [&b""[..], b"\0", b"\0\0\0", b"\xff\xfe", b"n,,n=a,r=", &long] {
            let mut client: Client = secured.stranger().await;
            client.handshake(mechanism, 1).await;
            let answer = client.token(token.to_vec().into(), 1).await;
            assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED);
        }
    }
    secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
}
