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
