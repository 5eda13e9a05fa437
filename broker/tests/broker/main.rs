//! A broker in this process over a temporary data directory, fed by hand and asked over raw sockets. No database:
//! those tests are in the package `headwater-tests`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests may panic and read the clock"
)]

mod admin;
mod api_groups;
mod check_data;
mod command_line;
mod compression;
mod configuration;
mod configured_groups;
mod data_directory;
mod dts;
mod fetch;
mod fetch_session;
mod full_disk;
mod group_command;
mod group_operations;
mod group_versions;
mod groups;
mod groups_wire;
mod harness;
mod hostile;
mod http;
mod life_of_files;
mod listeners;
mod login;
mod metrics;
mod offsets;
mod principals;
mod refused;
mod secured;
mod slow_reader;
mod stop;
mod tls;
mod versions;
mod wire;
