//! A real disk that is full: under load and at a start. headwater never lies about it, what was acknowledged stays,
//! and when there is space again everything goes on with nothing lost and nothing doubled.
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_SEED` | repeats the workload of a run | a new one, printed |
//!
//! Needs root and loop devices, as `power_cut` does; skipped, and said so, without.

use std::{fs, thread, time::Duration};

use headwater_tests::{
    harness::{FileSystem, Headwater, Mount, Postgres, clock, mount::say_skipped},
    random::seed_from_environment,
    torture::{self, Retention, Run, Setup},
    wire::{EARLIEST, Wire},
    workload::Load,
};

/// Above what headwater wants free before it deletes old records; sparse, so this is what can be used, not what is.
const MEBIBYTES: u64 = 2_000;

/// What is left on the full disk: too little for anything.
const LEFT_BYTES: u64 = 1 << 20;

const FILLER: &str = "filler";

/// How long headwater may take to notice, with all the load that is needed for it.
const NOTICE_LIMIT: Duration = Duration::from_secs(60);

/// How long there is load before and after.
const LOAD: Duration = Duration::from_secs(1);

/// How headwater stands before a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It serves what it has; the instance's health page names the state.
    Waits,
    /// The process has ended and said why.
    Ended,
}

#[test]
fn a_full_disk_stops_capture_and_loses_nothing() {
    let test = "headwater on a full disk";
    let mount = match Mount::make(FileSystem::Ext4, MEBIBYTES) {
        Ok(mount) => mount,
        Err(why) => return say_skipped(test, &why),
    };
    let seed = seed_from_environment();
    eprintln!("{test}: seed {seed} (HEADWATER_SEED={seed} repeats it)");
    let setup = Setup {
        seed,
        postgres: torture::postgres_from_environment(),
        retention: Retention::Deletes,
        load: Load::Mixed,
    };
    let mut run = Run::begin(setup, &mount.path().join("data"));
    let topics = run.topics().to_vec();
    let told = run.round(|headwater, postgres, _| {
        thread::sleep(LOAD);
        mount.fill_up(FILLER, LEFT_BYTES);
        let stands = wait_until_it_notices(headwater, postgres);
        eprintln!("{test}: under load: {stands:?}");
        if stands == Stands::Waits {
            consumers_go_on(headwater, &topics);
        }
        free_and_go_on(&mount, headwater, stands);
    });
    eprintln!("{test}: under load: {}: right", told.text);
    let told = run.round(|headwater, _, _| {
        thread::sleep(LOAD);
        headwater.stop();
        mount.fill_up(FILLER, 0);
        headwater.spawn_again();
        let stands = wait_until_it_stands(headwater).expect("a start ends in one way or the other");
        eprintln!("{test}: at a start: {stands:?}");
        if stands == Stands::Waits {
            consumers_go_on(headwater, &topics);
        }
        free_and_go_on(&mount, headwater, stands);
    });
    eprintln!("{test}: at a start: {}: right", told.text);
    run.end();
}

/// Commits large rows until headwater has no room for them.
fn wait_until_it_notices(headwater: &mut Headwater, postgres: &Postgres) -> Stands {
    let deadline = clock::now() + NOTICE_LIMIT;
    for number in 1.. {
        // Files are made ahead of their use, so there may be room for some of them yet.
        postgres.execute(&format!(
            "INSERT INTO wide VALUES (-{number}, 0, repeat(md5('{number}'), 100000))"
        ));
        if let Some(stands) = stands(headwater) {
            return stands;
        }
        assert!(
            clock::now() < deadline,
            "the disk is full and nothing is said:\n{}",
            headwater.log()
        );
    }
    unreachable!("it counts until it has noticed")
}

fn wait_until_it_stands(headwater: &mut Headwater) -> Option<Stands> {
    clock::poll(NOTICE_LIMIT, || stands(headwater))
}

/// `None` while it works as if nothing were wrong, or is still starting.
fn stands(headwater: &mut Headwater) -> Option<Stands> {
    if let Some(status) = headwater.ended() {
        assert!(!status.success(), "it ended as if all were well");
        let log = headwater.log();
        let named = ["No space left", "disk is full", "no space"];
        assert!(
            named.iter().any(|words| log.contains(words)),
            "it does not say why it ended:\n{log}"
        );
        return Some(Stands::Ended);
    }
    let health = headwater.get("/healthz/instances/shop")?;
    (health.status == 503 && health.body.contains("disk_full")).then_some(Stands::Waits)
}

/// Everything visible can be read while capture waits.
fn consumers_go_on(headwater: &Headwater, topics: &[String]) {
    let mut wire = Wire::connect(&headwater.bootstrap()).expect("it takes clients");
    let starts = wire
        .offsets_at(topics, EARLIEST)
        .expect("it tells where topics begin");
    for (topic, start) in topics.iter().zip(starts) {
        let start = start.expect("the topic is there");
        wire.read_to_end(topic, start)
            .expect("a full disk can be read");
    }
}

/// Frees the space. What waits must go on without help.
fn free_and_go_on(mount: &Mount, headwater: &mut Headwater, stands: Stands) {
    fs::remove_file(mount.path().join(FILLER)).expect("the filler is ours");
    if stands == Stands::Ended {
        headwater.spawn_again();
    }
    headwater.wait_within(NOTICE_LIMIT, "capture goes on", Headwater::is_running);
    thread::sleep(LOAD);
}
