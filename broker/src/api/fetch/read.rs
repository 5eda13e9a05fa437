//! What a fetch answers with: stored batches, within the limits of the request and of the broker.

use std::sync::Arc;

use bytes::Bytes;
use headwater_storage::RingRead;

use crate::{
    budget::Share,
    context::{Context, Partition},
    error_code::Refusal,
};

/// Reads the partitions of one fetch, one after another.
#[derive(Debug)]
pub(super) struct Reader {
    /// What this response may still carry.
    bytes_left: usize,
    /// Taken so far, and what of the budget was set aside for the rest.
    taken: usize,
    share: Share,
}

impl Reader {
    /// A reader for one response of at most `bytes_max`, less if the budget of unsent responses has less.
    pub(super) fn new(ctx: &Context<'_>, bytes_max: usize) -> Self {
        let share = ctx.shared.responses.take_up_to(bytes_max);
        Self {
            bytes_left: share.bytes(),
            taken: 0,
            share,
        }
    }

    /// Batches from the one that holds `offset` on: whole ones, within the limits, except that the very first of
    /// the response always goes (KIP-74).
    pub(super) async fn read(
        &mut self,
        partition: &Partition,
        offset: i64,
        partition_bytes_max: usize,
    ) -> Result<Vec<Bytes>, Refusal> {
        let bytes_max = self.bytes_left.min(partition_bytes_max);
        if self.taken > 0 && bytes_max == 0 {
            return check_range(partition, offset).map(|()| Vec::new());
        }
        let batches = batches(partition, offset, bytes_max).await?;
        let bytes = batches.iter().map(Bytes::len).sum();
        if self.taken > 0 && bytes > bytes_max {
            // Nor would the batches of later partitions: they are not read in vain.
            self.bytes_left = 0;
            return Ok(Vec::new());
        }
        self.taken += bytes;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        Ok(batches)
    }

    /// The budget's part that the response really holds.
    pub(super) fn into_share(mut self) -> Share {
        self.share.set(self.taken);
        self.share
    }
}

/// An offset is judged even where nothing more fits.
fn check_range(partition: &Partition, offset: i64) -> Result<(), Refusal> {
    let ends = partition
        .log
        .ends(partition.topic)
        .ok_or(Refusal::UnknownTopicOrPartition)?;
    if (ends.start..=ends.end).contains(&offset) {
        Ok(())
    } else {
        Err(Refusal::OffsetOutOfRange)
    }
}

/// From the ring on this thread; files are read off the runtime.
async fn batches(
    partition: &Partition,
    offset: i64,
    bytes_max: usize,
) -> Result<Vec<Bytes>, Refusal> {
    match partition.log.read_ring(partition.topic, offset, bytes_max) {
        RingRead::Batches(batches) => return Ok(batches),
        RingRead::OutOfRange { .. } => return Err(Refusal::OffsetOutOfRange),
        RingRead::UnknownTopic => return Err(Refusal::UnknownTopicOrPartition),
        RingRead::NotInRing => {}
    }
    let (log, topic) = (Arc::clone(&partition.log), partition.topic);
    let read = tokio::task::spawn_blocking(move || log.read(topic, offset, bytes_max)).await;
    // A read that panicked found damage that it could not name.
    read.map_err(|_| Refusal::CorruptMessage)?
        .map_err(|error| Refusal::from(&error))
}
