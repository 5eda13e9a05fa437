//! headwater is killed with -9 at random moments while three clients write; its log must equal the database's own
//! history, and a reader that reads all the while must never see something half done or taken back.
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_KILLS` | how many kills (`scripts/torture kills=N`) | 16 |
//! | `HEADWATER_SCHEMA_KILLS` | how many amid changes of schemas (`scripts/torture schemas=N`) | 3 |
//! | `HEADWATER_SEED` | repeats the workload and the moments of a run | a new one, printed |
//! | `HEADWATER_POSTGRES` | 15 or 18 | 15 |
//!
//! A run is made of rounds of 20 kills over the same data directory. At the end of each the writers rest and the
//! round is judged (`headwater_tests::torture`).

use std::{path::Path, thread, time::Duration};

use headwater_tests::{
    harness::{Configured, Headwater, clock},
    random::{Random, seed_from_environment},
    torture::{self, Retention, Run, Setup},
    wire::{EARLIEST, Wire},
    workload::Load,
};

const KILLS_A_ROUND: u64 = 20;
const KILLS: u64 = 16;

/// Files of the log that the second run keeps: so small that dozens are sealed, used again and deleted in a round.
const SMALL_FILES: &str =
    "file_bytes = \"256KiB\"\nring_bytes = \"256KiB\"\ncache_bytes = \"1MiB\"";
const DELETE_LIMIT: Duration = Duration::from_secs(120);
/// By age, not by size: capture catches up faster than the reader of a debug build can read.
const SHORT_RETENTION: &str = "[instance.retention]\nage = \"12s\"";

#[test]
fn killed_at_random_moments_the_log_equals_the_databases_own_history() {
    let seed = seed_from_environment();
    let kills = torture::number("HEADWATER_KILLS", KILLS);
    eprintln!("kill loop: seed {seed} (HEADWATER_SEED={seed} repeats it), {kills} kills");
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let setup = Setup {
        seed,
        postgres: torture::postgres_from_environment(),
        retention: Retention::KeepsAll,
        load: Load::Mixed,
    };
    kill_by_rounds(setup, data.path(), kills);
}

#[test]
fn killed_amid_a_storm_of_schema_changes_each_row_has_the_schema_and_topic_of_its_time() {
    let seed = seed_from_environment();
    let kills = torture::number("HEADWATER_SCHEMA_KILLS", 3);
    eprintln!("schemas: seed {seed} (HEADWATER_SEED={seed} repeats it), {kills} kills");
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let setup = Setup {
        seed,
        postgres: torture::postgres_from_environment(),
        retention: Retention::KeepsAll,
        load: Load::SchemaChanges,
    };
    kill_by_rounds(setup, data.path(), kills);
}

#[expect(clippy::print_stderr, reason = "how a long run goes")]
fn kill_by_rounds(setup: Setup, data: &Path, kills: u64) {
    let mut run = Run::begin(setup, data);
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_A_ROUND);
        let mut slowest = Duration::ZERO;
        let told = run.round(|headwater, _, random| slowest = kill_often(headwater, random, now));
        left -= now;
        eprintln!(
            "{now} kills, {} left: {}, slowest start {} ms: right",
            left,
            told.text,
            slowest.as_millis()
        );
    }
    run.end();
}

#[test]
fn killed_while_files_are_sealed_used_again_and_deleted_nothing_read_changes() {
    let seed = seed_from_environment();
    let kills = torture::number("HEADWATER_KILLS", KILLS).div_ceil(3);
    eprintln!("small files: seed {seed} (HEADWATER_SEED={seed} repeats it), {kills} kills");
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let setup = Setup {
        seed,
        postgres: torture::postgres_from_environment(),
        retention: Retention::Deletes,
        load: Load::Mixed,
    };
    let small = Configured {
        storage: SMALL_FILES.to_owned(),
        instance: SHORT_RETENTION.to_owned(),
        ..Configured::default()
    };
    let mut run = Run::begin_configured(setup, &data.path().join("data"), Some(small));
    let topics = run.topics().to_vec();
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_A_ROUND);
        let told = run.round(|headwater, _, random| {
            kill_often(headwater, random, now);
            wait_until_it_deletes(headwater, &topics);
        });
        left -= now;
        eprintln!(
            "small files: {now} kills, {left} left: {}: right",
            told.text
        );
    }
    run.end();
}

/// Waits until retention has deleted something. The load goes on meanwhile.
fn wait_until_it_deletes(headwater: &mut Headwater, topics: &[String]) {
    headwater.wait_within(DELETE_LIMIT, "old records are deleted", |headwater| {
        let starts = Wire::connect(&headwater.bootstrap())
            .and_then(|mut wire| wire.offsets_at(topics, EARLIEST));
        starts.is_ok_and(|starts| starts.into_iter().flatten().any(|start| start > 0))
    });
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
