//! What is looked up when somebody reads the metrics: states of captures, sizes of logs, memory of the process.

use std::{fmt::Error, fs, sync::Arc};

use headwater_capture::postgres::{
    SourceStatus,
    assembler::Counters,
    wal::{WalHeld, WalLevel},
};
use headwater_storage::{Ends, LogStats};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    BUILD, CACHE_BYTES, CACHE_HITS, CACHE_MISSES, CAPTURE_BYTES, CAPTURE_CONFIRMED, CAPTURE_DELAY,
    CAPTURE_INCARNATION, CAPTURE_LAG_BYTES, CAPTURE_LARGE_RECORDS, CAPTURE_LARGEST_RECORD,
    CAPTURE_OMITTED_RECORDS, CAPTURE_OMITTED_VALUES, CAPTURE_ROWS, CAPTURE_SHOWN_AS_TEXT,
    CAPTURE_TABLES, CAPTURE_TRANSACTIONS, DISK_FREE, DISK_STATE, INSTANCE_STATE,
    KAFKA_FETCH_SESSIONS, KAFKA_PARKED, KAFKA_UNSENT_BYTES, LOG_BYTES, LOG_END_OFFSET, LOG_FILES,
    LOG_RING_BYTES, LOG_SEALED_BYTES, LOG_SEALED_FILES, LOG_START_OFFSET, Name, PROCESS_FILES,
    PROCESS_MEMORY, SOURCE_WAL_HELD, SOURCE_WAL_LEVEL, SOURCE_WAL_SAFE,
};
use crate::{
    context::Shared,
    instance::InstanceView,
    space::{SpaceState, watch::SpaceView},
    status::lag,
};

/// Topics whose ends are told; more would make every scrape a large one.
const TOPICS_MAX: usize = 1_000;

/// Every state there is, so that one that is over reads 0.
const STATES: [&str; 13] = [
    "starting",
    "waiting_for_slot",
    "running",
    "reconnecting",
    "needs_resync",
    "source_misconfigured",
    "source_refused",
    "row_unreadable",
    "record_too_large",
    "transaction_too_large",
    "disk_full",
    "paused",
    "stopped",
];

/// Looks at everything at each scrape.
#[derive(Debug)]
pub(crate) struct Pulled {
    shared: Arc<Shared>,
    instances: Vec<InstanceView>,
    space: SpaceView,
}

/// A figure of a log.
type Figure = fn(&LogStats) -> u64;

type Pairs<'a> = Vec<(&'a str, f64)>;

impl Pulled {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        instances: Vec<InstanceView>,
        space: SpaceView,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            instances,
            space,
        }
    }

    fn capture(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let now = self.shared.clock.wall_ms();
        let statuses: Vec<(&str, SourceStatus)> = self
            .instances
            .iter()
            .map(|instance| (instance.name.as_str(), instance.status_now()))
            .collect();
        self.large_records(encoder, &statuses)?;
        let each = |value: &dyn Fn(&SourceStatus) -> u64| -> Vec<(&str, u64)> {
            statuses
                .iter()
                .map(|(name, status)| (*name, value(status)))
                .collect()
        };
        counters(
            encoder,
            CAPTURE_ROWS,
            &each(&|status| status.counters.changes),
        )?;
        counters(
            encoder,
            CAPTURE_TRANSACTIONS,
            &each(&|status| status.counters.transactions),
        )?;
        counters(
            encoder,
            CAPTURE_BYTES,
            &each(&|status| status.counters.message_bytes),
        )?;
        gauges(
            encoder,
            CAPTURE_LAG_BYTES,
            &as_floats(&each(&|status| lag(status, now).bytes)),
        )?;
        gauges(
            encoder,
            CAPTURE_CONFIRMED,
            &as_floats(&each(&|status| status.confirmed_lsn)),
        )?;
        gauges(
            encoder,
            CAPTURE_TABLES,
            &as_floats(&each(&|status| status.tables.len() as u64)),
        )?;
        wal(encoder, &statuses)?;
        let delays: Pairs<'_> = statuses
            .iter()
            .map(|(name, status)| (*name, lag(status, now).seconds))
            .collect();
        gauges(encoder, CAPTURE_DELAY, &delays)?;
        let resyncs: Vec<_> = self
            .instances
            .iter()
            .map(|instance| (instance.name.as_str(), u64::from(instance.incarnation())))
            .collect();
        gauges(encoder, CAPTURE_INCARNATION, &as_floats(&resyncs))?;
        states(encoder, &statuses)
    }

    fn large_records(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        statuses: &[(&str, SourceStatus)],
    ) -> Result<(), Error> {
        type Of = fn(&Counters) -> u64;
        let figures: [(Name, Of); 4] = [
            (CAPTURE_LARGE_RECORDS, |counters| counters.large_records),
            (CAPTURE_OMITTED_RECORDS, |counters| counters.omitted_records),
            (CAPTURE_OMITTED_VALUES, |counters| counters.omitted_values),
            (CAPTURE_SHOWN_AS_TEXT, |counters| counters.shown_as_text),
        ];
        for (figure, of) in figures {
            let each = statuses
                .iter()
                .map(|(name, status)| (*name, of(&status.counters)));
            counters(encoder, figure, &each.collect::<Vec<_>>())?;
        }
        let largest = |status: &SourceStatus| status.counters.largest_record_bytes;
        let each = statuses
            .iter()
            .map(|(name, status)| (*name, largest(status)));
        gauges(
            encoder,
            CAPTURE_LARGEST_RECORD,
            &as_floats(&each.collect::<Vec<_>>()),
        )
    }

    fn log(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let stats: Vec<_> = self
            .instances
            .iter()
            .map(|instance| (instance.name.as_str(), instance.log.stats()))
            .collect();
        let figures: [(Name, Figure); 5] = [
            (LOG_BYTES, |stats| stats.bytes),
            (LOG_FILES, |stats| stats.files),
            (LOG_SEALED_FILES, |stats| stats.sealed_files),
            (LOG_SEALED_BYTES, |stats| stats.sealed_bytes),
            (LOG_RING_BYTES, |stats| stats.ring_bytes),
        ];
        for (figure, of) in figures {
            let each = stats.iter().map(|(name, stats)| (*name, of(stats)));
            gauges(encoder, figure, &as_floats(&each.collect::<Vec<_>>()))?;
        }
        self.ends(encoder, LOG_START_OFFSET, |ends| ends.start)?;
        self.ends(encoder, LOG_END_OFFSET, |ends| ends.end)?;
        self.cache(encoder)
    }

    fn cache(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let stats = self.shared.directory.cache().stats();
        for (name, value) in [(CACHE_HITS, stats.hits), (CACHE_MISSES, stats.misses)] {
            let metric = describe(encoder, name, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        gauge(encoder, CACHE_BYTES, stats.bytes)
    }

    fn ends(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: Name,
        which: fn(&Ends) -> i64,
    ) -> Result<(), Error> {
        let mut metric = describe(encoder, name, MetricType::Gauge)?;
        let catalog = self.shared.directory.catalog();
        for topic in catalog.topics().take(TOPICS_MAX) {
            let log = self.shared.logs.get(&topic.instance);
            if let Some(ends) = log.and_then(|log| log.ends(topic.number)) {
                let labels = [("topic", topic.name.as_str())];
                ConstGauge::new(which(&ends)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let space = self.space.now();
        gauge(encoder, DISK_FREE, space.free)?;
        let mut metric = describe(encoder, DISK_STATE, MetricType::Gauge)?;
        for state in [SpaceState::Ok, SpaceState::Low, SpaceState::Stopped] {
            let value = i64::from(space.state == state);
            let labels = [("state", state.name())];
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        gauge(encoder, KAFKA_PARKED, self.shared.waits.parked() as u64)?;
        let sessions = self.shared.fetch_sessions.count();
        gauge(encoder, KAFKA_FETCH_SESSIONS, sessions as u64)?;
        gauge(
            encoder,
            KAFKA_UNSENT_BYTES,
            self.shared.responses.held() as u64,
        )?;
        if let Some(bytes) = resident_bytes() {
            gauge(encoder, PROCESS_MEMORY, bytes)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            gauge(encoder, PROCESS_FILES, files.count() as u64)?;
        }
        let mut build = describe(encoder, BUILD, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

impl Collector for Pulled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.capture(&mut encoder)?;
        self.log(&mut encoder)?;
        self.process(&mut encoder)
    }
}

fn states(
    encoder: &mut DescriptorEncoder<'_>,
    statuses: &[(&str, SourceStatus)],
) -> Result<(), Error> {
    let mut metric = describe(encoder, INSTANCE_STATE, MetricType::Gauge)?;
    for (instance, status) in statuses {
        for state in STATES {
            let labels = [("instance", *instance), ("state", state)];
            let value = i64::from(status.state.name() == state);
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: Name,
    values: &[(&str, u64)],
) -> Result<(), Error> {
    let mut metric = describe(encoder, name, MetricType::Counter)?;
    for (instance, value) in values {
        let labels = [("instance", *instance)];
        ConstCounter::new(*value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// The log that the sources hold for us, as far as they say.
fn wal(
    encoder: &mut DescriptorEncoder<'_>,
    statuses: &[(&str, SourceStatus)],
) -> Result<(), Error> {
    let each = |value: &dyn Fn(&WalHeld) -> Option<u64>| -> Vec<(&str, u64)> {
        let known = statuses.iter().filter_map(|(name, status)| {
            let value = status.wal.as_ref().and_then(value)?;
            Some((*name, value))
        });
        known.collect()
    };
    let held = each(&|wal| Some(wal.held_bytes));
    gauges(encoder, SOURCE_WAL_HELD, &as_floats(&held))?;
    gauges(
        encoder,
        SOURCE_WAL_SAFE,
        &as_floats(&each(&|wal| wal.safe_bytes)),
    )?;
    let level = |wal: &WalHeld| match wal.level {
        WalLevel::Fine => 0,
        WalLevel::High => 1,
        WalLevel::Critical => 2,
    };
    gauges(
        encoder,
        SOURCE_WAL_LEVEL,
        &as_floats(&each(&|wal| Some(level(wal)))),
    )
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: Name,
    values: &[(&str, f64)],
) -> Result<(), Error> {
    let mut metric = describe(encoder, name, MetricType::Gauge)?;
    for (instance, value) in values {
        let labels = [("instance", *instance)];
        ConstGauge::new(*value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: Name, value: u64) -> Result<(), Error> {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    ConstGauge::new(value).encode(describe(encoder, name, MetricType::Gauge)?)
}

pub(super) fn describe<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: Name,
    kind: MetricType,
) -> Result<MetricEncoder<'a>, Error> {
    encoder.encode_descriptor(name.name, name.help, None, kind)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge's 53 bits are enough for bytes and LSNs"
)]
fn as_floats<'a>(values: &[(&'a str, u64)]) -> Pairs<'a> {
    values
        .iter()
        .map(|(name, value)| (*name, *value as f64))
        .collect()
}

/// From `/proc/self/status`, which counts in KiB.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
