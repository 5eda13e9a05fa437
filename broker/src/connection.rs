//! One client: takes its requests one at a time, in order, and writes the answers. Nothing else writes to a client's
//! socket.
//!
//! While a request is answered the socket is read ahead a little, so that a client that hangs up frees its parked
//! fetch. Every wait has an end: for a request (idle), for the rest of one and for a reader that takes nothing
//! (progress), for memory (budget).

mod incoming;
mod outgoing;

use std::{io, sync::Arc};

use bytes::Bytes;
use headwater_protocol::{
    frame::FrameError,
    request::{self, CloseReason, DecodeError, RequestHeader},
    response::{self, EncodeError},
};
use tokio::{net::TcpStream, pin, sync::watch};
use tracing::{debug, error, warn};

use self::{incoming::Incoming, outgoing::Outgoing};
use crate::{
    budget::Share,
    context::{Session, Shared},
    dispatch::{Answer, dispatch},
    limits::READ_AHEAD_BYTES,
};

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client hung up.
    Peer,
    /// The broker stops.
    Stop,
    /// No request for a long time.
    Idle,
    /// The client stopped inside a request, or takes nothing of its response.
    NoProgress(&'static str),
    /// The budgets for requests or unsent responses are used up by others.
    NoBudget(&'static str),
    /// The bytes are not Kafka's.
    Frame(FrameError),
    /// The request is not one that is served.
    Request(CloseReason),
    /// Our own response could not be encoded.
    Response(EncodeError),
    /// The socket failed.
    Io(io::Error),
}

/// Serves one client until it ends, and says once why, where that is worth a line.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, session: Session) {
    let incoming = Incoming::new(&shared);
    let stop = shared.stop.clone();
    let mut connection = Connection {
        shared,
        session,
        stream,
        incoming,
        stop,
    };
    let end = match connection.run().await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    let Connection {
        shared, session, ..
    } = &connection;
    shared.fetch_sessions.forget(session.number);
    connection.tell(&end);
}

/// No value: a connection only ends with an [`End`].
enum Never {}

#[derive(Debug)]
struct Connection {
    shared: Arc<Shared>,
    session: Session,
    stream: TcpStream,
    incoming: Incoming,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn run(&mut self) -> Result<Never, End> {
        loop {
            let frame = self.incoming.frame(&self.stream, &mut self.stop).await?;
            let held = self.incoming.admit(&self.shared, &frame).await?;
            self.answer(frame, held).await?;
        }
    }

    async fn answer(&mut self, frame: Bytes, held: Share) -> Result<(), End> {
        let (header, request) = match request::decode(frame) {
            Ok(decoded) => decoded,
            Err(DecodeError::AnswerApiVersionsV0 { correlation_id }) => {
                let piece = response::api_versions_unsupported(correlation_id);
                return self.write(vec![piece], None).await;
            }
            Err(DecodeError::Close { reason }) => return Err(End::Request(reason)),
        };
        self.shared.metrics.request(header.api);
        let answer = self.handle(&header, request).await?;
        drop(held);
        let Some(response) = answer.response else {
            return Ok(());
        };
        let pieces = response::encode(&header, response).map_err(End::Response)?;
        self.write(pieces, answer.held).await
    }

    /// Runs the handler; meanwhile reads ahead, which notices a client that hangs up.
    async fn handle(
        &mut self,
        header: &RequestHeader,
        request: request::Request,
    ) -> Result<Answer, End> {
        let handler = dispatch(&self.shared, &self.session, header.version, request);
        pin!(handler);
        loop {
            let reads_ahead = self.incoming.buffered() < READ_AHEAD_BYTES;
            tokio::select! {
                biased;
                answer = &mut handler => return Ok(answer),
                readable = self.stream.readable(), if reads_ahead => {
                    readable.map_err(End::Io)?;
                    self.incoming.fill(&self.stream)?;
                }
            }
        }
    }

    async fn write(&self, pieces: Vec<Bytes>, held: Option<Share>) -> Result<(), End> {
        Outgoing::new(pieces, held)
            .write(&self.stream, &self.shared)
            .await
    }

    /// A client that goes is nobody's business; one that is refused is told in the log, since it cannot be told
    /// otherwise and may come again and again.
    fn tell(&self, end: &End) {
        let peer = self.session.peer;
        match end {
            End::Peer | End::Stop => debug!(%peer, "connection ended"),
            End::Idle => debug!(%peer, "connection closed: idle"),
            End::Io(error) => debug!(%peer, %error, "connection lost"),
            End::Response(error) => {
                error!(%peer, %error, "connection closed: response cannot be encoded");
            }
            End::NoProgress(what) | End::NoBudget(what) => self.refuse("dropped", what),
            End::Frame(error) => self.refuse("refused", &hint(*error)),
            End::Request(reason) => self.refuse("refused", &reason.to_string()),
        }
    }

    fn refuse(&self, verb: &str, reason: &str) {
        self.shared.metrics.refused();
        let peer = self.session.peer;
        let Some(unsaid) = self.shared.refusals.admit(self.shared.clock.monotonic()) else {
            return;
        };
        warn!(%peer, reason, unsaid, "connection {verb}");
    }
}

/// What to say to the operator, whose client is probably configured for something else.
fn hint(error: FrameError) -> String {
    match error {
        FrameError::Tls => {
            format!("{error}: set security.protocol=PLAINTEXT in the client")
        }
        FrameError::Http => {
            format!("{error}: this port speaks Kafka; HTTP is on the address of [http] listen")
        }
        FrameError::Negative(_) | FrameError::TooLarge { .. } => error.to_string(),
    }
}
