//! What the assembler has ready goes to the log, one thing for each demand.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::group::Captured;
use crate::postgres::assembler::Assembler;

/// The assembler, and the way from it to the log. Lives as long as the source, over all connections.
pub(super) struct Handover {
    /// Made by the first session: it needs the server's identity.
    pub(super) assembler: Option<Assembler>,
    captured: mpsc::Sender<Captured>,
    demand: Arc<Notify>,
    demanded: bool,
    /// The log has asked for something since tables were last handed over.
    past_tables: bool,
}

impl Handover {
    pub(super) fn new(captured: mpsc::Sender<Captured>, demand: Arc<Notify>) -> Self {
        Self {
            assembler: None,
            captured,
            demand,
            demanded: false,
            past_tables: false,
        }
    }

    /// Whether the log has dealt with all tables that it was told of.
    pub(super) fn is_past_tables(&self) -> bool {
        self.past_tables
    }

    /// Waits until the log asks. Cancel safe.
    pub(super) async fn demanded(&mut self) {
        self.demand.notified().await;
        self.demanded = true;
    }

    /// Blocks this thread, which serves one source only, until the log asks or for `limit`. Does nothing if it has
    /// asked already.
    pub(super) fn rest(&self, limit: Duration) {
        if !self.demanded {
            thread::park_timeout(limit);
        }
    }

    /// Hands one thing over if the log has asked and there is one. Never waits.
    pub(super) fn offer(&mut self) {
        // A full channel holds the answer to a call that was cancelled; the next call takes it and asks anew.
        if !self.demanded || self.captured.capacity() == 0 {
            return;
        }
        let captured = self.assembler.as_mut().and_then(Assembler::take);
        self.past_tables = !matches!(captured, Some(Captured::Tables(_)));
        let Some(captured) = captured else {
            return;
        };
        self.demanded = false;
        // Only a receiver that is gone can refuse, and then nobody misses it.
        drop(self.captured.try_send(captured));
    }

    /// Hands over what is ready, for as long as this is polled: while there is no connection.
    pub(super) async fn serve(&mut self) -> ! {
        loop {
            self.offer();
            self.demanded().await;
        }
    }

    /// Hands over what is left, and ends.
    pub(super) async fn drain(&mut self) {
        self.offer();
        while self.assembler.as_ref().is_some_and(Assembler::has_ready) {
            self.demanded().await;
            self.offer();
        }
    }
}
