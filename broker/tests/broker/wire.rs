//! A raw Kafka client: one frame out, one frame in. Encodes and decodes with the crate's client half.

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use headwater_protocol::batch::records;
use kafka_protocol::{
    messages::{
        ApiKey, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
        MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader, TopicName, fetch_request,
        fetch_response::PartitionData, list_offsets_request,
        list_offsets_response::ListOffsetsPartitionResponse,
        metadata_request::MetadataRequestTopic,
    },
    protocol::{Decodable, Encodable, Request, StrBytes},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self {
            stream,
            correlation_id: 0,
        }
    }

    /// Sends a request and decodes its answer, to the last byte.
    pub(crate) async fn ask<R: Request + Encodable>(
        &mut self,
        request: &R,
        version: i16,
    ) -> R::Response
    where
        R::Response: Decodable,
    {
        self.send(request, version).await;
        self.receive::<R>(version).await
    }

    pub(crate) async fn send<R: Request + Encodable>(&mut self, request: &R, version: i16) {
        self.correlation_id += 1;
        let frame = frame(request, version, self.correlation_id);
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> R::Response
    where
        R::Response: Decodable,
    {
        let mut frame = self.frame().await.expect("the broker answers");
        let key = ApiKey::try_from(R::KEY).unwrap();
        let header =
            ResponseHeader::decode(&mut frame, key.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(
            !frame.has_remaining(),
            "{} bytes behind the {key:?} v{version} answer",
            frame.len()
        );
        response
    }

    /// The next frame without its length; `None` if the broker closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let size = self.stream.read_i32().await.ok()?;
            let mut body = vec![0; usize::try_from(size).unwrap()];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Bytes::from(body))
        };
        timeout(PATIENCE, read)
            .await
            .expect("the broker answers or closes")
    }

    pub(crate) async fn metadata(&mut self) -> MetadataResponse {
        self.ask(&MetadataRequest::default().with_topics(None), 12)
            .await
    }

    /// Waits until the topic can be read.
    pub(crate) async fn until_topic(&mut self, topic: &str) {
        for _ in 0..500 {
            let answer = self.offset(topic, -1, 9).await;
            if answer.error_code == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("topic {topic} does not appear");
    }

    pub(crate) async fn topic_id(&mut self, topic: &str) -> uuid::Uuid {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        let asked = MetadataRequestTopic::default().with_name(Some(name));
        let request = MetadataRequest::default().with_topics(Some(vec![asked]));
        self.ask(&request, 12).await.topics[0].topic_id
    }

    /// One partition by ListOffsets.
    pub(crate) async fn offset(
        &mut self,
        topic: &str,
        timestamp: i64,
        version: i16,
    ) -> ListOffsetsPartitionResponse {
        let request = list_offsets(topic, timestamp, -1);
        let mut answer: ListOffsetsResponse = self.ask(&request, version).await;
        answer.topics.remove(0).partitions.remove(0)
    }

    /// One partition by Fetch v12.
    pub(crate) async fn fetch(&mut self, fetch: Fetch<'_>) -> PartitionData {
        let mut answer: FetchResponse = self.ask(&fetch.request(), 12).await;
        assert_eq!(answer.error_code, 0);
        answer.responses.remove(0).partitions.remove(0)
    }
}

/// A fetch of one partition by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch<'a> {
    pub(crate) topic: &'a str,
    pub(crate) offset: i64,
    pub(crate) wait_ms: i32,
    pub(crate) bytes_min: i32,
    pub(crate) bytes_max: i32,
    pub(crate) partition_bytes_max: i32,
    pub(crate) epoch: i32,
}

impl<'a> Fetch<'a> {
    pub(crate) fn of(topic: &'a str, offset: i64) -> Self {
        Self {
            topic,
            offset,
            wait_ms: 0,
            bytes_min: 1,
            bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            epoch: -1,
        }
    }

    pub(crate) fn request(self) -> FetchRequest {
        let partition = fetch_request::FetchPartition::default()
            .with_fetch_offset(self.offset)
            .with_current_leader_epoch(self.epoch)
            .with_partition_max_bytes(self.partition_bytes_max);
        let topic = fetch_request::FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_string(self.topic.to_owned())))
            .with_partitions(vec![partition]);
        FetchRequest::default()
            .with_max_wait_ms(self.wait_ms)
            .with_min_bytes(self.bytes_min)
            .with_max_bytes(self.bytes_max)
            .with_session_epoch(-1)
            .with_topics(vec![topic])
    }
}

pub(crate) fn list_offsets(topic: &str, timestamp: i64, epoch: i32) -> ListOffsetsRequest {
    let partition = list_offsets_request::ListOffsetsPartition::default()
        .with_timestamp(timestamp)
        .with_current_leader_epoch(epoch);
    let topic = list_offsets_request::ListOffsetsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

/// A whole frame, its length included.
pub(crate) fn frame<R: Request + Encodable>(
    request: &R,
    version: i16,
    correlation_id: i32,
) -> Bytes {
    let key = ApiKey::try_from(R::KEY).unwrap();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("raw")));
    let mut body = BytesMut::new();
    header
        .encode(&mut body, key.request_header_version(version))
        .unwrap();
    request.encode(&mut body, version).unwrap();
    framed(&body)
}

/// `body` with its length before it.
pub(crate) fn framed(body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len()).unwrap());
    frame.put_slice(body);
    frame.freeze()
}

/// Offsets of the records of a fetched partition, checksums checked.
pub(crate) fn offsets(partition: &PartitionData) -> Vec<i64> {
    let mut bytes = partition.records.clone().expect("records are never null");
    let mut offsets = Vec::new();
    while !bytes.is_empty() {
        let size = 12 + i32::from_be_bytes(bytes[8..12].try_into().unwrap());
        let batch = bytes.split_to(usize::try_from(size).unwrap());
        headwater_protocol::batch::verify_crc(&batch).unwrap();
        offsets.extend(records(&batch).map(|record| record.unwrap().offset));
    }
    offsets
}
