//! Messages from the server: framing, and the few kinds that a replication client meets.
//!
//! ```text
//! tag u8 | length u32, itself included | body        (all integers big-endian)
//! ```
//!
//! Framing is our own because memory must follow the bytes that arrive, never the length that is announced:
//! [`ReceiveBuffer`] grows by what was read, and a message over the limit is refused at its header. Messages
//! to the server are built by `postgres_protocol::message::frontend`.
//! Manual: "Message Formats"; for the content of CopyData, "Streaming Replication Protocol".

use super::error::ServerError;

/// Largest message accepted before the login is complete: a server that is not ours yet gets no memory.
pub const LOGIN_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Largest message accepted afterwards. A row is below 1 GiB at the source; the margin is for its framing.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) + (64 << 20);
/// What one read from the socket asks for.
const READ_BYTES: usize = 128 * 1024;
/// An empty buffer larger than this was grown by one large message and is given back.
const IDLE_BYTES_MAX: usize = 1 << 20;
const HEADER_BYTES: usize = 5;

/// Why bytes from the server are not a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// The announced length is over the limit of this stage.
    #[error("server announced a message of {announced} bytes, limit={limit} tag={}", tag.escape_ascii())]
    TooLarge {
        /// The message's tag.
        tag: u8,
        /// Its announced length with header.
        announced: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The announced length does not even cover itself.
    #[error("server announced a message length below 4, tag={}", tag.escape_ascii())]
    TooShort {
        /// The message's tag.
        tag: u8,
    },
    /// The body does not have the layout of its tag.
    #[error("message from the server does not have the layout of its kind, tag={}", tag.escape_ascii())]
    Malformed {
        /// The message's tag.
        tag: u8,
    },
    /// No message that a client of our kind can meet.
    #[error("unknown message from the server, tag={}", tag.escape_ascii())]
    UnknownTag {
        /// The message's tag.
        tag: u8,
    },
}

/// One whole message, still in the receive buffer.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The message's tag.
    pub tag: u8,
    /// What follows the length.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes that the message takes up in the buffer.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Bytes received and not yet consumed.
#[derive(Debug)]
pub struct ReceiveBuffer {
    bytes: Vec<u8>,
    /// Bytes before it are consumed.
    start: usize,
    message_bytes_max: usize,
}

impl ReceiveBuffer {
    /// An empty buffer that refuses messages over `message_bytes_max`.
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            message_bytes_max,
        }
    }

    /// Changes the limit, once the login is complete.
    pub fn set_message_bytes_max(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Room for one read, behind what was received. Grows by a read's worth or, while a message is larger
    /// than the buffer, by doubling up to what was announced: at most twice the bytes that really arrived.
    pub fn spare(&mut self) -> &mut Vec<u8> {
        self.compact();
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 4 {
            let wanted = self
                .bytes
                .len()
                .clamp(READ_BYTES, self.missing().max(READ_BYTES));
            self.bytes.reserve_exact(wanted);
        }
        &mut self.bytes
    }

    /// Moves what is left to the front once that is less than what was consumed, so that every byte is moved
    /// at most once on average.
    fn compact(&mut self) {
        if self.start < self.pending().len() || self.start == 0 {
            return;
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > IDLE_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Appends bytes, for callers that have no socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The first message, or `None` while it is incomplete.
    ///
    /// # Errors
    /// The header announces an impossible length. The connection has to be closed.
    pub fn frame(&self) -> Result<Option<Frame<'_>>, MessageError> {
        let Some((tag, size)) = self.header()? else {
            return Ok(None);
        };
        let body = self.pending().get(HEADER_BYTES..size);
        Ok(body.map(|body| Frame { tag, body }))
    }

    /// Drops the first `size` bytes ([`Frame::size`]). What one large message made the buffer grow by is given back
    /// at once: the next read may be long in coming.
    pub fn consume(&mut self, size: usize) {
        self.start = self.bytes.len().min(self.start + size);
        let left = self.bytes.len() - self.start;
        if size > IDLE_BYTES_MAX && left <= IDLE_BYTES_MAX {
            self.bytes = self.pending().to_vec();
            self.start = 0;
        }
    }

    /// Bytes held in memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Tag and whole size of the first message, checked against the limit.
    fn header(&self) -> Result<Option<(u8, usize)>, MessageError> {
        let Some((&[tag, a, b, c, d], _)) = self.pending().split_first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 {
            return Err(MessageError::TooShort { tag });
        }
        let size = length + 1;
        if size > self.message_bytes_max {
            return Err(MessageError::TooLarge {
                tag,
                announced: size,
                limit: self.message_bytes_max,
            });
        }
        Ok(Some((tag, size)))
    }

    /// Bytes that the first message still lacks.
    fn missing(&self) -> usize {
        match self.header() {
            Ok(Some((_, size))) => size.saturating_sub(self.pending().len()),
            Ok(None) | Err(_) => 0,
        }
    }
}

/// A message that the server may send to a client of our kind.
#[derive(Debug)]
pub enum ServerMessage<'a> {
    /// A step of the login.
    Authentication(Authentication<'a>),
    /// A setting that the server reports.
    ParameterStatus {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The process id of the server process that serves us.
    BackendKeyData {
        /// Operating system process id.
        pid: i32,
    },
    /// A minor protocol version or option that the server does not know; nothing to do.
    NegotiateProtocolVersion,
    /// The server waits for the next query.
    ReadyForQuery,
    /// Columns of the rows that follow.
    RowDescription,
    /// One row, text format; iterate with [`data_row`].
    DataRow(&'a [u8]),
    /// A statement is done.
    CommandComplete,
    /// The query string was empty.
    EmptyQueryResponse,
    /// The statement, or the session, failed.
    ErrorResponse(ServerError),
    /// A warning or remark.
    NoticeResponse(ServerError),
    /// LISTEN/NOTIFY; we never listen.
    NotificationResponse,
    /// The replication stream begins.
    CopyBothResponse,
    /// A part of the replication stream.
    CopyData(&'a [u8]),
    /// The server ended its half of the replication stream.
    CopyDone,
}

/// What the server asks for, or says, during the login.
#[derive(Debug)]
pub enum Authentication<'a> {
    /// Logged in.
    Ok,
    /// The password as it is.
    CleartextPassword,
    /// The password hashed with the user name and this salt.
    Md5Password {
        /// Four random bytes.
        salt: [u8; 4],
    },
    /// SASL, with the mechanisms offered: NUL-terminated names, ended by an empty one.
    Sasl(&'a [u8]),
    /// The server's challenge.
    SaslContinue(&'a [u8]),
    /// The server's proof.
    SaslFinal(&'a [u8]),
    /// A method that we do not have (GSSAPI, SSPI and others), by its number.
    Unsupported(u32),
}

impl<'a> ServerMessage<'a> {
    /// Reads a message in place.
    ///
    /// # Errors
    /// The body does not have the layout of its tag, or the tag is none that can come.
    pub fn parse(frame: Frame<'a>) -> Result<Self, MessageError> {
        let malformed = MessageError::Malformed { tag: frame.tag };
        let body = frame.body;
        Ok(match frame.tag {
            b'R' => Self::Authentication(authentication(body).ok_or(malformed)?),
            b'S' => {
                let (name, rest) = split_nul(body).ok_or(malformed)?;
                let (value, _) =
                    split_nul(rest).ok_or(MessageError::Malformed { tag: frame.tag })?;
                Self::ParameterStatus { name, value }
            }
            b'K' => {
                let (pid, _) = body.split_first_chunk::<4>().ok_or(malformed)?;
                Self::BackendKeyData {
                    pid: i32::from_be_bytes(*pid),
                }
            }
            b'v' => Self::NegotiateProtocolVersion,
            b'Z' => Self::ReadyForQuery,
            b'T' => Self::RowDescription,
            b'D' => Self::DataRow(body),
            b'C' => Self::CommandComplete,
            b'I' => Self::EmptyQueryResponse,
            b'E' => Self::ErrorResponse(ServerError::parse(body).ok_or(malformed)?),
            b'N' => Self::NoticeResponse(ServerError::parse(body).ok_or(malformed)?),
            b'A' => Self::NotificationResponse,
            b'W' => Self::CopyBothResponse,
            b'd' => Self::CopyData(body),
            b'c' => Self::CopyDone,
            tag => return Err(MessageError::UnknownTag { tag }),
        })
    }
}

fn authentication(body: &[u8]) -> Option<Authentication<'_>> {
    let (kind, rest) = body.split_first_chunk::<4>()?;
    Some(match u32::from_be_bytes(*kind) {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => Authentication::Md5Password {
            salt: *rest.first_chunk::<4>()?,
        },
        10 => Authentication::Sasl(rest),
        11 => Authentication::SaslContinue(rest),
        12 => Authentication::SaslFinal(rest),
        other => Authentication::Unsupported(other),
    })
}

/// Splits at the first NUL, which belongs to neither part.
pub(crate) fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The columns of a DataRow, `None` for NULL. Bytes that are not UTF-8 are replaced: catalog answers only.
///
/// # Errors
/// Lengths that do not add up to the body.
pub fn data_row(body: &[u8]) -> Result<Vec<Option<String>>, MessageError> {
    parse_data_row(body).ok_or(MessageError::Malformed { tag: b'D' })
}

fn parse_data_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            columns.push(None);
            rest = behind;
            continue;
        };
        let (value, behind) = behind.split_at_checked(length)?;
        columns.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = behind;
    }
    rest.is_empty().then_some(columns)
}

/// What stands inside CopyData while a slot is streamed.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplicationMessage<'a> {
    /// `w`: one pgoutput message.
    XLogData {
        /// LSN of the message's record; for Commit the end of the transaction; 0 for Relation and Type.
        wal_start: u64,
        /// The pgoutput message.
        payload: &'a [u8],
    },
    /// `k`: the server lives, and has sent everything below `wal_end`.
    Keepalive {
        /// Up to where the server has decoded and sent.
        wal_end: u64,
        /// Whether it wants a status at once.
        reply_requested: bool,
    },
}

impl<'a> ReplicationMessage<'a> {
    /// Reads the body of a CopyData message.
    ///
    /// # Errors
    /// Neither of the two kinds, or cut short.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        parse_replication(body).ok_or(MessageError::Malformed { tag: b'd' })
    }
}

fn parse_replication(body: &[u8]) -> Option<ReplicationMessage<'_>> {
    let (kind, rest) = body.split_first()?;
    let (lsn, rest) = rest.split_first_chunk::<8>()?;
    let lsn = u64::from_be_bytes(*lsn);
    match kind {
        // Behind the start come the end (equal to the start for a logical walsender) and the send time.
        b'w' => Some(ReplicationMessage::XLogData {
            wal_start: lsn,
            payload: rest.get(16..)?,
        }),
        b'k' => {
            let reply_requested = *rest.get(8)? != 0;
            Some(ReplicationMessage::Keepalive {
                wal_end: lsn,
                reply_requested,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
