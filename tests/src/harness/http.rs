//! One GET over HTTP/1.1, without a library.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200, 503, ...
    pub status: u16,
    /// Everything behind the head.
    pub body: String,
}

/// Asks `address` (host:port) for `path`.
///
/// # Errors
/// What the socket says, or `InvalidData` for an answer that is not HTTP.
pub fn get(address: &str, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}
