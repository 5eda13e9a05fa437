//! Room for what is captured: waiting for it while the disk is full, and standing still where a transaction has none.

use headwater_capture::postgres::SourceState;
use headwater_storage::{Journal, StorageError};
use tokio::{runtime::Handle, time::sleep};
use tracing::{error, info, warn};

use super::{Taken, Writer};
use crate::{
    instance::{
        large::{Seen, Told, TooLarge, standstill},
        order::Order,
    },
    limits::SPACE_POLL,
    stop::stopped,
};

/// What a wait for space ended with.
pub(super) enum Waited {
    Space,
    /// Only where orders are obeyed.
    Order(Order),
    /// The open transaction.
    TooLarge(TooLarge),
    Stop,
}

/// Whether orders end a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Orders {
    Obeyed,
    /// A batch is on its way to the log.
    Later,
}

impl Writer {
    /// Waits while the disk is full, between two things that were handed over.
    pub(super) fn until_space(&mut self, runtime: &Handle) -> Result<Waited, StorageError> {
        self.wait(runtime, (Orders::Obeyed, 0))
    }

    /// Waits until the journal has the space for its next step, which adds `bytes`. Otherwise what became of the group:
    /// the broker stops, or the transaction is too large and capture stands still.
    pub(super) fn until_ready(
        &mut self,
        runtime: &Handle,
        bytes: usize,
        ready: impl Fn(&mut Journal) -> Result<(), StorageError>,
    ) -> Result<Option<Taken>, StorageError> {
        loop {
            match ready(&mut self.journal) {
                Ok(()) => {
                    self.patience.forget();
                    return Ok(None);
                }
                Err(StorageError::NoSpace(why)) => {
                    warn!(instance = self.instance, why, "no space for the log");
                    self.surroundings.space.refuse();
                }
                Err(error) => return Err(error),
            }
            match self.wait(runtime, (Orders::Later, bytes as u64))? {
                Waited::Space | Waited::Order(_) => {}
                Waited::TooLarge(why) => {
                    self.stand_still(why, runtime)?;
                    return Ok(Some(Taken::Done));
                }
                Waited::Stop => return Ok(Some(Taken::Stopping)),
            }
        }
    }

    /// Waits while the disk is full, which the instance's status tells. `bytes`: what is about to be written.
    fn wait(
        &mut self,
        runtime: &Handle,
        (orders, bytes): (Orders, u64),
    ) -> Result<Waited, StorageError> {
        let space = self.surroundings.space.clone();
        while !space.is_enough() {
            self.note_durable_end()?;
            if let Some(why) = self.look(bytes) {
                return Ok(Waited::TooLarge(why));
            }
            let mut stop = self.surroundings.stop.clone();
            let waited = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => Some(Waited::Stop),
                    Some(order) = self.orders.recv(), if orders == Orders::Obeyed => Some(Waited::Order(order)),
                    () = space.enough() => Some(Waited::Space),
                    // Then the transaction is looked at again.
                    () = sleep(SPACE_POLL) => None,
                }
            });
            if let Some(waited) = waited {
                return Ok(waited);
            }
        }
        Ok(Waited::Space)
    }

    fn look(&mut self, bytes: u64) -> Option<TooLarge> {
        let open = self.journal.open_size();
        let seen = Seen {
            transaction: open.bytes + bytes,
            gives_back: open.gives_back,
            free: self.surroundings.space.now().free,
            log: self.journal.log().stats().bytes,
        };
        let now = self.surroundings.clock.monotonic();
        self.patience.look(&self.room, seen, now)
    }

    /// Takes the open transaction back and asks for nothing more, until somebody lets it go on.
    pub(super) fn stand_still(
        &mut self,
        why: TooLarge,
        runtime: &Handle,
    ) -> Result<(), StorageError> {
        let largest = self.appended.iter().max_by_key(|(_, bytes)| **bytes);
        let catalog = self.surroundings.directory.catalog();
        let topic = largest.and_then(|(topic, _)| catalog.topic(*topic));
        let told = Told {
            instance: &self.instance,
            place: self.place.as_ref(),
            topic: topic.map(|topic| topic.name.as_str()),
            bytes: self.journal.open_size().bytes,
            records: self.records,
            is_temporary: self.source.is_temporary(),
        };
        let now = self.surroundings.clock.wall_ms();
        let stands = standstill(why, &told, now);
        let state = stands.state.clone();
        self.standstill.send_replace(Some(stands));
        self.source_ended = true;
        self.rest(runtime)?;
        let (instance, name) = (&self.instance, state.name());
        let (reason, fix) = (state.reason(), state.fix());
        error!(instance, state = name, reason, fix, "source");
        Ok(())
    }

    pub(super) fn stands_still(&self) -> bool {
        self.standstill.borrow().is_some()
    }

    /// Free bytes with which what was too large may fit.
    pub(super) fn goes_on_at(&self) -> Option<u64> {
        let standstill = self.standstill.borrow();
        standstill.as_ref().and_then(|stands| stands.goes_on_at)
    }

    /// There is more room than it had.
    pub(super) fn try_again(&mut self) -> Result<(), StorageError> {
        info!(
            instance = self.instance,
            "there is more space: capture goes on"
        );
        self.start_source()
    }

    /// The source's, unless it stands still.
    pub(super) fn state(&self) -> SourceState {
        let standstill = self.standstill.borrow();
        let stands = standstill.as_ref().map(|stands| stands.state.clone());
        stands.unwrap_or_else(|| self.source.status().borrow().state.clone())
    }
}
