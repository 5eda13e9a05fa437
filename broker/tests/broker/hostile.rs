//! Bytes from strangers: the connection goes, the process, its memory and the others stay.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    harness::{Harness, ORDERS, ORDERS_KEY},
    wire::{Fetch, framed, offsets},
};

/// What a stranger may send first.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let count = |key: u8, version: u8, count: &[u8]| {
        let mut body = vec![0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff];
        body.extend(count);
        framed(&body).to_vec()
    };
    vec![
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff, 0, 0]),
        (
            "two gigabytes announced",
            vec![0x7f, 0xff, 0xff, 0xff, 0, 18, 0, 0],
        ),
        ("an empty frame", framed(&[]).to_vec()),
        ("a frame of three bytes", framed(&[0, 18, 0]).to_vec()),
        (
            "an API that is not served",
            framed(&[0, 68, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0]).to_vec(),
        ),
        (
            "a version that is not served",
            framed(&[0, 1, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0]).to_vec(),
        ),
        (
            "two billion topics (v0)",
            count(3, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "four billion topics (v9)",
            count(3, 9, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "a client id longer than its frame",
            framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, b'x']).to_vec(),
        ),
        (
            "TLS",
            vec![
                0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
            ],
        ),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        (
            "a forged log line",
            framed(b"\x00\x44\x00\x01\x00\x00\x00\x01\x00\x0a\n\x1b[31mERR\n").to_vec(),
        ),
    ]
}

async fn is_closed(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is as closed as an end.
    let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    closed.is_ok_and(|read| read.is_err() || answer.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_first_bytes_close_the_connection_and_nothing_else() {
    let mut harness = Harness::start().await;
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    let mut bystander = harness.client().await;
    for (what, bytes) in hostile() {
        assert!(
            is_closed(harness.address(), &bytes).await,
            "{what} was not closed"
        );
        let started = Instant::now();
        assert_eq!(
            offsets(&bystander.fetch(Fetch::of(ORDERS, 0)).await),
            [0],
            "{what}"
        );
        let mut newcomer = harness.client().await;
        assert_eq!(newcomer.metadata().await.topics.len(), 2, "{what}");
        assert!(started.elapsed() < Duration::from_secs(1), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_hostile_connections_leave_memory_flat() {
    let harness = Harness::start().await;
    let frames = hostile();
    let round = async || {
        for (_, bytes) in &frames {
            let mut stream = TcpStream::connect(harness.address()).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            drop(stream);
        }
    };
    for _ in 0..20 {
        round().await;
    }
    let before = resident_kib();
    for _ in 0..150 {
        round().await;
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    let started = Instant::now();
    let mut client = harness.client().await;
    assert_eq!(client.metadata().await.topics.len(), 2);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_lengths_cost_nothing_until_the_bytes_come() {
    let harness = Harness::start().await;
    let before = resident_kib();
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(harness.address()).await.unwrap();
        // One megabyte is announced, 64 bytes come.
        stream
            .write_all(&(1_000_000_i32).to_be_bytes())
            .await
            .unwrap();
        stream.write_all(&[0; 64]).await.unwrap();
        streams.push(stream);
    }
    let mut client = harness.client().await;
    assert_eq!(client.metadata().await.topics.len(), 2);
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "memory grew by {grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_legal_request_is_answered() {
    let harness = Harness::start().await;
    let mut client = harness.client().await;
    let topics = (0..36_000).map(|number| {
        let name = kafka_protocol::protocol::StrBytes::from_string(format!("topic-{number}"));
        kafka_protocol::messages::metadata_request::MetadataRequestTopic::default()
            .with_name(Some(kafka_protocol::messages::TopicName(name)))
    });
    let request =
        kafka_protocol::messages::MetadataRequest::default().with_topics(Some(topics.collect()));
    let answer = client.ask(&request, 12).await;
    assert_eq!(answer.topics.len(), 36_000);
}

pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
