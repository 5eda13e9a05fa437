//! The Fetch response, versions 4 to 16, encoded around record batches that are never copied, nor need to be in memory.
//!
//! | field | type | versions |
//! |---|---|---|
//! | throttle time, ms | i32 | all |
//! | error code | i16 | 7+ |
//! | session id | i32 | 7+ |
//! | topics | array | all |
//! | . topic | string | 4-12 |
//! | . topic id | uuid | 13+ |
//! | . partitions | array | all |
//! | . . partition | i32 | all |
//! | . . error code | i16 | all |
//! | . . high watermark, last stable offset | i64, i64 | all |
//! | . . log start offset | i64 | 5+ |
//! | . . aborted transactions | array, always empty | all |
//! | . . preferred read replica | i32, always -1 | 11+ |
//! | . . records | bytes, never null | all |
//!
//! From 12 on lengths are compact and every structure ends with tagged fields; ours are none. The
//! empty arrays and the empty records are deliberate: librdkafka takes null records (size -1) for a
//! broken answer.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::{
    api::Api,
    response::{EncodeError, Piece, patch_length, put_head},
};

/// First version with an error code and a session.
const FIRST_WITH_SESSION: i16 = 7;
/// First version with the preferred read replica.
const FIRST_WITH_READ_REPLICA: i16 = 11;
/// First version that names topics by id.
const FIRST_WITH_TOPIC_ID: i16 = 13;

/// An answer to Fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchResponse {
    /// Milliseconds that the client should wait; 0 for none.
    pub throttle_time_ms: i32,
    /// Error of the whole request, 0 for none; sent from version 7 on.
    pub error_code: i16,
    /// 0: no session is kept; sent from version 7 on.
    pub session_id: i32,
    /// Topics in the order of the request.
    pub topics: Vec<FetchTopic>,
}

/// A topic of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchTopic {
    /// Sent up to version 12.
    pub name: TopicName,
    /// Sent from version 13 on.
    pub topic_id: Uuid,
    /// Partitions in the order of the request.
    pub partitions: Vec<FetchPartition>,
}

/// A partition of the answer. Of a partition that is unknown all offsets are -1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition's number.
    pub index: i32,
    /// 0 for none.
    pub error_code: i16,
    /// Offset behind the last visible record.
    pub high_watermark: i64,
    /// The same: there are no open transactions in a log of committed changes.
    pub last_stable_offset: i64,
    /// Offset of the first record still kept; sent from version 5 on.
    pub log_start_offset: i64,
    /// Whole stored batches in offset order; may be none.
    pub records: Vec<Piece>,
}

impl FetchResponse {
    /// Bytes of records in the answer.
    pub fn records_size(&self) -> usize {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions
            .flat_map(|partition| &partition.records)
            .map(Piece::size)
            .sum()
    }

    /// The frame in pieces, its length field included; see [`crate::response::encode`].
    pub(crate) fn encode(
        self,
        version: i16,
        correlation_id: i32,
    ) -> Result<Vec<Piece>, EncodeError> {
        let records_size = self.records_size();
        let mut writer = Writer::new(version);
        put_head(
            &mut writer.head,
            Api::Fetch.served(),
            version,
            correlation_id,
        );
        writer.response(self)?;
        writer.finish(records_size)
    }
}

/// Collects everything but records in one buffer and remembers where records come between.
struct Writer {
    version: i16,
    flexible: bool,
    head: Vec<u8>,
    /// Records, each to be sent before the byte of `head` at this index.
    records: Vec<(usize, Vec<Piece>)>,
}

impl Writer {
    fn new(version: i16) -> Self {
        let flexible = Api::Fetch.served().is_flexible(version);
        Self {
            version,
            flexible,
            head: Vec::new(),
            records: Vec::new(),
        }
    }

    fn response(&mut self, response: FetchResponse) -> Result<(), EncodeError> {
        self.head.put_i32(response.throttle_time_ms);
        if self.version >= FIRST_WITH_SESSION {
            self.head.put_i16(response.error_code);
            self.head.put_i32(response.session_id);
        }
        self.length(response.topics.len(), 4)?;
        for topic in response.topics {
            self.topic(topic)?;
        }
        self.no_tagged_fields();
        Ok(())
    }

    fn topic(&mut self, topic: FetchTopic) -> Result<(), EncodeError> {
        if self.version >= FIRST_WITH_TOPIC_ID {
            self.head.put_slice(topic.topic_id.as_bytes());
        } else {
            self.length(topic.name.len(), 2)?;
            self.head.put_slice(topic.name.as_bytes());
        }
        self.length(topic.partitions.len(), 4)?;
        for partition in topic.partitions {
            self.partition(partition)?;
        }
        self.no_tagged_fields();
        Ok(())
    }

    fn partition(&mut self, partition: FetchPartition) -> Result<(), EncodeError> {
        self.head.put_i32(partition.index);
        self.head.put_i16(partition.error_code);
        self.head.put_i64(partition.high_watermark);
        self.head.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            self.head.put_i64(partition.log_start_offset);
        }
        self.length(0, 4)?;
        if self.version >= FIRST_WITH_READ_REPLICA {
            self.head.put_i32(-1);
        }
        self.length(partition.records.iter().map(Piece::size).sum(), 4)?;
        if !partition.records.is_empty() {
            self.records.push((self.head.len(), partition.records));
        }
        self.no_tagged_fields();
        Ok(())
    }

    /// A length or count: its successor as unsigned varint, or an integer of `classic_size` bytes.
    fn length(&mut self, length: usize, classic_size: usize) -> Result<(), EncodeError> {
        let too_large = EncodeError::TooLarge { size: length };
        if self.flexible {
            let length = i32::try_from(length).map_err(|_| too_large)?;
            put_unsigned_varint(&mut self.head, length.unsigned_abs() + 1);
        } else if classic_size == 2 {
            self.head
                .put_i16(i16::try_from(length).map_err(|_| too_large)?);
        } else {
            self.head
                .put_i32(i32::try_from(length).map_err(|_| too_large)?);
        }
        Ok(())
    }

    fn no_tagged_fields(&mut self) {
        if self.flexible {
            self.head.put_u8(0);
        }
    }

    /// Cuts the head where records come between.
    fn finish(mut self, records_size: usize) -> Result<Vec<Piece>, EncodeError> {
        patch_length(&mut self.head, records_size)?;
        let head = Bytes::from(self.head);
        let mut pieces = Vec::new();
        let mut from = 0;
        for (at, records) in self.records {
            pieces.push(Piece::Memory(head.slice(from..at)));
            pieces.extend(records.into_iter().filter(|piece| piece.size() > 0));
            from = at;
        }
        if from < head.len() {
            pieces.push(Piece::Memory(head.slice(from..)));
        }
        Ok(pieces)
    }
}

fn put_unsigned_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}
