//! DeleteTopics (api key 20), v1-v6. Refused.
//!
//! Behaviour
//! - every topic: POLICY_VIOLATION, see CreateTopics. Before v5 the response has no room for the message
//!
//! Versions
//! - v4 flexible
//! - v5 error message
//! - v6 topics by id (KIP-516)

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::PolicyViolation,
    message: "topics and their partitions follow the tables of the source database: take the table out of the instance",
};
