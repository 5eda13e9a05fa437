//! The replication stream: one loop over the socket, timers, the log's demand and its confirmations.
//!
//! - Everything buffered is pushed to the assembler without waiting in between; payloads are slices of the
//!   receive buffer.
//! - The server sends each message by itself. While the log is busy there is no hurry, so the thread rests for
//!   up to [`REST`] and then takes what has gathered in one read: far fewer wake-ups, for the server too.
//! - A status never waits for the log or the catalog: while the assembler is over budget, or a relation is
//!   being looked up, reading stops and the timers go on.
//! - What the server is told to be flushed comes from [`Acknowledge`] alone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};

use super::catalog::{CatalogTask, Event};
use super::handover::Handover;
use super::session::{Ready, announce, assemble_failure};
use super::timing::{Liveness, Pulse, status_interval};
use super::worker::{Ended, Progress, RowForm, Shared};
use crate::postgres::acknowledge::{Acknowledge, status_update};
use crate::postgres::assembler::{Assembler, Pushed};
use crate::postgres::connection::Connection;
use crate::postgres::error::{Failure, Names, ServerError, SqlState};
use crate::postgres::message::{Frame, ReplicationMessage, ServerMessage};
use crate::postgres::state::SourceState;
use crate::postgres::status::update;

/// Between two acknowledgements of durable commits.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_millis(100);
/// Between two updates of the published counters; also the clock of idle positions.
const SHOW_INTERVAL: Duration = Duration::from_secs(1);
/// Unsent status messages beyond this are not joined by more: the peer does not read.
const UNSENT_BYTES_MAX: usize = 16 * 1024;
/// The longest rest between two small reads while the log is busy.
const REST: Duration = Duration::from_millis(1);
/// A read of fewer bytes is small: reading again at once would find little.
const SMALL_READ_BYTES: usize = 32 * 1024;
/// Parts of the second that a stop may take.
const LAST_STATUS_LIMIT: Duration = Duration::from_millis(250);
const END_OF_STREAM_LIMIT: Duration = Duration::from_millis(250);

/// Why the loop over buffered messages ended.
#[derive(Debug, PartialEq, Eq)]
enum Drained {
    /// No whole message is left.
    Empty,
    /// The assembler is over budget.
    MustWait,
    /// These relations must be looked up before the next message can be taken.
    NeedsCatalog(Vec<u32>),
}

/// Streams until stopped or until the connection fails.
pub(super) async fn run(
    shared: &Arc<Shared>,
    handover: &mut Handover,
    progress: &mut Progress,
    ready: Ready,
) -> Ended {
    let wal_sender_timeout = ready.facts.wal_sender_timeout;
    let mut stream = Stream {
        shared,
        connection: ready.replication,
        catalog: CatalogTask::spawn(Arc::clone(shared), ready.catalog),
        acknowledge: &mut progress.acknowledge,
        liveness: Liveness::new(wal_sender_timeout),
        wal_end: 0,
        looking_up: false,
        pause: None,
        read_little: false,
        is_running: false,
        form: progress.form,
    };
    stream.acknowledge.connected();
    stream.acknowledge.durable(shared.confirmed.end_lsn());
    progress.has_run = true;
    let ended = stream
        .stream(handover, status_interval(wal_sender_timeout))
        .await;
    if stream.acknowledge.received() > 0 {
        progress.backoff.reset();
    }
    stream.show(handover);
    if matches!(ended, Ended::Stopped | Ended::BackToText) {
        stream.close().await;
    }
    ended
}

struct Stream<'a> {
    shared: &'a Arc<Shared>,
    connection: Connection,
    catalog: CatalogTask,
    acknowledge: &'a mut Acknowledge,
    liveness: Liveness,
    /// The last keepalive's.
    wal_end: u64,
    /// The catalog task was asked about a relation.
    looking_up: bool,
    /// Running while acknowledgements are held back.
    pause: Option<Pin<Box<Sleep>>>,
    /// The last step was a small read.
    read_little: bool,
    /// The state says so. It waits for the log to know the tables, so that who sees it finds their topics.
    is_running: bool,
    /// In which rows come.
    form: RowForm,
}

impl Stream<'_> {
    async fn stream(&mut self, handover: &mut Handover, status_interval: Duration) -> Ended {
        let mut statuses = ticks(status_interval);
        let mut shows = ticks(SHOW_INTERVAL);
        loop {
            let reading = match self.advance(handover) {
                Ok(reading) => reading,
                Err(failure) => return failure.into(),
            };
            if self.form.is_over(assembler(handover).handed_over_end_lsn()) {
                return Ended::BackToText;
            }
            if !self.is_running && handover.is_past_tables() {
                self.is_running = true;
                self.shared.enter(SourceState::Running);
            }
            if std::mem::take(&mut self.read_little) {
                handover.rest(REST);
            }
            let step = tokio::select! {
                biased;
                () = self.shared.stopped() => return Ended::Stopped,
                () = self.shared.confirmed.raised() => {
                    self.acknowledge.durable(self.shared.confirmed.end_lsn());
                    self.acknowledge_soon();
                    Ok(())
                }
                () = elapsed(&mut self.pause) => {
                    self.pause = None;
                    self.acknowledge_soon();
                    Ok(())
                }
                () = handover.demanded() => Ok(()),
                _ = statuses.tick() => self.pulse(reading),
                _ = shows.tick() => {
                    self.tick(handover);
                    Ok(())
                }
                event = self.catalog.event() => self.learn(handover, event),
                received = self.connection.transfer(reading) => {
                    self.liveness.heard();
                    self.read_little = received.as_ref().is_ok_and(|read| *read < SMALL_READ_BYTES);
                    received.map(drop).map_err(|error| self.shared.failure(&error))
                }
            };
            if let Err(failure) = step {
                return failure.into();
            }
        }
    }

    /// Pushes what is buffered and hands over what is ready, until there is nothing to do but wait. Tells
    /// whether the socket is to be read.
    fn advance(&mut self, handover: &mut Handover) -> Result<bool, Failure> {
        loop {
            if self.looking_up {
                handover.offer();
                return Ok(false);
            }
            let assembler = assembler(handover);
            let drained = self.drain(assembler)?;
            handover.offer();
            match drained {
                Drained::Empty => return Ok(true),
                // What was just handed over may have made room, and then whole messages still wait.
                Drained::MustWait if handover_must_wait(handover) => return Ok(false),
                Drained::MustWait => {}
                Drained::NeedsCatalog(relations) => {
                    self.looking_up = true;
                    self.catalog.describe(relations);
                }
            }
        }
    }

    fn drain(&mut self, assembler: &mut Assembler) -> Result<Drained, Failure> {
        let now = (self.shared.clock)();
        while !assembler.must_wait() {
            let frame = match self.connection.received().frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Drained::Empty),
                Err(error) => return Err(self.shared.failure(&error.into())),
            };
            let size = frame.size();
            let told = take(frame, assembler, now, &self.shared.names)
                .map_err(|refusal| refusal.failure(self.shared))?;
            match told {
                Told::Nothing => {}
                Told::Sent { lsn } => self.acknowledge.server_sent(lsn),
                Told::NeedsCatalog(relations) => return Ok(Drained::NeedsCatalog(relations)),
                Told::Keepalive {
                    wal_end,
                    reply_requested,
                } => {
                    self.wal_end = wal_end;
                    self.acknowledge.server_sent(wal_end);
                    if reply_requested {
                        self.send_status(false);
                    }
                }
            }
            self.connection.consume(size);
        }
        Ok(Drained::MustWait)
    }

    /// Tells the server what is durable, at most every [`ACKNOWLEDGE_INTERVAL`].
    fn acknowledge_soon(&mut self) {
        if self.pause.is_none() && self.acknowledge.has_news() {
            self.send_status(false);
            self.pause = Some(Box::pin(sleep(ACKNOWLEDGE_INTERVAL)));
        }
    }

    fn pulse(&mut self, reading: bool) -> Result<(), Failure> {
        match self.liveness.tick(reading) {
            Pulse::Status => self.send_status(false),
            Pulse::Ask => self.send_status(true),
            Pulse::Dead => {
                let server = &self.shared.names.server;
                return Err(Failure::retry(format!(
                    "{server} has fallen silent and does not answer"
                )));
            }
        }
        Ok(())
    }

    fn send_status(&mut self, reply: bool) {
        if self.connection.unsent_bytes() < UNSENT_BYTES_MAX {
            let message = status_update(self.acknowledge.tell(), (self.shared.clock)(), reply);
            self.connection.queue_copy_data(&message);
        }
    }

    /// Once a second: counters, and the time that idle positions go by.
    fn tick(&mut self, handover: &mut Handover) {
        let now = (self.shared.clock)();
        assembler(handover).keepalive(self.wal_end, now);
        self.acknowledge_soon();
        self.show(handover);
    }

    fn show(&self, handover: &mut Handover) {
        let assembler = assembler(handover);
        let counters = assembler.counters();
        let large = assembler.large_record().cloned();
        self.shared.show(|status| {
            let confirmed = status.confirmed_lsn.max(self.acknowledge.told());
            // Each of them is written: no short circuit.
            update(&mut status.counters, counters)
                | update(&mut status.large_record, large)
                | update(&mut status.received_lsn, self.acknowledge.received())
                | update(&mut status.confirmed_lsn, confirmed)
                | update(&mut status.source_end_lsn, self.wal_end)
        });
    }

    /// What the catalog task found.
    fn learn(&mut self, handover: &mut Handover, event: Option<Event>) -> Result<(), Failure> {
        let assembler = assembler(handover);
        let learnt = match event {
            Some(Event::Found(tables)) => announce(assembler, tables),
            Some(Event::Looked { lsn, time_ms }) => {
                let now = (self.shared.clock)();
                if assembler.horizon(lsn.0, time_ms, now) {
                    // An idle server tells how far it has sent only if it is asked.
                    self.send_status(true);
                }
                Ok(())
            }
            Some(Event::Described(relations)) => {
                self.looking_up = false;
                relations
                    .into_iter()
                    .try_for_each(|(oid, table)| assembler.set_catalog(oid, table))
            }
            None => return Err(Failure::retry("the catalog task has ended unexpectedly")),
        };
        learnt.map_err(|error| assemble_failure(&error, &self.shared.names))
    }

    /// A last status, the end of our half of the stream, and of the server's if it comes in time.
    async fn close(mut self) {
        self.acknowledge.durable(self.shared.confirmed.end_lsn());
        self.send_status(false);
        self.connection.queue_copy_done();
        let sent = timeout(LAST_STATUS_LIMIT, self.connection.transfer(false)).await;
        if matches!(sent, Ok(Ok(_))) {
            drop(timeout(END_OF_STREAM_LIMIT, self.until_copy_done()).await);
        }
        let told = self.acknowledge.told();
        let show_told = |confirmed: &mut u64| update(confirmed, told.max(*confirmed));
        self.shared
            .show(|status| show_told(&mut status.confirmed_lsn));
        self.connection.close(LAST_STATUS_LIMIT).await;
    }

    /// Discards what still comes. The rows will be sent again.
    async fn until_copy_done(&mut self) {
        while let Ok(frame) = self.connection.receive().await {
            if matches!(
                frame.parse(),
                Ok(ServerMessage::CopyDone | ServerMessage::ErrorResponse(_)) | Err(_)
            ) {
                return;
            }
        }
    }
}

/// A session has made it before the stream begins.
fn assembler(handover: &mut Handover) -> &mut Assembler {
    handover
        .assembler
        .as_mut()
        .expect("the session made the assembler before the stream began")
}

fn handover_must_wait(handover: &mut Handover) -> bool {
    assembler(handover).must_wait()
}

/// Ends with the pause; never if there is none.
async fn elapsed(pause: &mut Option<Pin<Box<Sleep>>>) {
    match pause {
        Some(pause) => pause.await,
        None => std::future::pending().await,
    }
}

/// The first tick comes after one period.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

/// What one message led to.
enum Told {
    Nothing,
    /// A change, a transaction's end, or (with 0) a definition.
    Sent {
        lsn: u64,
    },
    NeedsCatalog(Vec<u32>),
    Keepalive {
        wal_end: u64,
        reply_requested: bool,
    },
}

/// Why a message ends the stream.
enum Refusal {
    Connection(crate::postgres::error::ConnectionError),
    Failed(Failure),
}

impl Refusal {
    fn failure(self, shared: &Shared) -> Failure {
        match self {
            Self::Connection(error) => shared.failure(&error),
            Self::Failed(failure) => failure,
        }
    }
}

/// Takes one message where it lies.
fn take(
    frame: Frame<'_>,
    assembler: &mut Assembler,
    now: i64,
    names: &Names,
) -> Result<Told, Refusal> {
    use crate::postgres::error::ConnectionError;
    let lost = |error: ConnectionError| Refusal::Connection(error);
    match ServerMessage::parse(frame).map_err(|error| lost(error.into()))? {
        ServerMessage::CopyData(body) => take_data(body, assembler, (now, names)),
        ServerMessage::NoticeResponse(notice) => {
            match missing_publication(&notice, &names.publication) {
                Some(failure) => Err(Refusal::Failed(failure)),
                None => Ok(Told::Nothing),
            }
        }
        ServerMessage::ErrorResponse(error) => Err(lost(ConnectionError::Server(Box::new(error)))),
        ServerMessage::ParameterStatus { .. } | ServerMessage::NotificationResponse => {
            Ok(Told::Nothing)
        }
        ServerMessage::CopyDone | ServerMessage::CommandComplete | ServerMessage::ReadyForQuery => {
            Err(lost(ConnectionError::Closed))
        }
        ServerMessage::Authentication(_)
        | ServerMessage::BackendKeyData { .. }
        | ServerMessage::NegotiateProtocolVersion
        | ServerMessage::RowDescription
        | ServerMessage::DataRow(_)
        | ServerMessage::EmptyQueryResponse
        | ServerMessage::CopyBothResponse => Err(lost(ConnectionError::Unexpected {
            stage: "replication stream",
            tag: frame.tag,
        })),
    }
}

fn take_data(
    body: &[u8],
    assembler: &mut Assembler,
    (now, names): (i64, &Names),
) -> Result<Told, Refusal> {
    let message =
        ReplicationMessage::parse(body).map_err(|error| Refusal::Connection(error.into()))?;
    match message {
        ReplicationMessage::XLogData { wal_start, payload } => {
            let pushed = assembler.push(wal_start, payload, now);
            match pushed.map_err(|error| Refusal::Failed(assemble_failure(&error, names)))? {
                Pushed::Continue | Pushed::TransactionEnd => Ok(Told::Sent { lsn: wal_start }),
                Pushed::NeedsCatalog(relations) => Ok(Told::NeedsCatalog(relations)),
            }
        }
        ReplicationMessage::Keepalive {
            wal_end,
            reply_requested,
        } => {
            assembler.keepalive(wal_end, now);
            if reply_requested {
                // A server that shuts down waits until all it has sent is confirmed.
                assembler.hurry_position();
            }
            Ok(Told::Keepalive {
                wal_end,
                reply_requested,
            })
        }
    }
}

/// From 18 on a missing publication is a warning, and its changes are silently not sent.
fn missing_publication(notice: &ServerError, publication: &str) -> Option<Failure> {
    let is_warning =
        notice.severity == "WARNING" && notice.sqlstate == SqlState::NOT_IN_PREREQUISITE_STATE;
    is_warning.then(|| {
        Failure::misconfigured(
            format!("the server does not send changes: {}", notice.message),
            format!("publication \"{publication}\" must exist as long as its slot; resync after making it again"),
        )
    })
}
