//! The reading half: bytes become frames, and frames become admitted once there is memory for them.

use bytes::Bytes;
use headwater_protocol::{api::Api, frame::FrameDecoder, limits::REQUEST_BYTES_MAX};
use std::{io, time::Duration};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::End;
use crate::{
    budget::Share,
    context::Shared,
    limits::{DECODED_BYTES_FACTOR, DECODED_FETCH_FACTOR, REQUEST_BUDGET_WAIT, REQUEST_BYTES_FREE},
    stop::stopped,
};

/// Bytes taken from the socket at once. On the stack, so that an idle connection holds no buffer.
const CHUNK_BYTES: usize = 16 << 10;

/// Pause between two looks at a budget that is used up.
const BUDGET_POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Incoming {
    decoder: FrameDecoder,
    /// What this connection holds of the budget for requests.
    share: Share,
    idle_close: Duration,
    progress_deadline: Duration,
}

impl Incoming {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            decoder: FrameDecoder::new(REQUEST_BYTES_MAX),
            share: shared.requests.nothing(),
            idle_close: shared.connections.idle_close,
            progress_deadline: shared.connections.progress_deadline,
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.decoder.buffered()
    }

    /// The next whole request. Buffers grow with the bytes that arrive, never with what is announced.
    pub(super) async fn frame(
        &mut self,
        stream: &TcpStream,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Bytes, End> {
        loop {
            if let Some(frame) = self.decoder.next().map_err(End::Frame)? {
                return Ok(frame);
            }
            self.hold(billed(self.buffered())).await?;
            let patience = if self.buffered() == 0 {
                self.idle_close
            } else {
                self.progress_deadline
            };
            tokio::select! {
                biased;
                () = stopped(stop) => return Err(End::Stop),
                readable = timeout(patience, stream.readable()) => match readable {
                    Ok(readable) => readable.map_err(End::Io)?,
                    Err(_) if self.buffered() == 0 => return Err(End::Idle),
                    Err(_) => return Err(End::NoProgress("client stopped inside a request")),
                },
            }
            self.fill(stream)?;
        }
    }

    /// Takes what the socket has, up to a chunk.
    pub(super) fn fill(&mut self, stream: &TcpStream) -> Result<(), End> {
        let mut chunk = [0; CHUNK_BYTES];
        match stream.try_read(&mut chunk) {
            Ok(0) => Err(End::Peer),
            Ok(size) => {
                self.decoder.push(chunk.get(..size).unwrap_or(&chunk));
                Ok(())
            }
            // Readiness may be stale.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Waits until there is memory to decode and answer `frame`; the share is to be kept until that is done.
    pub(super) async fn admit(&mut self, shared: &Shared, frame: &[u8]) -> Result<Share, End> {
        let factor = if is_fetch(frame) {
            DECODED_FETCH_FACTOR
        } else {
            DECODED_BYTES_FACTOR
        };
        self.hold(billed(frame.len()).saturating_mul(factor))
            .await?;
        Ok(std::mem::replace(
            &mut self.share,
            shared.requests.nothing(),
        ))
    }

    async fn hold(&mut self, bytes: usize) -> Result<(), End> {
        let mut waited = Duration::ZERO;
        while !self.share.try_grow_to(bytes) {
            if waited >= REQUEST_BUDGET_WAIT {
                return Err(End::NoBudget("requests of all clients exceed their memory"));
            }
            sleep(BUDGET_POLL).await;
            waited += BUDGET_POLL;
        }
        Ok(())
    }
}

/// Small requests are not counted: the bound on connections bounds them.
fn billed(bytes: usize) -> usize {
    if bytes <= REQUEST_BYTES_FREE {
        0
    } else {
        bytes
    }
}

fn is_fetch(frame: &[u8]) -> bool {
    frame
        .first_chunk()
        .is_some_and(|key| i16::from_be_bytes(*key) == Api::Fetch.served().key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::REQUESTS_BYTES_MAX;

    #[test]
    fn the_largest_request_fits_its_budget() {
        assert!(billed(REQUEST_BYTES_MAX) * DECODED_BYTES_FACTOR <= REQUESTS_BYTES_MAX);
    }

    #[test]
    fn a_fetch_is_known_by_its_first_bytes() {
        assert!(is_fetch(&[0, 1, 0, 4]));
        assert!(!is_fetch(&[0, 3, 0, 4]));
        assert!(!is_fetch(&[0]));
    }
}
