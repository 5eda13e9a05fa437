//! Starts on a real disk with gigabytes of log, sealed or not, of large and of single-row transactions, as after
//! `kill -9`: time, and the memory of a process that does nothing else.
//!
//! `cargo run --release -p headwater-storage --example start_rate [DIRECTORY] [GIB]` (the current one and 4 by default; a
//! folder is made in it and removed). The files are filled without waiting for the disk, and synced at the end.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use headwater_storage::{
    CommitGroup, DataDirectory, Journal, KeeperOptions, StoreOptions, disk::unsynced,
};

#[path = "common/log.rs"]
mod common;

use common::{Failure, INSTANCE, batch, catalog, cpu_seconds, now, open_unsynced};

const STARTS: usize = 5;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, folder] = arguments.as_slice()
        && mode == "--start"
    {
        return start(Path::new(folder));
    }
    let parent = arguments.first().map_or(".", String::as_str);
    let gigabytes: u64 = arguments.get(1).map_or(Ok(4), |count| count.parse())?;
    for (name, batch_bytes) in [("500-row", 230_000), ("single-row", 530)] {
        let folder = tempfile::tempdir_in(parent)?;
        println!("{gigabytes} GiB of {name} transactions");
        fill(folder.path(), gigabytes << 30, batch_bytes)?;
        starts(folder.path(), "unsealed")?;
        seal(folder.path())?;
        starts(folder.path(), "sealed")?;
    }
    Ok(())
}

/// Groups of one batch, and no clean stop.
fn fill(folder: &Path, bytes: u64, batch_bytes: usize) -> Result<(), Failure> {
    let began = Instant::now();
    let directory = open_unsynced(folder)?;
    directory.change(catalog(1))?;
    let (mut journal, ..) = directory.open_journal(INSTANCE, now(began))?;
    let mut written = 0;
    while written < bytes {
        append(&mut journal, batch_bytes, began)?;
        written += batch_bytes as u64;
        // As headwater does: what is behind the last note is written again by the first start.
        journal.note_durable_end(now(began))?;
    }
    drop((journal, directory));
    unsynced::sync_all(folder)?;
    println!("  filled in {:?}", began.elapsed());
    Ok(())
}

fn append(journal: &mut Journal, batch_bytes: usize, began: Instant) -> Result<(), Failure> {
    let records = u32::try_from(batch_bytes / 460)?;
    let batch = batch(1, batch_bytes, records);
    journal.append(now(began), batch)?;
    journal.commit(now(began), CommitGroup::default())?;
    Ok(())
}

fn seal(folder: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    let directory = open_unsynced(folder)?;
    let (journal, log, _) = directory.open_journal(INSTANCE, now(began))?;
    let options = KeeperOptions {
        seal_bytes_per_second: u64::MAX,
        ..KeeperOptions::default()
    };
    let mut keeper = directory.open_keeper(INSTANCE, &log, (options, now(began)))?;
    loop {
        let step = keeper.step(now(began))?;
        if step.event.is_none() && step.rest > Duration::ZERO {
            break;
        }
    }
    drop((journal, keeper, directory));
    unsynced::sync_all(folder)?;
    println!("  sealed in {:?}", began.elapsed());
    Ok(())
}

/// Each in a process of its own, which is not stopped cleanly either.
fn starts(folder: &Path, form: &str) -> Result<(), Failure> {
    for round in 0..STARTS {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.arg("--start").arg(folder).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        println!("  {form}, start {round}: {}{failed}", said.trim_end());
    }
    Ok(())
}

fn start(folder: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    let directory = DataDirectory::open(folder, &StoreOptions::default())?;
    let opened = began.elapsed();
    let (_journal, log, recovered) = directory.open_journal(INSTANCE, now(began))?;
    let started = began.elapsed();
    let stats = log.stats();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!(
        "{started:?}, {opened:?} of it for the directory; {:.2} CPU s; {}; {} files, {} sealed, {} bytes written again",
        cpu_seconds()?,
        peak.unwrap_or_default(),
        stats.files,
        stats.sealed_files,
        recovered.rewritten_bytes
    );
    std::process::exit(0)
}
