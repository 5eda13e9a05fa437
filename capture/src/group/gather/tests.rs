use headwater_protocol::batch::records;

use super::*;

const LANE: Lane = (0, None);

const BATCH_BYTES: usize = 1_000;

fn gather() -> Gather {
    let mut gather = Gather::new(1, BATCH_BYTES);
    gather.begin();
    gather
}

/// A value of `size` times the byte `fill`, of which only `expected` bytes were announced.
fn append(gather: &mut Gather, fill: u8, size: usize, expected: usize) {
    let appended = gather.append_value(LANE, (7, expected), &[], |out| {
        out.resize(out.len() + size, fill);
        Ok::<(), BatchFull>(())
    });
    appended.unwrap();
    gather.count_change();
    let held: usize = gather
        .full
        .iter()
        .chain(&gather.open)
        .map(Batch::size)
        .sum();
    assert_eq!(gather.bytes(), held, "bytes are counted as they are held");
}

/// First byte and size of each record, by batch.
fn read(batches: &[TableBatch]) -> Vec<Vec<(u8, usize)>> {
    let read = |batch: &TableBatch| {
        let records = records(&batch.batch.bytes);
        let value = |record: Result<headwater_protocol::batch::RecordView<'_>, _>| {
            let value = record.unwrap().value.unwrap();
            (value[0], value.len())
        };
        records.map(value).collect()
    };
    batches.iter().map(read).collect()
}

#[test]
fn a_value_larger_than_was_expected_moves_to_a_batch_of_its_own() {
    let mut gather = gather();
    append(&mut gather, 1, 100, 100);
    append(&mut gather, 2, 5_000, 10);
    append(&mut gather, 3, 500, 10);
    append(&mut gather, 4, 600, 10);
    append(&mut gather, 5, 10, 10);
    gather.commit(7);
    let (batches, whole) = gather.take_whole();
    assert_eq!(
        read(&batches),
        [
            vec![(1, 100)],
            vec![(2, 5_000)],
            vec![(3, 500)],
            vec![(4, 600), (5, 10)],
        ]
    );
    assert_eq!((whole.transactions, whole.changes), (1, 5));
}

#[test]
fn such_a_value_stays_with_its_transaction_when_the_ones_before_are_taken() {
    let mut gather = gather();
    append(&mut gather, 1, 100, 100);
    gather.commit(7);
    gather.begin();
    append(&mut gather, 2, 950, 10);
    let (batches, _) = gather.take_whole();
    assert_eq!(read(&batches), [vec![(1, 100)]]);
    append(&mut gather, 3, 10, 10);
    gather.commit(7);
    let (batches, whole) = gather.take_whole();
    assert_eq!(read(&batches), [vec![(2, 950)], vec![(3, 10)]]);
    assert_eq!(whole.changes, 2);
}

#[test]
fn it_is_forgotten_with_its_transaction() {
    let mut gather = gather();
    append(&mut gather, 1, 100, 100);
    gather.commit(7);
    gather.begin();
    append(&mut gather, 2, 950, 10);
    append(&mut gather, 3, 10, 10);
    gather.abandon();
    let (batches, whole) = gather.take_whole();
    assert_eq!(read(&batches), [vec![(1, 100)]]);
    assert_eq!((whole.transactions, whole.changes), (1, 1));
}

#[test]
fn a_value_that_is_refused_leaves_nothing() {
    let mut gather = gather();
    append(&mut gather, 1, 100, 100);
    let bytes = gather.bytes();
    let refused = gather.append_value(LANE, (7, 10), &[], |out| {
        out.push(9);
        Err(BatchFull)
    });
    assert_eq!((refused, gather.bytes()), (Err(BatchFull), bytes));
    gather.commit(7);
    assert_eq!(read(&gather.take_whole().0), [vec![(1, 100)]]);
}
