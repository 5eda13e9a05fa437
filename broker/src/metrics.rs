//! All metrics: their names in one table, and what counts them. Read at `/metrics` as OpenMetrics.
//!
//! Counters end in `_total` on the wire. Labels: `instance`, `api`, `topic` (the first 1,000), `state`, `reason`.

mod kafka;
mod keeper;
mod log;
mod pulled;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    registry::Registry,
};

pub(crate) use self::{
    kafka::KafkaMetrics,
    keeper::{KeeperMetrics, KeepersMetrics},
    log::{InstanceLogMetrics, LogMetrics},
    pulled::Pulled,
};

/// Which tracked database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct InstanceLabel {
    pub(crate) instance: String,
}

/// A metric's name and help.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
}

macro_rules! names {
    ($($constant:ident $name:literal $help:literal)*) => {
        $(pub(crate) const $constant: Name = Name { name: $name, help: $help };)*

        /// Every name, for the test that holds them unique and well formed.
        #[cfg(test)]
        const ALL: &[Name] = &[$($constant),*];
    };
}

names! {
    BUILD "headwater_build" "The version that runs"
    INSTANCE_STATE "headwater_instance_state" "1 for the state that the instance is in"
    CAPTURE_ROWS "headwater_capture_rows" "Row changes captured"
    CAPTURE_TRANSACTIONS "headwater_capture_transactions" "Source transactions captured"
    CAPTURE_BYTES "headwater_capture_bytes" "Bytes received from the source"
    CAPTURE_LAG_BYTES "headwater_capture_lag_bytes" "Bytes of the source's log that are not durable here yet"
    CAPTURE_DELAY "headwater_capture_delay_seconds" "Time since the commit of the last captured transaction, 0 while everything is captured"
    CAPTURE_CONFIRMED "headwater_capture_confirmed_lsn" "Position up to which the source was told that all is durable"
    CAPTURE_TABLES "headwater_capture_tables" "Tables captured"
    CAPTURE_INCARNATION "headwater_capture_incarnation" "Resyncs of the source so far; each left a gap that the instance shows"
    LOG_GROUPS "headwater_log_groups" "Groups of transactions committed"
    LOG_RECORDS "headwater_log_records" "Records made visible"
    LOG_APPENDED_BYTES "headwater_log_appended_bytes" "Bytes of batches appended"
    LOG_COMMIT_SECONDS "headwater_log_commit_seconds" "Time to make a group durable and visible, sync included"
    LOG_BYTES "headwater_log_bytes" "Bytes of log on disk"
    LOG_FILES "headwater_log_files" "Files of the log"
    LOG_SEALED_FILES "headwater_log_sealed_files" "Files of the log that are sealed segments"
    LOG_SEALED_BYTES "headwater_log_sealed_bytes" "Bytes of sealed segments on disk"
    LOG_SEALED "headwater_log_sealed" "Files sealed"
    LOG_DAMAGED "headwater_log_damaged" "Damage found by the keeper of the log"
    LOG_SCRUB_FAILED "headwater_log_scrub_failed" "Sealed segments that could not be reread"
    LOG_UNREAD_DELETED "headwater_log_unread_deleted" "Groups that lost records which they had not read, once for each deletion"
    LOG_DELETED_FILES "headwater_log_deleted_files" "Files deleted by retention"
    LOG_DELETED_BYTES "headwater_log_deleted_bytes" "Bytes deleted by retention"
    CLOCK_JUMPS "headwater_clock_jumps" "Jumps of the wall clock by a minute or more"
    CACHE_HITS "headwater_cache_hits" "Lookups in the block cache that found the block"
    CACHE_MISSES "headwater_cache_misses" "Blocks loaded into the block cache"
    CACHE_BYTES "headwater_cache_bytes" "Memory held by the block cache"
    LOG_START_OFFSET "headwater_log_start_offset" "First offset of a topic, for the first 1,000 topics"
    LOG_RING_BYTES "headwater_log_ring_bytes" "Newest batches held in memory"
    LOG_END_OFFSET "headwater_log_end_offset" "High watermark of a topic, for the first 1,000 topics"
    DISK_FREE "headwater_disk_free_bytes" "Bytes that the data directory's file system has left"
    DISK_STATE "headwater_disk_state" "1 for the state of the space: ok, low, stopped"
    KAFKA_CONNECTIONS "headwater_kafka_connections" "Kafka connections open"
    KAFKA_REQUESTS "headwater_kafka_requests" "Kafka requests taken"
    KAFKA_FETCHED_BYTES "headwater_kafka_fetched_bytes" "Record bytes answered to fetches"
    KAFKA_REFUSED "headwater_kafka_refused_connections" "Connections closed because of what the client sent or did not take"
    KAFKA_PARKED "headwater_kafka_parked_fetches" "Fetches that wait for data"
    KAFKA_FETCH_SESSIONS "headwater_kafka_fetch_sessions" "Fetch sessions that are open"
    KAFKA_UNSENT_BYTES "headwater_kafka_unsent_bytes" "Record bytes referenced by responses that are not sent"
    PROCESS_MEMORY "process_resident_memory_bytes" "Resident memory"
    PROCESS_FILES "process_open_fds" "Open file descriptors"
}

/// Everything there is to read, as OpenMetrics text.
pub(crate) fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let names: HashSet<&str> = ALL.iter().map(|name| name.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in ALL {
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.name.chars().all(legal), "{}", name.name);
            assert!(
                !name.name.ends_with("_total"),
                "{}: the encoder appends it",
                name.name
            );
            assert!(
                !name.help.ends_with('.'),
                "{}: the encoder appends it",
                name.name
            );
        }
    }
}
