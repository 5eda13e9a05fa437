//! The judge: the database's own history against what was read from the log. Pure.
//!
//! - [`judge`]: every change of every committed transaction is in the log once, in commit order, as it was; and
//!   nothing else is (design section 7: I1, I2, I3, I11).
//! - [`judge_places`]: each change stands in the topic of the name that its table had then.
//! - [`judge_snapshots`]: the ends of all topics, as seen at one moment, always stood behind a whole
//!   transaction (I4).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crate::{
    change::{Cell, Change, Logged, Operation, Row},
    witness::Transaction,
};

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A committed change is not in the log.
    Missing(String),
    /// A change is in the log more often than it happened.
    Doubled(String),
    /// A record of a table in the topic of another.
    Misplaced(String),
    /// A record that matches no committed change: made up, changed, or of an aborted transaction.
    Foreign(String),
    /// Everything is there, but not in commit order.
    Reordered(String),
    /// Offsets are not dense.
    Hole(String),
    /// A place that is not behind a whole transaction was visible.
    Torn(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "missing: {what}"),
            Self::Doubled(what) => write!(f, "doubled: {what}"),
            Self::Misplaced(what) => write!(f, "misplaced: {what}"),
            Self::Foreign(what) => write!(f, "foreign: {what}"),
            Self::Reordered(what) => write!(f, "reordered: {what}"),
            Self::Hole(what) => write!(f, "hole: {what}"),
            Self::Torn(what) => write!(f, "torn: {what}"),
        }
    }
}

/// Compares a history with the records of all topics (each topic's in offset order; topics in any order).
/// Nothing is wrong if the answer is empty.
#[must_use]
pub fn judge(history: &[Transaction], log: &[Logged]) -> Vec<Fault> {
    let mut faults = dense_offsets(log);
    let mut by_topic: BTreeMap<&str, Vec<&Logged>> = BTreeMap::new();
    for logged in log {
        by_topic
            .entry(logged.topic.as_str())
            .or_default()
            .push(logged);
    }
    for topic in by_topic.values() {
        faults.extend(increasing_positions(topic));
    }
    let mut in_commit_order: Vec<&Logged> = log.iter().collect();
    in_commit_order.sort_by_key(|logged| logged.position);
    faults.extend(same_changes(history, &in_commit_order));
    faults
}

/// Finds records that stand elsewhere than the name of their table says.
#[must_use]
pub fn judge_places(log: &[Logged], topic_of: impl Fn(&str) -> String) -> Vec<Fault> {
    let elsewhere = log
        .iter()
        .filter(|logged| logged.topic != topic_of(&logged.change.table));
    elsewhere
        .map(|logged| Fault::Misplaced(logged.to_string()))
        .collect()
}

fn dense_offsets(log: &[Logged]) -> Vec<Fault> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut faults = Vec::new();
    for logged in log {
        if let Some(before) = last.insert(&logged.topic, logged.offset)
            && logged.offset != before + 1
        {
            faults.push(Fault::Hole(format!("{logged} after offset {before}")));
        }
    }
    faults
}

fn increasing_positions(topic: &[&Logged]) -> Vec<Fault> {
    let steps = topic.iter().zip(topic.iter().skip(1));
    let back = steps.filter(|(first, second)| first.position >= second.position);
    back.map(|(first, second)| Fault::Reordered(format!("{second} stands behind {first}")))
        .collect()
}

/// Walks both sides in commit order. The first difference is explained by looking at the whole of both.
fn same_changes(history: &[Transaction], log: &[&Logged]) -> Vec<Fault> {
    let expected: Vec<Change> = history.iter().flat_map(|t| &t.changes).cloned().collect();
    let first_difference = expected
        .iter()
        .zip(log)
        .position(|(expected, logged)| !agrees(expected, &logged.change));
    match first_difference {
        None if expected.len() == log.len() => Vec::new(),
        _ => explain(&expected, log),
    }
}

/// Counts each change on both sides. What the log carries more than the witness (a full old row) or less (an old
/// key) is put aside first.
fn explain(expected: &[Change], log: &[&Logged]) -> Vec<Fault> {
    let mut open: HashMap<Change, i64> = HashMap::new();
    for change in expected {
        *open.entry(essence(change)).or_default() += 1;
    }
    let happened = open.clone();
    let mut faults = Vec::new();
    for logged in log {
        let essence = essence(&logged.change);
        let left = open.entry(essence.clone()).or_default();
        *left -= 1;
        if *left < 0 {
            let known = happened.contains_key(&essence);
            faults.push(if known {
                Fault::Doubled(logged.to_string())
            } else {
                Fault::Foreign(logged.to_string())
            });
        }
    }
    let missing = expected
        .iter()
        .filter(|change| open.get(&essence(change)).is_some_and(|left| *left > 0));
    faults.extend(missing.map(|change| Fault::Missing(change.to_string())));
    if faults.is_empty() {
        let differs = |(expected, logged): &(&Change, &&Logged)| !agrees(expected, &logged.change);
        faults.extend(
            expected
                .iter()
                .zip(log)
                .find(differs)
                .map(|(expected, logged)| {
                    Fault::Reordered(format!("{logged} stands where the database had {expected}"))
                }),
        );
    }
    faults
}

/// The part of a change that both sides always have. For a delete that is the identity, which the witness gives
/// as its columns (all of them under REPLICA IDENTITY FULL).
fn essence(change: &Change) -> Change {
    let key = match (change.operation, &change.before) {
        (Operation::Delete, Some(before)) => without_nulls(before),
        (Operation::Delete, None) => without_nulls(&change.key),
        (Operation::Insert | Operation::Update, _) => Row::new(),
    };
    Change {
        before: None,
        key,
        ..change.clone()
    }
}

/// The witness leaves NULLs out of old rows.
fn without_nulls(row: &Row) -> Row {
    row.iter()
        .filter(|(_, cell)| **cell != Cell::Null)
        .map(|(name, cell)| (name.clone(), cell.clone()))
        .collect()
}

/// Whether a logged change is what happened. An old row in the log must be the whole one, never a part.
fn agrees(expected: &Change, logged: &Change) -> bool {
    let old_row_is_true = match (&logged.before, &expected.before) {
        (Some(logged), Some(expected)) => without_nulls(logged) == without_nulls(expected),
        (Some(_), None) => logged.operation == Operation::Delete,
        (None, _) => true,
    };
    old_row_is_true && essence(expected) == essence(logged)
}

/// The ends of topics, in the order in which they were told.
pub type Snapshot = Vec<(String, i64)>;

/// Checks that every end in every snapshot stands behind a whole transaction, and that no topic shows less than
/// a topic that was told before it: of a transaction over two tables, either both parts are visible or none.
///
/// A broker may tell the ends of one answer one after another while transactions go on, so the transactions
/// behind which the ends stand need not be the same one, but they may only go forward. `start` has the ends of
/// all topics before the history begins.
#[must_use]
pub fn judge_snapshots(
    history: &[Transaction],
    topic_of: impl Fn(&str) -> String,
    start: &BTreeMap<String, i64>,
    snapshots: &[Snapshot],
) -> Vec<Fault> {
    let boundaries = boundaries(history, topic_of, start);
    let torn = snapshots
        .iter()
        .filter_map(|snapshot| torn(&boundaries, snapshot));
    torn.map(Fault::Torn).collect()
}

/// For each topic: behind which transactions (first and last number, 0 is the start) it has which end.
type Boundaries = BTreeMap<String, HashMap<i64, (usize, usize)>>;

fn boundaries(
    history: &[Transaction],
    topic_of: impl Fn(&str) -> String,
    start: &BTreeMap<String, i64>,
) -> Boundaries {
    let mut ends: BTreeMap<String, (i64, usize)> = start
        .iter()
        .map(|(topic, end)| (topic.clone(), (*end, 0)))
        .collect();
    let mut boundaries = Boundaries::new();
    for (number, transaction) in (1..).zip(history) {
        let mut grown: BTreeMap<String, i64> = BTreeMap::new();
        for change in &transaction.changes {
            *grown.entry(topic_of(&change.table)).or_default() += 1;
        }
        for (topic, count) in grown {
            let (end, since) = ends.entry(topic.clone()).or_default();
            boundaries
                .entry(topic)
                .or_default()
                .insert(*end, (*since, number - 1));
            (*end, *since) = (*end + count, number);
        }
    }
    for (topic, (end, since)) in ends {
        boundaries
            .entry(topic)
            .or_default()
            .insert(end, (since, history.len()));
    }
    boundaries
}

/// What is wrong with a snapshot, if anything is.
fn torn(boundaries: &Boundaries, snapshot: &Snapshot) -> Option<String> {
    let mut reached = 0;
    for (topic, end) in snapshot {
        let Some((since, until)) = boundaries.get(topic).and_then(|ends| ends.get(end)) else {
            return Some(format!(
                "{topic} ended at {end}, inside a transaction: {snapshot:?}"
            ));
        };
        if *until < reached {
            return Some(format!(
                "{topic} at {end} lacks its part of a visible transaction: {snapshot:?}"
            ));
        }
        reached = reached.max(*since);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64) -> Row {
        Row::from([("id".to_owned(), Cell::Text(id.to_string()))])
    }

    fn insert(transaction: u64, table: &str, id: u64) -> Change {
        let table = table.to_owned();
        Change {
            transaction,
            table,
            operation: Operation::Insert,
            before: None,
            after: Some(row(id)),
            key: Row::new(),
        }
    }

    fn history() -> Vec<Transaction> {
        let of = |id, changes: &[(&str, u64)]| Transaction {
            id,
            changes: changes
                .iter()
                .map(|(table, row)| insert(id, table, *row))
                .collect(),
        };
        vec![
            of(10, &[("a", 1), ("b", 1)]),
            of(11, &[("a", 2)]),
            of(12, &[("b", 2), ("a", 3), ("b", 3)]),
        ]
    }

    /// The log as it should be.
    fn log() -> Vec<Logged> {
        let mut ends: BTreeMap<String, i64> = BTreeMap::new();
        let mut log = Vec::new();
        for transaction in history() {
            for (ordinal, change) in (0..).zip(transaction.changes) {
                let end = ends.entry(change.table.clone()).or_default();
                let topic = change.table.clone();
                log.push(Logged {
                    topic,
                    offset: *end,
                    position: (transaction.id, ordinal),
                    change,
                });
                *end += 1;
            }
        }
        log
    }

    fn remove(log: &mut Vec<Logged>, index: usize) -> Logged {
        let removed = log.remove(index);
        for later in log
            .iter_mut()
            .skip(index)
            .filter(|later| later.topic == removed.topic)
        {
            later.offset -= 1;
        }
        removed
    }

    #[test]
    fn a_true_log_has_no_fault() {
        assert_eq!(judge(&history(), &log()), []);
    }

    #[test]
    fn a_record_in_the_topic_of_another_table_is_found() {
        let mut log = log();
        assert_eq!(judge_places(&log, str::to_owned), []);
        log[0].change.table = "b".to_owned();
        let faults = judge_places(&log, str::to_owned);
        assert!(matches!(faults[..], [Fault::Misplaced(_)]), "{faults:?}");
    }

    #[test]
    fn a_missing_record_is_found_wherever_it_was() {
        for index in 0..log().len() {
            let mut log = log();
            let removed = remove(&mut log, index);
            assert_eq!(
                judge(&history(), &log),
                [Fault::Missing(removed.change.to_string())],
                "{index}"
            );
        }
    }

    #[test]
    fn a_doubled_record_is_found() {
        let mut log = log();
        let mut again = log[1].clone();
        (again.offset, again.position) = (3, (13, 0));
        log.push(again.clone());
        assert_eq!(judge(&history(), &log), [Fault::Doubled(again.to_string())]);
    }

    #[test]
    fn a_record_that_is_repeated_at_its_own_position_is_found() {
        let mut log = log();
        let mut again = log[5].clone();
        again.offset = 3;
        log.push(again);
        let faults = judge(&history(), &log);
        assert!(
            faults
                .iter()
                .any(|fault| matches!(fault, Fault::Doubled(_))),
            "{faults:?}"
        );
        assert!(
            faults
                .iter()
                .any(|fault| matches!(fault, Fault::Reordered(_))),
            "{faults:?}"
        );
    }

    #[test]
    fn two_records_that_changed_places_are_found() {
        let mut log = log();
        let (first, second) = (log[0].change.clone(), log[2].change.clone());
        (log[0].change, log[2].change) = (second, first);
        let faults = judge(&history(), &log);
        assert!(matches!(&faults[..], [Fault::Reordered(_)]), "{faults:?}");
    }

    #[test]
    fn a_topic_out_of_commit_order_is_found() {
        let mut log = log();
        let (first, second) = (log[0].position, log[2].position);
        (log[0].position, log[2].position) = (second, first);
        let faults = judge(&history(), &log);
        assert!(
            faults
                .iter()
                .any(|fault| matches!(fault, Fault::Reordered(_))),
            "{faults:?}"
        );
    }

    #[test]
    fn a_row_of_an_aborted_transaction_is_found() {
        let mut log = log();
        let change = insert(99, "a", 7);
        log.push(Logged {
            topic: "a".into(),
            offset: 3,
            position: (99, 0),
            change,
        });
        let faults = judge(&history(), &log);
        assert!(matches!(&faults[..], [Fault::Foreign(_)]), "{faults:?}");
    }

    #[test]
    fn a_changed_value_is_found_as_foreign_and_missing() {
        let mut log = log();
        log[3].change.after = Some(row(77));
        let faults = judge(&history(), &log);
        assert!(
            matches!(&faults[..], [Fault::Foreign(_), Fault::Missing(_)]),
            "{faults:?}"
        );
    }

    #[test]
    fn a_hole_in_the_offsets_is_found() {
        let mut log = log();
        log.last_mut().unwrap().offset += 1;
        assert!(matches!(&judge(&history(), &log)[..], [Fault::Hole(_)]));
    }

    #[test]
    fn a_part_of_an_old_row_is_a_fault() {
        let mut history = history();
        let mut log = log();
        history[1].changes[0].operation = Operation::Update;
        history[1].changes[0].before = Some(row(2));
        log[2].change = history[1].changes[0].clone();
        assert_eq!(judge(&history, &log), []);
        log[2].change.before = Some(Row::new());
        assert!(!judge(&history, &log).is_empty());
    }

    #[test]
    fn a_delete_is_known_by_its_key_or_by_its_whole_old_row() {
        let mut history = history();
        let mut log = log();
        let delete = Change {
            operation: Operation::Delete,
            after: None,
            key: row(2),
            ..insert(11, "a", 2)
        };
        history[1].changes[0] = delete.clone();
        log[2].change = delete.clone();
        assert_eq!(judge(&history, &log), []);
        log[2].change = Change {
            before: Some(row(2)),
            key: Row::new(),
            ..delete.clone()
        };
        assert_eq!(judge(&history, &log), []);
        log[2].change = Change {
            before: Some(row(9)),
            key: Row::new(),
            ..delete
        };
        assert!(!judge(&history, &log).is_empty());
    }

    fn torn(snapshots: &[(i64, i64)]) -> usize {
        let start = BTreeMap::from([("a".to_owned(), 10), ("b".to_owned(), 20)]);
        let named = |(a, b): &(i64, i64)| vec![("a".to_owned(), *a), ("b".to_owned(), *b)];
        let snapshots: Vec<Snapshot> = snapshots.iter().map(named).collect();
        judge_snapshots(&history(), str::to_owned, &start, &snapshots).len()
    }

    #[test]
    fn ends_between_transactions_are_legal() {
        assert_eq!(torn(&[(10, 20), (11, 21), (12, 21), (13, 23)]), 0);
    }

    #[test]
    fn a_topic_that_was_told_later_may_have_gone_further() {
        assert_eq!(torn(&[(10, 21), (11, 23), (12, 23)]), 0);
    }

    #[test]
    fn ends_inside_a_transaction_are_torn() {
        assert_eq!(torn(&[(12, 22), (13, 22), (14, 23)]), 3);
    }

    #[test]
    fn a_topic_without_its_part_of_a_visible_transaction_is_torn() {
        assert_eq!(torn(&[(11, 20), (12, 20), (13, 21)]), 3);
    }
}
