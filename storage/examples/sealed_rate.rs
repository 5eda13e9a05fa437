//! Rates of sealing and of sealed reads on a real disk: a log of one topic, and one of 200 topics written by turns.
//!
//! `cargo run --release -p headwater-storage --example sealed_rate [DIRECTORY]` (the current one by default; a folder is
//! made in it and removed). Beside the reads stands a loop of `pread` into one small buffer over the same files.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use headwater_storage::{
    CommitGroup, DataDirectory, KeeperEvent, KeeperOptions, Log, StoreOptions, TopicNumber,
    disk::unsynced,
};

#[path = "common/log.rs"]
mod common;

use common::{Failure, INSTANCE, batch, catalog, cpu_seconds, now, open_unsynced};

const BATCH_BYTES: usize = 64 * 1024;
const FETCH_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 256 * 1024;

fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for topics in [1, 200] {
        let folder = tempfile::tempdir_in(&parent)?;
        measure(folder.path(), topics)?;
    }
    Ok(())
}

fn measure(folder: &Path, topics: u32) -> Result<(), Failure> {
    println!("topics {topics}");
    let total: u64 = 1 << 30;
    fill(folder, topics, total)?;
    let started = Instant::now();
    let directory = DataDirectory::open(folder, &StoreOptions::default())?;
    let (journal, log, _) = directory.open_journal(INSTANCE, now(started))?;
    println!("  start with sealed segments: {:?}", started.elapsed());
    let stats = log.stats();
    println!("  segments {} of {} files", stats.sealed_files, stats.files);
    for round in 0..3 {
        for readers in [1, 4, 20] {
            read(&log, (topics, readers), round)?;
        }
        bare(folder, round)?;
    }
    println!("  cache {:?}", directory.cache().stats());
    journal.close()?;
    Ok(())
}

/// A group for each batch, without waiting for the disk.
fn fill(folder: &Path, topics: u32, total: u64) -> Result<(), Failure> {
    let started = Instant::now();
    let directory = open_unsynced(folder)?;
    directory.change(catalog(topics))?;
    let (mut journal, log, _) = directory.open_journal(INSTANCE, now(started))?;
    let size = if topics == 1 { BATCH_BYTES } else { 4096 };
    let count = total / size as u64;
    for number in 0..count {
        let topic = 1 + u32::try_from(number % u64::from(topics))?;
        journal.append(now(started), batch(topic, size, 1))?;
        journal.commit(now(started), CommitGroup::default())?;
    }
    thread::sleep(Duration::from_millis(1100));
    journal.note_durable_end(now(started))?;
    let options = KeeperOptions {
        seal_bytes_per_second: u64::MAX,
        ..KeeperOptions::default()
    };
    let mut keeper = directory.open_keeper(INSTANCE, &log, (options, now(started)))?;
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let mut bytes = 0;
    loop {
        let step = keeper.step(now(started))?;
        match step.event {
            Some(KeeperEvent::Sealed { bytes: sealed, .. }) => bytes += sealed,
            Some(other) => println!("  {other:?}"),
            // At this rate it rests only when there is nothing to do.
            None if step.rest > Duration::ZERO => break,
            None => {}
        }
    }
    report("sealing, without rests", bytes, begun, cpu)?;
    keeper.close(now(started))?;
    journal.close()?;
    unsynced::sync_all(folder)?;
    Ok(())
}

/// All readers read a topic from its start.
fn read(log: &Arc<Log>, (topics, readers): (u32, u32), round: u32) -> Result<(), Failure> {
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let threads: Vec<_> = (0..readers)
        .map(|reader| {
            let log = Arc::clone(log);
            let topic = TopicNumber(1 + (reader * 7) % topics);
            thread::spawn(move || read_topic(&log, topic))
        })
        .collect();
    let mut bytes = 0;
    for thread in threads {
        bytes += thread.join().map_err(|_| "a reader panicked")?;
    }
    report(
        &format!("round {round}: {readers} readers"),
        bytes,
        begun,
        cpu,
    )
}

fn read_topic(log: &Log, topic: TopicNumber) -> u64 {
    let (mut offset, mut bytes) = (0, 0);
    loop {
        let Ok(pieces) = log.read(topic, offset, FETCH_BYTES) else {
            return bytes;
        };
        let size: usize = pieces.iter().map(bytes::Bytes::len).sum();
        let batch = pieces.first().map_or(1, |piece| {
            let behind = piece.get(8..12).and_then(|field| field.try_into().ok());
            12 + u32::from_be_bytes(behind.unwrap_or_default()) as usize
        });
        if size == 0 {
            return bytes;
        }
        // One record a batch.
        offset += i64::try_from(size / batch).unwrap_or(0);
        bytes += size as u64;
    }
}

/// What `pread` into a small buffer gives.
fn bare(folder: &Path, round: u32) -> Result<(), Failure> {
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder.join("journal/0000000001"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "sealed")
        {
            continue;
        }
        let file = File::open(path)?;
        let mut position = 0;
        loop {
            let count = file.read_at(&mut buffer, position)?;
            if count == 0 {
                break;
            }
            position += count as u64;
        }
        bytes += position;
    }
    report(&format!("round {round}: bare pread"), bytes, begun, cpu)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(what: &str, bytes: u64, begun: Instant, cpu: f64) -> Result<(), Failure> {
    let gigabytes = bytes as f64 / 1e9;
    let rate = gigabytes / begun.elapsed().as_secs_f64();
    let cpu = (cpu_seconds()? - cpu) / gigabytes;
    println!("  {what}: {gigabytes:.2} GB, {rate:.2} GB/s, {cpu:.2} CPU s/GB");
    Ok(())
}
