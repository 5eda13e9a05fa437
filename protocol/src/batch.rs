//! Kafka record batches, format v2 (magic 2): [`BatchBuilder`] writes them, [`BatchHeader`],
//! [`records`] and [`first_at_or_after`] read them.
//!
//! No transactions, no control batches, no idempotence: a batch is what a producer
//! without any of these sends, with the record's own time (CreateTime). A finished batch may be
//! compressed ([`Compression`], [`RecordBatch::compressed`]). The crate's record encoder
//! is not used because it writes one batch per record and loses repeated header keys.
//!
//! Layout (big endian), as in Kafka's manual, "Record Batch" and "Record":
//!
//! | bytes | field | here |
//! |---|---|---|
//! | 0..8 | base offset, i64 | 0; the log stamps it (outside the CRC) |
//! | 8..12 | batch length, i32: bytes behind this field | |
//! | 12..16 | partition leader epoch, i32 | 0; the log stamps it (outside the CRC) |
//! | 16 | magic, i8 | 2 |
//! | 17..21 | CRC-32C of everything behind this field, u32 | |
//! | 21..23 | attributes, i16: bits 0-2 codec, 3 LogAppendTime, 4 transaction, 5 control | the codec |
//! | 23..27 | last offset delta, i32 | record count - 1 |
//! | 27..35 | base timestamp, i64, ms | the first record's |
//! | 35..43 | max timestamp, i64, ms | the true maximum |
//! | 43..51 | producer id, i64 | -1 |
//! | 51..53 | producer epoch, i16 | -1 |
//! | 53..57 | base sequence, i32 | -1 |
//! | 57..61 | record count, i32 | |
//! | 61.. | records | |
//!
//! A record: length (varint, bytes behind it), attributes i8 = 0, timestamp delta (varlong, may be
//! negative), offset delta (varint), key length (varint, -1 for null) and key, value length and
//! value likewise, header count (varint), and for each header key length, key, value length (-1 for
//! null), value. Varints are zigzag base 128, least significant group first.

mod builder;
mod compression;
mod reader;
mod varint;

#[cfg(test)]
mod tests;

pub use builder::{BatchBuilder, BatchFull, Mark, RecordBatch};
pub use compression::{COMPRESSED_BATCH_BYTES_MAX, Compression, UnknownCompression, decompressed};
pub use reader::{BatchError, BatchHeader, RecordView, first_at_or_after, records, verify_crc};

/// Bytes of a batch before its first record.
pub const BATCH_HEADER_SIZE: usize = 61;

/// The largest batch that is built, in bytes, header included: 64 MiB below `i32::MAX`, because the
/// Fetch response that carries it counts its own length in an i32 too.
pub const BATCH_BYTES_MAX: usize = i32::MAX as usize - 64 * 1024 * 1024;

/// Where the batch length stops counting back: it covers everything behind byte 12.
const LENGTH_COVERS_FROM: usize = 12;

/// Where the checksum begins: attributes and everything behind them.
const CRC_COVERS_FROM: usize = 21;

/// A record header. Keys may repeat; their order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's key.
    pub key: &'a str,
    /// The header's value; null and empty are different things.
    pub value: Option<&'a [u8]>,
}
