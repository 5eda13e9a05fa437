//! What the tests of this package share: real databases, real clients and headwater itself as processes.
//!
//! - [`harness`] starts and ends processes: PostgreSQL, headwater, kcat, the Python and the Java client.
//! - [`wire`] is a raw Kafka client, for what stock clients hide.
//! - [`change`], [`witness`], [`oracle`], [`tape`] judge a log: the database's own history against what was read.
//! - [`large`] is one transaction larger than memory, interrupted on its way.
//! - [`workload`] is a seeded load of transactions; [`torture`] runs it through kills, power cuts and full disks.
//!
//! It fails by panicking, with the logs of the processes concerned in the message.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness fails the test that uses it, with the logs in the message"
)]

pub mod change;
pub mod harness;
pub mod large;
pub mod oracle;
pub mod random;
pub mod tape;
pub mod torture;
pub mod wire;
pub mod witness;
pub mod workload;
