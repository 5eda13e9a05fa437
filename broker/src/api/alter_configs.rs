//! AlterConfigs (api key 33), v0-v2. Refused.
//!
//! Behaviour
//! - every resource: POLICY_VIOLATION. What DescribeConfigs tells is read-only
//!
//! Versions
//! - v2 flexible

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::PolicyViolation,
    message: "settings are read-only here: change the configuration file of headwater",
};
