//! Transactions: borders, positions, what is ready when, lost connections.

use super::*;

/// Identities of the visible records of the first table.
fn visible(harness: &Harness) -> Vec<(u64, u64)> {
    let records = harness.log.records(0).iter();
    records.map(log::Record::identity).collect()
}

#[test]
fn whole_transactions_share_one_batch_and_one_commit() {
    let mut harness = harness_with_orders(b'd');
    for n in 1..=50 {
        harness.transaction(n * 100, &[order("1", "a")]);
    }
    harness.take_all();
    assert_eq!(harness.log.batches, 1);
    let [commit] = harness.log.commits.as_slice() else {
        panic!("one commit");
    };
    assert_eq!((commit.transactions, commit.changes), (50, 50));
    assert_eq!(commit.commit_time_ms, Some(COMMIT_TIME_MS));
    let position = harness.log.last_position();
    assert_eq!((position.commit_lsn, position.end_lsn), (5000, 5008));
    assert_eq!((position.system_id, position.timeline), (7, 1));
    assert_eq!(harness.assembler.handed_over_end_lsn(), 5008);
}

#[test]
fn the_highest_commit_time_of_a_group_is_told() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    let earlier = COMMIT_TIME_US - 3_600_000_000;
    harness.push(&wire::begin(200, earlier, 1));
    harness.push(&order("2", "b"));
    harness.push(&wire::commit(200, 208, earlier));
    harness.take_all();
    assert_eq!(harness.log.commits[0].commit_time_ms, Some(COMMIT_TIME_MS));
    assert_eq!(
        harness.log.records(0)[1].timestamp_ms,
        COMMIT_TIME_MS - 3_600_000
    );
}

#[test]
fn nothing_of_an_open_transaction_is_handed_over() {
    let mut harness = harness_with_orders(b'd');
    harness.push(&wire::begin(100, COMMIT_TIME_US, 1));
    harness.push(&order("1", "a"));
    harness.take_all();
    assert!(harness.log.commits.is_empty() && harness.log.batches == 0);
    harness.push(&wire::commit(100, 108, COMMIT_TIME_US));
    harness.take_all();
    assert_eq!(visible(&harness), [(100, 0)]);
}

#[test]
fn a_small_open_transaction_is_waited_for_and_a_larger_one_cut_off() {
    let mut limited = config();
    limited.limits.batch_bytes = 4_000;
    let mut harness = Harness::new(limited);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
    assert!(harness.assembler.has_ready(), "it brought nothing so far");
    harness.take_all();
    assert_eq!(visible(&harness), [(100, 0)]);
    harness.push(&order("2", "b"));
    harness.transaction_rest(200, 208);
    harness.transaction(300, &[order("3", "c")]);
    harness.push(&wire::begin(400, COMMIT_TIME_US, 4));
    harness.push(&order("4", "d"));
    assert!(!harness.assembler.has_ready(), "it is small");
    for _ in 0..20 {
        harness.push(&order("4", "d"));
    }
    assert!(harness.assembler.has_ready(), "it is larger than a batch");
    harness.take_all();
    assert_eq!(visible(&harness).last(), Some(&(300, 0)));
    assert_eq!(harness.log.last_position().end_lsn, 308);
    harness.transaction_rest(400, 408);
    harness.take_all();
    let identities = visible(&harness);
    assert_eq!(identities.last(), Some(&(400, 20)));
    let cut: Vec<_> = identities.iter().filter(|(lsn, _)| *lsn == 400).collect();
    assert_eq!(cut.len(), 21, "nothing is lost or doubled by the cut");
}

#[test]
fn transactions_below_the_resume_position_are_dropped() {
    let mut harness = Harness::resuming(config(), 208);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.transaction(200, &[order("2", "b")]);
    harness.transaction(208, &[order("3", "c")]);
    harness.take_all();
    assert_eq!(visible(&harness), [(208, 0)]);
    assert_eq!(harness.assembler.counters().transactions, 1);
}

#[test]
fn what_was_ready_when_the_connection_was_lost_comes_once() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
    harness.push(&order("2", "b"));
    harness.assembler.connection_lost();
    assert_eq!(harness.assembler.handed_over_end_lsn(), 0);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.transaction(200, &[order("2", "b")]);
    harness.take_all();
    assert_eq!(visible(&harness), [(100, 0), (200, 0)]);
    assert_eq!(harness.log.rewinds, 0);
}

#[test]
fn a_connection_lost_inside_a_large_transaction_rewinds() {
    let mut limited = config();
    limited.limits.batch_bytes = 1_000;
    limited.limits.large_transaction_bytes = 4_000;
    let mut harness = Harness::new(limited);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("0", "before")]);
    harness.push(&wire::begin(200, COMMIT_TIME_US, 2));
    for _ in 0..30 {
        harness.push(&order("1", "a"));
        harness.take_all();
    }
    assert!(harness.log.parts > 0);
    harness.assembler.connection_lost();
    harness.take_all();
    assert_eq!((harness.log.rewinds, harness.log.pending.len()), (1, 0));
    assert_eq!(harness.assembler.handed_over_end_lsn(), 108);
    harness.push(&orders(b'd'));
    let rows: Vec<_> = (0..30).map(|_| order("1", "a")).collect();
    harness.transaction(200, &rows);
    harness.take_all();
    assert_eq!(visible(&harness).len(), 31);
    assert_eq!(visible(&harness).last(), Some(&(200, 29)));
}

#[test]
fn messages_out_of_place_are_refused() {
    let begin = wire::begin(100, COMMIT_TIME_US, 1);
    let row = order("1", "a");
    let relation = orders(b'd');
    let wrong_columns = wire::insert(ORDERS, &[Sent::Text("1")]);
    let cases: [(&str, Vec<&[u8]>); 7] = [
        ("begin inside", vec![&begin, &begin]),
        ("commit outside", vec![&[b'C'; 26]]),
        ("change outside", vec![&relation, &row]),
        ("unknown relation", vec![&begin, &row]),
        ("other columns", vec![&relation, &begin, &wrong_columns]),
        ("unknown pgoutput message", vec![b"S\0\0\0\x01\x01"]),
        ("ends too early", vec![b"B\0"]),
    ];
    for (message, pushes) in cases {
        let mut harness = Harness::new(config());
        let mut results = pushes.iter().map(|bytes| harness.push_at(5, bytes));
        let error = results.find_map(Result::err).expect(message);
        assert!(error.to_string().contains(message), "{error}");
    }
    for (lsn, end) in [(101, 108), (100, 100)] {
        let mut harness = Harness::new(config());
        harness.push(&begin);
        let commit = wire::commit(lsn, end, COMMIT_TIME_US);
        let error = harness.push_at(0, &commit).expect_err("not its commit");
        assert!(error.to_string().contains("not the one"), "{error}");
    }
}

#[test]
fn transactions_without_captured_changes_move_the_position_now_and_then() {
    let mut harness = Harness::new(config());
    harness.transaction(100, &[]);
    harness.take_all();
    assert!(harness.log.commits.is_empty(), "not for each of them");
    harness.now_ms += 5_000;
    harness.transaction(200, &[]);
    harness.take_all();
    let [commit] = harness.log.commits.as_slice() else {
        panic!("one commit");
    };
    assert_eq!((commit.transactions, commit.changes), (2, 0));
    assert_eq!(harness.log.last_position().end_lsn, 208);
}

#[test]
fn idle_positions_follow_keepalives_by_time_or_by_bytes() {
    let mut harness = Harness::new(config());
    harness.assembler.keepalive(1_000, NOW_MS);
    harness.assembler.keepalive(2_000, NOW_MS + 4_999);
    assert!(!harness.assembler.has_ready());
    harness.assembler.keepalive(3_000, NOW_MS + 5_000);
    harness.take_all();
    let position = harness.log.last_position();
    assert_eq!((position.commit_lsn, position.end_lsn), (3_000, 3_000));
    let commit = harness.log.commits.last().expect("a commit");
    assert_eq!((commit.commit_time_ms, commit.transactions), (None, 0));

    harness.assembler.keepalive(3_000, NOW_MS + 60_000);
    assert!(!harness.assembler.has_ready(), "nothing moved");
    harness.assembler.keepalive(2_000, NOW_MS + 60_000);
    assert!(!harness.assembler.has_ready(), "positions do not go back");
    harness
        .assembler
        .keepalive(3_000 + 16 * 1024 * 1024, NOW_MS + 5_001);
    assert!(harness.assembler.has_ready(), "a segment's worth of log");
}

#[test]
fn a_clock_set_back_does_not_put_the_next_position_off() {
    let mut harness = Harness::new(config());
    harness.assembler.keepalive(1_000, NOW_MS);
    harness.assembler.keepalive(2_000, NOW_MS - 3_600_000);
    assert!(harness.assembler.has_ready());
}

#[test]
fn a_hurried_position_is_due_at_once_and_only_once() {
    let mut harness = Harness::new(config());
    harness.assembler.hurry_position();
    assert!(!harness.assembler.has_ready(), "nothing has moved");
    harness.assembler.keepalive(1_000, NOW_MS);
    assert!(harness.assembler.has_ready());
    assert!(harness.assembler.take().is_some());
    harness.assembler.keepalive(2_000, NOW_MS + 1);
    assert!(!harness.assembler.has_ready());
}

#[test]
fn a_keepalive_inside_a_transaction_moves_nothing() {
    let mut harness = harness_with_orders(b'd');
    harness.push(&wire::begin(100, COMMIT_TIME_US, 1));
    harness.push(&order("1", "a"));
    harness.assembler.keepalive(5_000, NOW_MS + 60_000);
    harness.assembler.connection_lost();
    harness.take_all();
    assert_eq!(harness.assembler.handed_over_end_lsn(), 0);
    harness.push(&orders(b'd'));
    harness.transaction(100, &[order("1", "a")]);
    harness.take_all();
    assert_eq!(visible(&harness), [(100, 0)]);
    assert_eq!(harness.log.last_position().end_lsn, 108);
}

#[test]
fn a_new_timeline_shows_in_the_next_position() {
    let mut harness = harness_with_orders(b'd');
    harness.assembler.set_timeline(2);
    harness.transaction(100, &[order("1", "a")]);
    harness.take_all();
    assert_eq!(harness.log.last_position().timeline, 2);
}

#[test]
fn messages_outside_of_transactions_are_counted_only() {
    let mut harness = Harness::new(config());
    harness.push(&wire::logical(false, 7, "hb", b""));
    harness.push(&wire::origin(3, "elsewhere"));
    assert_eq!(harness.assembler.counters().messages_skipped, 1);
    assert!(!harness.assembler.has_ready());
}

impl Harness {
    /// The end of a transaction that was begun by hand.
    fn transaction_rest(&mut self, lsn: u64, end_lsn: u64) {
        self.push(&wire::commit(lsn, end_lsn, COMMIT_TIME_US));
    }
}

#[test]
fn what_a_keepalive_told_of_a_server_that_is_gone_hides_nothing_of_the_next_one() {
    let mut harness = harness_with_orders(b'd');
    harness.transaction(100, &[order("1", "a")]);
    harness.take_all();
    // Further than the standby that is promoted has it, and not recorded yet.
    harness.assembler.keepalive(900, NOW_MS);
    harness.assembler.connection_lost();
    assert_eq!(harness.assembler.assembled_end_lsn(), 108);
    harness.push(&orders(b'd'));
    harness.transaction(300, &[order("2", "b")]);
    harness.take_all();
    assert_eq!(harness.log.records(0).len(), 2);
    // Once it is recorded it counts as captured: whoever goes on from there has to compare it.
    harness.assembler.keepalive(900, NOW_MS + 60_000);
    harness.take_all();
    harness.assembler.connection_lost();
    assert_eq!(harness.assembler.assembled_end_lsn(), 900);
    // So does a transaction that waits for the log.
    harness.push(&orders(b'd'));
    harness.transaction(1_000, &[order("3", "c")]);
    harness.assembler.connection_lost();
    assert_eq!(harness.assembler.handed_over_end_lsn(), 900);
    assert_eq!(harness.assembler.assembled_end_lsn(), 1_008);
}
