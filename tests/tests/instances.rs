//! An operator pauses, resumes and resyncs an instance: real PostgreSQL, real consumers, the broker in this process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{net::SocketAddr, thread, time::Duration};

use headwater::{
    Broker, RunningBroker,
    config::{
        BrokerConfig, ConnectionConfig, FeedConfig, InstanceConfig, ListenerConfig, PostgresConfig,
        RecordLimits, RetentionLimits, SourceConfig, StorageConfig,
    },
    instance::{InstanceView, OrderError},
};
use headwater_capture::{
    ColumnFilter, Preset, TableFilter,
    postgres::{SourceUrl, source::resync::ResyncFrom, url::Password},
};
use headwater_tests::{
    harness::{Client, Place, Postgres, Version, binary, clock, postgres::PASSWORD},
    wire::{Record, Wire},
};
use kafka_protocol::{
    messages::{
        OffsetForLeaderEpochRequest, TopicName,
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
    protocol::StrBytes,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "shop.public.rows";
const TABLE: &str = "CREATE TABLE rows (id int PRIMARY KEY)";

/// A database and a broker on it. The port of the broker stays the same over restarts.
struct Tracked {
    // Fields go in this order: the broker before what it runs on.
    broker: Option<RunningBroker>,
    runtime: Runtime,
    postgres: Postgres,
    address: SocketAddr,
    data: TempDir,
}

impl Tracked {
    fn start() -> Self {
        Self::start_on(Postgres::start(Version::V15))
    }

    fn start_on(postgres: Postgres) -> Self {
        postgres.execute(TABLE);
        let mut tracked = Self {
            runtime: Runtime::new().unwrap(),
            postgres,
            broker: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: tempfile::tempdir().unwrap(),
        };
        tracked.start_broker();
        tracked.until("running");
        tracked
    }

    fn start_broker(&mut self) {
        let url = SourceUrl::parse(&self.postgres.url()).unwrap();
        let url = url.with_password(Password::new(PASSWORD));
        let source = PostgresConfig {
            failover_slot: false,
            heartbeat_interval: None,
            wal_warn_bytes: 1 << 30,
            url,
            tables: TableFilter::default(),
            columns: ColumnFilter::default(),
            slot: None,
            publication: None,
            records: RecordLimits::default(),
            temporary: false,
            first_failure_ends: false,
        };
        let config = BrokerConfig {
            data_dir: self.data.path().to_owned(),
            listeners: vec![ListenerConfig::plaintext(self.address)],
            connections: ConnectionConfig::default(),
            operator: None,
            http_listen: None,
            storage: StorageConfig::default(),
            instances: vec![InstanceConfig {
                name: "shop".to_owned(),
                source: SourceConfig::Postgres(Box::new(source)),
                feeds: vec![FeedConfig::tables("shop", Preset::Flink)],
                retention: RetentionLimits::default(),
                groups_max: 20,
                groups: Vec::new(),
            }],
        };
        let broker = self.runtime.block_on(Broker::start(config)).unwrap();
        self.address = broker.kafka_addresses()[0];
        self.broker = Some(broker);
    }

    fn stop_broker(&mut self) {
        let broker = self.broker.take().unwrap();
        self.runtime.block_on(broker.stop()).unwrap();
    }

    fn instance(&self) -> InstanceView {
        let mut instances = self.broker.as_ref().unwrap().instances();
        instances.next().unwrap().clone()
    }

    fn pause(&self) -> Result<(), OrderError> {
        self.runtime.block_on(self.instance().pause("upgrade"))
    }

    fn resume(&self) -> Result<(), OrderError> {
        self.runtime.block_on(self.instance().resume())
    }

    fn until(&self, state: &str) {
        let is_so = || (self.instance().status_now().state.name() == state).then_some(());
        clock::poll(LIMIT, is_so)
            .unwrap_or_else(|| panic!("never {state}: {:?}", self.instance().status_now()));
    }

    fn wire(&self) -> Wire {
        Wire::connect(&self.address.to_string()).unwrap()
    }

    fn end(&self) -> i64 {
        let ends = self.wire().ends(&[TOPIC.to_owned()]).unwrap();
        ends[0].unwrap_or_default()
    }

    fn until_end(&self, end: i64) {
        clock::poll(LIMIT, || (self.end() >= end).then_some(()))
            .unwrap_or_else(|| panic!("ends at {}, not {end}", self.end()));
        assert_eq!(self.end(), end);
    }

    /// The ids in the order of the log.
    fn ids(&self) -> Vec<i64> {
        let records = self.wire().read_to_end(TOPIC, 0).unwrap();
        let id = |value: &[u8]| {
            let value: serde_json::Value = serde_json::from_slice(value).unwrap();
            value["after"]["id"].as_i64().unwrap()
        };
        records
            .iter()
            .map(|record| id(record.value.as_ref().unwrap()))
            .collect()
    }

    /// Epoch and end that are told for an epoch.
    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let answer = self.wire().call(4, &request).unwrap();
        let partition = &answer.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        (partition.leader_epoch, partition.end_offset)
    }
}

#[test]
fn a_pause_under_load_holds_over_a_restart_and_loses_nothing() {
    let mut tracked = Tracked::start();
    let mut session = tracked.postgres.session();
    let load = thread::spawn(move || {
        for id in 1..=400 {
            session.run(&format!("INSERT INTO rows VALUES ({id});"));
        }
    });
    clock::poll(LIMIT, || (tracked.end() > 20).then_some(())).expect("the load arrives");
    tracked.pause().unwrap();
    let at_pause = tracked.end();
    let status = tracked.instance().status_now();
    assert_eq!(status.state.name(), "paused");
    assert!(status.state.reason().unwrap().contains("upgrade"));
    assert!(
        tracked
            .pause()
            .unwrap_err()
            .to_string()
            .contains("paused already")
    );
    load.join().unwrap();
    let refused = tracked
        .runtime
        .block_on(tracked.instance().resync(ResyncFrom::Now, true));
    assert!(refused.unwrap_err().to_string().contains("resume it first"));
    let slot = "SELECT active FROM pg_replication_slots WHERE slot_name = 'headwater_shop'";
    assert_eq!(tracked.postgres.value(slot), "f", "kept, and not in use");

    tracked.stop_broker();
    tracked.start_broker();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(tracked.instance().status_now().state.name(), "paused");
    assert_eq!(tracked.end(), at_pause, "nothing is read while paused");
    let read = i64::try_from(tracked.ids().len()).unwrap();
    assert_eq!(read, at_pause, "consumers go on");

    tracked.resume().unwrap();
    tracked.until("running");
    tracked.until_end(400);
    assert_eq!(tracked.ids(), (1..=400).collect::<Vec<_>>());
    assert!(
        tracked
            .resume()
            .unwrap_err()
            .to_string()
            .contains("is not paused")
    );
}

#[test]
fn rows_whose_table_is_gone_when_they_are_read_have_the_key_that_the_log_knows() {
    let mut tracked = Tracked::start();
    tracked.postgres.execute(
        "CREATE TABLE gone (b int, a int, v text, PRIMARY KEY (a, b)); ALTER TABLE gone REPLICA IDENTITY FULL; \
         CREATE TABLE renamed (id int PRIMARY KEY, v text); ALTER TABLE renamed REPLICA IDENTITY FULL;",
    );
    let is_shown = |table: &str| {
        let tables = tracked.instance().status_now().tables;
        tables
            .iter()
            .any(|shown| shown.name == table && shown.keyed)
    };
    let both = || (is_shown("gone") && is_shown("renamed")).then_some(());
    clock::poll(LIMIT, both).expect("both tables are published");
    tracked.postgres.execute(
        "INSERT INTO gone VALUES (1, 2, 'x'); INSERT INTO renamed VALUES (1, 'x'); INSERT INTO rows VALUES (1)",
    );
    tracked.until_end(1);
    tracked.stop_broker();
    tracked.postgres.execute(
        "UPDATE gone SET v = 'y'; DROP TABLE gone; \
         UPDATE renamed SET v = 'y'; ALTER TABLE renamed RENAME id TO number; INSERT INTO rows VALUES (2)",
    );
    tracked.start_broker();
    tracked.until_end(2);
    let keys = |topic: &str| -> Vec<String> {
        let records = tracked.wire().read_to_end(topic, 0).unwrap();
        let key = |record: &Record| String::from_utf8(record.key.clone()?.to_vec()).ok();
        records.iter().map(|record| key(record).unwrap()).collect()
    };
    assert_eq!(keys("shop.public.gone"), [r#"{"a":2,"b":1}"#; 2]);
    assert_eq!(keys("shop.public.renamed"), [r#"{"id":1}"#; 2]);
}

#[test]
fn a_lost_slot_is_resynced_and_consumers_read_on_across_the_gap() {
    let mut tracked = Tracked::start();
    tracked.postgres.execute("INSERT INTO rows VALUES (1), (2)");
    tracked.until_end(2);
    let running = tracked
        .runtime
        .block_on(tracked.instance().resync(ResyncFrom::Now, false));
    let line = running.unwrap_err().to_string();
    assert!(
        line.contains("running") && line.contains("--force"),
        "{line}"
    );

    tracked.stop_broker();
    tracked
        .postgres
        .execute("SELECT pg_drop_replication_slot('headwater_shop')");
    tracked.postgres.execute("INSERT INTO rows VALUES (3)");
    tracked.start_broker();
    tracked.until("needs_resync");
    let earliest = tracked
        .runtime
        .block_on(tracked.instance().resync(ResyncFrom::Earliest, false));
    let line = earliest.unwrap_err().to_string();
    assert!(
        line.contains("headwater_shop") && line.contains("--from now"),
        "{line}"
    );
    tracked.until("needs_resync");

    let bootstrap = tracked.address.to_string();
    let java = Client::Java.read(&bootstrap, TOPIC, Place::Start, 4);
    let kcat = Client::Kcat.read(&bootstrap, TOPIC, Place::Start, 4);
    thread::sleep(Duration::from_secs(3));
    let gap = tracked
        .runtime
        .block_on(tracked.instance().resync(ResyncFrom::Now, false))
        .unwrap();
    assert_eq!(gap.incarnation, 1);
    assert!(gap.reason.contains("is missing"), "{}", gap.reason);
    tracked.until("running");
    tracked.postgres.execute("INSERT INTO rows VALUES (4), (5)");
    tracked.until_end(4);
    assert_eq!(tracked.ids(), [1, 2, 4, 5], "3 is the gap");
    for client in [java, kcat] {
        let offsets: Vec<i64> = client
            .records()
            .iter()
            .map(|record| record.offset)
            .collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
    }
    assert_eq!(tracked.epoch_end(0), (0, 2), "where the old epoch ended");
    assert_eq!(tracked.epoch_end(1), (1, 4));

    tracked.stop_broker();
    tracked.start_broker();
    tracked.until("running");
    tracked.postgres.execute("INSERT INTO rows VALUES (6)");
    tracked.until_end(5);
    assert_eq!(tracked.epoch_end(1), (1, 5));
    assert_eq!(tracked.instance().gaps(), [gap], "is remembered");
}

const REASON: &str = "SELECT coalesce(invalidation_reason, '') FROM pg_replication_slots WHERE slot_name = 'headwater_shop'";

/// What makes a slot be lost by the server or by somebody, and what is then told.
const LOSSES: [(&str, &str); 3] = [
    ("SELECT pg_switch_wal(); CHECKPOINT", "wal_removed"),
    (
        "ALTER SYSTEM SET idle_replication_slot_timeout = '1s'",
        "idle_timeout",
    ),
    (
        "DO $$ BEGIN LOOP
             PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;
             PERFORM pg_sleep(0.01);
             BEGIN PERFORM pg_drop_replication_slot('headwater_shop'); RETURN;
             EXCEPTION WHEN object_in_use THEN NULL; END;
         END LOOP; END $$",
        "is missing",
    ),
];

impl Tracked {
    /// Loses the slot by one of [`LOSSES`].
    fn lose_slot(&self, how: &str, told: &str) {
        let postgres = &self.postgres;
        if told == "is missing" {
            // Somebody drops it while it is in use.
            return postgres.execute(how);
        }
        self.pause().unwrap();
        let lost = || {
            for statement in how.split("; ") {
                postgres.execute(statement);
            }
            postgres.execute("SELECT pg_reload_conf()");
            postgres.execute("INSERT INTO rows VALUES ((SELECT max(id) + 100 FROM rows))");
            postgres.execute("CHECKPOINT");
            (postgres.value(REASON) == told).then_some(())
        };
        clock::poll(LIMIT, lost).unwrap_or_else(|| panic!("never {told}"));
        postgres.execute("ALTER SYSTEM RESET ALL");
        postgres.execute("SELECT pg_reload_conf()");
        self.resume().unwrap();
    }
}

#[test]
fn a_slot_lost_for_any_reason_is_told_with_it_and_resynced_each_time() {
    let settings = ["max_slot_wal_keep_size=16MB", "min_wal_size=32MB"];
    let tracked = Tracked::start_on(Postgres::start_with(Version::V18, &settings));
    tracked.postgres.execute("INSERT INTO rows VALUES (0)");
    tracked.until_end(1);
    let mut seen = vec![0];
    for (number, (how, told)) in (1..).zip(LOSSES) {
        tracked.lose_slot(how, told);
        tracked.until("needs_resync");
        let status = tracked.instance().status_now();
        let reason = status.state.reason().unwrap();
        assert!(reason.contains(told), "{reason}");
        let fix = status.state.fix().unwrap();
        assert!(fix.contains("instance resync shop"), "{fix}");
        assert_eq!(tracked.ids(), seen, "consumers read what is there");

        let instance = tracked.instance();
        let resync = instance.resync(ResyncFrom::Now, false);
        let gap = tracked.runtime.block_on(resync).unwrap();
        assert_eq!(gap.incarnation, number);
        assert!(gap.reason.contains(told), "{}", gap.reason);
        tracked.until("running");
        let id = i64::from(number);
        tracked
            .postgres
            .execute(&format!("INSERT INTO rows VALUES ({id})"));
        seen.push(id);
        tracked.until_end(id + 1);
        assert_eq!(tracked.ids(), seen);
        assert_eq!(
            tracked.epoch_end(i32::try_from(id).unwrap()),
            (i32::try_from(id).unwrap(), id + 1)
        );
    }
    assert_eq!(tracked.instance().gaps().len(), 3);
}

/// Runs `headwater instance ...` and gives its exit code and both outputs.
fn command(tracked: &Tracked, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(binary::headwater());
    command.arg("instance").args(arguments);
    let ran = command
        .arg("--data")
        .arg(tracked.data.path())
        .output()
        .unwrap();
    let text = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_command_line_lists_shows_pauses_resumes_and_resyncs() {
    let tracked = Tracked::start();
    tracked.postgres.execute("INSERT INTO rows VALUES (1)");
    tracked.until_end(1);
    let says = |arguments: &[&str], code: i32, wanted: &[&str]| {
        let (exit, text) = command(&tracked, arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {text}");
        for word in wanted {
            assert!(text.contains(word), "{arguments:?}: no {word}: {text}");
        }
        text
    };
    says(&["list"], 0, &["shop", "running", "Normal", "0 of 20"]);
    says(
        &["show", "shop"],
        0,
        &["headwater_shop", "public.rows", "shop.public.rows"],
    );
    let text = says(&["show", "shop", "--format", "json"], 0, &[]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let topic = &json["topics"][0];
    assert_eq!(
        (topic["start"].as_i64(), topic["end"].as_i64()),
        (Some(0), Some(1))
    );
    assert!(topic["oldest_ms"].is_i64() && topic["oldest_ms"] == topic["newest_ms"]);
    says(&["show", "mall"], 1, &["no instance", "mall"]);
    says(
        &["pause", "shop", "--reason", "upgrade"],
        0,
        &["paused (Not started)", "upgrade", "instance resume shop"],
    );
    says(&["pause", "shop"], 1, &["paused already"]);
    says(&["resume", "shop"], 0, &["shop"]);
    tracked.until("running");
    says(
        &["resync", "shop", "--from", "now"],
        1,
        &["running", "--force"],
    );
    says(
        &["resync", "shop", "--from", "latest"],
        2,
        &["latest", "earliest", "LSN"],
    );
    says(
        &["resync", "shop", "--from", "now", "--force"],
        0,
        &["forced by an operator", "MISSING FROM"],
    );
    says(&["list"], 0, &["shop"]);
}

#[test]
fn a_forced_resync_skips_what_waits_and_one_to_a_position_reads_from_there() {
    let tracked = Tracked::start();
    tracked.postgres.execute("INSERT INTO rows VALUES (1)");
    tracked.until_end(1);
    let resync = |from, force| {
        tracked
            .runtime
            .block_on(tracked.instance().resync(from, force))
    };
    let before = ResyncFrom::Position("0/1".parse().unwrap());
    let line = resync(before, true).unwrap_err().to_string();
    assert!(line.contains("is gone"), "{line}");
    tracked.until("running");
    let lsn = tracked.postgres.value("SELECT pg_current_wal_lsn()");
    let gap = resync(ResyncFrom::Position(lsn.parse().unwrap()), true).unwrap();
    assert!(gap.reason.contains("forced"), "{}", gap.reason);
    tracked.postgres.execute("INSERT INTO rows VALUES (2)");
    tracked.until_end(2);
    let gap = resync(ResyncFrom::Now, true).unwrap();
    assert_eq!(gap.incarnation, 2);
    tracked.postgres.execute("INSERT INTO rows VALUES (3)");
    tracked.until_end(3);
    assert_eq!(tracked.ids(), [1, 2, 3]);
    assert_eq!(tracked.epoch_end(1), (1, 2));
}
