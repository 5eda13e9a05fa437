//! An operator's orders, obeyed between two groups.

use std::time::Duration;

use headwater_capture::postgres::{error::Failure, position, source::resync::ResyncFrom};
use headwater_storage::{CatalogChange, DataDirectory, Gap, Instance, Pause, StorageError};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::Writer;
use crate::{
    instance::{
        feeds, no_thread,
        order::{Command, Done, Halt, Order, OrderError, check_reason, why_resync},
        pause::pause_state,
        registrar, resync,
    },
    limits::RESYNC_LIMIT,
    stop::stopped,
};

/// For taking back the creation of a slot.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

impl Writer {
    /// Does what was asked and answers.
    ///
    /// # Errors
    /// A log or catalog that failed for good; it is also answered.
    pub(super) fn obey(&mut self, order: Order, runtime: &Handle) -> Result<(), StorageError> {
        let Order { command, answer } = order;
        if answer.is_closed() {
            return Ok(());
        }
        let done = match command {
            Command::Pause { reason } => self.pause(reason, runtime),
            Command::Resume => self.resume(),
            Command::Resync { from, force } => self.resync(from, force, runtime),
        };
        let (told, ends) = match done {
            Ok(done) => (Ok(done), None),
            Err(Halt::Order(error)) => (Err(error), None),
            Err(Halt::Storage(error @ (StorageError::Invalid(_) | StorageError::NoSpace(_)))) => {
                (Err(OrderError::Failed(error.to_string())), None)
            }
            Err(Halt::Storage(error)) => (Err(OrderError::Failed(error.to_string())), Some(error)),
        };
        // Who asked may have gone; the state tells it too.
        drop(answer.send(told));
        ends.map_or(Ok(()), Err)
    }

    fn pause(&mut self, reason: String, runtime: &Handle) -> Result<Done, Halt> {
        check_reason(&reason)?;
        let name = &self.instance;
        if self.stored()?.pause.is_some() {
            return Err(OrderError::Refused(format!("instance {name} is paused already")).into());
        }
        if self.source.is_temporary() {
            return Err(OrderError::Refused(format!(
                "instance {name} has a temporary slot, which ends with its connection: a pause would lose changes; \
                 start with --data DIR for a durable slot"
            ))
            .into());
        }
        let pause = Pause {
            since_ms: self.surroundings.clock.wall_ms(),
            reason,
        };
        info!(instance = self.instance, reason = pause.reason, "paused");
        self.store_pause(Some(pause))?;
        // What was too large is tried again behind the pause, not in it.
        self.standstill.send_replace(None);
        self.rest(runtime)?;
        Ok(Done::Paused)
    }

    fn resume(&mut self) -> Result<Done, Halt> {
        let name = &self.instance;
        match self.stored()?.pause {
            Some(_) => self.store_pause(None)?,
            None if !self.stands_still() => {
                return Err(OrderError::Refused(format!("instance {name} is not paused")).into());
            }
            None if self.source.is_temporary() => {
                return Err(OrderError::Refused(format!(
                    "instance {name} had a temporary slot, which has ended: start again with more room"
                ))
                .into());
            }
            None => {}
        }
        info!(instance = self.instance, "resumed");
        self.start_source()?;
        Ok(Done::Resumed)
    }

    fn resync(&mut self, from: ResyncFrom, force: bool, runtime: &Handle) -> Result<Done, Halt> {
        let stored = self.stored()?;
        let state = match &stored.pause {
            Some(pause) => pause_state(&self.instance, pause),
            None => self.state(),
        };
        let reason = why_resync(&self.instance, &state, force)?;
        self.rest(runtime)?;
        let begun = self.begin_anew(from, runtime);
        let resynced = match begun {
            Ok(to) => self.step_over(&stored, to, reason),
            Err(failure) => Err(OrderError::Failed(told(&failure)).into()),
        };
        // Whatever came of it: the source tells its state by trying.
        self.start_source()?;
        resynced
    }

    fn step_over(&mut self, stored: &Instance, to: Vec<u8>, reason: String) -> Result<Done, Halt> {
        let clock = self.surroundings.clock;
        let gap = Gap {
            incarnation: stored.incarnation + 1,
            from: self
                .journal
                .position(super::SOURCE)
                .unwrap_or_default()
                .to_vec(),
            to,
            at_ms: clock.wall_ms(),
            reason,
        };
        let directory = &self.surroundings.directory;
        resync::begin((directory, &mut self.journal), stored, &gap, clock.now())?;
        warn!(
            instance = self.instance,
            from = position::shown(&gap.from),
            to = position::shown(&gap.to),
            incarnation = gap.incarnation,
            reason = gap.reason,
            "resync: what was changed between the two positions is not in the log"
        );
        Ok(Done::Resynced(gap))
    }

    /// The new position. Gives up after [`RESYNC_LIMIT`], or when the broker stops.
    fn begin_anew(&self, from: ResyncFrom, runtime: &Handle) -> Result<Vec<u8>, Failure> {
        let (cancel, cancelled) = watch::channel(false);
        let mut stop = self.surroundings.stop.clone();
        let status = self.source.status();
        let stored = self.journal.position(super::SOURCE);
        runtime.block_on(async {
            let mut begun = Box::pin(self.source.begin_anew(stored, from, cancelled));
            tokio::select! {
                begun = &mut begun => return begun,
                () = stopped(&mut stop) => {}
                () = sleep(RESYNC_LIMIT) => {}
            }
            let waited_for = status.borrow().state.reason().map(str::to_owned);
            cancel.send_replace(true);
            drop(timeout(CANCEL_LIMIT, begun).await);
            let why = waited_for.unwrap_or_else(|| "no answer from the server".to_owned());
            Err(Failure {
                class: headwater_capture::postgres::error::FailureClass::Retry,
                reason: format!("not within {} s: {why}", RESYNC_LIMIT.as_secs()),
                fix: "try again when that has ended".to_owned(),
            })
        })
    }

    /// Nothing is read any more; an unfinished group is taken back, the source sends it again.
    pub(super) fn rest(&mut self, runtime: &Handle) -> Result<(), StorageError> {
        runtime.block_on(self.source.stop());
        self.take_back()
    }

    /// The first start.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(in crate::instance) fn begin(&mut self) -> Result<(), StorageError> {
        let formats = feeds::formats(&self.feeds, self.registrar.feeds(), &self.journal);
        let position = self.journal.position(super::SOURCE).map(<[u8]>::to_vec);
        let catalog = self.surroundings.directory.catalog();
        let keys = registrar::known_keys(catalog.schemas_of(self.registrar.instance()));
        self.source
            .start(formats, keys, position)
            .map_err(no_thread)
    }

    /// Begins anew behind what the log has.
    pub(super) fn start_source(&mut self) -> Result<(), StorageError> {
        self.registrar.forget_tables();
        self.source_ended = false;
        self.standstill.send_replace(None);
        self.begin()
    }

    fn stored(&self) -> Result<Instance, StorageError> {
        stored(&self.surroundings.directory, &self.instance)
    }

    fn store_pause(&self, pause: Option<Pause>) -> Result<(), StorageError> {
        let stored = self.stored()?;
        let change = CatalogChange::Instance(Instance { pause, ..stored });
        self.surroundings.directory.change(vec![change]).map(drop)
    }
}

/// What the catalog has of an instance that runs.
pub(in crate::instance) fn stored(
    directory: &DataDirectory,
    name: &str,
) -> Result<Instance, StorageError> {
    let catalog = directory.catalog();
    let stored = catalog.instance_by_name(name);
    let stored = stored.map(|instance| (**instance).clone());
    stored.ok_or_else(|| StorageError::Invalid(format!("no instance {name} in the catalog")))
}

fn told(failure: &Failure) -> String {
    if failure.fix.is_empty() {
        return failure.reason.clone();
    }
    format!("{}: {}", failure.reason, failure.fix)
}
