//! The reading half: bytes become frames, and frames become admitted once there is memory for them.

use bytes::Bytes;
use headwater_protocol::{api::Api, frame::FrameDecoder};
use std::{io, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

use super::{End, ending::Ending, socket::Socket};
use crate::{
    budget::{Budget, Share},
    config::ConnectionConfig,
    limits::{DECODED_BYTES_FACTOR, DECODED_FETCH_FACTOR, REQUEST_BUDGET_WAIT, REQUEST_BYTES_FREE},
};

/// Bytes taken from the socket at once. On the stack, so that an idle connection holds no buffer.
const CHUNK_BYTES: usize = 16 << 10;

/// Pause between two looks at a budget that is used up.
const BUDGET_POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Incoming {
    decoder: FrameDecoder,
    /// For requests: that of strangers, or that of clients who were let in.
    budget: Arc<Budget>,
    /// What this connection holds of it.
    share: Share,
    idle_close: Duration,
    progress_deadline: Duration,
}

impl Incoming {
    /// For frames of at most `frame_bytes_max`, which take their memory from `budget`.
    pub(super) fn new(
        config: &ConnectionConfig,
        frame_bytes_max: usize,
        budget: &Arc<Budget>,
    ) -> Self {
        Self {
            decoder: FrameDecoder::new(frame_bytes_max),
            budget: Arc::clone(budget),
            share: budget.nothing(),
            idle_close: config.idle_close,
            progress_deadline: config.progress_deadline,
        }
    }

    /// Other limits for frames from now on. What was read ahead by the old ones stays, and is small.
    pub(super) fn go_on_with(&mut self, frame_bytes_max: usize, budget: &Arc<Budget>) {
        self.decoder.set_max(frame_bytes_max);
        self.budget = Arc::clone(budget);
        self.share = budget.nothing();
    }

    pub(super) fn buffered(&self) -> usize {
        self.decoder.buffered()
    }

    /// The next whole request. Buffers grow with the bytes that arrive, never with what is announced.
    pub(super) async fn frame(
        &mut self,
        socket: &mut Socket,
        ending: &mut Ending,
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
                end = ending.asked() => return Err(end),
                readable = timeout(patience, socket.readable()) => match readable {
                    Ok(readable) => readable.map_err(End::Io)?,
                    Err(_) if self.buffered() == 0 => return Err(End::Idle),
                    Err(_) => return Err(End::NoProgress("client stopped inside a request")),
                },
            }
            self.fill(socket)?;
        }
    }

    /// Takes what the socket has, up to a chunk.
    pub(super) fn fill(&mut self, socket: &mut Socket) -> Result<(), End> {
        let mut chunk = [0; CHUNK_BYTES];
        match socket.try_read(&mut chunk) {
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
    pub(super) async fn admit(&mut self, frame: &[u8]) -> Result<Share, End> {
        let factor = if is_fetch(frame) {
            DECODED_FETCH_FACTOR
        } else {
            DECODED_BYTES_FACTOR
        };
        self.hold(billed(frame.len()).saturating_mul(factor))
            .await?;
        let nothing = self.budget.nothing();
        Ok(std::mem::replace(&mut self.share, nothing))
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
    use headwater_protocol::limits::{REQUEST_BYTES_MAX, REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION};

    use super::*;
    use crate::limits::{REQUESTS_BYTES_MAX, STRANGERS_BYTES_MAX};

    #[test]
    fn the_largest_request_fits_its_budget() {
        assert!(billed(REQUEST_BYTES_MAX) * DECODED_BYTES_FACTOR <= REQUESTS_BYTES_MAX);
        let stranger = billed(REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION);
        assert!(stranger * DECODED_BYTES_FACTOR <= STRANGERS_BYTES_MAX);
    }

    #[test]
    fn a_fetch_is_known_by_its_first_bytes() {
        assert!(is_fetch(&[0, 1, 0, 4]));
        assert!(!is_fetch(&[0, 3, 0, 4]));
        assert!(!is_fetch(&[0]));
    }
}
