//! CreateTopics (api key 19), v2-v7. Refused.
//!
//! Behaviour
//! - every topic: POLICY_VIOLATION (KIP-201: what a policy of the broker forbids). Tools print the message and stop
//! - validate_only makes no difference
//!
//! Versions
//! - v5 flexible, configs of the topic
//! - v7 topic id

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::PolicyViolation,
    message: "topics and their partitions follow the tables of the source database: add the table to the instance",
};
