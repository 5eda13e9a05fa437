//! The reference for fetch: a server that does nothing but write the same bytes from memory.
//!
//! A thread a connection; per request it reads the frame, takes the fetch offset from where the
//! bench's own client puts it, and sends a Fetch v11 response header and whole batches with one
//! vectored write. No other API, no checks, no log: what is left is the price of a socket.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use super::fetch_client::{BatchPlace, FETCH_BYTES, FetchRequest, batch_index};

/// A Fetch of one topic is far shorter.
const REQUEST_BYTES_MAX: usize = 512;

/// Batches in memory and where each begins.
struct Served {
    topic: String,
    batches: Vec<u8>,
    index: Vec<BatchPlace>,
    offset_at: usize,
}

/// Serves the batches in `file` on a free port, whose number is the one line it prints. For ever.
pub(crate) fn serve(file: &Path, topic: &str) -> io::Result<()> {
    let batches = std::fs::read(file)?;
    let index = batch_index(&batches)?;
    let offset_at = FetchRequest::new(topic, std::time::Duration::ZERO).offset_at();
    let served = Arc::new(Served {
        topic: topic.to_owned(),
        batches,
        index,
        offset_at,
    });
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let served = Arc::clone(&served);
        let stream = stream?;
        std::thread::spawn(move || {
            // The client hanging up is how a connection ends.
            let _ended = answer_all(stream, &served);
        });
    }
    Ok(())
}

fn answer_all(mut stream: TcpStream, served: &Served) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut request = [0; 4 + REQUEST_BYTES_MAX];
        let (length, rest) = request.split_at_mut(4);
        stream.read_exact(length)?;
        let length = length
            .first_chunk()
            .map_or(0, |size| u32::from_be_bytes(*size));
        stream.read_exact(&mut rest[..REQUEST_BYTES_MAX.min(length as usize)])?;
        let offset = request
            .get(served.offset_at..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |offset| i64::from_be_bytes(*offset));
        let body = served.batches_from(offset);
        write_both(&mut stream, &served.header(body.len()), body)?;
    }
}

impl Served {
    /// Whole batches from `offset` on, at most as many bytes as the client asks for.
    fn batches_from(&self, offset: i64) -> &[u8] {
        let first = self
            .index
            .partition_point(|place| place.end_offset <= offset);
        let Some(start) = self.index.get(first).map(|place| place.at) else {
            return &[];
        };
        let limit = start + usize::try_from(FETCH_BYTES).unwrap_or(0);
        let end = self.index[first..]
            .iter()
            .map(|place| place.at + place.size)
            .take_while(|end| *end <= limit)
            .last()
            .unwrap_or(start);
        &self.batches[start..end]
    }

    fn header(&self, body_bytes: usize) -> Vec<u8> {
        let end = self.index.last().map_or(0, |place| place.end_offset);
        let start = self.index.first().map_or(0, |place| place.base_offset);
        let name_bytes = u16::try_from(self.topic.len()).unwrap_or(0);
        let body_bytes = u32::try_from(body_bytes).unwrap_or(0);
        let mut header = vec![0; 4];
        // Correlation id, throttle time, error code, session id, one topic.
        header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        header.extend(name_bytes.to_be_bytes());
        header.extend(self.topic.as_bytes());
        // One partition, its index, its error code.
        header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for offset in [end, end, start] {
            header.extend(offset.to_be_bytes());
        }
        // No aborted transactions, no preferred replica.
        header.extend([0xff; 8]);
        header.extend(body_bytes.to_be_bytes());
        let length = u32::try_from(header.len() - 4).unwrap_or(0) + body_bytes;
        header[..4].copy_from_slice(&length.to_be_bytes());
        header
    }
}

fn write_both(stream: &mut TcpStream, mut header: &[u8], mut body: &[u8]) -> io::Result<()> {
    while !header.is_empty() || !body.is_empty() {
        let written = stream.write_vectored(&[IoSlice::new(header), IoSlice::new(body)])?;
        let of_header = written.min(header.len());
        header = &header[of_header..];
        body = &body[written - of_header..];
    }
    Ok(())
}
