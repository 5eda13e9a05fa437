//! A PostgreSQL source as the broker sees it: a thread behind channels.
//!
//! ```text
//! log thread --demand--> session, stream <--CopyBoth--> walsender
//!     ^                    |  ^                  catalog task <--SQL--> server
//!     +---- Captured ------+  +---- confirmed LSN (atomic) ---- Confirmer
//! ```
//!
//! A thread of its own, with a runtime of its own: consumers cannot delay it, and it may rest between small reads
//! without being woken by every packet (`stream`).
//!
//! | file | does |
//! |---|---|
//! | `worker` | life cycle: session, state after a failure, back-off, end |
//! | `session` | from the first connection to the replication stream |
//! | `stream` | the loop over socket, timers, demand and confirmations |
//! | `timing` | when to send a status, when a silent peer is dead; pure |
//! | `catalog` | listing and describing tables, keeping the publications up to date |
//! | `types` | what user-defined types are made of |
//! | `keeper` | what the catalog poll remembers; warnings for each table |
//! | `resync` | a new beginning, for a source whose old position is of no use; not part of a running source |
//! | `handover` | what is ready goes to the log when the log asks |
//!
//! Memory is bounded by the assembler's budget plus one message; the channel to the log holds one thing.

mod catalog;
mod handover;
mod keeper;
pub mod resync;
mod session;
mod stream;
mod timing;
mod types;
mod unique_keys;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{fmt, io};

use tokio::runtime;
use tokio::sync::{Notify, mpsc, watch};

use super::assembler::KnownKey;
use super::error::Names;
use super::position::Position;
use super::status::SourceStatus;
use super::url::SourceUrl;
use crate::encode::FeedFormat;
use crate::filter::{ColumnFilter, TableFilter};
use crate::group::Captured;
use crate::limits::CaptureLimits;

/// [`Source::stop`] takes no longer, whatever the server does.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// How often the catalog is looked at for new tables, unless configured.
pub const CATALOG_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// What a source is made of. Names of slot and publication are given, not derived here.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the configuration"
)]
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Server, database and login.
    pub url: SourceUrl,
    /// The instance's name, for `application_name` and for the commands that errors propose.
    pub instance: String,
    /// Replication slot: `[a-z0-9_]`, at most 63 bytes.
    pub slot: String,
    /// The slot goes with its connection. A lost connection then ends the source in `needs_resync`.
    pub slot_temporary: bool,
    /// The slot is made so that standbys are given it too; servers before 17 cannot.
    pub failover_slot: bool,
    /// Publication, at most 63 bytes; the second one has `_keyed` appended (shortened where that is too long).
    pub publication: String,
    /// Which tables are captured.
    pub tables: TableFilter,
    /// Which of their columns are left out.
    pub columns: ColumnFilter,
    /// What is rendered from them.
    pub feeds: Vec<FeedFormat>,
    /// Primary keys of the tables that the log has, for rows whose table is gone by the time they are read.
    pub known_keys: Vec<KnownKey>,
    /// Bounds of memory and batch sizes.
    pub limits: CaptureLimits,
    /// [`Source::stop`] removes the publications that this source made.
    pub drop_publications_at_stop: bool,
    /// A refusal or misconfiguration before anything was captured ends the source; otherwise it is shown as
    /// state and tried again every half minute.
    pub first_failure_is_final: bool,
    /// Rows are asked for in binary form from the start on, where else only one that has no text is: for tests.
    pub always_binary: bool,
    /// How often new tables are looked for; see [`CATALOG_POLL_INTERVAL`].
    pub catalog_poll_interval: Duration,
    /// How often a logical message `headwater.heartbeat` is written to the source's log; `None`: never.
    pub heartbeat_interval: Option<Duration>,
    /// WAL held for the slot from which on a warning is shown where the server has no limit, bytes.
    pub wal_warn_bytes: u64,
}

impl SourceConfig {
    pub(crate) fn names(&self) -> Names {
        Names {
            server: self.url.server(),
            user: self.url.user.clone(),
            database: self.url.database.clone(),
            slot: self.slot.clone(),
            publication: self.publication.clone(),
            instance: self.instance.clone(),
        }
    }
}

/// A running source. Dropping it ends the thread without a last status to the server.
#[derive(Debug)]
pub struct Source {
    captured: mpsc::Receiver<Captured>,
    demand: Arc<Notify>,
    confirmed: Arc<Confirmed>,
    status: watch::Receiver<SourceStatus>,
    stop: watch::Sender<bool>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
    abort: Arc<Notify>,
    thread: Thread,
}

/// Reads the time: unix ms.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

impl Source {
    /// Starts the thread `source-<instance>`. `resume` is the stored position (`Commit::position`), `None` on a
    /// first start. Connection problems do not fail here: they are states.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn spawn(
        config: SourceConfig,
        resume: Option<Vec<u8>>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let status = watch::Sender::new(SourceStatus::starting(clock()));
        Self::spawn_showing(config, resume, status, clock)
    }

    /// [`Source::spawn`] for a source that follows another one: it goes on in the same `status`.
    ///
    /// # Errors
    /// As [`Source::spawn`].
    pub fn spawn_showing(
        config: SourceConfig,
        resume: Option<Vec<u8>>,
        status_sender: watch::Sender<SourceStatus>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let clock: Clock = Arc::new(clock);
        let status = status_sender.subscribe();
        status_sender.send_replace(SourceStatus::starting(clock()));
        let (captured_sender, captured) = mpsc::channel(1);
        let (stop, stop_receiver) = watch::channel(false);
        let (ended_sender, ended) = watch::channel(());
        let demand = Arc::new(Notify::new());
        let confirmed = Arc::new(Confirmed::default());
        let wires = worker::Wires {
            captured: captured_sender,
            demand: Arc::clone(&demand),
            confirmed: Arc::clone(&confirmed),
            status: status_sender,
            stop: stop_receiver,
            clock,
        };
        let abort = Arc::new(Notify::new());
        let aborted = Arc::clone(&abort);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let name = format!("source-{}", config.instance);
        let thread = thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = worker::run(config, resume, wires) => {}
                    () = aborted.notified() => {}
                }
            });
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            drop(ended_sender);
        })?;
        Ok(Self {
            captured,
            demand,
            confirmed,
            status,
            stop,
            ended,
            abort,
            thread: thread.thread().clone(),
        })
    }

    /// Asks for the next thing and waits for it: whole transactions gathered since the last call, a part of
    /// one over the budget, tables, a rewind, or an idle position. `None` after [`Source::stop`], or when
    /// capture ended in a final state. Cancel safe; one caller.
    pub async fn next(&mut self) -> Option<Captured> {
        // What a cancelled call had asked for is still there.
        if let Ok(captured) = self.captured.try_recv() {
            return Some(captured);
        }
        self.demand.notify_one();
        self.thread.unpark();
        self.captured.recv().await
    }

    /// For the log: tells what is durable.
    pub fn confirmer(&self) -> Confirmer {
        Confirmer {
            confirmed: Arc::clone(&self.confirmed),
        }
    }

    /// The present status, and its changes.
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.clone()
    }

    /// Sends the server a last status, closes the connection, drops publications if configured. Takes at most
    /// one second.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        // The sender is dropped at the end: an error is what we wait for.
        let stopped =
            tokio::time::timeout(STOP_LIMIT, async { while ended.changed().await.is_ok() {} });
        if stopped.await.is_err() {
            self.abort.notify_one();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.abort.notify_one();
    }
}

/// Tells a source what is durable. Cheap to clone and to call.
#[derive(Debug, Clone)]
pub struct Confirmer {
    confirmed: Arc<Confirmed>,
}

impl Confirmer {
    /// Everything up to this position (`Commit::position`) is durable in the log. Positions may come late or
    /// twice; the highest counts.
    pub fn confirm(&self, position: &[u8]) {
        match Position::decode(position) {
            Ok(position) => self.confirmed.raise(position.end_lsn),
            Err(error) => {
                tracing::error!(%error, "a position that this source did not make was confirmed");
            }
        }
    }
}

/// The highest durable LSN, and a bell.
#[derive(Default)]
pub(crate) struct Confirmed {
    end_lsn: AtomicU64,
    raised: Notify,
}

impl Confirmed {
    pub(crate) fn raise(&self, end_lsn: u64) {
        if self.end_lsn.fetch_max(end_lsn, Ordering::AcqRel) < end_lsn {
            self.raised.notify_one();
        }
    }

    pub(crate) fn end_lsn(&self) -> u64 {
        self.end_lsn.load(Ordering::Acquire)
    }

    /// Waits for a rise since the last wait. Cancel safe.
    pub(crate) async fn raised(&self) {
        self.raised.notified().await;
    }
}

impl fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Confirmed").field(&self.end_lsn()).finish()
    }
}
