//! [`BatchBuilder`]: appends records to one growing buffer and finishes it into a [`RecordBatch`].

use bytes::BufMut;

use super::{
    BATCH_BYTES_MAX, BATCH_HEADER_SIZE, CRC_COVERS_FROM, Header, LENGTH_COVERS_FROM, varint,
};

/// A finished Kafka v2 batch, base offset 0 and leader epoch 0.
///
/// The log stamps bytes 0..8 and 12..16; both lie outside the CRC.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    /// The whole batch, 61 byte header included.
    pub bytes: Vec<u8>,
    /// Records in the batch, at least 1.
    pub record_count: u32,
    /// The largest record timestamp, in milliseconds since the epoch.
    pub max_timestamp: i64,
}

/// The record does not fit: the batch would exceed [`BATCH_BYTES_MAX`]. The builder is unchanged.
///
/// A caller finishes the batch and appends to an empty builder; one that refuses again has met a
/// record that Kafka's lengths cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch with this record would exceed the limit of {BATCH_BYTES_MAX} bytes")]
pub struct BatchFull;

/// A point between two records of one [`BatchBuilder`], see [`BatchBuilder::mark`].
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    size: usize,
    record_count: u32,
    max_timestamp: i64,
}

/// Builds one batch in one pass. Allocates for growth only, never per record.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Empty, or room for the header and then finished records.
    buffer: Vec<u8>,
    record_count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty builder; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a record. Timestamps are in milliseconds and may go back.
    ///
    /// # Errors
    /// [`BatchFull`] if the batch would exceed [`BATCH_BYTES_MAX`]; nothing was appended then.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<(), BatchFull> {
        let tail_size = nullable_size(key) + nullable_size(value) + headers_size(headers);
        let tail = |out: &mut Vec<u8>| {
            put_nullable(out, key);
            put_nullable(out, value);
            put_headers(out, headers);
        };
        self.append_record(timestamp_ms, tail_size, tail)
    }

    /// Appends a record without key whose value `write` puts straight behind what is there, so that it is never
    /// copied.
    ///
    /// The length fields in front of it are made for a value of `expected` bytes; where they turn out longer or
    /// shorter, the value is moved by these few bytes.
    ///
    /// # Errors
    /// What `write` says, or [`BatchFull`]; nothing was appended then.
    pub fn append_value<E: From<BatchFull>>(
        &mut self,
        timestamp_ms: i64,
        expected: usize,
        headers: &[Header<'_>],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.buffer.len();
        let base_timestamp = if self.is_empty() {
            timestamp_ms
        } else {
            self.base_timestamp
        };
        let deltas = (
            timestamp_ms.wrapping_sub(base_timestamp),
            i64::from(self.record_count),
        );
        let head = ValueHead::new(deltas, headers_size(headers));
        let start = before.max(BATCH_HEADER_SIZE);
        let value_start = start + head.size(expected);
        self.buffer.resize(value_start, 0);
        let written = write(&mut self.buffer).and_then(|()| {
            let value_size = self.buffer.len() - value_start;
            let (bytes, size) = head.encode(value_size);
            let end = start + size + value_size + head.headers_size;
            (end <= BATCH_BYTES_MAX)
                .then_some((bytes, size))
                .ok_or_else(|| BatchFull.into())
        });
        let (bytes, size) = match written {
            Ok(encoded) => encoded,
            Err(error) => {
                self.buffer.truncate(before);
                return Err(error);
            }
        };
        let bytes = bytes.get(..size).unwrap_or_default();
        match self.buffer.get_mut(start..value_start) {
            Some(room) if room.len() == size => room.copy_from_slice(bytes),
            Some(_) | None => {
                self.buffer
                    .splice(start..value_start, bytes.iter().copied());
            }
        }
        put_headers(&mut self.buffer, headers);
        self.base_timestamp = base_timestamp;
        self.max_timestamp = if self.is_empty() {
            timestamp_ms
        } else {
            self.max_timestamp.max(timestamp_ms)
        };
        self.record_count += 1;
        Ok(())
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Records appended so far.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Bytes the batch would have if finished now, header included; 0 while there is no record.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// The point behind the last record. Valid until the builder is finished or split before it.
    pub fn mark(&self) -> Mark {
        Mark {
            size: self.buffer.len(),
            record_count: self.record_count,
            max_timestamp: self.max_timestamp,
        }
    }

    /// Moves the records behind `mark` into a builder of their own, as if they had been appended
    /// there: their deltas count from their own first record. Linear in the bytes moved.
    ///
    /// # Panics
    /// If `mark` is of another builder, or of a batch that was finished or split before it.
    pub fn split_off(&mut self, mark: Mark) -> Self {
        assert!(
            mark.size <= self.buffer.len() && mark.record_count <= self.record_count,
            "a mark is used with its own builder, before the records behind it are gone"
        );
        if mark.record_count == 0 {
            return std::mem::take(self);
        }
        let mut moved = Self::new();
        let mut rest = self.buffer.get(mark.size..).unwrap_or_default();
        if !rest.is_empty() {
            moved.buffer.reserve(BATCH_HEADER_SIZE + rest.len());
        }
        while !rest.is_empty() {
            let (timestamp_ms, tail) = take_own_record(&mut rest, self.base_timestamp);
            moved
                .append_record(timestamp_ms, tail.len(), |out| out.extend_from_slice(tail))
                .expect("a part of a batch within the limit is within the limit");
        }
        self.buffer.truncate(mark.size);
        self.record_count = mark.record_count;
        self.max_timestamp = mark.max_timestamp;
        moved
    }

    /// Finishes the batch (lengths, CRC-32C) and leaves the builder empty. None if it was empty.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        if self.is_empty() {
            return None;
        }
        let built = std::mem::take(self);
        let (record_count, max_timestamp) = (built.record_count, built.max_timestamp);
        let mut bytes = built.with_header();
        // The log keeps these bytes in memory and counts them by length, so slack is not kept.
        bytes.shrink_to_fit();
        Some(RecordBatch {
            bytes,
            record_count,
            max_timestamp,
        })
    }

    /// Appends a record whose part behind the offset delta is `tail_size` bytes from `tail`.
    fn append_record(
        &mut self,
        timestamp_ms: i64,
        tail_size: usize,
        tail: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BatchFull> {
        let base_timestamp = if self.is_empty() {
            timestamp_ms
        } else {
            self.base_timestamp
        };
        // Wraps for times 2^63 ms apart; readers add with the same wrap and get the time back.
        let timestamp_delta = timestamp_ms.wrapping_sub(base_timestamp);
        let offset_delta = i64::from(self.record_count);
        let length = 1 + varint::size(timestamp_delta) + varint::size(offset_delta) + tail_size;
        let record_size = varint::size(length_i64(length)) + length;
        let size = self
            .buffer
            .len()
            .max(BATCH_HEADER_SIZE)
            .saturating_add(record_size);
        if size > BATCH_BYTES_MAX {
            return Err(BatchFull);
        }
        if self.is_empty() {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
            self.buffer.resize(BATCH_HEADER_SIZE, 0);
        }
        self.buffer.reserve(record_size);
        varint::put(&mut self.buffer, length_i64(length));
        self.buffer.push(0);
        varint::put(&mut self.buffer, timestamp_delta);
        varint::put(&mut self.buffer, offset_delta);
        tail(&mut self.buffer);
        debug_assert_eq!(
            self.buffer.len(),
            size,
            "the sizes told are the sizes written"
        );
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        Ok(())
    }

    /// The finished bytes; only for a builder with records.
    fn with_header(mut self) -> Vec<u8> {
        let length = self.buffer.len() - LENGTH_COVERS_FROM;
        let Some(header) = self.buffer.first_chunk_mut::<BATCH_HEADER_SIZE>() else {
            return self.buffer;
        };
        let mut out = header.as_mut_slice();
        out.put_i64(0);
        out.put_i32(i32::try_from(length).expect("append keeps batches below BATCH_BYTES_MAX"));
        out.put_i32(0);
        out.put_i8(2);
        out.put_u32(0);
        out.put_i16(0);
        out.put_u32(self.record_count - 1);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(-1);
        out.put_i16(-1);
        out.put_i32(-1);
        out.put_u32(self.record_count);
        let crc = crc32c::crc32c(self.buffer.get(CRC_COVERS_FROM..).unwrap_or_default());
        if let Some(field) = self.buffer.get_mut(CRC_COVERS_FROM - 4..CRC_COVERS_FROM) {
            field.copy_from_slice(&crc.to_be_bytes());
        }
        self.buffer
    }
}

/// What stands before the value of a record without key.
#[derive(Debug, Clone, Copy)]
struct ValueHead {
    timestamp_delta: i64,
    offset_delta: i64,
    /// Bytes behind the value.
    headers_size: usize,
    /// Bytes behind the record's length field but for the value, its length and the headers.
    fixed_size: usize,
}

/// Two lengths and two deltas as varints, attributes, and the length of a null key.
const VALUE_HEAD_MAX: usize = 4 * 10 + 2;

impl ValueHead {
    fn new((timestamp_delta, offset_delta): (i64, i64), headers_size: usize) -> Self {
        let deltas = varint::size(timestamp_delta) + varint::size(offset_delta);
        Self {
            timestamp_delta,
            offset_delta,
            headers_size,
            // Attributes, null key.
            fixed_size: 1 + deltas + 1,
        }
    }

    /// Bytes of the record behind its own length field.
    #[inline]
    fn record_length(self, value_size: usize) -> usize {
        let value = varint::size(length_i64(value_size)) + value_size;
        self.fixed_size + value + self.headers_size
    }

    fn size(self, value_size: usize) -> usize {
        let length = self.record_length(value_size);
        varint::size(length_i64(length)) + length - value_size - self.headers_size
    }

    fn encode(self, value_size: usize) -> ([u8; VALUE_HEAD_MAX], usize) {
        let mut bytes = [0; VALUE_HEAD_MAX];
        let mut size = varint::put_at(&mut bytes, 0, length_i64(self.record_length(value_size)));
        size += 1;
        size = varint::put_at(&mut bytes, size, self.timestamp_delta);
        size = varint::put_at(&mut bytes, size, self.offset_delta);
        size = varint::put_at(&mut bytes, size, -1);
        size = varint::put_at(&mut bytes, size, length_i64(value_size));
        (bytes, size)
    }
}

/// Takes a record this module wrote off the front of `rest`: its time, and what follows the offset
/// delta.
fn take_own_record<'a>(rest: &mut &'a [u8], base_timestamp: i64) -> (i64, &'a [u8]) {
    let record = super::reader::take_raw_record(rest).expect("the builder wrote whole records");
    (
        base_timestamp.wrapping_add(record.timestamp_delta),
        record.tail,
    )
}

/// A length as varints carry it.
fn length_i64(length: usize) -> i64 {
    // Lengths of slices in memory are at most isize::MAX.
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| {
        varint::size(length_i64(bytes.len())) + bytes.len()
    })
}

fn headers_size(headers: &[Header<'_>]) -> usize {
    let each = |header: &Header<'_>| {
        nullable_size(Some(header.key.as_bytes())) + nullable_size(header.value)
    };
    varint::size(length_i64(headers.len())) + headers.iter().map(each).sum::<usize>()
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        return varint::put(out, -1);
    };
    varint::put(out, length_i64(bytes.len()));
    out.extend_from_slice(bytes);
}

fn put_headers(out: &mut Vec<u8>, headers: &[Header<'_>]) {
    varint::put(out, length_i64(headers.len()));
    for header in headers {
        put_nullable(out, Some(header.key.as_bytes()));
        put_nullable(out, header.value);
    }
}
