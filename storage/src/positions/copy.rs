//! `positions.copy`: the positions of all groups of the catalog once more, for a start that has to do without sled
//! (`docs/format.md`, "positions.copy").

use std::{collections::HashMap, io};

use uuid::Uuid;

use super::{
    store::PositionStore,
    value::{GroupEvent, HistoryEntry, Membership, Move, Position, RestoredFrom, TopicPartition},
};
use crate::{
    catalog::{Catalog, to_json},
    codec::{Input, Output},
    disk::SegmentStore,
    error::StorageError,
    frame::FrameError,
    meta::{MetaBatch, MetaStore, key, long_value},
    number::{GroupNumber, TopicNumber},
    whole_file,
};

const NAME: &str = "positions.copy";
const MAGIC: &[u8; 8] = b"HWPOSCPY";
const VERSION: u32 = 1;
/// What the checksum covers of the header, and where it stands.
const CRC_AT: usize = 40;
const HEADER_BYTES: usize = 44;
const GROUP_BYTES: usize = 16;
const POSITION_BYTES: usize = 28;

/// Largest copy that is read, bytes: 1,000 groups of 10,000 topics.
const COPY_BYTES_MAX: usize = 1 << 30;

/// What [`restore_positions`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredPositions {
    /// When the copy was written, ms since 1970; `None`: there was none that could be used.
    pub from_ms: Option<i64>,
    /// Groups that got their positions back.
    pub groups: usize,
    /// Groups of the catalog, all of them marked.
    pub marked: usize,
}

#[derive(Debug, PartialEq)]
struct Copy {
    written_ms: i64,
    groups: Vec<CopiedGroup>,
}

#[derive(Debug, PartialEq)]
struct CopiedGroup {
    number: GroupNumber,
    generation: i32,
    id: String,
    positions: Vec<(TopicPartition, Position)>,
}

/// Writes the copy anew.
pub(super) fn write(
    disk: &dyn SegmentStore,
    store: &PositionStore,
    catalog: &Catalog,
    (directory_id, now_ms): (Uuid, i64),
) -> Result<(), StorageError> {
    let mut groups = Vec::new();
    for group in catalog.groups() {
        groups.push(CopiedGroup {
            number: group.number,
            generation: store.membership(group.number).generation,
            id: group.id.clone(),
            positions: store.positions(group.number)?,
        });
    }
    let copy = Copy {
        written_ms: now_ms,
        groups,
    };
    whole_file::replace(disk, NAME, &encode(&copy, directory_id))
        .map(drop)
        .map_err(|source| StorageError::Read {
            what: format!("{NAME}, which was to be written anew"),
            source,
        })
}

/// Puts the positions of the copy into a sled that was made anew, for the groups that `catalog` has, and marks every
/// one of them: `position restored from <time>`. To be called once, before [`PositionStore`] is opened.
///
/// # Errors
/// [`StorageError::Poisoned`] where sled fails; a copy that is missing or cannot be used is no error.
pub fn restore_positions(
    disk: &dyn SegmentStore,
    meta: &dyn MetaStore,
    catalog: &Catalog,
    directory_id: Uuid,
    now_ms: i64,
) -> Result<RestoredPositions, StorageError> {
    let copy = match read(disk, directory_id) {
        Ok(copy) => Some(copy),
        Err(why) => {
            tracing::warn!(
                why,
                "{NAME} cannot be used; the groups have lost their positions"
            );
            None
        }
    };
    let from_ms = copy.as_ref().map(|copy| copy.written_ms);
    let copied = copy.into_iter().flat_map(|copy| copy.groups);
    let mut copied: HashMap<_, _> = copied.map(|group| (group.number, group)).collect();
    let mut restored = RestoredPositions {
        from_ms,
        groups: 0,
        marked: 0,
    };
    for group in catalog.groups() {
        let found = copied.remove(&group.number).filter(|c| c.id == group.id);
        restored.groups += usize::from(found.is_some());
        restored.marked += 1;
        restore_group(meta, group.number, found, (from_ms, now_ms))?;
    }
    Ok(restored)
}

fn restore_group(
    meta: &dyn MetaStore,
    group: GroupNumber,
    copied: Option<CopiedGroup>,
    (from_ms, at_ms): (Option<i64>, i64),
) -> Result<(), StorageError> {
    let generation = copied.as_ref().map_or(0, |copied| copied.generation);
    let positions = copied.map_or_else(Vec::new, |copied| copied.positions);
    for (at, position) in &positions {
        let key = key::position(group, at.topic, at.partition);
        put(meta, &key, &position.encode())?;
    }
    let moves = positions.into_iter().map(|(at, position)| Move {
        at,
        from: None,
        to: Some(position),
    });
    let entry = HistoryEntry {
        at_ms,
        who: "headwater".to_owned(),
        event: GroupEvent::Restored { from_ms },
        moves: moves.collect(),
    };
    put(meta, &key::history_entry(group, 1), &to_json(&entry)?)?;
    // What was told to a member after the copy was written is not known; the gap makes up for it.
    let membership = Membership {
        generation: generation.saturating_add(GENERATION_GAP),
        active: None,
        restored: Some(RestoredFrom { from_ms, at_ms }),
    };
    put(meta, &key::membership(group), &to_json(&membership)?)
}

/// Generations that may have been given away since the copy was written.
const GENERATION_GAP: i32 = 1_000;

fn put(meta: &dyn MetaStore, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
    let mut batch = MetaBatch::default();
    long_value::put(&mut batch, meta, key, value)?;
    meta.commit(&batch)
}

fn read(disk: &dyn SegmentStore, directory_id: Uuid) -> Result<Copy, String> {
    let found = whole_file::read(disk, NAME, COPY_BYTES_MAX);
    match found {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(format!("it is over {COPY_BYTES_MAX} bytes"))
        }
        Err(error) => Err(error.to_string()),
        Ok(None) => Err("it is missing".to_owned()),
        Ok(Some((_, bytes))) => decode(&bytes, directory_id),
    }
}

fn encode(copy: &Copy, directory_id: Uuid) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.u32(VERSION);
    bytes.extend_from_slice(directory_id.as_bytes());
    bytes.i64(copy.written_ms);
    bytes.count(copy.groups.len());
    let mut body = Vec::new();
    for group in &copy.groups {
        encode_group(&mut body, group);
    }
    bytes.u32(checksum(&bytes, &body));
    bytes.extend_from_slice(&body);
    bytes
}

fn encode_group(body: &mut Vec<u8>, group: &CopiedGroup) {
    body.u32(group.number.0);
    body.i32(group.generation);
    body.count(group.positions.len());
    body.u16(short(group.id.len()));
    body.u16(0);
    body.extend_from_slice(group.id.as_bytes());
    for (at, position) in &group.positions {
        body.u32(at.topic.0);
        body.u16(at.partition);
        body.u16(short(position.metadata.len()));
        body.i32(position.leader_epoch);
        body.i64(position.offset);
        body.i64(position.commit_ms);
        body.extend_from_slice(position.metadata.as_bytes());
    }
}

fn decode(bytes: &[u8], directory_id: Uuid) -> Result<Copy, String> {
    let damaged = |_: FrameError| "it is damaged".to_owned();
    let (header, body) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or("it is damaged")?;
    let mut input = Input::new(header);
    let magic = input.bytes(MAGIC.len()).map_err(damaged)?;
    let version = input.u32().map_err(damaged)?;
    if magic == MAGIC && version > VERSION {
        return Err(format!(
            "it has version {version}, this headwater reads {VERSION}"
        ));
    }
    let id = input.bytes(16).map_err(damaged)?;
    let written_ms = input.i64().map_err(damaged)?;
    let count = input.u32().map_err(damaged)?;
    let crc = input.u32().map_err(damaged)?;
    let covered = header.get(..CRC_AT).unwrap_or_default();
    if magic != MAGIC || crc != checksum(covered, body) {
        return Err("it is damaged".to_owned());
    }
    if id != directory_id.as_bytes() {
        return Err("it belongs to another data directory".to_owned());
    }
    let mut input = Input::new(body);
    let groups = input.list(count, GROUP_BYTES, decode_group);
    let groups = groups.map_err(damaged)?;
    input.end().map_err(damaged)?;
    Ok(Copy { written_ms, groups })
}

fn decode_group(input: &mut Input<'_>) -> Result<CopiedGroup, FrameError> {
    let number = GroupNumber(input.u32()?);
    let generation = input.i32()?;
    let count = input.u32()?;
    let id_bytes = usize::from(input.u16()?);
    input.zeros(2)?;
    let id = text(input, id_bytes)?;
    let positions = input.list(count, POSITION_BYTES, decode_position)?;
    Ok(CopiedGroup {
        number,
        generation,
        id,
        positions,
    })
}

fn decode_position(input: &mut Input<'_>) -> Result<(TopicPartition, Position), FrameError> {
    let at = TopicPartition {
        topic: TopicNumber(input.u32()?),
        partition: input.u16()?,
    };
    let metadata_bytes = usize::from(input.u16()?);
    let position = Position {
        leader_epoch: input.i32()?,
        offset: input.i64()?,
        commit_ms: input.i64()?,
        metadata: text(input, metadata_bytes)?,
    };
    Ok((at, position))
}

fn text(input: &mut Input<'_>, bytes: usize) -> Result<String, FrameError> {
    let bytes = input.bytes(bytes)?.to_vec();
    String::from_utf8(bytes).map_err(|_| FrameError::Malformed)
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}

/// A length whose bound is checked where it comes from: ids and metadata.
fn short(length: usize) -> u16 {
    u16::try_from(length).expect("ids and metadata are shorter than 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy() -> Copy {
        let position = |offset, metadata: &str| Position {
            offset,
            leader_epoch: 2,
            commit_ms: 3,
            metadata: metadata.to_owned(),
        };
        let at = |topic| TopicPartition {
            topic: TopicNumber(topic),
            partition: 0,
        };
        Copy {
            written_ms: 1_790_000_000_000,
            groups: vec![
                CopiedGroup {
                    number: GroupNumber(1),
                    generation: 5,
                    id: "sync".to_owned(),
                    positions: vec![(at(1), position(7, "m")), (at(2), position(8, ""))],
                },
                CopiedGroup {
                    number: GroupNumber(2),
                    generation: 0,
                    id: "audit".to_owned(),
                    positions: vec![],
                },
            ],
        }
    }

    #[test]
    fn a_copy_comes_back_as_it_was_and_for_its_directory_only() {
        let id = Uuid::from_u128(7);
        let bytes = encode(&copy(), id);
        assert_eq!(decode(&bytes, id), Ok(copy()));
        let other = decode(&bytes, Uuid::from_u128(8)).expect_err("is another's");
        assert!(other.contains("another data directory"), "{other}");
    }

    #[test]
    fn a_copy_with_any_byte_changed_or_missing_is_refused() {
        let id = Uuid::from_u128(7);
        let bytes = encode(&copy(), id);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert!(decode(&bad, id).is_err(), "byte {at}");
            assert!(decode(&bytes[..at], id).is_err(), "length {at}");
        }
    }
}
