//! The newest batches of all topics in memory, shared with readers without a copy.
//!
//! One budget for all: the oldest batch goes first, whatever topic it is of. So what is left of a topic is always
//! its newest part, without holes. Lookups are binary searches. No lock here: `log` has it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::number::TopicNumber;

/// A batch in the ring.
#[derive(Debug, Clone)]
pub(crate) struct RingBatch {
    pub(crate) base_offset: i64,
    pub(crate) end_offset: i64,
    /// Running maximum timestamp of the topic before this batch.
    pub(crate) max_before: i64,
    /// Bytes of memory held: the allocation may be larger than the batch.
    pub(crate) memory: usize,
    pub(crate) bytes: Bytes,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Ring {
    limit: usize,
    used: usize,
    /// The topic of each batch, oldest first.
    order: VecDeque<TopicNumber>,
    topics: HashMap<TopicNumber, VecDeque<RingBatch>>,
}

impl Ring {
    /// `limit`: bytes of memory.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            order: VecDeque::new(),
            topics: HashMap::new(),
        }
    }

    /// Bytes of memory held.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Puts the topic's next batch in. What falls out is given back, to be freed outside of a lock.
    pub(crate) fn push(&mut self, topic: TopicNumber, batch: RingBatch, out: &mut Vec<Bytes>) {
        self.used += batch.memory;
        self.order.push_back(topic);
        self.topics.entry(topic).or_default().push_back(batch);
        while self.used > self.limit {
            let Some(oldest) = self.pop() else { break };
            out.push(oldest.bytes);
        }
    }

    /// Empties it: a batch that is not kept follows.
    pub(crate) fn clear(&mut self, out: &mut Vec<Bytes>) {
        while let Some(batch) = self.pop() {
            out.push(batch.bytes);
        }
    }

    /// Takes out the oldest batches while they end at or before the `start` of their topic: files are deleted oldest
    /// first, and so is what they had.
    pub(crate) fn trim(&mut self, start: impl Fn(TopicNumber) -> i64, out: &mut Vec<Bytes>) {
        while let Some(topic) = self.order.front().copied() {
            let oldest = self.topics.get(&topic).and_then(VecDeque::front);
            if oldest.is_none_or(|batch| batch.end_offset > start(topic)) {
                return;
            }
            out.extend(self.pop().map(|batch| batch.bytes));
        }
    }

    fn pop(&mut self) -> Option<RingBatch> {
        let topic = self.order.pop_front()?;
        let batches = self.topics.get_mut(&topic)?;
        let batch = batches.pop_front()?;
        if batches.is_empty() {
            self.topics.remove(&topic);
        }
        self.used -= batch.memory;
        Some(batch)
    }

    /// Batches from the one that holds `offset` on: as many as `bytes_max` lets, at least one. `None`: not here.
    pub(crate) fn read(
        &self,
        topic: TopicNumber,
        offset: i64,
        bytes_max: usize,
    ) -> Option<Vec<Bytes>> {
        let batches = self.topics.get(&topic)?;
        let at = batches.partition_point(|batch| batch.end_offset <= offset);
        batches
            .get(at)
            .filter(|batch| batch.base_offset <= offset)?;
        let mut found: Vec<Bytes> = Vec::new();
        let mut size = 0;
        for batch in batches.range(at..) {
            size += batch.bytes.len();
            if size > bytes_max && !found.is_empty() {
                break;
            }
            found.push(batch.bytes.clone());
        }
        Some(found)
    }

    /// The first batch with a timestamp of at least `timestamp`, if it is here. `max_timestamp`: the topic's
    /// running maximum, not below `timestamp`.
    pub(crate) fn at_time(&self, topic: TopicNumber, timestamp: i64) -> Option<Bytes> {
        let batches = self.topics.get(&topic)?;
        let behind = batches.partition_point(|batch| batch.max_before < timestamp);
        // Behind 0: an older batch, no longer here, has such a timestamp already.
        let at = behind.checked_sub(1)?;
        batches.get(at).map(|batch| batch.bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicNumber = TopicNumber(1);
    const OTHER: TopicNumber = TopicNumber(2);

    fn batch(base_offset: i64, size: u8, max_before: i64) -> RingBatch {
        RingBatch {
            base_offset,
            end_offset: base_offset + 10,
            max_before,
            memory: usize::from(size),
            bytes: Bytes::from(vec![size; usize::from(size)]),
        }
    }

    fn filled() -> Ring {
        let mut ring = Ring::new(100);
        let mut out = Vec::new();
        ring.push(TOPIC, batch(0, 30, i64::MIN), &mut out);
        ring.push(OTHER, batch(0, 20, i64::MIN), &mut out);
        ring.push(TOPIC, batch(10, 40, 500), &mut out);
        assert!(out.is_empty(), "all of it fits");
        ring
    }

    #[test]
    fn an_offset_inside_a_batch_gives_that_batch_and_those_behind_it() {
        let ring = filled();
        let sizes = |offset, max| {
            let found = ring.read(TOPIC, offset, max);
            found.map(|batches| batches.iter().map(Bytes::len).collect::<Vec<_>>())
        };
        assert_eq!(sizes(5, 1000), Some(vec![30, 40]));
        assert_eq!(sizes(9, 69), Some(vec![30]));
        assert_eq!(sizes(9, 70), Some(vec![30, 40]));
        assert_eq!(sizes(10, 1), Some(vec![40]), "one at least");
        assert_eq!(sizes(20, 1000), None);
    }

    #[test]
    fn the_oldest_batch_of_any_topic_falls_out_first() {
        let mut ring = filled();
        let mut out = Vec::new();
        ring.push(OTHER, batch(10, 35, 0), &mut out);
        assert_eq!(out.iter().map(Bytes::len).collect::<Vec<_>>(), [30]);
        assert_eq!(ring.used(), 95);
        assert!(ring.read(TOPIC, 5, 1000).is_none());
        assert!(ring.read(TOPIC, 10, 1000).is_some());
        assert!(ring.read(OTHER, 0, 1000).is_some());
    }

    #[test]
    fn a_batch_larger_than_the_ring_does_not_stay() {
        let mut ring = filled();
        let mut out = Vec::new();
        ring.push(TOPIC, batch(20, 101, 900), &mut out);
        assert_eq!((out.len(), ring.used()), (4, 0));
    }

    #[test]
    fn a_time_is_found_by_the_running_maximum_unless_an_older_batch_may_have_it() {
        let mut ring = filled();
        let size = |ring: &Ring, time| ring.at_time(TOPIC, time).map(|bytes| bytes.len());
        assert_eq!(size(&ring, 400), Some(30));
        assert_eq!(size(&ring, 500), Some(30));
        assert_eq!(size(&ring, 501), Some(40));
        let mut out = Vec::new();
        ring.push(OTHER, batch(10, 35, 0), &mut out);
        assert_eq!(size(&ring, 500), None, "the batch with time 500 is gone");
    }
}
