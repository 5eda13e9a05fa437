//! Reads of journal files that are not sealed yet: one of 200 topics whose batches were written by turns, beside as much
//! of a topic that is alone in its log, from the disk and from the page cache.
//!
//! `cargo run --release -p headwater-storage --example unsealed_rate [DIRECTORY]` (the current one by default; a folder
//! is made in it and removed). Batches of 8 KB, 200 a group, two finished files and one open. Each reading but the
//! last is of another topic, or from another place.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{fs::File, path::Path, time::Instant};

use headwater_storage::{
    CommitGroup, DataDirectory, Journal, Log, StoreOptions, TopicNumber, disk::unsynced,
};
use rustix::fs::Advice;

#[path = "common/log.rs"]
mod common;

use common::{Failure, INSTANCE, batch, catalog, cpu_seconds, now, open_unsynced};

const TOPICS: u32 = 200;
const BATCH_BYTES: usize = 8 * 1024;
/// Two files of 64 MiB and a bit.
const BATCHES: u32 = 17_000;
/// Of each topic in the log of many; the last ones are in the ring.
const BATCHES_A_TOPIC: u32 = BATCHES / TOPICS;
const FETCH_BYTES: usize = 1 << 20;
const READINGS: u32 = 9;

fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let single = tempfile::tempdir_in(&parent)?;
    let many = tempfile::tempdir_in(&parent)?;
    fill(single.path(), 1)?;
    fill(many.path(), TOPICS)?;
    let began = Instant::now();
    let single = Side::open(single.path(), began)?;
    let many = Side::open(many.path(), began)?;
    for reading in 0..READINGS {
        for is_cold in [true, false] {
            let place = i64::from(reading * (BATCHES - BATCHES_A_TOPIC) / READINGS);
            let alone = single.read(TopicNumber(1), place, is_cold)?;
            let one = many.read(TopicNumber(1 + reading * 20), 0, is_cold)?;
            let from = if is_cold { "disk" } else { "page cache" };
            println!(
                "{from}: single topic {}, one of {TOPICS} {}, ratio {:.2}",
                alone.report(),
                one.report(),
                one.rate() / alone.rate()
            );
        }
    }
    Ok(())
}

/// A log, open and not sealed.
struct Side<'a> {
    folder: &'a Path,
    log: std::sync::Arc<Log>,
    _journal: Journal,
    _directory: DataDirectory,
}

struct Reading {
    bytes: u64,
    seconds: f64,
    cpu: f64,
}

impl Reading {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn rate(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e6
    }

    fn report(&self) -> String {
        format!("{:.0} MB/s ({:.0} ms CPU)", self.rate(), self.cpu * 1e3)
    }
}

impl<'a> Side<'a> {
    fn open(folder: &'a Path, began: Instant) -> Result<Self, Failure> {
        let directory = DataDirectory::open(folder, &StoreOptions::default())?;
        let (journal, log, _) = directory.open_journal(INSTANCE, now(began))?;
        Ok(Self {
            folder,
            log,
            _journal: journal,
            _directory: directory,
        })
    }

    /// As many batches as one of many topics has.
    fn read(&self, topic: TopicNumber, from: i64, is_cold: bool) -> Result<Reading, Failure> {
        if is_cold {
            chill(self.folder)?;
        }
        let (began, cpu) = (Instant::now(), cpu_seconds()?);
        let (mut offset, mut bytes) = (from, 0);
        while offset < from + i64::from(BATCHES_A_TOPIC) {
            let pieces = self.log.read(topic, offset, FETCH_BYTES)?;
            let size: usize = pieces.iter().map(bytes::Bytes::len).sum();
            // One record a batch.
            offset += i64::try_from(size / BATCH_BYTES)?;
            bytes += size as u64;
        }
        Ok(Reading {
            bytes,
            seconds: began.elapsed().as_secs_f64(),
            cpu: cpu_seconds()? - cpu,
        })
    }
}

fn fill(folder: &Path, topics: u32) -> Result<(), Failure> {
    let began = Instant::now();
    let directory = open_unsynced(folder)?;
    directory.change(catalog(topics))?;
    let (mut journal, ..) = directory.open_journal(INSTANCE, now(began))?;
    for number in 0..BATCHES {
        journal.append(now(began), batch(1 + number % topics, BATCH_BYTES, 1))?;
        if number % TOPICS == TOPICS - 1 {
            journal.commit(now(began), CommitGroup::default())?;
        }
    }
    journal.close()?;
    unsynced::sync_all(folder)?;
    Ok(())
}

/// Takes the log's files out of the page cache.
fn chill(folder: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder.join("journal/0000000001"))? {
        let file = File::open(entry?.path())?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
