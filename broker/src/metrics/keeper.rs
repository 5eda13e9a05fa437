//! What the keepers of the logs count.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{
    CLOCK_JUMPS, InstanceLabel, LOG_DAMAGED, LOG_DELETED_BYTES, LOG_DELETED_FILES,
    LOG_SCRUB_FAILED, LOG_SEALED, LOG_UNREAD_DELETED,
};

/// Which tracked database, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub(crate) instance: String,
    pub(crate) reason: &'static str,
}

/// Live counters of all keepers.
#[derive(Debug)]
pub(crate) struct KeepersMetrics {
    sealed: Family<InstanceLabel, Counter>,
    damaged: Family<InstanceLabel, Counter>,
    scrub_failed: Family<InstanceLabel, Counter>,
    unread_deleted: Family<InstanceLabel, Counter>,
    clock_jumps: Family<InstanceLabel, Counter>,
    deleted_files: Family<ReasonLabel, Counter>,
    deleted_bytes: Family<ReasonLabel, Counter>,
}

/// The counters of one keeper.
#[derive(Debug, Clone)]
pub(crate) struct KeeperMetrics {
    instance: String,
    pub(crate) sealed: Counter,
    pub(crate) damaged: Counter,
    pub(crate) scrub_failed: Counter,
    pub(crate) unread_deleted: Counter,
    pub(crate) clock_jumps: Counter,
    deleted_files: Family<ReasonLabel, Counter>,
    deleted_bytes: Family<ReasonLabel, Counter>,
}

impl KeepersMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            sealed: Family::default(),
            damaged: Family::default(),
            scrub_failed: Family::default(),
            unread_deleted: Family::default(),
            clock_jumps: Family::default(),
            deleted_files: Family::default(),
            deleted_bytes: Family::default(),
        };
        for (name, family) in [
            (LOG_SEALED, &metrics.sealed),
            (LOG_DAMAGED, &metrics.damaged),
            (LOG_SCRUB_FAILED, &metrics.scrub_failed),
            (LOG_UNREAD_DELETED, &metrics.unread_deleted),
            (CLOCK_JUMPS, &metrics.clock_jumps),
        ] {
            registry.register(name.name, name.help, family.clone());
        }
        for (name, family) in [
            (LOG_DELETED_FILES, &metrics.deleted_files),
            (LOG_DELETED_BYTES, &metrics.deleted_bytes),
        ] {
            registry.register(name.name, name.help, family.clone());
        }
        metrics
    }

    /// Those of one instance.
    pub(crate) fn of(&self, instance: &str) -> KeeperMetrics {
        let label = InstanceLabel {
            instance: instance.to_owned(),
        };
        KeeperMetrics {
            instance: instance.to_owned(),
            sealed: self.sealed.get_or_create(&label).clone(),
            damaged: self.damaged.get_or_create(&label).clone(),
            scrub_failed: self.scrub_failed.get_or_create(&label).clone(),
            unread_deleted: self.unread_deleted.get_or_create(&label).clone(),
            clock_jumps: self.clock_jumps.get_or_create(&label).clone(),
            deleted_files: self.deleted_files.clone(),
            deleted_bytes: self.deleted_bytes.clone(),
        }
    }
}

impl KeeperMetrics {
    pub(crate) fn deleted(&self, reason: &'static str, files: u64, bytes: u64) {
        let label = ReasonLabel {
            instance: self.instance.clone(),
            reason,
        };
        self.deleted_files.get_or_create(&label).inc_by(files);
        self.deleted_bytes.get_or_create(&label).inc_by(bytes);
    }
}
