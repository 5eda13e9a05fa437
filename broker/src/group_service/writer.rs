//! The thread `groups`: makes what the groups decided durable, everything that is waiting with one sync.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use headwater_storage::{GroupNumber, GroupWrite, PositionStore, StorageError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::limits::GROUP_WRITES_QUEUED;

/// Hands writes to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Told when it is durable, or why it is not.
type Done = oneshot::Sender<Result<(), String>>;

#[derive(Debug)]
enum Job {
    Write(Box<GroupWrite>, Done),
    Forget(GroupNumber, Done),
    Stop,
}

impl Writer {
    pub(super) fn start(
        store: Arc<PositionStore>,
        failed: watch::Sender<Option<String>>,
    ) -> Result<Self, StorageError> {
        let (jobs, queue) = mpsc::channel(GROUP_WRITES_QUEUED);
        let thread = thread::Builder::new()
            .name("groups".to_owned())
            .spawn(move || run(&store, queue, &failed));
        let thread = thread
            .map_err(|error| StorageError::Invalid(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            jobs,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Returns when it is durable. Writes of one group must not overlap: its lock is held meanwhile.
    pub(super) async fn write(&self, write: GroupWrite) -> Result<(), String> {
        self.ask(|done| Job::Write(Box::new(write), done)).await
    }

    /// Returns when nothing of the group is left (`PositionStore::forget`).
    pub(super) async fn forget(&self, group: GroupNumber) -> Result<(), String> {
        self.ask(|done| Job::Forget(group, done)).await
    }

    /// Ends the thread behind what it was given. Later writes are refused.
    pub(super) async fn stop(&self) {
        // A thread that has ended takes no message, and need not.
        self.jobs.send(Job::Stop).await.ok();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        drop(joined);
    }

    async fn ask(&self, job: impl FnOnce(Done) -> Job) -> Result<(), String> {
        let stopped = || "the broker stops".to_owned();
        let (done, answer) = oneshot::channel();
        self.jobs.send(job(done)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn run(
    store: &PositionStore,
    mut queue: mpsc::Receiver<Job>,
    failed: &watch::Sender<Option<String>>,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut stops = false;
        while let Some(job) = next {
            match job {
                Job::Write(write, done) => batch.push(*write, done),
                Job::Forget(group, done) => {
                    // Behind what was written of it.
                    batch.write(store, failed);
                    tell(done, store.forget(group), failed);
                }
                Job::Stop => stops = true,
            }
            next = if stops { None } else { queue.try_recv().ok() };
        }
        batch.write(store, failed);
        if stops {
            return;
        }
    }
}

/// What becomes durable together.
#[derive(Default)]
struct Batch {
    writes: Vec<GroupWrite>,
    waiting: Vec<Done>,
}

impl Batch {
    fn push(&mut self, write: GroupWrite, done: Done) {
        self.writes.push(write);
        self.waiting.push(done);
    }

    fn write(&mut self, store: &PositionStore, failed: &watch::Sender<Option<String>>) {
        let (writes, waiting) = (
            std::mem::take(&mut self.writes),
            std::mem::take(&mut self.waiting),
        );
        if writes.is_empty() {
            return;
        }
        let written = store.write(&writes);
        let line = written.as_ref().err().map(ToString::to_string);
        for done in waiting {
            // Whoever asked may be gone.
            done.send(line.clone().map_or(Ok(()), Err)).ok();
        }
        report(written, failed);
    }
}

fn tell(done: Done, result: Result<(), StorageError>, failed: &watch::Sender<Option<String>>) {
    let line = result.as_ref().err().map(ToString::to_string);
    done.send(line.map_or(Ok(()), Err)).ok();
    report(result, failed);
}

/// A store that is poisoned ends the process: what it may have lost must not be called durable later.
fn report(result: Result<(), StorageError>, failed: &watch::Sender<Option<String>>) {
    if let Err(error @ StorageError::Poisoned(_)) = result {
        failed.send_replace(Some(format!("consumer groups: {error}")));
    }
}
