//! Reading v2 batches: the fixed header, the records, and a lookup by time.
//!
//! Every length is checked before it is used; nothing is allocated by a number from the bytes.

use bytes::Buf;

use super::{BATCH_HEADER_SIZE, CRC_COVERS_FROM, Header, LENGTH_COVERS_FROM, decompressed, varint};

/// Attribute bits 0 to 2: the codec, 0 for none.
const CODEC_BITS: i16 = 0b111;

/// Attribute bit 3: every record has the batch's max timestamp.
const LOG_APPEND_TIME: i16 = 1 << 3;

/// What is wrong with bytes that should be a batch. The caller treats them as damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside the header, the batch or a record.
    #[error("batch ends too early")]
    Truncated,
    /// The magic byte is not 2.
    #[error("batch is not of format v2, magic={0}")]
    Magic(i8),
    /// The batch length is below the header's own, or the record count is negative.
    #[error("batch length or record count is impossible")]
    Length,
    /// The checksum does not match.
    #[error("batch checksum differs")]
    Checksum,
    /// The records are compressed where plain ones are needed, or are not what their codec wrote, or
    /// would decompress to more than [`super::COMPRESSED_BATCH_BYTES_MAX`].
    #[error("batch is compressed, damaged or not")]
    Compressed,
    /// The attributes name a codec that nobody knows.
    #[error("batch has an unknown codec, bits={0}")]
    Codec(i16),
    /// A varint has too many bytes or too large a value.
    #[error("batch has an impossible varint")]
    Varint,
    /// A record does not fill its own length, or a header key is null or not UTF-8.
    #[error("batch has a malformed record")]
    Record,
}

/// The fixed 61 bytes in front of the records; see the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes of the batch behind this field.
    pub batch_length: i32,
    /// Leader epoch of the partition when the batch was appended.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything behind this field.
    pub crc: u32,
    /// Codec, timestamp type, transaction and control bits.
    pub attributes: i16,
    /// Offset of the last record minus `base_offset`.
    pub last_offset_delta: i32,
    /// Time from which the records' deltas count, in milliseconds.
    pub base_timestamp: i64,
    /// The largest record time, in milliseconds.
    pub max_timestamp: i64,
    /// -1 where the producer is not idempotent.
    pub producer_id: i64,
    /// -1 likewise.
    pub producer_epoch: i16,
    /// -1 likewise.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`; the records need not be there.
    ///
    /// # Errors
    /// `Truncated`, `Magic` or `Length`; the checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut input = bytes
            .get(..BATCH_HEADER_SIZE)
            .ok_or(BatchError::Truncated)?;
        let (base_offset, batch_length) = (input.get_i64(), input.get_i32());
        let partition_leader_epoch = input.get_i32();
        let magic = input.get_i8();
        let header = Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: input.get_u32(),
            attributes: input.get_i16(),
            last_offset_delta: input.get_i32(),
            base_timestamp: input.get_i64(),
            max_timestamp: input.get_i64(),
            producer_id: input.get_i64(),
            producer_epoch: input.get_i16(),
            base_sequence: input.get_i32(),
            record_count: input.get_i32(),
        };
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        if header.size() < BATCH_HEADER_SIZE || header.record_count < 0 {
            return Err(BatchError::Length);
        }
        Ok(header)
    }

    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        usize::try_from(self.batch_length).map_or(0, |length| length + LENGTH_COVERS_FROM)
    }

    /// Offset of the last record, inclusive.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .wrapping_add(i64::from(self.last_offset_delta))
    }

    fn timestamp(&self, delta: i64) -> i64 {
        if self.attributes & LOG_APPEND_TIME != 0 {
            return self.max_timestamp;
        }
        self.base_timestamp.wrapping_add(delta)
    }

    fn offset(&self, delta: i32) -> i64 {
        self.base_offset.wrapping_add(i64::from(delta))
    }
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The record's offset.
    pub offset: i64,
    /// The record's time, in milliseconds.
    pub timestamp: i64,
    /// The key; null and empty are different things.
    pub key: Option<&'a [u8]>,
    /// The value; null is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers in their order, repeated keys included.
    pub headers: Vec<Header<'a>>,
}

/// Checks the CRC-32C of the batch at the front of `batch`.
///
/// # Errors
/// `Checksum` if it differs, else what [`BatchHeader::parse`] says, or `Truncated`.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let covered = batch
        .get(CRC_COVERS_FROM..header.size())
        .ok_or(BatchError::Truncated)?;
    if crc32c::crc32c(covered) == header.crc {
        Ok(())
    } else {
        Err(BatchError::Checksum)
    }
}

/// The records of the batch at the front of `batch`, in offset order. Ends after the first error.
///
/// For tests and tools: the fetch path decodes no record. The checksum is not looked at, see
/// [`verify_crc`]. A compressed batch is `Compressed`: give what [`decompressed`] makes of it.
pub fn records(batch: &[u8]) -> impl Iterator<Item = Result<RecordView<'_>, BatchError>> {
    let (mut raw, mut failed) = match RawRecords::of(batch) {
        Ok(raw) => (Some(raw), None),
        Err(error) => (None, Some(error)),
    };
    std::iter::from_fn(move || {
        if let Some(error) = failed.take() {
            return Some(Err(error));
        }
        let records = raw.as_mut()?;
        let record = records
            .next()?
            .and_then(|record| view(&records.header, record));
        if record.is_err() {
            raw = None;
        }
        Some(record)
    })
}

/// The first record, in offset order, whose time is at least `timestamp_ms`: its offset and time.
///
/// # Errors
/// Any [`BatchError`] but `Checksum`, which is not looked at.
pub fn first_at_or_after(
    batch: &[u8],
    timestamp_ms: i64,
) -> Result<Option<(i64, i64)>, BatchError> {
    let plain = decompressed(batch)?;
    let mut raw = RawRecords::of(&plain)?;
    while let Some(record) = raw.next() {
        let record = record?;
        let timestamp = raw.header.timestamp(record.timestamp_delta);
        if timestamp >= timestamp_ms {
            return Ok(Some((raw.header.offset(record.offset_delta), timestamp)));
        }
    }
    Ok(None)
}

/// Walks the records of a batch by their lengths.
struct RawRecords<'a> {
    header: BatchHeader,
    left: i32,
    rest: &'a [u8],
}

impl<'a> RawRecords<'a> {
    fn of(batch: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(batch)?;
        if header.attributes & CODEC_BITS != 0 {
            return Err(BatchError::Compressed);
        }
        let rest = batch
            .get(BATCH_HEADER_SIZE..header.size())
            .ok_or(BatchError::Truncated)?;
        Ok(Self {
            header,
            left: header.record_count,
            rest,
        })
    }

    fn next(&mut self) -> Option<Result<RawRecord<'a>, BatchError>> {
        if self.left == 0 {
            // Bytes behind the last record belong to no record.
            let extra = !std::mem::take(&mut self.rest).is_empty();
            return extra.then_some(Err(BatchError::Length));
        }
        self.left -= 1;
        Some(take_raw_record(&mut self.rest))
    }
}

/// A record as it stands, its deltas read and the rest untouched.
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    offset_delta: i32,
    /// Key, value and headers.
    pub(super) tail: &'a [u8],
}

/// Takes the record at the front of `input`.
pub(super) fn take_raw_record<'a>(input: &mut &'a [u8]) -> Result<RawRecord<'a>, BatchError> {
    let mut record = take_sized(input)?.ok_or(BatchError::Record)?;
    // The record's attributes byte has no meaning yet; Kafka ignores it too.
    let (_attributes, rest) = record.split_first().ok_or(BatchError::Truncated)?;
    record = rest;
    let timestamp_delta = varint::take(&mut record)?;
    let offset_delta = varint::take_i32(&mut record)?;
    Ok(RawRecord {
        timestamp_delta,
        offset_delta,
        tail: record,
    })
}

/// Takes a length and that many bytes; None for length -1.
fn take_sized<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BatchError> {
    let length = varint::take_i32(input)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| BatchError::Record)?;
    let (taken, rest) = input
        .split_at_checked(length)
        .ok_or(BatchError::Truncated)?;
    *input = rest;
    Ok(Some(taken))
}

fn view<'a>(header: &BatchHeader, record: RawRecord<'a>) -> Result<RecordView<'a>, BatchError> {
    let mut tail = record.tail;
    let key = take_sized(&mut tail)?;
    let value = take_sized(&mut tail)?;
    let headers = take_headers(&mut tail)?;
    if !tail.is_empty() {
        return Err(BatchError::Record);
    }
    Ok(RecordView {
        offset: header.offset(record.offset_delta),
        timestamp: header.timestamp(record.timestamp_delta),
        key,
        value,
        headers,
    })
}

fn take_headers<'a>(input: &mut &'a [u8]) -> Result<Vec<Header<'a>>, BatchError> {
    let count = varint::take_i32(input)?;
    if count < 0 {
        return Err(BatchError::Record);
    }
    let mut headers = Vec::new();
    for _ in 0..count {
        let key = take_sized(input)?.ok_or(BatchError::Record)?;
        let key = std::str::from_utf8(key).map_err(|_| BatchError::Record)?;
        headers.push(Header {
            key,
            value: take_sized(input)?,
        });
    }
    Ok(headers)
}
