//! The log thread: pull, append, one sync, wake the waiting fetches, confirm to the source.
//!
//! Groups form by themselves: while a sync runs the source gathers, and the next pull takes what is there. Under load,
//! which is while groups hold several transactions, a pull waits until `sync_min_interval` after the start of the last
//! sync, so that small transactions share syncs. A log whose last group held one is idle, and syncs the next at once.

pub(super) mod orders;
mod room;

use std::{collections::HashMap, future::pending, thread, time::Duration};

use headwater_capture::{Captured, Commit, OpenPlace, TransactionGroup};
use headwater_storage::{
    CommitGroup, Journal, NewBatch, PositionChange, StorageError, TopicNumber,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::{debug, info};

use super::{
    SOURCE, Surroundings,
    farewell::Farewell,
    large::{Patience, Room, Standstill},
    order::Order,
    registrar::Registrar,
    source::InstanceSource,
};
use crate::{config::FeedConfig, stop::stopped};

/// The thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    instance: String,
    journal: Journal,
    source: InstanceSource,
    /// The source has ended for good; its status says why. Only an order starts another.
    source_ended: bool,
    registrar: Registrar,
    /// As configured.
    feeds: Vec<FeedConfig>,
    orders: mpsc::Receiver<Order>,
    surroundings: Surroundings,
    /// Monotonic; when the last sync started, if its group held several transactions.
    last_shared_sync: Option<Duration>,
    /// What the open group has appended: bytes and records by topic.
    appended: HashMap<TopicNumber, u64>,
    records: u64,
    /// Which transaction they are of, where parts of it were handed over.
    place: Option<OpenPlace>,
    room: Room,
    patience: Patience,
    /// Of a transaction that is too large.
    standstill: watch::Sender<Option<Standstill>>,
}

/// What became of what the source handed over.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Done,
    /// The broker stops while it waited for space: the open group is taken back.
    Stopping,
}

/// What to do next.
enum Step {
    Take(Captured),
    /// Nothing came before the durable end has to be noted.
    Idle,
    /// The source has ended for good; its status says why.
    SourceEnded,
    /// There is room for what was too large.
    TryAgain,
    Obey(Order),
    Stop,
}

/// What comes in, and what is told of a transaction that is too large.
type Wires = (
    InstanceSource,
    mpsc::Receiver<Order>,
    watch::Sender<Option<Standstill>>,
);

impl Writer {
    /// `log_bytes`: what the log may hold.
    pub(super) fn new(
        instance: String,
        journal: Journal,
        (source, orders, standstill): Wires,
        (registrar, feeds): (Registrar, Vec<FeedConfig>),
        surroundings: Surroundings,
    ) -> Self {
        let stop = surroundings.space_stop;
        let room = Room {
            file: journal.file_bytes(),
            free: stop.saturating_add(stop / 4),
        };
        Self {
            instance,
            journal,
            source,
            source_ended: false,
            registrar,
            feeds,
            orders,
            surroundings,
            last_shared_sync: None,
            appended: HashMap::new(),
            records: 0,
            place: None,
            room,
            patience: Patience::default(),
            standstill,
        }
    }

    /// Runs until the broker stops or the log fails, which it then tells.
    pub(super) fn run(self, runtime: &Handle) {
        let failed = self.surroundings.failed.clone();
        let farewell = Farewell::of(&self.instance, "log", failed);
        let instance = self.instance.clone();
        let worked = self.work(runtime);
        farewell.ends(
            worked
                .err()
                .map(|error| format!("instance {instance}: {error}")),
        );
    }

    fn work(mut self, runtime: &Handle) -> Result<(), StorageError> {
        loop {
            match self.until_space(runtime)? {
                room::Waited::Space => {}
                room::Waited::Order(order) => {
                    self.obey(order, runtime)?;
                    continue;
                }
                room::Waited::TooLarge(why) => self.stand_still(why, runtime)?,
                room::Waited::Stop => return self.close(runtime),
            }
            self.pace();
            match runtime.block_on(self.step()) {
                Step::Take(captured) => {
                    if self.take(captured, runtime)? == Taken::Stopping {
                        return self.close(runtime);
                    }
                    self.note_durable_end()?;
                }
                Step::Idle => self.note_durable_end()?,
                Step::SourceEnded => {
                    self.note_durable_end()?;
                    self.source_ended = true;
                }
                Step::TryAgain => self.try_again()?,
                Step::Obey(order) => self.obey(order, runtime)?,
                Step::Stop => return self.close(runtime),
            }
        }
    }

    /// Sleeps until the next sync may start.
    fn pace(&self) {
        let Some(last_sync) = self.last_shared_sync else {
            return;
        };
        let since = self
            .surroundings
            .clock
            .monotonic()
            .saturating_sub(last_sync);
        if let Some(rest) = self.surroundings.sync_min_interval.checked_sub(since) {
            thread::sleep(rest);
        }
    }

    async fn step(&mut self) -> Step {
        let mut stop = self.surroundings.stop.clone();
        let space = self.surroundings.space.clone();
        let note_due = self.journal.note_due_in(self.surroundings.clock.now());
        let ended = self.source_ended;
        let goes_on_at = self.goes_on_at();
        let roomier = async {
            match goes_on_at {
                Some(bytes) => space.has_free(bytes).await,
                None => pending().await,
            }
        };
        let source = &mut self.source;
        let next = async {
            let next = async {
                if ended {
                    return pending().await;
                }
                source.next().await
            };
            match note_due {
                None => Ok(next.await),
                Some(rest) => timeout(rest, next).await,
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => Step::Stop,
            Some(order) = self.orders.recv() => Step::Obey(order),
            // Then the loop waits for space, and takes nothing meanwhile.
            () = space.short() => Step::Idle,
            () = roomier => Step::TryAgain,
            next = next => match next {
                Ok(Some(captured)) => Step::Take(captured),
                Ok(None) => Step::SourceEnded,
                Err(_) => Step::Idle,
            },
        }
    }

    fn take(&mut self, captured: Captured, runtime: &Handle) -> Result<Taken, StorageError> {
        match captured {
            Captured::Tables(tables) => {
                let directory = &self.surroundings.directory;
                self.registrar
                    .register(&tables, directory, &mut self.journal)?;
                Ok(Taken::Done)
            }
            Captured::Group(group) => self.append(group, runtime),
            Captured::Rewind => {
                debug!(
                    instance = self.instance,
                    "transaction broken off, rewinding"
                );
                self.take_back()?;
                Ok(Taken::Done)
            }
        }
    }

    /// Takes the open group back, if there is one.
    fn take_back(&mut self) -> Result<(), StorageError> {
        self.appended.clear();
        self.records = 0;
        self.place = None;
        self.patience.forget();
        self.journal.rewind()
    }

    fn append(&mut self, group: TransactionGroup, runtime: &Handle) -> Result<Taken, StorageError> {
        let clock = self.surroundings.clock;
        self.place = group.open.or(self.place.take());
        for table in group.batches {
            let topic = self
                .registrar
                .topic(table.feed, table.table)
                .ok_or_else(|| {
                    StorageError::Invalid(format!("lane {:?} was never announced", table.table))
                })?;
            let compression = self.feeds.get(table.feed).map(|feed| feed.compression);
            let built = table.batch.compressed(compression.unwrap_or_default());
            let batch = NewBatch {
                topic,
                partition: 0,
                bytes: built.bytes,
                record_count: built.record_count,
                max_timestamp: built.max_timestamp,
            };
            let length = batch.bytes.len();
            let ready = |journal: &mut Journal| journal.ready_to_append(length);
            if let Some(taken) = self.until_ready(runtime, length, ready)? {
                return Ok(taken);
            }
            self.surroundings.metrics.appended(batch.bytes.len());
            *self.appended.entry(topic).or_default() += batch.bytes.len() as u64;
            self.records += u64::from(batch.record_count);
            self.journal.append(clock.now(), batch)?;
        }
        match group.commit {
            Some(commit) => self.commit(commit, runtime),
            None => Ok(Taken::Done),
        }
    }

    fn commit(&mut self, commit: Commit, runtime: &Handle) -> Result<Taken, StorageError> {
        let clock = self.surroundings.clock;
        let group = CommitGroup {
            positions: vec![(SOURCE, PositionChange(commit.position.clone()))],
            commit_time_ms: commit.commit_time_ms,
            schema_version: self.surroundings.directory.catalog().schema_version(),
        };
        let ready = |journal: &mut Journal| journal.ready_to_commit(&group);
        if let Some(taken) = self.until_ready(runtime, 0, ready)? {
            return Ok(taken);
        }
        let started = clock.monotonic();
        self.last_shared_sync = (commit.transactions > 1).then_some(started);
        self.journal.commit(clock.now(), group)?;
        self.surroundings
            .waits
            .became_visible(self.appended.drain());
        let took = clock.monotonic().saturating_sub(started);
        self.surroundings
            .metrics
            .committed(std::mem::take(&mut self.records), took);
        self.place = None;
        // Last, so that what is confirmed is counted.
        self.source.confirm(&commit.position);
        self.journal.roll_if_due(clock.now())?;
        Ok(Taken::Done)
    }

    /// Storage does it once a second at most.
    fn note_durable_end(&mut self) -> Result<(), StorageError> {
        self.journal.note_durable_end(self.surroundings.clock.now())
    }

    /// A clean stop: the source hears of the last commit, the log knows its end.
    fn close(mut self, runtime: &Handle) -> Result<(), StorageError> {
        runtime.block_on(self.source.stop());
        self.journal.close()?;
        info!(instance = self.instance, "log closed");
        Ok(())
    }
}
