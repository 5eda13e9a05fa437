//! What tools ask of topics, settings and the cluster.

use kafka_protocol::messages::{
    BrokerId, TopicName, alter_configs_request, alter_configs_response, create_partitions_request,
    create_partitions_response, create_topics_request, create_topics_response,
    delete_records_request, delete_topics_request, delete_topics_response,
    describe_configs_request, describe_configs_response, describe_log_dirs_request,
    incremental_alter_configs_request, incremental_alter_configs_response,
    list_partition_reassignments_request,
};

use super::{
    Array, BOOL, INT8, INT16, INT32, INT32_VALUE, INT64, Layout, NullableArray, NullableString,
    STRING_VALUE, String, UUID, all, answered, answered_value, element, request, since, until,
    value,
};

static BROKER_ID_VALUE: Layout = value::<BrokerId>(&[all(INT32)]);

/// Versions 2-7.
pub(super) static CREATE_TOPICS: Layout = request(&[
    all(Array(&CREATE_TOPICS_TOPIC)),
    all(INT32), // timeout, ms
    all(BOOL),  // validate only
]);
static CREATE_TOPICS_TOPIC: Layout = answered::<
    create_topics_request::CreatableTopic,
    create_topics_response::CreatableTopicResult,
>(&[
    all(String), // name
    all(INT32),  // partitions
    all(INT16),  // replication factor
    all(Array(&CREATE_TOPICS_ASSIGNMENT)),
    all(Array(&CREATE_TOPICS_CONFIG)),
]);
static CREATE_TOPICS_ASSIGNMENT: Layout =
    element::<create_topics_request::CreatableReplicaAssignment>(&[
        all(INT32), // partition
        all(Array(&BROKER_ID_VALUE)),
    ]);
static CREATE_TOPICS_CONFIG: Layout = element::<create_topics_request::CreatableTopicConfig>(&[
    all(String),         // name
    all(NullableString), // value
]);

/// Versions 1-6.
pub(super) static DELETE_TOPICS: Layout = request(&[
    since(6, Array(&DELETE_TOPICS_TOPIC)),
    until(5, Array(&DELETE_TOPICS_NAME)),
    all(INT32), // timeout, ms
]);
static DELETE_TOPICS_NAME: Layout =
    answered_value::<TopicName, delete_topics_response::DeletableTopicResult>(&[all(String)]);
static DELETE_TOPICS_TOPIC: Layout = answered::<
    delete_topics_request::DeleteTopicState,
    delete_topics_response::DeletableTopicResult,
>(&[
    all(NullableString), // name; null asks by id
    all(UUID),           // topic id
]);

/// Versions 0-2.
pub(super) static DELETE_RECORDS: Layout = request(&[
    all(Array(&DELETE_RECORDS_TOPIC)),
    all(INT32), // timeout, ms
]);
static DELETE_RECORDS_TOPIC: Layout = element::<delete_records_request::DeleteRecordsTopic>(&[
    all(String), // name
    all(Array(&DELETE_RECORDS_PARTITION)),
]);
static DELETE_RECORDS_PARTITION: Layout =
    element::<delete_records_request::DeleteRecordsPartition>(&[
        all(INT32), // partition
        all(INT64), // offset
    ]);

/// Versions 0-3.
pub(super) static CREATE_PARTITIONS: Layout = request(&[
    all(Array(&CREATE_PARTITIONS_TOPIC)),
    all(INT32), // timeout, ms
    all(BOOL),  // validate only
]);
static CREATE_PARTITIONS_TOPIC: Layout = answered::<
    create_partitions_request::CreatePartitionsTopic,
    create_partitions_response::CreatePartitionsTopicResult,
>(&[
    all(String), // name
    all(INT32),  // partitions wanted
    all(NullableArray(&CREATE_PARTITIONS_ASSIGNMENT)),
]);
static CREATE_PARTITIONS_ASSIGNMENT: Layout = element::<
    create_partitions_request::CreatePartitionsAssignment,
>(&[all(Array(&BROKER_ID_VALUE))]);

/// Versions 1-4.
pub(super) static DESCRIBE_CONFIGS: Layout = request(&[
    all(Array(&DESCRIBE_CONFIGS_RESOURCE)),
    all(BOOL),      // include synonyms
    since(3, BOOL), // include documentation
]);
static DESCRIBE_CONFIGS_RESOURCE: Layout = answered::<
    describe_configs_request::DescribeConfigsResource,
    describe_configs_response::DescribeConfigsResult,
>(&[
    all(INT8),                         // type of the resource
    all(String),                       // name
    all(NullableArray(&STRING_VALUE)), // keys; null asks for all
]);

/// Versions 0-2.
pub(super) static ALTER_CONFIGS: Layout = request(&[
    all(Array(&ALTER_CONFIGS_RESOURCE)),
    all(BOOL), // validate only
]);
static ALTER_CONFIGS_RESOURCE: Layout = answered::<
    alter_configs_request::AlterConfigsResource,
    alter_configs_response::AlterConfigsResourceResponse,
>(&[
    all(INT8),   // type of the resource
    all(String), // name
    all(Array(&ALTER_CONFIGS_CONFIG)),
]);
static ALTER_CONFIGS_CONFIG: Layout = element::<alter_configs_request::AlterableConfig>(&[
    all(String),         // name
    all(NullableString), // value
]);

/// Versions 0-1.
pub(super) static INCREMENTAL_ALTER_CONFIGS: Layout = request(&[
    all(Array(&INCREMENTAL_ALTER_CONFIGS_RESOURCE)),
    all(BOOL), // validate only
]);
static INCREMENTAL_ALTER_CONFIGS_RESOURCE: Layout = answered::<
    incremental_alter_configs_request::AlterConfigsResource,
    incremental_alter_configs_response::AlterConfigsResourceResponse,
>(&[
    all(INT8),   // type of the resource
    all(String), // name
    all(Array(&INCREMENTAL_ALTER_CONFIGS_CONFIG)),
]);
static INCREMENTAL_ALTER_CONFIGS_CONFIG: Layout =
    element::<incremental_alter_configs_request::AlterableConfig>(&[
        all(String),         // name
        all(INT8),           // operation
        all(NullableString), // value
    ]);

/// Versions 1-4.
pub(super) static DESCRIBE_LOG_DIRS: Layout = request(&[
    all(NullableArray(&DESCRIBE_LOG_DIRS_TOPIC)), // null asks for all
]);
static DESCRIBE_LOG_DIRS_TOPIC: Layout =
    element::<describe_log_dirs_request::DescribableLogDirTopic>(&[
        all(String), // topic
        all(Array(&INT32_VALUE)),
    ]);

/// Version 0.
pub(super) static LIST_PARTITION_REASSIGNMENTS: Layout = request(&[
    all(INT32),                                              // timeout, ms
    all(NullableArray(&LIST_PARTITION_REASSIGNMENTS_TOPIC)), // null asks for all
]);
static LIST_PARTITION_REASSIGNMENTS_TOPIC: Layout =
    element::<list_partition_reassignments_request::ListPartitionReassignmentsTopics>(&[
        all(String), // name
        all(Array(&INT32_VALUE)),
    ]);

/// Versions 1-3.
pub(super) static DESCRIBE_ACLS: Layout = request(&[
    all(INT8),           // type of the resource
    all(NullableString), // name of the resource
    all(INT8),           // type of the pattern
    all(NullableString), // principal
    all(NullableString), // host
    all(INT8),           // operation
    all(INT8),           // permission
]);

/// Versions 0-2.
pub(super) static DESCRIBE_CLUSTER: Layout = request(&[
    all(BOOL),      // include cluster authorized operations
    since(1, INT8), // type of endpoints
    since(2, BOOL), // include fenced brokers
]);
