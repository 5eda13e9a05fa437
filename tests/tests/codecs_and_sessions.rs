//! Stock clients read compressed topics, and the Java client reads hundreds of topics in one fetch session. The broker runs
//! in this process and is filled by the test, without a database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{net::SocketAddr, time::Duration};

use headwater::{
    Broker, RunningBroker,
    config::{
        BrokerConfig, ConnectionConfig, FeedConfig, InstanceConfig, ListenerConfig,
        RetentionLimits, SourceConfig, StorageConfig,
    },
    instance::channel::{ChannelFeeder, channel, running_status},
};
use headwater_capture::{
    Captured, Commit, Preset, ReplicaIdentity, Table, TableBatch, TableKey, TransactionGroup,
};
use headwater_protocol::batch::{BatchBuilder, Compression};
use headwater_storage::catalog::group_rules::GROUPS_PER_INSTANCE;
use headwater_tests::harness::{Client, Place, clock, http};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);
const NOW: i64 = 1_700_000_000_000;

/// A broker with one instance, a feed for each codec, and tables `t0`, `t1`, ...
struct Filled {
    runtime: Runtime,
    broker: RunningBroker,
    feeder: ChannelFeeder,
    groups: u32,
    _data: TempDir,
}

impl Filled {
    fn start(codecs: &[Compression], tables: u32) -> Self {
        let runtime = Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        let (feeder, source) = channel(4, running_status());
        let feed = |codec: &Compression| FeedConfig {
            name: codec.name().to_owned(),
            prefix: codec.name().to_owned(),
            compression: *codec,
            ..FeedConfig::tables("shop", Preset::Flink)
        };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = BrokerConfig {
            data_dir: data.path().to_owned(),
            listeners: vec![ListenerConfig::plaintext(loopback)],
            connections: ConnectionConfig::default(),
            operator: None,
            http_listen: Some(loopback),
            storage: StorageConfig::default(),
            instances: vec![InstanceConfig {
                name: "shop".to_owned(),
                source: SourceConfig::Channel(source),
                feeds: codecs.iter().map(feed).collect(),
                retention: RetentionLimits::default(),
                groups_max: GROUPS_PER_INSTANCE,
                groups: Vec::new(),
            }],
        };
        let broker = runtime.block_on(Broker::start(config)).unwrap();
        let filled = Self {
            runtime,
            broker,
            feeder,
            groups: 0,
            _data: data,
        };
        let tables = Captured::Tables((0..tables).map(table).collect());
        filled.send(tables);
        filled
    }

    fn send(&self, captured: Captured) {
        let sent = self.feeder.captured.send(captured);
        self.runtime.block_on(sent).unwrap();
    }

    /// One group with `rows` rows for each of these tables in each of these feeds.
    fn commit(&mut self, feeds: usize, tables: impl Iterator<Item = u32> + Clone, rows: u32) {
        self.groups += 1;
        let batch = |feed, table| TableBatch {
            feed,
            table: Some(TableKey(table)),
            batch: batch(rows),
        };
        let of_feed = |feed| tables.clone().map(move |table| batch(feed, table));
        let position = self.groups.to_be_bytes().to_vec();
        self.send(Captured::Group(TransactionGroup {
            batches: (0..feeds).flat_map(of_feed).collect(),
            commit: Some(Commit {
                position: position.clone(),
                commit_time_ms: Some(NOW),
                transactions: 1,
                changes: u64::from(rows),
            }),
            open: None,
        }));
        let confirmed = self.feeder.confirmed.wait_for(|done| *done == position);
        drop(self.runtime.block_on(confirmed).unwrap());
    }

    fn bootstrap(&self) -> String {
        self.broker.kafka_addresses()[0].to_string()
    }

    /// A metric without labels.
    fn metric(&self, name: &str) -> u64 {
        let address = self.broker.http_address().unwrap().to_string();
        let text = http::get(&address, "/metrics").unwrap().body;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let value = lines.find(|(found, _)| *found == name);
        let (_, value) = value.unwrap_or_else(|| panic!("no {name} in {text}"));
        value.parse().unwrap()
    }
}

fn table(key: u32) -> Table {
    Table {
        key: TableKey(key),
        relation: 16_384 + key,
        schema: "public".to_owned(),
        name: format!("t{key}"),
        replica_identity: ReplicaIdentity::Default,
        columns: Vec::new(),
        unique_keys: Vec::new(),
    }
}

fn batch(rows: u32) -> headwater_protocol::batch::RecordBatch {
    let mut builder = BatchBuilder::new();
    for row in 0..rows {
        let key = format!(r#"{{"id":{row}}}"#);
        let value = format!(r#"{{"before":null,"after":{{"id":{row},"name":"customer {row}"}}}}"#);
        let time = NOW + i64::from(row);
        builder
            .append(time, Some(key.as_bytes()), Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn stock_clients_read_every_codec_from_the_start_an_offset_inside_a_batch_and_a_time() {
    let mut filled = Filled::start(&Compression::ALL, 1);
    let feeds = Compression::ALL.len();
    filled.commit(feeds, 0..1, 2_000);
    // Larger than one block of LZ4 and snappy.
    filled.commit(feeds, 0..1, 3_000);
    let inside = (Place::Offset(1_500), 1_500);
    let later = (Place::Time(NOW + 2_500), 4_500);
    let runs = [
        (Client::Kcat, (Place::Start, 0)),
        (Client::Kcat, inside),
        (Client::Kcat, later),
        (Client::Python, (Place::Start, 0)),
        (Client::Java, inside),
    ];
    for codec in Compression::ALL {
        let topic = format!("{}.public.t0", codec.name());
        for (client, (place, first)) in runs {
            let count = usize::try_from(5_000 - first).unwrap();
            let reading = client.read(&filled.bootstrap(), &topic, place, count);
            let records = reading.records();
            let offsets = records.iter().map(|record| record.offset);
            assert!(offsets.eq(first..5_000), "{client:?} {codec:?} {place:?}");
            let last = records.last().unwrap();
            assert_eq!(last.timestamp, NOW + 2_999);
            let name = &last.value.as_ref().unwrap()["after"]["name"];
            assert_eq!(name, "customer 2999", "{client:?} {codec:?}");
        }
    }
}

#[test]
fn the_java_client_reads_300_topics_in_one_session_and_sees_a_change_of_any() {
    let mut filled = Filled::start(&[Compression::None], 300);
    filled.commit(1, 0..300, 10);
    let expected = 3_000 + 300;
    let mut reading = Client::read_many(&filled.bootstrap(), "none.", expected);
    reading.wait_for("{\"read\":3000}");
    assert_eq!(filled.metric("headwater_kafka_fetch_sessions"), 1);
    // A few topics at a time, so that answers are partial.
    for table in 0..300 {
        filled.commit(1, table..table + 1, 1);
    }
    let records = reading.records();
    assert_eq!(records.len(), expected);
    let gone = clock::poll(LIMIT, || {
        (filled.metric("headwater_kafka_fetch_sessions") == 0).then_some(())
    });
    assert!(gone.is_some(), "the session ends with its connection");
}
