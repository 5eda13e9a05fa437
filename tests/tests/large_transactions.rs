//! Transactions larger than memory: seen whole or not at all whatever befalls them, in bounded memory; and those that do
//! not fit, which are named and taken back.
//!
//! `scripts/torture large` runs the first test with other sizes:
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_LARGE_ROWS` | rows of the transaction | 9,000 |
//! | `HEADWATER_LARGE_ROW_BYTES` | bytes of each row's text, a multiple of 32 | 16,384 |
//! | `HEADWATER_LARGE_KILLS` | interruptions at random moments instead of the fixed ones | - |
//! | `HEADWATER_SEED` | repeats them | a new one, printed |
//! | `HEADWATER_POSTGRES` | 15 or 18 | 15 |

#![expect(clippy::print_stderr, reason = "a long run tells how it goes")]

use std::{env, fs, path::Path, process::Command, time::Duration};

use headwater_tests::{
    harness::{
        Configured, FileSystem, Headwater, Mount, Version, binary, clock, mount::say_skipped,
    },
    large::{Campaign, Interruption, Shape},
    random::{Random, seed_from_environment},
    torture,
    wire::Wire,
};

const KILLS: &str = "HEADWATER_LARGE_KILLS";
const ROWS: &str = "HEADWATER_LARGE_ROWS";

/// Memory with every budget full (design, section 3), KiB.
const MEMORY_KIB: u64 = 192 << 10;
/// The same with the small ring of the short run: less than its transaction.
const SMALL_MEMORY_KIB: u64 = 128 << 10;

const READERS: usize = 4;

const LIMIT: Duration = Duration::from_secs(120);

/// All four in the middle of the transaction. The kills come first: a start would take back what a lost connection had
/// left behind.
const FIXED: [(Interruption, u64); 4] = [
    (Interruption::Kill, 5),
    (Interruption::Kill, 50),
    (Interruption::SourceCrash, 20),
    (Interruption::Walsender, 40),
];

#[test]
fn a_large_transaction_is_seen_whole_or_not_at_all_whatever_befalls_it() {
    let is_long = env::var_os(ROWS).is_some();
    let shape = Shape {
        rows: torture::number(ROWS, 9_000),
        row_bytes: torture::number("HEADWATER_LARGE_ROW_BYTES", 16_384),
    };
    let interruptions = if is_long {
        random_moments(torture::number(KILLS, 0))
    } else {
        FIXED.to_vec()
    };
    let ring = if is_long { "32MiB" } else { "2MiB" };
    let configured = Configured {
        storage: format!("ring_bytes = \"{ring}\""),
        instance: "[instance.retention]\nsize = \"1024GiB\"".to_owned(),
        ..Configured::default()
    };
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let version = torture::postgres_from_environment();
    let started = clock::now();
    let mut campaign = Campaign::begin(shape, version, &data.path().join("data"), configured);
    let hits = campaign.run(&interruptions);
    let (peak, count) = (campaign.peak_kib(), interruptions.len());
    eprintln!(
        "{} rows of {} bytes, {hits} of {count} interruptions in the middle: right; {:.1} MiB at most, {} s",
        shape.rows,
        shape.row_bytes,
        f64::from(u32::try_from(peak).unwrap_or(u32::MAX)) / 1024.0,
        started.elapsed().as_secs()
    );
    let bound = if is_long {
        MEMORY_KIB + 3 * large_row_kib(shape.row_bytes)
    } else {
        assert_eq!(hits, count, "each in the middle");
        SMALL_MEMORY_KIB
    };
    assert!(peak <= bound, "{peak} KiB of memory, over {bound} KiB");
    if shape.rows == 1 {
        let resident = campaign.resident_while_read_by(READERS) / 1024;
        let most = campaign.headwater.peak_kib();
        eprintln!(
            "{READERS} readers at once: {resident} MiB, {} MiB at most",
            most / 1024
        );
        assert!(most <= bound, "{most} KiB of memory, over {bound} KiB");
    }
}

/// One large record, from the file: its readers have it in memory once, not each for himself.
#[test]
fn readers_of_one_large_record_share_its_memory() {
    let shape = Shape {
        rows: 1,
        row_bytes: 24 << 20,
    };
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let place = data.path().join("data");
    let mut campaign = Campaign::begin(shape, Version::V15, &place, Configured::default());
    campaign.run(&[]);
    assert!(campaign.headwater.stop().success());
    campaign.headwater.start_again();
    let before = campaign.headwater.resident_kib();
    let grown = campaign
        .resident_while_read_by(READERS)
        .saturating_sub(before);
    let row = shape.row_bytes >> 10;
    assert!(
        grown < 2 * row,
        "{grown} KiB more for {READERS} readers of {row} KiB"
    );
}

/// A row that a batch holds among others does not count.
fn large_row_kib(row_bytes: u64) -> u64 {
    if row_bytes < 256 << 10 {
        0
    } else {
        row_bytes >> 10
    }
}

fn random_moments(count: u64) -> Vec<(Interruption, u64)> {
    let seed = seed_from_environment();
    eprintln!("seed {seed} (HEADWATER_SEED={seed} repeats it), {count} interruptions");
    let mut random = Random::new(seed, 3_000);
    let mut moment = |_| (Interruption::any(&mut random), random.within(1..90));
    (0..count).map(&mut moment).collect()
}

/// More than the disk has: capture waits for retention, takes it back, and goes on by itself when there is more room.
#[test]
fn a_transaction_that_the_disk_cannot_hold_gives_the_space_back_and_comes_when_there_is_more() {
    let test = "a transaction larger than the disk";
    let mount = match Mount::make(FileSystem::Ext4, 500) {
        Ok(mount) => mount,
        Err(why) => return say_skipped(test, &why),
    };
    let shape = Shape {
        rows: 8_000,
        row_bytes: 16_384,
    };
    let configured = Configured {
        storage: "file_bytes = \"4MiB\"\nring_bytes = \"4MiB\"\nballast_bytes = \"0B\"\n\
                  space_low_bytes = \"40MiB\"\nspace_stop_bytes = \"24MiB\""
            .to_owned(),
        ..Configured::default()
    };
    let place = mount.path().join("data");
    let mut campaign = Campaign::begin(shape, Version::V15, &place, configured);
    mount.fill_up("filler", 90 << 20);
    before_and_behind(&mut campaign);
    let told = until_too_large(&mut campaign.headwater, 1);
    for words in [
        "shop.public.bulk",
        "the disk",
        "commits at",
        "resume shop",
        "goes on by itself",
        "--force",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    only_what_came_before(&campaign);
    let free = mount.free_bytes();
    assert!(
        free > 60 << 20,
        "{free} bytes are free: it was not given back"
    );
    // It is tried again when somebody says so, and does not fit any better.
    resume(&place);
    until_too_large(&mut campaign.headwater, 2);
    only_what_came_before(&campaign);
    fs::remove_file(mount.path().join("filler")).expect("the filler is ours");
    campaign.wait();
    campaign.judge();
}

/// Small transactions, which arrive, then the large one and another small one.
fn before_and_behind(campaign: &mut Campaign) {
    campaign.write_small(3);
    campaign.wait();
    campaign.write_large();
    campaign.write_small(1);
}

/// Waits until it is said for the `time`th time, and gives what the instance's health page tells.
fn until_too_large(headwater: &mut Headwater, time: usize) -> String {
    headwater.wait_within(LIMIT, "the transaction is too large", |headwater| {
        headwater.log().matches("does not fit").count() >= time
    });
    let answer = headwater.get("/healthz/instances/shop").expect("it serves");
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("transaction_too_large"),
        "{}",
        answer.body
    );
    assert_eq!(headwater.log().matches("does not fit").count(), time);
    answer.body
}

/// Consumers read on, and nothing of what was taken back or comes behind it.
fn only_what_came_before(campaign: &Campaign) {
    let topics = campaign.topics();
    let mut wire = Wire::connect(&campaign.headwater.bootstrap()).expect("it takes clients");
    let ends = wire.ends(&topics).expect("it tells ends");
    assert_eq!(ends, [Some(0), Some(3)]);
    let records = wire.read_to_end(&topics[1], 0).expect("it can be read");
    assert_eq!(records.len(), 3);
}

fn resume(data: &Path) {
    let mut command = Command::new(binary::headwater());
    command
        .args(["instance", "resume", "shop", "--data"])
        .arg(data);
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
