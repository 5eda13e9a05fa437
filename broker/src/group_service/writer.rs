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

#[cfg(test)]
mod tests {
    use headwater_storage::{
        DataDirectory, GroupEvent, Position, StoreOptions, TopicNumber, TopicPartition,
        disk::model::ModelDisk,
        meta::memory::{CommitEnd, MemoryMeta},
    };

    use super::*;

    const GROUP: GroupNumber = GroupNumber(1);
    const AT: TopicPartition = TopicPartition {
        topic: TopicNumber(1),
        partition: 0,
    };

    fn store(disk: &ModelDisk, meta: Arc<MemoryMeta>) -> Arc<PositionStore> {
        let disk = Arc::new(disk.clone());
        let directory = DataDirectory::open_on(disk, meta, &StoreOptions::default());
        let opened = directory.expect("opens").open_positions();
        Arc::new(opened.expect("opens"))
    }

    fn commit(offset: i64) -> GroupWrite {
        let position = Position {
            offset,
            leader_epoch: -1,
            commit_ms: 0,
            metadata: String::new(),
        };
        GroupWrite {
            group: GROUP,
            at_ms: 0,
            who: "client".to_owned(),
            positions: vec![(AT, Some(position))],
            membership: None,
            event: Some(GroupEvent::Commit),
            first_use: None,
        }
    }

    /// Where a start behind a power cut finds the group.
    fn durable(disk: &ModelDisk, meta: &MemoryMeta) -> Option<i64> {
        let store = store(&disk.kill(), Arc::new(meta.restart()));
        let found = store.position(GROUP, AT).expect("is readable");
        found.map(|position| position.offset)
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_durable_and_a_failed_write_is_told_to_all_and_ends_the_process()
     {
        let disk = ModelDisk::new();
        let meta = Arc::new(MemoryMeta::new());
        let store = store(&disk, Arc::clone(&meta));
        let (failed, mut heard) = watch::channel(None);
        let writer = Writer::start(store, failed).expect("starts");
        for offset in 1..=3 {
            assert_eq!(writer.write(commit(offset)).await, Ok(()));
            assert_eq!(durable(&disk, &meta), Some(offset));
        }
        meta.fail_at(meta.commit_count(), CommitEnd::Before);
        let answers = tokio::join!(writer.write(commit(4)), writer.write(commit(5)));
        assert!(answers.0.is_err() && answers.1.is_err(), "{answers:?}");
        let line = heard.wait_for(Option::is_some).await.expect("is told");
        assert!(line.as_ref().is_some_and(|line| line.contains("groups")));
        drop(line);
        assert_eq!(durable(&disk, &meta), Some(3));
        writer.stop().await;
        assert!(writer.write(commit(6)).await.is_err(), "the thread is gone");
    }
}
