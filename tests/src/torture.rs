//! Runs of headwater under load that something interrupts: [`Run`] writes, reads along, interrupts, and judges.
//!
//! A run is made of rounds over the same data directory. In a round three writers write the [`crate::workload`],
//! a reader reads all topics through every interruption, and the caller's closure interrupts (kill -9, power cut,
//! full disk). At the end of the round the writers rest, everything arrives, and the log must equal the database's
//! own history; nothing that the reader saw may have changed.

mod reader;

use std::{
    collections::BTreeMap,
    env, io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use self::reader::{Reader, Seen};
use crate::{
    change::Logged,
    harness::{Configured, Headwater, Options, Postgres, Session, Version, clock},
    oracle,
    random::Random,
    tape::Tape,
    wire::{Record, Wire},
    witness::Witness,
    workload::{self, Largest, Load, Writer},
};

const WRITERS: u64 = 3;

/// Between two scripts of a writer.
const PAUSE: Duration = Duration::from_millis(15);

/// How long the rest of a round may take to arrive. A debug build on a busy machine has much to catch up with.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// How many faults are worth showing.
const FAULTS_SHOWN: usize = 10;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Repeats the workload and the moments.
    pub seed: u64,
    /// The source.
    pub postgres: Version,
    /// Whether old records may be gone, if the reader had read them.
    pub retention: Retention,
    /// What is written most.
    pub load: Load,
}

/// Whether the log is cut at its start during the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Every record stays: the log begins at offset 0.
    KeepsAll,
    /// Records go, oldest first, long after the reader has read them.
    Deletes,
}

/// headwater, its source, and all that is known of both.
#[derive(Debug)]
pub struct Run {
    setup: Setup,
    round: u64,
    interrupter: Random,
    postgres: Postgres,
    headwater: Headwater,
    witness: Witness,
    writers: Vec<(Writer, Session)>,
    topics: Vec<String>,
    /// The topics' ends where the round began.
    start: BTreeMap<String, i64>,
    tape: Tape,
}

/// How a round went.
#[derive(Debug)]
pub struct Told {
    /// For people.
    pub text: String,
    /// Row changes that the round committed.
    pub changes: usize,
}

impl Run {
    /// Starts PostgreSQL and headwater with its data in `data`.
    #[must_use]
    pub fn begin(setup: Setup, data: &Path) -> Self {
        Self::begin_configured(setup, data, None)
    }

    /// The same with `headwater run` and these lines in its configuration.
    #[must_use]
    pub fn begin_configured(setup: Setup, data: &Path, configured: Option<Configured>) -> Self {
        let postgres = Postgres::start(setup.postgres);
        postgres.execute(&workload::schema(WRITERS));
        let mut options = Options::of(&postgres, data);
        options.configured = configured;
        let headwater = Headwater::start(&options);
        let largest = match setup.retention {
            Retention::KeepsAll => Largest::OutgrowsMemory,
            Retention::Deletes => Largest::Small,
        };
        // Both slots exist before the first transaction, so both tell the same history.
        let witness = Witness::of(&postgres, "witness");
        let tables = workload::tables(WRITERS);
        let topics: Vec<String> = tables.iter().map(|table| headwater.topic(table)).collect();
        Self {
            setup,
            round: 0,
            interrupter: Random::new(setup.seed, 1_000),
            writers: (0..WRITERS)
                .map(|number| {
                    (
                        Writer::new(setup.seed, number, (setup.load, largest)),
                        postgres.session(),
                    )
                })
                .collect(),
            start: topics.iter().map(|topic| (topic.clone(), 0)).collect(),
            topics,
            postgres,
            headwater,
            witness,
            tape: Tape::default(),
        }
    }

    /// One round. `interrupt` leaves a headwater behind that runs. Panics with the faults.
    pub fn round(
        &mut self,
        interrupt: impl FnOnce(&mut Headwater, &Postgres, &mut Random),
    ) -> Told {
        self.round += 1;
        let (stop_writing, stop_reading) = (AtomicBool::new(false), AtomicBool::new(false));
        let reader = Reader {
            bootstrap: &self.headwater.bootstrap(),
            topics: &self.topics,
            retention: self.setup.retention,
            random: Random::new(self.setup.seed, 2_000 + self.round),
        };
        let (writers, tape) = (&mut self.writers, &mut self.tape);
        let seen = thread::scope(|scope| {
            // However this ends, the threads must, or the scope would wait for ever.
            let _stops = [StopOnDrop(&stop_writing), StopOnDrop(&stop_reading)];
            let reading = scope.spawn(|| reader.read_along(tape, &stop_reading));
            for (writer, session) in writers {
                scope.spawn(|| write_along(writer, session, &stop_writing));
            }
            interrupt(&mut self.headwater, &self.postgres, &mut self.interrupter);
            stop_writing.store(true, Ordering::Relaxed);
            wait_for_everything(&self.postgres, &mut self.headwater, self.round);
            stop_reading.store(true, Ordering::Relaxed);
            reading.join().expect("the reader does not panic")
        });
        self.judge(seen)
    }

    /// Stops headwater, which must take it well.
    pub fn end(mut self) {
        assert!(
            self.headwater.stop().success(),
            "a clean stop:\n{}",
            self.headwater.log()
        );
    }

    /// The topics of all tables.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The broker as it is between two rounds.
    #[must_use]
    pub fn headwater(&self) -> &Headwater {
        &self.headwater
    }

    fn judge(&mut self, mut seen: Seen) -> Told {
        let history = self.witness.testify(&self.postgres);
        let log = self
            .read_round(&mut seen)
            .unwrap_or_else(|error| self.fail(&[error]));
        let mut faults = seen.faults;
        faults.extend(
            oracle::judge(&history, &log)
                .iter()
                .map(ToString::to_string),
        );
        let topic_of = |table: &str| format!("shop.{table}");
        let misplaced = oracle::judge_places(&log, topic_of);
        faults.extend(misplaced.iter().map(ToString::to_string));
        let torn = oracle::judge_snapshots(&history, topic_of, &self.start, &seen.snapshots);
        faults.extend(torn.iter().map(ToString::to_string));
        if !faults.is_empty() {
            self.fail(&faults);
        }
        assert!(
            log.len() > 100 && seen.snapshots.len() > 2,
            "a round in which nothing happened proves nothing: {} changes, {} snapshots",
            log.len(),
            seen.snapshots.len(),
        );
        for logged in &log {
            self.start.insert(logged.topic.clone(), logged.offset + 1);
        }
        let text = format!(
            "{} transactions, {} changes, {} snapshots by a reader over {} connections",
            history.len(),
            log.len(),
            seen.snapshots.len(),
            seen.connections,
        );
        Told {
            text,
            changes: log.len(),
        }
    }

    /// Reads everything that there is again, compares it with what the live reader saw, and gives this round's
    /// part. What retention has deleted comes from the reader.
    fn read_round(&mut self, seen: &mut Seen) -> Result<Vec<Logged>, String> {
        let text = |error: io::Error| error.to_string();
        let mut wire = Wire::connect(&self.headwater.bootstrap()).map_err(text)?;
        let mut log: BTreeMap<(String, i64), Logged> = BTreeMap::new();
        for logged in seen.logged.drain(..) {
            log.insert((logged.topic.clone(), logged.offset), logged);
        }
        for topic in &self.topics {
            let round_start = self.start.get(topic).copied().unwrap_or(0);
            let records = self.setup.retention.read_all(&mut wire, topic)?;
            for record in records {
                self.tape.observe(topic, &record)?;
                if record.offset >= round_start {
                    let logged = Logged::of_record(topic, &record)?;
                    log.insert((topic.clone(), record.offset), logged);
                }
            }
        }
        Ok(log.into_values().collect())
    }

    fn fail(&self, faults: &[String]) -> ! {
        let shown: Vec<&str> = faults
            .iter()
            .take(FAULTS_SHOWN)
            .map(String::as_str)
            .collect();
        panic!(
            "seed {}, round {}: {} faults:\n{}\n\nheadwater's log:\n{}",
            self.setup.seed,
            self.round,
            faults.len(),
            shown.join("\n"),
            last_lines(&self.headwater.log(), 200),
        );
    }
}

impl Retention {
    /// Everything that a topic has. Begins anew where the beginning is deleted meanwhile.
    fn read_all(self, wire: &mut Wire, topic: &str) -> Result<Vec<Record>, String> {
        let text = |error: io::Error| format!("{topic}: {error}");
        loop {
            let log_start = reader::log_start(wire, topic).map_err(text)?;
            if self == Self::KeepsAll && log_start != 0 {
                return Err(format!(
                    "{topic} begins at {log_start}, and nothing was to be deleted"
                ));
            }
            match wire.read_to_end(topic, log_start) {
                Err(error) if self == Self::Deletes => {
                    // A start that stays where it was is no reason to fail.
                    if reader::log_start(wire, topic).map_err(text)? == log_start {
                        return Err(text(error));
                    }
                }
                read => return read.map_err(text),
            }
        }
    }
}

/// The number in an environment variable, or `default`.
#[must_use]
pub fn number(variable: &str, default: u64) -> u64 {
    let text = env::var(variable).ok();
    text.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}"))
    })
}

/// The server that `HEADWATER_POSTGRES` names; 15 without it.
#[must_use]
pub fn postgres_from_environment() -> Version {
    if number("HEADWATER_POSTGRES", 15) == 18 {
        Version::V18
    } else {
        Version::V15
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n")
}

/// With short pauses: the judge reads everything that was written, several times.
fn write_along(writer: &mut Writer, session: &mut Session, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        session.run(&writer.script());
        thread::sleep(PAUSE);
    }
}

/// Commits a last row and waits until it has arrived: behind it nothing is on its way.
fn wait_for_everything(postgres: &Postgres, headwater: &mut Headwater, round: u64) {
    // The writers end their last scripts, which no new transaction may follow.
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND query NOT LIKE '%pg_stat_activity%' \
                AND backend_type = 'client backend'";
    clock::poll(Duration::from_secs(60), || {
        (postgres.value(idle) == "0").then_some(())
    })
    .expect("the writers end their last scripts");
    thread::sleep(Duration::from_millis(200));
    postgres.execute(&workload::end_mark(round));
    let topic = headwater.topic("audit");
    let wanted = format!("\"seq\":{round},");
    headwater.wait_within(CATCH_UP_LIMIT, "the last record has arrived", |headwater| {
        let Ok(mut wire) = Wire::connect(&headwater.bootstrap()) else {
            return false;
        };
        let Ok(Some(end)) = wire
            .ends(std::slice::from_ref(&topic))
            .map(|ends| ends.first().copied().flatten())
        else {
            return false;
        };
        let records = wire
            .read_to_end(&topic, (end - 5).max(0))
            .unwrap_or_default();
        let mark = |record: &Record| {
            let value =
                String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            value.contains("\"writer\":-1,") && value.contains(&wanted)
        };
        records.iter().any(mark)
    });
}
