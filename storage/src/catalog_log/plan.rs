//! What a start does with the `catalog.log` it finds: a pure decision over its bytes and what sled knows.
//!
//! | found                                                     | then                                       |
//! |-----------------------------------------------------------|--------------------------------------------|
//! | whole changes, one by one, up to one that sled knows      | keep the file; replay what sled lacks      |
//! | the same, and behind them the torn start of the next      | the same, and cut it                       |
//! | damage, or an end before what sled knows                  | replay what sled lacks, rewrite from sled  |
//! | damage in, or a gap before, a change that sled lacks and a later one follows | refuse: it cannot be had |

use std::ops::Range;

use super::record::{HEADER_BYTES, Record, decode_header, records};
use crate::error::StorageError;

/// What to do, in this order: replay, then keep or rewrite.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whole changes that sled does not know, in order, each with its records.
    pub(super) replay: Vec<(u64, Vec<Record>)>,
    /// The changes before those, if the log is whole: together they are the whole catalog.
    pub(super) known: Vec<(u64, Vec<Record>)>,
    /// `None`: damaged; to be rewritten from sled.
    pub(super) keep: Option<Keep>,
}

/// How a file that is whole goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keep {
    /// Bytes of `replay`, which may be in the page cache only.
    pub(super) unknown: Range<usize>,
    /// Whether something other than zeros is behind them.
    pub(super) torn: bool,
}

/// `known` is the number of the last change that sled has.
pub(super) fn plan(file: &[u8], known: u64) -> Result<Plan, StorageError> {
    let records = records(file);
    let whole = leading_changes(file, &records);
    let end = whole.last().map_or(HEADER_BYTES, |change| change.end());
    let last = whole.last().map_or(0, |change| change.number);
    let seen = records
        .iter()
        .map(|record| record.number)
        .max()
        .unwrap_or(0);
    // Only the change after the last whole one can be torn: each was synced before the next was begun.
    let intact = decode_header(file).is_some() && last >= known && seen <= last.max(known) + 1;
    if !intact || (seen > last && is_whole(&records, seen)) {
        return Ok(Plan {
            replay: scattered(&records, known, seen)?,
            known: Vec::new(),
            keep: None,
        });
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        whole.into_iter().partition(|change| change.number <= known);
    let start = unknown.first().map_or(end, Change::start);
    let torn = file
        .get(end..)
        .unwrap_or_default()
        .iter()
        .any(|byte| *byte != 0);
    let numbered = |changes: Vec<Change>| {
        let changes = changes.into_iter();
        changes
            .map(|change| (change.number, change.records))
            .collect()
    };
    Ok(Plan {
        replay: numbered(unknown),
        known: numbered(known),
        keep: Some(Keep {
            unknown: start..end,
            torn,
        }),
    })
}

#[derive(Debug)]
struct Change {
    number: u64,
    records: Vec<Record>,
}

impl Change {
    fn start(&self) -> usize {
        self.records
            .first()
            .map_or(HEADER_BYTES, |record| record.range.start)
    }

    fn end(&self) -> usize {
        self.records
            .last()
            .map_or(HEADER_BYTES, |record| record.range.end)
    }
}

/// The changes from the file's start on that are whole, consecutive, and without a byte between them. The first
/// may have any number: a rewritten file begins with all that sled had.
fn leading_changes(file: &[u8], records: &[Record]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut rest = records;
    if decode_header(file).is_none() {
        return changes;
    }
    while let Some(first) = rest.first() {
        let end = changes.last().map_or(HEADER_BYTES, Change::end);
        let follows = changes
            .last()
            .is_none_or(|before| before.number.checked_add(1) == Some(first.number));
        let parts = usize::try_from(first.parts).unwrap_or(usize::MAX);
        let Some((change, behind)) = rest.split_at_checked(parts) else {
            break;
        };
        if !follows || first.range.start != end || !is_change(change) {
            break;
        }
        changes.push(Change {
            number: first.number,
            records: change.to_vec(),
        });
        rest = behind;
    }
    changes
}

/// Whether these records, side by side, are all parts of one change.
fn is_change(records: &[Record]) -> bool {
    let Some(first) = records.first() else {
        return false;
    };
    let same = |record: &Record| (record.number, record.parts) == (first.number, first.parts);
    let adjacent = |pair: &[Record]| match pair {
        [a, b] => a.range.end == b.range.start,
        _ => true,
    };
    records.len() == first.parts as usize
        && records.iter().all(same)
        && records
            .iter()
            .zip(0..)
            .all(|(record, part)| record.part == part)
        && records.windows(2).all(adjacent)
}

fn is_whole(records: &[Record], number: u64) -> bool {
    whole_change(records, number).is_some()
}

/// The records of a change, wherever in the file they are.
fn whole_change(records: &[Record], number: u64) -> Option<Vec<Record>> {
    let starts = records
        .iter()
        .enumerate()
        .filter(|(_, r)| r.number == number && r.part == 0);
    let mut candidates = starts.filter_map(|(at, first)| {
        let parts = usize::try_from(first.parts).ok()?;
        records.get(at..at.checked_add(parts)?)
    });
    candidates
        .find(|records| is_change(records))
        .map(<[Record]>::to_vec)
}

/// Out of a damaged file: every change behind `known`. The last one seen may be torn, the others may not.
fn scattered(
    records: &[Record],
    known: u64,
    seen: u64,
) -> Result<Vec<(u64, Vec<Record>)>, StorageError> {
    let mut replay = Vec::new();
    for number in known.saturating_add(1)..=seen {
        match whole_change(records, number) {
            Some(records) => replay.push((number, records)),
            None if number == seen => {}
            None => {
                return Err(StorageError::Damaged(format!(
                    "catalog.log: change {number} is damaged or missing, later ones up to {seen} are there, \
                     and sled knows only up to {known}; restore the whole data directory from one backup"
                )));
            }
        }
    }
    Ok(replay)
}
