//! A raw Kafka client: one connection, one request at a time. For what stock clients do not show (high
//! watermarks of several topics at one moment, stored batches as they are) and for hostile bytes.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use headwater_protocol::batch::{BatchHeader, records, verify_crc};
use kafka_protocol::{
    messages::{
        FetchRequest, ListOffsetsRequest, MetadataRequest, RequestHeader, ResponseHeader,
        TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::{Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer},
};

/// The last Fetch version that names topics by name.
pub const FETCH_VERSION: i16 = 12;
const LIST_OFFSETS_VERSION: i16 = 7;
const METADATA_VERSION: i16 = 9;

/// No answer of these tests takes longer.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// A response longer than this is nonsense: the largest row of a database, and some more.
const FRAME_BYTES_MAX: u32 = 1_200 << 20;

/// The timestamp by which ListOffsets is asked for the first record there is.
pub const EARLIEST: i64 = -2;

/// One connection. After an error it is of no further use.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    correlation_id: i32,
}

/// What a Fetch said about one topic (partition 0).
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The topic's name.
    pub topic: String,
    /// Kafka's error code, 0 for none.
    pub error_code: i16,
    /// Exclusive end of what is visible.
    pub high_watermark: i64,
    /// Offset of the first record there is.
    pub log_start: i64,
    /// Stored batches, one behind the other.
    pub records: Bytes,
}

/// A record by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values of its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Wire {
    /// Connects to host:port.
    ///
    /// # Errors
    /// What the socket says.
    pub fn connect(address: &str) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// On a connection that is there.
    ///
    /// # Errors
    /// What the socket says.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        Ok(Self {
            stream,
            correlation_id: 0,
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame without its length prefix.
    ///
    /// # Errors
    /// What the socket says; `InvalidData` for a length that is nonsense.
    pub fn receive(&mut self) -> io::Result<Bytes> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let length = u32::from_be_bytes(prefix);
        if length > FRAME_BYTES_MAX {
            return Err(invalid(format!("a response of {length} bytes")));
        }
        let mut frame = vec![0; usize::try_from(length).map_err(invalid)?];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// The socket, for tests that misuse it.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends one request and waits for its response.
    ///
    /// # Errors
    /// What the socket says; `InvalidData` for a response that cannot be decoded or is another request's.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.correlation_id += 1;
        let frame = encode(self.correlation_id, version, request).map_err(invalid)?;
        self.send_raw(&frame)?;
        let mut answer = self.receive()?;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version).map_err(invalid)?;
        if header.correlation_id != self.correlation_id {
            return Err(invalid(format!(
                "response {} to {}",
                header.correlation_id, self.correlation_id
            )));
        }
        let response = R::Response::decode(&mut answer, version).map_err(invalid)?;
        if answer.has_remaining() {
            return Err(invalid(format!(
                "{} bytes behind the response",
                answer.remaining()
            )));
        }
        Ok(response)
    }

    /// All topics' names.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn topics(&mut self) -> io::Result<Vec<String>> {
        let request = MetadataRequest::default().with_topics(None);
        let response = self.call(METADATA_VERSION, &request)?;
        let names = response
            .topics
            .iter()
            .filter_map(|topic| topic.name.as_ref());
        Ok(names.map(|name| name.0.to_string()).collect())
    }

    /// The ends (exclusive) of topics, asked for in one request; `None` for one that the broker does not know.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn ends(&mut self, topics: &[String]) -> io::Result<Vec<Option<i64>>> {
        self.offsets_at(topics, -1)
    }

    /// ListOffsets of partition 0 of each topic with this timestamp.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn offsets_at(
        &mut self,
        topics: &[String],
        timestamp: i64,
    ) -> io::Result<Vec<Option<i64>>> {
        let of = |topic: &String| {
            let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
            ListOffsetsTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition.with_current_leader_epoch(-1)])
        };
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(topics.iter().map(of).collect());
        let response = self.call(LIST_OFFSETS_VERSION, &request)?;
        let end = |topic: &String| {
            let found = response
                .topics
                .iter()
                .find(|answer| answer.name.0.as_str() == topic)?;
            let partition = found.partitions.first()?;
            (partition.error_code == 0).then_some(partition.offset)
        };
        Ok(topics.iter().map(end).collect())
    }

    /// Fetches from partition 0 of each topic at its offset.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub fn fetch(
        &mut self,
        from: &[(String, i64)],
        wait: Duration,
        bytes_max: i32,
    ) -> io::Result<Vec<Fetched>> {
        let request = fetch_request(from, wait, bytes_max)?;
        let response = self.call(FETCH_VERSION, &request)?;
        if response.error_code != 0 {
            return Err(invalid(format!(
                "Fetch: error code {}",
                response.error_code
            )));
        }
        let mut fetched = Vec::new();
        for topic in response.responses {
            for partition in topic.partitions {
                fetched.push(Fetched {
                    topic: topic.topic.0.to_string(),
                    error_code: partition.error_code,
                    high_watermark: partition.high_watermark,
                    log_start: partition.log_start_offset,
                    records: partition.records.unwrap_or_default(),
                });
            }
        }
        Ok(fetched)
    }

    /// Everything of one topic from `from` to the end it has now.
    ///
    /// # Errors
    /// As [`Wire::call`]; `InvalidData` for an error code or a bad batch.
    pub fn read_to_end(&mut self, topic: &str, from: i64) -> io::Result<Vec<Record>> {
        let topics = [topic.to_owned()];
        let end = self.ends(&topics)?.first().copied().flatten();
        let end = end.ok_or_else(|| invalid(format!("{topic} is not there")))?;
        let mut read: Vec<Record> = Vec::new();
        let mut next = from;
        while next < end {
            let fetched = self.fetch(
                &[(topic.to_owned(), next)],
                Duration::from_millis(100),
                8 << 20,
            )?;
            let answer = fetched.first().filter(|answer| answer.error_code == 0);
            let answer =
                answer.ok_or_else(|| invalid(format!("{topic} at {next}: {fetched:?}")))?;
            read.extend(from_offset(decode_records(&answer.records)?, next));
            next = read.last().map_or(from, |record| record.offset + 1);
        }
        Ok(read)
    }
}

/// What [`Wire::fetch`] sends, in [`FETCH_VERSION`].
///
/// # Errors
/// A wait that the protocol has no number for.
pub fn fetch_request(
    from: &[(String, i64)],
    wait: Duration,
    bytes_max: i32,
) -> io::Result<FetchRequest> {
    let of = |(topic, offset): &(String, i64)| {
        let partition = FetchPartition::default()
            .with_fetch_offset(*offset)
            .with_current_leader_epoch(-1)
            .with_partition_max_bytes(bytes_max);
        FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition])
    };
    Ok(FetchRequest::default()
        .with_max_wait_ms(i32::try_from(wait.as_millis()).map_err(invalid)?)
        .with_min_bytes(1)
        .with_max_bytes(bytes_max)
        .with_session_epoch(-1)
        .with_topics(from.iter().map(of).collect()))
}

/// A batch may begin before the offset that was asked for: drops what lies before.
pub fn from_offset(records: Vec<Record>, offset: i64) -> impl Iterator<Item = Record> {
    records
        .into_iter()
        .filter(move |record| record.offset >= offset)
}

/// The records of stored batches, checksums verified.
///
/// # Errors
/// `InvalidData` with what is wrong.
pub fn decode_records(mut batches: &[u8]) -> io::Result<Vec<Record>> {
    let mut decoded = Vec::new();
    while !batches.is_empty() {
        let header = BatchHeader::parse(batches).map_err(invalid)?;
        let whole = batches.split_at_checked(header.size());
        let (batch, rest) = whole.ok_or_else(|| invalid("a batch is cut off"))?;
        verify_crc(batch).map_err(invalid)?;
        for record in records(batch) {
            let record = record.map_err(invalid)?;
            decoded.push(Record {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
            });
        }
        batches = rest;
    }
    Ok(decoded)
}

/// One request as a frame, length prefix included.
///
/// # Errors
/// A message that has no form in this version.
pub fn encode<R: Request>(correlation_id: i32, version: i16, request: &R) -> io::Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("headwater-tests")));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).map_err(invalid)?;
    request.encode(&mut body, version).map_err(invalid)?;
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_u32(u32::try_from(body.len()).map_err(invalid)?);
    frame.put(body);
    Ok(frame.freeze())
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
