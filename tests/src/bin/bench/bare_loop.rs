//! The references for fetch: a server that does nothing but write the same bytes, from memory, or from a file by
//! pread into a small buffer that is used again and again.
//!
//! A thread a connection; per request it reads the frame, takes the fetch offset from where the
//! bench's own client puts it, and sends a Fetch v11 response header and whole batches with one
//! vectored write. No other API, no checks, no log: what is left is the price of a socket.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::Failure;
use super::batch_place::{BATCH_HEADER_BYTES, BatchPlace, batch_at, batch_index};
use super::fetch_client::{FETCH_BYTES, FetchRequest};

/// A Fetch of one topic is far shorter.
const REQUEST_BYTES_MAX: usize = 512;

/// Where the bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// The whole file is read into memory first.
    Memory,
    /// Every response is read from the file, which lies in the page cache.
    File,
}

/// The batches and where each begins.
struct Served {
    topic: String,
    bytes: Bytes,
    index: Vec<BatchPlace>,
    offset_at: usize,
}

enum Bytes {
    Memory(Vec<u8>),
    File(File),
}

/// The reference server as a process of its own, so that its CPU can be told from the client's.
#[derive(Debug)]
pub(crate) struct BareLoop {
    child: Child,
    pub(crate) port: u16,
}

impl BareLoop {
    pub(crate) fn start(batches: &Path, topic: &str, from: From) -> Result<Self, Failure> {
        let from = match from {
            From::Memory => "memory",
            From::File => "file",
        };
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare-loop")
            .arg(batches)
            .args([topic, from])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let mut bare_loop = Self { child, port: 0 };
        let port = line.trim().parse();
        bare_loop.port = port.map_err(|_| format!("the bare loop said {line:?}"))?;
        Ok(bare_loop)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Serves the batches in `file` on a free port, whose number is the one line it prints. For ever.
pub(crate) fn serve(file: &Path, topic: &str, from: From) -> io::Result<()> {
    let (bytes, index) = match from {
        From::Memory => {
            let batches = std::fs::read(file)?;
            let index = batch_index(&batches)?;
            (Bytes::Memory(batches), index)
        }
        From::File => {
            let file = File::open(file)?;
            let index = index_of_file(&file)?;
            (Bytes::File(file), index)
        }
    };
    let offset_at = FetchRequest::new(topic, std::time::Duration::ZERO).offset_at();
    let served = Arc::new(Served {
        topic: topic.to_owned(),
        bytes,
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

/// The places of a file's batches, read header by header.
fn index_of_file(file: &File) -> io::Result<Vec<BatchPlace>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut index = Vec::new();
    let mut at = 0;
    while at < length {
        let mut header = [0; BATCH_HEADER_BYTES];
        file.read_exact_at(&mut header, at as u64)?;
        let place = batch_at(&header, at, length - at)?;
        at += place.size;
        index.push(place);
    }
    Ok(index)
}

fn answer_all(mut stream: TcpStream, served: &Served) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
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
        let range = served.range_from(offset);
        let body = match &served.bytes {
            Bytes::Memory(batches) => &batches[range],
            Bytes::File(file) => {
                // Grows to the longest response once.
                buffer.resize(buffer.len().max(range.len()), 0);
                let body = &mut buffer[..range.len()];
                file.read_exact_at(body, range.start as u64)?;
                &*body
            }
        };
        write_both(&mut stream, &served.header(body.len()), body)?;
    }
}

impl Served {
    /// Whole batches from `offset` on, at most as many bytes as the client asks for.
    fn range_from(&self, offset: i64) -> std::ops::Range<usize> {
        let first = self
            .index
            .partition_point(|place| place.end_offset <= offset);
        let Some(start) = self.index.get(first).map(|place| place.at) else {
            return 0..0;
        };
        let limit = start + usize::try_from(FETCH_BYTES).unwrap_or(0);
        let end = self.index[first..]
            .iter()
            .map(|place| place.at + place.size)
            .take_while(|end| *end <= limit)
            .last()
            .unwrap_or(start);
        start..end
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
