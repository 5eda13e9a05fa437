//! Random streams, taken at random points, over connections that are lost at random points, against what
//! the same stream gives when it is taken once at its end. A failure prints its seed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::table::TableKey;

/// Tables 0 and 1 are captured, 2 is not.
const TABLES: u32 = 3;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What happened to tables.
struct Event {
    /// Each with how many columns it has at that moment: the server announces it before its first message.
    tables: Vec<(u32, usize)>,
    message: Vec<u8>,
}

struct Transaction {
    lsn: u64,
    end_lsn: u64,
    events: Vec<Event>,
}

/// A database's history: transactions of very different sizes, and definitions that change on the way.
fn history(random: &mut Random) -> Vec<Transaction> {
    let mut lsn = 100;
    let mut widths = [2usize; TABLES as usize];
    let mut id = 0u64;
    (0..random.below(40) + 1)
        .map(|_| {
            let rows = if random.one_in(6) {
                random.below(400)
            } else {
                random.below(6)
            };
            let events = (0..rows)
                .map(|_| {
                    id += 1;
                    event(random, &mut widths, id)
                })
                .collect();
            lsn += random.below(1_000) + 10;
            Transaction {
                lsn,
                end_lsn: lsn + 8,
                events,
            }
        })
        .collect()
}

fn event(random: &mut Random, widths: &mut [usize], id: u64) -> Event {
    match random.below(40) {
        0 => {
            let tables = vec![(0, widths[0]), (2, widths[2])];
            let message = wire::truncate(0, &[0, 2]);
            return Event { tables, message };
        }
        1 => {
            let message = wire::logical(true, 1, "app", b"x");
            let tables = Vec::new();
            return Event { tables, message };
        }
        _ => {}
    }
    let table = u32::try_from(random.below(u64::from(TABLES))).expect("few tables");
    let width = &mut widths[table as usize];
    *width = if random.one_in(60) {
        *width % 4 + 1
    } else {
        *width
    };
    let id = id.to_string();
    let long = "y".repeat(usize::try_from(random.below(300)).expect("short"));
    let mut row = vec![Sent::Text(&long); *width];
    row[0] = Sent::Text(&id);
    let key: Vec<_> = (0..*width)
        .map(|at| if at == 0 { Sent::Text(&id) } else { Sent::Null })
        .collect();
    let message = match random.below(4) {
        0 => wire::update(table, None, &row),
        1 => wire::delete(table, (b'K', &key)),
        _ => wire::insert(table, &row),
    };
    let tables = vec![(table, *width)];
    Event { tables, message }
}

/// What a new connection sends from a position on: relation messages before the first row of each table, and
/// again where its definition changed.
fn session(history: &[Transaction], from: u64) -> Vec<Vec<u8>> {
    let mut announced = [0usize; TABLES as usize];
    let mut messages = Vec::new();
    for transaction in history.iter().filter(|t| t.end_lsn > from) {
        messages.push(wire::begin(transaction.lsn, COMMIT_TIME_US, 1));
        for event in &transaction.events {
            for (table, width) in &event.tables {
                if std::mem::replace(&mut announced[*table as usize], *width) != *width {
                    messages.push(relation(*table, *width));
                }
            }
            messages.push(event.message.clone());
        }
        let (lsn, end_lsn) = (transaction.lsn, transaction.end_lsn);
        messages.push(wire::commit(lsn, end_lsn, COMMIT_TIME_US));
    }
    messages
}

fn relation(table: u32, width: usize) -> Vec<u8> {
    let names = ["id", "b", "c", "d"];
    let columns: Vec<ColumnSpec<'_>> = (0..width)
        .map(|at| (u8::from(at == 0), names[at], TEXT, -1))
        .collect();
    let name = format!("t{table}");
    wire::relation(table, ("public", &name), b'd', &columns)
}

fn small_limits() -> AssemblerConfig {
    let mut small = config();
    small.feeds.push(FeedFormat::DtsAvro { next_id: 0 });
    small.tables = TableFilter::parse(&[], &["t2"]).expect("a good pattern");
    small.limits.batch_bytes = 3_000;
    small.limits.large_transaction_bytes = 12_000;
    small.limits.gathered_bytes = 24_000;
    small
}

/// Key and value of each record, by the table's number in the source.
type Records = BTreeMap<u32, Vec<(Option<String>, String)>>;

fn records_of(log: &Log) -> Records {
    let relation = |key: TableKey| {
        let table = log.tables.iter().find(|table| table.key == key);
        table.expect("told before its rows").relation
    };
    let per_table = |(lane, records): (&log::Topic, &Vec<log::Record>)| {
        let record = |r: &log::Record| (r.key.clone(), r.value.to_string());
        Some((relation(lane.1?), records.iter().map(record).collect()))
    };
    log.visible.iter().filter_map(per_table).collect()
}

/// The stream's records, whose bytes hold their ids.
fn stream_of(log: &Log) -> Vec<&[u8]> {
    let records = log.visible.get(&(1, None)).into_iter().flatten();
    records.map(|record| record.raw.as_slice()).collect()
}

/// The same stream without limits, taken once.
fn expected(history: &[Transaction]) -> Harness {
    let mut unlimited = small_limits();
    unlimited.limits = CaptureLimits::default();
    unlimited.limits.large_transaction_bytes = usize::MAX;
    let mut harness = Harness::new(unlimited);
    for message in session(history, 0) {
        harness.push(&message);
    }
    harness.take_all();
    assert!(harness.log.commits.len() <= 1);
    harness
}

/// The visible records of feeds per table.
fn changes(log: &Log) -> impl Iterator<Item = &log::Record> {
    let per_table = log.visible.iter().filter(|(lane, _)| lane.1.is_some());
    per_table.flat_map(|(_, records)| records)
}

/// At every commit, exactly the changes of the transactions up to its position are visible.
fn check_visible(harness: &Harness, reference: &Harness) {
    let Some(commit) = harness.log.commits.last() else {
        return;
    };
    let end = crate::postgres::position::Position::decode(&commit.position).expect("a position");
    let count = |log: &Log| -> usize {
        let seen = |r: &&log::Record| r.identity().0 < end.end_lsn;
        changes(log).filter(seen).count()
    };
    let all: usize = changes(&harness.log).count();
    assert_eq!(
        all,
        count(&harness.log),
        "changes behind the position are visible"
    );
    assert_eq!(
        all,
        count(&reference.log),
        "changes before the position are missing"
    );
}

/// Runs a history over random connections and takes.
fn run(seed: u64) {
    let mut random = Random(seed);
    let history = history(&mut random);
    let reference = expected(&history);
    let mut harness = Harness::new(small_limits());
    let mut losses = random.below(8);
    'connection: loop {
        let handed_over = harness.assembler.handed_over_end_lsn();
        // A server may begin earlier than asked.
        let from = if random.one_in(3) {
            random.below(handed_over + 1)
        } else {
            handed_over
        };
        for message in session(&history, from) {
            while harness.assembler.must_wait() || random.one_in(8) {
                let Some(captured) = harness.assembler.take() else {
                    break;
                };
                let is_commit =
                    matches!(&captured, Captured::Group(group) if group.commit.is_some());
                harness.log.append(captured);
                if is_commit {
                    check_visible(&harness, &reference);
                }
            }
            assert!(harness.assembler.gathered_bytes() < 24_000 + 4_000);
            if losses > 0 && random.one_in(100) {
                losses -= 1;
                harness.assembler.connection_lost();
                continue 'connection;
            }
            harness.push(&message);
        }
        break;
    }
    harness.take_all();
    check_visible(&harness, &reference);
    assert_eq!(records_of(&harness.log), records_of(&reference.log));
    assert!(
        stream_of(&harness.log) == stream_of(&reference.log),
        "the stream differs"
    );
    assert!(harness.log.pending.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_takes_and_losses_give_the_same_records_once_in_order(seed in any::<u64>()) {
        run(seed);
    }
}

#[test]
fn random_runs_reach_parts_cuts_and_rewinds() {
    // Guards the property above: it must not pass because its streams are too tame.
    let (mut parts, mut rewinds) = (0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let history = history(&mut random);
        let mut harness = Harness::new(small_limits());
        let messages = session(&history, 0);
        let lost_at = random.below(messages.len() as u64);
        for message in &messages[..usize::try_from(lost_at).expect("small")] {
            while harness.assembler.must_wait() {
                let captured = harness.assembler.take().expect("something is ready");
                harness.log.append(captured);
            }
            harness.push(message);
        }
        harness.assembler.connection_lost();
        harness.take_all();
        parts += harness.log.parts;
        rewinds += harness.log.rewinds;
    }
    assert!(parts > 10 && rewinds > 3, "parts {parts} rewinds {rewinds}");
}
