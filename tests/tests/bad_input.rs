//! What goes wrong is said in one line that names the thing and the fix, with the exit code of
//! `docs/configuration.md`; and what a stranger sends hurts nobody else.

use std::{fs, io::Read, path::Path, thread, time::Duration};

use bytes::{BufMut, BytesMut};
use headwater_tests::{
    harness::{Headwater, Options, Postgres, Version, clock, port, postgres::PASSWORD},
    random::{Random, seed_from_environment},
    wire::{self, Wire},
};
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
};

const WRONG_USAGE: i32 = 2;
const SOURCE_UNUSABLE: i32 = 3;
const DATA_IN_USE: i32 = 4;

/// headwater ends by itself with this code, and its last line has all of these words.
fn is_refused(mut headwater: Headwater, code: i32, words: &[&str]) {
    let status = headwater.wait(Duration::from_secs(30));
    let log = headwater.log();
    assert_eq!(status.code(), Some(code), "{status}; its log:\n{log}");
    let last = log.lines().last().unwrap_or_default();
    for word in words {
        assert!(
            last.contains(word),
            "the last line does not name {word:?}:\n{log}"
        );
    }
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains(PASSWORD), "a password is shown:\n{log}");
}

fn dev(url: &str) -> Headwater {
    Headwater::spawn(&Options::of_url(url, None))
}

fn run(config: &Path) -> Headwater {
    let config = config.to_str().expect("temporary paths are UTF-8");
    Headwater::spawn_arguments(&["run", "--config", config])
}

#[test]
fn a_wrong_url_is_refused_with_what_is_wrong() {
    is_refused(dev("nonsense"), WRONG_USAGE, &["postgres"]);
    is_refused(dev("oracle://host/db"), WRONG_USAGE, &["postgres://"]);
    is_refused(
        dev("postgres://127.0.0.1:99999/shop"),
        WRONG_USAGE,
        &["port"],
    );
    is_refused(
        dev("postgres://127.0.0.1/shop?sslmode=maybe"),
        WRONG_USAGE,
        &["sslmode", "maybe"],
    );
}

#[test]
fn wrong_usage_of_the_command_line_is_refused() {
    for arguments in [
        &["dev"][..],
        &["run"],
        &["swim"],
        &["dev", "postgres://h/d", "--kafka", "nowhere"],
    ] {
        let mut headwater = Headwater::spawn_arguments(arguments);
        assert_eq!(
            headwater.wait(Duration::from_secs(10)).code(),
            Some(WRONG_USAGE),
            "{arguments:?}"
        );
    }
}

#[test]
fn an_unreachable_host_is_named() {
    let nobody = port::free();
    let url = format!("postgres://postgres@127.0.0.1:{nobody}/shop");
    is_refused(
        dev(&url),
        SOURCE_UNUSABLE,
        &["127.0.0.1", &nobody.to_string()],
    );
    is_refused(
        dev("postgres://postgres@no-such-host.invalid/shop"),
        SOURCE_UNUSABLE,
        &["no-such-host.invalid"],
    );
}

#[test]
fn a_refused_login_is_named_and_the_password_is_not() {
    let postgres = Postgres::start(Version::V15);
    let mut options = Options::of_url(&postgres.url(), None);
    options.password = "not-the-password".to_owned();
    let headwater = Headwater::spawn(&options);
    is_refused(headwater, SOURCE_UNUSABLE, &["password", "postgres"]);
    let mut of_nobody = Options::of_url(&postgres.url_of("nobody_here", "shop"), None);
    of_nobody.password = "not-the-password".to_owned();
    is_refused(
        Headwater::spawn(&of_nobody),
        SOURCE_UNUSABLE,
        &["nobody_here"],
    );
    let no_database = postgres.url_of("postgres", "no_such_database");
    is_refused(dev(&no_database), SOURCE_UNUSABLE, &["no_such_database"]);
}

#[test]
fn a_missing_privilege_is_named_with_its_statement() {
    let postgres = Postgres::start(Version::V15);
    postgres.execute(&format!(
        "CREATE ROLE weak LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE t (id int PRIMARY KEY)"
    ));
    let url = postgres.url_of("weak", "shop");
    is_refused(
        dev(&url),
        SOURCE_UNUSABLE,
        &["weak", "CREATE PUBLICATION", "public"],
    );
    postgres.execute("GRANT CREATE ON DATABASE shop TO weak; ALTER TABLE t OWNER TO weak");
    is_refused(
        dev(&url),
        SOURCE_UNUSABLE,
        &["weak", "ALTER ROLE", "REPLICATION"],
    );
}

#[test]
fn a_role_that_owns_its_tables_and_may_replicate_needs_no_superuser() {
    for version in Version::ALL {
        let postgres = Postgres::start(version);
        postgres.execute(&format!(
            "CREATE ROLE owner LOGIN REPLICATION PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE shop TO owner;
             CREATE TABLE public.t (id int PRIMARY KEY); ALTER TABLE public.t OWNER TO owner"
        ));
        let headwater = Headwater::start(&Options::of_url(&postgres.url_of("owner", "shop"), None));
        assert!(headwater.is_running(), "{version:?}");
    }
}

#[test]
fn a_wal_level_that_is_not_logical_is_named_with_its_statement() {
    for version in Version::ALL {
        let postgres = Postgres::start_with(version, &["wal_level=replica"]);
        is_refused(
            dev(&postgres.url()),
            SOURCE_UNUSABLE,
            &["wal_level", "logical", "ALTER SYSTEM"],
        );
    }
}

#[test]
fn a_check_of_a_source_says_by_its_exit_code_whether_it_can_be_captured() {
    let postgres = Postgres::start_with(Version::V15, &["wal_level=replica"]);
    let check = |url: &str| Headwater::spawn_arguments(&["check", "source", url]);
    let with_password = format!("postgres:{PASSWORD}");
    let url = postgres.url_of(&with_password, "shop");
    let mut checked = check(&url);
    checked.wait(Duration::from_secs(30));
    let statement = "error    server: wal_level is replica, logical is needed";
    assert!(checked.log().contains(statement), "{}", checked.log());
    let words = ["cannot be captured as it is: 1 errors"];
    is_refused(checked, SOURCE_UNUSABLE, &words);
    is_refused(check("nonsense"), WRONG_USAGE, &["postgres"]);
    for version in Version::ALL {
        let postgres = Postgres::start(version);
        let mut checked = check(&postgres.url_of(&with_password, "shop"));
        let status = checked.wait(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "{version:?}: {}", checked.log());
    }
}

#[test]
fn a_check_by_a_configuration_looks_at_what_run_would_capture() {
    let postgres = Postgres::start(Version::V15);
    postgres.execute("CREATE TABLE wanted (line text); CREATE TABLE unwanted (line text)");
    postgres.execute("SELECT pg_create_logical_replication_slot('taken', 'test_decoding')");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let second = "slot = \"taken\"\n[instance.tables]\nexclude = [\"public.un*\"]\n\
         [[instance]]\nname = \"other\"\n[instance.source]\nurl = \"postgres://u@h/d\"\n";
    let file = config(directory.path(), &postgres.url(), 1, 2, second);
    let file = file.to_str().expect("UTF-8");
    let check = |arguments: &[&str]| {
        let arguments = [&["check", "source", "--config", file], arguments].concat();
        Headwater::spawn_arguments(&arguments)
    };

    let mut checked = check(&["--instance", "shop"]);
    checked.wait(Duration::from_secs(30));
    let log = checked.log();
    assert!(log.contains("public.wanted"), "{log}");
    assert!(!log.contains("public.unwanted"), "{log}");
    assert!(log.contains("\"taken\""), "{log}");
    is_refused(checked, SOURCE_UNUSABLE, &["cannot be captured"]);

    is_refused(check(&[]), WRONG_USAGE, &["--instance", "shop, other"]);
    let unknown = check(&["--instance", "depot"]);
    is_refused(
        unknown,
        WRONG_USAGE,
        &["headwater.toml", "depot", "shop, other"],
    );
    let both = check(&["--tables", "public.t"]);
    is_refused_by_usage(both, &["--config", "--tables"]);
    let neither = Headwater::spawn_arguments(&["check", "source"]);
    is_refused_by_usage(neither, &["SOURCE_URL"]);
}

/// What the parser of the command line refuses, in its own words.
fn is_refused_by_usage(mut headwater: Headwater, words: &[&str]) {
    let status = headwater.wait(Duration::from_secs(30));
    let log = headwater.log();
    assert_eq!(status.code(), Some(WRONG_USAGE), "{log}");
    assert!(words.iter().all(|word| log.contains(word)), "{log}");
}

#[test]
fn a_full_slot_list_is_named_with_its_setting() {
    let postgres = Postgres::start_with(Version::V15, &["max_replication_slots=1"]);
    postgres.execute("SELECT pg_create_physical_replication_slot('taken')");
    is_refused(
        dev(&postgres.url()),
        SOURCE_UNUSABLE,
        &["max_replication_slots"],
    );
}

#[test]
fn a_second_headwater_on_the_same_data_directory_is_refused() {
    let postgres = Postgres::start(Version::V15);
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let first = Headwater::start(&Options::of(&postgres, data.path()));
    let second = Headwater::spawn(&Options::of(&postgres, data.path()));
    is_refused(second, DATA_IN_USE, &[data.path().to_str().expect("UTF-8")]);
    assert!(first.is_running(), "the first one does not notice");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let postgres = Postgres::start(Version::V15);
    let first = Headwater::start(&Options::of_url(&postgres.url(), None));
    let mut options = Options::of_url(&postgres.url(), None);
    options.kafka_port = first
        .bootstrap()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    options.instance = "other".to_owned();
    is_refused(Headwater::spawn(&options), 1, &[&first.bootstrap()]);
}

#[test]
fn a_data_directory_that_cannot_be_one_is_named() {
    let postgres = Postgres::start(Version::V15);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").expect("it is ours");
    let mut headwater = Headwater::spawn(&Options::of(&postgres, &file));
    let status = headwater.wait(Duration::from_secs(30));
    assert!(
        matches!(status.code(), Some(1 | 5)),
        "{status}\n{}",
        headwater.log()
    );
    let log = headwater.log();
    assert!(log.contains(file.to_str().expect("UTF-8")), "{log}");
}

/// A configuration for `postgres` with `extra` lines at its end.
fn config(directory: &Path, url: &str, kafka: u16, http: u16, extra: &str) -> std::path::PathBuf {
    let (data, secret) = (directory.join("data"), directory.join("secret"));
    fs::write(&secret, format!("{PASSWORD}\n")).expect("it is ours");
    let text = format!(
        "[server]\ndata_dir = \"{}\"\n[[kafka.listener]]\nlisten = \"127.0.0.1:{kafka}\"\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\n[[instance]]\nname = \"shop\"\n[instance.source]\n\
         url = \"{url}\"\npassword = {{ file = \"{}\" }}\n{extra}",
        data.display(),
        secret.display(),
    );
    let path = directory.join("headwater.toml");
    fs::write(&path, text).expect("it is ours");
    path
}

#[test]
fn an_unknown_key_in_the_configuration_is_refused_with_a_suggestion() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = config(directory.path(), "postgres://h/d", 1, 1, "slott = \"x\"\n");
    is_refused(
        run(&file),
        WRONG_USAGE,
        &["headwater.toml:12", "slott", "slot"],
    );
}

#[test]
fn a_bad_line_in_the_configuration_is_refused_with_its_number() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = config(directory.path(), "postgres://h/d", 1, 1, "slot = = \"x\"\n");
    is_refused(run(&file), WRONG_USAGE, &["headwater.toml:12"]);
    is_refused(
        run(&directory.path().join("missing.toml")),
        WRONG_USAGE,
        &["missing.toml"],
    );
}

#[test]
fn a_password_in_the_url_of_a_configuration_is_refused_and_not_shown() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let url = format!("postgres://user:{PASSWORD}@h/d");
    is_refused(
        run(&config(directory.path(), &url, 1, 1, "")),
        WRONG_USAGE,
        &["password"],
    );
}

#[test]
fn a_configuration_runs_and_a_refused_login_is_a_state_that_heals() {
    let postgres = Postgres::start(Version::V15);
    postgres.execute(
        "CREATE TABLE t (id int PRIMARY KEY); ALTER ROLE postgres PASSWORD 'changed-Behind-1'",
    );
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut options = Options::of_url(&postgres.url(), None);
    options.kafka_port = port::free();
    let file = config(
        directory.path(),
        &postgres.url(),
        options.kafka_port,
        options.http_port,
        "",
    );
    let mut headwater = Headwater::spawn_with(
        &options,
        &["run", "--config", file.to_str().expect("UTF-8")],
    );
    headwater.wait_until("it takes clients", Headwater::is_ready);
    let mut body = String::new();
    headwater.wait_until("the state is told", |headwater| {
        let answer = headwater.get("/healthz/instances/shop");
        body = answer
            .map(|answer| format!("{} {}", answer.status, answer.body))
            .unwrap_or_default();
        body.starts_with("503") && body.contains("source_refused")
    });
    assert!(!body.contains(PASSWORD), "{body}");
    Wire::connect(&headwater.bootstrap())
        .and_then(|mut wire| wire.topics())
        .expect("consumers are served");
    // The password in use until now is the one that psql has to be told.
    postgres.execute_with_password(
        "changed-Behind-1",
        &format!("ALTER ROLE postgres PASSWORD '{PASSWORD}'"),
    );
    headwater.wait_running();
}

/// A running headwater with one table, for hostile clients.
fn target() -> (Postgres, Headwater) {
    let postgres = Postgres::start(Version::V15);
    postgres.execute("CREATE TABLE t (id int PRIMARY KEY); ");
    let mut headwater = Headwater::start(&Options::of_url(&postgres.url(), None));
    headwater.wait_until("its topic is there", |headwater| {
        let topics = Wire::connect(&headwater.bootstrap()).and_then(|mut wire| wire.topics());
        topics.is_ok_and(|topics| !topics.is_empty())
    });
    (postgres, headwater)
}

/// Another client is served within a second.
fn serves_others(headwater: &Headwater) {
    let started = clock::now();
    let topics = Wire::connect(&headwater.bootstrap()).and_then(|mut wire| wire.topics());
    assert_eq!(
        topics.unwrap_or_else(|error| unreachable!("{error}:\n{}", headwater.log())),
        ["shop.public.t"]
    );
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "served after {:?}",
        started.elapsed()
    );
}

/// The broker closes the connection, whatever it may have answered before.
fn is_closed(wire: &Wire, what: &str) {
    let mut stream = wire.stream();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout can be set");
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => unreachable!("{what}: not closed within 5 s: {error}"),
        }
    }
}

/// A frame with a request header (version 1) and this body.
fn frame(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_i16(api);
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(1);
    frame.put_slice(b"x");
    frame.put_slice(body);
    let mut whole = BytesMut::new();
    whole.put_u32(u32::try_from(frame.len()).expect("small"));
    whole.put_slice(&frame);
    whole.to_vec()
}

fn hostile_frames() -> Vec<(&'static str, Vec<u8>)> {
    let huge = i32::MAX.to_be_bytes();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0xaa; 64]].concat();
    // A fetch of one topic that announces two thousand million partitions.
    let fetch = [
        &[0xff; 4][..],
        &[0; 4],
        &[0; 4],
        &[0; 4],
        &[0],
        &[0, 0, 0, 1, 0, 1, b't'],
        &huge,
    ]
    .concat();
    vec![
        ("two gigabytes announced", [&huge[..], b"x"].concat()),
        ("a negative length", (-1_i32).to_be_bytes().to_vec()),
        ("an empty frame", 0_i32.to_be_bytes().to_vec()),
        ("a frame shorter than a header", vec![0, 0, 0, 3, 0, 18, 0]),
        ("TLS on the plaintext port", tls),
        (
            "HTTP on the Kafka port",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("an unknown API", frame(999, 0, &[])),
        ("an unsupported version", frame(3, 99, &[])),
        (
            "metadata of two thousand million topics",
            frame(3, 1, &huge),
        ),
        (
            "a negative array in metadata",
            frame(3, 1, &(-2_i32).to_be_bytes()),
        ),
        (
            "offsets of two thousand million topics",
            frame(2, 1, &[&[0xff; 4][..], &huge].concat()),
        ),
        (
            "a fetch of two thousand million partitions",
            frame(1, 4, &fetch),
        ),
    ]
}

#[test]
fn a_hostile_frame_closes_its_connection_and_nothing_else() {
    let (_postgres, mut headwater) = target();
    serves_others(&headwater);
    let before = headwater.resident_kib();
    for (what, bytes) in hostile_frames() {
        for _ in 0..20 {
            let mut wire = Wire::connect(&headwater.bootstrap()).expect("it listens");
            // It may hang up before it has read all.
            let _refused = wire.send_raw(&bytes);
            is_closed(&wire, what);
        }
        serves_others(&headwater);
    }
    let grown = headwater.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more after hostile frames");
    assert!(
        headwater.ended().is_none() && headwater.is_running(),
        "{}",
        headwater.log()
    );
    let log = headwater.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(
        log.len() < 64 * 1024,
        "logged once, not once a connection:\n{log}"
    );
}

#[test]
fn clients_that_stop_in_the_middle_hold_nobody_up() {
    let (_postgres, headwater) = target();
    serves_others(&headwater);
    let before = headwater.resident_kib();
    let half = frame(3, 1, &[0; 4]);
    let half = half.get(..9).expect("longer than that");
    let stalled: Vec<Wire> = (0..300)
        .map(|number: usize| {
            let mut wire = Wire::connect(&headwater.bootstrap()).expect("it listens");
            let announced = [&(60_i32 << 20).to_be_bytes()[..], &[0; 512]].concat();
            let part = if number.is_multiple_of(2) {
                half
            } else {
                &announced
            };
            wire.send_raw(part).expect("it listens");
            wire
        })
        .collect();
    serves_others(&headwater);
    let grown = headwater.resident_kib().saturating_sub(before);
    assert!(
        grown < 32 * 1024,
        "{grown} KiB for {} clients that stopped",
        stalled.len()
    );
}

#[test]
fn requests_with_flipped_bytes_never_end_the_process() {
    let seed = seed_from_environment();
    let (_postgres, mut headwater) = target();
    serves_others(&headwater);
    let before = headwater.resident_kib();
    let mut random = Random::new(seed, 1);
    let requests = [
        wire::encode(1, 3, &ApiVersionsRequest::default()),
        wire::encode(1, 12, &MetadataRequest::default()),
        wire::encode(1, 9, &ListOffsetsRequest::default()),
        wire::encode(1, 12, &FetchRequest::default()),
    ]
    .map(|request| request.expect("a default request has a form").to_vec());
    for _ in 0..3_000 {
        let mut bytes = random.pick(&requests).clone();
        for _ in 0..random.within(1..6) {
            // The length stays, so that the frame gets as far as it can.
            let at = random.within(4..u64::try_from(bytes.len()).expect("small"));
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
                *byte = u8::try_from(random.within(0..256)).expect("a byte");
            }
        }
        let mut wire = Wire::connect(&headwater.bootstrap()).expect("it listens");
        let _hung_up = wire.send_raw(&bytes);
    }
    thread::sleep(Duration::from_millis(200));
    serves_others(&headwater);
    let grown = headwater.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "seed {seed}: {grown} KiB more");
    assert!(
        headwater.ended().is_none(),
        "seed {seed}: {}",
        headwater.log()
    );
    assert!(
        !headwater.log().contains("panicked"),
        "seed {seed}: {}",
        headwater.log()
    );
}
