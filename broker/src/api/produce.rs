//! Produce (api key 0), v0-v12. Refused.
//!
//! Advertised because librdkafka before 2.11.1 reads record batches only from brokers that serve Produce 0-3 and up
//! (its feature table; kcat of Debian 12 is one).
//!
//! Behaviour
//! - every partition: TOPIC_AUTHORIZATION_FAILED, which producers report at once instead of retrying
//! - acks 0: no response at all, as the client expects none (else every later response would be taken for another
//!   request's)
//!
//! Versions
//! - v5 log start offset
//! - v8 record errors (KIP-467)
//! - v9 flexible
//! - v10 leader of the partition (KIP-951)

use crate::error_code::{Reason, Refusal};

/// What every Produce gets.
pub(crate) const REASON: Reason = Reason {
    refusal: Refusal::TopicAuthorizationFailed,
    message: "topics are filled from the source database only",
};
