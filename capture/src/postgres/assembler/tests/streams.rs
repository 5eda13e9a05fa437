//! Feeds of layout stream: boundaries of transactions, ids, statements, heartbeats.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else the decoder gives fails the test"
)]

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;

use super::*;

const SCHEMA: &str = include_str!("../../../../../docs/dts/record.avsc");

/// What a test looks at in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    id: i64,
    operation: String,
    timestamp_ms: i64,
    seconds: i64,
    position: String,
    safe_position: String,
    /// The statement of a DDL record, or the first column of the new row.
    after: String,
}

/// The visible records of feed `feed`, decoded.
fn seen(log: &Log, feed: usize) -> Vec<Seen> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let records = log
        .visible
        .get(&(feed, None))
        .map_or(&[][..], Vec::as_slice);
    let decode = |record: &log::Record| {
        assert_eq!((record.key.as_ref(), record.headers.len()), (None, 0));
        assert!(record.raw.len() > 48);
        let Avro::Record(fields) = reader.read_value(&mut &*record.raw).unwrap() else {
            panic!("the schema is of a record");
        };
        let field = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            &found.unwrap().1
        };
        let text = |name: &str| match field(name) {
            Avro::String(text) | Avro::Enum(_, text) => text.clone(),
            other => panic!("{name} is {other:?}"),
        };
        let long = |name: &str| match field(name) {
            Avro::Long(number) => *number,
            other => panic!("{name} is {other:?}"),
        };
        Seen {
            id: long("id"),
            operation: text("operation"),
            timestamp_ms: record.timestamp_ms,
            seconds: long("sourceTimestamp"),
            position: text("sourcePosition"),
            safe_position: text("safeSourcePosition"),
            after: first_of(field("afterImages")),
        }
    };
    records.iter().map(decode).collect()
}

fn first_of(after: &Avro) -> String {
    let Avro::Union(_, after) = after else {
        panic!("images are a union");
    };
    match &**after {
        Avro::String(statement) => statement.clone(),
        Avro::Array(items) => match &items[0] {
            Avro::Union(1, item) => match &**item {
                Avro::Record(fields) => match &fields[1].1 {
                    Avro::String(digits) => digits.clone(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        },
        Avro::Null => String::new(),
        other => panic!("{other:?}"),
    }
}

fn operations(log: &Log, feed: usize) -> Vec<String> {
    let seen = seen(log, feed);
    seen.into_iter().map(|record| record.operation).collect()
}

/// Feed 0 per table, feed 1 a stream whose next id is `next_id`.
fn two_feeds(next_id: i64) -> AssemblerConfig {
    let mut two = config();
    two.feeds.push(FeedFormat::DtsAvro { next_id });
    two
}

fn harness(config: AssemblerConfig) -> Harness {
    let mut harness = Harness::new(config);
    harness.catalog.insert(ORDERS, orders_catalog());
    harness.push(&orders(b'f'));
    harness
}

#[test]
fn rows_stand_between_the_boundaries_of_their_transaction_beside_another_feed() {
    let mut harness = harness(two_feeds(40));
    harness.transaction(100, &[order("1", "a"), order("2", "b")]);
    harness.transaction(200, &[order("3", "c")]);
    harness.take_all();
    let seen = seen(&harness.log, 1);
    let shown: Vec<_> = seen
        .iter()
        .map(|record| (record.operation.as_str(), record.after.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("BEGIN", ""),
            ("INSERT", "1"),
            ("INSERT", "2"),
            ("COMMIT", ""),
            ("BEGIN", ""),
            ("INSERT", "3"),
            ("COMMIT", ""),
        ]
    );
    let ids: Vec<_> = seen.iter().map(|record| record.id).collect();
    assert_eq!(ids, [40, 41, 42, 43, 44, 45, 46]);
    assert!(seen.iter().all(|r| r.timestamp_ms == COMMIT_TIME_MS));
    assert!(seen.iter().all(|r| r.seconds == COMMIT_TIME_MS / 1_000));
    assert_eq!(seen[3].position, "0/64", "a commit stands at its own LSN");
    assert_eq!(
        (
            seen[0].safe_position.as_str(),
            seen[4].safe_position.as_str()
        ),
        ("0/0", "0/6C"),
        "behind the transaction before"
    );
    assert_eq!(harness.log.records(0).len(), 3, "each change once per feed");
    let commit = &harness.log.commits[0];
    assert_eq!((commit.transactions, commit.changes), (2, 3));
}

#[test]
fn a_transaction_without_a_captured_row_leaves_nothing() {
    let mut only_other = two_feeds(0);
    only_other.tables = TableFilter::parse(&["public.other"], &[]).expect("a good pattern");
    let mut harness = harness(only_other);
    harness.transaction(100, &[order("1", "a")]);
    harness.transaction(200, &[wire::truncate(0, &[ORDERS])]);
    harness.take_all();
    assert_eq!(operations(&harness.log, 1), Vec::<String>::new());
}

#[test]
fn a_transaction_larger_than_the_budget_is_one_in_the_stream() {
    let mut limited = two_feeds(0);
    limited.limits.batch_bytes = 4_000;
    limited.limits.large_transaction_bytes = 16_000;
    limited.limits.gathered_bytes = 32_000;
    let mut harness = harness(limited);
    harness.transaction(100, &[order("0", "before")]);
    harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
    for id in 1..500 {
        harness.push(&order(&id.to_string(), "a note of some length"));
        while harness.assembler.must_wait() {
            let captured = harness.assembler.take().expect("something is ready");
            harness.log.append(captured);
            assert!(
                operations(&harness.log, 1).len() <= 3,
                "seen before its commit"
            );
        }
    }
    harness.push(&wire::commit(200, 208, COMMIT_TIME_US));
    harness.take_all();
    assert!(harness.log.parts > 3);
    let seen = seen(&harness.log, 1);
    assert_eq!(seen.len(), 3 + 2 + 499);
    assert_eq!(seen[3].operation, "BEGIN");
    assert_eq!(seen.last().unwrap().operation, "COMMIT");
    assert!(seen.iter().map(|record| record.id).eq(0..504));
    assert!(harness.log.largest_batch <= 4_000);
}

#[test]
fn ids_are_offsets_also_when_a_connection_was_lost_inside_a_transaction() {
    for messages in [1, 300] {
        let mut limited = two_feeds(0);
        limited.limits.batch_bytes = 4_000;
        limited.limits.large_transaction_bytes = 8_000;
        limited.limits.gathered_bytes = 16_000;
        let mut harness = harness(limited);
        harness.transaction(100, &[order("0", "before")]);
        harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
        for id in 0..messages {
            harness.push(&order(&id.to_string(), "lost"));
            while harness.assembler.must_wait() {
                let captured = harness.assembler.take().expect("something is ready");
                harness.log.append(captured);
            }
        }
        harness.assembler.connection_lost();
        harness.take_all();
        assert_eq!(harness.log.rewinds, usize::from(messages > 1));
        harness.push(&orders(b'f'));
        harness.transaction(200, &[order("1", "again")]);
        harness.take_all();
        let ids: Vec<_> = seen(&harness.log, 1).iter().map(|r| r.id).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_truncate_is_a_statement_in_its_transaction() {
    let mut harness = harness(two_feeds(0));
    let other = wire::relation(7, ("s\"x", "o"), b'd', &[(1, "id", INT4, -1)]);
    harness.push(&other);
    harness.transaction(100, &[wire::truncate(3, &[ORDERS, 7])]);
    harness.take_all();
    let seen = seen(&harness.log, 1);
    assert_eq!(operations(&harness.log, 1), ["BEGIN", "DDL", "COMMIT"]);
    assert_eq!(
        seen[1].after,
        "TRUNCATE TABLE \"public\".\"orders\", \"s\"\"x\".\"o\" RESTART IDENTITY CASCADE"
    );
    let counted = harness.assembler.counters().truncates_skipped;
    assert_eq!(counted, 2, "the other feed cannot show it");
    assert_eq!(
        harness.log.commits.len(),
        1,
        "it is handed over without a row"
    );
}

#[test]
fn a_heartbeat_waits_until_all_before_its_time_was_sent() {
    let mut harness = harness(two_feeds(0));
    let look = COMMIT_TIME_MS + 60_000;
    assert!(
        harness.assembler.horizon(150, look, NOW_MS),
        "to be asked for"
    );
    harness.transaction(100, &[order("1", "a")]);
    harness.take_all();
    assert_eq!(operations(&harness.log, 1), ["BEGIN", "INSERT", "COMMIT"]);

    harness.push(&wire::begin(140, COMMIT_TIME_US, 2));
    harness.push(&order("2", "b"));
    harness.assembler.keepalive(150, NOW_MS);
    harness.take_all();
    assert_eq!(
        operations(&harness.log, 1).len(),
        3,
        "not while a transaction is open"
    );
    harness.push(&wire::commit(140, 148, COMMIT_TIME_US));
    harness.assembler.keepalive(149, NOW_MS);
    harness.take_all();
    assert_eq!(operations(&harness.log, 1).len(), 6, "not yet");
    harness.assembler.keepalive(150, NOW_MS);
    harness.take_all();
    let seen = seen(&harness.log, 1);
    let beat = &seen[6];
    assert_eq!((beat.operation.as_str(), beat.id), ("HEARTBEAT", 6));
    assert_eq!(
        beat.timestamp_ms,
        look - 1_000,
        "less what a commit may lag"
    );
    assert_eq!(beat.seconds, (look - 1_000) / 1_000);
    assert_eq!(beat.position, "0/96");
    let last = harness.log.commits.last().expect("a commit");
    assert_eq!((last.transactions, last.changes), (0, 0));
    assert_eq!(harness.log.last_position().end_lsn, 150);
    assert_eq!(harness.log.records(0).len(), 2, "no other feed has it");
}

#[test]
fn a_look_at_what_was_sent_already_waits_for_the_end_of_an_open_transaction() {
    let mut harness = harness(two_feeds(0));
    harness.push(&wire::begin(140, COMMIT_TIME_US, 2));
    harness.push(&order("1", "a"));
    harness.assembler.horizon(0, COMMIT_TIME_MS, NOW_MS);
    harness.push(&order("2", "b"));
    harness.push(&wire::commit(140, 148, COMMIT_TIME_US));
    harness.take_all();
    let expected = ["BEGIN", "INSERT", "INSERT", "COMMIT", "HEARTBEAT"];
    assert_eq!(operations(&harness.log, 1), expected);
}

#[test]
fn a_heartbeat_never_steps_back_behind_a_commit() {
    let mut harness = harness(two_feeds(0));
    harness.transaction(100, &[order("1", "a")]);
    assert!(
        !harness
            .assembler
            .horizon(90, COMMIT_TIME_MS - 5_000, NOW_MS),
        "true at once"
    );
    harness.take_all();
    assert_eq!(seen(&harness.log, 1)[3].timestamp_ms, COMMIT_TIME_MS);
}

#[test]
fn a_look_is_of_one_connection_and_of_no_use_without_a_stream() {
    let mut harness = harness(two_feeds(0));
    assert!(harness.assembler.horizon(150, COMMIT_TIME_MS, NOW_MS));
    harness.assembler.connection_lost();
    harness.assembler.keepalive(150, NOW_MS);
    harness.take_all();
    assert_eq!(operations(&harness.log, 1), Vec::<String>::new());

    let mut tables = Harness::new(config());
    assert!(!tables.assembler.horizon(150, COMMIT_TIME_MS, NOW_MS));
    tables.assembler.keepalive(150, NOW_MS);
    tables.take_all();
    assert!(tables.log.commits.is_empty());
}

#[test]
fn the_end_of_a_page_of_wal_counts_as_reached_before_the_next_page_has_a_record() {
    let mut harness = harness(two_feeds(0));
    assert!(
        harness
            .assembler
            .horizon(3 * 8_192 + 24, COMMIT_TIME_MS, NOW_MS)
    );
    harness.assembler.keepalive(3 * 8_192, NOW_MS);
    harness.take_all();
    assert_eq!(operations(&harness.log, 1), ["HEARTBEAT"]);
}
