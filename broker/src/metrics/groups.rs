//! What consumer groups count, and how they are when somebody reads the metrics.

use std::{
    fmt::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::ConstCounter,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::{
    GROUP_COMMIT_SECONDS, GROUP_COMMITS, GROUP_COMMITTED, GROUP_FENCED, GROUP_LAG,
    GROUP_LAG_SECONDS, GROUP_MEMBERS, GROUP_POSITIONS_LOST, GROUP_RESTORED, GROUP_TAKEOVERS,
    GROUPS, Name, pulled::describe,
};
use crate::group_service::{GroupFigure, GroupFigures, LOST_STATES};

/// A figure of a group that goes up and down.
type Level = fn(&GroupFigure) -> i64;

/// A figure of a group that only grows.
type Count = fn(&GroupFigure) -> u64;

/// Live figures of all groups together.
#[derive(Debug, Clone)]
pub(crate) struct GroupMetrics {
    commit_seconds: Histogram,
}

impl GroupMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            // 100 µs (a log device with a battery) to 13 s (a disk in trouble).
            commit_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 18)),
        };
        let seconds = metrics.commit_seconds.clone();
        registry.register(
            GROUP_COMMIT_SECONDS.name,
            GROUP_COMMIT_SECONDS.help,
            seconds,
        );
        metrics
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }
}

/// How the groups were when the metrics were last asked for: taken off the runtime, before the metrics are encoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupsNow(Arc<Mutex<Arc<GroupFigures>>>);

impl GroupsNow {
    pub(crate) fn set(&self, figures: GroupFigures) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(figures);
    }

    fn get(&self) -> Arc<GroupFigures> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Collector for GroupsNow {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let now = self.get();
        let mut metric = describe(&mut encoder, GROUPS, MetricType::Gauge)?;
        for (kind, count) in [("made", now.made), ("first_use", now.first_use)] {
            gauge(count).encode(metric.encode_family(&[("kind", kind)])?)?;
        }
        lags(&mut encoder, &now.groups)?;
        counters(&mut encoder, &now.groups)?;
        members(&mut encoder, &now.groups)?;
        positions(&mut encoder, &now.groups)
    }
}

fn lags(encoder: &mut DescriptorEncoder<'_>, groups: &[GroupFigure]) -> Result<(), Error> {
    let of: [(Name, Level); 3] = [
        (GROUP_LAG, |group| group.lag_records),
        (GROUP_LAG_SECONDS, |group| group.lag_seconds),
        (GROUP_RESTORED, |group| i64::from(group.restored)),
    ];
    for (name, value) in of {
        let mut metric = describe(encoder, name, MetricType::Gauge)?;
        for group in groups {
            let labels = labels(group);
            let metric = metric.encode_family(&labels)?;
            ConstGauge::new(value(group)).encode(metric)?;
        }
    }
    Ok(())
}

fn counters(encoder: &mut DescriptorEncoder<'_>, groups: &[GroupFigure]) -> Result<(), Error> {
    let of: [(Name, Count); 3] = [
        (GROUP_COMMITS, |group| group.commits),
        (GROUP_FENCED, |group| group.fenced),
        (GROUP_TAKEOVERS, |group| group.takeovers),
    ];
    for (name, value) in of {
        let mut metric = describe(encoder, name, MetricType::Counter)?;
        for group in groups {
            let labels = labels(group);
            let metric = metric.encode_family(&labels)?;
            ConstCounter::new(value(group)).encode(metric)?;
        }
    }
    Ok(())
}

fn members(encoder: &mut DescriptorEncoder<'_>, groups: &[GroupFigure]) -> Result<(), Error> {
    let mut metric = describe(encoder, GROUP_MEMBERS, MetricType::Gauge)?;
    for group in groups {
        for (role, count) in [("active", group.active), ("standby", group.standbys)] {
            let [instance, id] = labels(group);
            let labels = [instance, id, ("role", role)];
            gauge(count).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn positions(encoder: &mut DescriptorEncoder<'_>, groups: &[GroupFigure]) -> Result<(), Error> {
    let mut metric = describe(encoder, GROUP_POSITIONS_LOST, MetricType::Gauge)?;
    for group in groups {
        for ((_, state), count) in LOST_STATES.iter().zip(group.lost) {
            let [instance, id] = labels(group);
            let labels = [instance, id, ("state", state)];
            gauge(count).encode(metric.encode_family(&labels)?)?;
        }
    }
    let mut metric = describe(encoder, GROUP_COMMITTED, MetricType::Gauge)?;
    for group in groups {
        for (topic, offset) in &group.positions {
            let [instance, id] = labels(group);
            let labels = [instance, id, ("topic", topic.as_str())];
            ConstGauge::new(*offset).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn labels(group: &GroupFigure) -> [(&str, &str); 2] {
    [("instance", &group.instance), ("group", &group.id)]
}

fn gauge(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}
