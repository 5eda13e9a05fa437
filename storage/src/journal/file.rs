//! The file that is written: frames pushed behind each other, the footer at its end.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;

use super::write_buffer::WriteBuffer;
use crate::{
    disk::SegmentFile,
    frame::{FrameHeader, Kind},
    index::FileIndex,
    recycled::Head,
};

/// An open journal file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) number: u64,
    pub(crate) salt: u32,
    pub(crate) head: Head,
    pub(crate) handle: Arc<dyn SegmentFile>,
    /// Bytes that frames and footer may fill.
    pub(crate) length: u64,
    /// Position behind the last frame, buffered ones included.
    pub(crate) end: u64,
    /// Committed frames.
    pub(crate) index: FileIndex,
    /// When it was opened.
    pub(crate) opened: Duration,
    buffer: WriteBuffer,
}

impl OpenFile {
    pub(crate) fn new(
        number: u64,
        (head, salt): (Head, u32),
        handle: Arc<dyn SegmentFile>,
        length: u64,
        opened: Duration,
    ) -> Self {
        Self {
            number,
            salt,
            head,
            handle,
            length,
            end: head.first,
            index: FileIndex::default(),
            opened,
            buffer: WriteBuffer::default(),
        }
    }

    /// Takes what the file has, and sees to it that its footer fits: a file of its own length may end too early.
    pub(super) fn fit(&mut self, index: FileIndex) {
        self.length = self.length.max(self.end + index.footer_bytes(0));
        self.index = index;
    }

    /// Puts a frame behind the others, in memory. The caller has made room. Gives its place, and the header with
    /// length and checksum.
    pub(super) fn push(&mut self, mut header: FrameHeader, body: Bytes) -> (u64, FrameHeader) {
        let bytes = header.seal(&body);
        self.buffer.push(bytes, body);
        let position = self.end;
        self.end += header.frame_bytes();
        (position, header)
    }

    /// Bytes pushed and not yet written.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.bytes()
    }

    /// Position behind the last byte written.
    pub(super) fn written(&self) -> u64 {
        self.end - self.buffer.bytes() as u64
    }

    /// Writes what was pushed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let position = self.written();
        if self.buffer.bytes() > 0 {
            self.buffer.write(self.handle.as_ref(), position)?;
        }
        Ok(())
    }

    /// Forgets what is behind `end`, in memory.
    pub(super) fn cut(&mut self, end: u64) {
        self.buffer.clear();
        self.end = end;
    }

    /// Writes the footer for `index` at the end of the file. Everything pushed is written.
    pub(super) fn write_footer(
        &self,
        index: &FileIndex,
        last_group: u64,
        open_group: u64,
    ) -> io::Result<()> {
        let position = self.footer_position(index);
        let body = index.footer(self.end, open_group, position);
        let mut header = FrameHeader::new(Kind::Footer, self.number, self.salt, last_group);
        index.mark_head(&mut header, &body);
        let header = header.seal(&body);
        self.handle.write_at(position, &[&header, &body])
    }

    /// Where the footer for `index` begins.
    pub(super) fn footer_position(&self, index: &FileIndex) -> u64 {
        self.length - index.footer_bytes(0)
    }
}
