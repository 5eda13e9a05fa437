//! A child process with its output in a file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::clock;

/// A child process. Killed and waited for when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` without input; what it says on either stream is appended to `log`.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let also = file.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(file).stderr(also);
        Self::of_command(name, command, log)
    }

    /// The same with streams as `command` has them; `log` is where its messages will be found.
    pub(super) fn of_command(name: &str, mut command: Command, log: &Path) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}: {command:?}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// The operating system's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Everything that it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be asked")
    }

    /// Waits for its end. Panics with its log when it does not come.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        clock::poll(limit, || self.ended()).unwrap_or_else(|| {
            panic!(
                "{} has not ended after {limit:?}; its log:\n{}",
                self.name,
                self.log()
            )
        })
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child's pid is positive"), signal)
            .unwrap_or_else(|error| panic!("{}: signal: {error}", self.name));
    }

    /// Kills it with -9 and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(20))
    }

    /// Its resident memory, in KiB (`VmRSS`).
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most that its resident memory ever was, in KiB (`VmHWM`).
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        status
            .lines()
            .find_map(|line| line.strip_prefix(figure))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("{path} has no {figure} {} has ended?", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do about a failure: the child has ended by itself.
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}
