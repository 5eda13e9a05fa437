//! A new source incarnation: what the catalog must learn, and the log's step over the gap. Offsets go on.

use std::sync::Arc;

use headwater_storage::{
    Catalog, CatalogChange, CommitGroup, DataDirectory, GAPS_MAX, Gap, Instance, Journal,
    LeaderEpoch, Log, Now, PositionChange, StorageError, Topic,
};
use tracing::warn;

use super::SOURCE;

/// The instance with the gap, and its topics with an epoch more from their ends on. Pure.
fn plan(catalog: &Catalog, instance: &Instance, gap: &Gap, log: &Log) -> Vec<CatalogChange> {
    let mut gaps = instance.gaps.clone();
    gaps.push(gap.clone());
    gaps.drain(..gaps.len().saturating_sub(GAPS_MAX));
    let grown = Instance {
        incarnation: gap.incarnation,
        gaps,
        ..instance.clone()
    };
    let topics = catalog
        .topics_of(instance.number)
        .map(|topic| CatalogChange::Topic(with_next_epoch(topic, log)));
    std::iter::once(CatalogChange::Instance(grown))
        .chain(topics)
        .collect()
}

fn with_next_epoch(topic: &Arc<Topic>, log: &Log) -> Topic {
    let mut topic = (**topic).clone();
    topic.epochs.push(LeaderEpoch {
        epoch: topic.epoch() + 1,
        start_offset: log.ends(topic.number).map_or(0, |ends| ends.end),
    });
    topic
}

/// Records the gap and steps over it, durably: catalog first, so that the log can never be beyond a gap that nobody
/// is told of. Between the two, a start finishes it ([`finish`]). No group may be open.
///
/// # Errors
/// Those of catalog and journal.
pub(super) fn begin(
    (directory, journal): (&DataDirectory, &mut Journal),
    instance: &Instance,
    gap: &Gap,
    now: Now,
) -> Result<(), StorageError> {
    loop {
        let catalog = directory.catalog();
        let changes = plan(&catalog, instance, gap, journal.log());
        // Another instance's thread may change the catalog meanwhile, which does not concern this plan.
        match directory.change(changes.clone()) {
            Err(StorageError::Invalid(_))
                if directory.catalog().change_number() != catalog.change_number() => {}
            Err(error) => return Err(error),
            Ok(_) => {
                add_epochs(journal, &changes);
                return step_over(journal, gap, (directory, now));
            }
        }
    }
}

fn add_epochs(journal: &mut Journal, changes: &[CatalogChange]) {
    for change in changes {
        if let CatalogChange::Topic(topic) = change {
            journal.add_topic(topic);
        }
    }
}

/// Finishes what a crash left between catalog and log.
///
/// # Errors
/// Those of the journal.
pub(super) fn finish(
    journal: &mut Journal,
    instance: &Instance,
    (directory, now): (&DataDirectory, Now),
) -> Result<(), StorageError> {
    let position = journal.position(SOURCE).unwrap_or_default();
    let Some(gap) = instance.gaps.last().filter(|gap| gap.from == position) else {
        return Ok(());
    };
    if gap.to == position {
        return Ok(());
    }
    warn!(
        instance = instance.name,
        "finishing a resync that was broken off"
    );
    step_over(journal, gap, (directory, now))
}

fn step_over(
    journal: &mut Journal,
    gap: &Gap,
    (directory, now): (&DataDirectory, Now),
) -> Result<(), StorageError> {
    let group = CommitGroup {
        positions: vec![(SOURCE, PositionChange(gap.to.clone()))],
        commit_time_ms: None,
        schema_version: directory.catalog().schema_version(),
    };
    journal.ready_to_commit(&group)?;
    journal.commit(now, group).map(drop)
}

#[cfg(test)]
mod tests;
