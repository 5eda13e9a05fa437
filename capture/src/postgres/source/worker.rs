//! The life of a source: sessions one after another, and the state between them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::handover::Handover;
use super::keeper::Keeper;
use super::{Clock, Confirmed, SourceConfig, session, stream};
use crate::group::Captured;
use crate::postgres::acknowledge::Acknowledge;
use crate::postgres::assembler::Assembler;
use crate::postgres::backoff::Backoff;
use crate::postgres::error::{ConnectionError, Failure, FailureClass, Names};
use crate::postgres::position::{Lsn, Position};
use crate::postgres::slot;
use crate::postgres::state::{Next, SourceState, after_failure};
use crate::postgres::status::{SourceStatus, update};

/// Part of the second that a stop may take.
const DROP_PUBLICATIONS_LIMIT: Duration = Duration::from_millis(500);

/// The task's ends of the source's channels.
pub(super) struct Wires {
    pub(super) captured: mpsc::Sender<Captured>,
    pub(super) demand: Arc<Notify>,
    pub(super) confirmed: Arc<Confirmed>,
    pub(super) status: watch::Sender<SourceStatus>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) clock: Clock,
}

/// What all parts of the task share.
pub(super) struct Shared {
    pub(super) config: SourceConfig,
    pub(super) names: Names,
    pub(super) application_name: String,
    pub(super) confirmed: Arc<Confirmed>,
    pub(super) clock: Clock,
    pub(super) keeper: Mutex<Keeper>,
    warnings: std::sync::Mutex<Warnings>,
    status: watch::Sender<SourceStatus>,
    stop: watch::Receiver<bool>,
}

impl Shared {
    pub(super) fn new(config: SourceConfig, wires: Wires) -> (Arc<Self>, Handover) {
        let names = config.names();
        let own_name = || format!("headwater_{}", config.instance);
        let application_name = config.url.application_name.clone().unwrap_or_else(own_name);
        let shared = Self {
            config,
            names,
            application_name,
            confirmed: wires.confirmed,
            clock: wires.clock,
            keeper: Mutex::default(),
            warnings: std::sync::Mutex::default(),
            status: wires.status,
            stop: wires.stop,
        };
        (
            Arc::new(shared),
            Handover::new(wires.captured, wires.demand),
        )
    }

    /// What a connection's failure means.
    pub(super) fn failure(&self, error: &ConnectionError) -> Failure {
        Failure::from_connection(error, &self.names)
    }

    /// Changes the published status; `change` tells whether it changed anything.
    pub(super) fn show(&self, change: impl FnOnce(&mut SourceStatus) -> bool) {
        self.status.send_if_modified(change);
    }

    /// Replaces the warnings of one kind, and logs those that are new.
    pub(super) fn warn(&self, of: Warned, lines: Vec<String>) {
        let all = {
            let kept = self.warnings.lock();
            let mut kept = kept.unwrap_or_else(std::sync::PoisonError::into_inner);
            let before = kept.entry(of).or_default();
            for line in lines.iter().filter(|line| !before.contains(line)) {
                tracing::warn!(instance = self.names.instance, warning = line, "source");
            }
            *before = lines;
            kept.values().flatten().cloned().collect::<Vec<_>>()
        };
        self.show(|status| update(&mut status.warnings, all));
    }

    /// Enters a state and logs it once. The same state again keeps its time.
    pub(super) fn enter(&self, state: SourceState) {
        let same = {
            let present = &self.status.borrow().state;
            present.name() == state.name() && present.reason() == state.reason()
        };
        if !same {
            log_state(&self.names.instance, &state);
        }
        let now = (self.clock)();
        self.status.send_modify(|status| {
            if status.state.name() != state.name() {
                status.since_ms = now;
            }
            status.state = state;
        });
    }

    /// Returns when the source is to stop. Cancel safe.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the source was dropped, which is a stop too.
        drop(stop.wait_for(|stop| *stop).await);
    }
}

/// Loud where a person should look.
fn log_state(instance: &str, state: &SourceState) {
    let name = state.name();
    let (reason, fix) = (
        state.reason().unwrap_or_default(),
        state.fix().unwrap_or_default(),
    );
    match state {
        SourceState::Starting | SourceState::Running | SourceState::Stopped => {
            tracing::info!(instance, state = name, "source");
        }
        SourceState::WaitingForSlot { .. } => {
            tracing::info!(instance, state = name, reason, "source");
        }
        SourceState::Reconnecting { .. } => {
            tracing::warn!(instance, state = name, reason, "source");
        }
        SourceState::NeedsResync { .. }
        | SourceState::SourceMisconfigured { .. }
        | SourceState::SourceRefused { .. }
        | SourceState::RowUnreadable { .. }
        | SourceState::RecordTooLarge { .. }
        | SourceState::TransactionTooLarge { .. }
        | SourceState::DiskFull { .. }
        | SourceState::Paused { .. } => {
            tracing::error!(instance, state = name, reason, fix, "source");
        }
    }
}

/// What a warning of the whole source is about, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Warned {
    /// The source's log that is held for us.
    Wal,
    /// The catalog cannot be read.
    Catalog,
    /// What the checks at the start found.
    Checks,
}

type Warnings = BTreeMap<Warned, Vec<String>>;

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    Stopped,
    /// What was to be read in binary form has been handed over: the next session reads texts again.
    BackToText,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// In which form rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowForm {
    /// As the output functions write them: the usual one.
    Text,
    /// As the send functions do, until the transaction that commits at `until` was handed over: it has a row whose text
    /// would be over 1 GB.
    Binary { until: u64 },
}

impl RowForm {
    pub(super) fn is_binary(self) -> bool {
        self != Self::Text
    }

    /// Whether everything up to `handed_over_end_lsn` is enough to go back to text.
    pub(super) fn is_over(self, handed_over_end_lsn: u64) -> bool {
        match self {
            Self::Text => false,
            Self::Binary { until } => handed_over_end_lsn > until,
        }
    }
}

/// Where the source stands, over all sessions.
pub(super) struct Progress {
    /// System and timeline that the captured changes are of; `None` before any.
    pub(super) server: Option<(u64, u32)>,
    /// End of the stored position that the source was started with.
    pub(super) stored_end: Option<u64>,
    pub(super) acknowledge: Acknowledge,
    pub(super) backoff: Backoff,
    /// Something was captured: in this life, or before it.
    pub(super) has_run: bool,
    /// In which form rows are asked for.
    pub(super) form: RowForm,
    /// Of the server, as `server_version_num`; 0 before it was asked.
    pub(super) server_version: u32,
    /// Our last walsender: if it still holds the slot, it is a ghost of ours.
    pub(super) walsender_pid: Option<i32>,
}

impl Progress {
    fn new(stored: Option<Position>, seed: u64) -> Self {
        Self {
            server: stored.map(|position| (position.system_id, position.timeline)),
            stored_end: stored.map(|position| position.end_lsn),
            acknowledge: Acknowledge::default(),
            backoff: Backoff::new(seed),
            has_run: stored.is_some(),
            form: RowForm::Text,
            server_version: 0,
            walsender_pid: None,
        }
    }

    /// Up to where changes are captured, handed over or not; `None` before any. Between two sessions.
    pub(super) fn assembled_end(&self, assembler: Option<&Assembler>) -> Option<u64> {
        assembler
            .map(Assembler::assembled_end_lsn)
            .or(self.stored_end)
    }

    /// Up to where changes are handed over; `None` before any.
    pub(super) fn captured_end(&self, assembler: Option<&Assembler>) -> Option<u64> {
        assembler
            .map(Assembler::handed_over_end_lsn)
            .or(self.stored_end)
    }
}

/// Runs until stopped, or until a final state.
pub(super) async fn run(config: SourceConfig, resume: Option<Vec<u8>>, wires: Wires) {
    let (shared, mut handover) = Shared::new(config, wires);
    let stored = resume.map(|bytes| Position::decode(&bytes)).transpose();
    let state = match stored {
        Ok(stored) => {
            if let Some(position) = stored {
                shared.confirmed.raise(position.end_lsn);
            }
            let mut progress = Progress::new(stored, seed(&shared));
            if shared.config.always_binary {
                progress.form = RowForm::Binary { until: u64::MAX };
            }
            sessions(&shared, &mut handover, &mut progress).await
        }
        Err(error) => {
            let failure = Failure::needs_resync(error.to_string(), &shared.names);
            SourceState::NeedsResync {
                reason: failure.reason,
                fix: failure.fix,
            }
        }
    };
    if state != SourceState::Stopped {
        shared.enter(state);
        tokio::select! {
            () = shared.stopped() => {}
            () = handover.drain() => {}
        }
    }
    if shared.config.drop_publications_at_stop {
        // A server that does not answer keeps them: nothing is lost by that but tidiness.
        drop(timeout(DROP_PUBLICATIONS_LIMIT, session::drop_publications(&shared)).await);
    }
    if *shared.stop.borrow() {
        shared.enter(SourceState::Stopped);
    }
}

/// Sessions one after another, until a final state.
async fn sessions(
    shared: &Arc<Shared>,
    handover: &mut Handover,
    progress: &mut Progress,
) -> SourceState {
    loop {
        let ended = match session::open(shared, handover, progress).await {
            Ok(ready) => stream::run(shared, handover, progress, ready).await,
            Err(ended) => ended,
        };
        let open_lsn = handover.assembler.as_ref().and_then(Assembler::open_lsn);
        if let Some(assembler) = &mut handover.assembler {
            assembler.connection_lost();
        }
        let failure = match ended {
            Ended::Stopped => return SourceState::Stopped,
            Ended::BackToText => {
                tracing::info!(
                    instance = shared.names.instance,
                    "rows are read as text again"
                );
                progress.form = RowForm::Text;
                continue;
            }
            Ended::Failed(failure) => match other_form(shared, progress, failure, open_lsn) {
                Some(failure) => failure,
                None => continue,
            },
        };
        let final_at_once = shared.config.first_failure_is_final && !progress.has_run;
        let delay = match after_failure(failure, final_at_once, &mut progress.backoff) {
            Next::End(state) => return state,
            Next::Retry(state, delay) => {
                shared.enter(state);
                delay
            }
        };
        tokio::select! {
            biased;
            () = shared.stopped() => return SourceState::Stopped,
            never = handover.serve() => match never {},
            () = sleep(delay) => {}
        }
    }
}

/// What to do where the server cannot send a row: `None` if the next session asks for it in binary form.
fn other_form(
    shared: &Shared,
    progress: &mut Progress,
    failure: Failure,
    open_lsn: Option<u64>,
) -> Option<Failure> {
    if failure.class != FailureClass::RowTooLargeToSend {
        return Some(failure);
    }
    let Some(open_lsn) = open_lsn else {
        return Some(failure);
    };
    let place = (open_lsn, &shared.names);
    let what = format!(
        "a row of the transaction that commits at {} is too large: {}",
        Lsn(open_lsn),
        failure.reason
    );
    let (why, fix) = match progress.form {
        RowForm::Text if progress.server_version >= slot::BINARY => {
            tracing::warn!(
                instance = shared.names.instance,
                reason = what,
                "a row has no text at the server: its transaction is read in binary form"
            );
            progress.form = RowForm::Binary { until: open_lsn };
            return None;
        }
        RowForm::Text => (
            "PostgreSQL before 14 sends rows as text only",
            "upgrade the server",
        ),
        RowForm::Binary { .. } => ("nor can it be sent in binary form", ""),
    };
    Some(Failure::row_unreadable(
        format!("{what}; {why}"),
        fix,
        place,
    ))
}

/// Different for each source and start; nothing depends on its quality.
fn seed(shared: &Shared) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    hasher.hash_one((&shared.names.instance, (shared.clock)()))
}
