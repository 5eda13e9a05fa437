//! Fetch from the ring: the newest batches, read again and again by 1, 4 and 20 connections.
//!
//! The reference is the bare loop (`bare_loop.rs`) with the very bytes that headwater served,
//! read by the same client with the same requests.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::database::Database;
use super::fetch_client::{BatchPlace, FetchClient, FetchRequest, batch_index};
use super::headwater::{Headwater, Launch};
use super::report::{Cell, Section};
use super::sample::Samples;
use super::{Failure, Settings, process, workload};

const COLUMNS: &[&str] = &[
    "connections",
    "bare loop GB/s",
    "headwater GB/s",
    "ratio of rates (hold >= 0.8)",
    "bare loop CPU s/GB",
    "headwater CPU s/GB",
    "ratio of CPU (hold <= 1.3)",
    "headwater peak MB",
];

const CONNECTIONS: [usize; 3] = [1, 4, 20];
const INSTANCE: &str = "fetch";
/// At some 460 bytes a record 27 MB: more than is read, less than the ring of 32 MiB holds.
const ROWS: u64 = 60_000;
/// What is read: well inside the ring, so that no byte comes from a file.
const READ_BYTES: usize = 24 << 20;

/// A stretch of offsets on a server.
struct Stretch<'a> {
    port: u16,
    pid: u32,
    topic: &'a str,
    start: i64,
    end: i64,
}

/// What one server did in one measurement.
#[derive(Clone, Copy)]
struct Throughput {
    bytes_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let database = Database::start()?;
    let data = tempfile::tempdir()?;
    let mut sql = database.connect()?;
    workload::create_table(&mut sql)?;
    workload::prepare_instance(&mut sql, INSTANCE)?;
    workload::fill(&mut sql, 1, ROWS, 500)?;

    let launch = Launch::new(&database, INSTANCE, data.path());
    let mut headwater = launch.spawn();
    let topic = workload::topic(INSTANCE);
    headwater.wait_for_records(&topic, ROWS, Duration::from_millis(20))?;

    let newest = Newest::read(&mut headwater, &topic)?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&newest.batches)?;
    let bare_loop = BareLoop::start(file.path(), &topic)?;
    let stretch = |port, pid| Stretch {
        port,
        pid,
        topic: &topic,
        start: newest.start,
        end: newest.end,
    };
    let sides = [
        stretch(bare_loop.port, bare_loop.child.id()),
        stretch(headwater.kafka_port(), headwater.pid()),
    ];
    for side in &sides {
        side.check(&newest.batches)?;
    }
    eprintln!(
        "fetch: {} batches of {} KiB on average",
        newest.index.len(),
        newest.batches.len() / newest.index.len() / 1024
    );
    let mut section = Section::new("Fetch from the ring", COLUMNS);
    for connections in CONNECTIONS {
        section.row(alternate(settings, &sides, connections, &headwater)?);
    }
    headwater.stop()?;
    Ok(section)
}

fn alternate(
    settings: &Settings,
    [bare_loop, headwater]: &[Stretch<'_>; 2],
    connections: usize,
    process: &Headwater,
) -> Result<Vec<Cell>, Failure> {
    let duration = Duration::from_secs(settings.fetch_seconds);
    let mut pairs = Vec::new();
    for run in 0..settings.alternations {
        pairs.push(if run % 2 == 0 {
            let first = bare_loop.measure(connections, duration)?;
            (first, headwater.measure(connections, duration)?)
        } else {
            let first = headwater.measure(connections, duration)?;
            (bare_loop.measure(connections, duration)?, first)
        });
    }
    let samples =
        |of: fn(&(Throughput, Throughput)) -> f64| -> Samples { pairs.iter().map(of).collect() };
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    let peak_megabytes = process.memory()?.peak as f64 / 1e6;
    Ok(vec![
        Cell::text(connections.to_string()),
        Cell::Number(samples(|(bare, _)| bare.bytes_per_second / 1e9).median(), 2),
        Cell::Number(samples(|(_, ours)| ours.bytes_per_second / 1e9).median(), 2),
        Cell::Spread(
            samples(|(bare, ours)| ours.bytes_per_second / bare.bytes_per_second),
            2,
        ),
        Cell::Number(
            samples(|(bare, _)| bare.cpu_seconds_per_gigabyte).median(),
            3,
        ),
        Cell::Number(
            samples(|(_, ours)| ours.cpu_seconds_per_gigabyte).median(),
            3,
        ),
        Cell::Spread(
            samples(|(bare, ours)| ours.cpu_seconds_per_gigabyte / bare.cpu_seconds_per_gigabyte),
            2,
        ),
        Cell::Number(peak_megabytes, 1),
    ])
}

impl Stretch<'_> {
    /// Reads the stretch once and compares every byte: a bench run is a correctness run as well.
    fn check(&self, expected: &[u8]) -> Result<(), Failure> {
        let mut client = FetchClient::connect(self.port)?;
        let mut request = FetchRequest::new(self.topic, Duration::ZERO);
        let mut received = Vec::with_capacity(expected.len());
        let mut offset = self.start;
        while offset < self.end {
            let fetched = client.fetch(&mut request, offset)?;
            received.extend_from_slice(fetched.batches);
            if fetched.next_offset == offset {
                return Err(format!("fetch at {offset} brought nothing").into());
            }
            offset = fetched.next_offset;
        }
        if received == expected {
            Ok(())
        } else {
            Err("the two servers do not serve the same bytes".into())
        }
    }

    /// Reads over and over with so many connections, for about so long.
    fn measure(&self, connections: usize, duration: Duration) -> Result<Throughput, Failure> {
        let barrier = Barrier::new(connections + 1);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..connections)
                .map(|_| scope.spawn(|| self.read_for(duration, &barrier)))
                .collect();
            barrier.wait();
            let began = Instant::now();
            let cpu_before = process::cpu_seconds(self.pid)?;
            let mut bytes = 0.0;
            for reader in readers {
                #[expect(clippy::cast_precision_loss, reason = "a sum of bytes")]
                match reader.join() {
                    Ok(received) => bytes += received? as f64,
                    Err(_panicked) => return Err("a reader thread panicked".into()),
                }
            }
            let cpu = process::cpu_seconds(self.pid)? - cpu_before;
            Ok(Throughput {
                bytes_per_second: bytes / began.elapsed().as_secs_f64(),
                cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
            })
        })
    }

    fn read_for(&self, duration: Duration, barrier: &Barrier) -> Result<u64, Failure> {
        let connected = FetchClient::connect(self.port);
        barrier.wait();
        let mut client = connected?;
        let mut request = FetchRequest::new(self.topic, Duration::ZERO);
        let until = Instant::now() + duration;
        let mut offset = self.start;
        let mut bytes = 0;
        while Instant::now() < until {
            let fetched = client.fetch(&mut request, offset)?;
            bytes += fetched.response_bytes as u64;
            offset = fetched.next_offset;
            if offset >= self.end {
                offset = self.start;
            }
        }
        Ok(bytes)
    }
}

/// The newest whole batches of a topic, as they are served.
struct Newest {
    batches: Vec<u8>,
    index: Vec<BatchPlace>,
    start: i64,
    end: i64,
}

impl Newest {
    /// Reads the whole topic and keeps its last [`READ_BYTES`].
    fn read(headwater: &mut Headwater, topic: &str) -> Result<Self, Failure> {
        let mut client = headwater.connect()?;
        let mut request = FetchRequest::new(topic, Duration::ZERO);
        let mut batches = Vec::new();
        let mut offset = 0;
        loop {
            let fetched = client.fetch(&mut request, offset)?;
            batches.extend_from_slice(fetched.batches);
            let (next, end) = (fetched.next_offset, fetched.high_watermark);
            if next >= end {
                break;
            }
            if next == offset {
                return Err(format!("fetch at {offset} brought nothing").into());
            }
            offset = next;
        }
        let from = batches.len().saturating_sub(READ_BYTES);
        let first = batch_index(&batches)?
            .into_iter()
            .find(|place| place.at >= from)
            .ok_or("the topic is empty")?;
        let batches = batches.split_off(first.at);
        let index = batch_index(&batches)?;
        Ok(Self {
            start: first.base_offset,
            end: index.last().map_or(0, |place| place.end_offset),
            batches,
            index,
        })
    }
}

/// The reference server as a process of its own, so that its CPU can be told from the client's.
struct BareLoop {
    child: Child,
    port: u16,
}

impl BareLoop {
    fn start(batches: &Path, topic: &str) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare-loop")
            .arg(batches)
            .arg(topic)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let mut bare_loop = Self { child, port: 0 };
        let port = line.trim().parse();
        bare_loop.port = port.map_err(|_| format!("the bare loop said {line:?}"))?;
        Ok(bare_loop)
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
