//! Single changes: images, keys, what was not sent, what is not captured.

use serde_json::{Value as Json, json};

use super::*;
use crate::encode::DebeziumOptions;

#[test]
fn a_change_carries_its_origin() {
    let mut harness = harness_with_orders(b'd');
    harness.push(&wire::begin(100, COMMIT_TIME_US, 555));
    harness.push_at(42, &order("1", "a")).expect("a good row");
    harness.push(&wire::commit(100, 108, COMMIT_TIME_US));
    harness.take_all();
    let record = &harness.log.records(0)[0];
    assert_eq!(record.timestamp_ms, COMMIT_TIME_MS);
    assert_eq!(record.key.as_deref(), Some(r#"{"id":1}"#));
    assert_eq!(record.value["op"], "c");
    assert_eq!(record.value["ts_ms"], NOW_MS);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "connector": "postgresql", "name": "shop",
        "ts_ms": COMMIT_TIME_MS, "snapshot": "false", "db": "shopdb", "schema": "public",
        "table": "orders", "txId": 555, "lsn": 42, "commit_lsn": 100, "ordinal": 0,
    });
    assert_eq!(record.value["source"], expected);
}

#[test]
fn rows_of_one_lsn_differ_by_ordinal() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a"), order("2", "b"), order("3", "c")]);
    harness.take_all();
    let identities: Vec<_> = harness
        .log
        .records(0)
        .iter()
        .map(log::Record::identity)
        .collect();
    assert_eq!(identities, [(100, 0), (100, 1), (100, 2)]);
}

#[test]
fn ordinals_count_what_is_not_captured_too() {
    let mut with_filter = config();
    with_filter.tables = TableFilter::parse(&[], &["audit"]).expect("a good pattern");
    let mut harness = Harness::new(with_filter);
    let audit = wire::relation(9, ("public", "audit"), b'd', &[(1, "id", INT4, -1)]);
    harness.push(&orders(b'd'));
    harness.push(&audit);
    let messages = [
        wire::insert(9, &[Sent::Text("1")]),
        wire::truncate(0, &[ORDERS, 9]),
        wire::logical(true, 5, "app", b"hello"),
        order("1", "a"),
    ];
    harness.transaction(100, &messages);
    harness.take_all();
    assert_eq!(harness.log.records(0)[0].identity(), (100, 3));
    let counters = harness.assembler.counters();
    assert_eq!((counters.changes, counters.filtered), (1, 1));
    assert_eq!(
        (counters.truncates_skipped, counters.messages_skipped),
        (1, 1)
    );
    assert_eq!(
        harness.asked,
        [ORDERS],
        "nothing is asked about excluded tables"
    );
}

#[test]
fn before_is_the_full_old_row_or_null() {
    let old: &[Sent<'_>] = &[Sent::Text("1"), Sent::Text("a")];
    let key: &[Sent<'_>] = &[Sent::Text("1"), Sent::Null];
    let new = [Sent::Text("1"), Sent::Text("b")];
    let full = [
        wire::update(ORDERS, Some((b'O', old)), &new),
        wire::delete(ORDERS, (b'O', old)),
    ];
    let partial = [
        wire::update(ORDERS, None, &new),
        wire::update(ORDERS, Some((b'K', key)), &new),
        wire::delete(ORDERS, (b'K', key)),
    ];
    let mut harness = harness_with_orders(b'f');
    harness.transaction(100, &full);
    harness.push(&orders(b'd'));
    harness.transaction(200, &partial);
    harness.take_all();
    let befores: Vec<_> = harness
        .log
        .records(0)
        .iter()
        .map(|r| &r.value["before"])
        .collect();
    let row = json!({"id": 1, "note": "a"});
    let null = json!(null);
    assert_eq!(befores, [&row, &row, &null, &null, &null]);
    let keys = harness.log.records(0).iter().map(|r| r.key.as_deref());
    assert!(keys.into_iter().all(|key| key == Some(r#"{"id":1}"#)));
}

#[test]
fn a_changed_key_is_one_update_under_the_new_key() {
    let mut harness = harness_with_orders(b'd');
    let old: &[Sent<'_>] = &[Sent::Text("1"), Sent::Null];
    let new = [Sent::Text("2"), Sent::Text("b")];
    harness.transaction(100, &[wire::update(ORDERS, Some((b'K', old)), &new)]);
    harness.take_all();
    let [record] = harness.log.records(0) else {
        panic!("one record");
    };
    assert_eq!(record.value["op"], "u");
    assert_eq!(record.key.as_deref(), Some(r#"{"id":2}"#));
    let old_key = ("__debezium.oldkey".to_owned(), r#"{"id":1}"#.to_owned());
    assert_eq!(record.headers, [old_key]);
}

#[test]
fn unchanged_values_come_from_the_old_row_or_are_marked() {
    let full: &[Sent<'_>] = &[Sent::Text("1"), Sent::Text("long")];
    let key: &[Sent<'_>] = &[Sent::Text("0"), Sent::Null];
    let new = [Sent::Text("1"), Sent::Unchanged];
    let mut harness = harness_with_orders(b'f');
    harness.transaction(100, &[wire::update(ORDERS, Some((b'O', full)), &new)]);
    harness.push(&orders(b'd'));
    let updates = [
        wire::update(ORDERS, Some((b'K', key)), &new),
        wire::update(ORDERS, None, &new),
    ];
    harness.transaction(200, &updates);
    harness.take_all();
    let records = harness.log.records(0);
    let notes: Vec<_> = records
        .iter()
        .map(|r| r.value["after"]["note"].as_str())
        .collect();
    let marker = Some("__debezium_unavailable_value");
    assert_eq!(notes, [Some("long"), marker, marker]);
    let named = ("headwater.unchanged".to_owned(), r#"["note"]"#.to_owned());
    assert!(records[0].headers.is_empty());
    assert!(records[1].headers.contains(&named) && records[2].headers.contains(&named));
    assert_eq!(harness.assembler.counters().unchanged_toast, 2);
}

#[test]
fn a_key_stored_out_of_line_is_filled_from_the_old_key() {
    let mut harness = Harness::new(config());
    let columns = [(1, "id", TEXT, -1), (0, "n", INT4, -1)];
    harness.push(&wire::relation(9, ("public", "long"), b'd', &columns));
    let old: &[Sent<'_>] = &[Sent::Text("long key"), Sent::Null];
    let new = [Sent::Unchanged, Sent::Text("2")];
    harness.transaction(100, &[wire::update(9, Some((b'K', old)), &new)]);
    harness.take_all();
    let record = &harness.log.records(0)[0];
    assert_eq!(record.key.as_deref(), Some(r#"{"id":"long key"}"#));
    assert_eq!(record.value["after"]["id"], "long key");
    assert!(record.headers.is_empty());
}

#[test]
fn every_feed_gets_every_change_which_counts_once() {
    let mut two = config();
    two.feeds = vec![
        FeedFormat::DebeziumJson {
            preset: Preset::Flink,
            name: "one".to_owned(),
        },
        FeedFormat::DebeziumJson {
            preset: Preset::Flink,
            name: "two".to_owned(),
        },
    ];
    let mut harness = Harness::new(two);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a"), order("2", "b")]);
    harness.take_all();
    let names: Vec<_> = harness
        .log
        .visible
        .iter()
        .map(|((feed, _), records)| (*feed, records[1].value["source"]["name"].as_str()))
        .collect();
    assert_eq!(names, [(0, Some("one")), (1, Some("two"))]);
    assert_eq!(harness.log.commits[0].changes, 2);
}

#[test]
fn text_that_is_not_utf8_is_repaired_and_counted() {
    let mut harness = harness_with_orders(b'd');
    let mut row = order("1", "caf?");
    let at = row.len() - 1;
    row[at] = 0xE9;
    harness.transaction(100, &[row]);
    harness.take_all();
    assert_eq!(
        harness.log.records(0)[0].value["after"]["note"],
        "caf\u{FFFD}"
    );
    assert_eq!(harness.assembler.counters().text_repaired, 1);
}

/// A source with a feed of each preset.
fn two_feeds(truncates: bool) -> Harness {
    let mut config = config();
    let options = DebeziumOptions {
        schemas: false,
        truncates,
        transactions: false,
    };
    config.feeds.push(FeedFormat::DebeziumJson {
        preset: Preset::Debezium(options),
        name: "cdc".to_owned(),
    });
    let mut harness = Harness::new(config);
    harness.catalog.insert(ORDERS, orders_catalog());
    harness
}

#[test]
fn truncates_are_written_where_they_are_switched_on_and_counted_for_the_others() {
    for (truncates, written) in [(true, 1), (false, 0)] {
        let mut harness = two_feeds(truncates);
        harness.push(&orders(b'd'));
        harness.transaction(100, &[wire::truncate(0, &[ORDERS]), order("1", "x")]);
        harness.take_all();
        assert_eq!(harness.assembler.counters().truncates_skipped, 1);
        let topics = harness.log.visible.clone();
        assert_eq!(topics[&(0, Some(TableKey(0)))].len(), 1);
        let records = &topics[&(1, Some(TableKey(0)))];
        assert_eq!(records.len(), written + 1);
        assert_eq!(records[0].value["op"] == "t", truncates);
        assert_eq!(records[0].key.is_none(), truncates);
        let order = &topics[&(0, Some(TableKey(0)))][0].value["source"]["ordinal"];
        assert_eq!(*order, 1, "the truncate took its ordinal");
    }
}

#[test]
fn logical_messages_go_to_the_feeds_that_carry_them_once() {
    let mut harness = two_feeds(false);
    let inside = wire::logical(true, 90, "app", b"in");
    harness.transaction(
        100,
        &[inside, wire::logical(true, 91, "headwater.beat", b"")],
    );
    harness.push(&wire::logical(false, 120, "app", b"out"));
    harness.take_all();
    harness.assembler.connection_lost();
    // A server that sends them again is not believed; the next one is.
    harness.push(&wire::logical(false, 120, "app", b"out"));
    harness.push(&wire::logical(false, 121, "app", b"next"));
    // A commit record begins where the message's ends.
    harness.transaction(121, &[wire::logical(true, 110, "app", b"in too")]);
    harness.take_all();
    assert_eq!(harness.log.visible.len(), 1);
    let records = &harness.log.visible[&(1, Some(TableKey(0)))];
    let contents: Vec<_> = records
        .iter()
        .map(|record| {
            (
                &record.value["message"]["content"],
                &record.value["source"]["txId"],
            )
        })
        .collect();
    let none = &Json::Null;
    assert_eq!(
        contents,
        [
            (&json!("aW4="), &json!(555)),
            (&json!("b3V0"), none),
            (&json!("bmV4dA=="), none),
            (&json!("aW4gdG9v"), &json!(555))
        ]
    );
    assert_eq!(records[0].key.as_deref(), Some(r#"{"prefix":"app"}"#));
    assert_eq!(harness.assembler.handed_over_end_lsn(), 129);
    assert_eq!(harness.assembler.counters().messages_skipped, 1);
    assert!(harness.log.tables[0].is_of_messages());
}

/// Status and count of each boundary, in the log's order.
fn boundaries(harness: &Harness) -> Vec<(String, Option<u64>)> {
    let mut tables = harness.log.tables.iter();
    let told = tables.find(|table| table.is_of_transactions());
    let key = told.expect("the boundaries were told").key;
    let records = harness.log.visible[&(0, Some(key))].iter();
    records
        .map(|record| {
            let status = record.value["status"].as_str().expect("a status");
            (status.to_owned(), record.value["event_count"].as_u64())
        })
        .collect()
}

#[test]
fn a_large_transaction_cut_off_in_the_middle_has_its_boundaries_once() {
    let mut config = config();
    config.limits.large_transaction_bytes = 4_096;
    config.limits.batch_bytes = 1_024;
    let options = DebeziumOptions {
        transactions: true,
        ..DebeziumOptions::default()
    };
    config.feeds = vec![FeedFormat::DebeziumJson {
        preset: Preset::Debezium(options),
        name: "cdc".to_owned(),
    }];
    let mut harness = Harness::new(config);
    harness.catalog.insert(ORDERS, orders_catalog());
    let rows: Vec<_> = (0..100).map(|id| order(&id.to_string(), "x")).collect();
    harness.push(&wire::begin(100, COMMIT_TIME_US, 555));
    harness.push(&orders(b'd'));
    for row in &rows {
        harness.push(row);
        harness.take_all();
    }
    assert!(harness.log.parts > 1 && harness.log.visible.is_empty());
    harness.assembler.connection_lost();
    harness.take_all();
    assert_eq!(harness.log.rewinds, 1);
    harness.push(&orders(b'd'));
    harness.transaction(100, &rows);
    harness.take_all();
    // What the server sends again is known; a transaction without rows is not.
    harness.transaction(100, &rows);
    harness.transaction(200, &[]);
    harness.take_all();
    let expected = [
        ("BEGIN", None),
        ("END", Some(100)),
        ("BEGIN", None),
        ("END", Some(0)),
    ];
    let expected = expected.map(|(status, count)| (status.to_owned(), count));
    assert_eq!(boundaries(&harness), expected);
}
