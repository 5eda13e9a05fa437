//! The broker: sockets, tasks, configuration, command line.
//!
//! [`Broker::start`] opens the data directory, starts a log thread for each tracked database ([`instance`]), binds the
//! Kafka listeners and HTTP, and returns a [`RunningBroker`]. The program `headwater` and the tests do the same thing
//! here; nothing is global to the process.
//!
//! The path of a request: `server` accepts, `connection` cuts frames and keeps order, `auth` says who asks and what he
//! may ask, `dispatch` matches the API, one file of `api` answers, `connection` writes. The path of a row: [`instance`].

pub mod budget;
pub mod cli;
pub mod clock;
pub mod config;
mod fetch_session;
pub mod fetch_wait;
pub mod group_service;
pub mod hush;
pub mod instance;
pub mod limits;
pub mod status;
pub mod telemetry;
pub mod topic_name;

mod api;
mod auth;
mod certificate;
mod connection;
mod context;
mod dispatch;
mod dts;
mod error_code;
mod group;
mod http;
mod metrics;
mod running;
mod server;
pub mod space;
mod start;
mod stop;

pub use auth::{NoRandom, stored_verifiers};
pub use running::RunningBroker;
pub use start::{Broker, StartError};
