//! Health and metrics, on TCP and on the Unix socket.

use std::os::unix::fs::PermissionsExt;

use headwater_capture::postgres::SourceState;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::harness::{Harness, ORDERS_KEY, Settings};

async fn with_http() -> Harness {
    Harness::start_with(Settings {
        http: true,
        ..Settings::default()
    })
    .await
}

/// Status line and everything behind it.
async fn get(stream: impl AsyncRead + AsyncWrite + Unpin, path: &str, host: &str) -> String {
    let mut stream = stream;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) async fn get_tcp(harness: &Harness, path: &str) -> String {
    let stream = TcpStream::connect(harness.broker.http_address().unwrap())
        .await
        .unwrap();
    get(stream, path, "127.0.0.1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_on_both_sockets() {
    let harness = with_http().await;
    for path in ["/healthz", "/readyz"] {
        assert!(
            get_tcp(&harness, path).await.starts_with("HTTP/1.1 200"),
            "{path}"
        );
    }
    let socket = harness.data.path().join("headwater.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stream = UnixStream::connect(socket).await.unwrap();
    assert!(
        get(stream, "/readyz", "headwater")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get_tcp(&harness, "/nothing")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_run_says_which_state_and_why() {
    let harness = with_http().await;
    let path = "/healthz/instances/shop";
    assert!(get_tcp(&harness, path).await.starts_with("HTTP/1.1 200"));
    harness.feeder.status.send_modify(|status| {
        status.state = SourceState::SourceRefused {
            reason: "no entry in pg_hba.conf".to_owned(),
            fix: "add one".to_owned(),
        };
    });
    let answer = get_tcp(&harness, path).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for part in [
        r#""state":"source_refused""#,
        r#""reason":"no entry in pg_hba.conf""#,
        r#""fix":"add one""#,
    ] {
        assert!(answer.contains(part), "{answer}");
    }
    assert!(
        get_tcp(&harness, "/readyz")
            .await
            .starts_with("HTTP/1.1 200"),
        "consumers read on"
    );
    assert!(
        get_tcp(&harness, "/healthz/instances/other")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_name_reads_nothing() {
    let harness = with_http().await;
    let address = harness.broker.http_address().unwrap();
    for (host, code) in [
        ("evil.example", "421"),
        ("localhost:80", "200"),
        ("[::1]", "200"),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let answer = get(stream, "/healthz", host).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}")),
            "{host}: {answer}"
        );
        assert!(!answer.to_lowercase().contains("access-control"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let mut harness = with_http().await;
    harness.commit_one(ORDERS_KEY, 1_700_000_000_000, 100).await;
    let answer = get_tcp(&harness, "/metrics").await;
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    for line in [
        r#"headwater_log_groups_total{instance="shop"} 1"#,
        r#"headwater_log_records_total{instance="shop"} 1"#,
        r#"headwater_log_end_offset{topic="shop.public.orders"} 1"#,
        r#"headwater_instance_state{instance="shop",state="running"} 1"#,
        r#"headwater_instance_state{instance="shop",state="reconnecting"} 0"#,
        r#"headwater_kafka_requests_total{api="ListOffsets"}"#,
        "headwater_kafka_parked_fetches 0",
        "headwater_kafka_fetch_sessions 0",
        "process_resident_memory_bytes ",
        "# EOF",
    ] {
        assert!(answer.contains(line), "{line} is missing in\n{answer}");
    }
}
