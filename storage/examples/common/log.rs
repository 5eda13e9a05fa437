//! What the examples share: a log that is filled without waiting for the disk, its catalog, and processor time.

use std::{path::Path, sync::Arc, time::Instant};

use headwater_storage::{
    CatalogChange, DataDirectory, Feed, FeedLayout, FeedNumber, Instance, InstanceNumber, NewBatch,
    Now, SourceKind, StoreOptions, Topic, TopicNumber,
    catalog::random_id,
    disk::{SegmentStore, unsynced::Unsynced},
    meta::{MetaStore, sled_meta::SledMeta},
};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// The instance of every log.
pub(crate) const INSTANCE: InstanceNumber = InstanceNumber(1);

/// The time since `began`.
pub(crate) fn now(began: Instant) -> Now {
    Now {
        wall_ms: 0,
        monotonic: began.elapsed(),
    }
}

/// The data directory `folder`, new or not, on the real disk without its syncs.
pub(crate) fn open_unsynced(folder: &Path) -> Result<DataDirectory, Failure> {
    let disk: Arc<dyn SegmentStore> = Arc::new(Unsynced::open(folder)?);
    let meta: Arc<dyn MetaStore> = Arc::new(SledMeta::open(&folder.join("meta"))?);
    Ok(DataDirectory::open_on(
        disk,
        meta,
        &StoreOptions::default(),
    )?)
}

/// A batch of so many bytes, as far as storage looks at it.
pub(crate) fn batch(topic: u32, bytes: usize, record_count: u32) -> NewBatch {
    let mut body = vec![0xA5; bytes];
    let behind = u32::try_from(bytes.saturating_sub(12)).unwrap_or(0);
    body[8..12].copy_from_slice(&behind.to_be_bytes());
    NewBatch {
        topic: TopicNumber(topic),
        partition: 0,
        bytes: body,
        record_count,
        max_timestamp: 1,
    }
}

/// An instance, its feed and topics 1 to `topics`.
pub(crate) fn catalog(topics: u32) -> Vec<CatalogChange> {
    let mut things = vec![
        CatalogChange::Instance(Instance {
            number: INSTANCE,
            name: "rate".to_owned(),
            source: SourceKind::Postgresql,
            created_ms: 0,
            incarnation: 0,
            pause: None,
            gaps: Vec::new(),
        }),
        CatalogChange::Feed(Feed {
            number: FeedNumber(1),
            instance: INSTANCE,
            name: "tables".to_owned(),
            layout: FeedLayout::PerTable,
            format: "debezium-json".to_owned(),
            preset: None,
            key: "primary-key".to_owned(),
            partitions: 1,
            prefix: "rate".to_owned(),
            start_position: Vec::new(),
        }),
    ];
    things.extend((1..=topics).map(|number| {
        CatalogChange::Topic(Topic {
            number: TopicNumber(number),
            id: random_id(),
            name: format!("rate.{number}"),
            instance: INSTANCE,
            feed: FeedNumber(1),
            table: None,
            epochs: Topic::first_epoch(),
        })
    }));
    things
}

/// User and system time of this process, seconds to 10 ms.
pub(crate) fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
