//! Looking at the disk, and what everybody sees of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use headwater_capture::postgres::{SourceState, SourceStatus};
use headwater_storage::{Ballast, DataDirectory, Log};
use tokio::{sync::watch, task::spawn_blocking, time::MissedTickBehavior};
use tracing::{error, info, warn};

use super::{BallastStep, Seen, Space, SpaceKeeper, SpaceLimits, SpaceState};
use crate::{clock::Clock, limits::SPACE_POLL, status};

/// What log threads, status and metrics see of the space. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SpaceView {
    space: Arc<watch::Sender<Space>>,
    refused: Arc<AtomicBool>,
}

impl SpaceView {
    pub(crate) fn new() -> Self {
        Self {
            space: Arc::new(watch::Sender::new(Space::unknown())),
            refused: Arc::default(),
        }
    }

    /// As of the last look.
    pub(crate) fn now(&self) -> Space {
        *self.space.borrow()
    }

    /// A log could not get space: capture waits until a look says otherwise.
    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
        self.space
            .send_modify(|space| space.state = SpaceState::Stopped);
    }

    /// Whether capture may go on.
    pub(crate) fn is_enough(&self) -> bool {
        self.now().state != SpaceState::Stopped
    }

    /// Returns when capture may go on. Cancel safe.
    pub(crate) async fn enough(&self) {
        let mut space = self.space.subscribe();
        // The sender is ours: it is not gone.
        drop(
            space
                .wait_for(|space| space.state != SpaceState::Stopped)
                .await,
        );
    }

    /// Returns when so many bytes are free. Cancel safe.
    pub(crate) async fn has_free(&self, bytes: u64) {
        let mut space = self.space.subscribe();
        let has = |space: &Space| space.state != SpaceState::Stopped && space.free >= bytes;
        drop(space.wait_for(has).await);
    }

    /// Returns when capture must wait. Cancel safe.
    pub(crate) async fn short(&self) {
        let mut space = self.space.subscribe();
        drop(
            space
                .wait_for(|space| space.state == SpaceState::Stopped)
                .await,
        );
    }

    /// The status of a source whose changes wait for space. States that need a person stay.
    pub(crate) fn shown(&self, status: SourceStatus, stop: u64) -> SourceStatus {
        let space = self.now();
        match status.state {
            _ if space.state != SpaceState::Stopped => status,
            SourceState::NeedsResync { .. }
            | SourceState::SourceMisconfigured { .. }
            | SourceState::SourceRefused { .. }
            | SourceState::RowUnreadable { .. }
            | SourceState::RecordTooLarge { .. }
            | SourceState::TransactionTooLarge { .. }
            | SourceState::Paused { .. }
            | SourceState::Stopped => status,
            SourceState::Starting
            | SourceState::WaitingForSlot { .. }
            | SourceState::Running
            | SourceState::Reconnecting { .. }
            | SourceState::DiskFull { .. } => SourceStatus {
                since_ms: space.since_ms,
                state: disk_full(space, stop, status::known_lag(&status)),
                ..status
            },
        }
    }
}

const MIB: u64 = 1 << 20;

fn disk_full(space: Space, stop: u64, held_by_source: u64) -> SourceState {
    let free = space.free / MIB;
    let why = if space.free < stop {
        format!("less than storage.space_stop_bytes ({} MiB)", stop / MIB)
    } else {
        "but a file of the log could not be made (a quota?)".to_owned()
    };
    SourceState::DiskFull {
        reason: format!(
            "the data directory's disk has {free} MiB free, {why}: capture waits, and the source keeps its log for \
             it, when capture stopped {} MiB",
            held_by_source.div_ceil(MIB)
        ),
        fix: "free some space there; capture goes on by itself".to_owned(),
    }
}

/// Looks once a second until it is dropped.
pub(crate) async fn run(
    view: SpaceView,
    limits: SpaceLimits,
    directory: Arc<DataDirectory>,
    logs: Vec<Arc<Log>>,
    clock: Clock,
) {
    let Some(ballast) = directory.ballast().cloned() else {
        return;
    };
    drop(directory);
    let mut keeper = SpaceKeeper::new(limits);
    let mut ticks = tokio::time::interval(SPACE_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let refused = view.refused.swap(false, Ordering::Relaxed);
        let log_bytes = logs.iter().map(|log| log.stats().bytes).sum();
        let on_disk = ballast.clone();
        // A file system that hangs must hold nobody else.
        let looked = spawn_blocking(move || (on_disk.free_bytes(), on_disk.is_there()));
        let Ok((Ok(free), ballast_is_there)) = looked.await else {
            continue;
        };
        let seen = Seen {
            free,
            log_bytes,
            refused,
            ballast_is_there,
        };
        let before = keeper.space().state;
        let step = keeper.observe(seen, clock.now());
        tell(before, keeper.space());
        let mut space = keeper.space();
        // Each log gives its part; the next look tells what is still wanted.
        space.wanted = space.wanted.div_ceil((logs.len() as u64).max(1));
        view.space.send_replace(space);
        if let Some(step) = step {
            let ballast = ballast.clone();
            drop(spawn_blocking(move || act(step, &ballast)).await);
        }
    }
}

fn tell(before: SpaceState, space: Space) {
    let (free, wanted) = (space.free, space.wanted);
    match (before, space.state) {
        (before, after) if before == after => {}
        (_, SpaceState::Stopped) => {
            error!(
                free,
                "the disk is full: capture waits, consumers are served"
            );
        }
        (SpaceState::Stopped, _) => info!(free, "there is space again: capture goes on"),
        (_, SpaceState::Low) => warn!(free, wanted, "the disk is getting full"),
        (_, SpaceState::Ok) => info!(free, "there is enough space again"),
    }
}

fn act(step: BallastStep, ballast: &Ballast) {
    let done = match step {
        BallastStep::Release => ballast.release().map(|_| "gave up the ballast"),
        BallastStep::Restore => ballast.restore().map(|()| "made the ballast"),
    };
    match done {
        Ok(done) => info!("{done}"),
        Err(error) => warn!(%error, ?step, "ballast"),
    }
}
