//! When a fetch is answered: the long poll.

use std::time::Duration;

use headwater_storage::{RingRead, TopicNumber};
use kafka_protocol::messages::FetchRequest;
use tokio::time::timeout;

use super::{Wanted, WantedTopic};
use crate::{context::Context, limits::FETCH_WAIT_MAX, stop::stopped};

/// What a fetch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    bytes_min: usize,
    at_most: Duration,
}

impl Wait {
    pub(super) fn of(request: &FetchRequest) -> Self {
        let millis = u64::try_from(request.max_wait_ms).unwrap_or(0);
        Self {
            // More than a response may carry would never be reached.
            bytes_min: usize::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0),
            at_most: Duration::from_millis(millis).min(FETCH_WAIT_MAX),
        }
    }

    /// Returns when the fetch is to be answered, with what is there then.
    pub(super) async fn until_enough(self, ctx: &Context<'_>, wanted: &[WantedTopic]) {
        let waits = self.bytes_min > 0 && !self.at_most.is_zero();
        if !waits || self.missing(wanted) == 0 {
            return;
        }
        let parked = ctx.shared.waits.park(topics(wanted), self.bytes_min as u64);
        // Looked at again: a commit may have come between the look and the parking.
        let missing = self.missing(wanted);
        if missing == 0 {
            return;
        }
        parked.expect(missing as u64);
        let mut stop = ctx.shared.stop.clone();
        let enough_or_stop = async {
            tokio::select! {
                () = parked.woken() => {}
                () = stopped(&mut stop) => {}
            }
        };
        // Over the time is as good as woken: what is there is the answer.
        timeout(self.at_most, enough_or_stop).await.unwrap_or(());
    }

    /// Bytes that must still come; 0 if the answer must not wait, because enough is there or a partition has an
    /// error. Never more than really missing.
    fn missing(self, wanted: &[WantedTopic]) -> usize {
        let mut missing = self.bytes_min;
        for one in wanted.iter().flat_map(|topic| &topic.partitions) {
            match available(one, missing) {
                Some(bytes) => missing = missing.saturating_sub(bytes),
                None => return 0,
            }
            if missing == 0 {
                return 0;
            }
        }
        missing
    }
}

/// Bytes that are there for one partition, counted up to about `enough`; `None` for an error.
fn available(wanted: &Wanted, enough: usize) -> Option<usize> {
    let partition = wanted.partition.as_ref().ok()?;
    let ends = partition.log.ends(partition.topic)?;
    if wanted.offset == ends.end {
        return Some(0);
    }
    if !(ends.start..ends.end).contains(&wanted.offset) {
        return None;
    }
    if enough <= 1 {
        return Some(enough);
    }
    match partition
        .log
        .read_ring(partition.topic, wanted.offset, enough)
    {
        RingRead::Batches(batches) => Some(batches.iter().map(bytes::Bytes::len).sum()),
        // So far behind that waiting for more would be a loss.
        RingRead::NotInRing => Some(enough),
        RingRead::OutOfRange { .. } | RingRead::UnknownTopic => None,
    }
}

/// Each topic of the request once.
fn topics(wanted: &[WantedTopic]) -> Vec<TopicNumber> {
    let partitions = wanted.iter().flat_map(|topic| &topic.partitions);
    let known = partitions.filter_map(|one| one.partition.as_ref().ok());
    let mut topics: Vec<TopicNumber> = known.map(|partition| partition.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}
