//! Which groups lose records that they have not read when retention deletes files.

use headwater_storage::{DeletedRange, InstanceNumber, Position, StorageError, TopicPartition};

use super::GroupService;

/// What one group lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LostUnread {
    /// Kafka's `group.id`.
    pub(crate) group: String,
    /// In each topic, from the group's position to the new log start. Not empty.
    pub(crate) ranges: Vec<DeletedRange>,
}

impl LostUnread {
    /// How many offsets, over all topics.
    pub(crate) fn offsets(&self) -> i64 {
        let lengths = self.ranges.iter().map(|range| range.to - range.from);
        lengths.fold(0, i64::saturating_add)
    }
}

impl GroupService {
    /// The groups of `instance` whose positions stood in what was deleted, each position once: one that an earlier
    /// deletion left behind was told then. Blocks on the disk.
    ///
    /// # Errors
    /// As [`headwater_storage::PositionStore::positions`].
    pub(crate) fn lost_unread(
        &self,
        instance: InstanceNumber,
        deleted: &[DeletedRange],
    ) -> Result<Vec<LostUnread>, StorageError> {
        let mut lost = Vec::new();
        for group in self.all(&self.directory.catalog()) {
            if group.instance() != Some(instance) {
                continue;
            }
            let ranges = unread(&self.store.positions(group.number)?, deleted);
            if !ranges.is_empty() {
                let group = group.id.clone();
                lost.push(LostUnread { group, ranges });
            }
        }
        Ok(lost)
    }
}

/// What of `deleted` stands at or behind a position that is in it. `deleted` ascends by topic, as retention gives it.
fn unread(positions: &[(TopicPartition, Position)], deleted: &[DeletedRange]) -> Vec<DeletedRange> {
    let unread = positions.iter().filter_map(|(at, position)| {
        let index = deleted.binary_search_by_key(&at.topic, |range| range.topic);
        let range = index.ok().and_then(|index| deleted.get(index))?;
        let is_in = (range.from..range.to).contains(&position.offset);
        let from = position.offset;
        is_in.then_some(DeletedRange { from, ..*range })
    });
    unread.collect()
}

#[cfg(test)]
mod tests {
    use headwater_storage::TopicNumber;

    use super::*;

    #[test]
    fn a_position_is_lost_by_the_deletion_that_it_stands_in_and_by_no_other() {
        let position = |topic, offset| {
            let at = TopicPartition {
                topic: TopicNumber(topic),
                partition: 0,
            };
            let position = Position {
                offset,
                leader_epoch: -1,
                commit_ms: 0,
                metadata: String::new(),
            };
            (at, position)
        };
        let range = |topic, from, to| DeletedRange {
            topic: TopicNumber(topic),
            from,
            to,
        };
        let deleted = [range(2, 10, 20), range(5, 0, 7)];
        for (offset, lost) in [
            (9, None),
            (10, Some(range(2, 10, 20))),
            (19, Some(range(2, 19, 20))),
            (20, None),
        ] {
            let found = unread(&[position(1, 3), position(2, offset)], &deleted);
            assert_eq!(found, Vec::from_iter(lost), "offset {offset}");
        }
        let both = unread(&[position(2, 12), position(5, 0)], &deleted);
        let group = "g".to_owned();
        let lost = LostUnread {
            group,
            ranges: both,
        };
        assert_eq!(lost.offsets(), 8 + 7);
    }
}
