//! The line about a connection that ended: none where a client goes as clients do; one in the log, where it was
//! refused, since often it cannot be told otherwise, and may come again and again.

use std::net::SocketAddr;

use headwater_protocol::frame::FrameError;
use tracing::{debug, error, warn};

use super::End;
use crate::{auth::login::NotChosen, context::Shared};

/// `protocol` is what clients of the listener must be set to.
pub(super) fn tell(shared: &Shared, peer: SocketAddr, protocol: &str, end: &End) {
    match end {
        End::Peer | End::Stop => debug!(%peer, "connection ended"),
        End::Revoked => debug!(%peer, "connection closed: the group's password was changed"),
        End::Idle => debug!(%peer, "connection closed: idle"),
        End::Io(error) => debug!(%peer, %error, "connection lost"),
        End::LoginFailed => {
            shared.metrics.refused();
            debug!(%peer, "connection closed: login refused");
        }
        End::Response(error) => {
            error!(%peer, %error, "connection closed: response cannot be encoded");
        }
        End::NoProgress(what) | End::NoBudget(what) => refuse(shared, peer, "dropped", what),
        End::Frame(error) => refuse(shared, peer, "refused", &hint(*error, protocol)),
        End::Tls(line) => refuse(shared, peer, "refused", &format!("{line} ({protocol})")),
        End::NoLogin => {
            if protocol.starts_with("SASL") {
                shared.metrics.login_failed("deadline");
            }
            let line = "no login within kafka.login_deadline";
            refuse(shared, peer, "dropped", line);
        }
        End::NotLoggedIn(api) => {
            shared.metrics.login_failed("none");
            let line = format!(
                "{} before a login: set security.protocol={protocol} and sasl.mechanism in the client",
                api.name()
            );
            refuse(shared, peer, "refused", &line);
        }
        End::NoMechanism(why, mechanism) => {
            shared.metrics.login_failed("mechanism");
            refuse(shared, peer, "refused", &no_mechanism(*why, mechanism));
        }
        End::Request(reason) => refuse(shared, peer, "refused", &reason.to_string()),
    }
}

fn refuse(shared: &Shared, peer: SocketAddr, verb: &str, reason: &str) {
    shared.metrics.refused();
    let Some(unsaid) = shared.refusals.admit(shared.clock.monotonic()) else {
        return;
    };
    warn!(%peer, reason, unsaid, "connection {verb}");
}

/// What to say to the operator, whose client is probably configured for something else.
fn hint(error: FrameError, protocol: &str) -> String {
    match error {
        FrameError::Tls => {
            format!("{error}: set security.protocol={protocol} in the client")
        }
        FrameError::Http => {
            format!("{error}: this port speaks Kafka; HTTP is on the address of [http] listen")
        }
        FrameError::Negative(_) | FrameError::TooLarge { .. } => error.to_string(),
    }
}

fn no_mechanism(why: NotChosen, mechanism: &str) -> String {
    match why {
        NotChosen::Unsupported => {
            format!("SASL mechanism {mechanism} is not offered by this listener")
        }
        NotChosen::IllegalState => "SaslHandshake at the wrong time".to_owned(),
    }
}
