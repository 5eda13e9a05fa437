//! `headwater group` as a process beside a running broker, and kcat as the consumer that it is for.

use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    groups_wire::become_active,
    harness::{Harness, ORDERS, ORDERS_KEY, Settings},
};

const PASSWORD: &str = "Secret12";

async fn with_login() -> Harness {
    Harness::start_with(Settings {
        sasl: true,
        ..Settings::default()
    })
    .await
}

/// Runs `headwater group` on the broker's data directory, with a password on standard input.
fn group(harness: &Harness, arguments: &[&str], password: &str) -> Output {
    let data = harness.data.path().to_str().unwrap();
    run(&[&["group", "--data", data], arguments].concat(), password)
}

fn run(arguments: &[&str], input: &str) -> Output {
    tokio::task::block_in_place(|| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
            .args(arguments)
            .env_remove("HEADWATER_DATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who does not read it has ended already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    })
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn create(harness: &Harness, name: &str) -> Output {
    let arguments = [
        "create",
        name,
        "--instance",
        "shop",
        "--account",
        "team",
        "--password-stdin",
    ];
    let output = group(harness, &arguments, "Secret12\n");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    output
}

fn shown(harness: &Harness, name: &str) -> Value {
    let output = group(harness, &["show", name, "--format", "json"], "");
    serde_json::from_str(&out(&output)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_rule_is_a_line_and_the_exit_code_is_2() {
    let harness = with_login().await;
    create(&harness, "orders");
    let arguments = [
        "create",
        "orders",
        "--instance",
        "shop",
        "--account",
        "te am",
        "--password-stdin",
    ];
    let output = group(&harness, &arguments, "zzz\n");
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let lines = err(&output);
    for part in ["account", "8 to 32", "two kinds", "taken"] {
        let found = lines
            .lines()
            .filter(|line| line.starts_with("headwater: ") && line.contains(part));
        assert_eq!(found.count(), 1, "{part}:\n{lines}");
    }
    assert!(!lines.contains("zzz"), "{lines}");
}

/// Arguments, exit code, what is said.
type Wrong = (&'static [&'static str], i32, &'static str);

const WRONG: &[Wrong] = &[
    (
        &[
            "create",
            "x",
            "--instance",
            "nowhere",
            "--account",
            "a",
            "--password-stdin",
        ],
        1,
        "nowhere",
    ),
    (
        &[
            "create",
            "x",
            "--instance",
            "shop",
            "--account",
            "a",
            "--password",
            "Secret12",
        ],
        2,
        "--password",
    ),
    (
        &[
            "create",
            "x",
            "--instance",
            "shop",
            "--account",
            "a",
            "--password-file",
            "/no/such",
        ],
        2,
        "/no/such",
    ),
    (&["show", "nobody"], 1, "nobody"),
    (&["seek", "orders"], 2, "--to"),
    (
        &["seek", "orders", "--to", "yesterday", "--yes"],
        2,
        "yesterday",
    ),
    (
        &[
            "seek", "orders", "--to", "offset", "99", "--topic", ORDERS, "--yes",
        ],
        2,
        "outside of the retained range",
    ),
    (&["seek", "orders", "--to", "start"], 2, "--yes"),
];

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_2_and_what_is_not_there_with_1() {
    let harness = with_login().await;
    create(&harness, "orders");
    for (arguments, code, part) in WRONG {
        let output = group(&harness, arguments, "Secret12\n");
        assert_eq!(
            output.status.code(),
            Some(*code),
            "{arguments:?}: {}",
            err(&output)
        );
        assert!(
            err(&output).contains(part),
            "{arguments:?}: {}",
            err(&output)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_one_line_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let output = run(
        &["group", "--data", empty.path().to_str().unwrap(), "list"],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("no broker runs there"),
        "{}",
        err(&output)
    );
    assert_eq!(err(&output).lines().count(), 1);
    // A socket that a broker left behind when it was killed.
    drop(std::os::unix::net::UnixListener::bind(empty.path().join("headwater.sock")).unwrap());
    let output = run(
        &["group", "--data", empty.path().to_str().unwrap(), "list"],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("no broker runs there"),
        "{}",
        err(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_a_consumer_is_neither_deleted_nor_moved_by_accident() {
    let harness = with_login().await;
    create(&harness, "orders");
    let mut client = harness.client().await;
    become_active(&mut client, "orders").await;
    let output = group(&harness, &["delete", "orders"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("--force"), "{}", err(&output));
    let output = group(&harness, &["seek", "orders", "--to", "start", "--yes"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("--disconnect"), "{}", err(&output));
    let output = group(&harness, &["list"], "");
    assert!(out(&output).contains("orders"), "{}", out(&output));
    assert_eq!(
        group(&harness, &["delete", "orders", "--force"], "")
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        group(&harness, &["show", "orders"], "").status.code(),
        Some(1)
    );
    let output = group(&harness, &["history", "orders", "--instance", "shop"], "");
    assert!(out(&output).contains("deleted"), "{}", out(&output));
}

/// kcat as a consumer of the group; reads `records` and leaves.
fn kcat(harness: &Harness, password: &str, records: &str) -> Command {
    let mut command = Command::new("kcat");
    let address = harness.broker.kafka_addresses()[1].to_string();
    command.args(["-b", &address, "-X", "security.protocol=SASL_PLAINTEXT"]);
    command.args([
        "-X",
        "sasl.mechanisms=SCRAM-SHA-256",
        "-X",
        "sasl.username=team-orders",
    ]);
    command.args([
        "-X",
        &format!("sasl.password={password}"),
        "-X",
        "auto.offset.reset=earliest",
    ]);
    command.args(["-c", records, "-f", "%o\n", "-G", "orders", ORDERS]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn offsets(harness: &Harness, records: &str) -> String {
    let output = tokio::task::block_in_place(|| kcat(harness, PASSWORD, records).output().unwrap());
    out(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_create_over_kcat_to_a_rewind() {
    let mut harness = with_login().await;
    for _ in 0..5 {
        harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    }
    let made = create(&harness, "orders");
    let address = harness.broker.kafka_addresses()[1].to_string();
    for part in [
        "# kcat",
        "# java",
        "# flink",
        "# python",
        "# kafkajs",
        "SASL_PLAINTEXT",
        "team-orders",
        &address,
    ] {
        assert!(out(&made).contains(part), "{part}: {}", out(&made));
    }
    assert!(!out(&made).contains(PASSWORD) && !err(&made).contains(PASSWORD));

    assert_eq!(offsets(&harness, "5"), "0\n1\n2\n3\n4\n");
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    let idle = shown(&harness, "orders");
    assert_eq!(
        (&idle["lag_records"], &idle["topics"][0]["offset"]),
        (&1.into(), &5.into()),
        "{idle}"
    );

    // A consumer that stays is seen.
    let mut staying = kcat(&harness, PASSWORD, "100").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while shown(&harness, "orders")["clients"][0]["role"] != "active" {
        assert!(Instant::now() < deadline, "kcat never became active");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let client = &shown(&harness, "orders")["clients"][0];
    assert!(
        client["software"].as_str().unwrap().contains("librdkafka"),
        "{client}"
    );
    staying.kill().unwrap();
    staying.wait().unwrap();

    let preview = group(
        &harness,
        &["seek", "orders", "--to", "start", "--dry-run"],
        "",
    );
    assert!(
        out(&preview).contains("again"),
        "{} {}",
        out(&preview),
        err(&preview)
    );
    let seek = ["seek", "orders", "--to", "start", "--disconnect", "--yes"];
    let moved = group(&harness, &seek, "");
    assert_eq!(moved.status.code(), Some(0), "{}", err(&moved));
    assert_eq!(offsets(&harness, "6"), "0\n1\n2\n3\n4\n5\n");
    let history = group(&harness, &["history", "orders"], "");
    assert!(out(&history).contains("seek to start"), "{}", out(&history));

    // Another password: the old one is refused, the new one gets in.
    let output = group(
        &harness,
        &["passwd", "orders", "--password-stdin"],
        "Another-1",
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    let output = tokio::task::block_in_place(|| kcat(&harness, "Another-1", "1").output().unwrap());
    assert_eq!(out(&output), "6\n", "{}", err(&output));
}

/// Runs the command on a terminal of its own (script(1)), and answers each question once it is there. Gives back all
/// that the terminal showed.
fn on_terminal(
    harness: &Harness,
    arguments: &str,
    dialogue: &[(&str, &str)],
) -> (Option<i32>, String) {
    let data = harness.data.path().display();
    let program = env!("CARGO_BIN_EXE_headwater");
    let command = format!("{program} group --data {data} {arguments}");
    tokio::task::block_in_place(|| {
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shown = String::new();
        let mut byte = [0];
        for (question, answer) in dialogue {
            while !shown.ends_with(question) {
                assert_ne!(
                    output.read(&mut byte).unwrap(),
                    0,
                    "no {question:?} in {shown:?}"
                );
                shown.push(char::from(byte[0]));
            }
            // A person's time: the question is written just before the terminal is told to show nothing.
            std::thread::sleep(Duration::from_secs(1));
            input.write_all(answer.as_bytes()).unwrap();
        }
        output.read_to_string(&mut shown).unwrap();
        (child.wait().unwrap().code(), shown)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_asks_twice_and_shows_nothing_of_the_password() {
    let harness = with_login().await;
    let create = "create orders --instance shop --account team";
    let differing = [("Password: ", "Secret12\n"), ("again: ", "Secret13\n")];
    let (code, shown) = on_terminal(&harness, create, &differing);
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("differ"), "{shown}");
    let same = [("Password: ", "Secret12\n"), ("again: ", "Secret12\n")];
    let (code, shown) = on_terminal(&harness, create, &same);
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("team-orders") && !shown.contains("Secret1"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_on_a_terminal_shows_what_it_does_and_moves_only_after_yes() {
    let mut harness = with_login().await;
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    create(&harness, "orders");
    assert_eq!(offsets(&harness, "1"), "0\n");
    for (answer, code, offset) in [
        ("n\n", Some(1), 1),
        ("\n", Some(1), 1),
        ("yes\n", Some(0), 0),
    ] {
        let (ended, text) = on_terminal(&harness, "seek orders --to start", &[("[y/N] ", answer)]);
        assert_eq!(ended, code, "{text}");
        assert!(text.contains("1 again"), "{text}");
        assert_eq!(
            shown(&harness, "orders")["topics"][0]["offset"],
            offset,
            "{text}"
        );
    }
}
