//! A server that lies: nonsense, cuts and huge lengths at every stage. The source stays a source: a state,
//! another attempt, no panic, no memory by announced lengths.

use std::sync::Arc;
use std::time::Duration;

use headwater_capture::postgres::connection::{Connection, Purpose};
use headwater_capture::postgres::{SourceConfig, SourceUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::reader::{Reader, config};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn row(columns: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for column in columns {
        match column {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(text) => {
                body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                body.extend(text.as_bytes());
            }
        }
    }
    message(b'D', &body)
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn rows(rows: &[&[Option<&str>]]) -> Vec<u8> {
    let mut bytes: Vec<u8> = rows.iter().flat_map(|columns| row(columns)).collect();
    bytes.extend(message(b'C', b"SELECT\0"));
    bytes.extend(ready());
    bytes
}

fn login() -> Vec<u8> {
    let key = message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]);
    [
        message(b'R', &[0; 4]),
        message(b'S', b"server_version\x0015\0"),
        key,
        ready(),
    ]
    .concat()
}

/// What an honest server answers, up to the stream.
fn honest(sql: &str) -> Vec<u8> {
    let (t, f) = (Some("t"), Some("f"));
    if sql.contains("server_version_num") {
        rows(&[&[
            Some("150018"),
            Some("15.18"),
            Some("logical"),
            f,
            Some("60000"),
        ]])
    } else if sql.contains("pg_replication_slots") {
        let lsn = Some("0/100");
        rows(&[&[
            Some("pgoutput"),
            t,
            Some("shop"),
            None,
            lsn,
            lsn,
            Some("reserved"),
            None,
            f,
        ]])
    } else if sql.contains("obj_description") {
        rows(&[&[t, t, t]])
    } else if sql.contains("pg_current_wal_insert_lsn") {
        rows(&[&[Some("0/100")]])
    } else if sql == "IDENTIFY_SYSTEM" {
        rows(&[&[Some("7"), Some("1"), Some("0/100"), Some("shop")]])
    } else if sql.starts_with("START_REPLICATION") {
        message(b'W', &[0, 0, 0])
    } else {
        rows(&[])
    }
}

/// What is sent in answer to a query; `Close` ends the connection behind it.
enum Answer {
    Go(Vec<u8>),
    Close(Vec<u8>),
}

type Script = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// Listens, lets everybody in with `greeting`, and answers by the script. Keeps what came during the stream.
struct Fake {
    url: SourceUrl,
    streamed: Arc<Mutex<Vec<u8>>>,
}

impl Fake {
    async fn start(
        greeting: Vec<u8>,
        script: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Script = Arc::new(script);
        let streamed = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&streamed);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serve(
                    stream,
                    greeting.clone(),
                    Arc::clone(&script),
                    Arc::clone(&kept),
                );
                tokio::spawn(async move { serving.await.unwrap_or_default() });
            }
        });
        let url = format!("postgres://u:p@127.0.0.1:{port}/shop?sslmode=disable&connect_timeout=2");
        Self {
            url: SourceUrl::parse(&url).unwrap(),
            streamed,
        }
    }

    fn config(&self) -> SourceConfig {
        config(self.url.clone())
    }
}

async fn serve(
    mut stream: TcpStream,
    greeting: Vec<u8>,
    script: Script,
    streamed: Arc<Mutex<Vec<u8>>>,
) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await?;
    stream.write_all(&greeting).await?;
    loop {
        let tag = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        if tag != b'Q' {
            streamed.lock().await.extend(&body);
            continue;
        }
        body.pop();
        match script(&String::from_utf8_lossy(&body)) {
            Answer::Go(bytes) => stream.write_all(&bytes).await?,
            Answer::Close(bytes) => return stream.write_all(&bytes).await,
        }
    }
}

/// Waits until the source has given up the attempt, and gives what it says.
async fn told(config: SourceConfig) -> String {
    let mut reader = Reader::start(config);
    let gave_up = |reader: &Reader| !["starting", "running"].contains(&reader.state());
    reader.until("a failure", gave_up).await;
    reader.told()
}

/// Bodies and messages that no honest server sends.
fn nonsense() -> Vec<Vec<u8>> {
    let mut all = vec![
        vec![b'R', 0x7f, 0xff, 0xff, 0xff],
        vec![b'R', 0xff, 0xff, 0xff, 0xff],
        vec![b'D', 0, 0, 0, 3],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        message(b'?', b""),
        message(b'E', b"SFATAL\0C28P01"),
        message(b'D', &[0xff; 2]),
        message(b'D', &[0, 1, 0x7f, 0xff, 0xff, 0xff]),
        message(b'S', b"no end"),
        message(b'K', &[0]),
        message(b'd', b""),
        message(b'G', &[0; 3]),
    ];
    for kind in 0..14_u8 {
        all.push(message(b'R', &[0, 0, 0, kind]));
        all.push(message(b'R', &[0, 0, 0, kind, 1, 2, 3, 4, 5]));
    }
    all
}

#[tokio::test]
async fn nonsense_during_the_login_is_an_error() {
    for greeting in nonsense()
        .into_iter()
        .filter(|bytes| bytes != &message(b'R', &[0; 4]))
    {
        let shown = greeting.escape_ascii().to_string();
        let fake = Fake::start(greeting, |sql| Answer::Go(honest(sql))).await;
        let connected = Connection::connect(&fake.url, "test", Purpose::Catalog).await;
        assert!(connected.is_err(), "{shown}");
    }
}

#[tokio::test]
async fn a_login_cut_at_any_byte_is_an_error() {
    let whole = login();
    for cut in 0..whole.len() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes = whole[..cut].to_vec();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            stream
                .read_to_end(&mut Vec::new())
                .await
                .unwrap_or_default();
        });
        let url = format!("postgres://u@127.0.0.1:{port}/shop?sslmode=disable&connect_timeout=5");
        let url = SourceUrl::parse(&url).unwrap();
        assert!(
            Connection::connect(&url, "test", Purpose::Catalog)
                .await
                .is_err(),
            "cut at {cut}"
        );
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://u@127.0.0.1:{port}/shop?sslmode=disable&connect_timeout=1");
    let told = told(config(SourceUrl::parse(&url).unwrap())).await;
    assert!(
        told.contains("no answer from the server, stage=login waited_s=1"),
        "{told}"
    );
}

#[tokio::test]
async fn nonsense_in_answer_to_the_tls_request_is_an_error() {
    for answer in [
        &b""[..],
        b"X",
        b"SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS",
        b"E\0\0\0\x10SFATAL\0",
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            stream
                .read_to_end(&mut Vec::new())
                .await
                .unwrap_or_default();
        });
        let url = format!("postgres://u@127.0.0.1:{port}/shop?sslmode=require&connect_timeout=5");
        let url = SourceUrl::parse(&url).unwrap();
        assert!(
            Connection::connect(&url, "test", Purpose::Catalog)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn nonsense_in_answer_to_any_query_is_a_failed_attempt() {
    let marks = [
        "server_version_num",
        "pg_replication_slots",
        "obj_description",
        "pg_current_wal_insert_lsn",
        "IDENTIFY_SYSTEM",
        "START_REPLICATION",
    ];
    for mark in marks {
        for bytes in nonsense() {
            let fake = Fake::start(login(), move |sql| {
                if sql.contains(mark) {
                    Answer::Close(bytes.clone())
                } else {
                    Answer::Go(honest(sql))
                }
            })
            .await;
            let told = told(fake.config()).await;
            assert!(!told.is_empty());
        }
    }
}

#[tokio::test]
async fn empty_answers_are_failed_attempts() {
    for mark in [
        "server_version_num",
        "IDENTIFY_SYSTEM",
        "pg_current_wal_insert_lsn",
    ] {
        let fake = Fake::start(login(), move |sql| {
            Answer::Go(if sql.contains(mark) {
                rows(&[])
            } else {
                honest(sql)
            })
        })
        .await;
        assert!(
            told(fake.config()).await.contains("unexpected message"),
            "{mark}"
        );
    }
}

/// A server that streams these bytes as soon as it is asked to.
async fn streaming(bytes: Vec<u8>) -> Fake {
    Fake::start(login(), move |sql| {
        let mut answer = honest(sql);
        if sql.starts_with("START_REPLICATION") {
            answer.extend(&bytes);
        }
        Answer::Go(answer)
    })
    .await
}

fn xlog(payload: &[u8]) -> Vec<u8> {
    message(b'd', &[&b"w"[..], &[0; 24], payload].concat())
}

fn keepalive(wal_end: u64, reply: u8) -> Vec<u8> {
    message(
        b'd',
        &[&b"k"[..], &wal_end.to_be_bytes(), &[0; 8], &[reply]].concat(),
    )
}

#[tokio::test]
async fn nonsense_in_the_stream_is_a_lost_connection() {
    let mut streams = nonsense();
    streams.retain(|bytes| bytes[0] != b'S');
    streams.extend([
        message(b'd', b"w"),
        message(b'd', b"k"),
        message(b'd', b"x12345678901234567890"),
        xlog(b""),
        xlog(b"?"),
        xlog(b"B"),
        xlog(b"I\0\0\0\x01N\0\x01t\x7f\xff\xff\xff"),
        xlog(b"C\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        message(b'd', &[0xff; 100]),
        message(b'c', b""),
        vec![b'd', 0x7f, 0xff, 0xff, 0xff],
    ]);
    for bytes in streams {
        let shown = bytes.escape_ascii().to_string();
        let fake = streaming(bytes).await;
        let mut reader = Reader::start(fake.config());
        // A message cut short is not nonsense: its rest may come.
        let cut = shown == "HTTP/1.1 400 Bad Request\\r\\n\\r\\n";
        if cut {
            continue;
        }
        let lost = |reader: &Reader| reader.status().state.reason().is_some();
        reader.until(&shown, lost).await;
    }
}

#[tokio::test]
async fn a_far_future_keepalive_acknowledges_nothing() {
    let fake = streaming(keepalive(u64::MAX, 1)).await;
    let mut reader = Reader::start(fake.config());
    reader.confirming = false;
    reader
        .until("running", |reader| reader.state() == "running")
        .await;
    let sent = async {
        loop {
            let bytes = fake.streamed.lock().await.clone();
            if bytes.len() >= 34 {
                return bytes;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let bytes = tokio::time::timeout(Duration::from_secs(10), sent)
        .await
        .unwrap();
    assert_eq!(bytes[0], b'r');
    assert_eq!(bytes[9..17], [0; 8], "flush");
}

#[tokio::test]
async fn a_message_that_never_ends_does_not_stop_statuses_or_the_stop() {
    let fake = streaming(vec![b'd', 0x3f, 0xff, 0xff, 0xff, b'w']).await;
    let mut reader = Reader::start(fake.config());
    reader
        .until("running", |reader| reader.state() == "running")
        .await;
    let stopping = tokio::time::timeout(Duration::from_millis(1_500), reader.source.stop());
    assert!(stopping.await.is_ok());
    assert!(
        !fake.streamed.lock().await.is_empty(),
        "a last status was sent"
    );
}
