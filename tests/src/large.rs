//! One transaction larger than memory, small ones before and behind it, and what may befall it on its way: [`Campaign`]
//! writes, interrupts, and judges.
//!
//! | table | rows |
//! |---|---|
//! | `bulk` | of the large transaction: `id` without a gap, and a payload that follows from it |
//! | `small` | `seq` without a gap: one in each small transaction, and one before and one behind the others in the large one |
//!
//! So the log can be judged without asking the database: exactly these rows, each once, in this order; and whoever looks
//! at the ends of both topics at one moment sees all of the large transaction or nothing.

mod judge;

use std::{
    fmt,
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    harness::{Configured, Headwater, Options, Postgres, Session, Version},
    random::Random,
    wire::Wire,
};

/// Fixed part of a payload's repeated piece.
const PIECE_BYTES: u64 = 32;

/// Bytes of a record beside the payload, at least.
const RECORD_BYTES: u64 = 200;

/// How fast a debug build on a busy machine is at least.
const BYTES_PER_SECOND: u64 = 1 << 20;

const APPENDED: &str = "headwater_log_appended_bytes_total";

/// Of the large transaction.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Rows in `bulk`.
    pub rows: u64,
    /// Bytes of each payload; a multiple of 32.
    pub row_bytes: u64,
}

impl Shape {
    /// Bytes of its records, at least.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.rows * (self.row_bytes + RECORD_BYTES)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(120 + self.bytes() / BYTES_PER_SECOND)
    }
}

/// What may befall it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// headwater is killed with -9.
    Kill,
    /// Its connection at the source is.
    Walsender,
    /// The source stops as in a crash, and starts again.
    SourceCrash,
    /// headwater is stopped in good order.
    Stop,
}

impl Interruption {
    const ALL: [Self; 4] = [Self::Kill, Self::Walsender, Self::SourceCrash, Self::Stop];

    /// Any; every other one kills headwater.
    #[must_use]
    pub fn any(random: &mut Random) -> Self {
        if random.one_in(2) {
            return Self::Kill;
        }
        let at = usize::try_from(random.within(0..Self::ALL.len() as u64)).unwrap_or(0);
        Self::ALL.get(at).copied().unwrap_or(Self::Kill)
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Walsender => "connection ended",
            Self::SourceCrash => "source crashed",
            Self::Stop => "stop",
        })
    }
}

/// The ends of both topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    bulk: u64,
    small: u64,
}

/// headwater, its source, and what was written.
#[derive(Debug)]
pub struct Campaign {
    shape: Shape,
    /// The database.
    pub postgres: Postgres,
    /// The broker.
    pub headwater: Headwater,
    session: Session,
    /// Rows of small transactions and around large ones so far.
    small: u64,
    /// Rows of large ones.
    bulk: u64,
    /// The most memory that any of its processes took.
    peak_kib: u64,
}

impl Campaign {
    /// Starts both, headwater with these lines of its configuration.
    #[must_use]
    pub fn begin(shape: Shape, version: Version, data: &Path, configured: Configured) -> Self {
        let postgres = Postgres::start(version);
        postgres.execute(
            "CREATE TABLE bulk (id bigint PRIMARY KEY, payload text); CREATE TABLE small (seq bigint PRIMARY KEY)",
        );
        let mut options = Options::of(&postgres, data);
        options.configured = Some(configured);
        Self {
            shape,
            headwater: Headwater::start(&options),
            session: postgres.session(),
            postgres,
            small: 0,
            bulk: 0,
            peak_kib: 0,
        }
    }

    /// Commits so many transactions of one row.
    pub fn write_small(&mut self, count: u64) {
        let rows = self.small + 1..=self.small + count;
        let statements = rows.map(|seq| format!("INSERT INTO small VALUES ({seq});\n"));
        self.session.run(&statements.collect::<String>());
        self.small += count;
    }

    /// Commits the large transaction. It begins to arrive then.
    pub fn write_large(&mut self) {
        let Shape { rows, row_bytes } = self.shape;
        let (first, last) = (self.bulk + 1, self.bulk + rows);
        let (before, behind) = (self.small + 1, self.small + 2);
        let pieces = row_bytes / PIECE_BYTES;
        self.session.run(&format!(
            "BEGIN;\nINSERT INTO small VALUES ({before});\n\
             INSERT INTO bulk SELECT g, repeat(lpad(g::text, {PIECE_BYTES}, '.'), {pieces}) FROM generate_series({first}, {last}) g;\n\
             INSERT INTO small VALUES ({behind});\nCOMMIT;\n"
        ));
        self.bulk += rows;
        self.small += 2;
    }

    /// Small transactions, the large one, and small ones again, through all `interruptions`: each with the hundredth of
    /// the transaction at which it comes. Returns when everything has arrived: how many of them came in the middle.
    /// Panics at whatever is wrong.
    #[expect(clippy::print_stderr, reason = "a long run tells how it goes")]
    pub fn run(&mut self, interruptions: &[(Interruption, u64)]) -> usize {
        self.write_small(3);
        self.wait();
        let before = self.written();
        let appended = self.headwater.metric(APPENDED).unwrap_or(0);
        self.write_large();
        self.write_small(3);
        let behind = self.written();
        let stop = AtomicBool::new(false);
        let (address, topics) = (self.headwater.bootstrap(), self.topics());
        let rows = self.shape.rows;
        let hits = thread::scope(|scope| {
            let _stops = StopOnDrop(&stop);
            let watching = scope.spawn(|| judge::watch(&address, &topics, (before, rows), &stop));
            let (mut base, mut hits) = (appended, 0);
            for &(interruption, hundredth) in interruptions {
                let is_hit = self.wait_for_part(hundredth, base, (before, behind));
                hits += usize::from(is_hit);
                self.note_peak();
                eprintln!("at {hundredth} % of the transaction: {interruption}");
                base = self.interrupt(interruption);
            }
            self.wait();
            stop.store(true, Ordering::Relaxed);
            let watched = watching.join().expect("the watcher does not panic");
            let looks = watched.unwrap_or_else(|fault| panic!("{fault}"));
            assert!(looks > 3, "nobody looked at the topics");
            hits
        });
        self.note_peak();
        self.judge();
        hits
    }

    /// Waits until so much of the transaction was written. False if all of it was, and is visible.
    fn wait_for_part(&mut self, hundredth: u64, base: u64, (before, behind): (Ends, Ends)) -> bool {
        let wanted = self.shape.bytes() / 100 * hundredth;
        let topics = self.topics();
        let seen = |headwater: &Headwater| ends(&headwater.bootstrap(), &topics);
        let limit = self.shape.limit();
        self.headwater
            .wait_within(limit, "a part is written", |headwater| {
                let appended = headwater.metric(APPENDED);
                appended.is_some_and(|now| now.saturating_sub(base) >= wanted)
                    || seen(headwater).is_some_and(|ends| ends.bulk == behind.bulk)
            });
        seen(&self.headwater).is_none_or(|ends| ends == before)
    }

    /// What the counter of written bytes begins at behind it.
    fn interrupt(&mut self, interruption: Interruption) -> u64 {
        match interruption {
            Interruption::Kill => {
                self.headwater.kill();
                self.headwater.spawn_again();
                return 0;
            }
            Interruption::Stop => {
                assert!(self.headwater.stop().success(), "{}", self.headwater.log());
                self.headwater.spawn_again();
                return 0;
            }
            Interruption::Walsender => self
                .postgres
                .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication"),
            Interruption::SourceCrash => {
                self.postgres.crash();
                self.postgres.start_again();
                self.session = self.postgres.session();
            }
        }
        self.headwater.metric(APPENDED).unwrap_or(0)
    }

    fn written(&self) -> Ends {
        Ends {
            bulk: self.bulk,
            small: self.small,
        }
    }

    /// Waits until as much as was written has arrived; [`Campaign::judge`] looks at what it is.
    pub fn wait(&mut self) {
        let (limit, wanted, topics) = (self.shape.limit(), self.written(), self.topics());
        self.headwater
            .wait_within(limit, "everything arrives", |headwater| {
                ends(&headwater.bootstrap(), &topics)
                    .is_some_and(|ends| ends.bulk >= wanted.bulk && ends.small >= wanted.small)
            });
    }

    /// `bulk`, `small`.
    #[must_use]
    pub fn topics(&self) -> [String; 2] {
        ["bulk", "small"].map(|table| self.headwater.topic(table))
    }

    /// Reads all of the log: each row once, in order, and nothing else.
    pub fn judge(&self) {
        let [bulk, small] = self.topics();
        let pieces = usize::try_from(self.shape.row_bytes / PIECE_BYTES).expect("is small");
        let address = self.headwater.bootstrap();
        let judged = judge::bulk(&address, &bulk, (self.bulk, pieces))
            .and_then(|()| judge::small(&address, &small, self.small));
        judged.unwrap_or_else(|fault| panic!("{fault}\n{}", self.headwater.log()));
    }

    /// Memory of headwater, KiB, while so many readers have each begun to take the first batch of `bulk`, and nobody has
    /// all of it.
    #[must_use]
    pub fn resident_while_read_by(&self, readers: usize) -> u64 {
        let (address, [bulk, _]) = (self.headwater.bootstrap(), self.topics());
        let barrier = Barrier::new(readers + 1);
        thread::scope(|scope| {
            let read = || judge::read_first(&address, &bulk, &barrier);
            let reading: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
            barrier.wait();
            let resident = self.headwater.resident_kib();
            barrier.wait();
            for reader in reading {
                let read = reader.join().expect("the reader does not panic");
                let bytes = read.unwrap_or_else(|fault| panic!("{fault}"));
                assert!(bytes > self.shape.row_bytes, "{bytes} bytes");
            }
            resident
        })
    }

    fn note_peak(&mut self) {
        if self.headwater.ended().is_none() {
            self.peak_kib = self.peak_kib.max(self.headwater.peak_kib());
        }
    }

    /// The most memory that a process of headwater's took, KiB, up to the end of the last [`Campaign::run`]'s capture.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.peak_kib
    }
}

fn ends(address: &str, topics: &[String]) -> Option<Ends> {
    let ends = Wire::connect(address).ok()?.ends(topics).ok()?;
    let end = |at: usize| {
        ends.get(at)
            .copied()
            .flatten()
            .and_then(|end| u64::try_from(end).ok())
    };
    Some(Ends {
        bulk: end(0)?,
        small: end(1)?,
    })
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
