//! What a fetch answers with: stored batches, within the limits of the request and of the broker.

use std::sync::Arc;

use headwater_protocol::response::Piece;
use headwater_storage::{Batches, FileRange, Log, RingRead};

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
    /// The client's socket takes bytes from files.
    sends_files: bool,
    files: Vec<FilePart>,
}

/// Records of a response that are sent from a file.
#[derive(Debug)]
pub(crate) struct FilePart {
    pub(crate) range: FileRange,
    /// Whose file it is.
    pub(crate) log: Arc<Log>,
}

impl Reader {
    /// A reader for one response of at most `bytes_max`, less if the budget of unsent responses has less.
    pub(super) fn new(ctx: &Context<'_>, bytes_max: usize) -> Self {
        let share = ctx.shared.responses.take_up_to(bytes_max);
        Self {
            bytes_left: share.bytes(),
            taken: 0,
            share,
            sends_files: ctx.session.entrance.certificate.is_none(),
            files: Vec::new(),
        }
    }

    /// Batches from the one that holds `offset` on: whole ones, within the limits, except that the very first of
    /// the response always goes (KIP-74).
    pub(super) async fn read(
        &mut self,
        partition: &Partition,
        offset: i64,
        partition_bytes_max: usize,
    ) -> Result<Vec<Piece>, Refusal> {
        let bytes_max = self.bytes_left.min(partition_bytes_max);
        if self.taken > 0 && bytes_max == 0 {
            return check_range(partition, offset).map(|()| Vec::new());
        }
        let batches = batches(partition, offset, bytes_max, self.sends_files).await?;
        let bytes = batches.iter().map(Batches::size).sum();
        if self.taken > 0 && bytes > bytes_max {
            // Nor would the batches of later partitions: they are not read in vain.
            self.bytes_left = 0;
            return Ok(Vec::new());
        }
        self.taken += bytes;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        let pieces = batches.into_iter().map(|it| self.piece(partition, it));
        Ok(pieces.collect())
    }

    fn piece(&mut self, partition: &Partition, batches: Batches) -> Piece {
        match batches {
            Batches::Memory(bytes) => Piece::Memory(bytes),
            Batches::File(range) => {
                let (number, length) = (self.files.len(), range.size());
                let log = Arc::clone(&partition.log);
                self.files.push(FilePart { range, log });
                Piece::Elsewhere { number, length }
            }
        }
    }

    /// The budget's part that the response really holds, and what it has in files.
    pub(super) fn finish(mut self) -> (Share, Vec<FilePart>) {
        self.share.set(self.taken);
        (self.share, self.files)
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

/// On this thread from the ring, and places in files that are in memory; files are read off the runtime.
async fn batches(
    partition: &Partition,
    offset: i64,
    bytes_max: usize,
    sends_files: bool,
) -> Result<Vec<Batches>, Refusal> {
    match partition.log.read_ring(partition.topic, offset, bytes_max) {
        RingRead::Batches(batches) => {
            return Ok(batches.into_iter().map(Batches::Memory).collect());
        }
        RingRead::OutOfRange { .. } => return Err(Refusal::OffsetOutOfRange),
        RingRead::UnknownTopic => return Err(Refusal::UnknownTopicOrPartition),
        RingRead::NotInRing => {}
    }
    if sends_files
        && let Some(batches) = partition
            .log
            .send_at_once(partition.topic, offset, bytes_max)
    {
        return Ok(batches);
    }
    let (log, topic) = (Arc::clone(&partition.log), partition.topic);
    let read = move || {
        if sends_files {
            return log.read_to_send(topic, offset, bytes_max);
        }
        let read = log.read(topic, offset, bytes_max)?;
        Ok(read.into_iter().map(Batches::Memory).collect())
    };
    // A read that panicked found damage that it could not name.
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|_| Refusal::CorruptMessage)?
        .map_err(|error| Refusal::from(&error))
}
