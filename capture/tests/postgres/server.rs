//! A PostgreSQL server of its own for each test: fresh cluster, free port, stopped and removed at the end.
//!
//! Programs from `HEADWATER_PG_BIN`, else Debian's PostgreSQL 15. PostgreSQL refuses to run as root, so then
//! it runs as the user `postgres`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use headwater_capture::postgres::connection::{Connection, Purpose};
use headwater_capture::postgres::query::Row;
use headwater_capture::postgres::{SourceUrl, url::Password};
use tempfile::TempDir;

const TRUST: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
/// For standbys.
const REPLICATION: &str = "host replication all 127.0.0.1/32 trust\n";
/// Held while the cluster fresh from initdb is made, which is kept between runs.
static TEMPLATE: Mutex<()> = Mutex::new(());
const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `HEADWATER_PG_BIN`, else Debian's 15.
    Usual,
    /// What scripts/install brings beside it.
    V18,
}

impl Version {
    /// 15 of 15.18.
    pub(crate) fn major(self) -> u32 {
        let told = run(program(self, "postgres").arg("--version")).stdout;
        let told = String::from_utf8(told).unwrap();
        let number = told.split_whitespace().nth(2);
        let major = number.and_then(|number| number.split('.').next()?.parse().ok());
        major.unwrap_or_else(|| panic!("which version is {told:?}"))
    }
}

pub(crate) struct Server {
    version: Version,
    directory: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// With logical WAL, and everybody trusted.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        Self::start_with_hba(TRUST, settings).await
    }

    /// With a pg_hba.conf of its own behind a line that lets the superuser in by the socket.
    pub(crate) async fn start_with_hba(hba: &str, settings: &[&str]) -> Self {
        Self::start_version(Version::Usual, hba, settings).await
    }

    /// Another server than the usual one, with everybody trusted.
    pub(crate) async fn start_as(version: Version) -> Self {
        Self::start_version(version, TRUST, &[]).await
    }

    /// A primary that knows the standby [`Server::standby_of`] makes, and a database with these tables.
    pub(crate) async fn start_primary(version: Version, settings: &[&str], tables: &str) -> Self {
        let hba = format!("{TRUST}{REPLICATION}");
        let server = Self::start_version(version, &hba, settings).await;
        server.sql(tables).await;
        let slot = "SELECT pg_create_physical_replication_slot('standby', true)";
        server.sql(slot).await;
        server
    }

    /// A standby that streams from a primary, which rests meanwhile: its cluster is copied.
    pub(crate) async fn standby_of(primary: &mut Self, settings: &[&str]) -> Self {
        primary.stop_fast();
        let mut standby = Self::beside(primary.version, settings);
        let from = primary.data();
        run(Command::new("cp").arg("-a").arg(from).arg(standby.data()));
        primary.start_again().await;
        standby.follow(primary.port);
        standby.start_again().await;
        standby
    }

    fn follow(&mut self, port: u16) {
        let primary = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
        self.set("hot_standby_feedback=on");
        let (file, text) = if self.major() < 12 {
            let text = format!(
                "standby_mode = on\nprimary_conninfo = '{primary}'\nprimary_slot_name = standby\n"
            );
            ("recovery.conf", text)
        } else {
            self.set(&format!("primary_conninfo={primary}"));
            self.set("primary_slot_name=standby");
            ("standby.signal", String::new())
        };
        let file = self.data().join(file);
        fs::write(&file, text).unwrap();
        hand_over(&file);
    }

    /// Makes a primary of a standby. Returns when it is one.
    pub(crate) fn promote(&self) {
        let mut promote = program(self.version, "pg_ctl");
        run(promote
            .args(["promote", "-w", "-t", "30", "-D"])
            .arg(self.data()));
    }

    pub(crate) fn major(&self) -> u32 {
        self.version.major()
    }

    /// Nothing in it yet.
    fn beside(version: Version, settings: &[&str]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("headwater-capture-")
            .tempdir()
            .unwrap();
        hand_over(directory.path());
        Self {
            version,
            directory,
            port: free_port(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            process: None,
        }
    }

    pub(crate) async fn start_version(version: Version, hba: &str, settings: &[&str]) -> Self {
        let mut server = Self::beside(version, settings);
        let data = server.data();
        let template = template(version, server.directory.path());
        run(Command::new("cp").arg("-a").arg(template).arg(&data));
        fs::write(
            data.join("pg_hba.conf"),
            format!("local all postgres trust\n{hba}"),
        )
        .unwrap();
        server.start_again().await;
        server.sql("CREATE DATABASE shop").await;
        server
    }

    /// With settings that it does not start with: gives what it says.
    pub(crate) fn refuses_to_start(&mut self) -> String {
        self.spawn();
        let status = self.process.take().unwrap().wait().unwrap();
        assert!(!status.success(), "it ran: {}", self.log());
        self.log()
    }

    fn spawn(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        let mut postgres = program(self.version, "postgres");
        postgres
            .arg("-D")
            .arg(self.data())
            .arg("-p")
            .arg(self.port.to_string());
        let socket = format!(
            "unix_socket_directories={}",
            self.directory.path().display()
        );
        let usual = [
            "listen_addresses=127.0.0.1",
            "wal_level=logical",
            "fsync=off",
            "shared_buffers=16MB",
            "max_connections=30",
            socket.as_str(),
        ];
        for setting in usual
            .into_iter()
            .chain(self.settings.iter().map(String::as_str))
        {
            postgres.arg("-c").arg(setting);
        }
        postgres
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(postgres.spawn().unwrap());
    }

    /// After [`Server::stop_fast`].
    pub(crate) async fn start_again(&mut self) {
        self.spawn();
        for _ in 0..200 {
            if Connection::connect(&self.admin("postgres"), "test", Purpose::Catalog)
                .await
                .is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("PostgreSQL does not start:\n{}", self.log());
    }

    /// As an operator does it. Returns when the server is gone.
    pub(crate) fn stop_fast(&mut self) {
        self.stop_by("fast");
    }

    /// As a crash does it. Returns when the server is gone.
    pub(crate) fn crash(&mut self) {
        self.stop_by("immediate");
    }

    fn stop_by(&mut self, mode: &str) {
        run(program(self.version, "pg_ctl")
            .arg("stop")
            .arg("-D")
            .arg(self.data())
            .args(["-m", mode, "-t", "30"]));
        self.process.take().unwrap().wait().unwrap();
    }

    /// From the next start on, at the end of the command line, where it wins.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// `user`, or `user:password`, over TCP, without TLS.
    pub(crate) fn url(&self, user: &str) -> SourceUrl {
        self.url_with(user, "sslmode=disable")
    }

    pub(crate) fn url_with(&self, user: &str, parameters: &str) -> SourceUrl {
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (user, None),
        };
        let url = format!(
            "postgres://{user}@127.0.0.1:{}/shop?{parameters}",
            self.port
        );
        let url = SourceUrl::parse(&url).unwrap();
        password.map_or(url.clone(), |password| {
            url.with_password(Password::new(password))
        })
    }

    /// Runs SQL as superuser in the database `shop`, or `postgres` while that is being made.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<Row> {
        self.try_sql(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) async fn try_sql(&self, sql: &str) -> Result<Vec<Row>, String> {
        let database = if sql.starts_with("CREATE DATABASE") {
            "postgres"
        } else {
            "shop"
        };
        let mut connection = self.session_in(database).await;
        connection
            .query(sql, QUERY_LIMIT)
            .await
            .map_err(|error| error.to_string())
    }

    /// The first column of the first row.
    pub(crate) async fn value(&self, sql: &str) -> Option<String> {
        self.sql(sql).await.into_iter().next()?.into_iter().next()?
    }

    /// A session of its own, for transactions that stay open.
    pub(crate) async fn session(&self) -> Connection {
        self.session_in("shop").await
    }

    pub(crate) async fn session_in(&self, database: &str) -> Connection {
        let admin = self.admin(database);
        let mut connection = Connection::connect(&admin, "test", Purpose::Catalog)
            .await
            .unwrap();
        // Our own sessions see the catalog only.
        query(&mut connection, "SET search_path = public").await;
        connection
    }

    fn admin(&self, database: &str) -> SourceUrl {
        let host = self.directory.path().display();
        let url = format!(
            "postgres://postgres@/{database}?host={host}&port={}",
            self.port
        );
        SourceUrl::parse(&url).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let mut stop = program(self.version, "pg_ctl");
        stop.arg("stop")
            .arg("-D")
            .arg(self.data())
            .args(["-m", "immediate"]);
        drop(stop.output());
        drop(process.wait());
    }
}

/// Makes a file the server's own.
pub(crate) fn hand_over(path: &Path) {
    if let Some((uid, gid)) = other_user() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

pub(crate) async fn query(connection: &mut Connection, sql: &str) {
    connection.query(sql, QUERY_LIMIT).await.unwrap();
}

/// Made in `scratch`, which the server's user may write.
fn template(version: Version, scratch: &Path) -> PathBuf {
    let _making = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    let programs = programs(version).display().to_string().replace('/', "_");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster{programs}"));
    if path.join("PG_VERSION").exists() {
        return path;
    }
    let fresh = scratch.join("fresh");
    let mut initdb = program(version, "initdb");
    initdb
        .arg("-D")
        .arg(&fresh)
        .args(["-A", "trust", "-U", "postgres", "--no-sync"]);
    run(initdb.args(["-E", "UTF8", "--locale=C"]));
    let unfinished = path.with_extension(std::process::id().to_string());
    run(Command::new("cp").arg("-a").arg(&fresh).arg(&unfinished));
    fs::rename(&unfinished, &path).unwrap();
    path
}

fn programs(version: Version) -> PathBuf {
    match version {
        Version::Usual => {
            let directory = std::env::var_os("HEADWATER_PG_BIN");
            directory.map_or("/usr/lib/postgresql/15/bin".into(), PathBuf::from)
        }
        Version::V18 => Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local/postgres-18/bin"),
    }
}

fn program(version: Version, name: &str) -> Command {
    let path = programs(version).join(name);
    assert!(
        path.exists(),
        "{} is missing: run scripts/install, or set HEADWATER_PG_BIN",
        path.display()
    );
    let mut command = Command::new(path);
    command.current_dir("/");
    if let Some((uid, gid)) = other_user() {
        command.uid(uid).gid(gid);
    }
    command
}

/// The user to run the server as, if we are root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    output
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
