//! PostgreSQL as a source: our own replication connection, pgoutput, and the life of a slot.
//!
//! ```text
//! url, password -> connection (tls, handshake, query) -> preflight, publication, slot -> source (stream)
//!                                                                                      | XLogData
//!                         Captured <- source <- assembler <- pgoutput <----------------+
//! ```
//!
//! [`Source`] is the public face: a task behind channels. What it decides (which LSN may be acknowledged,
//! how long to wait, what a server's refusal means, what the slot's state demands) are plain structs and
//! functions without socket or clock: `acknowledge`, `backoff`, `slot`, `publication`, `state`, `error`.
//! Manual: "Frontend/Backend Protocol", "Streaming Replication Protocol", "Logical Decoding".

mod acknowledge;
pub mod assembler;
mod backoff;
mod binary;
mod certificate;
pub mod check;
pub mod connection;
pub mod error;
mod handshake;
pub mod message;
pub mod password;
pub mod pgoutput;
pub mod position;
mod preflight;
mod publication;
pub mod query;
mod slot;
pub mod source;
pub mod state;
pub mod status;
mod text;
mod tls;
pub mod url;
pub mod wal;

pub use password::{PasswordReader, PasswordSources};
pub use source::{Confirmer, Source, SourceConfig};
pub use state::SourceState;
pub use status::{ServerInfo, SourceStatus, TableStatus};
pub use url::{SourceUrl, SourceUrlError, SslMode};
