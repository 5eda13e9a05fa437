//! All metrics: their names in one table, and what counts them. Read at `/metrics` as OpenMetrics.
//!
//! Counters end in `_total` on the wire. Labels: `instance`, `api`, `topic` (the first 1,000), `group`, `listener`, `kind`,
//! `role`, `state`, `reason`: each from a set with a bound. `docs/metrics.md` lists them; a test compares.

mod groups;
mod kafka;
mod keeper;
mod log;
mod pulled;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    registry::Registry,
};

pub(crate) use self::{
    groups::{GroupMetrics, GroupsNow},
    kafka::{Counted, KafkaMetrics},
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
    SOURCE_WAL_HELD "headwater_source_wal_held_bytes" "Log that the source holds for the slot"
    SOURCE_WAL_SAFE "headwater_source_wal_safe_bytes" "What the source may still write before the slot is lost; absent where it has no limit"
    SOURCE_WAL_LEVEL "headwater_source_wal_level" "How close the slot is to be lost: 0 fine, 1 high, 2 critical"
    CAPTURE_INCARNATION "headwater_capture_incarnation" "Resyncs of the source so far; each left a gap that the instance shows"
    CAPTURE_LARGE_RECORDS "headwater_capture_large_records" "Records of 32 MiB and more, since the start"
    CAPTURE_LARGEST_RECORD "headwater_capture_largest_record_bytes" "Bytes of the largest of them, and of those that lack columns"
    CAPTURE_OMITTED_RECORDS "headwater_capture_omitted_records" "Row changes over record_max_bytes that were written without some of their columns"
    CAPTURE_OMITTED_VALUES "headwater_capture_omitted_values" "Those columns"
    CAPTURE_SHOWN_AS_TEXT "headwater_capture_shown_as_text" "Values that the feed dts has no form for, sent as text (XTYPE)"
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
    GROUPS "headwater_groups" "Consumer groups: made by an operator, and come into being on first use"
    GROUP_LAG "headwater_group_lag_records" "Records that a group has not consumed, over all topics that it has a position in"
    GROUP_LAG_SECONDS "headwater_group_lag_seconds" "Age of the oldest of these records, 0 if there is none"
    GROUP_MEMBERS "headwater_group_members" "Members of a group: the active one, and those that stand by"
    GROUP_COMMITTED "headwater_group_committed_offset" "Position of a group in a topic, for the first 5,000 positions"
    GROUP_COMMITS "headwater_group_commits" "Commits of a group that are durable"
    GROUP_FENCED "headwater_group_fenced_commits" "Commits refused because who sent them is not, or no longer, the active member"
    GROUP_TAKEOVERS "headwater_group_takeovers" "Times that another member became active"
    GROUP_POSITIONS_LOST "headwater_group_positions_lost" "Positions of a group that cannot be read from: deleted, damaged, beyond the end"
    GROUP_RESTORED "headwater_group_positions_restored" "1 while a group's positions are those of a copy, because its own were lost"
    GROUP_COMMIT_SECONDS "headwater_group_commit_seconds" "Time to make a commit of a group durable, sync included"
    KAFKA_CONNECTIONS "headwater_kafka_connections" "Kafka connections open on a listener"
    KAFKA_LOGINS "headwater_kafka_logins" "Kafka logins that succeeded"
    KAFKA_LOGINS_FAILED "headwater_kafka_logins_failed" "Kafka logins that failed, by reason"
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
    fn the_documentation_lists_every_name_with_its_help_and_no_other() {
        let page = include_str!("../../docs/metrics.md");
        let listed = page
            .lines()
            .filter(|line| line.starts_with("| `headwater_") || line.starts_with("| `process_"));
        let listed: Vec<&str> = listed.collect();
        assert_eq!(listed.len(), ALL.len());
        for (name, line) in ALL.iter().zip(listed) {
            let told = line.trim_start_matches("| `");
            let told = told.split('`').next().unwrap_or("");
            let told = told.trim_end_matches("_total").trim_end_matches("_info");
            assert_eq!(told, name.name);
            assert!(line.ends_with(&format!("| {} |", name.help)), "{line}");
        }
    }

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
