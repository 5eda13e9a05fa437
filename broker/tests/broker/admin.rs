//! What tools are told of settings, the cluster and sizes.

use std::collections::HashMap;

use kafka_protocol::{
    messages::{
        DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
        ListPartitionReassignmentsRequest, describe_configs_request::DescribeConfigsResource,
        describe_configs_response::DescribeConfigsResult,
        describe_log_dirs_request::DescribableLogDirTopic,
    },
    protocol::StrBytes,
};

use crate::{
    harness::{Harness, LINES, LINES_KEY, ORDERS, ORDERS_KEY},
    versions::name,
    wire::Client,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn resource(kind: i8, name: &str) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configuration_keys(None)
}

async fn configs(
    client: &mut Client,
    version: i16,
    resources: Vec<DescribeConfigsResource>,
) -> Vec<DescribeConfigsResult> {
    let request = DescribeConfigsRequest::default()
        .with_resources(resources)
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3);
    client.ask(&request, version).await.results
}

fn values(result: &DescribeConfigsResult) -> HashMap<&str, &str> {
    let entries = result.configs.iter();
    entries
        .map(|entry| (entry.name.as_str(), entry.value.as_deref().unwrap_or("")))
        .collect()
}

pub(crate) async fn describe_configs(client: &mut Client, version: i16) {
    let results = configs(client, version, vec![resource(TOPIC, ORDERS)]).await;
    let entries = &results[0].configs;
    assert_eq!(results[0].error_code, 0, "v{version}");
    assert_eq!(
        values(&results[0])["cleanup.policy"],
        "delete",
        "v{version}"
    );
    for entry in entries {
        assert!(entry.read_only && !entry.is_sensitive, "{entry:?}");
        assert_eq!(entry.synonyms.len(), 1, "{entry:?}");
        let documented = entry
            .documentation
            .as_ref()
            .is_some_and(|text| !text.is_empty());
        assert_eq!(documented, version >= 3, "{entry:?}");
        assert_eq!(entry.config_type > 0, version >= 3, "{entry:?}");
    }
}

pub(crate) async fn describe_cluster(client: &mut Client, version: i16) {
    let answer = client
        .ask(&DescribeClusterRequest::default(), version)
        .await;
    let metadata = client.metadata().await;
    assert_eq!(answer.error_code, 0, "v{version}");
    assert_eq!(Some(answer.cluster_id), metadata.cluster_id, "v{version}");
    assert_eq!(answer.controller_id, metadata.controller_id);
    let (told, known) = (&answer.brokers[0], &metadata.brokers[0]);
    assert_eq!(
        (told.broker_id, &told.host, told.port),
        (known.node_id, &known.host, known.port)
    );
}

pub(crate) async fn describe_log_dirs(client: &mut Client, version: i16) {
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let answer = client.ask(&request, version).await;
    assert_eq!(
        (answer.error_code, answer.results.len()),
        (0, 1),
        "v{version}"
    );
    assert_eq!(answer.results[0].log_dir.as_str(), "shop", "v{version}");
    assert_eq!(answer.results[0].topics.len(), 2, "v{version}");
}

pub(crate) async fn list_partition_reassignments(client: &mut Client, version: i16) {
    let request = ListPartitionReassignmentsRequest::default().with_topics(None);
    let answer = client.ask(&request, version).await;
    assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_told_for_topics_and_the_broker_and_for_nothing_else() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let asked = vec![
        resource(TOPIC, ORDERS),
        resource(TOPIC, "nothing"),
        resource(TOPIC, "no good"),
        resource(BROKER, "1"),
        resource(BROKER, ""),
        resource(BROKER, "2"),
        resource(BROKER, "one"),
        resource(8, "1"),
        resource(TOPIC, ORDERS),
    ];
    let results = configs(&mut client, 4, asked).await;
    let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(
        codes,
        [0, 3, 17, 0, 0, 42, 42, 42],
        "the repeated one is answered once"
    );
    let refused = results.iter().filter(|result| result.error_code != 0);
    assert!(refused.clone().all(|result| result.error_message.is_some()));
    assert!(
        results[4].configs.is_empty(),
        "the dynamic default has none"
    );

    let topic = values(&results[0]);
    // Nothing limits the records of this instance but what Kafka's lengths can say.
    assert_eq!(topic["max.message.bytes"], "2040109465");
    assert_eq!(
        (topic["retention.ms"], topic["retention.bytes"]),
        ("604800000", "10737418240")
    );
    assert_eq!(topic["compression.type"], "uncompressed");
    let broker = values(&results[3]);
    assert_eq!(broker["node.id"], "1");
    assert_eq!(broker["max.connections"], "12000");
    assert_eq!(broker["auto.create.topics.enable"], "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_keys_that_are_asked_for_are_told() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let keys = ["cleanup.policy", "no.such.key", "cleanup.policy"];
    let keys = keys.map(StrBytes::from_static_str).to_vec();
    let some = resource(TOPIC, ORDERS).with_configuration_keys(Some(keys));
    let none = resource(TOPIC, LINES).with_configuration_keys(Some(Vec::new()));
    let results = configs(&mut client, 1, vec![some, none]).await;
    assert_eq!(
        values(&results[0]),
        HashMap::from([("cleanup.policy", "delete")])
    );
    assert!(results[1].configs.len() > 5, "no keys ask for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_are_not_to_be_connected_to() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    for (endpoints, code) in [(1, 0), (2, 114), (3, 115)] {
        let request = DescribeClusterRequest::default().with_endpoint_type(endpoints);
        let answer = client.ask(&request, 2).await;
        assert_eq!(answer.error_code, code);
        assert_eq!(answer.brokers.len(), usize::from(code == 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_parts_of_the_instances_log_for_the_topics_that_are_asked_for() {
    let mut harness = Harness::start().await;
    for _ in 0..3 {
        harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    }
    harness.commit_one(LINES_KEY, 1_700_000_000_000, 100).await;
    let mut client = harness.client().await;
    let topic = |topic: &str, partition| {
        DescribableLogDirTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition])
    };
    let asked = vec![topic(ORDERS, 0), topic(LINES, 7), topic("nothing", 0)];
    let request = DescribeLogDirsRequest::default().with_topics(Some(asked));
    let answer = client.ask(&request, 4).await;
    let topics = &answer.results[0].topics;
    assert_eq!(topics.len(), 1, "{topics:?}");
    assert_eq!(topics[0].name, name(ORDERS));
    let orders = topics[0].partitions[0].partition_size;

    let all = DescribeLogDirsRequest::default().with_topics(None);
    let answer = client.ask(&all, 4).await;
    let sizes = answer.results[0].topics.iter();
    let sum: i64 = sizes.map(|topic| topic.partitions[0].partition_size).sum();
    assert_eq!(sum, orders / 3 * 4, "three of four records are orders");
    assert!(orders > 0);
}
