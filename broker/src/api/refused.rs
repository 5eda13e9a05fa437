//! What is decoded and always refused, with the code that makes each API's clients stop, and the words they show.
//!
//! `headwater_protocol::refusal` puts both where the API's response has a place for them.

use crate::error_code::Refusal;

/// An error and one sentence for whoever reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reason {
    pub(crate) error: Refusal,
    pub(crate) message: &'static str,
}

/// Produce (api key 0), v0-v12. Listed because librdkafka before 2.11.1 reads record batches only from brokers that
/// serve Produce 0-3 and up (its feature table; kcat of Debian 12 is one). Producers report this code at once instead
/// of retrying.
pub(crate) const PRODUCE: Reason = Reason {
    error: Refusal::TopicAuthorizationFailed,
    message: "topics are filled from the source database only",
};

/// CreateTopics, DeleteTopics, CreatePartitions: topics follow the tables of the source (KIP-201 gave this code for
/// what a policy of the broker forbids; tools print the message and stop).
pub(crate) const CHANGE_TOPICS: Reason = Reason {
    error: Refusal::PolicyViolation,
    message: "topics and their partitions follow the tables of the source database: change the tables of the instance",
};

/// DeleteRecords. Its response has no room for the words.
pub(crate) const DELETE_RECORDS: Reason = Reason {
    error: Refusal::PolicyViolation,
    message: "records are deleted by the retention of the instance only",
};

/// AlterConfigs, IncrementalAlterConfigs.
pub(crate) const ALTER_CONFIGS: Reason = Reason {
    error: Refusal::PolicyViolation,
    message: "settings are read-only here: change the configuration file of headwater",
};

/// DescribeAcls: UIs ask once, and leave their pages about ACLs out when they get this code.
pub(crate) const ACLS: Reason = Reason {
    error: Refusal::SecurityDisabled,
    message: "there are no ACLs: an account reads the topics of its instance",
};

/// SaslHandshake and SaslAuthenticate on a listener without SASL, as Kafka answers them.
pub(crate) const SASL: Reason = Reason {
    error: Refusal::IllegalSaslState,
    message: "this listener does not authenticate: set security.protocol=PLAINTEXT in the client",
};

/// The group APIs. They are not listed; this is for clients that do not look.
pub(crate) const GROUPS: Reason = Reason {
    error: Refusal::GroupAuthorizationFailed,
    message: "consumer groups are not served: assign partitions in the client",
};

/// Tools' APIs without a handler. They are not listed; this is for clients that do not look.
pub(crate) const NOT_TOLD: Reason = Reason {
    error: Refusal::ClusterAuthorizationFailed,
    message: "this is not told here",
};
