//! Memory stays bounded, whatever the server sends.

use super::*;
use crate::group::TransactionGroup;
use crate::limits::Oversize;

#[test]
fn a_large_transaction_comes_in_parts_and_is_seen_at_its_end() {
    let mut limited = config();
    limited.limits.batch_bytes = 8_000;
    limited.limits.large_transaction_bytes = 32_000;
    limited.limits.gathered_bytes = 64_000;
    let mut harness = Harness::new(limited);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("0", "before")]);
    harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
    let note = "x".repeat(200);
    let mut most = 0;
    for id in 0..2_000 {
        harness.push(&order(&id.to_string(), &note));
        most = most.max(harness.assembler.gathered_bytes());
        if harness.assembler.must_wait() {
            harness
                .log
                .append(harness.assembler.take().expect("something is ready"));
            let visible = harness.log.records(0).len();
            assert!(
                visible <= 1,
                "{visible} records are visible before the commit"
            );
        }
    }
    assert!(most < 64_000 + 8_000, "{most} bytes were held");
    harness.push(&wire::commit(200, 208, COMMIT_TIME_US));
    harness.take_all();
    assert!(harness.log.parts > 5);
    let ids = harness
        .log
        .records(0)
        .iter()
        .skip(1)
        .map(|r| r.value["after"]["id"].as_u64());
    assert!(ids.eq((0..2_000).map(Some)), "all of them, in order");
    let last = harness.log.commits.last().expect("a commit");
    assert_eq!((last.transactions, last.changes), (1, 2_000));
    assert!(harness.log.largest_batch <= 8_000 + 1_000);
}

#[test]
fn a_record_larger_than_a_batch_has_one_of_its_own() {
    let mut limited = config();
    limited.limits.batch_bytes = 4_000;
    let mut harness = Harness::new(limited);
    harness.push(&orders(b'd'));
    let large = "x".repeat(10_000);
    harness.transaction(100, &[order("1", "a"), order("2", &large), order("3", "b")]);
    harness.take_all();
    assert_eq!(harness.log.batches, 3);
    let ids: Vec<_> = harness
        .log
        .records(0)
        .iter()
        .map(|r| r.value["after"]["id"].as_u64())
        .collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3)]);
}

#[test]
fn a_hundred_thousand_tables_in_one_transaction_fit_the_budget() {
    let mut harness = Harness::new(config());
    harness.push(&wire::begin(100, COMMIT_TIME_US, 1));
    let mut most = 0;
    let mut records = 0;
    let mut tables = 0;
    let count = |group: &TransactionGroup| -> u32 {
        group
            .batches
            .iter()
            .map(|batch| batch.batch.record_count)
            .sum()
    };
    for oid in 20_000..120_000 {
        let name = format!("t{oid}");
        let columns = [(1, "id", INT4, -1), (0, "note", TEXT, -1)];
        harness.push(&wire::relation(oid, ("public", &name), b'd', &columns));
        harness.push(&wire::insert(oid, &[Sent::Text("1"), Sent::Null]));
        most = most.max(harness.assembler.gathered_bytes());
        while harness.assembler.must_wait() {
            match harness.assembler.take().expect("something is ready") {
                Captured::Tables(told) => tables += told.len(),
                Captured::Group(group) => records += count(&group),
                Captured::Rewind => panic!("nothing was lost"),
            }
        }
    }
    assert!(most <= 17 * 1024 * 1024, "{most} bytes were held");
    // Tables of which nothing is prepared any more.
    for oid in 20_000..20_010 {
        harness.push(&wire::insert(oid, &[Sent::Text("2"), Sent::Null]));
    }
    harness.push(&wire::commit(100, 108, COMMIT_TIME_US));
    while let Some(captured) = harness.assembler.take() {
        match captured {
            Captured::Tables(told) => tables += told.len(),
            Captured::Group(group) => records += count(&group),
            Captured::Rewind => panic!("nothing was lost"),
        }
    }
    assert_eq!((tables, records), (100_000, 100_010));
    assert_eq!(harness.assembler.gathered_bytes(), 0);
}

#[test]
fn a_record_beyond_the_limit_names_its_table_and_loses_nothing_before_it() {
    let mut limited = config();
    limited.limits.record_bytes_max = 2_000;
    limited.limits.oversize = Oversize::Stop;
    let mut harness = Harness::new(limited);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.push(&wire::begin(200, COMMIT_TIME_US, 77));
    let error = harness.push_at(1, &order("2", &"x".repeat(5_000)));
    let message = error.expect_err("too large").to_string();
    for part in [
        "\"orders\"",
        "limit=2000",
        "transaction=77",
        "commit_lsn=0/C8",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("xxx"), "no values");
    harness.assembler.connection_lost();
    harness.take_all();
    assert_eq!(harness.log.records(0).len(), 1);
}

#[test]
fn a_server_that_names_too_many_relations_is_refused() {
    let mut limited = config();
    limited.limits.relations_max = 10;
    let mut harness = Harness::new(limited);
    let results: Vec<_> = (0..11)
        .map(|oid| harness.push_at(0, &wire::relation(oid, ("s", "t"), b'd', &[])))
        .collect();
    assert!(results[..10].iter().all(Result::is_ok));
    assert_eq!(
        results[10],
        Err(AssembleError::TooManyRelations { limit: 10 })
    );
}

#[test]
fn a_table_that_is_renamed_for_ever_is_refused_in_the_end() {
    let mut limited = config();
    limited.limits.relations_max = 10;
    let mut harness = Harness::new(limited);
    harness.push(&wire::begin(100, COMMIT_TIME_US, 1));
    let mut renamed = |number| {
        let name = format!("t{number}");
        harness.push_at(0, &wire::relation(9, ("s", &name), b'd', &[]))?;
        harness.push_at(1, &wire::insert(9, &[]))
    };
    assert!((0..10).all(|number| renamed(number).is_ok()));
    let refused = renamed(10);
    assert_eq!(refused, Err(AssembleError::TooManyRelations { limit: 10 }));
    assert!(renamed(3).is_ok(), "a name that was known before");
}
