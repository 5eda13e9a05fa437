//! Commits, and positions for those who ask.

use std::{collections::HashMap, sync::atomic::Ordering};

use headwater_storage::{GroupEvent, GroupWrite, Position, StorageError, TopicPartition};

use super::{GroupService, LiveGroup};
use crate::{error_code::Refusal, group::Caller};

/// What a client commits.
#[derive(Debug)]
pub(crate) struct NewPositions<'a> {
    pub(crate) caller: Caller<'a>,
    /// Below 0: the client assigns its partitions itself, or is a tool.
    pub(crate) generation: i32,
    /// The last one counts, of a partition that is named twice.
    pub(crate) positions: HashMap<TopicPartition, Position>,
    /// For the history.
    pub(crate) who: String,
}

impl GroupService {
    /// Checks that the caller may commit now, and makes its positions durable: one step for everybody else.
    pub(crate) async fn commit(
        &self,
        group: &LiveGroup,
        new: NewPositions<'_>,
    ) -> Result<(), Refusal> {
        let mut live = group.lock().await?;
        let now = self.clock.now();
        let checked = live
            .coordinator
            .check_commit(now, new.caller, new.generation);
        if checked.is_err() {
            group.counts.fenced.fetch_add(1, Ordering::Relaxed);
        }
        checked?;
        live.used(now.monotonic);
        if new.positions.is_empty() {
            return Ok(());
        }
        let mut positions: Vec<_> = new
            .positions
            .into_iter()
            .map(|(at, p)| (at, Some(p)))
            .collect();
        positions.sort_unstable_by_key(|(at, _)| *at);
        let write = GroupWrite {
            positions,
            event: Some(GroupEvent::Commit),
            ..live.write(group, now.wall_ms, new.who)
        };
        self.write(write).await?;
        live.written();
        group.counts.commits.fetch_add(1, Ordering::Relaxed);
        let took = self.clock.monotonic().saturating_sub(now.monotonic);
        self.metrics.committed(took);
        Ok(())
    }

    /// Takes positions away; only while the group has no members.
    pub(crate) async fn remove_positions(
        &self,
        group: &LiveGroup,
        partitions: Vec<TopicPartition>,
        who: String,
    ) -> Result<(), Refusal> {
        let mut live = group.lock().await?;
        if !live.coordinator.is_empty() {
            return Err(Refusal::GroupSubscribedToTopic);
        }
        if partitions.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let write = GroupWrite {
            positions: partitions.into_iter().map(|at| (at, None)).collect(),
            event: Some(GroupEvent::Seek {
                to: "no position".to_owned(),
            }),
            ..live.write(group, now.wall_ms, who)
        };
        self.write(write).await?;
        live.written();
        Ok(())
    }

    /// Where the group is.
    pub(crate) async fn positions(
        &self,
        group: &LiveGroup,
    ) -> Result<Vec<(TopicPartition, Position)>, StorageError> {
        let number = group.number;
        self.read(move |store| store.positions(number)).await
    }
}
