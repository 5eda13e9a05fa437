//! One member of a group, and how a request says who it is from.

use std::time::Duration;

use bytes::Bytes;

use super::{ASKED_AGAIN_MAX, join::Join};

/// How a request names its member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// Given by us; empty: none yet.
    pub(crate) member_id: &'a str,
    /// Kafka's `group.instance.id` (KIP-345).
    pub(crate) instance_id: Option<&'a str>,
}

/// A member, whatever its role.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) software: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// Its own choice: the first that it offers.
    pub(super) protocol: String,
    /// What it said with that; empty where it is not kept, as over a restart of the broker.
    pub(super) metadata: Bytes,
    /// Whether it subscribes to topics that exist.
    pub(super) names_topics: bool,
    /// It is active, and has assigned itself nothing although it names topics.
    pub(super) is_to_join_again: bool,
    /// How often that was so, one time after another.
    pub(super) asked_again: u8,
    /// What it was told when it last joined.
    pub(super) generation: i32,
    /// Monotonic; when its session ends.
    pub(super) expires: Duration,
    /// Wall clock, ms; since when it is a member, or active if it is.
    pub(super) since_ms: i64,
}

impl Member {
    /// A member as its JoinGroup describes it.
    pub(super) fn new(join: &Join<'_>, member_id: String, since_ms: i64) -> Self {
        let mut member = Self {
            member_id,
            instance_id: join.caller.instance_id.map(str::to_owned),
            client_id: String::new(),
            client_host: String::new(),
            software: String::new(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            protocol: String::new(),
            metadata: Bytes::new(),
            names_topics: false,
            is_to_join_again: false,
            asked_again: 0,
            generation: 0,
            expires: Duration::ZERO,
            since_ms,
        };
        member.update(join, 0);
        member
    }

    /// Takes over what a JoinGroup says; its metadata if they have at most so many bytes.
    pub(super) fn update(&mut self, join: &Join<'_>, metadata_bytes_max: usize) {
        join.client_id.clone_into(&mut self.client_id);
        join.client_host.clone_into(&mut self.client_host);
        join.software.clone_into(&mut self.software);
        join.protocol.clone_into(&mut self.protocol);
        self.names_topics = join.names_topics;
        self.metadata = if join.metadata.len() <= metadata_bytes_max {
            // A copy, since a slice would keep the whole request in memory.
            Bytes::copy_from_slice(join.metadata)
        } else {
            Bytes::new()
        };
        self.session_timeout = millis(join.session_timeout_ms);
        self.rebalance_timeout = millis(join.rebalance_timeout_ms);
    }

    /// It assigned itself something, or nothing.
    pub(super) fn assigned(&mut self, nothing: bool) {
        let again = nothing && self.names_topics && self.asked_again < ASKED_AGAIN_MAX;
        self.is_to_join_again = again;
        self.asked_again = match (nothing, again) {
            (false, _) => 0,
            (true, true) => self.asked_again + 1,
            (true, false) => self.asked_again,
        };
    }

    /// Extends the session.
    pub(super) fn touch(&mut self, now: Duration) {
        self.expires = now + self.session_timeout;
    }

    /// For the history and people.
    pub(super) fn who(&self) -> String {
        format!("{}@{}", self.client_id, self.client_host)
    }
}

/// Not negative.
pub(super) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
