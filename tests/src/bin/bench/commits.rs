//! Commits of many groups while rows are captured: how long a commit takes until it is durable, and what the commits
//! cost capture. An open loop: each commit is due at a time fixed beforehand, and is measured from that moment.
//!
//! The times of capture are those of the bench `latency`, by turns without and with commits.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::group_client::GroupMember;
use super::latency::{Load, Rig, Run};
use super::report::{Cell, Section};
use super::sample::Samples;
use super::stretch::{Stretch, alternate};
use super::{Failure, Settings};

const COLUMNS: &[&str] = &[
    "commits/s reached (1000 asked)",
    "commit ms p50",
    "commit ms p99 (hold <= 20)",
    "fdatasync ms p99",
    "capture rows/s",
    "capture ms p50 without",
    "capture ms p50 with",
    "capture ms p99 without",
    "capture ms p99 with",
    "ratio of p99 (hold <= 2)",
    "headwater CPU us/row without",
    "headwater CPU us/row with",
];

const INSTANCE: &str = "commits";
const GROUPS: u32 = 20;
const COMMITS_PER_SECOND: u32 = 1_000;
/// 500 transactions a second.
const LOAD: Load = Load::new(10, 5_000);

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let mut rig = Rig::start(INSTANCE)?;
    let stretch = rig.stretch()?;
    let members: Result<Vec<GroupMember>, Failure> = (0..GROUPS)
        .map(|number| {
            let group = format!("commits-{number}");
            Ok(GroupMember::join(stretch.port, &group, &stretch.topic)?)
        })
        .collect();
    let mut members = members?;
    // Connections, caches and plans are warm before the first number is taken.
    rig.measure(LOAD, 1)?;
    let seconds = settings.latency_seconds;
    let rig = std::cell::RefCell::new(rig);
    let pairs = alternate(
        settings.alternations,
        || Ok((rig.borrow_mut().measure(LOAD, seconds)?, None)),
        || {
            let (run, commits) = with_commits(&mut members, &stretch, || {
                rig.borrow_mut().measure(LOAD, seconds)
            })?;
            Ok((run, Some(commits)))
        },
    )?;
    let mut section = Section::new("Commits of 20 groups while rows are captured", COLUMNS);
    section.row(row(&pairs));
    for member in members {
        member.leave()?;
    }
    rig.into_inner().stop()?;
    Ok(section)
}

/// What the commits of one measurement took.
struct Commits {
    /// Milliseconds from when each was due.
    took: Samples,
    per_second: f64,
}

/// A run of `latency`, with the commits of the same time.
type Measured = (Run, Option<Commits>);

fn row(pairs: &[(Measured, Measured)]) -> Vec<Cell> {
    let without =
        |of: fn(&Run) -> f64| -> Samples { pairs.iter().map(|(a, _)| of(&a.0)).collect() };
    let with = |of: fn(&Run) -> f64| -> Samples { pairs.iter().map(|(_, b)| of(&b.0)).collect() };
    let commits = |of: fn(&Commits) -> f64| -> Samples {
        let runs = pairs.iter().filter_map(|(_, b)| b.1.as_ref());
        runs.map(of).collect()
    };
    let ratios = pairs.iter().map(|(a, b)| {
        let (a, b) = (&a.0.headwater, &b.0.headwater);
        b.percentile(0.99) / a.percentile(0.99)
    });
    let p50 = |run: &Run| run.headwater.percentile(0.5);
    let p99 = |run: &Run| run.headwater.percentile(0.99);
    vec![
        Cell::Number(commits(|commits| commits.per_second).median(), 0),
        Cell::Spread(commits(|commits| commits.took.percentile(0.5)), 2),
        Cell::Spread(commits(|commits| commits.took.percentile(0.99)), 2),
        Cell::Number(with(|run| run.syncs.percentile(0.99)).median(), 2),
        Cell::Number(with(|run| run.rows_per_second).median(), 0),
        Cell::Number(without(p50).median(), 2),
        Cell::Number(with(p50).median(), 2),
        Cell::Number(without(p99).median(), 2),
        Cell::Number(with(p99).median(), 2),
        Cell::Spread(ratios.collect(), 2),
        Cell::Number(without(|run| run.cpu_microseconds_per_row).median(), 1),
        Cell::Number(with(|run| run.cpu_microseconds_per_row).median(), 1),
    ]
}

/// Runs `measure` while every member commits.
fn with_commits(
    members: &mut [GroupMember],
    stretch: &Stretch,
    measure: impl FnOnce() -> Result<Run, Failure>,
) -> Result<(Run, Commits), Failure> {
    let done = AtomicBool::new(false);
    let ready = Barrier::new(members.len() + 1);
    std::thread::scope(|scope| {
        let began = Instant::now();
        let threads: Vec<_> = (0..)
            .zip(members)
            .map(|(number, member)| {
                let (done, ready) = (&done, &ready);
                scope.spawn(move || {
                    ready.wait();
                    commit_when_due(member, stretch, number, done)
                })
            })
            .collect();
        ready.wait();
        let run = measure();
        done.store(true, Ordering::Relaxed);
        let mut took = Samples::default();
        for thread in threads {
            let of_member = thread.join().unwrap_or(Err("a member panicked".into()))?;
            of_member
                .values()
                .iter()
                .for_each(|value| took.push(*value));
        }
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count of commits")]
        let per_second = took.values().len() as f64 / seconds;
        Ok((run?, Commits { took, per_second }))
    })
}

/// Commits at this member's turns until it is told to stop; milliseconds from when each was due.
fn commit_when_due(
    member: &mut GroupMember,
    stretch: &Stretch,
    number: u32,
    done: &AtomicBool,
) -> Result<Samples, Failure> {
    let interval = Duration::from_secs(1) * GROUPS / COMMITS_PER_SECOND;
    // Spread over the interval, as members that know nothing of each other are.
    let mut due = Instant::now() + interval * number / GROUPS;
    let mut took = Samples::default();
    let mut offset = stretch.end;
    while !done.load(Ordering::Relaxed) {
        sleep(due.saturating_duration_since(Instant::now()));
        member.commit(offset)?;
        took.push(due.elapsed().as_secs_f64() * 1e3);
        due += interval;
        offset += 1;
    }
    Ok(took)
}
