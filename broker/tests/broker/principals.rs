//! What a group's account, the operator and an anonymous client see and may do.

use kafka_protocol::{
    messages::{
        CreateTopicsRequest, DeleteGroupsRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
        FetchRequest, FindCoordinatorRequest, ListGroupsRequest, MetadataRequest,
        OffsetForLeaderEpochRequest, TopicName, create_topics_request::CreatableTopic,
        describe_configs_request::DescribeConfigsResource, fetch_request,
        metadata_request::MetadataRequestTopic, metadata_response::MetadataResponseTopic,
        offset_for_leader_epoch_request,
    },
    protocol::StrBytes,
};
use uuid::Uuid;

use crate::{
    groups_wire::{NOBODY, commit, fetch, group_id},
    secured::{
        DEPOT_TOPIC, OPERATOR, OPERATOR_PASSWORD, ORDERS_PASSWORD, ORDERS_USER, SHOP_TOPIC,
        STOCK_PASSWORD, STOCK_USER, Secured,
    },
    wire::{Client, Fetch},
};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNKNOWN_TOPIC_ID: i16 = 100;

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

async fn listed(client: &mut Client) -> Vec<String> {
    let topics = client.metadata().await.topics;
    let names = topics.into_iter().filter_map(|topic| topic.name);
    names.map(|name| name.to_string()).collect()
}

async fn described(client: &mut Client, asked: MetadataRequestTopic) -> MetadataResponseTopic {
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    client.ask(&request, 12).await.topics.remove(0)
}

async fn fetched_by_id(client: &mut Client, id: Uuid) -> i16 {
    let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1000);
    let topic = fetch_request::FetchTopic::default()
        .with_topic_id(id)
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1000)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    client.ask(&request, 16).await.responses[0].partitions[0].error_code
}

async fn epoch_end(client: &mut Client, topic: &str) -> i16 {
    let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default()
        .with_current_leader_epoch(-1);
    let topic = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    client.ask(&request, 4).await.topics[0].partitions[0].error_code
}

async fn coordinator(client: &mut Client, group: &str) -> (i16, i32) {
    let key = StrBytes::from_string(group.to_owned());
    let batched = FindCoordinatorRequest::default().with_coordinator_keys(vec![key.clone()]);
    let answer = client.ask(&batched, 5).await.coordinators.remove(0);
    let single = FindCoordinatorRequest::default().with_key(key);
    let old = client.ask(&single, 2).await;
    assert_eq!(
        (old.error_code, old.node_id),
        (answer.error_code, answer.node_id)
    );
    (answer.error_code, answer.node_id.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_principal_lists_the_topics_that_it_may_read() {
    let secured = Secured::start().await;
    let mut orders = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    assert_eq!(listed(&mut orders).await, [SHOP_TOPIC]);
    let mut stock = secured.user(STOCK_USER, STOCK_PASSWORD).await;
    assert_eq!(listed(&mut stock).await, [DEPOT_TOPIC]);
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    for all in [&mut operator, &mut secured.anonymous().await] {
        let mut topics = listed(all).await;
        topics.sort();
        assert_eq!(topics, [DEPOT_TOPIC, SHOP_TOPIC]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_topic_and_one_that_does_not_exist_are_alike_to_a_group() {
    let secured = Secured::start().await;
    let foreign_id = secured.anonymous().await.topic_id(DEPOT_TOPIC).await;
    let mut client = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let own_id = client.topic_id(SHOP_TOPIC).await;
    // The last one has the prefix of the group's own instance: that counts for nothing.
    for topic in [DEPOT_TOPIC, "nothing.public.orders", "shop.public.nothing"] {
        let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let answer = described(&mut client, asked).await;
        assert_eq!(answer.error_code, TOPIC_AUTHORIZATION_FAILED, "{topic}");
        assert!(answer.partitions.is_empty() && answer.topic_id.is_nil());
        let fetched = client.fetch(Fetch::of(topic, 0)).await;
        assert_eq!(fetched.error_code, TOPIC_AUTHORIZATION_FAILED, "{topic}");
        assert_eq!((fetched.high_watermark, fetched.log_start_offset), (-1, -1));
        let offset = client.offset(topic, -1, 9).await;
        assert_eq!(
            (offset.error_code, offset.offset),
            (TOPIC_AUTHORIZATION_FAILED, -1)
        );
        assert_eq!(
            epoch_end(&mut client, topic).await,
            TOPIC_AUTHORIZATION_FAILED
        );
    }
    for id in [foreign_id, Uuid::from_u128(7)] {
        let by_id = MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(id);
        let answer = described(&mut client, by_id).await;
        assert_eq!((answer.error_code, answer.name), (UNKNOWN_TOPIC_ID, None));
        assert_eq!(fetched_by_id(&mut client, id).await, UNKNOWN_TOPIC_ID);
    }
    assert_eq!(client.fetch(Fetch::of(SHOP_TOPIC, 0)).await.error_code, 0);
    assert_eq!(fetched_by_id(&mut client, own_id).await, 0);
    assert_eq!(epoch_end(&mut client, SHOP_TOPIC).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_everything_is_told_that_a_topic_does_not_exist() {
    let secured = Secured::start().await;
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    for client in [&mut operator, &mut secured.anonymous().await] {
        let fetched = client.fetch(Fetch::of("shop.public.nothing", 0)).await;
        assert_eq!(fetched.error_code, UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(client.fetch(Fetch::of(DEPOT_TOPIC, 0)).await.error_code, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_finds_the_coordinator_of_itself_only() {
    let secured = Secured::start().await;
    let mut client = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    for own in ["orders", "The group orders"] {
        assert_eq!(coordinator(&mut client, own).await, (0, 1));
    }
    for other in ["stock", "nothing", "", "Orders"] {
        let refused = (GROUP_AUTHORIZATION_FAILED, -1);
        assert_eq!(coordinator(&mut client, other).await, refused, "{other}");
    }
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    assert_eq!(coordinator(&mut operator, "stock").await, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_lists_itself_only_and_one_that_an_operator_made_is_not_deleted_by_kafkas_tools() {
    let secured = Secured::start().await;
    let mut orders = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    for (client, listed) in [
        (&mut orders, &["orders"][..]),
        (&mut operator, &["orders", "stock"]),
    ] {
        let names = ["orders", "stock"].map(group_id).to_vec();
        let delete = DeleteGroupsRequest::default().with_groups_names(names);
        for result in client.ask(&delete, 2).await.results {
            assert_eq!(result.error_code, GROUP_AUTHORIZATION_FAILED);
        }
        let answer = client.ask(&ListGroupsRequest::default(), 4).await;
        let ids = answer.groups.iter().map(|group| group.group_id.to_string());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        assert_eq!(ids, listed);
    }
}

async fn settings(client: &mut Client, resource_type: i8, resource: &str) -> (i16, usize) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(StrBytes::from_string(resource.to_owned()))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let result = client.ask(&request, 4).await.results.remove(0);
    (result.error_code, result.configs.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_sees_the_settings_of_its_topics_only() {
    const TOPIC: i8 = 2;
    const BROKER: i8 = 4;
    let secured = Secured::start().await;
    let mut client = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let (error, count) = settings(&mut client, TOPIC, SHOP_TOPIC).await;
    assert!(error == 0 && count > 0);
    for topic in [DEPOT_TOPIC, "no.such.topic", "no such topic"] {
        let refused = (TOPIC_AUTHORIZATION_FAILED, 0);
        assert_eq!(
            settings(&mut client, TOPIC, topic).await,
            refused,
            "{topic}"
        );
    }
    let refused = (CLUSTER_AUTHORIZATION_FAILED, 0);
    assert_eq!(settings(&mut client, BROKER, "1").await, refused);
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    assert_eq!(settings(&mut operator, BROKER, "1").await.0, 0);
    assert_eq!(settings(&mut operator, TOPIC, DEPOT_TOPIC).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_the_whole_broker_is_not_for_a_group() {
    let secured = Secured::start().await;
    let mut client = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let topic = CreatableTopic::default().with_name(name("shop.public.new"));
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let answer = client.ask(&request, 7).await;
    assert_eq!(answer.topics[0].error_code, CLUSTER_AUTHORIZATION_FAILED);
    let sizes = DescribeLogDirsRequest::default().with_topics(None);
    let told = client.ask(&sizes, 4).await;
    assert_eq!(told.error_code, CLUSTER_AUTHORIZATION_FAILED);
    assert!(told.results.is_empty());
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    assert_eq!(operator.ask(&sizes, 4).await.results.len(), 2);
    let answer = operator.ask(&request, 7).await;
    assert_ne!(answer.topics[0].error_code, CLUSTER_AUTHORIZATION_FAILED);
    assert_ne!(answer.topics[0].error_code, 0, "topics come from tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_commits_a_position_in_a_topic_of_another_instance_than_the_groups() {
    let secured = Secured::start().await;
    let both = [(SHOP_TOPIC, 0, 3, ""), (DEPOT_TOPIC, 0, 4, "")];
    let mut anonymous = secured.anonymous().await;
    // A group of first use belongs to the instance of the first topic that it names.
    let codes = commit(&mut anonymous, "console", NOBODY, &both).await;
    assert_eq!(codes, [0, TOPIC_AUTHORIZATION_FAILED]);
    let later = [(DEPOT_TOPIC, 0, 5, "")];
    let codes = commit(&mut anonymous, "console", NOBODY, &later).await;
    assert_eq!(codes, [TOPIC_AUTHORIZATION_FAILED]);

    let mut orders = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    for client in [&mut orders, &mut operator, &mut anonymous] {
        let codes = commit(client, "orders", NOBODY, &both).await;
        assert_eq!(codes, [0, TOPIC_AUTHORIZATION_FAILED]);
    }
    for group in ["console", "orders"] {
        let positions = fetch(&mut operator, group).await;
        assert_eq!(positions.len(), 1, "{group}: {positions:?}");
        assert_eq!(positions[SHOP_TOPIC].0, 3, "{group}");
    }
}

/// Kafka's tools commit as nobody's member: the history says who did, and by what right.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_group_says_who_moved_it_by_kafkas_tools() {
    let secured = Secured::start().await;
    let mut anonymous = secured.anonymous().await;
    let mut account = secured.user(ORDERS_USER, ORDERS_PASSWORD).await;
    let mut operator = secured.user(OPERATOR, OPERATOR_PASSWORD).await;
    // Back each time, since of ordinary commits only one a minute is kept.
    for (client, offset) in [(&mut anonymous, 9), (&mut account, 8), (&mut operator, 7)] {
        let at = [(SHOP_TOPIC, 0, offset, "")];
        assert_eq!(commit(client, "orders", NOBODY, &at).await, [0]);
    }
    let history = secured.broker.groups().history("orders").await.unwrap();
    let who: Vec<&str> = history
        .iter()
        .filter(|(_, entry)| !entry.moves.is_empty())
        .map(|(_, entry)| entry.who.as_str())
        .collect();
    let [anonymous, account, operator] = who[..] else {
        panic!("{who:?}");
    };
    assert!(anonymous.ends_with("@127.0.0.1"), "{anonymous}");
    assert!(
        account.ends_with("@127.0.0.1 (the group's account)"),
        "{account}"
    );
    assert!(operator.ends_with("@127.0.0.1 (operator)"), "{operator}");
}
