//! A running broker with one instance `shop` that the test fills.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use headwater::{
    Broker, RunningBroker, StartError,
    config::{
        BrokerConfig, ConnectionConfig, FeedConfig, GroupConfig, InstanceConfig, ListenerConfig,
        RetentionLimits, SaslConfig, SourceConfig, StorageConfig,
    },
    instance::channel::{ChannelFeeder, channel, running_status},
    telemetry,
};
use headwater_capture::{
    Captured, Commit, Preset, ReplicaIdentity, Table, TableBatch, TableKey, TransactionGroup,
};
use headwater_protocol::{
    batch::{BatchBuilder, Compression},
    sasl::Mechanism,
};
use headwater_storage::catalog::group_rules::GROUPS_PER_INSTANCE;
use tempfile::TempDir;

use crate::wire::Client;

/// Topics of the two tables that every harness has.
pub(crate) const ORDERS: &str = "shop.public.orders";
pub(crate) const LINES: &str = "shop.public.lines";

pub(crate) const ORDERS_KEY: TableKey = TableKey(0);
pub(crate) const LINES_KEY: TableKey = TableKey(1);

/// Time in ms and value of each record of a batch.
pub(crate) type Records = Vec<(i64, Vec<u8>)>;

pub(crate) struct Harness {
    pub(crate) broker: RunningBroker,
    pub(crate) feeder: ChannelFeeder,
    pub(crate) data: TempDir,
    position: u8,
}

/// Settings that tests change.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) connections: ConnectionConfig,
    pub(crate) ring_bytes: Option<usize>,
    pub(crate) http: bool,
    pub(crate) compression: Compression,
    /// The feed `dts` beside the feed `tables`.
    pub(crate) dts: bool,
    /// Its topic, if not `shop`.
    pub(crate) dts_prefix: Option<String>,
    pub(crate) storage: Option<StorageConfig>,
    pub(crate) retention: Option<RetentionLimits>,
    /// A second listener, where clients log in.
    pub(crate) sasl: bool,
    /// Groups that the configuration names.
    pub(crate) groups: Vec<GroupConfig>,
}

impl Harness {
    /// With both tables registered and nothing in them.
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        Self::on(tempfile::tempdir().unwrap(), settings).await
    }

    /// On a data directory that may have been used before.
    pub(crate) async fn on(data: TempDir, settings: Settings) -> Self {
        let (feeder, broker) = start_on(data.path().to_owned(), settings).await.unwrap();
        let harness = Self {
            broker,
            feeder,
            data,
            position: 0,
        };
        let tables = vec![table(ORDERS_KEY, "orders"), table(LINES_KEY, "lines")];
        harness
            .feeder
            .captured
            .send(Captured::Tables(tables))
            .await
            .unwrap();
        let mut client = harness.client().await;
        client.until_topic(ORDERS).await;
        harness
    }

    /// Stops the broker and starts another on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self { broker, data, .. } = self;
        broker.stop().await.unwrap();
        let (feeder, broker) = start_on(data.path().to_owned(), Settings::default())
            .await
            .unwrap();
        let harness = Self {
            broker,
            feeder,
            data,
            position: 100,
        };
        harness.client().await.until_topic(ORDERS).await;
        harness
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.kafka_addresses()[0]
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Commits one batch per entry, all in one group, and returns when that is confirmed to the source.
    pub(crate) async fn commit(&mut self, batches: &[(TableKey, Records)]) {
        let batches = batches.iter();
        self.commit_batches(
            batches
                .map(|(table, records)| batch(*table, records))
                .collect(),
        )
        .await;
    }

    /// Records of the stream of the feed `dts`, as [`Harness::commit`].
    pub(crate) async fn commit_stream(&mut self, records: &Records) {
        let stream = TableBatch {
            feed: 1,
            table: None,
            ..batch(ORDERS_KEY, records)
        };
        self.commit_batches(vec![stream]).await;
    }

    async fn commit_batches(&mut self, batches: Vec<TableBatch>) {
        self.commit_group(batches, 1_700_000_000_000).await;
    }

    async fn commit_group(&mut self, batches: Vec<TableBatch>, commit_time_ms: i64) {
        self.position += 1;
        let position = vec![self.position];
        let group = TransactionGroup {
            batches,
            commit: Some(Commit {
                position: position.clone(),
                commit_time_ms: Some(commit_time_ms),
                transactions: 1,
                changes: 1,
            }),
            open: None,
        };
        self.feeder
            .captured
            .send(Captured::Group(group))
            .await
            .unwrap();
        let confirmed = self
            .feeder
            .confirmed
            .wait_for(|confirmed| *confirmed == position);
        drop(
            tokio::time::timeout(Duration::from_secs(10), confirmed)
                .await
                .unwrap()
                .unwrap(),
        );
    }

    /// One transaction of this commit time with so many records of one table.
    pub(crate) async fn commit_at(&mut self, time_ms: i64, table: TableKey, records: usize) {
        let records = vec![(time_ms, b"x".to_vec()); records];
        self.commit_group(vec![batch(table, &records)], time_ms)
            .await;
    }

    /// One record of `size` bytes with the given time.
    pub(crate) async fn commit_one(&mut self, table: TableKey, time_ms: i64, size: usize) {
        self.commit(&[(table, vec![(time_ms, vec![b'x'; size])])])
            .await;
    }
}

pub(crate) async fn start_on(
    data_dir: PathBuf,
    settings: Settings,
) -> Result<(ChannelFeeder, RunningBroker), StartError> {
    if std::env::var_os("HEADWATER_LOG").is_some() {
        telemetry::init(&telemetry::LogConfig::default(), std::io::stderr);
    }
    let (feeder, source) = channel(4, running_status());
    let mut storage = settings.storage.unwrap_or_default();
    storage.ring_bytes = settings.ring_bytes.unwrap_or(storage.ring_bytes);
    let mut feeds = vec![FeedConfig {
        compression: settings.compression,
        ..FeedConfig::tables("shop", Preset::Flink)
    }];
    if settings.dts {
        let mut dts = FeedConfig::dts("shop");
        dts.prefix = settings.dts_prefix.unwrap_or(dts.prefix);
        feeds.push(dts);
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listeners = vec![ListenerConfig::plaintext(loopback)];
    if settings.sasl {
        let sasl = SaslConfig {
            mechanisms: Mechanism::ALL.to_vec(),
            allow_plain_without_tls: false,
        };
        listeners.push(ListenerConfig {
            sasl: Some(sasl),
            ..ListenerConfig::plaintext(loopback)
        });
    }
    let config = BrokerConfig {
        data_dir,
        listeners,
        connections: settings.connections,
        operator: None,
        http_listen: settings.http.then_some(loopback),
        storage,
        instances: vec![InstanceConfig {
            name: "shop".to_owned(),
            source: SourceConfig::Channel(source),
            feeds,
            retention: settings.retention.unwrap_or_default(),
            groups_max: GROUPS_PER_INSTANCE,
            groups: settings.groups,
        }],
    };
    Ok((feeder, Broker::start(config).await?))
}

pub(crate) fn table(key: TableKey, name: &str) -> Table {
    Table {
        key,
        relation: 16_384 + key.0,
        schema: "public".to_owned(),
        name: name.to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: Vec::new(),
        unique_keys: Vec::new(),
    }
}

/// One record of one table, and its commit.
pub(crate) fn group_of(table: TableKey) -> TransactionGroup {
    TransactionGroup {
        batches: vec![batch(table, &[(1_700_000_000_000, vec![b'x'; 100])])],
        commit: Some(Commit {
            position: vec![255],
            commit_time_ms: None,
            transactions: 1,
            changes: 1,
        }),
        open: None,
    }
}

pub(crate) fn batch(table: TableKey, records: &[(i64, Vec<u8>)]) -> TableBatch {
    let mut builder = BatchBuilder::new();
    for (time_ms, value) in records {
        builder
            .append(*time_ms, Some(b"key"), Some(value), &[])
            .unwrap();
    }
    TableBatch {
        feed: 0,
        table: Some(table),
        batch: builder.finish().unwrap(),
    }
}
