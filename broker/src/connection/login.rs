//! The part of a connection before somebody is let in: three APIs, small frames, one deadline over all of it (the
//! caller's). The thinking is in [`crate::auth::login`].

use bytes::Bytes;
use headwater_protocol::{
    frame::sasl_token_frame,
    request::{Request, RequestHeader},
    response::Response,
};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use tokio::time::{sleep, timeout};

use super::{Connection, Decoded, End, Outgoing};
use crate::{
    api,
    auth::{
        Entered, Progress,
        authorize::{Access, access},
        login::{Login, Refused, Why},
    },
    limits::REFUSAL_READ,
};

/// Somebody was let in, or not yet.
type Outcome = Option<Entered>;

impl Connection {
    /// Serves a stranger until he is let in.
    pub(super) async fn log_in(&mut self, login: &mut Login) -> Result<Entered, End> {
        loop {
            let frame = self
                .incoming
                .frame(&mut self.socket, &mut self.ending)
                .await?;
            let held = self.incoming.admit(&frame).await?;
            let outcome = if login.takes_raw_tokens() {
                self.raw_token(login, &frame).await?
            } else {
                self.stranger(login, frame).await?
            };
            drop(held);
            if let Some(entered) = outcome {
                return Ok(entered);
            }
        }
    }

    async fn stranger(&mut self, login: &mut Login, frame: Bytes) -> Result<Outcome, End> {
        let (header, request) = match self.decode(frame).await? {
            Decoded::Request(header, request) => (header, *request),
            Decoded::Answered => return Ok(None),
        };
        match access(header.api, &self.session.principal) {
            Access::Allowed => {}
            Access::Own | Access::Refused | Access::Closed => {
                return Err(End::NotLoggedIn(header.api));
            }
        }
        if let Request::SaslHandshake(request) = &request {
            return self.choose(login, &header, request).await.map(|()| None);
        }
        if let Request::SaslAuthenticate(request) = &request {
            return self.authenticate(login, &header, request).await;
        }
        let answer = self.handle(&header, request).await?;
        if let Some(response) = answer.response {
            self.reply(&header, response).await?;
        }
        Ok(None)
    }

    async fn choose(
        &mut self,
        login: &mut Login,
        header: &RequestHeader,
        request: &SaslHandshakeRequest,
    ) -> Result<(), End> {
        let chosen = login.choose(&request.mechanism, header.version);
        let response = api::sasl_handshake::answer(login.offered(), chosen);
        self.reply(header, Response::SaslHandshake(response))
            .await?;
        chosen.map_err(|not_chosen| {
            End::NoMechanism(not_chosen, crate::auth::shown(&request.mechanism))
        })
    }

    async fn authenticate(
        &mut self,
        login: &mut Login,
        header: &RequestHeader,
        request: &SaslAuthenticateRequest,
    ) -> Result<Outcome, End> {
        let progress = self.token(login, &request.auth_bytes).await?;
        let response = api::sasl_authenticate::answer(&progress);
        self.reply(header, Response::SaslAuthenticate(response))
            .await?;
        if let Progress::Refused(_) = progress {
            self.let_read_refusal().await;
        }
        outcome(progress)
    }

    /// Leaves the client time to read why it was refused. It ends this by closing, or by a request, which nobody reads.
    async fn let_read_refusal(&mut self) {
        let next = self.incoming.frame(&mut self.socket, &mut self.ending);
        let _ends_anyway = timeout(REFUSAL_READ, next).await;
    }

    /// Without header, and without words for a refusal: the connection is closed (KIP-43).
    async fn raw_token(&mut self, login: &mut Login, token: &[u8]) -> Result<Outcome, End> {
        let progress = self.token(login, token).await?;
        let answer = match &progress {
            Progress::Challenge(token) => token,
            Progress::Entered(entered) => &entered.token,
            Progress::Refused(_) => return outcome(progress),
        };
        let frame = sasl_token_frame(answer.as_bytes()).map_err(End::Frame)?;
        self.write(Outgoing::frame(frame)).await?;
        outcome(progress)
    }

    /// A refusal waits here for its delay. Whether the client is still there does not matter: its place is taken.
    async fn token(&mut self, login: &mut Login, token: &[u8]) -> Result<Progress, End> {
        let (auth, peer) = (&self.shared.auth, self.session.peer);
        let progress = auth.token(login, token, peer).await;
        if let Progress::Refused(refused) = &progress {
            self.shared.metrics.login_failed(refused.why.label());
            if refused.why == Why::Busy {
                // A client that is told so gives up; one that is cut off comes again.
                return Err(End::NoBudget("logins to be checked exceed their queue"));
            }
            sleep(auth.failed(self.shared.clock.monotonic(), peer, refused)).await;
        }
        Ok(progress)
    }
}

fn outcome(progress: Progress) -> Result<Outcome, End> {
    match progress {
        Progress::Challenge(_) => Ok(None),
        Progress::Entered(entered) => Ok(Some(entered)),
        Progress::Refused(Refused { .. }) => Err(End::LoginFailed),
    }
}
