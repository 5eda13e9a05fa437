//! DeleteRecords (api key 21), v0-v2. Refused.
//!
//! Behaviour
//! - every partition: POLICY_VIOLATION. The response has no room for the message
//!
//! Versions
//! - v2 flexible

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::PolicyViolation,
    message: "records are deleted by the retention of the instance only",
};
