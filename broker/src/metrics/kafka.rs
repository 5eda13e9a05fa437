//! What Kafka connections count.

use std::{
    collections::HashMap,
    sync::Arc,
    sync::atomic::{AtomicI64, AtomicU64},
};

use headwater_protocol::api::{Api, SERVED};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{KAFKA_CONNECTIONS, KAFKA_FETCHED_BYTES, KAFKA_REFUSED, KAFKA_REQUESTS};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

/// Live counters of all connections.
#[derive(Debug)]
pub(crate) struct KafkaMetrics {
    connections: Gauge<i64, AtomicI64>,
    /// One counter per served API, looked up once.
    requests: HashMap<Api, Counter<u64, AtomicU64>>,
    fetched_bytes: Counter<u64, AtomicU64>,
    refused: Counter<u64, AtomicU64>,
}

/// Counts one connection while it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge<i64, AtomicI64>);

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
            requests: SERVED.iter().map(|row| of(row.api)).collect(),
            fetched_bytes: Counter::default(),
            refused: Counter::default(),
        };
        registry.register(KAFKA_REQUESTS.name, KAFKA_REQUESTS.help, requests);
        for (name, counter) in [
            (KAFKA_FETCHED_BYTES, &metrics.fetched_bytes),
            (KAFKA_REFUSED, &metrics.refused),
        ] {
            registry.register(name.name, name.help, counter.clone());
        }
        let connections = metrics.connections.clone();
        registry.register(KAFKA_CONNECTIONS.name, KAFKA_CONNECTIONS.help, connections);
        Arc::new(metrics)
    }

    /// Counts a connection until the value is dropped, by a panic too.
    pub(crate) fn connected(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
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

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
