//! What stands on the wire: batches, requests and responses beside the `kafka-protocol` crate's own
//! encoder and decoder, as clients have them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod batches;
mod fetch_response;
mod refusals;
mod requests;
mod responses;
mod samples;
mod seeds;
