//! What it gains that journal files are used again: capture on a real disk with a keeper beside it that seals and deletes,
//! with recycling and without, by turns.
//!
//! `cargo run --release -p headwater-storage --example recycle_rate [DIRECTORY] [GB]` (the current one and 3 by default; a
//! folder is made in it and removed). One line a round: rate, processor time, time of a commit, and the files made of zeros.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use headwater_storage::{
    CommitGroup, DataDirectory, Journal, Keeper, KeeperOptions, RetentionLimits, StoreOptions,
};

#[path = "common/log.rs"]
#[expect(dead_code, reason = "this log waits for the disk")]
mod common;

use common::{Failure, INSTANCE, batch, catalog, cpu_seconds, now};

const ROUNDS: usize = 3;
/// What the log may hold: so much stays in the page cache, and the disk does not fill.
const KEPT_BYTES: u64 = 1 << 30;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let gigabytes: u64 = arguments.next().map_or(Ok(3), |count| count.parse())?;
    for (group_bytes, total) in [(256 * 1024, gigabytes * 1_000_000_000), (4096, 400_000_000)] {
        for round in 0..ROUNDS {
            for recycle in [false, true] {
                let folder = tempfile::tempdir_in(&parent)?;
                measure(folder.path(), (group_bytes, total), recycle, round)?;
            }
        }
    }
    Ok(())
}

fn measure(
    folder: &Path,
    (group_bytes, total): (usize, u64),
    recycle: bool,
    round: usize,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut options = StoreOptions::default();
    options.journal.recycle = recycle;
    let directory = DataDirectory::open(folder, &options)?;
    directory.change(catalog(1))?;
    let (mut journal, log, _) = directory.open_journal(INSTANCE, now(began))?;
    let keeping = KeeperOptions {
        retention: RetentionLimits {
            bytes: KEPT_BYTES,
            ..RetentionLimits::default()
        },
        seal_bytes_per_second: 256 * 1024 * 1024,
        scrub_bytes_per_second: 0,
        ..KeeperOptions::default()
    };
    let keeper = directory.open_keeper(INSTANCE, &log, (keeping, now(began)))?;
    let stop = Arc::new(AtomicBool::new(false));
    let keeping = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || keep(keeper, began, &stop))
    };
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let mut times = capture(&mut journal, (group_bytes, total), began)?;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    stop.store(true, Ordering::Relaxed);
    keeping.join().map_err(|_| "the keeper panicked")?;
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 1000).copied();
    let gigabytes = gigabytes(total);
    println!(
        "{group_bytes:>7} B groups, round {round}, recycling {recycle:>5}: {:.0} MB/s, {:.2} CPU s/GB, commit p50 {:?} \
         p99 {:?} max {:?}",
        gigabytes * 1000.0 / took,
        cpu / gigabytes,
        at(500).unwrap_or_default(),
        at(990).unwrap_or_default(),
        times.last().copied().unwrap_or_default()
    );
    Ok(())
}

fn capture(
    journal: &mut Journal,
    (group_bytes, total): (usize, u64),
    began: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    for _ in 0..total / group_bytes as u64 {
        let batch = batch(1, group_bytes, 1);
        let before = Instant::now();
        journal.append(now(began), batch)?;
        journal.commit(now(began), CommitGroup::default())?;
        times.push(before.elapsed());
        journal.note_durable_end(now(began))?;
    }
    Ok(times)
}

fn keep(mut keeper: Keeper, began: Instant, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match keeper.step(now(began)) {
            Ok(step) => thread::sleep(step.rest.min(Duration::from_millis(50))),
            Err(error) => {
                println!("the keeper failed: {error}");
                return;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
