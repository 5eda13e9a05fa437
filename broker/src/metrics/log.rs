//! What the log threads count.

use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::{InstanceLabel, LOG_APPENDED_BYTES, LOG_COMMIT_SECONDS, LOG_GROUPS, LOG_RECORDS};

/// Live counters of all log threads.
#[derive(Debug)]
pub(crate) struct LogMetrics {
    groups: Family<InstanceLabel, Counter>,
    records: Family<InstanceLabel, Counter>,
    appended_bytes: Family<InstanceLabel, Counter>,
    commit_seconds: Family<InstanceLabel, Histogram, fn() -> Histogram>,
}

/// The counters of one log thread.
#[derive(Debug, Clone)]
pub(crate) struct InstanceLogMetrics {
    groups: Counter,
    records: Counter,
    appended_bytes: Counter,
    commit_seconds: Histogram,
}

impl LogMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            groups: Family::default(),
            records: Family::default(),
            appended_bytes: Family::default(),
            commit_seconds: Family::new_with_constructor(commit_seconds),
        };
        for (name, family) in [
            (LOG_GROUPS, &metrics.groups),
            (LOG_RECORDS, &metrics.records),
            (LOG_APPENDED_BYTES, &metrics.appended_bytes),
        ] {
            registry.register(name.name, name.help, family.clone());
        }
        let seconds = metrics.commit_seconds.clone();
        registry.register(LOG_COMMIT_SECONDS.name, LOG_COMMIT_SECONDS.help, seconds);
        metrics
    }

    /// Those of one instance.
    pub(crate) fn of(&self, instance: &str) -> InstanceLogMetrics {
        let label = InstanceLabel {
            instance: instance.to_owned(),
        };
        InstanceLogMetrics {
            groups: self.groups.get_or_create(&label).clone(),
            records: self.records.get_or_create(&label).clone(),
            appended_bytes: self.appended_bytes.get_or_create(&label).clone(),
            commit_seconds: self.commit_seconds.get_or_create(&label).clone(),
        }
    }
}

impl InstanceLogMetrics {
    pub(crate) fn appended(&self, bytes: usize) {
        self.appended_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn committed(&self, records: u64, took: Duration) {
        self.groups.inc();
        self.records.inc_by(records);
        self.commit_seconds.observe(took.as_secs_f64());
    }
}

/// 100 µs (a log device with a battery) to 13 s (a disk in trouble).
fn commit_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 18))
}
