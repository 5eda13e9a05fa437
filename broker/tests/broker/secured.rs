//! A running broker with two instances, `shop` and `depot`, a consumer group in each, and listeners of all kinds; and
//! a client that logs in by PLAIN. (SCRAM is tested with real clients, in the package `headwater-tests`.)

use std::net::SocketAddr;

use bytes::Bytes;
use headwater::{
    Broker, RunningBroker,
    config::{
        BrokerConfig, ConnectionConfig, FeedConfig, InstanceConfig, ListenerConfig, OperatorConfig,
        SaslConfig, SourceConfig, StorageConfig, TlsFiles,
    },
    instance::channel::{ChannelFeeder, channel, running_status},
    telemetry,
};
use headwater_capture::Captured;
use headwater_protocol::sasl::Mechanism;
use headwater_storage::{
    Group, GroupMode, GroupNumber, InstanceNumber, RetentionLimits,
    catalog::group_rules::GROUPS_PER_INSTANCE,
};
use kafka_protocol::{
    messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::StrBytes,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    harness::{ORDERS_KEY, table},
    wire::Client,
};

/// The group of `shop`: its user name and password.
pub(crate) const ORDERS_USER: &str = "team-orders";
pub(crate) const ORDERS_PASSWORD: &str = "Orders-2024";

/// The group of `depot`.
pub(crate) const STOCK_USER: &str = "team-stock";
pub(crate) const STOCK_PASSWORD: &str = "Stock-2024";

pub(crate) const OPERATOR: &str = "root";
pub(crate) const OPERATOR_PASSWORD: &str = "Operator-2024";

pub(crate) const SHOP_TOPIC: &str = "shop.public.orders";
pub(crate) const DEPOT_TOPIC: &str = "depot.public.orders";

pub(crate) struct Secured {
    pub(crate) broker: RunningBroker,
    pub(crate) feeders: Vec<ChannelFeeder>,
    /// Goes last.
    _data: TempDir,
}

/// What tests change.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) connections: ConnectionConfig,
    pub(crate) tls: Option<TlsFiles>,
}

pub(crate) fn group(number: u32, id: &str, instance: u32) -> Group {
    Group {
        number: GroupNumber(number),
        id: id.to_owned(),
        name: format!("The group {id}"),
        instance: InstanceNumber(instance),
        account: "team".to_owned(),
        verifiers: Vec::new(),
        mode: GroupMode::Exclusive,
        created_ms: 0,
        created_group: 0,
        deleted: false,
    }
}

impl Secured {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        if std::env::var_os("HEADWATER_LOG").is_some() {
            telemetry::init(&telemetry::LogConfig::default(), std::io::stderr);
        }
        let data = tempfile::tempdir().unwrap();
        let mut feeders = Vec::new();
        let mut instances = Vec::new();
        for name in ["shop", "depot"] {
            let (feeder, source) = channel(4, running_status());
            feeders.push(feeder);
            instances.push(InstanceConfig {
                name: name.to_owned(),
                source: SourceConfig::Channel(source),
                feeds: vec![FeedConfig::tables(name, headwater_capture::Preset::Flink)],
                retention: RetentionLimits::default(),
                groups_max: GROUPS_PER_INSTANCE,
                groups: Vec::new(),
            });
        }
        let broker = Broker::start(BrokerConfig {
            data_dir: data.path().to_owned(),
            listeners: listeners(settings.tls.as_ref()),
            connections: settings.connections,
            operator: Some(OperatorConfig {
                user: OPERATOR.to_owned(),
                password: OPERATOR_PASSWORD.to_owned(),
            }),
            http_listen: None,
            storage: StorageConfig::default(),
            instances,
        });
        let broker = broker.await.unwrap();
        for (number, id, password) in [(1, "orders", ORDERS_PASSWORD), (2, "stock", STOCK_PASSWORD)]
        {
            let group = group(number, id, number);
            broker
                .put_group(group, Some(password.to_owned()))
                .await
                .unwrap();
        }
        let secured = Self {
            broker,
            feeders,
            _data: data,
        };
        secured.register_tables().await;
        secured
    }

    async fn register_tables(&self) {
        for feeder in &self.feeders {
            let tables = Captured::Tables(vec![table(ORDERS_KEY, "orders")]);
            feeder.captured.send(tables).await.unwrap();
        }
        let mut client = self.anonymous().await;
        client.until_topic(SHOP_TOPIC).await;
        client.until_topic(DEPOT_TOPIC).await;
    }

    pub(crate) fn plaintext(&self) -> SocketAddr {
        self.broker.kafka_addresses()[0]
    }

    pub(crate) fn sasl(&self) -> SocketAddr {
        self.broker.kafka_addresses()[1]
    }

    /// The TLS listener without login, then the one with.
    pub(crate) fn tls(&self) -> [SocketAddr; 2] {
        let addresses = self.broker.kafka_addresses();
        [addresses[2], addresses[3]]
    }

    pub(crate) async fn anonymous(&self) -> Client {
        Client::connect(self.plaintext()).await
    }

    /// A client that has connected and not logged in.
    pub(crate) async fn stranger(&self) -> Client {
        Client::connect(self.sasl()).await
    }

    /// A client that has logged in.
    pub(crate) async fn user(&self, user: &str, password: &str) -> Client {
        let mut client = self.stranger().await;
        let answer = client.log_in(user, password).await;
        assert_eq!(answer.error_code, 0, "{user}: {:?}", answer.error_message);
        client
    }
}

fn listeners(tls: Option<&TlsFiles>) -> Vec<ListenerConfig> {
    let plaintext = ListenerConfig::plaintext(([127, 0, 0, 1], 0).into());
    let sasl = Some(SaslConfig {
        mechanisms: Mechanism::ALL.to_vec(),
        allow_plain_without_tls: false,
    });
    let with = |tls: Option<&TlsFiles>, sasl: Option<SaslConfig>| ListenerConfig {
        tls: tls.cloned(),
        sasl,
        ..plaintext.clone()
    };
    let mut listeners = vec![with(None, None), with(None, sasl.clone())];
    if tls.is_some() {
        listeners.extend([with(tls, None), with(tls, sasl)]);
    }
    listeners
}

/// The one token of PLAIN.
pub(crate) fn plain(user: &str, password: &str) -> Bytes {
    format!("\0{user}\0{password}").into()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn handshake(
        &mut self,
        mechanism: &'static str,
        version: i16,
    ) -> SaslHandshakeResponse {
        let mechanism = StrBytes::from_static_str(mechanism);
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        self.ask(&request, version).await
    }

    pub(crate) async fn token(&mut self, token: Bytes, version: i16) -> SaslAuthenticateResponse {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token);
        self.ask(&request, version).await
    }

    /// By PLAIN, as most clients do it.
    pub(crate) async fn log_in(&mut self, user: &str, password: &str) -> SaslAuthenticateResponse {
        let chosen = self.handshake("PLAIN", 1).await;
        assert_eq!(chosen.error_code, 0);
        self.token(plain(user, password), 2).await
    }
}
