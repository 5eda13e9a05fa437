//! The tests' private PostgreSQL with settings of production, the same for both sides.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use headwater_tests::harness::postgres::DATABASE;
use headwater_tests::harness::{Postgres, Version};
use tempfile::TempDir;

use super::Failure;
use super::postgres_client::{Connection, Purpose};

/// Durable as in production. Nothing runs by itself during a measurement: no autovacuum, no timed
/// checkpoint; and no walsender waits for a status.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=256MB",
    "max_wal_size=16GB",
    "checkpoint_timeout=1h",
    "autovacuum=off",
    "log_min_messages=warning",
    "max_replication_slots=64",
    "max_wal_senders=32",
    "wal_sender_timeout=0",
    "logical_decoding_work_mem=64MB",
];

/// Without passwords, since the references' own connections are as bare as can be.
const AUTHENTICATION: &str = "
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
";

/// A running server; dropping it stops it and removes its files.
#[derive(Debug)]
pub(crate) struct Database {
    server: Postgres,
    postmaster_pid: u32,
    _authentication: TempDir,
}

impl Database {
    /// Starts a server of its own with an empty database.
    pub(crate) fn start() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        // The server's user reads the file.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let file = directory.path().join("pg_hba.conf");
        fs::write(&file, AUTHENTICATION)?;
        let authentication = format!("hba_file={}", file.display());
        let settings = [SETTINGS, &[authentication.as_str()]].concat();
        let server = Postgres::start_with(Version::V15, &settings);
        let postmaster_pid = Connection::open(server.port, DATABASE, Purpose::Queries)?
            .value("select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")?
            .parse()?;
        Ok(Self {
            server,
            postmaster_pid,
            _authentication: directory,
        })
    }

    pub(crate) fn server(&self) -> &Postgres {
        &self.server
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.server.port, DATABASE, Purpose::Queries)
    }

    pub(crate) fn connect_for_replication(&self) -> io::Result<Connection> {
        Connection::open(self.server.port, DATABASE, Purpose::Replication)
    }

    /// The process whose ended children are the walsenders.
    pub(crate) fn postmaster_pid(&self) -> u32 {
        self.postmaster_pid
    }

    /// `pg_recvlogical` of the same installation, with the connection filled in.
    pub(crate) fn recvlogical(&self) -> Command {
        let mut command = self.server.client_program("pg_recvlogical");
        command
            .args(["-h", "127.0.0.1", "-U", "postgres", "-d", DATABASE, "-p"])
            .arg(self.server.port.to_string());
        command
    }
}
