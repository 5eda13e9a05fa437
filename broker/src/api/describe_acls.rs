//! DescribeAcls (api key 29), v1-v3. Refused.
//!
//! Behaviour
//! - SECURITY_DISABLED, as Kafka answers without an authorizer. UIs ask once and then leave their pages about ACLs out
//!
//! Versions
//! - v2 flexible
//! - v3 user resources (KIP-290, KIP-373)

use crate::error_code::{Reason, Refusal};

/// What every request gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::SecurityDisabled,
    message: "there are no ACLs: an account reads the topics of its instance",
};
