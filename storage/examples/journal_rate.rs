//! Rates of the journal on a real disk: append and commit with large and small groups, a start, reads.
//!
//! `cargo run --release -p headwater-storage --example journal_rate [DIRECTORY]` (the current one by default; a
//! folder is made in it and removed). One line a figure. Beside the rates stands a loop that writes the same bytes
//! into a zero-written file with one `fdatasync` each: what the disk gives.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use headwater_storage::{
    CommitGroup, InstanceNumber, Journal, JournalOptions, JournalSetup, LeaderEpoch, Log, NewBatch,
    Now, PositionChange, Recovered, TopicEpochs, TopicNumber,
    disk::{SegmentFile, SegmentStore, real::RealDisk},
    meta::{MetaStore, memory::MemoryMeta},
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    let disk: Arc<dyn SegmentStore> = Arc::new(RealDisk::open(directory.path())?);
    let meta: Arc<dyn MetaStore> = Arc::new(MemoryMeta::new());
    for (instance, size, total) in [
        (1, 256 * 1024, 2 << 30),
        (2, 1024, 64 << 20),
        (3, 128, 8 << 20),
    ] {
        let groups = total / size;
        bare(disk.as_ref(), size, groups.min(4096))?;
        rate(&disk, &meta, InstanceNumber(instance), size, groups)?;
    }
    Ok(())
}

fn open(
    disk: &Arc<dyn SegmentStore>,
    meta: &Arc<dyn MetaStore>,
    instance: InstanceNumber,
) -> Result<(Journal, Arc<Log>, Recovered), Failure> {
    let epochs = vec![LeaderEpoch {
        epoch: 0,
        start_offset: 0,
    }];
    let setup = JournalSetup {
        disk: Arc::clone(disk),
        meta: Arc::clone(meta),
        instance,
        topics: vec![TopicEpochs {
            topic: TopicNumber(1),
            epochs,
        }],
        options: JournalOptions::default(),
        oldest_file: 1,
        cache: Arc::default(),
    };
    Ok(Journal::open(setup, Now::default())?)
}

/// The same writes without a journal, into a new file of zeros and then into the same file again: what it costs that a
/// journal file is not used twice.
fn bare(disk: &dyn SegmentStore, size: usize, groups: usize) -> Result<(), Failure> {
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let length = (size + 256) * groups;
    let file = disk.create("bare", length as u64)?;
    println!(
        "{size:>7} B groups: zeros: {:.1} MB/s, {:.2} CPU s/GB",
        megabytes(length) / start.elapsed().as_secs_f64(),
        (cpu_seconds()? - cpu) / (megabytes(length) / 1000.0)
    );
    for what in ["into zeros", "into a used file"] {
        write_and_sync(file.as_ref(), (size, groups), what)?;
    }
    disk.remove("bare")?;
    Ok(())
}

fn write_and_sync(
    file: &dyn SegmentFile,
    (size, groups): (usize, usize),
    what: &str,
) -> Result<(), Failure> {
    let bytes = vec![7; size + 256];
    let mut times = Vec::with_capacity(groups);
    let start = Instant::now();
    for group in 0..groups {
        let before = Instant::now();
        file.write_at((group * bytes.len()) as u64, &[&bytes])?;
        file.sync()?;
        times.push(before.elapsed());
    }
    let what = format!("bare write and sync {what}");
    report(&what, size, start.elapsed(), &mut times);
    Ok(())
}

fn rate(
    disk: &Arc<dyn SegmentStore>,
    meta: &Arc<dyn MetaStore>,
    instance: InstanceNumber,
    size: usize,
    groups: usize,
) -> Result<(), Failure> {
    let (mut journal, log, _) = open(disk, meta, instance)?;
    let mut times = Vec::with_capacity(groups);
    let start = Instant::now();
    for group in 0..groups {
        let now = Now {
            wall_ms: 0,
            monotonic: start.elapsed(),
        };
        let batch = NewBatch {
            topic: TopicNumber(1),
            partition: 0,
            bytes: vec![7; size],
            record_count: 1,
            max_timestamp: i64::try_from(group)?,
        };
        let before = Instant::now();
        journal.append(now, batch)?;
        journal.commit(
            now,
            CommitGroup {
                positions: vec![(1, PositionChange(vec![0; 34]))],
                commit_time_ms: Some(0),
                schema_version: 0,
            },
        )?;
        times.push(before.elapsed());
        journal.note_durable_end(now)?;
    }
    report("append and commit", size, start.elapsed(), &mut times);
    drop((journal, log));

    let before = Instant::now();
    let (journal, log, recovered) = open(disk, meta, instance)?;
    println!(
        "{size:>7} B groups: start without a clean stop {:?}, rewritten {} B",
        before.elapsed(),
        recovered.rewritten_bytes
    );
    read(&log, size)?;
    drop(journal);
    Ok(())
}

fn read(log: &Log, size: usize) -> Result<(), Failure> {
    let end = log.ends(TopicNumber(1)).map_or(0, |ends| ends.end);
    let (mut offset, mut bytes) = (0, 0);
    let before = Instant::now();
    while offset < end {
        let batches = log.read(TopicNumber(1), offset, 1 << 20)?;
        offset += i64::try_from(batches.len())?;
        bytes += batches.iter().map(bytes::Bytes::len).sum::<usize>();
    }
    println!(
        "{size:>7} B groups: read from files at {:.0} MB/s",
        megabytes(bytes) / before.elapsed().as_secs_f64()
    );
    Ok(())
}

fn report(what: &str, size: usize, took: Duration, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{size:>7} B groups: {what}: {:.1} MB/s, {:.0}/s, p50 {:?} p99 {:?} max {:?}",
        megabytes(size * times.len()) / took.as_secs_f64(),
        f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX)) / took.as_secs_f64(),
        at(500),
        at(990),
        times.last().copied().unwrap_or_default(),
    );
}

fn megabytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// User and system time of this process, seconds to 10 ms.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
