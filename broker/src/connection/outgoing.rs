//! The writing half: one response as a list of pieces, in one vectored write if the socket takes it.

use std::{collections::VecDeque, io, io::IoSlice};

use bytes::{Buf, Bytes};
use tokio::{task::yield_now, time::timeout};

use super::{End, socket::Socket};
use crate::{
    budget::Share,
    context::Shared,
    limits::{REQUEST_BYTES_FREE, WRITE_BYTES_MAX, WRITE_SLICES_MAX},
};

#[derive(Debug)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    /// This response's part of the budget for unsent bytes; given back when it is sent.
    held: Option<Share>,
}

impl Outgoing {
    pub(super) fn new(pieces: Vec<Bytes>, held: Option<Share>) -> Self {
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| !piece.is_empty());
        Self { pieces, held }
    }

    /// Writes all of it. A client that takes nothing for the progress deadline is dropped; one that takes little is
    /// not, it costs only what it holds.
    pub(super) async fn write(mut self, socket: &mut Socket, shared: &Shared) -> Result<(), End> {
        loop {
            let written = self.pieces.is_empty();
            let tried = if written {
                socket.try_flush()
            } else {
                self.write_some(socket)
            };
            match tried {
                Ok(()) if written => return Ok(()),
                Ok(()) if self.pieces.is_empty() => {}
                Ok(()) => yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.hold(shared)?;
                    writable(socket, shared).await?;
                }
                Err(error) => return Err(End::Io(error)),
            }
        }
    }

    fn write_some(&mut self, socket: &mut Socket) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let count = fill(&mut slices, &self.pieces);
        let written = socket.try_write(slices.get(..count).unwrap_or(&slices))?;
        self.advance(written);
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// A response that has to wait counts as unsent bytes, if its handler has not counted it.
    fn hold(&mut self, shared: &Shared) -> Result<(), End> {
        let unsent: usize = self.pieces.iter().map(Bytes::len).sum();
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
}

async fn writable(socket: &Socket, shared: &Shared) -> Result<(), End> {
    match timeout(shared.connections.progress_deadline, socket.writable()).await {
        Ok(writable) => writable.map_err(End::Io),
        Err(_) => Err(End::NoProgress("client takes nothing of its response")),
    }
}

/// Fills `slices` with the next [`WRITE_BYTES_MAX`] at most; says how many there are.
fn fill<'a>(slices: &mut [IoSlice<'a>], pieces: &'a VecDeque<Bytes>) -> usize {
    let mut room = WRITE_BYTES_MAX;
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        if room == 0 {
            break;
        }
        let part = piece.get(..room).unwrap_or(piece);
        *slice = IoSlice::new(part);
        room -= part.len();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(sizes: &[usize]) -> Outgoing {
        let pieces = sizes
            .iter()
            .map(|size| Bytes::from(vec![7; *size]))
            .collect();
        Outgoing::new(pieces, None)
    }

    #[test]
    fn one_call_carries_its_limit_at_most_and_cuts_the_last_piece() {
        let out = outgoing(&[100, 0, WRITE_BYTES_MAX, 100]);
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let count = fill(&mut slices, &out.pieces);
        let sizes: Vec<usize> = slices[..count].iter().map(|slice| slice.len()).collect();
        assert_eq!(sizes, [100, WRITE_BYTES_MAX - 100]);
    }

    #[test]
    fn one_call_carries_no_more_slices_than_the_system_takes() {
        let out = outgoing(&vec![1; 2000]);
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        assert_eq!(fill(&mut slices, &out.pieces), WRITE_SLICES_MAX);
    }

    #[test]
    fn what_was_written_is_never_written_again() {
        let mut out = outgoing(&[3, 5, 2]);
        out.advance(4);
        let left: Vec<usize> = out.pieces.iter().map(Bytes::len).collect();
        assert_eq!(left, [4, 2]);
        out.advance(6);
        assert!(out.pieces.is_empty());
    }
}
