//! CreatePartitions (api key 37), v0-v3. Refused.
//!
//! Behaviour
//! - every topic: POLICY_VIOLATION, see CreateTopics
//!
//! Versions
//! - v2 flexible
//! - v3 throttling by quota (KIP-599)

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::PolicyViolation,
    message: "topics and their partitions follow the tables of the source database: the number of partitions is fixed",
};
