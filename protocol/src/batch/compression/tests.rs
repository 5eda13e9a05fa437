use proptest::prelude::*;

use super::*;
use crate::batch::{BatchBuilder, Header, first_at_or_after, records, verify_crc};

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// Rows as a table gives them: much alike.
fn rows(count: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for row in 0..count {
        let value = format!(r#"{{"before":null,"after":{{"id":{row},"name":"customer {row}"}}}}"#);
        let header = Header {
            key: "schema",
            value: Some(b"1"),
        };
        builder
            .append(1_000 + row, Some(b"key"), Some(value.as_bytes()), &[header])
            .unwrap();
    }
    builder.finish().unwrap()
}

/// A batch of one record with bytes that no codec makes smaller.
fn noise(size: usize) -> RecordBatch {
    let mut state = 1_u64;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let value: Vec<u8> = (0..size).map(|_| byte()).collect();
    let mut builder = BatchBuilder::new();
    builder.append(1, None, Some(&value), &[]).unwrap();
    builder.finish().unwrap()
}

#[test]
fn every_codec_gives_back_the_same_batch_and_is_smaller() {
    for codec in CODECS {
        for count in [10, 1_000, 4_000] {
            let plain = rows(count);
            let batch = plain.clone().compressed(codec);
            let (size, before) = (batch.bytes.len(), plain.bytes.len());
            assert!(size < before, "{codec:?} {count}: {size} of {before}");
            assert_eq!(batch.record_count, plain.record_count);
            assert_eq!(verify_crc(&batch.bytes), Ok(()), "{codec:?} {count}");
            let back = decompressed(&batch.bytes).unwrap();
            assert_eq!(back, plain.bytes, "{codec:?} {count}");
            assert_eq!(records(&back).count(), usize::try_from(count).unwrap());
        }
    }
}

#[test]
fn the_header_of_a_compressed_batch_says_all_that_the_plain_one_did() {
    let plain = rows(100);
    let before = BatchHeader::parse(&plain.bytes).unwrap();
    for (codec, bits) in CODECS.into_iter().zip(1..) {
        let batch = plain.clone().compressed(codec);
        let header = BatchHeader::parse(&batch.bytes).unwrap();
        let expected = BatchHeader {
            attributes: bits,
            batch_length: header.batch_length,
            crc: header.crc,
            ..before
        };
        assert_eq!(header, expected, "{codec:?}");
        assert_eq!(header.size(), batch.bytes.len());
    }
}

#[test]
fn frames_begin_as_java_wants_them() {
    let begins = |codec| {
        let batch = rows(1_000).compressed(codec);
        batch.bytes[BATCH_HEADER_SIZE..].to_vec()
    };
    let gzip = begins(Compression::Gzip);
    assert_eq!(gzip[..3], [0x1f, 0x8b, 8]);
    let zstd = begins(Compression::Zstd);
    assert_eq!(zstd[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    // Bit 5 of the descriptor: one segment, whose size is told.
    assert_ne!(zstd[4] & 0b0010_0000, 0);
    let lz4 = begins(Compression::Lz4);
    // Version 1, independent blocks, nothing else; blocks of 64 KiB; xxhash32 of these two, second byte.
    assert_eq!(lz4[..7], [0x04, 0x22, 0x4d, 0x18, 0b0110_0000, 0x40, 0x82]);
    let snappy = begins(Compression::Snappy);
    assert_eq!(snappy[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let first = u32::from_be_bytes(snappy[16..20].try_into().unwrap());
    let block = &snappy[20..20 + usize::try_from(first).unwrap()];
    assert_eq!(snap::raw::decompress_len(block), Ok(XERIAL_BLOCK_BYTES));
}

#[test]
fn a_batch_that_would_gain_nothing_stays_as_it_is() {
    let tiny = rows(1);
    let incompressible = noise(100_000);
    for codec in CODECS {
        let plain = incompressible.bytes.clone();
        assert_eq!(
            incompressible.clone().compressed(codec).bytes,
            plain,
            "{codec:?}"
        );
        let batch = tiny.clone().compressed(codec).bytes;
        assert!(batch.len() <= tiny.bytes.len(), "{codec:?}");
    }
    let plain = rows(10);
    assert_eq!(
        plain.clone().compressed(Compression::None).bytes,
        plain.bytes
    );
    let once = plain.compressed(Compression::Gzip);
    let twice = once.clone().compressed(Compression::Lz4);
    assert_eq!(once.bytes, twice.bytes);
}

#[test]
fn no_batch_has_fewer_bytes_than_records() {
    let mut builder = BatchBuilder::new();
    for _ in 0..30_000 {
        builder.append(0, None, None, &[]).unwrap();
    }
    let plain = builder.finish().unwrap();
    for codec in CODECS {
        let batch = plain.clone().compressed(codec);
        assert!(batch.bytes.len() >= 30_000, "{codec:?}");
        assert_eq!(verify_crc(&batch.bytes), Ok(()), "{codec:?}");
    }
}

#[test]
fn a_batch_of_one_large_row_is_not_compressed() {
    let mut builder = BatchBuilder::new();
    let value = vec![0; COMPRESSED_BATCH_BYTES_MAX];
    builder.append(0, None, Some(&value), &[]).unwrap();
    let plain = builder.finish().unwrap();
    let batch = plain.clone().compressed(Compression::Zstd);
    assert!(batch.bytes == plain.bytes);
}

#[test]
fn a_time_is_found_in_a_compressed_batch() {
    for codec in CODECS {
        let batch = rows(1_000).compressed(codec).bytes;
        assert_eq!(first_at_or_after(&batch, 1_500), Ok(Some((500, 1_500))));
        assert_eq!(first_at_or_after(&batch, 2_000), Ok(None));
        let direct = records(&batch).next();
        assert_eq!(direct, Some(Err(BatchError::Compressed)), "{codec:?}");
    }
}

/// A batch that says it is of `codec` and holds `frame`.
fn claims(codec: i16, frame: &[u8]) -> Vec<u8> {
    let mut batch = rows(1).bytes[..BATCH_HEADER_SIZE].to_vec();
    batch.extend_from_slice(frame);
    seal(&mut batch, codec);
    batch
}

#[test]
fn bytes_that_are_not_of_their_codec_are_an_error() {
    for codec in 1..=4 {
        for frame in [&b""[..], b"x", b"not a frame of any codec at all"] {
            let batch = claims(codec, frame);
            let read = decompressed(&batch);
            // An empty LZ4 or zstd stream is an end, and gives no records.
            let is_empty = read
                .as_ref()
                .is_ok_and(|plain| plain.len() == BATCH_HEADER_SIZE);
            assert!(
                is_empty || read == Err(BatchError::Compressed),
                "{codec} {frame:?}"
            );
            assert!(first_at_or_after(&batch, 0).is_err());
        }
    }
    for codec in 5..=7 {
        let batch = claims(codec, b"");
        assert_eq!(decompressed(&batch), Err(BatchError::Codec(codec)));
    }
}

#[test]
fn what_would_decompress_to_more_than_a_batch_is_refused() {
    let bomb = vec![0; COMPRESSED_BATCH_BYTES_MAX + 1];
    for codec in CODECS {
        let frame = codec.compress(&bomb, Vec::new()).unwrap();
        let batch = claims(codec.bits(), &frame);
        assert_eq!(
            decompressed(&batch),
            Err(BatchError::Compressed),
            "{codec:?}"
        );
    }
    // A snappy block that claims four gigabytes in five bytes.
    let mut frame = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    frame.extend_from_slice(&[0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(
        decompressed(&claims(2, &frame)),
        Err(BatchError::Compressed)
    );
}

#[test]
fn a_codec_is_known_by_its_name() {
    for codec in Compression::ALL {
        assert_eq!(codec.name().parse(), Ok(codec));
    }
    assert_eq!("brotli".parse::<Compression>(), Err(UnknownCompression));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_compressed_batch_is_an_error_or_a_batch_but_never_a_panic(
        codec in 0_usize..4,
        damage in proptest::collection::vec((0_usize..10_000, any::<u8>()), 1..6),
        cut in 0_usize..10_000,
    ) {
        let mut batch = rows(300).compressed(CODECS[codec]).bytes;
        let size = batch.len();
        for (at, byte) in damage {
            batch[at % size] ^= byte;
        }
        batch.truncate(size.saturating_sub(cut % 50));
        if let Ok(plain) = decompressed(&batch) {
            prop_assert!(plain.len() <= COMPRESSED_BATCH_BYTES_MAX);
            let _count = records(&plain).count();
        }
    }
}
