//! Listeners by TLS, with a client by rustls: the same answers, one clear end for who speaks something else, and
//! certificates that change while the broker runs.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use headwater::config::{ConnectionConfig, TlsFiles};
use headwater_capture::{Captured, Commit, TransactionGroup};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use socket2::SockRef;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    harness::{ORDERS_KEY, batch},
    secured::{ORDERS_PASSWORD, ORDERS_USER, SHOP_TOPIC, Secured, Settings},
    wire::{Client, Fetch, frame, offsets},
};

/// A certificate for localhost that is its own authority.
struct Issued {
    directory: TempDir,
}

impl Issued {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(directory.path(), "certificate.pem", "key.pem");
        Self { directory }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.directory.path().join("certificate.pem"),
            key: self.directory.path().join("key.pem"),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.files().certificate).unwrap()
    }

    async fn secured(&self) -> Secured {
        self.secured_with(ConnectionConfig::default()).await
    }

    async fn secured_with(&self, connections: ConnectionConfig) -> Secured {
        Secured::start_with(Settings {
            connections,
            tls: Some(self.files()),
        })
        .await
    }
}

fn make_certificate(directory: &Path, certificate: &str, key: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(directory.join(key))
        .arg("-out")
        .arg(directory.join(certificate))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// A client's settings that trust `trusted` only.
fn client_config(
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    over(tcp, trusted, version).await
}

async fn over(
    tcp: TcpStream,
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(client_config(trusted, version))
        .connect(name, tcp)
        .await
}

async fn client(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> Client<TlsStream<TcpStream>> {
    Client::on(connect(address, trusted, &TLS13).await.unwrap())
}

/// One commit of records of this size.
async fn commit(secured: &mut Secured, sizes: &[usize]) {
    let records: Vec<_> = sizes.iter().map(|size| (1, vec![b'x'; *size])).collect();
    let group = TransactionGroup {
        batches: records
            .into_iter()
            .map(|record| batch(ORDERS_KEY, &[record]))
            .collect(),
        commit: Some(Commit {
            position: vec![1],
            commit_time_ms: Some(1),
            transactions: 1,
            changes: 1,
        }),
        open: None,
    };
    let feeder = &mut secured.feeders[0];
    feeder.captured.send(Captured::Group(group)).await.unwrap();
    let confirmed = feeder.confirmed.wait_for(|position| *position == [1]);
    drop(
        timeout(Duration::from_secs(10), confirmed)
            .await
            .unwrap()
            .unwrap(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_serve_what_plaintext_serves() {
    let issued = Issued::new();
    let mut secured = issued.secured().await;
    commit(&mut secured, &[900_000, 10, 700_000, 1]).await;
    let fetch = Fetch {
        partition_bytes_max: 50 << 20,
        ..Fetch::of(SHOP_TOPIC, 0)
    };
    let plaintext = secured.anonymous().await.fetch(fetch).await;
    assert_eq!(offsets(&plaintext), [0, 1, 2, 3]);
    let [open, sasl] = secured.tls();
    for version in [&TLS12, &TLS13] {
        let mut client = Client::on(connect(open, &issued.der(), version).await.unwrap());
        assert_eq!(client.fetch(fetch).await, plaintext);
        let mut client = Client::on(connect(sasl, &issued.der(), version).await.unwrap());
        assert_eq!(
            client.log_in(ORDERS_USER, ORDERS_PASSWORD).await.error_code,
            0
        );
        assert_eq!(client.fetch(fetch).await, plaintext);
        assert_eq!(client.metadata().await.topics.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_pauses_gets_all_of_a_large_response() {
    let issued = Issued::new();
    let mut secured = issued.secured().await;
    commit(&mut secured, &[162_000; 8]).await;
    // Small segments and a small window keep the broker's socket buffer small too (Linux sizes it by what is under
    // way), so that it is full when the last bytes are encrypted: here 116 KB, behind nine buffers of 128 KiB.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    SockRef::from(&socket).set_tcp_mss(536).unwrap();
    let tcp = socket.connect(secured.tls()[0]).await.unwrap();
    let mut client = Client::on(over(tcp, &issued.der(), &TLS13).await.unwrap());
    let fetch = Fetch {
        partition_bytes_max: 50 << 20,
        ..Fetch::of(SHOP_TOPIC, 0)
    };
    client.send(&fetch.request(), 12).await;
    // More than all buffers on the way hold.
    sleep(Duration::from_millis(300)).await;
    let size = client.stream.read_i32().await.unwrap();
    assert!(size > 1_000_000, "{size}");
    let mut left = usize::try_from(size).unwrap();
    let mut chunk = vec![0; 100_000];
    while left > 0 {
        let want = left.min(chunk.len());
        let read = timeout(
            Duration::from_secs(10),
            client.stream.read(&mut chunk[..want]),
        );
        left -= read.await.expect("all of it comes").unwrap();
        if left % 7 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(client.metadata().await.topics.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_fetch_is_answered_and_many_requests_at_once_are_answered_in_order() {
    let issued = Issued::new();
    let mut secured = issued.secured().await;
    let mut parked = client(secured.tls()[0], &issued.der()).await;
    let fetch = Fetch {
        wait_ms: 20_000,
        ..Fetch::of(SHOP_TOPIC, 0)
    };
    let commits = async {
        sleep(Duration::from_millis(200)).await;
        commit(&mut secured, &[10]).await;
    };
    let (answer, ()) = tokio::join!(parked.fetch(fetch), commits);
    assert_eq!(offsets(&answer), [0]);
    // Read ahead by TLS in one piece; `receive` checks the correlation id of the last.
    let asked = crate::wire::list_offsets(SHOP_TOPIC, -1, -1);
    for _ in 0..50 {
        parked.send(&asked, 9).await;
    }
    for _ in 0..49 {
        assert!(parked.frame().await.is_some());
    }
    let last = parked
        .receive::<kafka_protocol::messages::ListOffsetsRequest>(9)
        .await;
    assert_eq!(last.topics[0].partitions[0].offset, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_with_the_end_of_the_handshake_is_answered() {
    let issued = Issued::new();
    let secured = issued.secured().await;
    let (address, config) = (secured.tls()[0], client_config(&issued.der(), &TLS13));
    let asked = tokio::task::spawn_blocking(move || {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = rustls::ClientConnection::new(config, name).unwrap();
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // Before the handshake, so that rustls sends it in one piece with the end of that.
        let request = frame(
            &kafka_protocol::messages::ApiVersionsRequest::default(),
            0,
            7,
        );
        tls.writer().write_all(&request).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).map(|()| answer[7])
    });
    assert_eq!(asked.await.unwrap().ok(), Some(7), "the correlation id");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_is_cut_off_at_once_and_who_is_silent_in_time() {
    let issued = Issued::new();
    let limit = Duration::from_millis(500);
    let secured = issued
        .secured_with(ConnectionConfig {
            login_deadline: limit,
            ..ConnectionConfig::default()
        })
        .await;
    for address in secured.tls() {
        for first in [
            &b"\0\0\0\x10\0\x12\0\0\0\0\0\x01\xff\xff"[..],
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let mut plaintext = TcpStream::connect(address).await.unwrap();
            plaintext.write_all(first).await.unwrap();
            let mut rest = Vec::new();
            let ended = timeout(Duration::from_secs(5), plaintext.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "it is closed");
            assert!(rest.len() < 20, "an alert at most: {rest:?}");
        }
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is closed");
    }
    // The deadline is over with the handshake.
    let mut client = client(secured.tls()[0], &issued.der()).await;
    sleep(2 * limit).await;
    assert_eq!(client.metadata().await.topics.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_after_a_reload_and_a_bad_one_never() {
    let issued = Issued::new();
    let secured = issued.secured().await;
    let [address, _] = secured.tls();
    let old = issued.der();
    let mut before = client(address, &old).await;
    assert_eq!(before.metadata().await.topics.len(), 2);

    fs::write(issued.files().certificate, "no certificate").unwrap();
    secured.broker.reload_certificates().await;
    assert!(
        connect(address, &old, &TLS13).await.is_ok(),
        "the old one stays"
    );

    make_certificate(issued.directory.path(), "certificate.pem", "other-key.pem");
    secured.broker.reload_certificates().await;
    assert!(
        connect(address, &old, &TLS13).await.is_ok(),
        "certificate and key make no pair"
    );

    make_certificate(issued.directory.path(), "certificate.pem", "key.pem");
    assert!(
        connect(address, &old, &TLS13).await.is_ok(),
        "nobody has asked yet"
    );
    secured.broker.reload_certificates().await;
    assert!(connect(address, &issued.der(), &TLS13).await.is_ok());
    assert!(connect(address, &old, &TLS13).await.is_err());
    assert_eq!(
        before.metadata().await.topics.len(),
        2,
        "an open connection goes on"
    );
}
