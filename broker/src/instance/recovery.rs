//! What the start of a log found, told to the operator.

use headwater_storage::{Recovered, StorageError};
use tracing::{error, info, warn};

/// Tells it.
///
/// # Errors
/// [`StorageError::Damaged`] where it is no longer known how far the source was captured: capture could neither go on
/// nor stay away without losing or doubling changes, so a person has to decide.
pub(super) fn tell(instance: &str, recovered: &Recovered) -> Result<(), StorageError> {
    let Recovered {
        group,
        torn_tail,
        damage,
        lost_positions,
        rewritten_bytes,
    } = recovered;
    if let Some(torn) = torn_tail {
        let (file, position, bytes) = (torn.file, torn.position, torn.bytes);
        warn!(
            instance,
            file,
            position,
            bytes,
            "cut off a group that was never finished; the source sends it again"
        );
    }
    for damage in damage {
        let (file, from, to) = (damage.file, damage.from, damage.to);
        let topics = damage.offsets.len();
        error!(
            instance,
            file,
            from,
            to,
            topics,
            "damage in the log: fetches there answer CORRUPT_MESSAGE, the rest is readable"
        );
    }
    if !lost_positions.is_empty() {
        return Err(StorageError::Damaged(format!(
            "the log of instance {instance} does not say how far its source was captured: restore the data directory, or \
             start with an empty one"
        )));
    }
    info!(instance, group, rewritten_bytes, "log opened");
    Ok(())
}
