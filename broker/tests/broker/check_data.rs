//! `headwater check data`: beside a running broker, after it, and on damaged directories.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use headwater::config::StorageConfig;
use headwater_storage::check;
use serde_json::Value;

use crate::harness::{Harness, LINES_KEY, ORDERS_KEY, Settings};

fn headwater(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command
        .args(["check", "data"])
        .arg(directory)
        .args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A stopped broker's directory with some records.
async fn stopped() -> tempfile::TempDir {
    let mut harness = Harness::start().await;
    for _ in 0..5 {
        harness
            .commit_one(ORDERS_KEY, 1_700_000_000_000, 1000)
            .await;
    }
    let Harness { broker, data, .. } = harness;
    if broker.stop().await.is_err() {
        // A busy machine: the log closes all the same, a little later.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_is_checked_while_it_writes_and_nothing_is_called_damage() {
    // Small files, so that some are finished meanwhile.
    let storage = StorageConfig {
        file_bytes: 1 << 20,
        ..StorageConfig::default()
    };
    let settings = Settings {
        storage: Some(storage),
        ..Settings::default()
    };
    let mut harness = Harness::start_with(settings).await;
    let path = harness.data.path().to_owned();
    let checks = tokio::task::spawn_blocking(move || {
        (0..12)
            .map(|_| check::check(&path).unwrap())
            .collect::<Vec<_>>()
    });
    let mut commits = 0_u64;
    while !checks.is_finished() {
        harness
            .commit_one(ORDERS_KEY, 1_700_000_000_000, 20_000)
            .await;
        harness.commit_one(LINES_KEY, 1_700_000_000_000, 100).await;
        commits += 2;
        assert!(commits < 240, "the checks take too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reports = checks.await.unwrap();
    assert!(commits > 8, "{commits}");
    for report in &reports {
        assert!(report.online);
        assert!(report.is_clean() && report.notes.is_empty(), "{report:?}");
    }
    assert!(reports.last().unwrap().totals.records > reports[0].totals.records);
    // And the broker was not disturbed.
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    let output = headwater(&[], harness.data.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).contains("while a broker has it open"),
        "{output:?}"
    );
    harness.broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_directory_ends_with_0_and_stays_as_it_is() {
    let data = stopped().await;
    let before = stamps(data.path());
    let output = headwater(&[], data.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).contains("2 topics") && text(&output.stdout).contains("5 records")
    );
    let output = headwater(&["--format", "json"], data.path());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["clean"], &json["records"]),
        (&Value::from(true), &Value::from(5))
    );
    assert_eq!(stamps(data.path()), before, "nothing was written");
}

fn stamps(folder: &Path) -> Vec<(String, u64, std::time::SystemTime)> {
    let mut stamps = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        let name = entry.path().display().to_string();
        if found.is_dir() {
            stamps.extend(self::stamps(&entry.path()));
        } else {
            stamps.push((name, found.len(), found.modified().unwrap()));
        }
    }
    stamps.sort();
    stamps
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_with_file_range_and_offsets_and_ends_with_5() {
    let data = stopped().await;
    let file = "journal/0000000001/00000000000000000001.journal";
    let mut bytes = fs::read(data.path().join(file)).unwrap();
    let at = bytes
        .windows(8)
        .position(|window| window == b"xxxxxxxx")
        .unwrap();
    bytes[at] = b'y';
    fs::write(data.path().join(file), bytes).unwrap();
    let output = headwater(&[], data.path());
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let said = text(&output.stdout);
    let line = said.lines().next().unwrap();
    for part in [
        "damaged: ",
        file,
        " bytes ",
        "shop.public.orders offsets 0..1",
    ] {
        assert!(line.contains(part), "{part}: {said}");
    }
    assert!(
        text(&output.stderr).contains("1 places are damaged"),
        "{output:?}"
    );
    let output = headwater(&["--format", "json"], data.path());
    assert_eq!(output.status.code(), Some(5));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["clean"], Value::from(false));
    let finding = &json["findings"][0];
    assert_eq!(finding["file"], file);
    assert!(
        finding["from"].as_u64().unwrap() < at as u64
            && finding["to"].as_u64().unwrap() > at as u64
    );
    assert_eq!(finding["offsets"][0]["topic"], "shop.public.orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sled_that_cannot_be_read_is_named_and_no_panic_is_shown() {
    let data = stopped().await;
    for entry in fs::read_dir(data.path().join("meta")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("db") {
            fs::write(path, [0xff; 64]).unwrap();
        }
    }
    let output = headwater(&[], data.path());
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains("damaged: meta") && said.contains("makes it again"),
        "{said}"
    );
    assert_eq!(text(&output.stderr).lines().count(), 1, "{output:?}");
}

#[test]
fn what_is_no_data_directory_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let output = headwater(&[], &path);
        assert!(matches!(output.status.code(), Some(1 | 5)), "{output:?}");
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
    fs::write(
        folder.path().join("FORMAT"),
        "headwater-data-directory format=9 x\n",
    )
    .unwrap();
    let output = headwater(&[], folder.path());
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(
        text(&output.stderr).contains("newer headwater"),
        "{output:?}"
    );
}
