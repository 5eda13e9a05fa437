//! Catalog changes on the real file system and real sled, with the process killed by -9 at any time.
//!
//! Alone in its process: between fork and exec a child holds every lock that its parent has.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use headwater_storage::{
    CatalogChange, DataDirectory, Instance, InstanceNumber, Schema, SourceKind, StorageError,
    StoreOptions, TableIdentity,
};

fn open(path: &Path) -> Result<DataDirectory, StorageError> {
    DataDirectory::open(path, &StoreOptions::default())
}

fn instance(number: u32) -> CatalogChange {
    CatalogChange::Instance(Instance {
        number: InstanceNumber(number),
        name: format!("shop{number}"),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    })
}

const CHILD_PATH: &str = "HEADWATER_TEST_CHILD_PATH";

/// Not a test of its own: what `answered_changes_survive_kill_9` kills.
#[test]
#[ignore = "runs as a child process"]
fn child_that_changes_the_catalog_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else {
        return;
    };
    let directory = open(Path::new(&path)).expect("opens");
    if directory.catalog().change_number() == 0 {
        directory.change(vec![instance(1)]).expect("changes");
    }
    loop {
        let version = directory.catalog().next_schema_version();
        let wide = if version.is_multiple_of(7) {
            300_000
        } else {
            900
        };
        let schema = Schema {
            version,
            instance: InstanceNumber(1),
            table: TableIdentity {
                schema: "s".to_owned(),
                name: "t".to_owned(),
                relation: 1,
            },
            definition: serde_json::json!({ "version": version, "filling": "x".repeat(wide) }),
        };
        directory
            .change(vec![CatalogChange::Schema(schema)])
            .expect("changes");
        println!("answered {version}");
    }
}

fn child(path: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().expect("is known"))
        .args([
            "--exact",
            "child_that_changes_the_catalog_until_it_is_killed",
        ])
        .args(["--ignored", "--nocapture"])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// The versions that a child says it has an answer for.
fn answers(child: &mut std::process::Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    lines.filter_map(|line| line.ok()?.split_once("answered ")?.1.parse().ok())
}

#[test]
fn answered_changes_survive_kill_9_at_any_time_also_within_a_start() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let mut answered = 0;
    for round in 0..30u64 {
        let mut child = child(folder.path());
        let mut answers = answers(&mut child);
        if round % 3 == 0 {
            answered = answers.next().expect("gets going");
        }
        thread::sleep(Duration::from_millis(3 * round));
        child.kill().expect("is killed");
        answered = answers.last().unwrap_or(answered);
        child.wait().expect("is gone");
        let found = open(folder.path())
            .expect("opens")
            .catalog()
            .schema_version();
        assert!(
            found == answered || found == answered + 1,
            "{answered} answered, {found} found"
        );
        answered = found;
    }
    assert!(answered > 10);
}
