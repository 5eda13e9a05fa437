//! Processes for tests, all on 127.0.0.1 with free ports and data in temporary directories. Every process is
//! killed when its value is dropped.
//!
//! What must be installed is installed by `scripts/install`; the binary is built by the harness itself unless
//! `HEADWATER_BIN` names one.

pub mod binary;
pub mod certificate;
pub mod client;
pub mod clock;
pub mod coordinator;
pub mod dts;
pub mod dts_world;
pub mod headwater;
pub mod http;
pub mod kafka_tools;
pub mod library;
pub mod login;
pub mod member;
pub mod mount;
pub mod port;
pub mod postgres;
pub mod process;
pub mod session;

pub use certificate::Certificate;
pub use client::{Client, Place, Reading};
pub use coordinator::{Coordinator, Position};
pub use dts::{DtsClient, DtsLogin, Mode};
pub use headwater::{Configured, Headwater, Options};
pub use kafka_tools::KafkaTools;
pub use library::{Library, Subscription};
pub use login::Login;
pub use member::Member;
pub use mount::{FileSystem, Mount};
pub use postgres::{Postgres, Version};
pub use process::Process;
pub use session::Session;

use std::path::{Path, PathBuf};

/// The top of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
        .to_path_buf()
}

/// What `scripts/install` put under `.local/`, links resolved.
#[must_use]
pub fn installed(name: &str) -> PathBuf {
    let path = repository().join(".local").join(name);
    path.canonicalize()
        .unwrap_or_else(|error| panic!("{}: {error}: run scripts/install first", path.display()))
}
