//! A real disk that is full: under load and at a start. headwater never lies about it, what was acknowledged stays,
//! and when there is space again everything goes on with nothing lost and nothing doubled; consumers read on all the time, and
//! positions that were acknowledged stay.
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_SEED` | repeats the workload of a run | a new one, printed |
//!
//! Needs root and loop devices, as `power_cut` does; skipped, and said so, without.

use std::{fs, thread, time::Duration};

use headwater_tests::{
    harness::{
        Coordinator, FileSystem, Headwater, Mount, Position, Postgres, clock, mount::say_skipped,
    },
    random::seed_from_environment,
    torture::{self, Retention, Run, Setup},
    wire::{EARLIEST, Record, Wire},
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
        let mut positions = Positions::default();
        positions.commit(headwater, &topics);
        assert!(positions.committed.is_some(), "there is space yet");
        mount.fill_up(FILLER, LEFT_BYTES);
        let stands = wait_until_it_notices(headwater, postgres);
        eprintln!("{test}: under load: {stands:?}");
        goes_on(&mount, (headwater, stands), &topics, positions);
    });
    eprintln!("{test}: under load: {}: right", told.text);
    let told = run.round(|headwater, _, _| {
        thread::sleep(LOAD);
        let mut positions = Positions::default();
        positions.commit(headwater, &topics);
        headwater.stop();
        mount.fill_up(FILLER, 0);
        headwater.spawn_again();
        let stands = wait_until_it_stands(headwater).expect("a start ends in one way or the other");
        eprintln!("{test}: at a start: {stands:?}");
        goes_on(&mount, (headwater, stands), &topics, positions);
    });
    eprintln!("{test}: at a start: {}: right", told.text);
    run.end();
}

/// What consumers find while the disk is full, and that it is still there when there is space again. That nothing is lost
/// and nothing doubled of all that the source committed is for the round to judge.
fn goes_on(
    mount: &Mount,
    (headwater, stands): (&mut Headwater, Stands),
    topics: &[String],
    mut positions: Positions,
) {
    if stands == Stands::Ended {
        free_and_go_on(mount, headwater, stands);
        positions.are_there(headwater);
        return;
    }
    says_so_everywhere(headwater);
    let seen = consumers_go_on(headwater, topics);
    positions.are_there(headwater);
    positions.commit(headwater, topics);
    // Nothing is taken back while it waits.
    still_there(headwater, &seen);
    free_and_go_on(mount, headwater, stands);
    still_there(headwater, &seen);
    positions.are_there(headwater);
    let metrics = metrics(headwater);
    let running = "headwater_instance_state{instance=\"shop\",state=\"running\"} 1";
    assert!(metrics.contains(running), "it runs:\n{metrics}");
}

/// The state is named in the API of operators and in the metrics as on the health page, with what to do.
fn says_so_everywhere(headwater: &Headwater) {
    let instance = headwater
        .get("/api/v1/instances/shop")
        .expect("the API answers on a full disk");
    assert_eq!(instance.status, 200, "{}", instance.body);
    for words in ["disk_full", "free some space", "the source keeps its log"] {
        assert!(instance.body.contains(words), "{words}: {}", instance.body);
    }
    let metrics = metrics(headwater);
    for series in [
        "headwater_instance_state{instance=\"shop\",state=\"disk_full\"} 1",
        "headwater_disk_state{state=\"stopped\"} 1",
    ] {
        assert!(metrics.contains(series), "{series}:\n{metrics}");
    }
}

fn metrics(headwater: &Headwater) -> String {
    let metrics = headwater.get("/metrics").expect("metrics are answered");
    assert_eq!(metrics.status, 200);
    metrics.body
}

/// The positions of a consumer group, as far as they were acknowledged.
#[derive(Default)]
struct Positions {
    committed: Option<(String, i64)>,
}

impl Positions {
    /// Moves the group to the end of the first topic. A full disk may refuse that, and must keep what it does not refuse.
    fn commit(&mut self, headwater: &Headwater, topics: &[String]) {
        let bootstrap = headwater.bootstrap();
        let mut wire = Wire::connect(&bootstrap).expect("it takes clients");
        let topic = &topics[0];
        let ends = wire.ends(std::slice::from_ref(topic)).expect("it has ends");
        let end = ends[0].expect("the topic is there");
        let group = group(&bootstrap);
        let position = Position {
            offset: end,
            metadata: String::new(),
        };
        if group.commit(topic, &position).is_ok() {
            self.committed = Some((topic.clone(), end));
        }
    }

    fn are_there(&self, headwater: &Headwater) {
        let bootstrap = headwater.bootstrap();
        let Some((topic, offset)) = &self.committed else {
            return;
        };
        let found = group(&bootstrap).committed(topic).expect("it answers");
        assert_eq!(found, Some(*offset), "the group's position in {topic}");
    }
}

fn group(bootstrap: &str) -> Coordinator<'_> {
    Coordinator {
        bootstrap,
        group: "full-disk",
    }
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

/// Everything visible can be read while capture waits, up to the ends that are told.
fn consumers_go_on(headwater: &Headwater, topics: &[String]) -> Vec<(String, Vec<Record>)> {
    let mut wire = Wire::connect(&headwater.bootstrap()).expect("it takes clients");
    let starts = wire
        .offsets_at(topics, EARLIEST)
        .expect("it tells where topics begin");
    let mut seen = Vec::new();
    for (topic, start) in topics.iter().zip(starts) {
        let start = start.expect("the topic is there");
        let records = wire
            .read_to_end(topic, start)
            .expect("a full disk can be read");
        seen.push((topic.clone(), records));
    }
    let ends = wire.ends(topics).expect("it tells where topics end");
    for ((topic, records), end) in seen.iter().zip(ends) {
        let read_to = records.last().map(|record| record.offset + 1);
        assert!(
            read_to <= end,
            "{topic}: read to {read_to:?}, ends at {end:?}"
        );
    }
    let count: usize = seen.iter().map(|(_, records)| records.len()).sum();
    assert!(count > 100, "{count} records prove nothing");
    seen
}

/// What was seen is there, the same, at the same offsets, but for what retention has deleted.
fn still_there(headwater: &Headwater, seen: &[(String, Vec<Record>)]) {
    let mut wire = Wire::connect(&headwater.bootstrap()).expect("it takes clients");
    for (topic, before) in seen {
        let starts = wire.offsets_at(std::slice::from_ref(topic), EARLIEST);
        let start = starts.expect("it tells")[0].expect("the topic is there");
        let before: Vec<_> = before
            .iter()
            .filter(|record| record.offset >= start)
            .collect();
        let now = wire.read_to_end(topic, start).expect("reads");
        for (before, now) in before.iter().zip(&now) {
            assert_eq!(*before, now, "{topic}");
        }
        assert!(now.len() >= before.len(), "{topic} is shorter");
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
