//! The writing half: one response as a list of pieces, in one vectored write if the socket takes it, and what is in files
//! straight from there.

use std::{collections::VecDeque, io, io::IoSlice};

use bytes::{Buf, Bytes};
use headwater_protocol::response::Piece;
use headwater_storage::WARMED_BYTES;
use tokio::{
    task::{spawn_blocking, yield_now},
    time::timeout,
};

use super::{End, socket::Socket};
use crate::{
    api::fetch::FilePart,
    budget::Share,
    context::Shared,
    limits::{COOLS_AFTER, REQUEST_BYTES_FREE, WRITE_BYTES_MAX, WRITE_SLICES_MAX},
};

#[derive(Debug)]
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// What is elsewhere.
    files: Vec<FilePart>,
    /// Of the piece in front, if it is in a file: how much is sent, and how much of it was in memory.
    sent: usize,
    warm_to: usize,
    /// This response's part of the budget for unsent bytes; given back when it is sent.
    held: Option<Share>,
}

impl Outgoing {
    pub(super) fn new(pieces: Vec<Piece>, files: Vec<FilePart>, held: Option<Share>) -> Self {
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| piece.size() > 0);
        Self {
            pieces,
            files,
            sent: 0,
            warm_to: WARMED_BYTES,
            held,
        }
    }

    /// One frame that is whole.
    pub(super) fn frame(frame: Bytes) -> Self {
        Self::new(vec![Piece::Memory(frame)], Vec::new(), None)
    }

    /// Writes all of it. A client that takes nothing for the progress deadline is dropped; one that takes little is
    /// not, it costs only what it holds.
    pub(super) async fn write(mut self, socket: &mut Socket, shared: &Shared) -> Result<(), End> {
        loop {
            let written = self.pieces.is_empty();
            let tried = match self.pieces.front() {
                None => socket.try_flush(),
                Some(Piece::Memory(_)) => self.write_some(socket),
                Some(&Piece::Elsewhere { number, length }) => {
                    self.warm(number, length).await;
                    self.send_some(socket, number, length)
                }
            };
            match tried {
                Ok(()) if written => return Ok(()),
                Ok(()) if self.pieces.is_empty() => {}
                Ok(()) => yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.hold(shared)?;
                    self.writable(socket, shared).await?;
                }
                Err(error) => return Err(End::Io(error)),
            }
        }
    }

    fn write_some(&mut self, socket: &mut Socket) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let (count, more) = fill(&mut slices, &self.pieces);
        let slices = slices.get(..count).unwrap_or(&slices);
        let written = socket.try_write(slices, more)?;
        self.advance(written);
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(Piece::Memory(piece)) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// What is sent next is in memory then: nobody waits for the disk on this thread.
    async fn warm(&mut self, number: usize, length: usize) {
        if self.sent < self.warm_to {
            return;
        }
        let Some(part) = self.files.get(number) else {
            return;
        };
        let (file, range) = (
            part.range.clone(),
            self.sent..length.min(self.sent + WARMED_BYTES),
        );
        self.warm_to = range.end;
        // One that fails is noticed when it is sent.
        let _warmed = spawn_blocking(move || file.warm(range)).await;
    }

    fn send_some(&mut self, socket: &Socket, number: usize, length: usize) -> io::Result<()> {
        let missing = || io::Error::other("a part of the response is missing");
        let part = self.files.get(number).ok_or_else(missing)?;
        let to = length.min(self.warm_to).min(self.sent + WRITE_BYTES_MAX);
        match socket.try_send(&part.range, self.sent..to) {
            Ok(sent) => self.sent += sent,
            Err(error) => {
                if !is_sockets(&error) {
                    part.log.distrust(&part.range);
                }
                return Err(error);
            }
        }
        if self.sent >= length {
            self.pieces.pop_front();
            (self.sent, self.warm_to) = (0, WARMED_BYTES);
        }
        Ok(())
    }

    /// A response that has to wait counts as unsent bytes, if its handler has not counted it.
    fn hold(&mut self, shared: &Shared) -> Result<(), End> {
        let unsent: usize = self.pieces.iter().map(memory).sum();
        if self.held.is_some() || unsent <= REQUEST_BYTES_FREE {
            return Ok(());
        }
        let mut share = shared.responses.nothing();
        if !share.try_grow_to(unsent) {
            return Err(End::NoBudget(
                "unsent responses of all clients exceed their memory",
            ));
        }
        self.held = Some(share);
        Ok(())
    }

    /// Waits for the socket.
    async fn writable(&mut self, socket: &Socket, shared: &Shared) -> Result<(), End> {
        let deadline = shared.connections.progress_deadline;
        let soon = deadline.min(COOLS_AFTER);
        let ready = match timeout(soon, socket.writable()).await {
            Ok(ready) => Ok(ready),
            Err(_) => {
                self.warm_to = self.warm_to.min(self.sent);
                timeout(deadline.saturating_sub(soon), socket.writable()).await
            }
        };
        match ready {
            Ok(writable) => writable.map_err(End::Io),
            Err(_) => Err(End::NoProgress("client takes nothing of its response")),
        }
    }
}

/// Bytes that the piece holds.
fn memory(piece: &Piece) -> usize {
    match piece {
        Piece::Memory(bytes) => bytes.len(),
        Piece::Elsewhere { .. } => 0,
    }
}

/// Whether it is the client, and not the disk, that failed.
fn is_sockets(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        WouldBlock | BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut
    )
}

/// Fills `slices` with the next [`WRITE_BYTES_MAX`] at most, up to what is in a file; says how many there are, and
/// whether a file comes behind them.
fn fill<'a>(slices: &mut [IoSlice<'a>], pieces: &'a VecDeque<Piece>) -> (usize, bool) {
    let mut room = WRITE_BYTES_MAX;
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        let Piece::Memory(piece) = piece else {
            return (count, true);
        };
        if room == 0 {
            break;
        }
        let part = piece.get(..room).unwrap_or(piece);
        *slice = IoSlice::new(part);
        room -= part.len();
        count += 1;
    }
    (count, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(sizes: &[usize]) -> Outgoing {
        let pieces = sizes
            .iter()
            .map(|size| Piece::Memory(Bytes::from(vec![7; *size])))
            .collect();
        Outgoing::new(pieces, Vec::new(), None)
    }

    #[test]
    fn one_call_carries_its_limit_at_most_and_cuts_the_last_piece() {
        let out = outgoing(&[100, 0, WRITE_BYTES_MAX, 100]);
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let (count, _) = fill(&mut slices, &out.pieces);
        let sizes: Vec<usize> = slices[..count].iter().map(|slice| slice.len()).collect();
        assert_eq!(sizes, [100, WRITE_BYTES_MAX - 100]);
    }

    #[test]
    fn one_call_carries_no_more_slices_than_the_system_takes() {
        let out = outgoing(&vec![1; 2000]);
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        assert_eq!(fill(&mut slices, &out.pieces), (WRITE_SLICES_MAX, false));
    }

    #[test]
    fn what_was_written_is_never_written_again() {
        let mut out = outgoing(&[3, 5, 2]);
        out.advance(4);
        let left: Vec<usize> = out.pieces.iter().map(Piece::size).collect();
        assert_eq!(left, [4, 2]);
        out.advance(6);
        assert!(out.pieces.is_empty());
    }
}
