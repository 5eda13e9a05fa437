//! Definitions: when they are told, what is asked, and which key follows.

use super::*;
use crate::postgres::assembler::KnownKey;

fn key_names(table: &Table) -> Vec<&str> {
    let key = table.record_key();
    key.iter()
        .map(|&at| table.columns[at].name.as_str())
        .collect()
}

#[test]
fn a_definition_is_told_before_the_first_row_and_only_then() {
    let mut harness = harness_with_orders(b'd');
    harness.take_all();
    assert!(harness.log.tables.is_empty(), "no row, no cost");
    harness.transaction(100, &[order("1", "a")]);
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    let [table] = harness.log.tables.as_slice() else {
        panic!("told once");
    };
    assert_eq!(
        (table.schema.as_str(), table.name.as_str()),
        ("public", "orders")
    );
    assert_eq!((table.relation, table.key.0), (ORDERS, 0));
    let types: Vec<_> = table.columns.iter().map(|c| c.type_name.as_str()).collect();
    assert_eq!(types, ["integer", "text"]);
    assert_eq!(key_names(table), ["id"]);
    assert_eq!(harness.asked, [ORDERS]);
}

#[test]
fn a_definition_that_changes_inside_a_transaction_is_told_with_its_rows() {
    let mut harness = harness_with_orders(b'd');
    let columns = [
        (1, "id", INT4, -1),
        (0, "note", TEXT, -1),
        (0, "added", INT4, -1),
    ];
    let wider = wire::relation(ORDERS, ("public", "orders"), b'd', &columns);
    let row = [Sent::Text("2"), Sent::Text("b"), Sent::Text("9")];
    harness.transaction(100, &[order("1", "a"), wider, wire::insert(ORDERS, &row)]);
    harness.take_all();
    let widths: Vec<_> = harness.log.tables.iter().map(|t| t.columns.len()).collect();
    assert_eq!(widths, [2, 3]);
    assert_eq!(harness.log.tables[0].key, harness.log.tables[1].key);
    let records = harness.log.records(0);
    assert!(records[0].value["after"].get("added").is_none());
    assert_eq!(records[1].value["after"]["added"], 9);
}

#[test]
fn a_definition_of_the_open_transaction_waits_for_it() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    harness.take_all();
    harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
    harness.push(&wire::relation(
        9,
        ("public", "new"),
        b'd',
        &[(1, "id", INT4, -1)],
    ));
    harness.push(&wire::insert(9, &[Sent::Text("1")]));
    harness.take_all();
    assert_eq!(harness.log.tables.len(), 1);
    harness.push(&wire::commit(200, 208, COMMIT_TIME_US));
    harness.take_all();
    assert_eq!(harness.log.tables.len(), 2);
    assert_eq!(harness.log.records(1).len(), 1);
}

#[test]
fn a_relation_sent_again_unchanged_is_asked_about_but_not_told() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    harness.transaction(200, &[orders(b'd'), order("2", "b")]);
    harness.assembler.connection_lost();
    harness.push(&orders(b'd'));
    harness.transaction(300, &[order("3", "c")]);
    harness.take_all();
    assert_eq!(harness.log.tables.len(), 1);
    assert_eq!(harness.asked, [ORDERS; 3]);
    assert_eq!(harness.log.records(0).len(), 3);
}

#[test]
fn the_key_follows_the_primary_keys_order_from_the_catalog() {
    let columns = [(1, "a", INT4, -1), (0, "t", TEXT, -1), (1, "b", INT4, -1)];
    let mut harness = Harness::new(config());
    let info = catalog_table("pair", &[("a", Some(1)), ("t", None), ("b", Some(0))]);
    harness.catalog.insert(9, info);
    harness.push(&wire::relation(9, ("public", "pair"), b'd', &columns));
    let row = [Sent::Text("1"), Sent::Null, Sent::Text("2")];
    harness.transaction(100, &[wire::insert(9, &row)]);
    harness.take_all();
    let key = harness.log.records(0)[0].key.clone();
    assert_eq!(key.as_deref(), Some(r#"{"b":2,"a":1}"#));
}

#[test]
fn a_dropped_table_keeps_the_key_as_far_as_it_is_certain() {
    let columns = |flag| [(flag, "a", INT4, -1), (flag, "b", INT4, -1)];
    for (identity, flag, expected) in [
        (b'd', 1, vec!["a", "b"]),
        (b'd', 0, vec![]),
        (b'f', 1, vec![]),
        (b'n', 0, vec![]),
        (b'i', 1, vec!["a", "b"]),
    ] {
        let mut harness = Harness::new(config());
        harness.push(&wire::relation(
            9,
            ("public", "gone"),
            identity,
            &columns(flag),
        ));
        let row = [Sent::Text("1"), Sent::Text("2")];
        harness.transaction(100, &[wire::insert(9, &row)]);
        harness.take_all();
        let case = char::from(identity);
        assert_eq!(key_names(&harness.log.tables[0]), expected, "{case}");
        assert_eq!(
            harness.log.records(0)[0].key.is_some(),
            !expected.is_empty()
        );
    }
}

#[test]
fn a_table_dropped_after_its_key_was_known_keeps_it() {
    let mut harness = harness_with_orders(b'f');
    harness.transaction(100, &[order("1", "a")]);
    harness.catalog.clear();
    harness.assembler.connection_lost();
    harness.push(&orders(b'f'));
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    let keys: Vec<_> = harness
        .log
        .records(0)
        .iter()
        .map(|r| r.key.as_deref())
        .collect();
    assert_eq!(keys, [Some(r#"{"id":1}"#), Some(r#"{"id":2}"#)]);
}

#[test]
fn a_key_that_the_log_has_counts_where_the_catalog_is_gone_or_ahead() {
    let b_then_a = || Some(catalog_table("pair", &[("b", Some(0)), ("a", Some(1))]));
    let by_other = || Some(catalog_table("pair", &[("a", None), ("other", Some(0))]));
    let without = || Some(catalog_table("pair", &[("a", None), ("b", None)]));
    let marked = (b'd', 1);
    let full = (b'f', 1);
    for (case, (identity, flag), known, catalog, expected) in [
        ("gone", full, ["b", "a"], None, vec!["b", "a"]),
        ("gone", marked, ["b", "a"], None, vec!["b", "a"]),
        ("renamed", full, ["b", "a"], by_other(), vec!["b", "a"]),
        ("renamed", marked, ["b", "a"], by_other(), vec!["b", "a"]),
        ("sure of it", full, ["a", "b"], b_then_a(), vec!["b", "a"]),
        ("without", full, ["b", "a"], without(), vec![]),
        ("of others", full, ["b", "c"], None, vec![]),
        ("of others", marked, ["b", "c"], None, vec!["a", "b"]),
    ] {
        let mut config = config();
        config.known_keys = vec![KnownKey {
            schema: "public".to_owned(),
            name: "pair".to_owned(),
            columns: known.map(str::to_owned).to_vec(),
        }];
        let mut harness = Harness::new(config);
        harness.catalog.extend(catalog.map(|table| (9, table)));
        let columns = [(flag, "a", INT4, -1), (flag, "b", INT4, -1)];
        harness.push(&wire::relation(9, ("public", "pair"), identity, &columns));
        let row = [Sent::Text("1"), Sent::Text("2")];
        harness.transaction(100, &[wire::insert(9, &row)]);
        harness.take_all();
        let table = harness.log.tables.last().expect("it was told");
        assert_eq!(key_names(table), expected, "{case} {identity}");
    }
}

#[test]
fn a_full_table_keeps_its_key_when_the_column_is_renamed_before_its_rows_are_read() {
    let mut harness = harness_with_orders(b'f');
    harness.transaction(100, &[order("1", "a")]);
    // The message is of the row, with the old name; the catalog has the new one already.
    harness
        .catalog
        .insert(ORDERS, catalog_table("orders", &[("number", Some(0))]));
    harness.push(&orders(b'f'));
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    let records = harness.log.records(0);
    assert_eq!(records[1].key.as_deref(), Some(r#"{"id":2}"#));
}

#[test]
fn a_catalog_that_is_ahead_of_the_rows_does_not_change_their_key() {
    let mut harness = Harness::new(config());
    // By now the primary key is another column, and a later one.
    harness
        .catalog
        .insert(ORDERS, catalog_table("orders", &[("code", Some(0))]));
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.take_all();
    assert_eq!(
        harness.log.records(0)[0].key.as_deref(),
        Some(r#"{"id":1}"#)
    );
}

#[test]
fn announced_tables_are_told_at_once_and_not_asked_about() {
    let mut harness = Harness::new(config());
    let announce = |harness: &mut Harness| {
        let announced = harness.assembler.announce(ORDERS, orders_catalog());
        announced.expect("few relations");
    };
    announce(&mut harness);
    announce(&mut harness);
    harness.take_all();
    assert_eq!(harness.log.tables.len(), 1);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.assembler.connection_lost();
    announce(&mut harness);
    harness.push(&orders(b'd'));
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    assert_eq!(harness.log.tables.len(), 1, "the stream says the same");
    assert!(harness.asked.is_empty());
    assert_eq!(harness.log.records(0).len(), 2);
}

#[test]
fn an_announcement_is_not_trusted_where_the_stream_differs() {
    let mut harness = Harness::new(config());
    harness.catalog.insert(ORDERS, orders_catalog());
    let later = catalog_table(
        "orders",
        &[("id", Some(0)), ("note", None), ("extra", None)],
    );
    harness
        .assembler
        .announce(ORDERS, later.clone())
        .expect("few relations");
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    // While the stream has its own definition, a poll of the catalog changes nothing.
    harness
        .assembler
        .announce(ORDERS, later)
        .expect("few relations");
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    let widths: Vec<_> = harness.log.tables.iter().map(|t| t.columns.len()).collect();
    assert_eq!(widths, [3, 2]);
    assert_eq!(harness.log.records(0).len(), 2);

    // Identity FULL does not tell the key: it is asked for, whatever was announced.
    let mut harness = Harness::new(config());
    harness
        .assembler
        .announce(ORDERS, orders_catalog())
        .expect("few relations");
    harness.push(&orders(b'f'));
    harness.transaction(100, &[order("1", "a")]);
    assert_eq!(harness.asked, [ORDERS]);
}

#[test]
fn excluded_tables_are_never_told() {
    let mut with_filter = config();
    with_filter.tables = TableFilter::parse(&["public.orders"], &[]).expect("a good pattern");
    let mut harness = Harness::new(with_filter);
    let other = catalog_table("other", &[("id", Some(0))]);
    harness.assembler.announce(9, other).expect("few relations");
    harness.push(&wire::relation(
        9,
        ("public", "other"),
        b'd',
        &[(1, "id", INT4, -1)],
    ));
    harness.transaction(100, &[wire::insert(9, &[Sent::Text("1")])]);
    harness.take_all();
    assert!(harness.log.tables.is_empty() && harness.log.batches == 0);
}

/// Table and row of each record, in the order of the topic.
fn rows(harness: &Harness, key: u32) -> Vec<(String, i64)> {
    let records = harness.log.records(key).iter();
    let row = |record: &log::Record| {
        let table = record.value["source"]["table"].as_str();
        let id = record.value["after"]["id"].as_i64();
        (table.expect("a name").to_owned(), id.expect("an id"))
    };
    records.map(row).collect()
}

#[test]
fn a_table_renamed_inside_a_group_has_its_later_rows_elsewhere() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    let columns = [(1, "id", INT4, -1), (0, "note", TEXT, -1)];
    let renamed = wire::relation(ORDERS, ("archive", "old_orders"), b'd', &columns);
    harness.transaction(200, &[renamed, order("2", "b")]);
    harness.transaction(300, &[orders(b'd'), order("3", "c")]);
    harness.take_all();
    let names: Vec<_> = harness
        .log
        .tables
        .iter()
        .map(|t| (t.name.as_str(), t.key.0))
        .collect();
    assert_eq!(names, [("orders", 0), ("old_orders", 1)]);
    assert_eq!(harness.log.commits.len(), 1, "one group");
    let (old, new) = ("orders".to_owned(), "old_orders".to_owned());
    assert_eq!(rows(&harness, 0), [(old.clone(), 1), (old, 3)]);
    assert_eq!(rows(&harness, 1), [(new, 2)]);
}

#[test]
fn tables_that_change_names_with_each_other_change_their_topics_too() {
    const OTHER: u32 = 9;
    let mut harness = harness_with_orders(b'd');
    let other = |name| wire::relation(OTHER, ("public", name), b'd', &[(1, "id", INT4, -1)]);
    let columns = [(1, "id", INT4, -1), (0, "note", TEXT, -1)];
    let retired = wire::relation(ORDERS, ("public", "orders_old"), b'd', &columns);
    let row = |id| wire::insert(OTHER, &[Sent::Text(id)]);
    harness.transaction(100, &[order("1", "a"), other("orders_new"), row("10")]);
    let swapped = [retired, other("orders"), row("11"), order("2", "b")];
    harness.transaction(200, &swapped);
    harness.transaction(300, &[row("12")]);
    harness.take_all();
    let table = |name: &str, ids: &[i64]| -> Vec<(String, i64)> {
        ids.iter().map(|id| (name.to_owned(), *id)).collect()
    };
    assert_eq!(rows(&harness, 0), table("orders", &[1, 11, 12]));
    assert_eq!(rows(&harness, 1), table("orders_new", &[10]));
    assert_eq!(rows(&harness, 2), table("orders_old", &[2]));
}

#[test]
fn a_table_made_anew_under_its_name_goes_on_behind_the_old_one() {
    const ANEW: u32 = 9;
    let mut limited = config();
    // Each row fills a batch.
    limited.limits.batch_bytes = 200;
    let mut harness = Harness::new(limited);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    let anew = wire::relation(ANEW, ("public", "orders"), b'd', &[(1, "id", INT4, -1)]);
    let row = |id| wire::insert(ANEW, &[Sent::Text(id)]);
    harness.transaction(200, &[anew, row("2"), row("3")]);
    // Only a server that lies sends a row of the old one now: it is still read by its own definition.
    harness.transaction(300, &[order("4", "d"), row("5")]);
    harness.take_all();
    let ids: Vec<i64> = rows(&harness, 0).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let records = harness.log.records(0).iter();
    let has_note = |record: &log::Record| record.value["after"].get("note").is_some();
    let notes: Vec<bool> = records.map(has_note).collect();
    assert_eq!(notes, [true, false, false, true, false]);
    let relations: Vec<u32> = harness.log.tables.iter().map(|t| t.relation).collect();
    assert_eq!(relations[..2], [ORDERS, ANEW]);
}

#[test]
fn an_announced_table_that_was_renamed_is_announced_under_its_new_name() {
    let mut harness = Harness::new(config());
    let announce = |harness: &mut Harness, name| {
        let table = catalog_table(name, &[("id", Some(0)), ("note", None)]);
        harness
            .assembler
            .announce(ORDERS, table)
            .expect("few relations");
    };
    announce(&mut harness, "orders");
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.assembler.connection_lost();
    announce(&mut harness, "retired");
    announce(&mut harness, "retired");
    // What was written before the renaming comes under the name of then.
    harness.push(&orders(b'd'));
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    let names: Vec<_> = harness.log.tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["orders", "retired"]);
    assert_eq!(rows(&harness, 0).len(), 2);
}
