//! One client: takes its requests one at a time, in order, and writes the answers. Nothing else writes to a client's
//! socket.
//!
//! While a request is answered the socket is read ahead a little, so that a client that hangs up frees its parked
//! fetch. Every wait has an end: for a request (idle), for the rest of one and for a reader that takes nothing
//! (progress), for memory (budget), and for a login (one deadline).

mod ending;
mod incoming;
mod login;
mod outgoing;
mod socket;
mod tell;
mod tls;

use std::{io, pin::pin, sync::Arc};

use bytes::Bytes;
use headwater_protocol::{
    api::Api,
    frame::FrameError,
    limits::{REQUEST_BYTES_MAX, REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION},
    request::{self, CloseReason, DecodeError, Request, RequestHeader},
    response::{self, EncodeError, Response},
};
use tokio::{net::TcpStream, time::timeout};

use self::{ending::Ending, incoming::Incoming, outgoing::Outgoing, socket::Socket};
use crate::{
    auth::{
        Entered,
        login::{Login, NotChosen},
        places::Place,
        sessions::Member,
    },
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
    /// The group's password was changed, or the group was deleted.
    Revoked,
    /// No request for a long time.
    Idle,
    /// The client stopped inside a request, or takes nothing of its response.
    NoProgress(&'static str),
    /// The budgets for requests or unsent responses are used up by others.
    NoBudget(&'static str),
    /// The bytes are not Kafka's.
    Frame(FrameError),
    /// The TLS handshake failed: one line.
    Tls(String),
    /// Nobody logged in in time.
    NoLogin,
    /// A request that only somebody who has logged in may send.
    NotLoggedIn(Api),
    /// A mechanism that is not offered, as the client wrote it, or one at the wrong time. It was told.
    NoMechanism(NotChosen, String),
    /// A login was refused. That is told already.
    LoginFailed,
    /// The request is not one that is served.
    Request(CloseReason),
    /// Our own response could not be encoded.
    Response(EncodeError),
    /// The socket failed.
    Io(io::Error),
}

/// Serves one client until it ends, and says once why, where that is worth a line. `place` is given back when the
/// client was let in.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    session: Session,
    place: Option<Place>,
) {
    let (number, peer, protocol) = (session.number, session.peer, session.entrance.protocol);
    let end = match run(&shared, stream, session, place).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    shared.fetch_sessions.forget(number);
    tell::tell(&shared, peer, protocol, &end);
}

/// No value: a connection only ends with an [`End`].
enum Never {}

async fn run(
    shared: &Arc<Shared>,
    stream: TcpStream,
    session: Session,
    place: Option<Place>,
) -> Result<Never, End> {
    let deadline = shared.connections.login_deadline;
    // In a box, which is gone after the login: the task of an idle connection stays small.
    let entered = timeout(deadline, Box::pin(enter(shared, stream, session))).await;
    let (mut connection, member) = entered.map_err(|_| End::NoLogin)??;
    drop(place);
    let end = connection.requests().await;
    connection.socket.farewell();
    drop(member);
    end
}

/// From accept to the first request that is served: TLS handshake and login, where the listener wants them.
async fn enter(
    shared: &Arc<Shared>,
    stream: TcpStream,
    session: Session,
) -> Result<(Connection, Option<Member>), End> {
    let socket = match &session.entrance.certificate {
        None => Socket::Plain(stream),
        Some(certificate) => {
            Socket::Tls(Box::new(tls::accept(stream, certificate.current()).await?))
        }
    };
    let offered = session.entrance.mechanisms.clone();
    let mut connection = Connection::new(shared, session, socket);
    let Some(offered) = offered else {
        return Ok((connection, None));
    };
    let mut login = Login::new(offered);
    let entered = match connection.log_in(&mut login).await {
        Ok(entered) => entered,
        Err(end) => {
            connection.socket.farewell();
            return Err(end);
        }
    };
    let member = connection.let_in(entered);
    Ok((connection, member))
}

#[derive(Debug)]
struct Connection {
    shared: Arc<Shared>,
    session: Session,
    socket: Socket,
    incoming: Incoming,
    ending: Ending,
}

/// A frame.
enum Decoded {
    Request(RequestHeader, Box<Request>),
    /// It was an ApiVersions request of an unknown version, and is answered.
    Answered,
}

impl Connection {
    fn new(shared: &Arc<Shared>, session: Session, socket: Socket) -> Self {
        let (frame_bytes_max, budget) = if session.entrance.mechanisms.is_some() {
            (REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION, &shared.strangers)
        } else {
            (REQUEST_BYTES_MAX, &shared.requests)
        };
        let incoming = Incoming::new(&shared.connections, frame_bytes_max, budget);
        Self {
            shared: Arc::clone(shared),
            session,
            socket,
            incoming,
            ending: Ending::new(shared.stop.clone()),
        }
    }

    /// The limits of users from now on.
    fn let_in(&mut self, entered: Entered) -> Option<Member> {
        self.shared.metrics.login();
        self.session.principal = entered.principal;
        self.incoming
            .go_on_with(REQUEST_BYTES_MAX, &self.shared.requests);
        if let Some(member) = &entered.member {
            self.ending.also_by(member.ended());
        }
        entered.member
    }

    async fn requests(&mut self) -> Result<Never, End> {
        loop {
            let frame = self
                .incoming
                .frame(&mut self.socket, &mut self.ending)
                .await?;
            let held = self.incoming.admit(&frame).await?;
            if let Decoded::Request(header, request) = self.decode(frame).await? {
                self.answer(&header, *request, held).await?;
            }
        }
    }

    async fn decode(&mut self, frame: Bytes) -> Result<Decoded, End> {
        match request::decode(frame) {
            Ok((header, request)) => {
                self.shared.metrics.request(header.api);
                Ok(Decoded::Request(header, Box::new(request)))
            }
            Err(DecodeError::AnswerApiVersionsV0 { correlation_id }) => {
                let piece = response::api_versions_unsupported(correlation_id);
                self.write(Outgoing::frame(piece)).await?;
                Ok(Decoded::Answered)
            }
            Err(DecodeError::Close { reason }) => Err(End::Request(reason)),
        }
    }

    async fn answer(
        &mut self,
        header: &RequestHeader,
        request: Request,
        held: Share,
    ) -> Result<(), End> {
        let answer = self.handle(header, request).await?;
        drop(held);
        let Some(response) = answer.response else {
            return Ok(());
        };
        let pieces = response::encode(header, response).map_err(End::Response)?;
        self.write(Outgoing::new(pieces, answer.files, answer.held))
            .await
    }

    /// Runs the handler; meanwhile reads ahead, which notices a client that hangs up.
    async fn handle(&mut self, header: &RequestHeader, request: Request) -> Result<Answer, End> {
        let mut handler = pin!(dispatch(&self.shared, &self.session, header, request));
        loop {
            let reads_ahead = self.incoming.buffered() < READ_AHEAD_BYTES;
            tokio::select! {
                biased;
                answer = &mut handler => return Ok(answer),
                end = self.ending.revoked() => return Err(end),
                readable = self.socket.readable(), if reads_ahead => {
                    readable.map_err(End::Io)?;
                    self.incoming.fill(&mut self.socket)?;
                }
            }
        }
    }

    async fn reply(&mut self, header: &RequestHeader, response: Response) -> Result<(), End> {
        let pieces = response::encode(header, response).map_err(End::Response)?;
        self.write(Outgoing::new(pieces, Vec::new(), None)).await
    }

    async fn write(&mut self, response: Outgoing) -> Result<(), End> {
        response.write(&mut self.socket, &self.shared).await
    }
}
