//! headwater as a child process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Postgres, Process, binary, clock,
    http::{self, Answer},
    port,
    postgres::{DATABASE, PASSWORD},
};

/// How long a start may take before a test gives up: far more than it needs, even on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What `headwater dev` is started with. Ports and data directory stay the same over restarts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Source URL.
    pub url: String,
    /// `PGPASSWORD`.
    pub password: String,
    /// Instance name, and with it the first part of topic names.
    pub instance: String,
    /// Kafka port on 127.0.0.1.
    pub kafka_port: u16,
    /// HTTP port on 127.0.0.1.
    pub http_port: u16,
    /// Data directory; `None` for a temporary one.
    pub data: Option<PathBuf>,
    /// Further arguments of `dev`.
    pub arguments: Vec<String>,
    /// With it `headwater run` is started instead of `dev`: a configuration file says all the same, and this.
    pub configured: Option<Configured>,
}

/// Lines of a configuration file that no argument of `dev` can say.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// More listeners: `[[kafka.listener]]` tables.
    pub listeners: String,
    /// Under `[storage]`.
    pub storage: String,
    /// Under `[[instance]]`.
    pub instance: String,
}

impl Options {
    /// For the database of `postgres`, with data in `data`.
    #[must_use]
    pub fn of(postgres: &Postgres, data: &Path) -> Self {
        Self::of_url(&postgres.url(), Some(data))
    }

    /// For any URL.
    #[must_use]
    pub fn of_url(url: &str, data: Option<&Path>) -> Self {
        Self {
            url: url.to_owned(),
            password: PASSWORD.to_owned(),
            instance: DATABASE.to_owned(),
            kafka_port: port::free(),
            http_port: port::free(),
            data: data.map(Path::to_path_buf),
            arguments: Vec::new(),
            configured: None,
        }
    }

    fn command(&self) -> Command {
        let mut command = match &self.configured {
            Some(configured) => self.run_command(configured),
            None => self.dev_command(),
        };
        command
            .env("PGPASSWORD", &self.password)
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1");
        command
    }

    fn run_command(&self, configured: &Configured) -> Command {
        let data = self
            .data
            .as_ref()
            .expect("a configured broker has a data directory");
        let file = data.with_extension("toml");
        let (kafka, http) = (self.kafka_port, self.http_port);
        let Configured {
            listeners,
            storage,
            instance,
        } = configured;
        let text = format!(
            "[server]\ndata_dir = {data:?}\n\
             [[kafka.listener]]\nlisten = \"127.0.0.1:{kafka}\"\n{listeners}\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\n\
             [storage]\n{storage}\n\
             [[instance]]\nname = {:?}\n{instance}\n\
             [instance.source]\nurl = {:?}\npassword = {{ env = \"PGPASSWORD\" }}\n",
            self.instance, self.url,
        );
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut command = Command::new(binary::headwater());
        command.args(["run", "--config"]).arg(file);
        command
    }

    fn dev_command(&self) -> Command {
        let mut command = Command::new(binary::headwater());
        command
            .args(["dev", &self.url, "--instance", &self.instance])
            .args(["--kafka", &format!("127.0.0.1:{}", self.kafka_port)])
            .args(["--http", &format!("127.0.0.1:{}", self.http_port)])
            .args(&self.arguments);
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        command
    }
}

/// A running headwater.
#[derive(Debug)]
pub struct Headwater {
    options: Options,
    process: Process,
    /// Holds the log, over restarts.
    directory: TempDir,
}

impl Headwater {
    /// Starts it and waits until it takes clients and capture runs.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let mut headwater = Self::spawn(options);
        headwater.wait_running();
        headwater
    }

    /// Starts it and does not wait for anything.
    #[must_use]
    pub fn spawn(options: &Options) -> Self {
        Self::spawn_command(options, options.command())
    }

    /// `headwater ARGUMENTS`, for commands other than `dev`.
    #[must_use]
    pub fn spawn_arguments(arguments: &[&str]) -> Self {
        Self::spawn_with(&Options::of_url("", None), arguments)
    }

    /// The same; `options` tell only where it will be found.
    #[must_use]
    pub fn spawn_with(options: &Options, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary::headwater());
        command.args(arguments).env("NO_COLOR", "1");
        Self::spawn_command(options, command)
    }

    fn spawn_command(options: &Options, mut command: Command) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("headwater-test-log-")
            .tempdir()
            .expect("a temporary directory can be made");
        let log = directory.path().join("log");
        // A data directory that it makes for itself goes with ours, also when it is killed.
        command.env("TMPDIR", directory.path());
        let process = Process::spawn("headwater", command, &log);
        Self {
            options: options.clone(),
            process,
            directory,
        }
    }

    /// Starts it again with the same options; the log goes on in the same file.
    pub fn spawn_again(&mut self) {
        let log = self.directory.path().join("log");
        let mut command = self.options.command();
        command.env("TMPDIR", self.directory.path());
        self.process = Process::spawn("headwater", command, &log);
    }

    /// Starts it again and waits as [`Headwater::start`] does.
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_running();
    }

    /// Waits until listeners accept and capture of the instance runs. Panics with the log if it ends instead.
    pub fn wait_running(&mut self) {
        self.wait_until("capture runs", |headwater| headwater.is_running());
    }

    /// Waits until `condition` holds. Panics with the log if the process ends or it takes too long.
    pub fn wait_until(&mut self, what: &str, condition: impl FnMut(&Self) -> bool) {
        self.wait_within(START_LIMIT, what, condition);
    }

    /// The same with a limit of one's own.
    pub fn wait_within(
        &mut self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut(&Self) -> bool,
    ) {
        let held = clock::poll(limit, || {
            if condition(self) {
                return Some(true);
            }
            self.process.ended().map(|_| false)
        });
        assert_eq!(
            held,
            Some(true),
            "waiting until {what}; headwater's log:\n{}",
            self.log()
        );
    }

    /// Whether capture of the instance runs, as its health page says.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let path = format!("/healthz/instances/{}", self.options.instance);
        self.get(&path).is_some_and(|answer| answer.status == 200)
    }

    /// Whether it takes clients.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.get("/readyz")
            .is_some_and(|answer| answer.status == 200)
    }

    /// A GET on its HTTP port; `None` if nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Answer> {
        http::get(&format!("127.0.0.1:{}", self.options.http_port), path).ok()
    }

    /// Host and port for Kafka clients.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.options.kafka_port)
    }

    /// The topic of a table in the schema `public`.
    #[must_use]
    pub fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.options.instance)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait(Duration::from_secs(20))
    }

    /// SIGHUP.
    pub fn hang_up(&mut self) {
        self.process.signal(Signal::HUP);
    }

    /// Waits for its end without asking for it.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Its resident memory, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        self.process.resident_kib()
    }

    /// The most that its resident memory was since it was started, in KiB.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.process.peak_kib()
    }

    /// The value of one metric of the instance; `None` while nobody answers or it is not there.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        let answer = self.get("/metrics")?;
        let line = format!("{name}{{instance=\"{}\"}} ", self.options.instance);
        let value = answer
            .body
            .lines()
            .find_map(|found| found.strip_prefix(&line))?;
        value.trim().parse().ok()
    }

    /// Everything it has said, over restarts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}
