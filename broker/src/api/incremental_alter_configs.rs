//! IncrementalAlterConfigs (api key 44), v0-v1. Refused.
//!
//! Behaviour
//! - every resource: POLICY_VIOLATION. What DescribeConfigs tells is read-only
//!
//! Versions
//! - v1 flexible

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::PolicyViolation,
    message: "settings are read-only here: change the configuration file of headwater",
};
