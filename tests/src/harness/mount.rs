//! A file system of a test's own, on a loop device: one that can lose its power, and one that can be full.
//!
//! A power cut is the ioctl by which a file system shuts itself down at once (`xfs_io -x -c shutdown`; XFS and ext4
//! know it): nothing that is not on the device yet gets there any more, and every later write and sync fails. The
//! loop device itself forgets nothing, so what is lost is what the kernel had not written; a disk that loses its
//! own cache is modelled in the tests of `storage`.

use std::{
    env, fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::{fs::FallocateFlags, io::Errno};
use tempfile::TempDir;

use super::{clock, postgres::on_path};

/// Which file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// Debian's default.
    Ext4,
    /// The other one that servers run on.
    Xfs,
}

impl FileSystem {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Nothing of it is kept back for root, who runs these tests.
    fn make_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-m", "0"],
            Self::Xfs => &["-q"],
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why this machine can mount nothing: no root, no loop device, a program that is not installed.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mounted file system. Unmounted and removed when dropped.
#[derive(Debug)]
pub struct Mount {
    image: PathBuf,
    path: PathBuf,
    _directory: TempDir,
}

impl Mount {
    /// Makes and mounts one of this size, MiB (XFS: at least 300).
    ///
    /// # Errors
    /// Where the machine cannot: the test is to be skipped, and to say so ([`say_skipped`]).
    pub fn make(file_system: FileSystem, mebibytes: u64) -> Result<Self, Unavailable> {
        let maker = format!("mkfs.{file_system}");
        check_machine(&maker)?;
        let directory = tempfile::Builder::new()
            .prefix("headwater-test-mount-")
            .tempdir_in(place())
            .expect("a temporary directory can be made");
        let mount = Self {
            image: directory.path().join("image"),
            path: directory.path().join("mounted"),
            _directory: directory,
        };
        fs::create_dir(&mount.path).expect("the directory is ours");
        let image = fs::File::create(&mount.image).expect("the directory is ours");
        image
            .set_len(mebibytes << 20)
            .expect("a file with a hole takes no space");
        let mut make = Command::new(maker);
        make.args(file_system.make_arguments()).arg(&mount.image);
        run(make).map_err(Unavailable)?;
        mount.mount().map_err(Unavailable)?;
        Ok(mount)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on nothing reaches the device, and every write and sync fails. Only [`Mount::mount_again`] helps.
    pub fn cut_power(&self) {
        let mut shutdown = Command::new("xfs_io");
        shutdown.args(["-x", "-c", "shutdown"]).arg(&self.path);
        run(shutdown).unwrap_or_else(|error| panic!("{error}"));
    }

    /// What a machine does when the power is back. No process may have a file open on it.
    pub fn mount_again(&self) {
        self.unmount();
        self.mount().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Bytes that can still be written.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).expect("it is mounted");
        stat.f_bavail * stat.f_frsize
    }

    /// Takes all space but about `left` bytes away, with a file of this name that the device never sees.
    pub fn fill_up(&self, name: &str, left: u64) {
        let file = fs::File::create(self.path.join(name)).expect("an empty file finds room");
        let mut at = 0;
        // What the file system needs for itself grows with the file.
        let mut step = 64 << 20;
        while step >= 4096 {
            let room = self.free_bytes().saturating_sub(left);
            let taken = rustix::fs::fallocate(&file, FallocateFlags::empty(), at, step.min(room));
            match taken {
                Ok(()) => at += step.min(room),
                Err(Errno::NOSPC | Errno::INVAL) => step /= 2,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
    }

    fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&self.image).arg(&self.path);
        run(mount)
    }

    /// A process that another test is just starting holds all our files until it has become another program.
    fn unmount(&self) {
        let mut why = String::new();
        let done = clock::poll(Duration::from_secs(20), || {
            let mut unmount = Command::new("umount");
            unmount.arg(&self.path);
            run(unmount).map_err(|error| why = error).ok()
        });
        assert!(done.is_some(), "{why}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !is_mounted(&self.path) {
            return;
        }
        // Lazily: a test that fails may still have files open, and must not leave the mount behind.
        let mut unmount = Command::new("umount");
        unmount.arg("-l").arg(&self.path);
        if let Err(error) = run(unmount) {
            say(&error);
        }
    }
}

/// Tells that a test is skipped and why. Past the test framework, which keeps the words of a test that passes.
pub fn say_skipped(test: &str, why: &Unavailable) {
    say(&format!("SKIPPED: {test}: {why}"));
}

fn say(line: &str) {
    let _nobody_listens = writeln!(io::stderr(), "{line}");
}

/// Memory, where there is enough of it: a device that syncs in no time sees many more commits between two cuts.
fn place() -> PathBuf {
    const ENOUGH_BYTES: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map(|stat| stat.f_bavail * stat.f_frsize);
    if free.is_ok_and(|free| free >= ENOUGH_BYTES) {
        memory.to_owned()
    } else {
        env::temp_dir()
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let wanted = path.to_str().unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(wanted))
}

fn check_machine(maker: &str) -> Result<(), Unavailable> {
    if !rustix::process::getuid().is_root() {
        return Err(Unavailable("only root can mount".to_owned()));
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err(Unavailable("there are no loop devices".to_owned()));
    }
    let missing = [maker, "xfs_io", "mount", "umount"]
        .into_iter()
        .find(|program| !on_path(program));
    match missing {
        Some(program) => Err(Unavailable(format!(
            "{program} is missing: run scripts/install"
        ))),
        None => Ok(()),
    }
}

fn run(mut command: Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, said.trim()))
}
