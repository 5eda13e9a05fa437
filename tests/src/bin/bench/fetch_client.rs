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
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::batch_place::whole_batches;
use super::kafka_frame::{Frame, Reader, invalid};

const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// Bytes asked for in one Fetch.
pub(crate) const FETCH_BYTES: i32 = 1 << 20;
/// The largest response that is believed: a fetch of 1 MiB may exceed it by one batch.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

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
    /// Where the next Fetch continues: behind the last batch received, or the offset asked for.
    pub(crate) next_offset: i64,
    /// The whole batches received.
    pub(crate) batches: &'a [u8],
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
        frame.i8(0);
        frame.i32(0);
        frame.i32(-1);
        frame.i32(1);
        frame.string(topic);
        // One partition: index, current leader epoch (unknown), fetch offset, log start.
        frame.i32(1);
        frame.i32(0);
        frame.i32(-1);
        let offset_at = frame.size();
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

    /// The whole frame.
    pub(crate) fn with_offset(&mut self, offset: i64) -> &[u8] {
        self.bytes[self.offset_at..self.offset_at + 8].copy_from_slice(&offset.to_be_bytes());
        &self.bytes
    }
}

impl FetchClient {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let mut client = Self::connect_small(port)?;
        client.response.resize(2 << 20, 0);
        Ok(client)
    }

    /// With a buffer that grows to the longest response.
    pub(crate) fn connect_small(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            response: Vec::new(),
            response_bytes: 0,
        })
    }

    /// The socket, so that another thread can close it.
    pub(crate) fn socket(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Sends a fetch and does not wait for the answer.
    pub(crate) fn send(&mut self, request: &mut FetchRequest, offset: i64) -> io::Result<()> {
        self.stream.write_all(request.with_offset(offset))
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
        let (batches, end) = whole_batches(reader.fetch_response()?);
        Ok(Fetched {
            next_offset: end.unwrap_or(offset),
            batches,
        })
    }

    /// The high watermark of partition 0, or `None` while the topic is unknown.
    pub(crate) fn high_watermark(&mut self, topic: &str) -> io::Result<Option<i64>> {
        const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
        const LEADER_NOT_AVAILABLE: i16 = 5;
        const NOT_LEADER_OR_FOLLOWER: i16 = 6;
        const LATEST: i64 = -1;
        let mut frame = Frame::new(LIST_OFFSETS, 1);
        frame.i32(-1);
        frame.i32(1);
        frame.string(topic);
        frame.i32(1);
        frame.i32(0);
        frame.i64(LATEST);
        let mut reader = self.call(frame)?;
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
            // The latter two while Kafka makes it.
            UNKNOWN_TOPIC_OR_PARTITION | LEADER_NOT_AVAILABLE | NOT_LEADER_OR_FOLLOWER => Ok(None),
            code => Err(invalid(format!("ListOffsets error {code}"))),
        }
    }

    /// Waits until `topic` is there and holds `records` records that can be read, asking every `interval`.
    pub(crate) fn wait_for_records(
        &mut self,
        topic: &str,
        records: u64,
        interval: Duration,
    ) -> io::Result<()> {
        const STALLED: Duration = Duration::from_secs(60);
        let records = i64::try_from(records).map_err(io::Error::other)?;
        let mut seen = -1;
        let mut last_progress = Instant::now();
        loop {
            let end = self.high_watermark(topic)?.unwrap_or(-1);
            if end >= records {
                return Ok(());
            }
            if end > seen {
                seen = end;
                last_progress = Instant::now();
            } else if last_progress.elapsed() > STALLED {
                let text = format!("{topic} stays at {end} of {records} records");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            sleep(interval);
        }
    }

    /// Asks which APIs are served and returns their number.
    pub(crate) fn api_versions(&mut self) -> io::Result<i32> {
        let mut reader = self.call(Frame::new(API_VERSIONS, 0))?;
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

    /// Asks for one topic, which Kafka makes if it is missing (`auto.create.topics.enable`).
    pub(crate) fn metadata_of(&mut self, topic: &str) -> io::Result<()> {
        let mut frame = Frame::new(METADATA, 1);
        frame.i32(1);
        frame.string(topic);
        self.call(frame).map(drop)
    }

    /// Sends a request; its answer, from the correlation id on.
    pub(crate) fn call(&mut self, frame: Frame) -> io::Result<Reader<'_>> {
        self.stream.write_all(&frame.finish())?;
        self.receive()?;
        Ok(Reader(&self.response[..self.response_bytes]))
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
