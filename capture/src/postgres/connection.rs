//! One connection to a server: socket, TLS, login, messages in and out.
//!
//! The same type serves ordinary SQL ([`super::query`]) and replication. All waiting is in
//! [`Connection::transfer`], which is cancel safe: whatever was received or is still to be sent lives in the
//! connection, so the replication loop can `select!` over it and its timers.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::error::{ConnectionError, LoginError, SqlState, TlsError};
use super::handshake::{Answer, Credentials, Login};
use super::message::{
    Frame, LOGIN_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, ReceiveBuffer, ServerMessage,
};
use super::tls;
use super::url::{Host, SourceUrl, SslMode};

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up, and how long an
/// idle one is left alone before the kernel probes it.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Settings that decide how values are written, pinned so that role and database defaults cannot change them;
/// and `search_path`, so that catalog queries cannot be led to functions of somebody else.
const PINNED: &str = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres \
                      -c extra_float_digits=3 -c bytea_output=hex -c lc_monetary=C \
                      -c quote_all_identifiers=off -c search_path=pg_catalog";
/// Replication waits for other transactions by design.
const REPLICATION_LIMITS: &str = "-c statement_timeout=0 -c lock_timeout=0";
/// Catalog queries and ALTER PUBLICATION must never stand in the application's way.
const CATALOG_LIMITS: &str = "-c statement_timeout=30000 -c lock_timeout=1000";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Ordinary SQL.
    Catalog,
    /// A walsender for one database (`replication=database`).
    Replication,
}

/// A logged-in connection.
pub struct Connection {
    socket: Box<dyn Socket>,
    receive: ReceiveBuffer,
    send: BytesMut,
    flush_pending: bool,
    backend_pid: i32,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("backend_pid", &self.backend_pid)
            .finish_non_exhaustive()
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// A message taken out of the receive buffer, for the paths where a copy costs nothing.
#[derive(Debug)]
pub(crate) struct OwnedFrame {
    tag: u8,
    body: Bytes,
}

impl OwnedFrame {
    pub(crate) fn parse(&self) -> Result<ServerMessage<'_>, ConnectionError> {
        Ok(ServerMessage::parse(Frame {
            tag: self.tag,
            body: &self.body,
        })?)
    }

    pub(crate) fn unexpected(&self, stage: &'static str) -> ConnectionError {
        ConnectionError::Unexpected {
            stage,
            tag: self.tag,
        }
    }
}

/// How one attempt is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Plain,
    TlsIfOffered,
    Tls,
}

impl Connection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// No connection, no TLS as demanded, or no login, within the URL's timeout.
    pub async fn connect(
        url: &SourceUrl,
        application_name: &str,
        purpose: Purpose,
    ) -> Result<Self, ConnectionError> {
        let (first, second) = attempts(url);
        let failure = match Self::attempt(url, application_name, purpose, first).await {
            Ok(connection) => return Ok(connection),
            Err(failure) => failure,
        };
        match second {
            Some(second) if other_protection_may_help(first, &failure) => {
                Self::attempt(url, application_name, purpose, second).await
            }
            Some(_) | None => Err(failure),
        }
    }

    async fn attempt(
        url: &SourceUrl,
        application_name: &str,
        purpose: Purpose,
        protection: Protection,
    ) -> Result<Self, ConnectionError> {
        let limit = url.connect_timeout;
        let mut credentials = Credentials {
            user: url.user.clone(),
            password: url.present_password().map_err(LoginError::Password)?,
            channel_binding: url.tls.channel_binding,
            verified: false,
            end_point: None,
        };
        let login = async {
            let socket = open(url, protection, &mut credentials).await?;
            let mut connection = Self {
                socket,
                receive: ReceiveBuffer::new(LOGIN_MESSAGE_BYTES_MAX),
                send: BytesMut::new(),
                flush_pending: false,
                backend_pid: 0,
            };
            connection
                .log_in(url, application_name, purpose, credentials)
                .await?;
            Ok(connection)
        };
        // Boxed: the future holds a TLS handshake.
        within(limit, "login", Box::pin(login)).await
    }

    async fn log_in(
        &mut self,
        url: &SourceUrl,
        application_name: &str,
        purpose: Purpose,
        credentials: Credentials,
    ) -> Result<(), ConnectionError> {
        self.queue_startup(url, application_name, purpose)?;
        let mut login = Login::new(credentials);
        loop {
            let frame = self.receive().await?;
            match frame.parse()? {
                ServerMessage::Authentication(message) => match login.answer(&message)? {
                    Answer::Send(reply) => self.send.extend_from_slice(&reply),
                    Answer::Wait => {}
                    Answer::Done => break,
                },
                ServerMessage::ErrorResponse(error) => {
                    return Err(ConnectionError::Server(Box::new(error)));
                }
                ServerMessage::NegotiateProtocolVersion | ServerMessage::NoticeResponse(_) => {}
                ServerMessage::ParameterStatus { .. }
                | ServerMessage::BackendKeyData { .. }
                | ServerMessage::ReadyForQuery
                | ServerMessage::RowDescription
                | ServerMessage::DataRow(_)
                | ServerMessage::CommandComplete
                | ServerMessage::EmptyQueryResponse
                | ServerMessage::NotificationResponse
                | ServerMessage::CopyBothResponse
                | ServerMessage::CopyData(_)
                | ServerMessage::CopyDone => return Err(frame.unexpected("login")),
            }
        }
        self.receive.set_message_bytes_max(MESSAGE_BYTES_MAX);
        self.until_ready().await
    }

    /// Settings and process id, up to the first ReadyForQuery.
    async fn until_ready(&mut self) -> Result<(), ConnectionError> {
        loop {
            let frame = self.receive().await?;
            match frame.parse()? {
                ServerMessage::BackendKeyData { pid } => self.backend_pid = pid,
                ServerMessage::ReadyForQuery => return Ok(()),
                ServerMessage::ErrorResponse(error) => {
                    return Err(ConnectionError::Server(Box::new(error)));
                }
                ServerMessage::ParameterStatus { .. }
                | ServerMessage::NegotiateProtocolVersion
                | ServerMessage::NoticeResponse(_) => {}
                ServerMessage::Authentication(_)
                | ServerMessage::RowDescription
                | ServerMessage::DataRow(_)
                | ServerMessage::CommandComplete
                | ServerMessage::EmptyQueryResponse
                | ServerMessage::NotificationResponse
                | ServerMessage::CopyBothResponse
                | ServerMessage::CopyData(_)
                | ServerMessage::CopyDone => return Err(frame.unexpected("start of the session")),
            }
        }
    }

    fn queue_startup(
        &mut self,
        url: &SourceUrl,
        application_name: &str,
        purpose: Purpose,
    ) -> Result<(), ConnectionError> {
        let limits = match purpose {
            Purpose::Catalog => CATALOG_LIMITS,
            Purpose::Replication => REPLICATION_LIMITS,
        };
        let options = format!("{PINNED} {limits}");
        let mut parameters = vec![
            ("user", url.user.as_str()),
            ("database", url.database.as_str()),
            ("client_encoding", "UTF8"),
            ("application_name", application_name),
            ("options", options.as_str()),
        ];
        if purpose == Purpose::Replication {
            parameters.push(("replication", "database"));
        }
        frontend::startup_message(parameters, &mut self.send)
            .map_err(ConnectionError::io("start-up message"))
    }

    /// The process at the server that serves this connection.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// What was received and not yet consumed.
    pub(crate) fn received(&self) -> &ReceiveBuffer {
        &self.receive
    }

    /// Drops a message that was handled where it lay.
    pub(crate) fn consume(&mut self, size: usize) {
        self.receive.consume(size);
    }

    /// Queues a simple query.
    pub(crate) fn queue_query(&mut self, sql: &str) -> Result<(), ConnectionError> {
        frontend::query(sql, &mut self.send).map_err(ConnectionError::io("query"))
    }

    /// Queues CopyData.
    pub(crate) fn queue_copy_data(&mut self, data: &[u8]) {
        let length = u32::try_from(data.len() + 4).expect("our own messages have a few bytes");
        self.send.put_u8(b'd');
        self.send.put_u32(length);
        self.send.put_slice(data);
    }

    /// Queues the end of our half of the replication stream.
    pub(crate) fn queue_copy_done(&mut self) {
        frontend::copy_done(&mut self.send);
    }

    /// Bytes queued and not yet taken by the socket.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.send.len()
    }

    /// The next whole message.
    ///
    /// # Errors
    /// The connection is lost, or bytes came that are no message. Cancel safe.
    pub(crate) async fn receive(&mut self) -> Result<OwnedFrame, ConnectionError> {
        loop {
            if let Some(frame) = self.receive.frame()? {
                let owned = OwnedFrame {
                    tag: frame.tag,
                    body: Bytes::copy_from_slice(frame.body),
                };
                let size = frame.size();
                self.receive.consume(size);
                return Ok(owned);
            }
            self.transfer(true).await?;
        }
    }

    /// Sends what is queued and, if `reading`, receives once; ends when bytes have arrived, and tells how many.
    /// Without `reading` it ends (with 0) when all is sent, or never if nothing was queued. Cancel safe.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn transfer(&mut self, reading: bool) -> Result<usize, ConnectionError> {
        poll_fn(|cx| self.poll_transfer(cx, reading)).await
    }

    fn poll_transfer(
        &mut self,
        cx: &mut Context<'_>,
        reading: bool,
    ) -> Poll<Result<usize, ConnectionError>> {
        let had_work = !self.send.is_empty() || self.flush_pending;
        let sent = self.poll_send(cx).map_err(ConnectionError::io("send"))?;
        if reading {
            return self.poll_receive(cx);
        }
        match sent {
            Poll::Ready(()) if had_work => Poll::Ready(Ok(0)),
            Poll::Ready(()) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.send.is_empty() {
            let sent = std::task::ready!(Pin::new(&mut self.socket).poll_write(cx, &self.send))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            drop(self.send.split_to(sent));
            self.flush_pending = true;
        }
        if self.flush_pending {
            std::task::ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.flush_pending = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ConnectionError>> {
        let spare = self.receive.spare();
        let mut read = std::pin::pin!(self.socket.read_buf(spare));
        match std::task::ready!(read.as_mut().poll(cx)) {
            Ok(0) => Poll::Ready(Err(ConnectionError::Closed)),
            Ok(received) => Poll::Ready(Ok(received)),
            Err(source) => Poll::Ready(Err(ConnectionError::Io {
                what: "receive",
                source,
            })),
        }
    }

    /// Says good-bye and closes, as far as that works within the limit.
    pub(crate) async fn close(mut self, limit: Duration) {
        frontend::terminate(&mut self.send);
        let farewell = async {
            self.transfer(false).await?;
            self.socket
                .shutdown()
                .await
                .map_err(ConnectionError::io("close"))
        };
        // The server notices a lost connection by itself: a failure here changes nothing.
        drop(timeout(limit, farewell).await);
    }
}

/// Gives a step a limit.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &'static str,
    step: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, ConnectionError> {
    match timeout(limit, step).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ConnectionError::Timeout { what, after: limit }),
    }
}

/// The first and, if that is refused, the second way to protect the connection. As libpq; Unix sockets have
/// no TLS.
fn attempts(url: &SourceUrl) -> (Protection, Option<Protection>) {
    match (&url.host, url.tls.mode) {
        (Host::Unix(_), _) | (Host::Tcp(_), SslMode::Disable) => (Protection::Plain, None),
        (Host::Tcp(_), SslMode::Allow) => (Protection::Plain, Some(Protection::Tls)),
        (Host::Tcp(_), SslMode::Prefer) => (Protection::TlsIfOffered, Some(Protection::Plain)),
        (Host::Tcp(_), SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => {
            (Protection::Tls, None)
        }
    }
}

/// pg_hba.conf may accept one kind of connection and not the other; and `prefer` demands no TLS.
fn other_protection_may_help(first: Protection, failure: &ConnectionError) -> bool {
    let refused = failure.sqlstate() == Some(SqlState::INVALID_AUTHORIZATION);
    let tls_failed = matches!(failure, ConnectionError::Tls(_));
    refused || (first == Protection::TlsIfOffered && tls_failed)
}

async fn open(
    url: &SourceUrl,
    protection: Protection,
    credentials: &mut Credentials,
) -> Result<Box<dyn Socket>, ConnectionError> {
    let host = match &url.host {
        Host::Tcp(host) => host,
        Host::Unix(_) => {
            let path = url.socket_path().unwrap_or_default();
            let stream = UnixStream::connect(path)
                .await
                .map_err(ConnectionError::io("connect"))?;
            return Ok(Box::new(stream));
        }
    };
    let mut stream = open_tcp(host, url.port).await?;
    if protection == Protection::Plain {
        return Ok(Box::new(stream));
    }
    let offered = ask_for_tls(&mut stream).await?;
    match (offered, protection) {
        (true, Protection::Plain | Protection::TlsIfOffered | Protection::Tls) => {
            let secured = tls::secure(stream, host, &url.tls).await?;
            credentials.verified = secured.verified;
            credentials.end_point = secured.end_point;
            Ok(Box::new(secured.stream))
        }
        (false, Protection::Tls) => Err(TlsError::NotOffered.into()),
        (false, Protection::Plain | Protection::TlsIfOffered) => Ok(Box::new(stream)),
    }
}

/// SSLRequest. Exactly one byte is read: what an attacker pushes behind it meets the TLS handshake
/// (CVE-2021-23222).
async fn ask_for_tls(stream: &mut TcpStream) -> Result<bool, ConnectionError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream
        .write_all(&request)
        .await
        .map_err(ConnectionError::io("TLS request"))?;
    match stream.read_u8().await {
        Ok(b'S') => Ok(true),
        Ok(b'N') => Ok(false),
        Ok(tag) => Err(ConnectionError::Unexpected {
            stage: "TLS request",
            tag,
        }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ConnectionError::Closed),
        Err(source) => Err(ConnectionError::Io {
            what: "TLS request",
            source,
        }),
    }
}

/// The first address that answers.
async fn open_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectionError> {
    let addresses = lookup_host((host, port))
        .await
        .map_err(ConnectionError::io("resolve"))?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                watch_peer(&stream).map_err(ConnectionError::io("socket options"))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectionError::Io {
        what: "connect",
        source: last,
    })
}

/// A peer that vanished without a word is noticed by the kernel.
fn watch_peer(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(PEER_TIMEOUT)
        .with_interval(PROBE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))
}
