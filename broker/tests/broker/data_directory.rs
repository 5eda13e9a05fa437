//! One broker per data directory, and logs that the configuration no longer names.

use headwater::{
    Broker, StartError,
    config::{BrokerConfig, ConnectionConfig, ListenerConfig, StorageConfig},
};
use headwater_storage::StorageError;

use crate::{
    harness::{Harness, ORDERS, ORDERS_KEY, Settings, start_on},
    wire::{Client, Fetch, offsets},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_on_the_same_directory_is_refused() {
    let harness = Harness::start().await;
    let second = start_on(harness.data.path().to_owned(), Settings::default()).await;
    let refused = matches!(
        second,
        Err(StartError::Storage(StorageError::Locked { .. }))
    );
    assert!(refused, "the second one is refused as locked");
    let mut client = harness.client().await;
    assert_eq!(client.metadata().await.topics.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_instance_that_is_configured_no_longer_stays_readable() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    let Harness { broker, data, .. } = harness;
    broker.stop().await.unwrap();

    let config = BrokerConfig {
        data_dir: data.path().to_owned(),
        listeners: vec![ListenerConfig::plaintext(([127, 0, 0, 1], 0).into())],
        connections: ConnectionConfig::default(),
        operator: None,
        http_listen: None,
        storage: StorageConfig::default(),
        instances: Vec::new(),
    };
    let broker = Broker::start(config).await.unwrap();
    let mut client = Client::connect(broker.kafka_addresses()[0]).await;
    assert_eq!(offsets(&client.fetch(Fetch::of(ORDERS, 0)).await), [0]);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_off_loopback_is_refused_unless_allowed() {
    for (allow, refused) in [(false, true), (true, false)] {
        let data = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            data_dir: data.path().to_owned(),
            listeners: vec![ListenerConfig {
                allow_unauthenticated: allow,
                ..ListenerConfig::plaintext(([0, 0, 0, 0], 0).into())
            }],
            connections: ConnectionConfig::default(),
            operator: None,
            http_listen: None,
            storage: StorageConfig::default(),
            instances: Vec::new(),
        };
        let started = Broker::start(config).await;
        assert_eq!(matches!(started, Err(StartError::Config(_))), refused);
    }
}
