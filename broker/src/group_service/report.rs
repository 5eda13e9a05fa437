//! How a group is: who consumes, how far it is behind, what is wrong with its positions.

use std::{collections::HashMap, sync::Arc};

use headwater_protocol::batch::BatchHeader;
use headwater_storage::{
    Catalog, Log, Position, ReadError, RestoredFrom, TopicNumber, TopicPartition,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    GroupError, GroupService, LiveGroup,
    dts_view::{self, DtsView},
    operator::gone,
};
use crate::group::Role;

/// One group, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupReport {
    /// Kafka's `group.id`.
    pub id: String,
    /// For people; of a group of first use its id.
    pub name: String,
    /// Name of the instance; `None`: it has named no topic yet.
    pub instance: Option<String>,
    /// First part of the SASL user name; `None`: it came into being on first use.
    pub account: Option<String>,
    /// `exclusive` or `reject`.
    pub mode: &'static str,
    /// Kafka's name of the state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`.
    pub state: &'static str,
    /// Of the last active consumer.
    pub generation: i32,
    /// The active consumer, then the others.
    pub clients: Vec<ClientReport>,
    /// Records between its positions and the ends, over all topics.
    pub lag_records: i64,
    /// Age of the oldest record that it has not consumed, seconds; 0 if there is none.
    pub lag_seconds: i64,
    /// When it last committed, ms since 1970.
    pub last_commit_ms: Option<i64>,
    /// Set while its positions are those of a copy, because sled was lost.
    #[schema(value_type = Option<Object>)]
    pub restored_from: Option<RestoredFrom>,
    /// The same in the words of DTS; `None`: its instance has no feed for DTS clients.
    pub dts: Option<DtsView>,
    /// Where it is, by topic name.
    pub topics: Vec<TopicReport>,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClientReport {
    /// `active`, `candidate` or `standby`.
    pub role: &'static str,
    /// Given by the broker.
    pub member_id: String,
    /// Kafka's `group.instance.id`.
    pub instance_id: Option<String>,
    /// As the client calls itself.
    pub client_id: String,
    /// Its address.
    pub address: String,
    /// Name and version of its library, as it says; may be empty.
    pub software: String,
    /// Since when it has this role or is a member, ms since 1970.
    pub since_ms: i64,
}

/// Where a group is in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TopicReport {
    /// Its name.
    pub topic: String,
    /// Always 0 today.
    pub partition: u16,
    /// The next record to be read.
    pub offset: i64,
    /// First offset of the log.
    pub start: i64,
    /// Offset behind the last record.
    pub end: i64,
    /// Records that it has not consumed.
    pub lag_records: i64,
    /// Age of the oldest of them, seconds.
    pub lag_seconds: i64,
    /// When it was committed, ms since 1970.
    pub commit_ms: i64,
    /// As the client gave it.
    pub metadata: String,
    /// What is wrong with it.
    pub state: PositionState,
}

/// Whether a position can be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PositionState {
    /// It can.
    Good,
    /// Retention deleted the records there: the consumer gets `OFFSET_OUT_OF_RANGE`.
    Deleted,
    /// The records there are damaged: the consumer gets `CORRUPT_MESSAGE` until `seek --past-damage`.
    Damaged,
    /// It lies behind the end: the consumer gets `OFFSET_OUT_OF_RANGE`.
    BeyondEnd,
}

impl GroupService {
    /// How the group is now. Reads the disk, off the runtime.
    pub(super) async fn report(
        &self,
        catalog: &Arc<Catalog>,
        live: &LiveGroup,
    ) -> Result<GroupReport, GroupError> {
        let (view, mode) = {
            let locked = live.lock().await;
            let locked = locked.map_err(|refusal| gone(&live.id, refusal))?;
            (locked.coordinator.view(), locked.coordinator.mode())
        };
        let positions = self.positions(live).await?;
        let log = live.instance().and_then(|instance| self.log(instance));
        let topics = match log {
            Some(log) => {
                let positions = (positions, KnownTimes::new());
                topics(log, catalog, positions, self.clock.wall_ms())
                    .await?
                    .0
            }
            None => Vec::new(),
        };
        let (lag_records, lag_seconds) = lag(&topics);
        let is_connected = !view.members.is_empty() || self.sessions.count(live.number) > 0;
        let seen = (is_connected, self.clock.wall_ms());
        let dts = match (log, live.instance()) {
            (Some(log), Some(instance)) => {
                dts_view::view((log, catalog), instance, &topics, seen).await?
            }
            _ => None,
        };
        let made = catalog.group(live.number);
        let instance = live.instance().and_then(|number| catalog.instance(number));
        Ok(GroupReport {
            id: live.id.clone(),
            name: made.map_or_else(|| live.id.clone(), |group| group.name.clone()),
            instance: instance.map(|instance| instance.name.clone()),
            account: made.map(|group| group.account.clone()),
            mode,
            state: view.state,
            generation: view.generation,
            clients: clients(view.members),
            lag_records,
            lag_seconds,
            last_commit_ms: topics.iter().map(|topic| topic.commit_ms).max(),
            restored_from: self.store.restored(live.number),
            dts,
            topics,
        })
    }
}

fn clients(members: Vec<crate::group::MemberView>) -> Vec<ClientReport> {
    let mut clients: Vec<_> = members
        .into_iter()
        .map(|member| ClientReport {
            role: match member.role {
                Role::Active => "active",
                Role::Candidate => "candidate",
                Role::Standby => "standby",
            },
            member_id: member.member_id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            address: member.client_host,
            software: member.software,
            since_ms: member.since_ms,
        })
        .collect();
    clients.sort_by_key(|client| client.role);
    clients
}

/// Records and seconds over all topics.
pub(super) fn lag(topics: &[TopicReport]) -> (i64, i64) {
    let records = topics.iter().map(|topic| topic.lag_records).sum();
    let seconds = topics.iter().map(|topic| topic.lag_seconds).max();
    (records, seconds.unwrap_or(0))
}

/// The time of the record at an offset, ms, as it was read before: it never changes.
pub(super) type KnownTimes = HashMap<TopicPartition, (i64, i64)>;

/// Where a group is in each topic, by name, and the times that were read for that or were known.
pub(super) async fn topics(
    log: &Arc<Log>,
    catalog: &Arc<Catalog>,
    (positions, known): (Vec<(TopicPartition, Position)>, KnownTimes),
    now_ms: i64,
) -> Result<(Vec<TopicReport>, KnownTimes), GroupError> {
    let (log, catalog) = (Arc::clone(log), Arc::clone(catalog));
    let looking = tokio::task::spawn_blocking(move || {
        let mut times = Times {
            known,
            used: KnownTimes::new(),
        };
        let reports = positions
            .into_iter()
            .filter_map(|(at, position)| topic(&log, &catalog, (at, position, &mut times), now_ms));
        let mut reports: Vec<_> = reports.collect();
        reports.sort_by(|a, b| a.topic.cmp(&b.topic));
        (reports, times.used)
    });
    looking
        .await
        .map_err(|panic| GroupError::Storage(format!("looking at the log panicked: {panic}")))
}

/// `None`: the topic is not in this log (yet).
fn topic(
    log: &Log,
    catalog: &Catalog,
    (at, position, times): (TopicPartition, Position, &mut Times),
    now_ms: i64,
) -> Option<TopicReport> {
    let ends = log.ends(at.topic)?;
    let next = position.offset.max(ends.start);
    let lag_records = (ends.end - next).max(0);
    let oldest = if lag_records > 0 {
        times.at(log, at, next)
    } else {
        Ok(None)
    };
    let state = match &oldest {
        Err(ReadError::Corrupt { .. }) => PositionState::Damaged,
        _ if position.offset < ends.start => PositionState::Deleted,
        _ if position.offset > ends.end => PositionState::BeyondEnd,
        _ => PositionState::Good,
    };
    let age_ms = oldest
        .ok()
        .flatten()
        .map(|time| now_ms.saturating_sub(time));
    Some(TopicReport {
        topic: catalog.topic(at.topic)?.name.clone(),
        partition: at.partition,
        offset: position.offset,
        start: ends.start,
        end: ends.end,
        lag_records,
        lag_seconds: age_ms.unwrap_or(0).max(0) / 1000,
        commit_ms: position.commit_ms,
        metadata: position.metadata,
        state,
    })
}

/// What [`topics`] knows of times.
struct Times {
    known: KnownTimes,
    used: KnownTimes,
}

impl Times {
    fn at(&mut self, log: &Log, at: TopicPartition, offset: i64) -> Result<Option<i64>, ReadError> {
        let known = self.known.get(&at).filter(|(of, _)| *of == offset);
        let time = match known {
            Some((_, time)) => Some(*time),
            None => time_at(log, at.topic, offset)?,
        };
        if let Some(time) = time {
            self.used.insert(at, (offset, time));
        }
        Ok(time)
    }
}

/// Timestamp of the batch that holds `offset`, ms; `None`: there is no such record yet. Blocks on the disk.
pub(super) fn time_at(
    log: &Log,
    topic: TopicNumber,
    offset: i64,
) -> Result<Option<i64>, ReadError> {
    let batches = log.read(topic, offset, 1)?;
    let header = batches.first().map(|batch| BatchHeader::parse(batch));
    Ok(header
        .and_then(Result::ok)
        .map(|header| header.base_timestamp))
}
