use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;

use super::*;

fn finished(builder: &mut BatchBuilder) -> RecordBatch {
    builder.finish().expect("the builder has records")
}

fn builder_of(timestamps: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for (index, &timestamp) in timestamps.iter().enumerate() {
        builder
            .append(timestamp, Some(index.to_string().as_bytes()), None, &[])
            .unwrap();
    }
    builder
}

#[test]
fn a_batch_of_one_record_has_these_bytes() {
    let mut builder = BatchBuilder::new();
    let headers = [
        Header {
            key: "h",
            value: None,
        },
        Header {
            key: "h",
            value: Some(b""),
        },
    ];
    builder
        .append(1_000, Some(b"k"), Some(b"va"), &headers)
        .unwrap();
    let batch = finished(&mut builder);
    #[rustfmt::skip]
    let expected_behind_crc = [
        0, 0,                                           // attributes
        0, 0, 0, 0,                                     // last offset delta
        0, 0, 0, 0, 0, 0, 3, 232,                       // base timestamp
        0, 0, 0, 0, 0, 0, 3, 232,                       // max timestamp
        255, 255, 255, 255, 255, 255, 255, 255,         // producer id
        255, 255,                                       // producer epoch
        255, 255, 255, 255,                             // base sequence
        0, 0, 0, 1,                                     // record count
        30, 0, 0, 0,                                    // length 15, attributes, deltas
        2, b'k', 4, b'v', b'a',                         // key, value
        4, 2, b'h', 1, 2, b'h', 0,                      // two headers
    ];
    assert_eq!(batch.bytes[..8], [0; 8]);
    assert_eq!(batch.bytes[8..12], 65_i32.to_be_bytes());
    assert_eq!(batch.bytes[12..17], [0, 0, 0, 0, 2]);
    assert_eq!(
        batch.bytes[17..21],
        crc32c::crc32c(&expected_behind_crc).to_be_bytes()
    );
    assert_eq!(batch.bytes[21..], expected_behind_crc);
    assert_eq!((batch.record_count, batch.max_timestamp), (1, 1_000));
}

#[test]
fn the_crate_reads_the_batch_after_the_log_has_stamped_offset_and_epoch() {
    let mut batch = finished(&mut builder_of(&[5, -3, 9]));
    batch.bytes[..8].copy_from_slice(&700_i64.to_be_bytes());
    batch.bytes[12..16].copy_from_slice(&4_i32.to_be_bytes());
    let set = RecordBatchDecoder::decode(&mut Bytes::from(batch.bytes)).unwrap();
    let seen: Vec<_> = set
        .records
        .iter()
        .map(|record| (record.offset, record.timestamp))
        .collect();
    assert_eq!(seen, [(700, 5), (701, -3), (702, 9)]);
    assert!(
        set.records
            .iter()
            .all(|record| record.partition_leader_epoch == 4)
    );
}

#[test]
fn an_empty_builder_has_no_size_and_finishes_into_nothing() {
    let mut builder = BatchBuilder::new();
    assert_eq!((builder.size(), builder.record_count()), (0, 0));
    assert!(builder.finish().is_none());
}

#[test]
fn a_finished_builder_begins_anew() {
    let mut builder = builder_of(&[900]);
    finished(&mut builder);
    builder.append(-4, None, None, &[]).unwrap();
    let batch = finished(&mut builder);
    assert_eq!((batch.record_count, batch.max_timestamp), (1, -4));
}

#[test]
fn the_maximum_of_what_stays_is_that_of_the_records_before_the_mark() {
    let mut builder = builder_of(&[10, 20]);
    let mark = builder.mark();
    builder.append(99, None, None, &[]).unwrap();
    builder.append(30, None, None, &[]).unwrap();
    let mut moved = builder.split_off(mark);
    assert_eq!(finished(&mut builder).max_timestamp, 20);
    assert_eq!(finished(&mut moved).max_timestamp, 99);
}

#[test]
#[should_panic(expected = "a mark is used with its own builder")]
fn a_mark_of_a_finished_batch_is_a_mistake() {
    let mut builder = builder_of(&[1, 2, 3]);
    let mark = builder.mark();
    finished(&mut builder);
    builder.split_off(mark);
}

#[test]
fn a_record_beyond_what_kafka_can_carry_is_refused_and_changes_nothing() {
    // The same 64 MiB in 40 headers: 2.5 GiB on the wire. It is refused before it is written.
    let chunk = vec![0; 64 << 20];
    let headers = [Header {
        key: "h",
        value: Some(&chunk),
    }; 40];
    let mut builder = builder_of(&[1]);
    let size = builder.size();
    assert_eq!(builder.append(2, None, None, &headers), Err(BatchFull));
    assert_eq!((builder.size(), builder.record_count()), (size, 1));
    assert_eq!(finished(&mut builder).max_timestamp, 1);
    assert_eq!(builder.append(2, None, None, &headers), Err(BatchFull));
    assert!(builder.is_empty());
}

#[test]
fn a_flipped_bit_behind_the_checksum_is_seen_and_stamping_is_not() {
    let batch = finished(&mut builder_of(&[1, 2, 3])).bytes;
    for at in (0..8).chain(12..16) {
        let mut stamped = batch.clone();
        stamped[at] ^= 1;
        assert_eq!(verify_crc(&stamped), Ok(()), "byte {at}");
    }
    for at in 17..batch.len() {
        let mut flipped = batch.clone();
        flipped[at] ^= 1;
        assert_eq!(verify_crc(&flipped), Err(BatchError::Checksum), "byte {at}");
    }
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let batch = finished(&mut builder_of(&[1])).bytes;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = batch.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    assert_eq!(BatchHeader::parse(&batch[..60]), Err(BatchError::Truncated));
    assert_eq!(
        BatchHeader::parse(&with(16, &[1])),
        Err(BatchError::Magic(1))
    );
    assert_eq!(
        BatchHeader::parse(&with(8, &[0, 0, 0, 48])),
        Err(BatchError::Length)
    );
    assert_eq!(
        BatchHeader::parse(&with(8, &[0xff; 4])),
        Err(BatchError::Length)
    );
    assert_eq!(
        BatchHeader::parse(&with(57, &[0xff; 4])),
        Err(BatchError::Length)
    );
    assert_eq!(
        first_at_or_after(&with(8, &[0x7f; 4]), 0),
        Err(BatchError::Truncated)
    );
    assert_eq!(
        first_at_or_after(&with(21, &[0, 3]), 0),
        Err(BatchError::Compressed)
    );
}

#[test]
fn a_record_count_that_differs_from_the_records_is_an_error() {
    let batch = finished(&mut builder_of(&[1, 2])).bytes;
    for (count, expected) in [(1, BatchError::Length), (3, BatchError::Truncated)] {
        let mut changed = batch.clone();
        changed[57..61].copy_from_slice(&i32::to_be_bytes(count));
        let last = records(&changed).last();
        assert_eq!(last, Some(Err(expected)), "count {count}");
    }
}

#[test]
fn under_log_append_time_every_record_has_the_batchs_time() {
    let mut batch = finished(&mut builder_of(&[1, 7, 3])).bytes;
    batch[22] |= 1 << 3;
    let times: Vec<_> = records(&batch)
        .map(|record| record.unwrap().timestamp)
        .collect();
    assert_eq!(times, [7, 7, 7]);
    assert_eq!(first_at_or_after(&batch, 5), Ok(Some((0, 7))));
}

/// Appends `value` straight into the batch, with lengths made for `expected` bytes.
fn append_in_place(builder: &mut BatchBuilder, timestamp_ms: i64, expected: usize, value: &[u8]) {
    builder
        .append_value(timestamp_ms, expected, &[], |out| {
            out.extend_from_slice(value);
            Ok::<(), BatchFull>(())
        })
        .unwrap();
}

#[test]
fn a_value_written_in_place_makes_the_same_batch_whatever_size_was_expected() {
    let sizes = [0, 1, 48, 62, 63, 64, 8_180, 8_192, 70_000, 1_048_600];
    for expected in sizes {
        let (mut in_place, mut copied) = (BatchBuilder::new(), BatchBuilder::new());
        for (time, size) in (0..).zip(sizes) {
            let timestamp_ms = 1_000_000 - 70_000 * time;
            let value = vec![7; size];
            append_in_place(&mut in_place, timestamp_ms, expected, &value);
            copied
                .append(timestamp_ms, None, Some(&value), &[])
                .unwrap();
            assert_eq!(in_place.size(), copied.size(), "{expected} for {size}");
        }
        let (in_place, copied) = (finished(&mut in_place), finished(&mut copied));
        assert!(in_place.bytes == copied.bytes, "expected {expected}");
        assert_eq!(in_place.max_timestamp, copied.max_timestamp);
    }
}

#[test]
fn a_value_that_cannot_be_written_leaves_nothing_behind() {
    let mut builder = BatchBuilder::new();
    for _ in 0..2 {
        let before = builder.size();
        let refused = builder.append_value(5, 10, &[], |out| {
            out.extend_from_slice(&[1; 100]);
            Err(BatchFull)
        });
        assert_eq!(refused, Err(BatchFull));
        assert_eq!(builder.size(), before);
        append_in_place(&mut builder, 1, 10, b"whole");
    }
    assert_eq!(builder.record_count(), 2);
    assert_eq!(finished(&mut builder).max_timestamp, 1);
}
