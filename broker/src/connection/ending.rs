//! What ends a connection from outside: the broker stops, or its group's password was changed.

use std::future::pending;

use tokio::sync::watch;

use super::End;
use crate::stop::stopped;

/// Who may say so.
#[derive(Debug)]
pub(super) struct Ending {
    stop: watch::Receiver<bool>,
    /// Of the group that logged in.
    session: Option<watch::Receiver<bool>>,
}

impl Ending {
    pub(super) fn new(stop: watch::Receiver<bool>) -> Self {
        Self {
            stop,
            session: None,
        }
    }

    /// From now on `session` says so too.
    pub(super) fn also_by(&mut self, session: watch::Receiver<bool>) {
        self.session = Some(session);
    }

    /// Returns when one of them does, and which. Cancel safe.
    pub(super) async fn asked(&mut self) -> End {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => End::Stop,
            () = ended(self.session.as_mut()) => End::Revoked,
        }
    }

    /// Returns when the group's sessions end. At a stop a request is still answered. Cancel safe.
    pub(super) async fn revoked(&mut self) -> End {
        ended(self.session.as_mut()).await;
        End::Revoked
    }
}

async fn ended(session: Option<&mut watch::Receiver<bool>>) {
    match session {
        None => pending().await,
        // Nobody who could say so is no reason to end.
        Some(session) => match session.wait_for(|ended| *ended).await.map(drop) {
            Ok(()) => {}
            Err(_) => pending().await,
        },
    }
}
