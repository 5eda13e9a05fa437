//! What an operator may ask of a running instance, and how it reaches the log thread, which does it between two groups.

use headwater_capture::postgres::{SourceState, source::resync::ResyncFrom};
use headwater_storage::{Gap, StorageError};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::limits::{ORDER_LIMIT, ORDERS_WAITING_MAX, PAUSE_REASON_CHARS_MAX};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Pause { reason: String },
    Resume,
    Resync { from: ResyncFrom, force: bool },
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    Paused,
    Resumed,
    Resynced(Gap),
}

/// Why it was not done, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// It may not be done as things are. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// It was tried and did not work out. The instance's state says how things are.
    #[error("{0}")]
    Failed(String),
}

/// A command on its way. If nobody waits for the answer any more, it is not begun.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<Done, OrderError>>,
}

/// Gives orders to one instance.
#[derive(Debug, Clone)]
pub(crate) struct Orders(mpsc::Sender<Order>);

impl Orders {
    /// Both ends.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS_WAITING_MAX);
        (Self(orders), receiver)
    }

    /// Gives one and waits for what comes of it.
    pub(super) async fn give(&self, command: Command) -> Result<Done, OrderError> {
        let (answer, answered) = oneshot::channel();
        let busy = || OrderError::Failed("the instance is busy: try again".to_owned());
        let sent = self.0.try_send(Order { command, answer });
        sent.map_err(|_| busy())?;
        match timeout(ORDER_LIMIT, answered).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(OrderError::Failed("the broker stops".to_owned())),
            Err(_) => Err(OrderError::Failed(format!(
                "the instance did not come to it within {} s; its state says why",
                ORDER_LIMIT.as_secs()
            ))),
        }
    }
}

/// Whether a reason can stand on one line.
pub(super) fn check_reason(reason: &str) -> Result<(), OrderError> {
    if reason.chars().count() > PAUSE_REASON_CHARS_MAX || reason.chars().any(char::is_control) {
        return Err(OrderError::Refused(format!(
            "a reason is one line of at most {PAUSE_REASON_CHARS_MAX} characters"
        )));
    }
    Ok(())
}

/// Why a new beginning is needed: the state that says so, or force.
///
/// | state | without force | with force |
/// |---|---|---|
/// | needs_resync, source_misconfigured | yes | yes |
/// | running, starting, waiting_for_slot, reconnecting, source_refused, row_unreadable, record_too_large, transaction_too_large, disk_full | no: nothing is lost yet | yes |
/// | paused, stopped | no | no |
pub(super) fn why_resync(
    instance: &str,
    state: &SourceState,
    force: bool,
) -> Result<String, OrderError> {
    let refused = |why: String| Err(OrderError::Refused(why));
    match state {
        SourceState::NeedsResync { reason, .. }
        | SourceState::SourceMisconfigured { reason, .. } => Ok(reason.clone()),
        SourceState::Paused { .. } => refused(format!(
            "instance {instance} is paused: resume it first (headwater instance resume {instance})"
        )),
        SourceState::Stopped => refused(format!("instance {instance} stops")),
        SourceState::Starting
        | SourceState::WaitingForSlot { .. }
        | SourceState::Running
        | SourceState::Reconnecting { .. }
        | SourceState::SourceRefused { .. }
        | SourceState::RowUnreadable { .. }
        | SourceState::RecordTooLarge { .. }
        | SourceState::TransactionTooLarge { .. }
        | SourceState::DiskFull { .. } => {
            let name = state.name();
            if force {
                return Ok(format!("forced by an operator while {name}"));
            }
            refused(format!(
                "instance {instance} is {name} and has lost nothing: a resync would skip changes; --force does it all the \
                 same"
            ))
        }
    }
}

/// How an order ends early.
#[derive(Debug)]
pub(super) enum Halt {
    /// Told to who gave it.
    Order(OrderError),
    /// The log or the catalog: also the end of the log thread, if it is final.
    Storage(StorageError),
}

impl From<OrderError> for Halt {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str) -> SourceState {
        let (reason, fix) = ("slot lost".to_owned(), "resync".to_owned());
        match name {
            "needs_resync" => SourceState::NeedsResync { reason, fix },
            "source_misconfigured" => SourceState::SourceMisconfigured { reason, fix },
            "source_refused" => SourceState::SourceRefused { reason, fix },
            "transaction_too_large" => SourceState::TransactionTooLarge { reason, fix },
            "disk_full" => SourceState::DiskFull { reason, fix },
            "paused" => SourceState::Paused { reason, fix },
            "waiting_for_slot" => SourceState::WaitingForSlot { reason },
            "stopped" => SourceState::Stopped,
            "starting" => SourceState::Starting,
            _ => SourceState::Running,
        }
    }

    #[test]
    fn a_resync_is_for_what_is_lost_or_for_force() {
        for lost in ["needs_resync", "source_misconfigured"] {
            for force in [false, true] {
                let why = why_resync("shop", &state(lost), force);
                assert_eq!(why.as_deref(), Ok("slot lost"), "{lost}");
            }
        }
        for well in [
            "running",
            "starting",
            "waiting_for_slot",
            "source_refused",
            "transaction_too_large",
            "disk_full",
        ] {
            let refused = why_resync("shop", &state(well), false).expect_err("is well");
            assert!(refused.to_string().contains(well) && refused.to_string().contains("--force"));
            let forced = why_resync("shop", &state(well), true).expect("forced");
            assert!(forced.contains("forced"), "{forced}");
        }
        for never in ["paused", "stopped"] {
            assert!(why_resync("shop", &state(never), true).is_err(), "{never}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert!(check_reason("maintenance of größe").is_ok());
        assert!(check_reason("two\nlines").is_err());
        assert!(check_reason(&"ö".repeat(200)).is_ok());
        assert!(check_reason(&"x".repeat(201)).is_err());
    }
}
