//! Batches beside the crate's decoder, and the builder beside itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_protocol::batch::{
    BatchBuilder, BatchHeader, Header, RecordBatch, first_at_or_after, records, verify_crc,
};
use kafka_protocol::records::RecordBatchDecoder;
use proptest::{collection::vec, option, prelude::*};

#[derive(Debug, Clone)]
struct Sample {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn sample(timestamps: impl Strategy<Value = i64>) -> impl Strategy<Value = Sample> {
    let bytes = || option::of(vec(any::<u8>(), 0..200));
    // Few keys, so that they repeat.
    let headers = vec(("[ab]{0,2}", bytes()), 0..5);
    (timestamps, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Sample {
        timestamp,
        key,
        value,
        headers,
    })
}

fn append(builder: &mut BatchBuilder, sample: &Sample) {
    let headers: Vec<_> = sample
        .headers
        .iter()
        .map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        })
        .collect();
    builder
        .append(
            sample.timestamp,
            sample.key.as_deref(),
            sample.value.as_deref(),
            &headers,
        )
        .expect("a sample fits a batch");
}

fn built(samples: &[Sample]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    samples
        .iter()
        .for_each(|sample| append(&mut builder, sample));
    builder
}

fn finished(samples: &[Sample]) -> RecordBatch {
    built(samples).finish().expect("there are samples")
}

proptest! {
    #[test]
    fn our_reader_gives_back_every_record_with_every_header_at_any_time(
        samples in vec(sample(any::<i64>()), 1..40),
    ) {
        let batch = finished(&samples);
        verify_crc(&batch.bytes).unwrap();
        let read: Vec<_> = records(&batch.bytes).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), samples.len());
        for (index, (record, sample)) in read.iter().zip(&samples).enumerate() {
            prop_assert_eq!(record.offset, i64::try_from(index).unwrap());
            prop_assert_eq!(record.timestamp, sample.timestamp);
            prop_assert_eq!(record.key, sample.key.as_deref());
            prop_assert_eq!(record.value, sample.value.as_deref());
            let headers: Vec<_> = record.headers.iter().map(|h| (h.key, h.value)).collect();
            let expected: Vec<_> =
                sample.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            prop_assert_eq!(headers, expected);
        }
    }

    // Times are kept where their sums do not overflow: the crate adds without a check.
    #[test]
    fn the_crates_decoder_reads_what_the_builder_wrote(
        samples in vec(sample(-(1_i64 << 60)..1 << 60), 1..40),
    ) {
        let batch = finished(&samples);
        prop_assert_eq!(batch.max_timestamp, samples.iter().map(|s| s.timestamp).max().unwrap());
        prop_assert_eq!(usize::try_from(batch.record_count).unwrap(), samples.len());
        let set = RecordBatchDecoder::decode(&mut Bytes::from(batch.bytes)).unwrap();
        prop_assert_eq!(set.records.len(), samples.len());
        for (index, (record, sample)) in set.records.iter().zip(&samples).enumerate() {
            prop_assert_eq!(record.offset, i64::try_from(index).unwrap());
            prop_assert_eq!(record.timestamp, sample.timestamp);
            prop_assert_eq!(record.key.as_deref(), sample.key.as_deref());
            prop_assert_eq!(record.value.as_deref(), sample.value.as_deref());
            // The crate keeps one of several headers of a key, the last.
            let kept: BTreeMap<_, _> =
                record.headers.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
            let expected: BTreeMap<_, _> = sample
                .headers
                .iter()
                .map(|(key, value)| (key.clone(), value.clone().map(Bytes::from)))
                .collect();
            prop_assert_eq!(kept, expected);
        }
    }

    #[test]
    fn the_header_says_what_the_batch_is(samples in vec(sample(any::<i64>()), 1..20)) {
        let batch = finished(&samples);
        let header = BatchHeader::parse(&batch.bytes).unwrap();
        let count = i32::try_from(samples.len()).unwrap();
        prop_assert_eq!(header.size(), batch.bytes.len());
        prop_assert_eq!((header.base_offset, header.partition_leader_epoch), (0, 0));
        prop_assert_eq!((header.record_count, header.last_offset_delta), (count, count - 1));
        prop_assert_eq!(header.base_timestamp, samples[0].timestamp);
        prop_assert_eq!(header.max_timestamp, batch.max_timestamp);
        prop_assert_eq!(header.attributes, 0);
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
    }

    #[test]
    fn the_size_told_before_finishing_is_the_size(samples in vec(sample(any::<i64>()), 0..20)) {
        let mut builder = built(&samples);
        let size = builder.size();
        prop_assert_eq!(size, builder.finish().map_or(0, |batch| batch.bytes.len()));
        prop_assert!(builder.is_empty() && builder.size() == 0);
    }

    #[test]
    fn splitting_at_any_mark_gives_what_separate_builders_would(
        samples in vec(sample(any::<i64>()), 0..30),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(samples.len() + 1);
        let mut builder = built(&samples[..at]);
        let mark = builder.mark();
        samples[at..].iter().for_each(|sample| append(&mut builder, sample));
        let moved = builder.split_off(mark);
        for (mut got, expected) in [(builder, &samples[..at]), (moved, &samples[at..])] {
            let (got, expected) = (got.finish(), built(expected).finish());
            prop_assert_eq!(got.as_ref().map(|b| &b.bytes), expected.as_ref().map(|b| &b.bytes));
            prop_assert_eq!(
                got.map(|b| (b.record_count, b.max_timestamp)),
                expected.map(|b| (b.record_count, b.max_timestamp))
            );
        }
    }

    #[test]
    fn splitting_behind_the_last_record_moves_nothing(
        samples in vec(sample(any::<i64>()), 1..10),
    ) {
        let mut builder = built(&samples);
        let mark = builder.mark();
        prop_assert!(builder.split_off(mark).is_empty());
        prop_assert_eq!(builder.finish().unwrap().bytes, finished(&samples).bytes);
    }

    #[test]
    fn the_first_record_at_or_after_a_time_is_found_in_offset_order(
        times in vec(-50_i64..50, 1..40),
        asked in -60_i64..60,
    ) {
        let mut builder = BatchBuilder::new();
        for &time in &times {
            builder.append(time, None, Some(b"v"), &[]).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        batch.bytes[..8].copy_from_slice(&1000_i64.to_be_bytes());
        let expected = (1000..).zip(times).find(|(_, time)| *time >= asked);
        prop_assert_eq!(first_at_or_after(&batch.bytes, asked), Ok(expected));
    }

    // Whatever the bytes are: an error, never a panic, and never more records than bytes.
    #[test]
    fn a_damaged_batch_is_an_error_or_records_but_never_a_panic(
        samples in vec(sample(any::<i64>()), 1..10),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = finished(&samples).bytes;
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for batch in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            prop_assert!(records(batch).count() <= batch.len() + 1);
            let _ = first_at_or_after(batch, 0);
            let _ = verify_crc(batch);
        }
    }
}
