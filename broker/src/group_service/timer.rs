//! What time does to groups: sessions end, groups of first use vanish, the copy of the positions is written. One task
//! for all groups, which sleeps while none has members.

use std::sync::Arc;

use headwater_storage::GroupWrite;
use tokio::{sync::watch, time::sleep};
use tracing::{error, info};

use super::{GroupService, LiveGroup};
use crate::{
    error_code::Refusal,
    limits::{GROUP_TICK, IDLE_NOTE_INTERVAL, POSITIONS_COPY_INTERVAL},
    stop::stopped,
};

impl GroupService {
    /// Runs until the broker stops.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = self.tick_sessions() => {}
            () = self.copy_positions() => {}
            () = self.watch_first_uses() => {}
        }
    }

    async fn tick_sessions(&self) {
        loop {
            let now = self.clock.monotonic();
            let mut busy = false;
            for group in self.registry.live() {
                // Somebody who has it extends a session, or ends one.
                let Some(live) = group.try_lock() else {
                    busy = true;
                    continue;
                };
                let deadline = live.coordinator.next_deadline();
                drop(live);
                busy |= deadline.is_some();
                if deadline.is_some_and(|deadline| deadline <= now) {
                    self.tick(&group).await;
                }
            }
            if busy {
                sleep(GROUP_TICK).await;
            } else {
                self.busy.notified().await;
            }
        }
    }

    async fn tick(&self, group: &LiveGroup) {
        match self
            .ask(group, |coordinator, now| coordinator.tick(now))
            .await
        {
            // Deleted meanwhile: nothing is left to end.
            Ok(()) | Err(Refusal::GroupIdNotFound) => {}
            Err(refusal) => error!(group = group.id, ?refusal, "a session's end is not durable"),
        }
    }

    async fn copy_positions(&self) {
        loop {
            sleep(POSITIONS_COPY_INTERVAL).await;
            self.write_copy().await;
        }
    }

    /// Counts how long the broker ran, not what the wall clock says.
    async fn watch_first_uses(&self) {
        loop {
            sleep(IDLE_NOTE_INTERVAL).await;
            for group in self.registry.live() {
                if group.number.is_first_use() {
                    self.watch_first_use(&group).await;
                }
            }
        }
    }

    async fn watch_first_use(&self, group: &LiveGroup) {
        let Ok(mut live) = group.lock().await else {
            return;
        };
        let now = self.clock.now();
        let Some(idle) = live.idle(now.monotonic) else {
            return;
        };
        if idle.is_over() {
            let forgotten = if idle.stored {
                self.writer.forget(group.number).await
            } else {
                Ok(())
            };
            if forgotten.is_ok() {
                live.end();
                self.registry.remove(group);
                info!(
                    group = group.id,
                    "group of first use vanished: nobody used it for a day"
                );
            }
            return;
        }
        let write = GroupWrite {
            group: group.number,
            at_ms: now.wall_ms,
            who: String::new(),
            positions: Vec::new(),
            membership: None,
            event: None,
            first_use: Some(idle.record.clone()),
        };
        if self.writer.write(write).await.is_ok() {
            live.noted_idle(idle.record, now.monotonic);
        }
    }
}
