//! Configuration files: each mistake is one line that names file, line and fix, and no secret is shown.

use std::{io::Write, net::SocketAddr, time::Duration};

use headwater::config::{Advertised, SourceConfig, file};
use headwater_capture::{FeedFormat, postgres::url::Password};
use headwater_storage::GroupMode;
use tempfile::NamedTempFile;

fn file_with(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

const WHOLE: &str = r#"
[server]
data_dir = "/tmp/does-not-matter"

[kafka]
connections_max = 100
idle_close = "5min"
progress_deadline = "10s"

[[kafka.listener]]
listen = "127.0.0.1:9092"

[[kafka.listener]]
listen = "0.0.0.0:19092"
advertised = "headwater.example.org:19092"
allow_unauthenticated = true

[http]
listen = "127.0.0.1:9080"

[log]
format = "json"
level = "debug"

[storage]
sync_min_interval = "2ms"
ring_bytes = "16MiB"

[[instance]]
name = "shop"
source = { url = "postgresql://cdc@db/shop", password = { env = "HEADWATER_TEST_UNSET" } }
tables = { include = ["public.*"], exclude = ["public.audit_*"] }

[[instance.feed]]
name = "tables"

[[instance.feed]]
name = "more"

[instance.retention]
age = "2d"
size = "1GiB"
"#;

#[test]
fn a_whole_file_is_understood() {
    let file = file_with(&WHOLE.replace(
        "password = { env = \"HEADWATER_TEST_UNSET\" }",
        "slot = \"mine\"",
    ));
    let loaded = file::load(file.path()).unwrap().broker;
    assert_eq!(loaded.listeners.len(), 2);
    assert_eq!(
        loaded.listeners[0].listen,
        SocketAddr::from(([127, 0, 0, 1], 9092))
    );
    let told = Advertised {
        host: "headwater.example.org".to_owned(),
        port: 19092,
    };
    assert_eq!(loaded.listeners[1].advertised, Some(told));
    assert_eq!(loaded.connections.connections_max, 100);
    assert_eq!(loaded.connections.idle_close, Duration::from_secs(300));
    assert_eq!(loaded.storage.sync_min_interval, Duration::from_millis(2));
    assert_eq!(loaded.storage.ring_bytes, 16 << 20);
    let prefixes: Vec<_> = loaded.instances[0]
        .feeds
        .iter()
        .map(|feed| feed.prefix.as_str())
        .collect();
    assert_eq!(prefixes, ["shop", "shop-more"]);
    let retention = loaded.instances[0].retention;
    assert_eq!(retention.age, Duration::from_secs(2 * 86_400));
    assert_eq!(retention.bytes, 1 << 30);
    let SourceConfig::Postgres(source) = &loaded.instances[0].source else {
        panic!("the source is a PostgreSQL database");
    };
    assert_eq!(source.slot.as_deref(), Some("mine"));
    assert!(source.tables.matches("public", "orders"));
    assert!(!source.tables.matches("public", "audit_1"));
    assert!(!source.temporary);
}

#[test]
fn a_password_file_is_read_again_for_each_login() {
    let mut password = NamedTempFile::new().unwrap();
    password.write_all(b"first\n").unwrap();
    let text = WHOLE.replace(
        "password = { env = \"HEADWATER_TEST_UNSET\" }",
        &format!("password = {{ file = {:?} }}", password.path()),
    );
    let loaded = file::load(file_with(&text).path()).unwrap().broker;
    let SourceConfig::Postgres(source) = &loaded.instances[0].source else {
        panic!("the source is a PostgreSQL database");
    };
    let present = || source.url.present_password();
    assert_eq!(present(), Ok(Some(Password::new("first"))));
    std::fs::write(password.path(), "second\n").unwrap();
    assert_eq!(present(), Ok(Some(Password::new("second"))));
    let path = password.path().display().to_string();
    drop(password);
    let told = source.url.present_password().unwrap_err();
    assert!(told.contains(&path), "{told}");
}

#[test]
fn a_stream_for_dts_has_the_instances_name_as_its_topic() {
    let with = |feed: &str| {
        let text = WHOLE.replace(
            "password = { env = \"HEADWATER_TEST_UNSET\" }",
            "slot = \"mine\"",
        );
        let file = file_with(&text.replace("name = \"more\"", feed));
        let mut loaded = file::load(file.path()).unwrap().broker;
        loaded.instances.remove(0).feeds.remove(1)
    };
    for (feed, name, topic) in [
        ("name = \"dts\"\nformat = \"dts-avro\"", "dts", "shop"),
        (
            "name = \"dts\"\nformat = \"dts-avro\"\nlayout = \"stream\"",
            "dts",
            "shop",
        ),
        (
            "name = \"dts\"\nformat = \"dts-avro\"\nprefix = \"cn_shop\"",
            "dts",
            "cn_shop",
        ),
        (
            "name = \"more\"\nformat = \"dts-avro\"",
            "more",
            "shop-more",
        ),
    ] {
        let loaded = with(feed);
        assert_eq!(
            (loaded.name.as_str(), loaded.prefix.as_str()),
            (name, topic)
        );
        assert_eq!(loaded.format, FeedFormat::DtsAvro { next_id: 0 });
    }
}

#[test]
fn a_check_needs_no_secrets_and_a_start_does() {
    let file = file_with(WHOLE);
    file::check(file.path()).unwrap();
    let line = file::load(file.path()).unwrap_err().to_string();
    assert!(line.contains("HEADWATER_TEST_UNSET"), "{line}");
}

#[test]
fn every_mistake_is_one_line_with_its_place_and_its_fix() {
    for (from, to, place, parts) in MISTAKES {
        assert!(WHOLE.contains(from), "{from}");
        let file = file_with(&WHOLE.replacen(from, to, 1));
        let line = file::check(file.path()).expect_err(to).to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        let expected = format!("{}:{place}: ", file.path().display());
        let whole = format!("{}: ", file.path().display());
        let starts = if *place == 0 {
            line.starts_with(&whole)
        } else {
            line.starts_with(&expected)
        };
        assert!(starts, "{line} is not at line {place}");
        for part in *parts {
            assert!(line.contains(part), "{line} does not say {part}");
        }
        assert!(!line.contains("hunter2"), "{line}");
    }
}

/// What is replaced, by what, at which line the error is (0: of the whole file), and what it says.
type Mistake = (&'static str, &'static str, usize, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    (
        "connections_max",
        "conections_max",
        6,
        &["conections_max", "did you mean `connections_max`"],
    ),
    ("[storage]", "[storag]", 25, &["did you mean `storage`"]),
    ("data_dir", "data-dir", 3, &["did you mean `data_dir`"]),
    (
        "level = \"debug\"",
        "level = \"loud\"",
        23,
        &["loud", "warn"],
    ),
    (
        "connections_max = 100",
        "connections_max = \"many\"",
        6,
        &["whole number"],
    ),
    ("connections_max = 100", "connections_max = -1", 6, &["-1"]),
    (
        "connections_max = 100",
        "connections_max = 0",
        6,
        &["nonzero whole number"],
    ),
    (
        "idle_close = \"5min\"",
        "idle_close = \"0s\"",
        0,
        &["kafka.idle_close", "0"],
    ),
    ("connections_max = 100", "connections_max 100", 6, &["="]),
    ("\"5min\"", "\"5 fortnights\"", 7, &["fortnights", "min"]),
    ("\"16MiB\"", "\"16MB\"", 27, &["16MB", "MiB"]),
    ("\"127.0.0.1:9092\"", "\"localhost\"", 11, &["IP:PORT"]),
    (
        "\"headwater.example.org:19092\"",
        "\"headwater.example.org\"",
        15,
        &["HOST:PORT"],
    ),
    (
        "allow_unauthenticated = true",
        "",
        0,
        &["0.0.0.0:19092", "allow_unauthenticated = true"],
    ),
    (
        "listen = \"127.0.0.1:9080\"",
        "listen = \"0.0.0.0:9080\"",
        0,
        &["http.listen", "headwater.sock"],
    ),
    (
        "name = \"shop\"",
        "name = \"shop.eu\"",
        30,
        &["shop.eu", "A-Z"],
    ),
    ("name = \"shop\"", "", 29, &["name"]),
    (
        "postgresql://cdc@db/shop",
        "mysql://cdc@db/shop",
        31,
        &["postgresql://"],
    ),
    (
        "postgresql://cdc@db/shop",
        "postgresql://cdc:hunter2@db/shop",
        31,
        &["password = {"],
    ),
    (
        "password = { env = \"HEADWATER_TEST_UNSET\" }",
        "password = \"hunter2\"",
        31,
        &["{ file ="],
    ),
    (
        "{ env = \"HEADWATER_TEST_UNSET\" }",
        "{ secret = \"hunter2\" }",
        31,
        &["{ file ="],
    ),
    (
        "password = {",
        "pasword = {",
        31,
        &["did you mean `password`"],
    ),
    ("\"public.*\"", "\"a.b.c.d\"", 32, &["a.b.c.d"]),
    ("name = \"more\"", "name = \"tables\"", 38, &["twice"]),
    (
        "name = \"more\"",
        "name = \"more\"\nprefix = \"shop\"",
        39,
        &["prefix", "twice"],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\npreset = \"spark\"",
        39,
        &["spark", "debezium", "flink"],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\nschemas = true",
        39,
        &["schemas", "preset = \"debezium\""],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\ntransaction_metadata = true",
        39,
        &["transaction_metadata", "preset = \"debezium\""],
    ),
    (
        "tables = {",
        "columns = { exclude = [\"users.password\"] }\ntables = {",
        32,
        &["users.password", "schema.table.column"],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\ncompression = \"brotli\"",
        39,
        &["brotli", "none, gzip, snappy, lz4 or zstd"],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\nformat = \"dts-csv\"",
        39,
        &["dts-csv", "dts-avro"],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\nformat = \"dts-avro\"\nlayout = \"per-table\"",
        40,
        &["layout = \"stream\""],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\nlayout = \"stream\"",
        39,
        &["layout = \"per-table\""],
    ),
    (
        "name = \"more\"",
        "name = \"more\"\nformat = \"dts-avro\"\npreset = \"flink\"",
        40,
        &["dts-avro has no presets"],
    ),
    ("\"2d\"", "\"0s\"", 41, &["retention age", "7d"]),
    ("\"1GiB\"", "\"1MiB\"", 42, &["retention size", "4 files"]),
    (
        "ring_bytes = \"16MiB\"",
        "file_bytes = \"4KiB\"",
        27,
        &["64KiB", "1GiB"],
    ),
];

#[test]
fn groups_are_read_and_their_mistakes_told_without_the_password() {
    let mut password = NamedTempFile::new().unwrap();
    password.write_all(b"Secret12\n").unwrap();
    let mut weak = NamedTempFile::new().unwrap();
    weak.write_all(b"zzz\n").unwrap();
    let (password, weak) = (password.path(), weak.path());
    let with = |groups_max: &str, groups: &str| {
        file_with(&format!(
            "[server]\ndata_dir = \"/tmp/does-not-matter\"\n[[instance]]\nname = \"shop\"\n{groups_max}\n\
             source = {{ url = \"postgresql://cdc@db/shop\" }}\n{groups}"
        ))
    };
    let group = |name: &str, more: &str, from: &std::path::Path| {
        format!(
            "[[instance.group]]\nname = \"{name}\"\naccount = \"team\"\n{more}\npassword = {{ file = {from:?} }}\n"
        )
    };
    let file = with(
        "groups_max = 3",
        &group("Order sync", "id = \"orders\"\nmode = \"reject\"", password),
    );
    let loaded = file::load(file.path()).unwrap();
    let [shop] = loaded.broker.instances.try_into().unwrap();
    assert_eq!((shop.groups_max, shop.groups.len()), (3, 1));
    assert_eq!(shop.groups[0].id, "orders");
    assert_eq!(shop.groups[0].mode, Some(GroupMode::Reject));
    assert!(!format!("{:?}", shop.groups).contains("Secret12"));
    let plain = with("", &group("Order sync", "", password));
    let [shop] = file::load(plain.path())
        .unwrap()
        .broker
        .instances
        .try_into()
        .unwrap();
    assert_eq!(
        (shop.groups_max, shop.groups[0].id.as_str()),
        (20, "Order_sync")
    );

    let twice = group("a", "", password) + &group("b", "id = \"a\"", password);
    for (groups_max, groups, part) in [
        ("groups_max = 1001", String::new(), "at most 1000"),
        (
            "",
            group("a", "acount = \"x\"", password),
            "did you mean `account`",
        ),
        ("", twice, "twice"),
        (
            "",
            group("a", "mode = \"shared\"", password),
            "expected `exclusive` or `reject`",
        ),
        ("", group("a", "", weak), "8 to 32"),
        (
            "",
            group("a", "", "/no/such/file".as_ref()),
            "/no/such/file",
        ),
    ] {
        let file = with(groups_max, &groups);
        let line = file::load(file.path()).unwrap_err().to_string();
        assert!(line.contains(part) && !line.contains("zzz"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let unreadable = with("", &group("a", "", "/no/such/file".as_ref()));
    assert_eq!(
        file::check(unreadable.path()),
        Ok(()),
        "secrets are not read by a check"
    );
}
