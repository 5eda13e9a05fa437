//! A stretch of offsets on a server: read once and digested, or read over and over and timed.

use std::io::{self, Write};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use headwater_protocol::batch::BatchHeader;

use super::fetch_client::{FetchClient, FetchRequest};
use super::group_client::GroupMember;
use super::report::Cell;
use super::sample::Samples;
use super::{Failure, process};

/// Where in a batch the leader epoch stands: each broker writes its own, outside the batch's checksum.
const LEADER_EPOCH: std::ops::Range<usize> = 12..16;

/// Five times as often as stock clients commit by default.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// A stretch of offsets of one topic on a server.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    pub(crate) port: u16,
    pub(crate) pid: u32,
    pub(crate) topic: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// What was read, in short: equal for equal batches, their leader epochs aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    crc32c: u32,
}

/// What one server did in one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    pub(crate) bytes_per_second: f64,
    pub(crate) cpu_seconds_per_gigabyte: f64,
}

/// How many connections read, and where they begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readers {
    pub(crate) connections: usize,
    /// Each begins at another place; otherwise all at the start.
    pub(crate) spread: bool,
    /// Each is the active member of a consumer group of its own, which commits once a second and at its end.
    pub(crate) in_groups: bool,
}

/// The readers of the tables: all from the start, as consumers that catch up, and twenty at twenty places.
pub(crate) const READERS: [Readers; 4] = [
    Readers::together(1),
    Readers::together(4),
    Readers::together(20),
    Readers {
        connections: 20,
        spread: true,
        in_groups: false,
    },
];

impl Readers {
    pub(crate) const fn together(connections: usize) -> Self {
        Self {
            connections,
            spread: false,
            in_groups: false,
        }
    }

    pub(crate) const fn in_groups(groups: usize) -> Self {
        Self {
            in_groups: true,
            ..Self::together(groups)
        }
    }

    pub(crate) fn cell(self) -> Cell {
        let places = if self.spread {
            ", at as many places"
        } else {
            ""
        };
        Cell::text(format!("{}{places}", self.connections))
    }
}

/// Takes both sides so often: A B, B A, A B, and so on.
pub(crate) fn alternate<T>(
    alternations: u32,
    mut first: impl FnMut() -> Result<T, Failure>,
    mut second: impl FnMut() -> Result<T, Failure>,
) -> Result<Vec<(T, T)>, Failure> {
    let mut pairs = Vec::new();
    for run in 0..alternations {
        pairs.push(if run % 2 == 0 {
            let taken = first()?;
            (taken, second()?)
        } else {
            let taken = second()?;
            (first()?, taken)
        });
    }
    Ok(pairs)
}

/// Rates, their ratio, CPU seconds, their ratio: reference first.
pub(crate) fn throughput_cells(pairs: &[(Throughput, Throughput)]) -> Vec<Cell> {
    let samples =
        |of: fn(&(Throughput, Throughput)) -> f64| -> Samples { pairs.iter().map(of).collect() };
    vec![
        Cell::Number(samples(|(a, _)| a.bytes_per_second / 1e9).median(), 2),
        Cell::Number(samples(|(_, b)| b.bytes_per_second / 1e9).median(), 2),
        Cell::Spread(samples(|(a, b)| b.bytes_per_second / a.bytes_per_second), 2),
        Cell::Number(samples(|(a, _)| a.cpu_seconds_per_gigabyte).median(), 3),
        Cell::Number(samples(|(_, b)| b.cpu_seconds_per_gigabyte).median(), 3),
        Cell::Spread(
            samples(|(a, b)| b.cpu_seconds_per_gigabyte / a.cpu_seconds_per_gigabyte),
            2,
        ),
    ]
}

impl Stretch {
    /// Hands every fetched run of batches to `take`, once, in order.
    pub(crate) fn read_once(
        &self,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut client = FetchClient::connect(self.port)?;
        let mut request = FetchRequest::new(&self.topic, Duration::ZERO);
        let mut offset = self.start;
        while offset < self.end {
            let fetched = client.fetch(&mut request, offset)?;
            if fetched.next_offset == offset {
                return Err(format!("fetch at {offset} brought nothing").into());
            }
            take(fetched.batches)?;
            offset = fetched.next_offset;
        }
        Ok(())
    }

    /// Reads it once. A bench run is a correctness run as well.
    pub(crate) fn digest(&self) -> Result<Digest, Failure> {
        self.download(&mut io::sink())
    }

    /// The same, with every batch written to `file`.
    pub(crate) fn download(&self, file: &mut impl Write) -> Result<Digest, Failure> {
        let mut digest = Digest::default();
        self.read_once(|batches| {
            digest.add(batches)?;
            file.write_all(batches)
        })?;
        Ok(digest)
    }

    /// Fails unless both servers serve the same records in the same batches.
    pub(crate) fn check_equal(&self, other: &Self) -> Result<Digest, Failure> {
        let (ours, theirs) = (self.digest()?, other.digest()?);
        if ours == theirs {
            Ok(ours)
        } else {
            Err(format!("the two servers do not serve the same: {ours:?}, {theirs:?}").into())
        }
    }

    /// Reads over and over, for about so long.
    pub(crate) fn measure(
        &self,
        readers: Readers,
        duration: Duration,
    ) -> Result<Throughput, Failure> {
        let barrier = Barrier::new(readers.connections + 1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..readers.connections)
                .map(|number| {
                    let first = self.first_offset(readers, number);
                    let group = readers.in_groups.then(|| format!("bench-{number}"));
                    let barrier = &barrier;
                    scope.spawn(move || self.read_for((first, group), duration, barrier))
                })
                .collect();
            barrier.wait();
            let began = Instant::now();
            let cpu_before = process::cpu_seconds(self.pid)?;
            let mut bytes = 0.0;
            for thread in threads {
                #[expect(clippy::cast_precision_loss, reason = "a sum of bytes")]
                match thread.join() {
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

    fn first_offset(&self, readers: Readers, number: usize) -> i64 {
        if !readers.spread {
            return self.start;
        }
        let part = |count: usize| i64::try_from(count).unwrap_or(0);
        self.start + (self.end - self.start) / part(readers.connections).max(1) * part(number)
    }

    fn read_for(
        &self,
        (first, group): (i64, Option<String>),
        duration: Duration,
        barrier: &Barrier,
    ) -> Result<u64, Failure> {
        let connected = FetchClient::connect(self.port);
        let member = group.map(|group| Committing::join(self, &group));
        barrier.wait();
        let mut client = connected?;
        let mut member = member.transpose()?;
        let mut request = FetchRequest::new(&self.topic, Duration::ZERO);
        let until = Instant::now() + duration;
        let mut offset = first;
        let mut bytes = 0;
        while Instant::now() < until {
            let fetched = client.fetch(&mut request, offset)?;
            bytes += fetched.batches.len() as u64;
            offset = fetched.next_offset;
            if let Some(member) = &mut member {
                member.has_read_to(offset)?;
            }
            if offset >= self.end {
                offset = self.start;
            }
        }
        if let Some(member) = member {
            member.end(offset)?;
        }
        Ok(bytes)
    }
}

/// A member that commits what was read.
struct Committing {
    member: GroupMember,
    committed: Instant,
}

impl Committing {
    fn join(stretch: &Stretch, group: &str) -> io::Result<Self> {
        Ok(Self {
            member: GroupMember::join(stretch.port, group, &stretch.topic)?,
            committed: Instant::now(),
        })
    }

    fn has_read_to(&mut self, offset: i64) -> io::Result<()> {
        if self.committed.elapsed() >= COMMIT_INTERVAL {
            self.member.commit(offset)?;
            self.committed = Instant::now();
        }
        self.member.stay()
    }

    fn end(mut self, offset: i64) -> io::Result<()> {
        self.member.commit(offset)?;
        self.member.leave()
    }
}

impl Digest {
    /// Adds whole batches.
    fn add(&mut self, mut batches: &[u8]) -> io::Result<()> {
        while !batches.is_empty() {
            let header = BatchHeader::parse(batches).map_err(io::Error::other)?;
            let (batch, rest) = batches
                .split_at_checked(header.size())
                .ok_or_else(|| io::Error::other("a batch is cut off"))?;
            self.bytes += batch.len() as u64;
            self.batches += 1;
            for part in [&batch[..LEADER_EPOCH.start], &batch[LEADER_EPOCH.end..]] {
                self.crc32c = crc32c::crc32c_append(self.crc32c, part);
            }
            batches = rest;
        }
        Ok(())
    }
}
