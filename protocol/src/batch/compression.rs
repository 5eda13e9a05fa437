//! Compression of finished batches, framed as Kafka's clients read it, and the way back.
//!
//! Of a compressed batch everything behind the 61 byte header is one compressed run of its records; the codec stands in
//! bits 0 to 2 of the attributes, and the CRC covers the compressed form.
//!
//! | codec | bits | frame |
//! |---|---|---|
//! | gzip | 1 | one gzip member (RFC 1952) |
//! | snappy | 2 | xerial's: `82 53 4e 41 50 50 59 00`, version i32 = 1, compatible i32 = 1, then for each 32 KiB a length i32 and a raw snappy block. Java reads nothing else; librdkafka reads it too |
//! | lz4 | 3 | LZ4 frame, independent blocks of 64 KiB, no checksums of blocks or content, the frame's own header checksum as the format has it. Java refuses dependent blocks |
//! | zstd | 4 | one zstd frame with its content size (KIP-110; Fetch 10 and later) |
//!
//! Reading is bounded: what would decompress to more than [`COMPRESSED_BATCH_BYTES_MAX`] is refused, since no larger batch
//! is ever compressed.

use std::{
    borrow::Cow,
    io::{Read, Write},
    str::FromStr,
};

use bytes::{Buf, BufMut};

use super::{
    BATCH_HEADER_SIZE, BatchError, BatchHeader, CRC_COVERS_FROM, LENGTH_COVERS_FROM, RecordBatch,
};

/// Attribute bits 0 to 2.
const CODEC_BITS: i16 = 0b111;

/// Where the attributes stand.
const ATTRIBUTES_AT: usize = CRC_COVERS_FROM;

/// A larger batch is not compressed, in bytes: it holds one large row, and compressing it would take as much memory
/// again.
pub const COMPRESSED_BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What begins xerial's frame of snappy blocks.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

/// Version and compatible version behind the magic.
const XERIAL_VERSION: i32 = 1;

/// Records in one snappy block, in bytes (xerial's own default).
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// zstd's level in Kafka by default (KIP-390).
const ZSTD_LEVEL: i32 = 3;

/// Largest window that a zstd frame may ask memory for, as a power of two: that of the largest batch.
const ZSTD_WINDOW_LOG_MAX: u32 = COMPRESSED_BATCH_BYTES_MAX.ilog2();

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all: every client reads it, and the broker copies nothing.
    #[default]
    None,
    /// Read by every client.
    Gzip,
    /// Not built into KafkaJS, kafka-python and aiokafka.
    Snappy,
    /// Likewise.
    Lz4,
    /// Likewise; and only in clients since 2018 (Fetch 10).
    Zstd,
}

/// The name is no codec's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCompression;

impl Compression {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its name in configurations, as in Kafka.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Its number in a batch's attributes.
    fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    fn of(header: &BatchHeader) -> Result<Self, BatchError> {
        let bits = header.attributes & CODEC_BITS;
        let known = Self::ALL.into_iter().find(|codec| codec.bits() == bits);
        known.ok_or(BatchError::Codec(bits))
    }

    fn compress(self, records: &[u8], out: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(out),
            Self::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(out, level);
                encoder.write_all(records)?;
                encoder.finish()
            }
            Self::Snappy => compress_xerial(records, out),
            Self::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_mode(lz4_flex::frame::BlockMode::Independent)
                    .block_size(lz4_flex::frame::BlockSize::Max64KB);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
                encoder.write_all(records)?;
                Ok(encoder.finish()?)
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.set_pledged_src_size(Some(records.len() as u64))?;
                encoder.write_all(records)?;
                encoder.finish()
            }
        }
    }

    /// Appends the records to `out`, as long as it stays within `size_max`.
    fn decompress(
        self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        size_max: usize,
    ) -> Result<(), BatchError> {
        match self {
            Self::None => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Self::Gzip => read_bounded(flate2::read::GzDecoder::new(bytes), out, size_max),
            Self::Snappy => decompress_xerial(bytes, out, size_max),
            Self::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(bytes), out, size_max),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(bytes);
                let mut decoder = decoder.map_err(|_| BatchError::Compressed)?;
                let bounded = decoder.window_log_max(ZSTD_WINDOW_LOG_MAX);
                bounded.map_err(|_| BatchError::Compressed)?;
                read_bounded(decoder, out, size_max)
            }
        }
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        let known = Self::ALL.into_iter().find(|codec| codec.name() == name);
        known.ok_or(UnknownCompression)
    }
}

impl RecordBatch {
    /// The same records, compressed; or the batch as it is where that gains nothing.
    ///
    /// A batch stays as it is too if it exceeds [`COMPRESSED_BATCH_BYTES_MAX`], is compressed already, or would have
    /// fewer bytes than records: the log bounds the records of a damaged range by its bytes.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Self {
        match compressed_bytes(&self, compression) {
            Some(bytes) => Self { bytes, ..self },
            None => self,
        }
    }
}

fn compressed_bytes(batch: &RecordBatch, compression: Compression) -> Option<Vec<u8>> {
    let size = batch.bytes.len();
    let is_plain = BatchHeader::parse(&batch.bytes).ok()?.attributes & CODEC_BITS == 0;
    if compression == Compression::None || !is_plain || size > COMPRESSED_BATCH_BYTES_MAX {
        return None;
    }
    let (header, records) = batch.bytes.split_at_checked(BATCH_HEADER_SIZE)?;
    let out = header.to_vec();
    // Writing to memory does not fail; a batch that could not be compressed is still a batch.
    let mut bytes = compression.compress(records, out).ok()?;
    let gains = bytes.len() < size && bytes.len() >= usize::try_from(batch.record_count).ok()?;
    if !gains {
        return None;
    }
    bytes.shrink_to_fit();
    seal(&mut bytes, compression.bits());
    Some(bytes)
}

/// Writes length, codec and CRC of a batch whose records are final.
fn seal(batch: &mut [u8], codec: i16) {
    let length = i32::try_from(batch.len() - LENGTH_COVERS_FROM);
    put(
        batch,
        8,
        &length.expect("no larger than before").to_be_bytes(),
    );
    let attributes = batch
        .get(ATTRIBUTES_AT..)
        .map_or(0, |mut bytes| bytes.get_i16());
    let attributes = attributes & !CODEC_BITS | codec;
    put(batch, ATTRIBUTES_AT, &attributes.to_be_bytes());
    let crc = crc32c::crc32c(batch.get(CRC_COVERS_FROM..).unwrap_or_default());
    put(batch, CRC_COVERS_FROM - 4, &crc.to_be_bytes());
}

fn put(batch: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = batch.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

/// The batch at the front of `batch` with its records as they were before compression; borrowed if they are. Its CRC is
/// that of the plain form. The given CRC is not looked at, see [`super::verify_crc`].
///
/// # Errors
/// What [`BatchHeader::parse`] says; `Truncated`; `Codec` for one that nobody knows; `Compressed` if the bytes are not of
/// their codec, or would decompress to more than [`COMPRESSED_BATCH_BYTES_MAX`].
pub fn decompressed(batch: &[u8]) -> Result<Cow<'_, [u8]>, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let batch = batch.get(..header.size()).ok_or(BatchError::Truncated)?;
    let codec = Compression::of(&header)?;
    if codec == Compression::None {
        return Ok(Cow::Borrowed(batch));
    }
    let (head, records) = batch
        .split_at_checked(BATCH_HEADER_SIZE)
        .ok_or(BatchError::Truncated)?;
    let mut plain = head.to_vec();
    codec.decompress(records, &mut plain, COMPRESSED_BATCH_BYTES_MAX)?;
    seal(&mut plain, Compression::None.bits());
    Ok(Cow::Owned(plain))
}

fn read_bounded(decoder: impl Read, out: &mut Vec<u8>, size_max: usize) -> Result<(), BatchError> {
    let room = size_max.saturating_sub(out.len()) as u64;
    let read = decoder.take(room + 1).read_to_end(out);
    if read.is_err() || out.len() > size_max {
        return Err(BatchError::Compressed);
    }
    Ok(())
}

fn compress_xerial(records: &[u8], mut out: Vec<u8>) -> std::io::Result<Vec<u8>> {
    out.put_slice(&XERIAL_MAGIC);
    out.put_i32(XERIAL_VERSION);
    out.put_i32(XERIAL_VERSION);
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block)?;
        // A block grows by a sixth at most.
        out.put_u32(u32::try_from(compressed.len()).unwrap_or(u32::MAX));
        out.put_slice(&compressed);
    }
    Ok(out)
}

fn decompress_xerial(bytes: &[u8], out: &mut Vec<u8>, size_max: usize) -> Result<(), BatchError> {
    let rest = bytes.strip_prefix(&XERIAL_MAGIC);
    let mut rest = rest
        .and_then(|rest| rest.get(8..))
        .ok_or(BatchError::Compressed)?;
    let mut decoder = snap::raw::Decoder::new();
    while !rest.is_empty() {
        let length = rest.try_get_u32().map_err(|_| BatchError::Compressed)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (block, behind) = rest
            .split_at_checked(length)
            .ok_or(BatchError::Compressed)?;
        rest = behind;
        // The block says its size; it is believed only if there is room.
        let size = snap::raw::decompress_len(block).map_err(|_| BatchError::Compressed)?;
        if size > size_max.saturating_sub(out.len()) {
            return Err(BatchError::Compressed);
        }
        let plain = decoder
            .decompress_vec(block)
            .map_err(|_| BatchError::Compressed)?;
        out.extend_from_slice(&plain);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
