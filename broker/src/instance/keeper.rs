//! The thread that seals an instance's finished files, rereads sealed ones and deletes old ones: steps and rests, nothing else. What
//! happened is logged and counted here.

use std::time::Duration;

use headwater_storage::{
    DeletedBecause, DeletedRange, InstanceNumber, Keeper, KeeperEvent, SegmentDamage, StorageError,
    TopicNumber,
};
use tokio::{runtime::Handle, time::timeout};
use tracing::{debug, error, info, warn};

use super::{Surroundings, farewell::Farewell};
use crate::{group_service::LostUnread, limits::SPACE_POLL, metrics::KeeperMetrics, stop::stopped};

/// The thread's state.
#[derive(Debug)]
pub(super) struct KeeperThread {
    instance: String,
    number: InstanceNumber,
    keeper: Keeper,
    metrics: KeeperMetrics,
    surroundings: Surroundings,
    /// When files were last deleted for space.
    spaced_at: Duration,
}

/// After files were deleted for space, the space is looked at again before more go.
const SPACE_SETTLES: Duration = SPACE_POLL.saturating_mul(3);

fn is_for_space(event: &KeeperEvent) -> bool {
    let space = DeletedBecause::Space;
    matches!(event, KeeperEvent::Deleted { because, .. } if *because == space)
}

impl KeeperThread {
    pub(super) fn new(
        (instance, number): (String, InstanceNumber),
        keeper: Keeper,
        metrics: KeeperMetrics,
        surroundings: Surroundings,
    ) -> Self {
        Self {
            instance,
            number,
            keeper,
            metrics,
            surroundings,
            spaced_at: Duration::ZERO,
        }
    }

    /// Runs until the broker stops or the disk fails, which it then tells.
    pub(super) fn run(self, runtime: &Handle) {
        let failed = self.surroundings.failed.clone();
        let farewell = Farewell::of(&self.instance, "keeper", failed);
        let instance = self.instance.clone();
        let worked = self.work(runtime);
        farewell.ends(
            worked
                .err()
                .map(|error| format!("instance {instance}: {error}")),
        );
    }

    fn work(mut self, runtime: &Handle) -> Result<(), StorageError> {
        let clock = self.surroundings.clock;
        loop {
            let wanted = self.surroundings.space.now().wanted;
            let has_looked = clock.monotonic() >= self.spaced_at + SPACE_SETTLES;
            self.keeper.want_space(if has_looked { wanted } else { 0 });
            let step = self.keeper.step(clock.now())?;
            if let Some(event) = step.event {
                if is_for_space(&event) {
                    self.spaced_at = clock.monotonic();
                }
                self.tell(&event);
            }
            if self.rest(runtime, step.rest) {
                return self.keeper.close(clock.now());
            }
        }
    }

    /// Whether the broker stopped meanwhile, or was dropped without a stop.
    fn rest(&self, runtime: &Handle, rest: Duration) -> bool {
        let mut stop = self.surroundings.stop.clone();
        runtime.block_on(async { timeout(rest, stopped(&mut stop)).await.is_ok() })
    }

    fn tell(&self, event: &KeeperEvent) {
        let instance = self.instance.as_str();
        match event {
            KeeperEvent::Sealed { file, bytes } => {
                self.metrics.sealed.inc();
                debug!(instance, file, bytes, "file sealed");
            }
            KeeperEvent::Damaged { file, from, to } => {
                self.metrics.damaged.inc();
                error!(
                    instance,
                    file,
                    from,
                    to,
                    "damage in a file of the log: it is not sealed; fetches there answer CORRUPT_MESSAGE, the rest is readable"
                );
            }
            KeeperEvent::Scrubbed { damage } => self.tell_damage(damage),
            KeeperEvent::ScrubFailed { file, why } => {
                self.metrics.scrub_failed.inc();
                error!(
                    instance,
                    file, why, "cannot reread a sealed file of the log: the disk may be failing"
                );
            }
            KeeperEvent::SealFailed { file, why } => {
                warn!(
                    instance,
                    file, why, "cannot seal a file now; it is tried again"
                );
            }
            KeeperEvent::Deleted {
                files,
                bytes,
                because,
                ranges,
            } => {
                let because = reason(*because);
                self.metrics.deleted(because, *files, *bytes);
                let topics = ranges.len();
                info!(
                    instance,
                    files, bytes, because, topics, "retention deleted the oldest files"
                );
                self.tell_groups(ranges);
            }
            KeeperEvent::ClockJumped { by_ms } => {
                self.metrics.clock_jumps.inc();
                warn!(
                    instance,
                    by_ms,
                    "the wall clock jumped; retention does not depend on it, and nothing is deleted"
                );
            }
        }
    }

    fn tell_damage(&self, damage: &SegmentDamage) {
        self.metrics.damaged.inc();
        let SegmentDamage { file, from, to, .. } = *damage;
        let instance = self.instance.as_str();
        let Some(lost) = damage.lost else {
            error!(
                instance,
                file,
                from,
                to,
                "damage in a sealed file of the log, where nothing is stored that fetches need: all records are readable"
            );
            return;
        };
        let (first, end) = (lost.from, lost.to);
        error!(
            instance,
            file,
            from,
            to,
            topic = self.topic(lost.topic),
            "damage in a sealed file of the log: fetches of offsets {first} to {end} (exclusive) answer CORRUPT_MESSAGE, the \
             rest is readable"
        );
    }

    fn topic(&self, number: TopicNumber) -> String {
        let catalog = self.surroundings.directory.catalog();
        let topic = catalog.topic(number);
        topic.map_or_else(|| number.to_string(), |topic| topic.name.clone())
    }

    /// One line for each group that lost what it had not read.
    fn tell_groups(&self, deleted: &[DeletedRange]) {
        let groups = &self.surroundings.groups;
        match groups.lost_unread(self.number, deleted) {
            Ok(lost) => lost.iter().for_each(|lost| self.tell_group(lost)),
            Err(error) => {
                warn!(instance = self.instance, %error, "cannot tell which groups had not read what was deleted");
            }
        }
    }

    fn tell_group(&self, lost: &LostUnread) {
        self.metrics.unread_deleted.inc();
        let (offsets, topics) = (lost.offsets(), lost.ranges.len());
        let Some(first) = lost.ranges.first() else {
            return;
        };
        warn!(
            instance = self.instance,
            group = lost.group,
            offsets,
            topics,
            topic = self.topic(first.topic),
            from = first.from,
            to = first.to,
            "retention deleted records that a group had not read; its consumers get OFFSET_OUT_OF_RANGE at its position"
        );
    }
}

fn reason(because: DeletedBecause) -> &'static str {
    match because {
        DeletedBecause::Age => "age",
        DeletedBecause::Size => "size",
        DeletedBecause::Space => "space",
    }
}
