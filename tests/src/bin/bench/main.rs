//! The benches: what headwater holds, each number beside its reference in the same run.
//!
//! `bench dts` drains the same with the feed dts beside tables.
//! `bench capture` drains a PostgreSQL backlog, beside `pg_recvlogical` to /dev/null.
//! `bench latency` takes the time from commit to consumer, beside a bare receipt plus one sync.
//! `bench fetch` reads the newest batches, and a log in the page cache, beside bare loops that write the same bytes.
//! `bench cold` reads one of 200 topics from the disk, beside a topic that has its log to itself.
//! `bench groups` has 20 consumer groups read the newest batches at once, beside the same bare loop.
//! `bench commits` takes the time of commits while rows are captured, and of capture without and with commits.
//! `bench connections` prints what ten thousand connections cost, idle and parked in fetches.
//! `bench memory` and `bench start` print absolute figures. `bench all` is all of these.
//! `bench kafka` puts Apache Kafka beside headwater, with the same records.
//! `bench debezium` puts Debezium in Kafka Connect, into Kafka, beside headwater, with the same rows.
//!
//! Sides alternate (A B, B A, ...), ratios are taken pair by pair, and a table shows the median
//! with the lowest and highest of them. CPU seconds come from procfs. Nothing here asserts a
//! speed: a number is read by people, beside the machine it was taken on.
//!
//! Databases and logs lie in the directory for temporary files (TMPDIR), which must be on a real
//! disk. The headwater measured is the one that HEADWATER_BIN names.
//!
//! `scripts/bench` installs, builds and runs this; `docs/benchmarks.md` keeps the results.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench reads the clock and prints its tables"
)]

mod bare_loop;
mod batch_place;
mod big_log;
mod capture;
mod cold;
mod commits;
mod connect;
mod connections;
mod contents;
mod database;
mod dts;
mod fetch;
mod fetch_client;
mod group_client;
mod groups;
mod headwater;
mod kafka;
mod kafka_frame;
mod latency;
mod machine;
mod memory;
mod postgres_client;
mod process;
mod produce_client;
mod report;
mod sample;
mod start;
mod stretch;
mod versus_debezium;
mod versus_kafka;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use machine::Machine;
use report::Section;

/// Why a bench could not be taken.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Measures headwater beside its references")]
struct CommandLine {
    #[command(subcommand)]
    bench: Bench,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Clone, Subcommand)]
enum Bench {
    /// All of the following, one after another.
    All,
    /// Drain of a PostgreSQL backlog, beside pg_recvlogical; and with sealing beside without.
    Capture,
    /// The same with the feed dts beside tables.
    Dts,
    /// Commit to consumer, beside a bare receipt of the same commit plus one fdatasync.
    Latency,
    /// Fetch from the ring and from the page cache, beside bare loops that write the same bytes.
    Fetch,
    /// One of 200 topics that were written by turns, from the disk, beside a topic that is alone in its log.
    Cold,
    /// Consumer groups that read the newest batches at once, beside bare loops; memory of a group.
    Groups,
    /// Commits of 20 groups while rows are captured; capture without and with them.
    Commits,
    /// Ten thousand connections, idle and parked.
    Connections,
    /// Resident memory: idle, and in a transaction of a million rows.
    Memory,
    /// Time from exec to the first answers: empty, and after kill -9 under load.
    Start,
    /// Fetch, memory, start and recovery, beside Apache Kafka with the same records.
    Kafka,
    /// Capture, latency, memory and start, beside Debezium in Kafka Connect into Apache Kafka, with the same rows.
    Debezium,
    /// The reference of `fetch`, as a process of its own.
    #[command(hide = true)]
    BareLoop {
        batches: PathBuf,
        topic: String,
        from: bare_loop::From,
    },
}

/// What a run may change. The defaults finish within seventeen minutes on two cores.
#[derive(Debug, Args)]
struct Settings {
    /// How often the two sides alternate.
    #[arg(long, global = true, default_value_t = 5)]
    alternations: u32,
    /// Rows of the backlog in transactions of 500.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    rows: u64,
    /// Rows of the backlog in transactions of one.
    #[arg(long, global = true, default_value_t = 150_000)]
    single_rows: u64,
    /// Rows of the one large transaction.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    large_rows: u64,
    /// How long one measurement of latency runs.
    #[arg(long, global = true, default_value_t = 5)]
    latency_seconds: u64,
    /// How long one measurement of fetch runs.
    #[arg(long, global = true, default_value_t = 2)]
    fetch_seconds: u64,
    /// Size of the log in the page cache.
    #[arg(long, global = true, default_value_t = 1024)]
    fetch_mebibytes: u64,
    /// Size of each of the two logs of `cold`.
    #[arg(long, global = true, default_value_t = 2048)]
    cold_mebibytes: u64,
    /// Size of the large logs of `start`.
    #[arg(long, global = true, default_value_t = 4096)]
    start_mebibytes: u64,
    /// Size of the log that headwater and Kafka serve.
    #[arg(long, global = true, default_value_t = 1024)]
    kafka_mebibytes: u64,
    /// Size of the log after kill -9 in the last row of `kafka`.
    #[arg(long, global = true, default_value_t = 4096)]
    kafka_large_mebibytes: u64,
    /// Kafka's large log as well: it takes minutes.
    #[arg(long, global = true)]
    kafka_large: bool,
    /// How long Kafka is read from before anything is timed.
    #[arg(long, global = true, default_value_t = 60)]
    kafka_warm_seconds: u64,
    /// Rows of the backlog beside Debezium, in transactions of 500.
    #[arg(long, global = true, default_value_t = 200_000)]
    debezium_rows: u64,
    /// How long headwater idles before its memory is read.
    #[arg(long, global = true, default_value_t = 60)]
    idle_seconds: u64,
    /// How long ten thousand connections are watched, idle and parked each; a fetch is parked for 30 s.
    #[arg(long, global = true, default_value_t = 60)]
    parked_seconds: u64,
    /// Also writes everything as JSON to this file.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    match run(&command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command_line: &CommandLine) -> Result<(), Failure> {
    let settings = &command_line.settings;
    let chosen = match &command_line.bench {
        Bench::BareLoop {
            batches,
            topic,
            from,
        } => return Ok(bare_loop::serve(batches, topic, *from)?),
        Bench::All => vec![
            Bench::Start,
            Bench::Fetch,
            Bench::Groups,
            Bench::Cold,
            Bench::Capture,
            Bench::Dts,
            Bench::Latency,
            Bench::Commits,
            Bench::Connections,
            Bench::Memory,
        ],
        one @ (Bench::Capture
        | Bench::Dts
        | Bench::Latency
        | Bench::Fetch
        | Bench::Cold
        | Bench::Groups
        | Bench::Commits
        | Bench::Connections
        | Bench::Memory
        | Bench::Start
        | Bench::Kafka
        | Bench::Debezium) => vec![one.clone()],
    };

    let machine = Machine::read();
    println!("{machine}\n");
    let mut sections = Vec::new();
    for bench in chosen {
        let began = Instant::now();
        measure(&bench, settings, &mut |section| {
            println!("{section}");
            sections.push(section);
        })?;
        eprintln!("({bench:?} took {:.0} s)\n", began.elapsed().as_secs_f64());
    }
    println!("load at the end: {}", Machine::read().load());
    if let Some(path) = &settings.json {
        let sections: Vec<Value> = sections.iter().map(Section::json).collect();
        let all = json!({ "machine": machine.json(), "sections": sections });
        std::fs::write(path, format!("{all:#}\n"))?;
    }
    Ok(())
}

/// Takes one bench; its tables go to `done` one by one, as they are ready.
fn measure(
    bench: &Bench,
    settings: &Settings,
    done: &mut dyn FnMut(Section),
) -> Result<(), Failure> {
    match bench {
        Bench::Capture => {
            done(capture::run(settings)?);
            done(capture::beside_sealing(settings)?);
        }
        Bench::Dts => done(dts::run(settings)?),
        Bench::Latency => done(latency::run(settings)?),
        Bench::Fetch => {
            done(fetch::from_ring(settings)?);
            done(fetch::from_page_cache(settings)?);
        }
        Bench::Cold => done(cold::run(settings)?),
        Bench::Groups => {
            done(groups::run(settings)?);
            done(groups::memory()?);
        }
        Bench::Commits => done(commits::run(settings)?),
        Bench::Connections => done(connections::run(settings)?),
        Bench::Memory => done(memory::run(settings)?),
        Bench::Start => done(start::run(settings)?),
        Bench::Kafka => versus_kafka::run(settings, done)?,
        Bench::Debezium => versus_debezium::run(settings, done)?,
        Bench::All | Bench::BareLoop { .. } => return Err("not a single bench".into()),
    }
    Ok(())
}
