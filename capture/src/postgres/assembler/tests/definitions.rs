//! Definitions: when they are told, what is asked, and which key follows.

use super::*;

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

#[test]
fn a_renamed_table_keeps_its_key_and_is_told_again() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    let columns = [(1, "id", INT4, -1), (0, "note", TEXT, -1)];
    let renamed = wire::relation(ORDERS, ("archive", "old_orders"), b'd', &columns);
    harness.transaction(200, &[renamed, order("2", "b")]);
    harness.take_all();
    let names: Vec<_> = harness
        .log
        .tables
        .iter()
        .map(|t| (t.name.as_str(), t.key.0))
        .collect();
    assert_eq!(names, [("orders", 0), ("old_orders", 0)]);
    assert_eq!(
        harness.log.records(0)[1].value["source"]["table"],
        "old_orders"
    );
}
