//! One request over HTTP/1.1, without a library.

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
    request(address, ("GET", path), "", Duration::from_secs(5))
}

/// Sends a method, a path and a body of JSON, empty for none, and waits so long for each part of the answer.
///
/// # Errors
/// As [`get`].
pub fn request(
    address: &str,
    (method, path): (&str, &str),
    json: &str,
    patience: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
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
