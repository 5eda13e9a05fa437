//! headwater is killed with -9 at random moments while three clients write; its log must equal the database's own
//! history, and a reader that reads all the while must never see something half done or taken back.
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_KILLS` | how many kills (`scripts/torture kills=N`) | 20 |
//! | `HEADWATER_SEED` | repeats the workload and the moments of a run | a new one, printed |
//! | `HEADWATER_POSTGRES` | 15 or 18 | 15 |
//!
//! A run is made of rounds of 20 kills over the same data directory. At the end of each the writers rest and the
//! round is judged.

#![expect(
    clippy::print_stderr,
    clippy::panic,
    reason = "a long run tells how it goes, and fails as tests do"
)]

use std::{
    collections::BTreeMap,
    env, io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use headwater_tests::{
    change::Logged,
    harness::{Headwater, Options, Postgres, Session, Version, clock},
    oracle::{self, Snapshot},
    random::{Random, seed_from_environment},
    tape::Tape,
    wire::{self, Wire},
    witness::Witness,
    workload::{self, Writer},
};

const WRITERS: u64 = 3;
const KILLS_A_ROUND: u64 = 20;

/// Between two scripts of a writer.
const PAUSE: Duration = Duration::from_millis(15);

/// How long the rest of a round may take to arrive. A debug build on a busy machine has much to catch up with.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// How many faults are worth showing.
const FAULTS_SHOWN: usize = 10;

#[test]
fn killed_at_random_moments_the_log_equals_the_databases_own_history() {
    let seed = seed_from_environment();
    let kills = number("HEADWATER_KILLS", KILLS_A_ROUND);
    eprintln!("kill loop: seed {seed} (HEADWATER_SEED={seed} repeats it), {kills} kills");
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let mut run = Run::begin(seed, data.path());
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_A_ROUND);
        run.round(now);
        left -= now;
    }
    assert!(
        run.headwater.stop().success(),
        "a clean stop:\n{}",
        run.headwater.log()
    );
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable)
        .ok()
        .map_or(default, |text| text.parse().expect("it is a number"))
}

struct Run {
    seed: u64,
    round: u64,
    killer: Random,
    postgres: Postgres,
    headwater: Headwater,
    witness: Witness,
    writers: Vec<(Writer, Session)>,
    topics: Vec<String>,
    /// The topics' ends where the round began.
    start: BTreeMap<String, i64>,
    tape: Tape,
}

/// What the reader brings home from a round.
#[derive(Default)]
struct Seen {
    /// Ends of all topics at one moment, without repetition.
    snapshots: Vec<Snapshot>,
    connections: u64,
    /// From the start of the process until it took clients.
    slowest_start: Duration,
    faults: Vec<String>,
}

impl Run {
    fn begin(seed: u64, data: &std::path::Path) -> Self {
        let version = if number("HEADWATER_POSTGRES", 15) == 18 {
            Version::V18
        } else {
            Version::V15
        };
        let postgres = Postgres::start(version);
        postgres.execute(&workload::schema(WRITERS));
        let headwater = Headwater::start(&Options::of(&postgres, data));
        // Both slots exist before the first transaction, so both tell the same history.
        let witness = Witness::of(&postgres, "witness");
        let tables = workload::tables(WRITERS);
        let topics: Vec<String> = tables.iter().map(|table| headwater.topic(table)).collect();
        Self {
            seed,
            round: 0,
            killer: Random::new(seed, 1_000),
            writers: (0..WRITERS)
                .map(|number| (Writer::new(seed, number), postgres.session()))
                .collect(),
            start: topics.iter().map(|topic| (topic.clone(), 0)).collect(),
            topics,
            postgres,
            headwater,
            witness,
            tape: Tape::default(),
        }
    }

    fn round(&mut self, kills: u64) {
        self.round += 1;
        let (stop_writing, stop_reading) = (AtomicBool::new(false), AtomicBool::new(false));
        let bootstrap = self.headwater.bootstrap();
        let (writers, topics, tape) = (&mut self.writers, &self.topics, &mut self.tape);
        let reader = Random::new(self.seed, 2_000 + self.round);
        let seen = thread::scope(|scope| {
            // However this ends, the threads must, or the scope would wait for ever.
            let _stops = [StopOnDrop(&stop_writing), StopOnDrop(&stop_reading)];
            let reading =
                scope.spawn(|| read_along(&bootstrap, topics, tape, reader, &stop_reading));
            for (writer, session) in writers {
                scope.spawn(|| write_along(writer, session, &stop_writing));
            }
            let slowest_start = kill_often(&mut self.headwater, &mut self.killer, kills);
            stop_writing.store(true, Ordering::Relaxed);
            wait_for_everything(&self.postgres, &mut self.headwater, self.round);
            stop_reading.store(true, Ordering::Relaxed);
            let seen = reading.join().expect("the reader does not panic");
            Seen {
                slowest_start,
                ..seen
            }
        });
        self.judge(&seen, kills);
    }

    fn judge(&mut self, seen: &Seen, kills: u64) {
        let history = self.witness.testify(&self.postgres);
        let log = self
            .read_round()
            .unwrap_or_else(|error| self.fail(&[error]));
        let mut faults = seen.faults.clone();
        faults.extend(
            oracle::judge(&history, &log)
                .iter()
                .map(ToString::to_string),
        );
        let topic_of = |table: &str| format!("shop.{table}");
        let torn = oracle::judge_snapshots(&history, topic_of, &self.start, &seen.snapshots);
        faults.extend(torn.iter().map(ToString::to_string));
        if !faults.is_empty() {
            self.fail(&faults);
        }
        assert!(
            log.len() > 100 && seen.snapshots.len() > 10,
            "a round in which nothing happened proves nothing"
        );
        for logged in &log {
            self.start.insert(logged.topic.clone(), logged.offset + 1);
        }
        eprintln!(
            "round {}: {kills} kills, {} transactions, {} changes, {} snapshots by a reader over {} connections, \
             slowest start {} ms: right",
            self.round,
            history.len(),
            log.len(),
            seen.snapshots.len(),
            seen.connections,
            seen.slowest_start.as_millis(),
        );
    }

    /// Reads everything from offset 0 again, compares it with what the live reader saw, and gives this round's
    /// part.
    fn read_round(&mut self) -> Result<Vec<Logged>, String> {
        let text = |error: io::Error| error.to_string();
        let mut wire = Wire::connect(&self.headwater.bootstrap()).map_err(text)?;
        let mut log = Vec::new();
        for topic in &self.topics {
            let start = self.start.get(topic).copied().unwrap_or(0);
            for record in wire.read_to_end(topic, 0).map_err(text)? {
                self.tape.observe(topic, &record)?;
                if record.offset >= start {
                    log.push(Logged::of_record(topic, &record)?);
                }
            }
        }
        Ok(log)
    }

    fn fail(&self, faults: &[String]) -> ! {
        let shown: Vec<&str> = faults
            .iter()
            .take(FAULTS_SHOWN)
            .map(String::as_str)
            .collect();
        panic!(
            "seed {}, round {}: {} faults:\n{}\n\nheadwater's log:\n{}",
            self.seed,
            self.round,
            faults.len(),
            shown.join("\n"),
            last_lines(&self.headwater.log(), 200),
        );
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

/// Some kills hit a broker that has just been started, most one that has been at work for a while. Gives the
/// longest time from the start of the process until it took clients.
fn kill_often(headwater: &mut Headwater, random: &mut Random, kills: u64) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..kills {
        if random.one_in(4) {
            thread::sleep(Duration::from_millis(random.within(0..300)));
        } else {
            headwater.wait_running();
            thread::sleep(Duration::from_millis(random.within(20..1_200)));
        }
        headwater.kill();
        if random.one_in(3) {
            thread::sleep(Duration::from_millis(random.within(0..200)));
        }
        let started = clock::now();
        headwater.spawn_again();
        if !random.one_in(4) {
            headwater.wait_until("it takes clients", Headwater::is_ready);
            slowest = slowest.max(started.elapsed());
        }
    }
    headwater.wait_running();
    slowest
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
        let mark = |record: &wire::Record| {
            let value =
                String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            value.contains("\"writer\":-1,") && value.contains(&wanted)
        };
        records.iter().any(mark)
    });
}

/// Reads all topics over and over, from where it stopped or again from the beginning, through every kill.
fn read_along(
    bootstrap: &str,
    topics: &[String],
    tape: &mut Tape,
    mut random: Random,
    stop: &AtomicBool,
) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) && seen.faults.len() < FAULTS_SHOWN {
        let Ok(mut wire) = Wire::connect(bootstrap) else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        seen.connections += 1;
        let again = random.one_in(5);
        let from = |tape: &Tape, topic: &String| if again { 0 } else { tape.next(topic) };
        let mut next: BTreeMap<String, i64> = topics
            .iter()
            .map(|topic| (topic.clone(), from(tape, topic)))
            .collect();
        while !stop.load(Ordering::Relaxed) {
            match read_once(&mut wire, topics, tape, &mut next, &mut seen) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    seen.faults.push(error.to_string());
                    break;
                }
                // The broker was killed.
                Err(_) => break,
            }
        }
    }
    seen
}

fn read_once(
    wire: &mut Wire,
    topics: &[String],
    tape: &mut Tape,
    next: &mut BTreeMap<String, i64>,
    seen: &mut Seen,
) -> io::Result<()> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let from: Vec<(String, i64)> = next
        .iter()
        .map(|(topic, offset)| (topic.clone(), *offset))
        .collect();
    for fetched in wire.fetch(&from, Duration::from_millis(20), 1 << 20)? {
        if fetched.error_code != 0 {
            return Err(invalid(format!(
                "{}: error code {}",
                fetched.topic, fetched.error_code
            )));
        }
        let asked = next.get(&fetched.topic).copied().unwrap_or(0);
        for record in wire::from_offset(wire::decode_records(&fetched.records)?, asked) {
            tape.observe(&fetched.topic, &record).map_err(invalid)?;
            next.insert(fetched.topic.clone(), record.offset + 1);
        }
        tape.observe_high_watermark(&fetched.topic, fetched.high_watermark)
            .map_err(invalid)?;
    }
    let mut snapshot = Snapshot::new();
    for (topic, end) in topics.iter().zip(wire.ends(topics)?) {
        let end = end.ok_or_else(|| invalid(format!("{topic} is gone")))?;
        tape.observe_high_watermark(topic, end).map_err(invalid)?;
        snapshot.push((topic.clone(), end));
    }
    if seen.snapshots.last() != Some(&snapshot) {
        seen.snapshots.push(snapshot);
    }
    Ok(())
}
