//! Moving a group: a plan that can be looked at, then the move, then perhaps taking it back. Every topic lands at the
//! same transaction.

use std::{collections::BTreeMap, sync::Arc};

use headwater_storage::{
    Catalog, GroupEvent, GroupWrite, HistoryEntry, Log, Position, ReadError, TopicNumber,
    TopicPartition,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{GroupError, GroupService, LiveGroup, operator::gone, report::time_at};

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// The oldest records there are.
    Start,
    /// Behind the newest.
    End,
    /// One offset, in a group of one topic.
    Offset(i64),
    /// The first transaction that is not older, ms since 1970.
    Time(i64),
    /// Behind what is damaged; positions that can be read stay.
    PastDamage,
}

/// What an operator wants.
#[derive(Debug, Clone)]
pub struct SeekRequest {
    /// Where to.
    pub to: SeekTo,
    /// As the operator said it, for the history.
    pub said: String,
    /// Only this topic; `None`: every topic of the group.
    pub topic: Option<String>,
    /// Put the group's consumers out first.
    pub disconnect: bool,
    /// The operator, for the history.
    pub who: String,
}

/// What a seek does, before it is done or after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeekPlan {
    /// The group's id.
    pub group: String,
    /// By topic name.
    pub moves: Vec<SeekMove>,
    /// Consumers that have to go first.
    pub members: usize,
}

/// What it does in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeekMove {
    /// Its name.
    pub topic: String,
    /// Always 0 today.
    pub partition: u16,
    /// `None`: there is no position.
    pub from: Option<i64>,
    /// Time of the record there, ms since 1970; `None`: it cannot be read, or is still to come.
    pub from_time_ms: Option<i64>,
    /// `None`: there will be no position.
    pub to: Option<i64>,
    /// As above.
    pub to_time_ms: Option<i64>,
    /// Records between the two; negative: they are read again.
    pub records: i64,
    /// What is written.
    #[serde(skip)]
    pub(super) at: TopicPartition,
    #[serde(skip)]
    pub(super) position: Option<Position>,
}

/// The leading part of the metadata of topics in this format is the DTS clients' position (`docs/wire.md`).
const DTS_FORMAT: &str = "dts-avro";

/// Damaged ranges in a row that are stepped over.
const DAMAGED_RANGES_MAX: usize = 10_000;

impl GroupService {
    /// What a seek would do now. Changes nothing.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`]; [`GroupError::Seek`] where it cannot be; [`GroupError::Storage`].
    pub async fn plan_seek(&self, id: &str, request: &SeekRequest) -> Result<SeekPlan, GroupError> {
        let live = self.known(id)?;
        let members = self.members(&live).await?;
        let moves = self.moves(&live, request).await?;
        Ok(SeekPlan {
            group: live.id.clone(),
            moves,
            members,
        })
    }

    /// Does it. The group's consumers must be gone, or are put out by `disconnect`; nobody joins in between.
    ///
    /// # Errors
    /// As [`GroupService::plan_seek`]; [`GroupError::HasMembers`].
    pub async fn seek(&self, id: &str, request: &SeekRequest) -> Result<SeekPlan, GroupError> {
        let live = self.known(id)?;
        let moves = self.moves(&live, request).await?;
        let event = GroupEvent::Seek {
            to: request.said.clone(),
        };
        self.apply(&live, moves, event, (request.disconnect, &request.who))
            .await
    }

    /// What taking back the last seek would do now. Changes nothing.
    ///
    /// # Errors
    /// As [`GroupService::plan_seek`].
    pub async fn plan_undo(&self, id: &str) -> Result<SeekPlan, GroupError> {
        let live = self.known(id)?;
        let (_, moves) = self.undo_moves(&live).await?;
        Ok(SeekPlan {
            group: live.id.clone(),
            moves,
            members: self.members(&live).await?,
        })
    }

    /// Takes the last seek back that was not taken back yet: every position is again what it was before it.
    ///
    /// # Errors
    /// As [`GroupService::seek`].
    pub async fn undo_seek(
        &self,
        id: &str,
        disconnect: bool,
        who: &str,
    ) -> Result<SeekPlan, GroupError> {
        let live = self.known(id)?;
        let (seek, moves) = self.undo_moves(&live).await?;
        self.apply(&live, moves, GroupEvent::Undo { seek }, (disconnect, who))
            .await
    }

    async fn members(&self, live: &LiveGroup) -> Result<usize, GroupError> {
        let locked = live
            .lock()
            .await
            .map_err(|refusal| gone(&live.id, refusal))?;
        Ok(locked.coordinator.view().members.len())
    }

    async fn apply(
        &self,
        live: &LiveGroup,
        moves: Vec<SeekMove>,
        event: GroupEvent,
        (disconnect, who): (bool, &str),
    ) -> Result<SeekPlan, GroupError> {
        let mut locked = live
            .lock()
            .await
            .map_err(|refusal| gone(&live.id, refusal))?;
        let members = locked.coordinator.view().members.len();
        if members > 0 && !disconnect {
            return Err(GroupError::HasMembers {
                group: live.id.clone(),
                members,
                instead: "seek with --disconnect",
            });
        }
        // Fenced and moved by one write: who joins next finds the new positions.
        let evicted = locked.coordinator.evict().write;
        let write = GroupWrite {
            positions: moves.iter().map(|m| (m.at, m.position.clone())).collect(),
            membership: evicted.map(|(_, membership, _)| membership),
            event: Some(event),
            ..locked.write(live, self.clock.wall_ms(), who.to_owned())
        };
        let written = self.writer.write(write).await;
        written.map_err(GroupError::Storage)?;
        locked.written();
        Ok(SeekPlan {
            group: live.id.clone(),
            moves,
            members,
        })
    }

    async fn moves(
        &self,
        live: &LiveGroup,
        request: &SeekRequest,
    ) -> Result<Vec<SeekMove>, GroupError> {
        let catalog = self.directory.catalog();
        let instance = live.instance();
        let log = instance.and_then(|instance| self.log(instance));
        let (Some(instance), Some(log)) = (instance, log) else {
            return Err(GroupError::Seek(format!(
                "group {} has named no topic yet: there is nothing to move",
                live.id
            )));
        };
        let here: BTreeMap<_, _> = self.positions(live).await?.into_iter().collect();
        let topics = match &request.topic {
            Some(name) => {
                let named = catalog
                    .topic_by_name(name)
                    .filter(|t| t.instance == instance);
                let named = named.ok_or_else(|| {
                    GroupError::Seek(format!("no topic {name:?} in the group's instance"))
                })?;
                vec![named.number]
            }
            None if here.is_empty() => catalog.topics_of(instance).map(|t| t.number).collect(),
            None => here.keys().map(|at| at.topic).collect(),
        };
        let (log, now_ms, to) = (Arc::clone(log), self.clock.wall_ms(), request.to);
        let looking = tokio::task::spawn_blocking(move || {
            let targets = targets(&log, &topics, &here, (to, now_ms))?;
            let moves = targets.into_iter().filter_map(|(topic, offset)| {
                seek_move(&log, &catalog, &here, (topic, offset, now_ms))
            });
            let mut moves: Vec<_> = moves.collect();
            moves.sort_by(|a, b| a.topic.cmp(&b.topic));
            Ok(moves)
        });
        looking
            .await
            .map_err(|panic| GroupError::Storage(format!("looking at the log panicked: {panic}")))?
    }

    async fn undo_moves(&self, live: &LiveGroup) -> Result<(u64, Vec<SeekMove>), GroupError> {
        let history = self.history(&live.id).await?;
        let (seek, entry) = last_seek(&history).ok_or_else(|| {
            GroupError::Seek(format!(
                "group {} has no seek that could be taken back",
                live.id
            ))
        })?;
        let catalog = self.directory.catalog();
        let here: BTreeMap<_, _> = self.positions(live).await?.into_iter().collect();
        let moves = entry.moves.iter().filter_map(|moved| {
            let topic = catalog.topic(moved.at.topic)?;
            let from = here.get(&moved.at).map(|position| position.offset);
            let to = moved.from.as_ref().map(|position| position.offset);
            Some(SeekMove {
                topic: topic.name.clone(),
                partition: moved.at.partition,
                from,
                from_time_ms: None,
                to,
                to_time_ms: None,
                records: to.zip(from).map_or(0, |(to, from)| to - from),
                at: moved.at,
                position: moved.from.clone(),
            })
        });
        Ok((seek, moves.collect()))
    }
}

/// The last seek that no later entry took back.
fn last_seek(history: &[(u64, HistoryEntry)]) -> Option<(u64, &HistoryEntry)> {
    let undone = |sequence: u64| {
        let takes_back = GroupEvent::Undo { seek: sequence };
        history.iter().any(|(_, entry)| entry.event == takes_back)
    };
    let mut newest_first = history.iter().rev();
    let found = newest_first.find(|(sequence, entry)| {
        matches!(entry.event, GroupEvent::Seek { .. }) && !undone(*sequence)
    });
    found.map(|(sequence, entry)| (*sequence, entry))
}

/// Where each topic is to be.
fn targets(
    log: &Log,
    topics: &[TopicNumber],
    here: &BTreeMap<TopicPartition, Position>,
    (to, now_ms): (SeekTo, i64),
) -> Result<BTreeMap<TopicNumber, i64>, GroupError> {
    // All ends as of one moment: one transaction boundary.
    let ends = topics.iter().copied().zip(log.all_ends(topics));
    let ends: BTreeMap<_, _> = ends
        .filter_map(|(topic, ends)| Some((topic, ends?)))
        .collect();
    let all = |pick: fn(&headwater_storage::Ends) -> i64| {
        ends.iter()
            .map(|(topic, ends)| (*topic, pick(ends)))
            .collect()
    };
    match to {
        SeekTo::Start => Ok(all(|ends| ends.start)),
        SeekTo::End => Ok(all(|ends| ends.end)),
        SeekTo::Offset(offset) => one_offset(&ends, offset),
        SeekTo::Time(time_ms) => at_time(log, &ends, (time_ms, now_ms)),
        SeekTo::PastDamage => past_damage(log, here),
    }
}

fn one_offset(
    ends: &BTreeMap<TopicNumber, headwater_storage::Ends>,
    offset: i64,
) -> Result<BTreeMap<TopicNumber, i64>, GroupError> {
    let mut topics = ends.iter();
    let (Some((topic, ends)), None) = (topics.next(), topics.next()) else {
        return Err(GroupError::Seek(
            "an offset is of one topic, and this group has several: name one with --topic"
                .to_owned(),
        ));
    };
    if offset < ends.start || offset > ends.end {
        return Err(GroupError::Seek(format!(
            "offset {offset} is outside of the retained range {} to {}",
            ends.start, ends.end
        )));
    }
    Ok(BTreeMap::from([(*topic, offset)]))
}

/// Where each topic was right before the first transaction that is not older: one commit frame for all of them.
fn at_time(
    log: &Log,
    ends: &BTreeMap<TopicNumber, headwater_storage::Ends>,
    (time_ms, now_ms): (i64, i64),
) -> Result<BTreeMap<TopicNumber, i64>, GroupError> {
    if time_ms > now_ms {
        return Err(GroupError::Seek(
            "the time is in the future; seek to end instead".to_owned(),
        ));
    }
    if let Some(oldest) = oldest_retained(log, ends).filter(|oldest| time_ms < *oldest) {
        let age = (now_ms - oldest) / 1000;
        return Err(GroupError::Seek(format!(
            "the records of that time are deleted: the oldest are {age} s old; seek to start instead"
        )));
    }
    let found = log.ends_at_time(time_ms).map_err(|error| {
        GroupError::Seek(format!(
            "the transaction of that time cannot be found: {error}"
        ))
    })?;
    let of_group = ends
        .keys()
        .filter_map(|topic| Some((*topic, *found.ends.get(topic)?)));
    Ok(of_group.collect())
}

/// Time of the oldest record of these topics, if retention has deleted any before it.
fn oldest_retained(
    log: &Log,
    ends: &BTreeMap<TopicNumber, headwater_storage::Ends>,
) -> Option<i64> {
    let cut = ends.iter().filter(|(_, ends)| ends.start > 0);
    let times = cut.filter_map(|(topic, ends)| time_at(log, *topic, ends.start).ok().flatten());
    times.min()
}

/// Steps over what cannot be read from each position on.
fn past_damage(
    log: &Log,
    here: &BTreeMap<TopicPartition, Position>,
) -> Result<BTreeMap<TopicNumber, i64>, GroupError> {
    let mut moved = BTreeMap::new();
    for (at, position) in here {
        let mut offset = position.offset;
        for _ in 0..DAMAGED_RANGES_MAX {
            match log.read(at.topic, offset, 1) {
                Err(ReadError::Corrupt { to, .. }) if to > offset => offset = to,
                Ok(_) | Err(_) => break,
            }
        }
        if offset != position.offset {
            moved.insert(at.topic, offset);
        }
    }
    if moved.is_empty() {
        return Err(GroupError::Seek(
            "none of the group's positions is damaged; it can go on from where it is".to_owned(),
        ));
    }
    Ok(moved)
}

fn seek_move(
    log: &Log,
    catalog: &Catalog,
    here: &BTreeMap<TopicPartition, Position>,
    (number, to, now_ms): (TopicNumber, i64, i64),
) -> Option<SeekMove> {
    let topic = catalog.topic(number)?;
    let at = TopicPartition {
        topic: number,
        partition: 0,
    };
    let from = here.get(&at).map(|position| position.offset);
    let time = |offset| time_at(log, number, offset).ok().flatten();
    let to_time_ms = time(to);
    let is_dts = catalog
        .feed(topic.feed)
        .is_some_and(|feed| feed.format == DTS_FORMAT);
    let seconds = to_time_ms.filter(|_| is_dts).map(|time| time / 1000);
    Some(SeekMove {
        topic: topic.name.clone(),
        partition: at.partition,
        from,
        from_time_ms: from.and_then(time),
        to: Some(to),
        to_time_ms,
        records: from.map_or(0, |from| to - from),
        at,
        position: Some(Position {
            offset: to,
            leader_epoch: -1,
            commit_ms: now_ms,
            // DTS clients go by this, not by the offset.
            metadata: seconds.map_or_else(String::new, |seconds| seconds.to_string()),
        }),
    })
}
