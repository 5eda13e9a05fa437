//! The program as a process: exit codes, one clear line, signals.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

fn headwater(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command
        .args(arguments)
        .env_remove("PGPASSWORD")
        .stdin(Stdio::null());
    command.output().unwrap()
}

/// The last line on stderr.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn wrong_usage_ends_with_2_and_one_clear_line() {
    for (arguments, parts) in [
        (&["dev", "mysql://u:hunter2@h/d"][..], &["postgres"][..]),
        (
            &["dev", "postgres://u:hunter2@h/d", "--feeds", "tables,dtss"],
            &["dtss", "tables and dts"],
        ),
        (
            &["dev", "postgres://u:hunter2@h/d", "--preset", "spark"],
            &["spark", "flink", "debezium"],
        ),
        (
            &["dev", "postgres://u:hunter2@h/d", "--kafka", "0.0.0.0:9092"],
            &["0.0.0.0:9092", "127.0.0.1"],
        ),
        (
            &["dev", "postgres://u:hunter2@h/d", "--http", "0.0.0.0:9080"],
            &["0.0.0.0:9080"],
        ),
        (
            &["dev", "postgres://u:hunter2@h/d", "--instance", "a b"],
            &["--instance"],
        ),
        (
            &["dev", "postgres://u:hunter2@h/d", "--tables", "a.b.c"],
            &["a.b.c"],
        ),
        (
            &["run", "--config", "/does/not/exist.toml"],
            &["/does/not/exist.toml"],
        ),
        (
            &["check", "config", "/does/not/exist.toml"],
            &["/does/not/exist.toml"],
        ),
    ] {
        let output = headwater(arguments);
        let line = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
        for part in parts {
            assert!(line.contains(part), "{arguments:?}: {line}");
        }
        let all = String::from_utf8_lossy(&output.stderr);
        assert!(!all.contains("hunter2"), "{all}");
    }
}

#[test]
fn an_unreachable_source_ends_dev_with_3_and_one_clear_line() {
    let started = Instant::now();
    // Port 1 of loopback: nobody listens there.
    let url = "postgres://u:hunter2@127.0.0.1:1/shop";
    let output = headwater(&[
        "dev",
        url,
        "--kafka",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]);
    let line = said(&output);
    assert_eq!(output.status.code(), Some(3), "{line}");
    assert!(
        line.starts_with("headwater: ") && line.contains("127.0.0.1"),
        "{line}"
    );
    let all = String::from_utf8_lossy(&output.stderr);
    assert!(!all.contains("hunter2"), "{all}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_listener_that_is_taken_ends_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let url = "postgres://u@127.0.0.1:1/shop";
    let output = headwater(&["dev", url, "--kafka", &address, "--http", "127.0.0.1:0"]);
    let line = said(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains(&address), "{line}");
}

#[test]
fn a_data_directory_that_is_in_use_ends_with_4_and_a_strange_one_with_5() {
    let data = tempfile::tempdir().unwrap();
    let (mut first, _config) = run_server(data.path());
    let url = "postgres://u@127.0.0.1:1/shop";
    let path = data.path().to_str().unwrap();
    let dev = [
        "dev",
        url,
        "--kafka",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--data",
        path,
    ];
    let output = headwater(&dev);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains(path));
    first.kill().unwrap();
    first.wait().unwrap();

    let strange = tempfile::tempdir().unwrap();
    std::fs::write(strange.path().join("FORMAT"), "something else").unwrap();
    let path = strange.path().to_str().unwrap();
    let output = headwater(&[&dev[..7], &[path]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
}

#[test]
fn a_server_says_when_it_is_ready_and_sigterm_ends_it_with_0_in_two_seconds() {
    let data = tempfile::tempdir().unwrap();
    let (mut child, _config) = run_server(data.path());
    let started = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

/// A warning, and a start: the clients that fit are served.
#[test]
fn a_server_that_may_open_few_files_says_so_and_raises_the_limit_as_far_as_it_may() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("headwater.toml");
    let text = format!(
        "[server]\ndata_dir = {:?}\n[[kafka.listener]]\nlisten = \"127.0.0.1:0\"\n",
        data.path().join("data")
    );
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -Sn 100; ulimit -Hn 1000; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_headwater"))
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said: Vec<String> = lines
        .map(Result::unwrap)
        .take_while(|line| !line.contains("headwater is ready"))
        .collect();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let warned = said.iter().filter(|line| line.contains("open files"));
    let warned: Vec<_> = warned.collect();
    assert_eq!(warned.len(), 1, "{said:?}");
    assert!(warned[0].contains("kafka.connections_max is 12000"));
    let limits = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let limits: Vec<&str> = limits.unwrap().split_whitespace().skip(3).take(2).collect();
    assert_eq!(limits, ["1000", "1000"]);
}

/// `headwater run` on a file without instances, once it is ready.
fn run_server(data: &std::path::Path) -> (std::process::Child, tempfile::NamedTempFile) {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        config,
        "[server]\ndata_dir = {data:?}\n[log]\nformat = \"json\"\n[[kafka.listener]]\nlisten = \"127.0.0.1:0\""
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["run", "--config"])
        .arg(config.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap());
    let mut ready = lines.lines().map(Result::unwrap);
    let line = ready
        .find(|line| line.contains("headwater is ready: kafka 127.0.0.1:"))
        .unwrap();
    assert!(line.starts_with('{'), "JSON was asked for: {line}");
    // Read on, or a full pipe would stop the child.
    std::thread::spawn(move || ready.for_each(drop));
    (child, config)
}
