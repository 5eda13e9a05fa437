//! The source against a real PostgreSQL (`HEADWATER_PG_BIN`, else Debian's 15), and against a server that lies.

#![expect(clippy::disallowed_methods, reason = "tests run by the real clock")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

#[path = "postgres/checks.rs"]
mod checks;
#[path = "postgres/debezium.rs"]
mod debezium;
#[path = "postgres/failover.rs"]
mod failover;
#[path = "postgres/hostile.rs"]
mod hostile;
#[path = "postgres/login.rs"]
mod login;
#[path = "postgres/publications.rs"]
mod publications;
#[path = "postgres/reader.rs"]
mod reader;
#[path = "postgres/refusals.rs"]
mod refusals;
#[path = "postgres/schemas.rs"]
mod schemas;
#[path = "postgres/server.rs"]
mod server;
#[path = "postgres/slots.rs"]
mod slots;
#[path = "postgres/stream.rs"]
mod stream;
#[path = "postgres/transactions.rs"]
mod transactions;
#[path = "postgres/types.rs"]
mod types;

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY, name text)";
