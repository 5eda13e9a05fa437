//! What the kernel says about a process: CPU seconds and resident memory, from procfs.
//!
//! Source: proc(5). Times in `/proc/<pid>/stat` are in clock ticks, which on Linux are 10 ms for
//! every program whatever the kernel's own tick is.

use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The highest it ever was.
    pub(crate) peak: u64,
}

/// User and system time that the process has used so far, all its threads together.
pub(crate) fn cpu_seconds(pid: u32) -> io::Result<f64> {
    ticks(pid, Field::User, Field::System)
}

/// User and system time of the children that the process has waited for.
///
/// Of a postmaster: of every backend and walsender that has ended, to its last instruction.
pub(crate) fn reaped_cpu_seconds(pid: u32) -> io::Result<f64> {
    ticks(pid, Field::ReapedUser, Field::ReapedSystem)
}

/// Waits until the process has ended and its parent has waited for it.
pub(crate) fn wait_until_gone(pid: u32) -> io::Result<()> {
    let directory = format!("/proc/{pid}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while Path::new(&directory).exists() {
        if Instant::now() > deadline {
            let text = format!("process {pid} does not end");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Resident memory now and at its highest.
pub(crate) fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Memory {
        resident: kilobytes(&status, "VmRSS:")? * 1024,
        peak: kilobytes(&status, "VmHWM:")? * 1024,
    })
}

/// Fields of `/proc/<pid>/stat`, counted from the one behind the command in parentheses.
#[derive(Clone, Copy)]
enum Field {
    User = 11,
    System = 12,
    ReapedUser = 13,
    ReapedSystem = 14,
}

fn ticks(pid: u32, user: Field, system: Field) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_ticks(&stat, user, system).ok_or_else(|| malformed(&stat))
}

fn parse_ticks(stat: &str, user: Field, system: Field) -> Option<f64> {
    // The command may hold spaces and parentheses itself: the last one closes it.
    let (_, behind_command) = stat.rsplit_once(") ")?;
    let field = |wanted: Field| -> Option<f64> {
        behind_command
            .split(' ')
            .nth(wanted as usize)?
            .parse::<f64>()
            .ok()
    };
    Some((field(user)? + field(system)?) / TICKS_PER_SECOND)
}

fn kilobytes(status: &str, name: &str) -> io::Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| malformed(status))
}

fn malformed(text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("unexpected procfs text: {text}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 30 20 20 0 1 0 999";

    #[test]
    fn times_are_found_behind_a_command_with_parentheses() {
        let own = parse_ticks(STAT, Field::User, Field::System).expect("well formed");
        let reaped =
            parse_ticks(STAT, Field::ReapedUser, Field::ReapedSystem).expect("well formed");
        assert!((own - 3.0).abs() < 1e-9);
        assert!((reaped - 0.5).abs() < 1e-9);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory(std::process::id()).expect("this process is there");
        assert!(memory.peak >= memory.resident && memory.resident > 0);
    }
}
