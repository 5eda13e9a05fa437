//! A PostgreSQL server of one's own: fresh cluster, logical WAL, passwords by SCRAM, loopback only.

use std::{
    env,
    fmt::Write as _,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Process, Session, clock, installed, port};

/// The superuser's password, and that of every role the tests make. The server listens on loopback only, for
/// the length of one test.
pub const PASSWORD: &str = "Tide-and-Ebb-9";

/// The database that every cluster has from the start.
pub const DATABASE: &str = "shop";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Debian 12's.
    V15,
    /// From the npm package.
    V18,
}

impl Version {
    /// Both, for tests that hold on every server.
    pub const ALL: [Self; 2] = [Self::V15, Self::V18];

    fn programs(self) -> PathBuf {
        match self {
            Self::V15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
            Self::V18 => installed("postgres-18").join("bin"),
        }
    }
}

/// A running server. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    version: Version,
    /// TCP port on 127.0.0.1; the same over restarts.
    pub port: u16,
    settings: Vec<String>,
    directory: TempDir,
    process: Option<Process>,
}

impl Postgres {
    /// A server with an empty database [`DATABASE`].
    #[must_use]
    pub fn start(version: Version) -> Self {
        Self::start_with(version, &[])
    }

    /// The same with settings of one's own (`name=value`), which win over the usual ones.
    #[must_use]
    pub fn start_with(version: Version, settings: &[&str]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("headwater-test-postgres-")
            .tempdir()
            .expect("a temporary directory can be made");
        let mut postgres = Self {
            version,
            port: port::free(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            directory,
            process: None,
        };
        postgres.make_cluster();
        postgres.start_again();
        let create = format!("CREATE DATABASE {DATABASE}");
        postgres.run(postgres.psql(&postgres.url_of("postgres", "postgres"), &["-c", &create]));
        postgres
    }

    fn make_cluster(&self) {
        let home = self.directory.path();
        // The server's user passes through it.
        fs::set_permissions(home, Permissions::from_mode(0o755)).expect("the directory is ours");
        let password = home.join("password");
        fs::write(&password, PASSWORD).expect("the directory is ours");
        fs::create_dir(self.data()).expect("the directory is ours");
        fs::set_permissions(self.data(), Permissions::from_mode(0o700))
            .expect("the directory is ours");
        if let Some((uid, gid)) = server_user() {
            std::os::unix::fs::chown(self.data(), Some(uid), Some(gid)).expect("root may do that");
        }
        let mut initdb = self.server_program("initdb");
        initdb
            .arg("-D")
            .arg(self.data())
            .args([
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "--auth=scram-sha-256",
            ])
            .arg(format!("--pwfile={}", password.display()));
        self.run(initdb);
    }

    /// Starts the server (again) and waits until it takes connections.
    pub fn start_again(&mut self) {
        let mut server = self.server_program("postgres");
        server
            .arg("-D")
            .arg(self.data())
            .arg("-p")
            .arg(self.port.to_string());
        // Processes are killed in these tests, machines are not: no need to sync.
        let usual = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "wal_level=logical",
            "fsync=off",
        ];
        let small = [
            "shared_buffers=32MB",
            "max_wal_size=256MB",
            "max_wal_senders=10",
            "log_min_messages=info",
        ];
        let own = self.settings.iter().map(String::as_str);
        for setting in usual.into_iter().chain(small).chain(own) {
            server.args(["-c", setting]);
        }
        let mut process = Process::spawn("postgres", server, &self.log_path());
        let up = clock::poll(Duration::from_secs(30), || match process.ended() {
            Some(_) => Some(false),
            None => self.answers().then_some(true),
        });
        assert_eq!(
            up,
            Some(true),
            "PostgreSQL does not come up; its log:\n{}",
            process.log()
        );
        self.process = Some(process);
    }

    fn answers(&self) -> bool {
        let url = self.url_of("postgres", "postgres");
        let output = self.psql(&url, &["-c", "SELECT 1"]).output();
        output.expect("psql is installed").status.success()
    }

    /// Stops it as an operator does: sessions are cut, everything is written. Waits for the end.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Stops it as a crash does: it recovers when it starts again. Waits for the end.
    pub fn crash(&mut self) {
        self.end(Signal::QUIT);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            process.signal(signal);
            process.wait(Duration::from_secs(60));
        }
    }

    /// Connection URL of the superuser, without password (that goes by `PGPASSWORD`).
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres", DATABASE)
    }

    /// The same of another role or database.
    #[must_use]
    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL (any number of statements, one session, stops at the first error) as the superuser.
    pub fn execute(&self, sql: &str) {
        self.run(self.psql(&self.url(), &["-c", sql]));
    }

    /// The same for a superuser whose password has been changed.
    pub fn execute_with_password(&self, password: &str, sql: &str) {
        let mut psql = self.psql(&self.url(), &["-c", sql]);
        psql.env("PGPASSWORD", password);
        self.run(psql);
    }

    /// The rows of a query, columns as PostgreSQL's text; NULL is the empty string.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let output = self.run(self.psql(&self.url(), &["-A", "-t", "-F", "\x1f", "-c", sql]));
        let text = String::from_utf8(output.stdout).expect("the database is UTF-8");
        let row = |line: &str| line.split('\x1f').map(str::to_owned).collect();
        text.lines().map(row).collect()
    }

    /// The one value of a query.
    #[must_use]
    pub fn value(&self, sql: &str) -> String {
        let rows = self.query(sql);
        let value = rows.first().and_then(|row| row.first());
        value.unwrap_or_else(|| panic!("no row: {sql}")).clone()
    }

    /// A session that stays open, as the superuser.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::open(self.psql(&self.url(), &[]), self.directory.path())
    }

    /// A client program of PostgreSQL 15 (`pg_recvlogical` and others) with the password in its environment.
    #[must_use]
    pub fn client_program(&self, name: &str) -> Command {
        let mut command = Command::new(Version::V15.programs().join(name));
        command.env("PGPASSWORD", PASSWORD);
        command
    }

    fn psql(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = self.client_program("psql");
        command
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url])
            .args(arguments);
        command
    }

    fn run(&self, mut command: Command) -> Output {
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        if !output.status.success() {
            let mut message = format!("{command:?}: {}\n", output.status);
            for stream in [&output.stdout, &output.stderr] {
                let _cannot_fail = write!(message, "{}", String::from_utf8_lossy(stream));
            }
            panic!("{message}PostgreSQL's log:\n{}", self.log());
        }
        output
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn server_program(&self, name: &str) -> Command {
        let path = self.version.programs().join(name);
        assert!(
            path.exists(),
            "{} is missing: run scripts/install first",
            path.display()
        );
        let mut command = Command::new(path);
        // The server's user may not enter the directory that the test stands in.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((uid, gid)) = server_user() {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Killed with -9 the server would leave its children and their shared memory behind for a while.
        if let Some(process) = &mut self.process {
            process.signal(Signal::QUIT);
            clock::poll(Duration::from_secs(10), || process.ended());
        }
    }
}

/// PostgreSQL refuses to run as root: root runs it as `postgres`, anybody else as themselves.
fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("every system has it");
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("the package postgresql-15 makes the user: run scripts/install first");
    let mut fields = line
        .split(':')
        .skip(2)
        .map(|field| field.parse().expect("ids are numbers"));
    Some((fields.next()?, fields.next()?))
}

/// Whether a program is to be found on PATH.
#[must_use]
pub fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| Path::new(&directory).join(program).is_file())
}
