//! The Kafka wire protocol as headwater serves it. No I/O, no tokio, no sled, no clock.
//!
//! Record batches (`batch`) are built once, stored as they are, and sent as they were stored.

#![deny(clippy::indexing_slicing)]

pub mod batch;
