//! What `/metrics` tells of consumer groups, logins and connections.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use headwater::config::GroupConfig;
use tokio::time::{sleep, timeout};

use crate::{
    groups_wire::{NOBODY, become_active, commit, heartbeat, join, leave},
    harness::{Harness, LINES, LINES_KEY, ORDERS, ORDERS_KEY, Settings},
    http::get_tcp,
    secured::plain,
    wire::Client,
};

const TIME_MS: i64 = 1_700_000_000_000;

/// Lines and their values.
async fn scrape(harness: &Harness) -> HashMap<String, f64> {
    let answer = get_tcp(harness, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let lines = answer.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    pairs.collect()
}

async fn with_group() -> Harness {
    Harness::start_with(Settings {
        http: true,
        sasl: true,
        groups: vec![GroupConfig {
            name: "Order sync".to_owned(),
            id: "orders".to_owned(),
            account: "team".to_owned(),
            mode: None,
            password: "Secret12".to_owned(),
        }],
        ..Settings::default()
    })
    .await
}

/// A metric of the group `orders`, with further labels.
fn of_orders(name: &str, more: &str) -> String {
    format!("headwater_group_{name}{{instance=\"shop\",group=\"orders\"{more}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_told_with_lag_members_positions_commits_and_takeovers() {
    let mut harness = with_group().await;
    for _ in 0..3 {
        harness.commit_one(ORDERS_KEY, TIME_MS, 10).await;
    }
    harness.commit_one(LINES_KEY, TIME_MS, 10).await;
    let mut client = harness.client().await;
    let (first, generation) = become_active(&mut client, "orders").await;
    let standby = join(&mut client, "orders", "").await.member_id.to_string();
    let at = [(ORDERS, 0, 1, ""), (LINES, 0, 1, "")];
    let codes = commit(&mut client, "orders", (&first, generation), &at).await;
    assert_eq!(codes, [0, 0]);
    let stale = commit(&mut client, "orders", (&first, generation - 1), &at).await;
    assert_eq!(stale, [22, 22]);

    let told = scrape(&harness).await;
    for (name, more, value) in [
        ("lag_records", "", 2.0),
        ("members", ",role=\"active\"", 1.0),
        ("members", ",role=\"standby\"", 1.0),
        ("committed_offset", ",topic=\"shop.public.orders\"", 1.0),
        ("committed_offset", ",topic=\"shop.public.lines\"", 1.0),
        ("commits_total", "", 1.0),
        ("fenced_commits_total", "", 1.0),
        ("takeovers_total", "", 1.0),
        ("positions_lost", ",state=\"deleted\"", 0.0),
        ("positions_lost", ",state=\"beyond_end\"", 0.0),
        ("positions_restored", "", 0.0),
    ] {
        let name = of_orders(name, more);
        assert_eq!(told.get(&name), Some(&value), "{name}");
    }
    assert!(
        told[&of_orders("lag_seconds", "")] > 1e6,
        "2023 is long ago"
    );
    assert_eq!(told["headwater_group_commit_seconds_count"], 1.0);

    assert_eq!(leave(&mut client, "orders", &first).await, 0);
    assert_eq!(
        heartbeat(&mut client, "orders", (&standby, generation)).await,
        27
    );
    join(&mut client, "orders", &standby).await;
    let told = scrape(&harness).await;
    assert_eq!(told[&of_orders("takeovers_total", "")], 2.0);
    assert_eq!(told[&of_orders("members", ",role=\"standby\"")], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_cannot_be_read_from_is_told_and_lag_follows_the_group() {
    let mut harness = with_group().await;
    harness.commit_one(ORDERS_KEY, TIME_MS, 10).await;
    let mut client = harness.client().await;
    for (offset, lost, lag) in [(0, 0.0, 1.0), (9, 1.0, 0.0), (1, 0.0, 0.0), (0, 0.0, 1.0)] {
        let at = [(ORDERS, 0, offset, "")];
        assert_eq!(commit(&mut client, "orders", NOBODY, &at).await, [0]);
        // Twice: the second time, what was read for the first is known.
        for _ in 0..2 {
            let told = scrape(&harness).await;
            let name = of_orders("positions_lost", ",state=\"beyond_end\"");
            assert_eq!(told[&name], lost, "{offset}");
            assert_eq!(told[&of_orders("lag_records", "")], lag, "{offset}");
            let is_old = told[&of_orders("lag_seconds", "")] > 1e6;
            assert_eq!(is_old, lag > 0.0, "{offset}");
        }
    }
    harness
        .commit_one(ORDERS_KEY, TIME_MS + 1_000_000, 10)
        .await;
    let at = [(ORDERS, 0, 1, "")];
    let before = scrape(&harness).await[&of_orders("lag_seconds", "")];
    assert_eq!(commit(&mut client, "orders", NOBODY, &at).await, [0]);
    let after = scrape(&harness).await[&of_orders("lag_seconds", "")];
    let younger = before - after;
    assert!((900.0..=1000.0).contains(&younger), "{before} {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_groups_of_first_use_the_oldest_are_told_and_their_names_cannot_forge_a_line() {
    let harness = with_group().await;
    let mut client = harness.client().await;
    let evil = "a\"} 1\nheadwater_forged 1";
    assert_eq!(
        commit(&mut client, evil, NOBODY, &[(ORDERS, 0, 0, "")]).await,
        [0]
    );
    for number in 0..110 {
        let id = format!("console-{number:03}");
        let codes = commit(&mut client, &id, NOBODY, &[(ORDERS, 0, 0, "")]).await;
        assert_eq!(codes, [0]);
    }
    let told = scrape(&harness).await;
    assert!(!told.contains_key("headwater_forged"));
    assert_eq!(told["headwater_groups{kind=\"made\"}"], 1.0);
    assert_eq!(told["headwater_groups{kind=\"first_use\"}"], 111.0);
    let lags = told.keys();
    let lags = lags.filter(|name| name.starts_with("headwater_group_lag_records{"));
    assert_eq!(lags.count(), 101);
    let of = |id: &str| {
        told.contains_key(&format!(
            "headwater_group_commits_total{{instance=\"shop\",group=\"{id}\"}}"
        ))
    };
    assert!(of("orders") && of("console-000") && of("console-098") && !of("console-099"));
    assert!(of("a\\\"} 1\\nheadwater_forged 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_counted_by_their_reason_and_connections_by_their_listener() {
    let harness = with_group().await;
    let [plaintext, sasl] = harness.broker.kafka_addresses() else {
        panic!("two listeners");
    };
    let mut inside = Client::connect(*sasl).await;
    assert_eq!(inside.log_in("team-orders", "Secret12").await.error_code, 0);
    for (user, password) in [
        ("team-orders", "Wrong-12"),
        ("team-orders", "Wrong-13"),
        ("team-others", "Secret12"),
        ("people-orders", "Secret12"),
        ("nobody", "Secret12"),
    ] {
        let mut client = Client::connect(*sasl).await;
        assert_eq!(client.log_in(user, password).await.error_code, 58);
    }
    let mut client = Client::connect(*sasl).await;
    assert_eq!(client.handshake("GSSAPI", 1).await.error_code, 33);
    assert_eq!(client.frame().await, None);
    let mut client = Client::connect(*sasl).await;
    client.handshake("PLAIN", 1).await;
    let token = plain("", "");
    assert_eq!(client.token(token, 2).await.error_code, 58);

    let told = scrape(&harness).await;
    let failed = |reason: &str| {
        told.get(&format!(
            "headwater_kafka_logins_failed_total{{reason=\"{reason}\"}}"
        ))
        .copied()
    };
    assert_eq!(failed("wrong_password"), Some(2.0));
    assert_eq!(failed("unknown_group"), Some(1.0));
    assert_eq!(failed("unknown_account"), Some(2.0));
    assert_eq!(failed("mechanism"), Some(1.0));
    assert_eq!(failed("malformed"), Some(1.0));
    assert_eq!(told["headwater_kafka_logins_total"], 1.0);
    drop(client);
    let mut one = harness.client().await;
    one.metadata().await;
    // Those that are gone are noticed soon.
    let open = |address: &SocketAddr, protocol: &str| {
        format!("headwater_kafka_connections{{listener=\"{address}\",protocol=\"{protocol}\"}}")
    };
    let (plaintext, sasl) = (open(plaintext, "PLAINTEXT"), open(sasl, "SASL_PLAINTEXT"));
    let only_ours = async {
        loop {
            let told = scrape(&harness).await;
            if (told[&plaintext], told[&sasl]) == (1.0, 1.0) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), only_ours).await.unwrap();
    inside.metadata().await;
}
