//! What a handler may see: the log, the catalog, who asks, and the stop signal. Nothing it could write to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use headwater_capture::limits::RECORD_BYTES_MOST;
use headwater_protocol::{batch::Compression, sasl::Mechanism};
use headwater_storage::{
    Catalog, DataDirectory, Ends, InstanceNumber, Log, RetentionLimits, Topic, TopicNumber,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use crate::{
    auth::{Auth, principal::Principal, shown},
    budget::Budget,
    certificate::Certificate,
    clock::Clock,
    config::{Advertised, ConnectionConfig},
    error_code::Refusal,
    fetch_session::FetchSessions,
    fetch_wait::FetchWaits,
    group_service::{GroupService, LiveGroup},
    hush::Hush,
    limits,
    metrics::KafkaMetrics,
};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<DataDirectory>,
    /// One log per instance of the catalog; fixed at the start.
    pub(crate) logs: HashMap<InstanceNumber, Arc<Log>>,
    /// How much of each log is kept; of one that is not here, everything.
    pub(crate) retention: HashMap<InstanceNumber, RetentionLimits>,
    /// Bytes of the largest record of each; of one that is not here, whatever was allowed once.
    pub(crate) record_bytes_max: HashMap<InstanceNumber, usize>,
    /// Log threads wake, fetches wait.
    pub(crate) waits: Arc<FetchWaits>,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) auth: Auth,
    pub(crate) requests: Arc<Budget>,
    /// As `requests`, for clients that have not logged in.
    pub(crate) strangers: Arc<Budget>,
    pub(crate) responses: Arc<Budget>,
    /// As configured, by instance and topic prefix.
    pub(crate) compression: HashMap<(String, String), Compression>,
    pub(crate) metrics: Arc<KafkaMetrics>,
    pub(crate) connections: ConnectionConfig,
    pub(crate) groups: Arc<GroupService>,
    /// True once the broker stops: parked fetches answer, connections end.
    pub(crate) stop: watch::Receiver<bool>,
    /// Lines about clients that are refused.
    pub(crate) refusals: Hush,
    /// Lines about sockets that cannot be accepted.
    pub(crate) accepts: Hush,
}

/// What a listener asks of its clients, and tells them.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) advertised: Option<Advertised>,
    /// Kafka's `security.protocol` for its clients.
    pub(crate) protocol: &'static str,
    /// `None`: in clear.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Ways to log in; `None`: nobody has to.
    pub(crate) mechanisms: Option<Arc<[Mechanism]>>,
}

/// Connections since the process began.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    /// Of the connection; no two of a process have the same.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    /// Where this client is told to connect to.
    pub(crate) advertised: Advertised,
    /// The listener that it came through.
    pub(crate) entrance: Arc<Entrance>,
    /// Who it is, as far as it was proven.
    pub(crate) principal: Principal,
    /// Name and version of its library, as it says (KIP-511).
    software: OnceLock<String>,
}

impl Session {
    /// A client at `peer` that reached us at `local`.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, entrance: &Arc<Entrance>) -> Self {
        let reached = || Advertised {
            host: unmapped(local.ip()).to_string(),
            port: local.port(),
        };
        Self {
            number: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            peer,
            advertised: entrance.advertised.clone().unwrap_or_else(reached),
            entrance: Arc::clone(entrance),
            principal: match entrance.mechanisms {
                Some(_) => Principal::Unauthenticated,
                None => Principal::Anonymous,
            },
            software: OnceLock::new(),
        }
    }

    /// What the client says about its library; only the first time counts, and only what can be shown.
    pub(crate) fn says_software(&self, name: &str, version: &str) {
        let shown = |c: &char| c.is_ascii_graphic();
        let part = |text: &str| {
            text.chars()
                .take(SOFTWARE_CHARS)
                .filter(shown)
                .collect::<String>()
        };
        let software = format!("{} {}", part(name), part(version));
        self.software.get_or_init(|| software.trim().to_owned());
    }

    /// Name and version of its library; empty if it did not say.
    pub(crate) fn software(&self) -> &str {
        self.software.get().map_or("", String::as_str)
    }
}

/// Of each of name and version of a client's library.
const SOFTWARE_CHARS: usize = 64;

/// An IPv4 client of a dual-stack socket is told the IPv4 address it dialled.
fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// One request's surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) session: &'a Session,
    /// Of the API, as the client asked.
    pub(crate) version: i16,
    /// As the client calls itself; may be empty, or very long.
    pub(crate) client_id: &'a str,
}

/// The one partition of a topic, checked and with its ends as of now.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) topic: TopicNumber,
    pub(crate) log: Arc<Log>,
    pub(crate) ends: Ends,
}

impl Context<'_> {
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.shared.directory.catalog()
    }

    /// The advertised host, as responses carry it.
    pub(crate) fn host(&self) -> StrBytes {
        StrBytes::from_string(self.session.advertised.host.clone())
    }

    pub(crate) fn port(&self) -> i32 {
        i32::from(self.session.advertised.port)
    }

    /// The topic called `name`, if the client may read it. To a group's account a topic of another instance and one
    /// that does not exist are alike, so that it learns nothing of others.
    pub(crate) fn topic_named<'c>(
        &self,
        catalog: &'c Catalog,
        name: &str,
    ) -> Result<&'c Arc<Topic>, Refusal> {
        let topic = catalog.topic_by_name(name);
        let principal = &self.session.principal;
        match (topic, principal) {
            (Some(topic), _) if principal.may_read(topic.instance) => Ok(topic),
            (None, Principal::Anonymous | Principal::Operator) => {
                Err(Refusal::UnknownTopicOrPartition)
            }
            (Some(_) | None, _) => {
                self.deny("topic", name);
                Err(Refusal::TopicAuthorizationFailed)
            }
        }
    }

    /// The topic with `id`, if the client may read it; one that it may not read is an unknown one, as in Kafka.
    pub(crate) fn topic_with_id<'c>(
        &self,
        catalog: &'c Catalog,
        id: Uuid,
    ) -> Result<&'c Arc<Topic>, Refusal> {
        let topic = catalog.topic_by_id(id).ok_or(Refusal::UnknownTopicId)?;
        if self.may_read(topic) {
            return Ok(topic);
        }
        self.deny("topic", &topic.name);
        Err(Refusal::UnknownTopicId)
    }

    /// Whether the client may read this topic.
    pub(crate) fn may_read(&self, topic: &Topic) -> bool {
        self.session.principal.may_read(topic.instance)
    }

    /// Whether the client may use the group with this id: for every API that names one.
    pub(crate) fn check_group(&self, group_id: &str) -> Result<(), Refusal> {
        if !self.may_use_group(group_id) {
            self.deny("group", group_id);
            return Err(Refusal::GroupAuthorizationFailed);
        }
        if group_id.is_empty() || group_id.len() > limits::GROUP_ID_BYTES {
            return Err(Refusal::InvalidGroupId);
        }
        Ok(())
    }

    /// Whether the client may know of the group with this id.
    pub(crate) fn may_use_group(&self, group_id: &str) -> bool {
        self.session.principal.may_use_group(group_id)
    }

    /// Tells the operator what somebody asked for who may not have it.
    fn deny(&self, what: &str, name: &str) {
        let now = self.shared.clock.monotonic();
        if let Some(unsaid) = self.shared.auth.denials.admit(now) {
            let (peer, group) = (self.session.peer, self.session.principal.name());
            let name = shown(name);
            warn!(%peer, group, unsaid, "refused {what} {name}: not of this group's instance, or not this group");
        }
    }

    /// The group that the client means, if there is one, and if it may use it.
    pub(crate) fn group(
        &self,
        catalog: &Catalog,
        id: &str,
    ) -> Result<Option<Arc<LiveGroup>>, Refusal> {
        self.check_group(id)?;
        Ok(self.shared.groups.find(catalog, id))
    }

    /// The group of a member: there is none in a group that is not there.
    pub(crate) fn member_group(&self, id: &str) -> Result<Arc<LiveGroup>, Refusal> {
        let found = self.group(&self.catalog(), id)?;
        found.ok_or(Refusal::UnknownMemberId)
    }

    /// The same; it comes into being on first use. `named` is the instance of the first topic that the client names.
    pub(crate) fn group_or_new(
        &self,
        catalog: &Catalog,
        id: &str,
        named: Option<InstanceNumber>,
    ) -> Result<Arc<LiveGroup>, Refusal> {
        self.check_group(id)?;
        self.shared.groups.find_or_make(catalog, id, named)
    }

    /// Whose topic it is.
    pub(crate) fn instance_of(&self, catalog: &Catalog, topic: &str) -> Option<InstanceNumber> {
        catalog.topic_by_name(topic).map(|topic| topic.instance)
    }

    /// The client, for the history of groups; and who logged in, where somebody had to.
    pub(crate) fn who(&self) -> String {
        let client: String = self
            .client_id
            .chars()
            .take(limits::CLIENT_ID_CHARS)
            .collect();
        let principal = match &self.session.principal {
            Principal::Unauthenticated | Principal::Anonymous => "",
            Principal::Group(_) => " (the group's account)",
            Principal::Operator => " (operator)",
        };
        let host = self.session.peer.ip().to_canonical();
        format!("{client}@{host}{principal}")
    }

    /// Partition `index` of the topic called `name`.
    pub(crate) fn partition_named(
        &self,
        catalog: &Catalog,
        name: &str,
        index: i32,
    ) -> Result<Partition, Refusal> {
        let topic = self.topic_named(catalog, name)?;
        self.partition(topic, index)
    }

    /// Partition `index` of the topic with `id` (KIP-516).
    pub(crate) fn partition_with_id(
        &self,
        catalog: &Catalog,
        id: Uuid,
        index: i32,
    ) -> Result<Partition, Refusal> {
        let topic = self.topic_with_id(catalog, id)?;
        self.partition(topic, index)
    }

    fn partition(&self, topic: &Topic, index: i32) -> Result<Partition, Refusal> {
        if index != 0 {
            return Err(Refusal::UnknownTopicOrPartition);
        }
        // A topic of this instant may be in the catalog and not yet in the log.
        let log = self
            .shared
            .logs
            .get(&topic.instance)
            .ok_or(Refusal::UnknownTopicOrPartition)?;
        let ends = log
            .ends(topic.number)
            .ok_or(Refusal::UnknownTopicOrPartition)?;
        Ok(Partition {
            topic: topic.number,
            log: Arc::clone(log),
            ends,
        })
    }
}

impl Partition {
    /// Fences a client by the epoch it believes in; -1 believes in none (KIP-320).
    pub(crate) fn check_epoch(&self, current_leader_epoch: i32) -> Result<(), Refusal> {
        if current_leader_epoch < 0 || current_leader_epoch == self.ends.epoch {
            return Ok(());
        }
        if current_leader_epoch < self.ends.epoch {
            return Err(Refusal::FencedLeaderEpoch);
        }
        Err(Refusal::UnknownLeaderEpoch)
    }
}

impl Shared {
    /// Bytes of the largest record that an instance's topics may have.
    pub(crate) fn record_bytes_max(&self, instance: InstanceNumber) -> usize {
        let limit = self.record_bytes_max.get(&instance);
        limit.copied().unwrap_or(RECORD_BYTES_MOST)
    }

    /// Memory budgets of a new broker.
    pub(crate) fn budgets() -> [Arc<Budget>; 3] {
        [
            Budget::new(limits::REQUESTS_BYTES_MAX),
            Budget::new(limits::STRANGERS_BYTES_MAX),
            Budget::new(limits::RESPONSES_BYTES_MAX),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance(advertised: Option<Advertised>) -> Arc<Entrance> {
        Arc::new(Entrance {
            advertised,
            protocol: "PLAINTEXT",
            certificate: None,
            mechanisms: None,
        })
    }

    #[test]
    fn clients_are_told_the_address_they_reached() {
        let peer = SocketAddr::from(([10, 0, 0, 9], 40000));
        for (local, host) in [
            ("10.0.0.1:9092", "10.0.0.1"),
            ("[::1]:9092", "::1"),
            ("[::ffff:10.0.0.1]:9092", "10.0.0.1"),
        ] {
            let session = Session::new(peer, local.parse().expect("an address"), &entrance(None));
            assert_eq!(
                session.advertised,
                Advertised {
                    host: host.to_owned(),
                    port: 9092
                }
            );
        }
    }

    #[test]
    fn an_advertised_address_goes_first() {
        let told = Advertised {
            host: "kafka.example.org".to_owned(),
            port: 19092,
        };
        let local = SocketAddr::from(([10, 0, 0, 1], 9092));
        let session = Session::new(local, local, &entrance(Some(told.clone())));
        assert_eq!(session.advertised, told);
    }
}
