//! OffsetCommit: who may move the group. The caller keeps the group still until the position is durable, so that check
//! and write are one step.

use headwater_storage::Now;

use super::{
    coordinator::{Coordinator, Phase, Role},
    member::Caller,
};
use crate::error_code::Refusal;

impl Coordinator {
    /// Whether this caller may commit now; extends its session. `generation` below 0 with no member id is a consumer
    /// that assigns its partitions itself, or a tool: only while nobody is there.
    pub(crate) fn check_commit(
        &mut self,
        now: Now,
        caller: Caller<'_>,
        generation: i32,
    ) -> Result<(), Refusal> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        let key = self.find_current(now, caller, generation)?;
        match (self.role(key), self.phase) {
            (Role::Active, Phase::Stable { .. }) => Ok(()),
            (Role::Active, Phase::Completing { .. }) => Err(Refusal::RebalanceInProgress),
            (Role::Active, Phase::Idle | Phase::Promoting { .. })
            | (Role::Candidate | Role::Standby, _) => Err(Refusal::IllegalGeneration),
        }
    }
}
