//! A raw Kafka client that costs little itself: it decodes batch headers and no record.
//!
//! One connection, one request in flight, one partition. The buffer is reused, the request is
//! built once and only its offset changes. The same client reads from headwater and from the
//! bare loop, so what differs between the two is the server.
//!
//! Versions: Fetch v11, ListOffsets v1, Metadata v1, ApiVersions v0 (none is flexible).
//! Layouts: Apache Kafka, `clients/src/main/resources/common/message/*.json`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// Bytes asked for in one Fetch.
pub(crate) const FETCH_BYTES: i32 = 1 << 20;
/// The largest response that is believed: a fetch of 1 MiB may exceed it by one batch.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// Bytes of a v2 batch in front of its records.
const BATCH_HEADER_BYTES: usize = 61;
/// Base offset and length, which the length does not count.
const BATCH_LENGTH_PREFIX: usize = 12;
const LAST_OFFSET_DELTA_AT: usize = 23;

/// One connection to one broker.
#[derive(Debug)]
pub(crate) struct FetchClient {
    stream: TcpStream,
    response: Vec<u8>,
    response_bytes: usize,
}

/// What a Fetch brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetched<'a> {
    pub(crate) high_watermark: i64,
    /// Where the next Fetch continues: behind the last batch received, or the offset asked for.
    pub(crate) next_offset: i64,
    /// The whole batches received.
    pub(crate) batches: &'a [u8],
    /// Size of the response on the wire, its length prefix included.
    pub(crate) response_bytes: usize,
}

/// A Fetch v11 of one partition of one topic, encoded once.
#[derive(Debug, Clone)]
pub(crate) struct FetchRequest {
    bytes: Vec<u8>,
    offset_at: usize,
}

impl FetchRequest {
    /// `max_wait` is how long the broker may hold the answer while there is nothing to send.
    pub(crate) fn new(topic: &str, max_wait: Duration) -> Self {
        let mut frame = Frame::new(FETCH, 11);
        frame.i32(-1);
        frame.i32(i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX));
        frame.i32(1);
        frame.i32(FETCH_BYTES);
        // Isolation level, session id, session epoch (-1: no session), one topic.
        frame.bytes.push(0);
        frame.i32(0);
        frame.i32(-1);
        frame.i32(1);
        frame.string(topic);
        // One partition: index, current leader epoch (unknown), fetch offset, log start.
        frame.i32(1);
        frame.i32(0);
        frame.i32(-1);
        let offset_at = frame.bytes.len();
        frame.i64(0);
        frame.i64(-1);
        frame.i32(FETCH_BYTES);
        // No forgotten topics, no rack.
        frame.i32(0);
        frame.string("");
        Self {
            bytes: frame.finish(),
            offset_at,
        }
    }

    /// Where in the frame the fetch offset stands (8 bytes, big endian).
    pub(crate) fn offset_at(&self) -> usize {
        self.offset_at
    }

    fn with_offset(&mut self, offset: i64) -> &[u8] {
        self.bytes[self.offset_at..self.offset_at + 8].copy_from_slice(&offset.to_be_bytes());
        &self.bytes
    }
}

impl FetchClient {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            response: vec![0; 2 << 20],
            response_bytes: 0,
        })
    }

    /// The socket, so that another thread can close it.
    pub(crate) fn socket(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Fetches from `offset` on. An error code in the answer is an error here.
    pub(crate) fn fetch(
        &mut self,
        request: &mut FetchRequest,
        offset: i64,
    ) -> io::Result<Fetched<'_>> {
        self.stream.write_all(request.with_offset(offset))?;
        self.receive()?;
        let mut reader = Reader(&self.response[..self.response_bytes]);
        let (high_watermark, batches) = reader.fetch_response()?;
        Ok(Fetched {
            high_watermark,
            next_offset: end_offset(batches)?.unwrap_or(offset),
            batches,
            response_bytes: self.response_bytes + 4,
        })
    }

    /// The high watermark of partition 0, or `None` while the topic is unknown.
    pub(crate) fn high_watermark(&mut self, topic: &str) -> io::Result<Option<i64>> {
        const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
        const LEADER_NOT_AVAILABLE: i16 = 5;
        const LATEST: i64 = -1;
        let mut frame = Frame::new(LIST_OFFSETS, 1);
        frame.i32(-1);
        frame.i32(1);
        frame.string(topic);
        frame.i32(1);
        frame.i32(0);
        frame.i64(LATEST);
        self.call(frame)?;

        let mut reader = Reader(&self.response[..self.response_bytes]);
        // Correlation id, one topic, its name, one partition, its index.
        reader.i32()?;
        reader.i32()?;
        reader.string()?;
        reader.i32()?;
        reader.i32()?;
        let error = reader.i16()?;
        reader.i64()?;
        let offset = reader.i64()?;
        match error {
            0 => Ok(Some(offset)),
            UNKNOWN_TOPIC_OR_PARTITION | LEADER_NOT_AVAILABLE => Ok(None),
            code => Err(invalid(format!("ListOffsets error {code}"))),
        }
    }

    /// Asks which APIs are served and returns their number.
    pub(crate) fn api_versions(&mut self) -> io::Result<i32> {
        self.call(Frame::new(API_VERSIONS, 0))?;
        let mut reader = Reader(&self.response[..self.response_bytes]);
        reader.i32()?;
        match reader.i16()? {
            0 => reader.i32(),
            code => Err(invalid(format!("ApiVersions error {code}"))),
        }
    }

    /// Asks for all topics and returns the size of the answer in bytes.
    pub(crate) fn metadata(&mut self) -> io::Result<usize> {
        const ALL_TOPICS: i32 = -1;
        let mut frame = Frame::new(METADATA, 1);
        frame.i32(ALL_TOPICS);
        self.call(frame)?;
        Ok(self.response_bytes)
    }

    fn call(&mut self, frame: Frame) -> io::Result<()> {
        self.stream.write_all(&frame.finish())?;
        self.receive()
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > RESPONSE_BYTES_MAX {
            return Err(invalid(format!("response of {length} bytes")));
        }
        if self.response.len() < length {
            self.response.resize(length, 0);
        }
        self.stream.read_exact(&mut self.response[..length])?;
        self.response_bytes = length;
        Ok(())
    }
}

/// The base offset and size of each batch in `batches`, which must be whole.
pub(crate) fn batch_index(batches: &[u8]) -> io::Result<Vec<BatchPlace>> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < batches.len() {
        let place = batch_at(batches, at)?;
        at += place.size;
        places.push(place);
    }
    Ok(places)
}

/// Where a batch lies and which offsets it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchPlace {
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) base_offset: i64,
    /// Behind its last record.
    pub(crate) end_offset: i64,
}

fn end_offset(batches: &[u8]) -> io::Result<Option<i64>> {
    let mut at = 0;
    let mut end = None;
    while at < batches.len() {
        let place = batch_at(batches, at)?;
        at += place.size;
        end = Some(place.end_offset);
    }
    Ok(end)
}

fn batch_at(batches: &[u8], at: usize) -> io::Result<BatchPlace> {
    let cut = || invalid("a batch that is cut short".to_owned());
    let rest = batches.get(at..).ok_or_else(cut)?;
    let header = rest.first_chunk::<BATCH_HEADER_BYTES>().ok_or_else(cut)?;
    let mut reader = Reader(header);
    let base_offset = reader.i64()?;
    let size = usize::try_from(reader.i32()?)
        .ok()
        .and_then(|length| length.checked_add(BATCH_LENGTH_PREFIX))
        .ok_or_else(cut)?;
    if size < BATCH_HEADER_BYTES || size > rest.len() {
        return Err(cut());
    }
    let last_offset_delta = Reader(&header[LAST_OFFSET_DELTA_AT..]).i32()?;
    Ok(BatchPlace {
        at,
        size,
        base_offset,
        end_offset: base_offset + i64::from(last_offset_delta) + 1,
    })
}

/// A request under construction: length, API key, version, correlation id, client id.
struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    fn new(api_key: i16, version: i16) -> Self {
        let mut frame = Self { bytes: vec![0; 4] };
        frame.i16(api_key);
        frame.i16(version);
        frame.i32(1);
        frame.string("headwater-bench");
        frame
    }

    fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        let length = i16::try_from(text.len()).expect("topic and client names are short");
        self.i16(length);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - 4).expect("requests here are short");
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }
}

/// Takes fields off the front of a response.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Fetch v11: the high watermark and the records of its one partition.
    fn fetch_response(&mut self) -> io::Result<(i64, &'a [u8])> {
        // Correlation id, throttle time.
        self.i32()?;
        self.i32()?;
        let error = self.i16()?;
        // Session id, one topic, its name, one partition, its index.
        self.i32()?;
        self.i32()?;
        self.string()?;
        self.i32()?;
        self.i32()?;
        let partition_error = self.i16()?;
        if (error, partition_error) != (0, 0) {
            return Err(invalid(format!("Fetch errors {error} {partition_error}")));
        }
        let high_watermark = self.i64()?;
        // Last stable offset, log start offset.
        self.i64()?;
        self.i64()?;
        let aborted_count = self.i32()?;
        if aborted_count > 0 {
            return Err(invalid(
                "aborted transactions in a log without any".to_owned(),
            ));
        }
        // Preferred read replica.
        self.i32()?;
        let size = usize::try_from(self.i32()?).unwrap_or(0);
        Ok((high_watermark, self.take(size)?))
    }

    fn i16(&mut self) -> io::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn string(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        self.take(length)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk().ok_or_else(short)?;
        self.0 = rest;
        Ok(*value)
    }

    fn take(&mut self, size: usize) -> io::Result<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(size).ok_or_else(short)?;
        self.0 = rest;
        Ok(value)
    }
}

fn short() -> io::Error {
    invalid("response is cut short".to_owned())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("kafka: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, last_offset_delta: i32, records_bytes: usize) -> Vec<u8> {
        let mut bytes = vec![0; BATCH_HEADER_BYTES + records_bytes];
        let length = i32::try_from(bytes.len() - BATCH_LENGTH_PREFIX).expect("short");
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[LAST_OFFSET_DELTA_AT..LAST_OFFSET_DELTA_AT + 4]
            .copy_from_slice(&last_offset_delta.to_be_bytes());
        bytes
    }

    #[test]
    fn batches_are_walked_by_their_headers() {
        let bytes = [batch(10, 4, 100), batch(15, 0, 7)].concat();
        let places = batch_index(&bytes).expect("whole batches");
        assert_eq!(places.len(), 2);
        assert_eq!((places[1].at, places[1].size), (161, 68));
        assert_eq!((places[0].end_offset, places[1].end_offset), (15, 16));
    }

    #[test]
    fn a_batch_that_is_cut_short_is_an_error() {
        let bytes = batch(10, 4, 100);
        assert!(batch_index(&bytes[..bytes.len() - 1]).is_err());
        assert!(batch_index(&bytes[..20]).is_err());
    }
}
