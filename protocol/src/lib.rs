//! The Kafka wire protocol as headwater serves it. No I/O, no tokio, no sled, no clock.
