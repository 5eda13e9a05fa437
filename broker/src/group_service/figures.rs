//! What the metrics tell of groups. Groups that an operator made are told one by one; of groups of first use only the
//! oldest, since throwaway ones come and go by hundreds, and the number of all (`docs/decisions/0021-*`).

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use headwater_storage::{Catalog, GroupNumber, Position, StorageError, TopicPartition};

use super::{
    GroupError, GroupService, LiveGroup, PositionState, TopicReport,
    report::{self, KnownTimes},
};
use crate::{
    group::{GroupView, Role},
    limits::{FIRST_USE_GROUPS_TOLD_MAX, GROUP_POSITIONS_TOLD_MAX, GROUPS_TOLD_MAX},
};

/// All groups at one moment.
#[derive(Debug, Default)]
pub(crate) struct GroupFigures {
    /// Groups that an operator made.
    pub(crate) made: usize,
    /// Groups that came into being on first use.
    pub(crate) first_use: usize,
    /// By id; at most [`GROUPS_TOLD_MAX`] and [`FIRST_USE_GROUPS_TOLD_MAX`].
    pub(crate) groups: Vec<GroupFigure>,
}

/// One group.
#[derive(Debug)]
pub(crate) struct GroupFigure {
    /// Kafka's `group.id`.
    pub(crate) id: String,
    /// Empty: it has named no topic yet.
    pub(crate) instance: String,
    pub(crate) active: usize,
    /// Candidates among them.
    pub(crate) standbys: usize,
    /// Since this start.
    pub(crate) commits: u64,
    pub(crate) fenced: u64,
    pub(crate) takeovers: u64,
    /// As in [`super::GroupReport`].
    pub(crate) lag_records: i64,
    pub(crate) lag_seconds: i64,
    /// Positions that cannot be read from, as [`LOST_STATES`].
    pub(crate) lost: [usize; LOST_STATES.len()],
    /// Whether its positions are those of a copy.
    pub(crate) restored: bool,
    /// Topic names and offsets, of all groups together at most [`GROUP_POSITIONS_TOLD_MAX`].
    pub(crate) positions: Vec<(String, i64)>,
}

/// What can be wrong with a position, and its label.
pub(crate) const LOST_STATES: [(PositionState, &str); 3] = [
    (PositionState::Deleted, "deleted"),
    (PositionState::Damaged, "damaged"),
    (PositionState::BeyondEnd, "beyond_end"),
];

/// Times of the records at the groups' positions, from one scrape to the next, so that a group that stands still, or has
/// read everything, costs no read of the log.
#[derive(Debug, Default)]
pub(super) struct TimesOfGroups(HashMap<GroupNumber, KnownTimes>);

impl GroupService {
    /// How all groups are now. Reads the disk, off the runtime; one at a time.
    ///
    /// # Errors
    /// [`GroupError::Storage`].
    pub(crate) async fn figures(&self) -> Result<GroupFigures, GroupError> {
        let mut times = self.times.lock().await;
        let catalog = self.directory.catalog();
        let told = self.told(&catalog);
        let mut next = HashMap::new();
        let mut figures = GroupFigures {
            made: catalog.groups().count(),
            first_use: self.registry.first_uses(),
            groups: Vec::with_capacity(told.len()),
        };
        let mut room = GROUP_POSITIONS_TOLD_MAX;
        for live in told {
            let Some(view) = live.view().await else {
                continue;
            };
            let known = times.0.remove(&live.number).unwrap_or_default();
            let (topics, known) = self.topics_of(&catalog, &live, known).await?;
            let mut figure = self.figure(&catalog, &live, (&view, &topics));
            let positions = topics.into_iter().take(room);
            figure.positions = positions.map(|topic| (topic.topic, topic.offset)).collect();
            room -= figure.positions.len();
            next.insert(live.number, known);
            figures.groups.push(figure);
        }
        figures.groups.sort_by(|a, b| a.id.cmp(&b.id));
        *times = TimesOfGroups(next);
        Ok(figures)
    }

    fn told(&self, catalog: &Catalog) -> Vec<Arc<LiveGroup>> {
        let mut all = self.all(catalog);
        // Numbers ascend with age, those of first use behind all others.
        all.sort_by_key(|live| live.number.0);
        let (mut made, mut first_use): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|live| !live.number.is_first_use());
        made.truncate(GROUPS_TOLD_MAX);
        first_use.truncate(FIRST_USE_GROUPS_TOLD_MAX);
        made.append(&mut first_use);
        made
    }

    async fn topics_of(
        &self,
        catalog: &Arc<Catalog>,
        live: &LiveGroup,
        known: KnownTimes,
    ) -> Result<(Vec<TopicReport>, KnownTimes), GroupError> {
        let log = live.instance().and_then(|instance| self.log(instance));
        let Some(log) = log else {
            return Ok((Vec::new(), known));
        };
        let positions: Result<Vec<(TopicPartition, Position)>, StorageError> =
            self.positions(live).await;
        report::topics(log, catalog, (positions?, known), self.clock.wall_ms()).await
    }

    fn figure(
        &self,
        catalog: &Catalog,
        live: &LiveGroup,
        (view, topics): (&GroupView, &[TopicReport]),
    ) -> GroupFigure {
        let instance = live.instance().and_then(|number| catalog.instance(number));
        let active = view.members.iter().filter(|m| m.role == Role::Active);
        let active = active.count();
        let (lag_records, lag_seconds) = report::lag(topics);
        GroupFigure {
            id: live.id.clone(),
            instance: instance.map_or_else(String::new, |instance| instance.name.clone()),
            active,
            standbys: view.members.len() - active,
            commits: live.counts.commits.load(Ordering::Relaxed),
            fenced: live.counts.fenced.load(Ordering::Relaxed),
            takeovers: live.counts.takeovers.load(Ordering::Relaxed),
            lag_records,
            lag_seconds,
            lost: LOST_STATES.map(|(state, _)| {
                let lost = topics.iter().filter(|topic| topic.state == state);
                lost.count()
            }),
            restored: self.store.restored(live.number).is_some(),
            positions: Vec::new(),
        }
    }
}
