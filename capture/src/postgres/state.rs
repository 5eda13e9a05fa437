//! The states of a source, and which one follows a failure. Pure.
//!
//! | failure | has run before, or later ones are not final | at the first attempt, if that is final |
//! |---|---|---|
//! | retry | `reconnecting`, back-off | the same |
//! | refused, misconfigured | that state, tried again slowly: a person may mend it | that state, ended |
//! | needs resync | `needs_resync`, ended | the same |
//! | row unreadable | `row_unreadable`, tried again slowly | the same |
//! | record too large | `record_too_large`, ended: only another configuration helps | the same |

use std::time::Duration;

use super::backoff::Backoff;
use super::error::{Failure, FailureClass};

/// What a source is doing, or why it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceState {
    /// Connecting for the first time.
    Starting,
    /// The server makes our slot as soon as older transactions have ended.
    WaitingForSlot {
        /// Which ones.
        reason: String,
    },
    /// Changes are read.
    Running,
    /// The connection is lost or cannot be made; another attempt follows.
    Reconnecting {
        /// What happened.
        reason: String,
        /// Attempts since the connection was lost.
        attempt: u32,
        /// Delay before the next one, in milliseconds, counted from `SourceStatus::since_ms`.
        retry_in_ms: u64,
    },
    /// Changes are lost for good; the operator has to decide from where to go on.
    NeedsResync {
        /// What was lost and how.
        reason: String,
        /// The command to give.
        fix: String,
    },
    /// The server, or our configuration, must be changed.
    SourceMisconfigured {
        /// What is wrong.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// Login or privilege refused.
    SourceRefused {
        /// What was refused.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// A row can be read in no form: neither as text nor in binary form.
    RowUnreadable {
        /// Table, column, position, and why.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// A record is over `record_bytes_max`, and `oversize` is `stop`.
    RecordTooLarge {
        /// Table, position and size.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// A transaction does not fit: not the disk, or not what the log may hold. Nothing of it is kept. Only the owner of
    /// the log can tell, so it is never a source's own state.
    TransactionTooLarge {
        /// Where it commits, its largest topic, its size so far, and what it does not fit.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// There is no space for what would be captured: nothing is asked of the source until there is. Only the owner of
    /// the log can tell, so it is never a source's own state.
    DiskFull {
        /// How much is free, and how much the source holds meanwhile.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// An operator said so. Only the owner of the catalog can tell, so it is never a source's own state.
    Paused {
        /// Why, and what the source keeps meanwhile.
        reason: String,
        /// The command that ends it.
        fix: String,
    },
    /// Ended on request.
    Stopped,
}

impl SourceState {
    /// The state's name in status, metrics and the API. Never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WaitingForSlot { .. } => "waiting_for_slot",
            Self::Running => "running",
            Self::Reconnecting { .. } => "reconnecting",
            Self::NeedsResync { .. } => "needs_resync",
            Self::SourceMisconfigured { .. } => "source_misconfigured",
            Self::SourceRefused { .. } => "source_refused",
            Self::RowUnreadable { .. } => "row_unreadable",
            Self::RecordTooLarge { .. } => "record_too_large",
            Self::TransactionTooLarge { .. } => "transaction_too_large",
            Self::DiskFull { .. } => "disk_full",
            Self::Paused { .. } => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// Why the source is not running, if there is a reason to tell.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::WaitingForSlot { reason }
            | Self::Reconnecting { reason, .. }
            | Self::NeedsResync { reason, .. }
            | Self::SourceMisconfigured { reason, .. }
            | Self::SourceRefused { reason, .. }
            | Self::RowUnreadable { reason, .. }
            | Self::RecordTooLarge { reason, .. }
            | Self::TransactionTooLarge { reason, .. }
            | Self::DiskFull { reason, .. }
            | Self::Paused { reason, .. } => Some(reason),
            Self::Starting | Self::Running | Self::Stopped => None,
        }
    }

    /// What a person can do about it; not empty.
    pub fn fix(&self) -> Option<&str> {
        match self {
            Self::NeedsResync { fix, .. }
            | Self::SourceMisconfigured { fix, .. }
            | Self::SourceRefused { fix, .. }
            | Self::RowUnreadable { fix, .. }
            | Self::RecordTooLarge { fix, .. }
            | Self::TransactionTooLarge { fix, .. }
            | Self::DiskFull { fix, .. }
            | Self::Paused { fix, .. } => Some(fix.as_str()).filter(|fix| !fix.is_empty()),
            Self::Starting
            | Self::WaitingForSlot { .. }
            | Self::Running
            | Self::Reconnecting { .. }
            | Self::Stopped => None,
        }
    }
}

/// What follows a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Capture is over.
    End(SourceState),
    /// Another attempt after the delay.
    Retry(SourceState, Duration),
}

/// Chooses the state after a failure. `final_at_once`: it happened before anything was captured, and the
/// configuration says that such a failure ends the source.
pub(crate) fn after_failure(failure: Failure, final_at_once: bool, backoff: &mut Backoff) -> Next {
    let Failure { class, reason, fix } = failure;
    let state = match class {
        FailureClass::Retry | FailureClass::RowTooLargeToSend => {
            let delay = backoff.next_delay();
            let reason = if fix.is_empty() {
                reason
            } else {
                format!("{reason}; {fix}")
            };
            let attempt = backoff.attempt();
            let retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            return Next::Retry(
                SourceState::Reconnecting {
                    reason,
                    attempt,
                    retry_in_ms,
                },
                delay,
            );
        }
        FailureClass::NeedsResync => return Next::End(SourceState::NeedsResync { reason, fix }),
        FailureClass::RecordTooLarge => {
            return Next::End(SourceState::RecordTooLarge { reason, fix });
        }
        FailureClass::RowUnreadable => {
            let state = SourceState::RowUnreadable { reason, fix };
            return Next::Retry(state, backoff.slow_delay());
        }
        FailureClass::Misconfigured => SourceState::SourceMisconfigured { reason, fix },
        FailureClass::Refused => SourceState::SourceRefused { reason, fix },
    };
    if final_at_once {
        Next::End(state)
    } else {
        Next::Retry(state, backoff.slow_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: FailureClass) -> Failure {
        Failure {
            class,
            reason: "reason".into(),
            fix: "fix".into(),
        }
    }

    #[test]
    fn every_cell_of_the_table_holds() {
        for final_at_once in [true, false] {
            let next = |class| after_failure(failure(class), final_at_once, &mut Backoff::new(1));
            let retried = |class, name| match next(class) {
                Next::Retry(state, delay) => state.name() == name && !delay.is_zero(),
                Next::End(_) => false,
            };
            let ended = |class, name| match next(class) {
                Next::End(state) => state.name() == name && state.fix() == Some("fix"),
                Next::Retry(..) => false,
            };
            assert!(retried(FailureClass::Retry, "reconnecting"));
            assert!(ended(FailureClass::NeedsResync, "needs_resync"));
            assert!(ended(FailureClass::RecordTooLarge, "record_too_large"));
            assert!(retried(FailureClass::RowUnreadable, "row_unreadable"));
            let pairs = [
                (FailureClass::Misconfigured, "source_misconfigured"),
                (FailureClass::Refused, "source_refused"),
            ];
            for (class, name) in pairs {
                assert_eq!(ended(class, name), final_at_once);
                assert_eq!(retried(class, name), !final_at_once);
            }
        }
    }

    #[test]
    fn attempts_are_counted() {
        let mut backoff = Backoff::new(1);
        for expected in 1..4 {
            let next = after_failure(failure(FailureClass::Retry), false, &mut backoff);
            let Next::Retry(SourceState::Reconnecting { attempt, .. }, _) = next else {
                panic!("{next:?}");
            };
            assert_eq!(attempt, expected);
        }
    }
}
