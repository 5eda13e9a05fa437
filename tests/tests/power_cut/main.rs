//! Power cuts for real: a file system on a loop device is shut down under load and mounted again. What was
//! acknowledged or seen must be there, byte by byte; nothing else may be.
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_POWER_CUTS` | about how many (`scripts/torture power=N`) | 20 |
//! | `HEADWATER_SEED` | repeats the load and the moments of a run | a new one, printed |
//!
//! Half of them are on ext4, half on XFS; two of three hit a process that uses `storage` as a library (`writer`),
//! the others the whole of headwater with PostgreSQL before it. Without root, loop devices or xfs_io the tests are
//! skipped, and say so; with `HEADWATER_POWER_CUTS` set they fail instead.

#![expect(
    clippy::print_stderr,
    clippy::panic,
    reason = "a long run tells how it goes, and fails as tests do"
)]

mod load;
mod watched;
mod writer;

use std::{env, path::Path, thread, time::Duration};

use headwater_tests::{
    harness::{FileSystem, Headwater, Mount, mount::say_skipped},
    random::{Random, seed_from_environment},
    torture::{self, Retention, Run, Setup},
    workload::Load,
};

use watched::Watched;

const CUTS: &str = "HEADWATER_POWER_CUTS";

/// XFS wants 300 at least; sparse, so this is what can be used, not what is.
const MEBIBYTES: u64 = 1_200;

/// How long a process may take to notice that its disk is gone.
const NOTICE_LIMIT: Duration = Duration::from_secs(20);

fn mount(test: &str, file_system: FileSystem) -> Option<Mount> {
    match Mount::make(file_system, MEBIBYTES) {
        Ok(mount) => Some(mount),
        Err(why) if env::var_os(CUTS).is_some() => panic!("{test}: {why}"),
        Err(why) => {
            say_skipped(&format!("{test} on {file_system}"), &why);
            None
        }
    }
}

/// Not a test of its own: the process whose power is cut.
#[test]
#[ignore = "runs as a child process"]
fn writer_until_its_power_is_cut() {
    if let (Ok(path), Ok(seed)) = (env::var(watched::PATH), env::var(watched::SEED)) {
        let seed = seed.parse().expect("the parent gives a number");
        writer::write_for_ever(Path::new(&path), seed);
    }
}

#[test]
fn what_storage_acknowledged_outlives_power_cuts_on_ext4() {
    what_storage_acknowledged_outlives_power_cuts(FileSystem::Ext4);
}

#[test]
fn what_storage_acknowledged_outlives_power_cuts_on_xfs() {
    what_storage_acknowledged_outlives_power_cuts(FileSystem::Xfs);
}

fn what_storage_acknowledged_outlives_power_cuts(file_system: FileSystem) {
    let Some(mount) = mount("storage under power cuts", file_system) else {
        return;
    };
    let seed = seed_from_environment();
    let cuts = torture::number(CUTS, 20).div_ceil(3);
    eprintln!(
        "storage on {file_system}: seed {seed} (HEADWATER_SEED={seed} repeats it), {cuts} cuts"
    );
    let mut random = Random::new(seed, 3_000);
    let mut watched = Watched::new(mount.path().join("data"), seed);
    for _ in 0..cuts {
        watched.start();
        // Some cuts hit a start.
        if random.one_in(4) {
            thread::sleep(Duration::from_millis(random.within(0..150)));
        } else {
            watched.wait_until_it_writes();
            thread::sleep(Duration::from_millis(random.within(5..700)));
        }
        mount.cut_power();
        if random.one_in(2) {
            watched.wait_for_its_end(NOTICE_LIMIT);
        } else {
            watched.kill();
        }
        mount.mount_again();
        // The catalog stands in catalog.log as well, and must be whole there by itself.
        if random.one_in(4) {
            watched.lose_sled();
        }
    }
    watched.start();
    watched.wait_until_it_writes();
    watched.wait_until_it_deletes();
    watched.kill();
    let acknowledged = watched.acknowledged();
    eprintln!("storage on {file_system}: {acknowledged:?}: right");
    assert!(
        acknowledged.groups > cuts,
        "a run in which nothing happened proves nothing: {acknowledged:?}"
    );
}

#[test]
fn cut_off_from_power_the_log_equals_the_databases_own_history_on_ext4() {
    cut_off_from_power_the_log_equals_the_databases_own_history(FileSystem::Ext4);
}

#[test]
fn cut_off_from_power_the_log_equals_the_databases_own_history_on_xfs() {
    cut_off_from_power_the_log_equals_the_databases_own_history(FileSystem::Xfs);
}

fn cut_off_from_power_the_log_equals_the_databases_own_history(file_system: FileSystem) {
    const CUTS_A_ROUND: u64 = 20;
    let Some(mount) = mount("headwater under power cuts", file_system) else {
        return;
    };
    let setup = Setup {
        seed: seed_from_environment(),
        postgres: torture::postgres_from_environment(),
        retention: Retention::KeepsAll,
        load: Load::Mixed,
    };
    let mut left = torture::number(CUTS, 20).div_ceil(6);
    let mut run = Run::begin(setup, &mount.path().join("data"));
    while left > 0 {
        let now = left.min(CUTS_A_ROUND);
        let told = run.round(|headwater, _, random| cut_often(&mount, headwater, random, now));
        left -= now;
        eprintln!(
            "headwater on {file_system}: {now} power cuts, {left} left: {}: right",
            told.text
        );
    }
    run.end();
}

fn cut_often(mount: &Mount, headwater: &mut Headwater, random: &mut Random, cuts: u64) {
    for _ in 0..cuts {
        if random.one_in(4) {
            thread::sleep(Duration::from_millis(random.within(0..300)));
        } else {
            headwater.wait_running();
            thread::sleep(Duration::from_millis(random.within(20..1_200)));
        }
        mount.cut_power();
        if random.one_in(3) {
            let status = headwater.wait(NOTICE_LIMIT);
            assert!(
                !status.success(),
                "it lost its disk and ended as if all were well:\n{}",
                headwater.log()
            );
        } else {
            thread::sleep(Duration::from_millis(random.within(0..100)));
            headwater.kill();
        }
        mount.mount_again();
        headwater.spawn_again();
    }
    headwater.wait_running();
}
