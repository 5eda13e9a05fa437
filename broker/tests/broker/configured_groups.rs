//! Groups that the configuration names.

use headwater::config::GroupConfig;
use headwater_storage::{GroupEvent, GroupMode};

use crate::{
    groups_wire::{become_active, join},
    harness::{Harness, Settings, start_on},
};

fn orders(account: &str, password: &str) -> Settings {
    Settings {
        groups: vec![GroupConfig {
            name: "Order sync".to_owned(),
            id: "orders".to_owned(),
            account: account.to_owned(),
            mode: None,
            password: password.to_owned(),
        }],
        ..Settings::default()
    }
}

async fn events(harness: &Harness) -> Vec<GroupEvent> {
    let history = harness.broker.groups().history("orders").await.unwrap();
    history.into_iter().map(|(_, entry)| entry.event).collect()
}

async fn restarted(harness: Harness, settings: Settings) -> Harness {
    let Harness { broker, data, .. } = harness;
    broker.stop().await.unwrap();
    Harness::on(data, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_group_is_made_once_and_its_password_follows_the_file() {
    let harness = Harness::start_with(orders("team", "Secret12")).await;
    assert_eq!(events(&harness).await, [GroupEvent::Created]);
    let harness = restarted(harness, orders("team", "Secret12")).await;
    assert_eq!(
        events(&harness).await,
        [GroupEvent::Created],
        "nothing differs"
    );
    let harness = restarted(harness, orders("team", "Another-1")).await;
    assert_eq!(
        events(&harness).await,
        [GroupEvent::Created, GroupEvent::Password]
    );
    let harness = restarted(harness, Settings::default()).await;
    let there = harness.broker.groups().show("orders").await.unwrap();
    assert_eq!(
        there.account.as_deref(),
        Some("team"),
        "it stays when the file no longer names it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_group_that_differs_or_breaks_a_rule_is_named() {
    let harness = Harness::start_with(orders("team", "Secret12")).await;
    let Harness { broker, data, .. } = harness;
    broker.stop().await.unwrap();
    for (settings, parts) in [
        (
            orders("others", "Secret12"),
            ["Order sync", "account \"team\", not \"others\""],
        ),
        (orders("team", "short"), ["Order sync", "8 to 32"]),
    ] {
        let refused = start_on(data.path().to_owned(), settings).await;
        let line = refused.err().unwrap().to_string();
        assert!(!line.contains('\n'), "{line}");
        for part in parts {
            assert!(line.contains(part), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_configured_group_follows_the_file_where_the_file_has_one() {
    let with = |mode| {
        let mut settings = orders("team", "Secret12");
        settings.groups[0].mode = mode;
        settings
    };
    let mut harness = Harness::start_with(with(Some(GroupMode::Reject))).await;
    for (next, told) in [
        (None, "reject"),
        (Some(GroupMode::Exclusive), "reject"),
        (None, "exclusive"),
        (Some(GroupMode::Reject), "exclusive"),
    ] {
        let there = harness.broker.groups().show("orders").await.unwrap();
        assert_eq!(there.mode, told, "before {next:?}");
        harness = restarted(harness, with(next)).await;
    }
    let mut client = harness.client().await;
    become_active(&mut client, "orders").await;
    assert_eq!(join(&mut client, "orders", "").await.error_code, 81);
}
