//! A blocking PostgreSQL connection for the benches: simple queries, and a replication stream.
//!
//! It is the reference that stands beside headwater, so it does as little as can be done: trust
//! authentication, text results, WAL data handed out as it came. It is not headwater's own
//! connection, on purpose: a fault there must not move both sides of a ratio.
//!
//! Source: PostgreSQL manual, "Frontend/Backend Protocol", "Streaming Replication Protocol".

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

/// Longest message that is believed; a bench has no larger rows.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Rows of a query: each column as text, or null.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// One session as the user `postgres`.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

/// Whether a session speaks SQL only or may start replication as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Queries,
    Replication,
}

impl Connection {
    pub(crate) fn open(port: u16, database: &str, purpose: Purpose) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream: BufReader::with_capacity(256 << 10, stream),
            body: Vec::new(),
        };
        connection.send_startup(database, purpose)?;
        connection.rows_until_ready()?;
        Ok(connection)
    }

    /// Runs one or more statements and returns the rows of all of them.
    pub(crate) fn query(&mut self, sql: &str) -> io::Result<Rows> {
        self.send(b'Q', &[sql.as_bytes(), b"\0"].concat())?;
        self.rows_until_ready()
    }

    /// The first column of the first row.
    pub(crate) fn value(&mut self, sql: &str) -> io::Result<String> {
        let rows = self.query(sql)?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten())
            .ok_or_else(|| invalid(format!("no value for: {sql}")))
    }

    /// Sends START_REPLICATION; from here on only [`Self::next_change`] may be called.
    pub(crate) fn start_replication(&mut self, slot: &str, publication: &str) -> io::Result<()> {
        let command = format!(
            "START_REPLICATION SLOT {slot} LOGICAL 0/0 \
             (proto_version '1', publication_names '{publication}')\0"
        );
        self.send(b'Q', command.as_bytes())?;
        match self.receive()? {
            b'W' => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Waits for the next pgoutput message and returns it without its XLogData header.
    pub(crate) fn next_change(&mut self) -> io::Result<&[u8]> {
        const XLOG_DATA_HEADER_BYTES: usize = 1 + 8 + 8 + 8;
        loop {
            let kind = self.receive()?;
            if kind != b'd' {
                return Err(unexpected(kind));
            }
            if self.body.first() == Some(&b'w') {
                break;
            }
        }
        self.body
            .get(XLOG_DATA_HEADER_BYTES..)
            .ok_or_else(|| invalid("short XLogData".to_owned()))
    }

    /// The socket, so that another thread can close it.
    pub(crate) fn socket(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
    }

    fn send_startup(&mut self, database: &str, purpose: Purpose) -> io::Result<()> {
        const PROTOCOL_3_0: u32 = 0x0003_0000;
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        let mut parameters = vec!["user", "postgres", "database", database];
        if purpose == Purpose::Replication {
            parameters.extend(["replication", "database"]);
        }
        for text in parameters {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        let length = length_with_itself(&body)?;
        self.stream
            .get_mut()
            .write_all(&[&length.to_be_bytes()[..], &body].concat())
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let length = length_with_itself(body)?;
        let message = [&[kind], &length.to_be_bytes()[..], body].concat();
        self.stream.get_mut().write_all(&message)
    }

    /// Reads one message into `self.body` and returns its kind; an ErrorResponse is an error.
    fn receive(&mut self) -> io::Result<u8> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(invalid(format!("message of {length} bytes")));
        }
        self.body.resize(length - 4, 0);
        self.stream.read_exact(&mut self.body)?;
        if kind == b'E' {
            return Err(invalid(error_text(&self.body)));
        }
        Ok(kind)
    }

    fn rows_until_ready(&mut self) -> io::Result<Rows> {
        let mut rows = Rows::new();
        loop {
            match self.receive()? {
                b'Z' => return Ok(rows),
                b'D' => rows.push(row(&self.body).ok_or_else(|| unexpected(b'D'))?),
                b'R' if self.body != [0; 4] => {
                    return Err(invalid("only trust authentication is spoken".to_owned()));
                }
                // Parameters, notices, row descriptions, completion tags: nothing to do.
                _ => {}
            }
        }
    }
}

fn length_with_itself(body: &[u8]) -> io::Result<u32> {
    u32::try_from(body.len() + 4).map_err(|_| invalid("message over 4 GiB".to_owned()))
}

/// DataRow: column count, then for each column its length (-1: null) and text.
fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            columns.push(None);
            rest = behind;
            continue;
        };
        let (text, behind) = behind.split_at_checked(length)?;
        columns.push(Some(String::from_utf8_lossy(text).into_owned()));
        rest = behind;
    }
    Some(columns)
}

/// ErrorResponse: fields of a letter and a text each; `M` is the message.
fn error_text(body: &[u8]) -> String {
    body.split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"M"))
        .map_or_else(
            || "error without message".to_owned(),
            |text| String::from_utf8_lossy(text).into_owned(),
        )
}

fn unexpected(kind: u8) -> io::Error {
    invalid(format!("unexpected message {:?}", char::from(kind)))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("postgresql: {text}"))
}
