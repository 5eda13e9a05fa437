//! The groups' logs in sled: reading, writing many groups with one sync, forgetting.
//!
//! A write is turned into *units*, each of which must be applied whole: one position, one history entry, one
//! membership. Units are gathered into commits of at most [`COMMIT_BYTES_MAX`] bytes, which are atomic.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    copy,
    history::{History, Kept},
    value::{
        FirstUse, GroupEvent, HistoryEntry, Membership, Move, Position, RestoredFrom,
        TopicPartition,
    },
};
use crate::{
    catalog::{Catalog, from_json, to_json},
    disk::SegmentStore,
    error::StorageError,
    frame::FrameError,
    meta::{COMMIT_BYTES_MAX, MetaBatch, MetaStore, VALUE_BYTES_MAX, key, long_value},
    number::{GroupNumber, TopicNumber},
};

/// A history entry longer than this leaves out the metadata.
const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// What is to become durable of one group, together.
#[derive(Debug, Clone)]
pub struct GroupWrite {
    /// Whose.
    pub group: GroupNumber,
    /// Wall clock, ms since 1970.
    pub at_ms: i64,
    /// For the history: a client or an operator.
    pub who: String,
    /// New positions; `None` takes one away. Each partition once.
    pub positions: Vec<(TopicPartition, Option<Position>)>,
    /// Generation and active member, where they change; `restored` in it does not count.
    pub membership: Option<Membership>,
    /// For the history.
    pub event: Option<GroupEvent>,
    /// Of a group that came into being on first use, where it changes.
    pub first_use: Option<FirstUse>,
}

/// Positions, history and memberships of all groups of a data directory. Any number of threads may read;
/// [`PositionStore::write`] and [`PositionStore::forget`] take turns.
#[derive(Debug)]
pub struct PositionStore {
    meta: Arc<dyn MetaStore>,
    disk: Arc<dyn SegmentStore>,
    directory_id: Uuid,
    groups: Mutex<HashMap<GroupNumber, Known>>,
    /// Something changed since the copy was written.
    uncopied: AtomicBool,
}

/// What a write has to know of a group.
#[derive(Debug, Default)]
struct Known {
    membership: Membership,
    history: History,
}

impl PositionStore {
    pub(crate) fn open(
        meta: Arc<dyn MetaStore>,
        disk: Arc<dyn SegmentStore>,
        directory_id: Uuid,
    ) -> Result<Self, StorageError> {
        let mut groups: HashMap<GroupNumber, Known> = HashMap::new();
        for (group, membership) in by_group(&*meta, key::MEMBERSHIPS)? {
            groups.entry(group).or_default().membership = membership;
        }
        let entries = long_value::scan(&*meta, key::HISTORIES, key::HISTORIES.len() + 12)?;
        for (entry_key, value) in entries {
            let (group, sequence) = entry_of(&entry_key)?;
            let entry: HistoryEntry = from_json("sled: history", &value)?;
            let kept = Kept {
                sequence,
                bytes: value.len(),
                at_ms: entry.at_ms,
            };
            let is_commit = entry.event == GroupEvent::Commit;
            groups
                .entry(group)
                .or_default()
                .history
                .push(kept, is_commit);
        }
        Ok(Self {
            meta,
            disk,
            directory_id,
            groups: Mutex::new(groups),
            uncopied: AtomicBool::new(true),
        })
    }

    /// Generation and active member of a group; none of both if it never had one.
    #[must_use]
    pub fn membership(&self, group: GroupNumber) -> Membership {
        self.groups()
            .get(&group)
            .map_or_else(Membership::default, |known| known.membership.clone())
    }

    /// Whether the group's positions are those of a copy, and nobody has moved them since.
    #[must_use]
    pub fn restored(&self, group: GroupNumber) -> Option<RestoredFrom> {
        self.groups()
            .get(&group)
            .and_then(|known| known.membership.restored)
    }

    /// The groups that came into being on first use.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], [`StorageError::Refused`] or [`StorageError::Read`].
    pub fn first_uses(&self) -> Result<Vec<(GroupNumber, FirstUse)>, StorageError> {
        by_group(&*self.meta, key::FIRST_USES)
    }

    /// Where a group is in one partition.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], [`StorageError::Refused`] or [`StorageError::Read`].
    pub fn position(
        &self,
        group: GroupNumber,
        at: TopicPartition,
    ) -> Result<Option<Position>, StorageError> {
        let value = long_value::get(&*self.meta, &key::position(group, at.topic, at.partition))?;
        value.map(|value| decoded(&value)).transpose()
    }

    /// Where a group is, in the order of topic numbers.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], [`StorageError::Refused`] or [`StorageError::Read`].
    pub fn positions(
        &self,
        group: GroupNumber,
    ) -> Result<Vec<(TopicPartition, Position)>, StorageError> {
        let prefix = key::positions(group);
        let pairs = long_value::scan(&*self.meta, &prefix, prefix.len() + 6)?;
        pairs
            .iter()
            .map(|(key, value)| Ok((partition_of(key)?, decoded(value)?)))
            .collect()
    }

    /// What happened to a group, oldest first, with sequences.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], [`StorageError::Refused`] or [`StorageError::Read`].
    pub fn history(&self, group: GroupNumber) -> Result<Vec<(u64, HistoryEntry)>, StorageError> {
        let prefix = key::history(group);
        let pairs = long_value::scan(&*self.meta, &prefix, prefix.len() + 8)?;
        let entry = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Ok((entry_of(key)?.1, from_json("sled: history", value)?))
        };
        pairs.iter().map(entry).collect()
    }

    /// Makes `writes` durable, in order, with one sync up to [`COMMIT_BYTES_MAX`] bytes. Each write of up to that size
    /// is there whole or not at all after a crash.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] when a write or sync failed, now or before: the process must exit. As
    /// [`PositionStore::positions`] for what has to be read first; then nothing was written.
    pub fn write(&self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        let mut groups = self.groups();
        let mut batch = MetaBatch::default();
        for write in writes {
            let known = groups.entry(write.group).or_default();
            let units = self.units(known, write)?;
            let bytes: usize = units.iter().map(MetaBatch::bytes).sum();
            if batch.bytes() + bytes > COMMIT_BYTES_MAX {
                self.meta.commit(&std::mem::take(&mut batch))?;
            }
            for mut unit in units {
                if batch.bytes() + unit.bytes() > COMMIT_BYTES_MAX {
                    self.meta.commit(&std::mem::take(&mut batch))?;
                }
                batch.changes.append(&mut unit.changes);
            }
        }
        self.meta.commit(&batch)?;
        self.uncopied.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Removes everything of a group; of one of the catalog its history stays. Durable when it returns.
    ///
    /// # Errors
    /// As [`PositionStore::write`].
    pub fn forget(&self, group: GroupNumber) -> Result<(), StorageError> {
        let mut groups = self.groups();
        let mut prefixes = vec![key::positions(group), key::membership(group)];
        if group.is_first_use() {
            // Last, so that a group that is half gone is known and goes again.
            prefixes.extend([key::history(group), key::first_use(group)]);
            groups.remove(&group);
        } else if let Some(known) = groups.get_mut(&group) {
            known.membership = Membership::default();
        }
        let mut batch = MetaBatch::default();
        for prefix in prefixes {
            let keys = self.meta.scan(&prefix)?.into_iter().map(|(key, _)| key);
            batch.changes.extend(keys.map(|key| (key, None)));
        }
        self.meta.commit(&batch)?;
        self.uncopied.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Writes `positions.copy` anew if anything changed since. Whether it did.
    ///
    /// # Errors
    /// [`StorageError::Read`] where it cannot be written: the old copy is there, and the next call tries again. As
    /// [`PositionStore::positions`].
    pub fn write_copy(&self, catalog: &Catalog, now_ms: i64) -> Result<bool, StorageError> {
        if !self.uncopied.swap(false, Ordering::Relaxed) {
            return Ok(false);
        }
        let written = copy::write(&*self.disk, self, catalog, (self.directory_id, now_ms));
        if written.is_err() {
            self.uncopied.store(true, Ordering::Relaxed);
        }
        written.map(|()| true)
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<GroupNumber, Known>> {
        // A writer that panicked answered nobody; what it left is at worst an entry that was not stored.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a write changes, in pieces that must be applied whole.
    fn units(&self, known: &mut Known, write: &GroupWrite) -> Result<Vec<MetaBatch>, StorageError> {
        let mut units = Vec::new();
        if let Some(event) = self.event_to_keep(known, write)? {
            units.extend(self.history_units(known, write, event)?);
        }
        for (at, position) in &write.positions {
            let key = key::position(write.group, at.topic, at.partition);
            units.push(self.unit(&key, position.as_ref().map(Position::encode).as_deref())?);
        }
        let moved = !write.positions.is_empty();
        if let Some(membership) = &write.membership {
            known.membership.generation = membership.generation;
            known.membership.active = membership.active.clone();
        }
        if write.membership.is_some() || (moved && known.membership.restored.is_some()) {
            if moved {
                known.membership.restored = None;
            }
            units.push(self.json_unit(&key::membership(write.group), &known.membership)?);
        }
        if let Some(first_use) = &write.first_use {
            units.push(self.json_unit(&key::first_use(write.group), first_use)?);
        }
        Ok(units)
    }

    /// An ordinary commit once a minute; whatever moves the group back, always.
    fn event_to_keep<'a>(
        &self,
        known: &Known,
        write: &'a GroupWrite,
    ) -> Result<Option<&'a GroupEvent>, StorageError> {
        let Some(event) = write.event.as_ref() else {
            return Ok(None);
        };
        let ordinary = *event == GroupEvent::Commit && !known.history.wants_commit(write.at_ms);
        let kept = !ordinary || self.goes_back(write)?;
        Ok(kept.then_some(event))
    }

    fn goes_back(&self, write: &GroupWrite) -> Result<bool, StorageError> {
        for (at, to) in &write.positions {
            let from = self.position(write.group, *at)?;
            let back = from
                .zip(to.as_ref())
                .is_some_and(|(from, to)| to.offset < from.offset);
            if back {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn history_units(
        &self,
        known: &mut Known,
        write: &GroupWrite,
        event: &GroupEvent,
    ) -> Result<Vec<MetaBatch>, StorageError> {
        let entry = HistoryEntry {
            at_ms: write.at_ms,
            who: write.who.clone(),
            event: event.clone(),
            moves: self.moves(write)?,
        };
        let mut json = to_json(&entry)?;
        if json.len() > ENTRY_BYTES_MAX {
            json = to_json(&entry.without_metadata())?;
        }
        let sequence = known.history.next_sequence();
        let mut units = vec![self.unit(&key::history_entry(write.group, sequence), Some(&json))?];
        let kept = Kept {
            sequence,
            bytes: json.len(),
            at_ms: write.at_ms,
        };
        known.history.push(kept, *event == GroupEvent::Commit);
        for gone in known.history.trim(write.group, write.at_ms) {
            units.push(self.unit(&key::history_entry(write.group, gone.sequence), None)?);
        }
        Ok(units)
    }

    fn moves(&self, write: &GroupWrite) -> Result<Vec<Move>, StorageError> {
        if write.positions.is_empty() {
            let all = self.positions(write.group)?.into_iter();
            return Ok(all.map(|(at, here)| unmoved(at, here)).collect());
        }
        let moved = write.positions.iter().map(|(at, to)| {
            Ok(Move {
                at: *at,
                from: self.position(write.group, *at)?,
                to: to.clone(),
            })
        });
        moved.collect()
    }

    fn json_unit(&self, key: &[u8], value: &impl Serialize) -> Result<MetaBatch, StorageError> {
        self.unit(key, Some(&to_json(value)?))
    }

    /// Puts or removes one long value. A history entry may be larger than one commit; then it is new, and does not
    /// count until its chunk 0 is there.
    fn unit(&self, key: &[u8], value: Option<&[u8]>) -> Result<MetaBatch, StorageError> {
        let mut unit = MetaBatch::default();
        match value {
            Some(value) => long_value::put(&mut unit, &*self.meta, key, value)?,
            None => {
                let chunks = self.meta.scan(key)?.into_iter();
                unit.changes.extend(chunks.map(|(key, _)| (key, None)));
            }
        }
        Ok(unit)
    }
}

fn unmoved(at: TopicPartition, here: Position) -> Move {
    Move {
        at,
        from: Some(here.clone()),
        to: Some(here),
    }
}

fn decoded(value: &[u8]) -> Result<Position, StorageError> {
    Position::decode(value).map_err(|error| match error {
        FrameError::Newer(_) => StorageError::Refused(
            "sled holds a position that this headwater does not know; run the newer headwater"
                .to_owned(),
        ),
        other => StorageError::Damaged(format!("sled: position: {other}")),
    })
}

fn by_group<T: DeserializeOwned>(
    meta: &dyn MetaStore,
    prefix: &[u8],
) -> Result<Vec<(GroupNumber, T)>, StorageError> {
    let pairs = long_value::scan(meta, prefix, prefix.len() + 4)?;
    let value = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let number = tail(key, prefix.len()).map(u32::from_be_bytes);
        let number = number.ok_or_else(|| bad_key(key))?;
        Ok((GroupNumber(number), from_json("sled: group", value)?))
    };
    pairs.iter().map(value).collect()
}

fn entry_of(key: &[u8]) -> Result<(GroupNumber, u64), StorageError> {
    let group = tail(key, 1).map(u32::from_be_bytes);
    let sequence = tail(key, 5).map(u64::from_be_bytes);
    group
        .zip(sequence)
        .map(|(group, sequence)| (GroupNumber(group), sequence))
        .ok_or_else(|| bad_key(key))
}

fn partition_of(key: &[u8]) -> Result<TopicPartition, StorageError> {
    let topic = tail(key, 5).map(u32::from_be_bytes);
    let partition = tail(key, 9).map(u16::from_be_bytes);
    topic
        .zip(partition)
        .map(|(topic, partition)| TopicPartition {
            topic: TopicNumber(topic),
            partition,
        })
        .ok_or_else(|| bad_key(key))
}

/// `N` bytes of a key from `at` on.
fn tail<const N: usize>(key: &[u8], at: usize) -> Option<[u8; N]> {
    key.get(at..)?.first_chunk().copied()
}

fn bad_key(key: &[u8]) -> StorageError {
    StorageError::Damaged(format!("sled: no key of a group: {key:02x?}"))
}

/// A position fits two chunks, so that a unit of it fits every commit.
const _: () = assert!(super::METADATA_BYTES_MAX + 24 < 2 * VALUE_BYTES_MAX - 8);
