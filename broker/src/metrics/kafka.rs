//! What Kafka connections count.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicI64, AtomicU64},
};

use headwater_protocol::api::{Api, SERVED};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    KAFKA_CONNECTIONS, KAFKA_FETCHED_BYTES, KAFKA_LOGINS, KAFKA_LOGINS_FAILED, KAFKA_REFUSED,
    KAFKA_REQUESTS,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    /// Address.
    listener: String,
    /// Kafka's `security.protocol`.
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabel {
    reason: &'static str,
}

/// Live counters of all connections.
#[derive(Debug)]
pub(crate) struct KafkaMetrics {
    /// Over all listeners.
    connections: Gauge<i64, AtomicI64>,
    of_listeners: Family<ListenerLabel, Gauge>,
    logins: Counter<u64, AtomicU64>,
    logins_failed: Family<LoginLabel, Counter>,
    /// One counter per served API, looked up once.
    requests: HashMap<Api, Counter<u64, AtomicU64>>,
    fetched_bytes: Counter<u64, AtomicU64>,
    refused: Counter<u64, AtomicU64>,
}

/// Counts the connections of one listener, and of all.
#[derive(Debug, Clone)]
pub(crate) struct ListenerConnections([Gauge<i64, AtomicI64>; 2]);

/// Counts one connection while it lives.
#[derive(Debug)]
pub(crate) struct Counted(ListenerConnections);

impl KafkaMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &mut Registry) -> Arc<Self> {
        let requests: Family<ApiLabel, Counter> = Family::default();
        let of = |api: Api| {
            (
                api,
                requests
                    .get_or_create(&ApiLabel { api: api.name() })
                    .clone(),
            )
        };
        let metrics = Self {
            connections: Gauge::default(),
            of_listeners: Family::default(),
            logins: Counter::default(),
            logins_failed: Family::default(),
            requests: SERVED.iter().map(|row| of(row.api)).collect(),
            fetched_bytes: Counter::default(),
            refused: Counter::default(),
        };
        registry.register(KAFKA_REQUESTS.name, KAFKA_REQUESTS.help, requests);
        for (name, counter) in [
            (KAFKA_FETCHED_BYTES, &metrics.fetched_bytes),
            (KAFKA_REFUSED, &metrics.refused),
            (KAFKA_LOGINS, &metrics.logins),
        ] {
            registry.register(name.name, name.help, counter.clone());
        }
        let failed = metrics.logins_failed.clone();
        registry.register(KAFKA_LOGINS_FAILED.name, KAFKA_LOGINS_FAILED.help, failed);
        let connections = metrics.of_listeners.clone();
        registry.register(KAFKA_CONNECTIONS.name, KAFKA_CONNECTIONS.help, connections);
        Arc::new(metrics)
    }

    /// The counter of the listener at `address`, whose clients must be set to `protocol`.
    pub(crate) fn listener(
        &self,
        address: SocketAddr,
        protocol: &'static str,
    ) -> ListenerConnections {
        let label = ListenerLabel {
            listener: address.to_string(),
            protocol,
        };
        let of_listener = self.of_listeners.get_or_create(&label).clone();
        ListenerConnections([of_listener, self.connections.clone()])
    }

    /// Somebody was let in.
    pub(crate) fn login(&self) {
        self.logins.inc();
    }

    /// Somebody was not. `reason` is one of few.
    pub(crate) fn login_failed(&self, reason: &'static str) {
        self.logins_failed
            .get_or_create(&LoginLabel { reason })
            .inc();
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> i64 {
        self.connections.get()
    }

    pub(crate) fn request(&self, api: Api) {
        if let Some(counter) = self.requests.get(&api) {
            counter.inc();
        }
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.fetched_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }
}

impl ListenerConnections {
    /// Counts a connection until the value is dropped, by a panic too.
    pub(crate) fn connected(&self) -> Counted {
        for gauge in &self.0 {
            gauge.inc();
        }
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for gauge in &self.0.0 {
            gauge.dec();
        }
    }
}
