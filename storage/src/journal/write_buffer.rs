//! Frames that wait to be written together.

use std::io;

use bytes::Bytes;

use crate::{disk::SegmentFile, frame::HEADER_BYTES};

/// The most that fills a frame up to [`ALIGNMENT`](crate::frame::ALIGNMENT).
const FILLING: [u8; 8] = [0; 8];

/// Frames that follow each other in a file, shared with the ring rather than copied.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer {
    frames: Vec<([u8; HEADER_BYTES], Bytes)>,
    bytes: usize,
}

impl WriteBuffer {
    pub(super) fn push(&mut self, header: [u8; HEADER_BYTES], body: Bytes) {
        self.bytes += HEADER_BYTES + body.len() + filling(&body).len();
        self.frames.push((header, body));
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Writes everything from `position` on, in one call, and leaves the buffer empty.
    pub(super) fn write(&mut self, file: &dyn SegmentFile, position: u64) -> io::Result<()> {
        let mut slices: Vec<&[u8]> = Vec::with_capacity(3 * self.frames.len());
        for (header, body) in &self.frames {
            slices.extend([header.as_slice(), body, filling(body)]);
        }
        slices.retain(|slice| !slice.is_empty());
        file.write_at(position, &slices)?;
        self.clear();
        Ok(())
    }
}

/// The zeros behind a body.
fn filling(body: &[u8]) -> &'static [u8] {
    let count = body.len().next_multiple_of(FILLING.len()) - body.len();
    FILLING.get(..count).unwrap_or(&FILLING)
}
