//! The APIs that are served: one table, from which ApiVersions, the version gate, the header
//! versions and the shape check all derive.
//!
//! What is listed and why (librdkafka's feature table, `rdkafka_feature.c`, and KAFKA-18659):
//!
//! - Produce is listed from version 0 although every Produce is refused. librdkafka before 2.11.1
//!   reads record format v2 only from a broker that lists Produce 3 and Fetch 4; it tests for these
//!   exact versions, so a read-only broker that hid Produce could not be fetched from. Versions 0 to 2
//!   are never used by a client that sees 12; one that sends them is disconnected, as by Kafka 4.
//! - The group APIs keep their low minimums: librdkafka before 2.11.1 switches off group consumption
//!   unless JoinGroup 0 or 1, OffsetCommit 1 or 2 and FindCoordinator 0 are among them.
//! - No features (KIP-584) are announced, so that clients do not expect the newer group protocol.

use kafka_protocol::messages::{ApiVersionsResponse, api_versions_response::ApiVersion};

/// An API that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Listed for librdkafka, refused always.
    Produce,
    /// Reads record batches.
    Fetch,
    /// Offsets by time, and of the ends of a partition.
    ListOffsets,
    /// Brokers, topics, partitions.
    Metadata,
    /// Stores a group's positions.
    OffsetCommit,
    /// Reads a group's positions.
    OffsetFetch,
    /// The broker that coordinates a group.
    FindCoordinator,
    /// Enters a group.
    JoinGroup,
    /// Stays in a group.
    Heartbeat,
    /// Leaves a group.
    LeaveGroup,
    /// Gives and takes the assignment of a group.
    SyncGroup,
    /// State and members of groups.
    DescribeGroups,
    /// The groups there are.
    ListGroups,
    /// Chooses a SASL mechanism.
    SaslHandshake,
    /// This table, for clients.
    ApiVersions,
    /// Refused: topics follow the source's tables.
    CreateTopics,
    /// Refused, as above.
    DeleteTopics,
    /// Refused: retention deletes.
    DeleteRecords,
    /// Where a leader epoch ends, for clients that check for truncation (KIP-320).
    OffsetForLeaderEpoch,
    /// Refused: there are no ACLs. UIs ask once to learn that.
    DescribeAcls,
    /// Settings of topics and of the broker.
    DescribeConfigs,
    /// Refused: settings stand in the configuration file.
    AlterConfigs,
    /// Sizes on disk.
    DescribeLogDirs,
    /// Carries the tokens of a SASL mechanism (KIP-152).
    SaslAuthenticate,
    /// Refused: the number of partitions is fixed.
    CreatePartitions,
    /// Deletes groups that have no members.
    DeleteGroups,
    /// Refused, as AlterConfigs (KIP-339).
    IncrementalAlterConfigs,
    /// None ever, on one node (KIP-455).
    ListPartitionReassignments,
    /// Deletes positions of a group (KIP-496).
    OffsetDelete,
    /// Cluster id and brokers (KIP-700).
    DescribeCluster,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The API.
    pub api: Api,
    /// Kafka's number for it.
    pub key: i16,
    /// Kafka's name for it.
    pub name: &'static str,
    /// Lowest version listed.
    pub min: i16,
    /// Highest version listed, inclusive.
    pub max: i16,
    /// Lowest version decoded; a lower one closes the connection although it is listed.
    pub decoded_from: i16,
    /// First version with compact lengths and tagged fields (KIP-482).
    pub first_flexible: i16,
}

/// Every API that is served, by key.
#[rustfmt::skip]
pub static SERVED: [Served; 30] = [
    row(Api::Produce,                     0, "Produce",                    [0, 12],3, 9),
    row(Api::Fetch,                       1, "Fetch",                      [4, 16],4, 12),
    row(Api::ListOffsets,                 2, "ListOffsets",                [1, 9], 1, 6),
    row(Api::Metadata,                    3, "Metadata",                   [0, 12],0, 9),
    row(Api::OffsetCommit,                8, "OffsetCommit",               [1, 9], 1, 8),
    row(Api::OffsetFetch,                 9, "OffsetFetch",                [1, 9], 1, 6),
    row(Api::FindCoordinator,            10, "FindCoordinator",            [0, 5], 0, 3),
    row(Api::JoinGroup,                  11, "JoinGroup",                  [0, 9], 0, 6),
    row(Api::Heartbeat,                  12, "Heartbeat",                  [0, 4], 0, 4),
    row(Api::LeaveGroup,                 13, "LeaveGroup",                 [0, 5], 0, 4),
    row(Api::SyncGroup,                  14, "SyncGroup",                  [0, 5], 0, 4),
    row(Api::DescribeGroups,             15, "DescribeGroups",             [0, 6], 0, 5),
    row(Api::ListGroups,                 16, "ListGroups",                 [0, 5], 0, 3),
    row(Api::SaslHandshake,              17, "SaslHandshake",              [0, 1], 0, NEVER),
    row(Api::ApiVersions,                18, "ApiVersions",                [0, 4], 0, 3),
    row(Api::CreateTopics,               19, "CreateTopics",               [2, 7], 2, 5),
    row(Api::DeleteTopics,               20, "DeleteTopics",               [1, 6], 1, 4),
    row(Api::DeleteRecords,              21, "DeleteRecords",              [0, 2], 0, 2),
    row(Api::OffsetForLeaderEpoch,       23, "OffsetForLeaderEpoch",       [2, 4], 2, 4),
    row(Api::DescribeAcls,               29, "DescribeAcls",               [1, 3], 1, 2),
    row(Api::DescribeConfigs,            32, "DescribeConfigs",            [1, 4], 1, 4),
    row(Api::AlterConfigs,               33, "AlterConfigs",               [0, 2], 0, 2),
    row(Api::DescribeLogDirs,            35, "DescribeLogDirs",            [1, 4], 1, 2),
    row(Api::SaslAuthenticate,           36, "SaslAuthenticate",           [0, 2], 0, 2),
    row(Api::CreatePartitions,           37, "CreatePartitions",           [0, 3], 0, 2),
    row(Api::DeleteGroups,               42, "DeleteGroups",               [0, 2], 0, 2),
    row(Api::IncrementalAlterConfigs,    44, "IncrementalAlterConfigs",    [0, 1], 0, 1),
    row(Api::ListPartitionReassignments, 46, "ListPartitionReassignments", [0, 0], 0, 0),
    row(Api::OffsetDelete,               47, "OffsetDelete",               [0, 0], 0, NEVER),
    row(Api::DescribeCluster,            60, "DescribeCluster",            [0, 2], 0, 0),
];

/// The first flexible version of an API that has none.
const NEVER: i16 = i16::MAX;

#[expect(
    clippy::too_many_arguments,
    reason = "a row of the table, in the order of its fields"
)]
const fn row(
    api: Api,
    key: i16,
    name: &'static str,
    [min, max]: [i16; 2],
    decoded_from: i16,
    first_flexible: i16,
) -> Served {
    Served {
        api,
        key,
        name,
        min,
        max,
        decoded_from,
        first_flexible,
    }
}

impl Api {
    /// The API's row.
    ///
    /// # Panics
    /// Never: every API has a row, and a test walks them.
    pub fn served(self) -> &'static Served {
        SERVED
            .iter()
            .find(|row| row.api == self)
            .expect("every API has a row in the table")
    }

    /// Kafka's name for the API.
    pub fn name(self) -> &'static str {
        self.served().name
    }
}

impl Served {
    /// The row with Kafka's number `key`.
    pub fn by_key(key: i16) -> Option<&'static Self> {
        SERVED.iter().find(|row| row.key == key)
    }

    /// Whether `version` is decoded and answered.
    pub fn decodes(&self, version: i16) -> bool {
        (self.decoded_from..=self.max).contains(&version)
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.first_flexible
    }

    /// 0 or 1. ApiVersions keeps header 0 in every version, so that a client can read an answer in a
    /// version it did not ask for (KIP-511).
    pub fn response_header_version(&self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self.api != Api::ApiVersions)
    }
}

/// The answer to ApiVersions: the table, and no features.
pub fn api_versions_response() -> ApiVersionsResponse {
    let listed = SERVED.iter().map(|row| {
        ApiVersion::default()
            .with_api_key(row.key)
            .with_min_version(row.min)
            .with_max_version(row.max)
    });
    ApiVersionsResponse::default().with_api_keys(listed.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn every_api_has_one_row_and_rows_are_in_order_of_their_keys() {
        let in_order = SERVED
            .iter()
            .enumerate()
            .all(|(at, row)| row.api as usize == at);
        assert!(in_order && SERVED.len() == Api::DescribeCluster as usize + 1);
        assert!(SERVED.iter().all(|row| row.api.served() == row));
        assert!(SERVED.is_sorted_by(|row, next| row.key < next.key));
    }

    #[test]
    fn the_crate_knows_every_decoded_version_by_the_same_number_name_and_headers() {
        for row in &SERVED {
            let key = ApiKey::try_from(row.key).expect("the key is Kafka's");
            let valid = key.valid_versions();
            // OffsetCommit 1 is decoded by hand.
            let own = i16::from(row.api == Api::OffsetCommit);
            let decoded = row.decoded_from + own..=row.max;
            assert!(
                valid.min <= *decoded.start() && row.max <= valid.max,
                "{row:?}"
            );
            assert!(row.min <= row.decoded_from, "{row:?}");
            assert_eq!(format!("{key:?}"), row.name);
            for version in decoded {
                let flexible = key.request_header_version(version) == 2;
                assert_eq!(row.is_flexible(version), flexible, "{row:?} {version}");
                let header = key.response_header_version(version);
                assert_eq!(
                    row.response_header_version(version),
                    header,
                    "{row:?} {version}"
                );
            }
        }
    }

    #[test]
    fn old_librdkafka_finds_the_exact_versions_that_switch_on_record_format_v2() {
        let listed = |key, version| {
            Served::by_key(key).is_some_and(|row| (row.min..=row.max).contains(&version))
        };
        assert!(listed(0, 3) && listed(1, 4), "RD_KAFKA_FEATURE_MSGVER2");
        assert!(listed(2, 1), "RD_KAFKA_FEATURE_OFFSET_TIME");
        assert!(listed(10, 0), "RD_KAFKA_FEATURE_BROKER_GROUP_COORD");
        assert!(listed(18, 0), "RD_KAFKA_FEATURE_APIVERSION");
    }
}
