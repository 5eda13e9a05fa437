//! Fetch sessions (KIP-227): a client names its partitions once, and later only what changed; the answer then tells
//! only what changed. Pure: no socket, no clock, no log.
//!
//! | the request says | it means |
//! |---|---|
//! | versions before 7; id 0, epoch -1 | no session, all partitions |
//! | id n, epoch -1 | session n ends; all partitions, no session |
//! | any id, epoch 0 | a session of the connection ends; all partitions; a new session begins if there is room |
//! | id n, epoch k > 0 | session n goes on: changed and forgotten partitions only |
//!
//! The epoch of a request is 1 after the full one, then one more each time; after 2^31-1 comes 1. An unknown session is
//! FETCH_SESSION_ID_NOT_FOUND, another epoch INVALID_FETCH_SESSION_EPOCH, names in a session of ids (or the other way)
//! FETCH_SESSION_TOPIC_ID_ERROR: upon each the client begins anew with epoch 0.
//!
//! A session belongs to the connection that opened it, and ends with it. So nobody can continue another principal's.

mod cache;

use std::collections::{BTreeMap, HashMap};

use headwater_protocol::fetch_response::FetchPartition;
use kafka_protocol::{
    messages::{FetchRequest, TopicName, fetch_request},
    protocol::StrBytes,
};
use uuid::Uuid;

pub(crate) use self::cache::{Begun, FetchSessions};
use crate::{error_code::Refusal, limits::FETCH_SESSION_PARTITION_BYTES};

/// A topic as the client names it: by name up to version 12, the id being zero; by id after that, the name being empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TopicRef {
    pub(crate) name: TopicName,
    pub(crate) id: Uuid,
}

/// What is asked of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) index: i32,
    pub(crate) offset: i64,
    pub(crate) bytes_max: i32,
    pub(crate) current_leader_epoch: i32,
}

impl From<&fetch_request::FetchPartition> for Asked {
    fn from(partition: &fetch_request::FetchPartition) -> Self {
        Self {
            index: partition.partition,
            offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    topic: TopicRef,
    index: i32,
}

#[derive(Debug)]
struct Cached {
    key: Key,
    asked: Asked,
    /// High watermark and log start that the client knows; `None`: it must be told whatever they are.
    told: Option<(i64, i64)>,
}

/// What the broker remembers of one client's partitions.
#[derive(Debug)]
pub(crate) struct FetchSession {
    id: i32,
    /// That the next request must have.
    next_epoch: i32,
    /// Whether topics are named by id.
    by_id: bool,
    /// In the order in which they are answered: those that gave records go to the end, or the first ones of a busy
    /// session would fill every response.
    order: BTreeMap<u64, Cached>,
    places: HashMap<Key, u64>,
    next_place: u64,
    bytes: usize,
}

impl FetchSession {
    /// A session of the partitions of a full request; each once.
    pub(crate) fn new(id: i32, by_id: bool, topics: &[fetch_request::FetchTopic]) -> Self {
        let mut session = Self {
            id,
            next_epoch: 1,
            by_id,
            order: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            bytes: 0,
        };
        session.put(topics);
        session
    }

    /// Not 0.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Memory it takes, in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether the request continues this session.
    pub(crate) fn check(&self, request: &FetchRequest, by_id: bool) -> Result<(), Refusal> {
        if request.session_id != self.id {
            return Err(Refusal::FetchSessionIdNotFound);
        }
        if request.session_epoch != self.next_epoch {
            return Err(Refusal::InvalidFetchSessionEpoch);
        }
        if by_id != self.by_id {
            return Err(Refusal::FetchSessionTopicIdError);
        }
        Ok(())
    }

    /// Takes over what a request changes, once it is checked.
    pub(crate) fn update(&mut self, request: &FetchRequest) {
        self.next_epoch = self.next_epoch.checked_add(1).unwrap_or(1);
        self.put(&request.topics);
        for topic in &request.forgotten_topics_data {
            let named = TopicRef {
                name: topic.topic.clone(),
                id: topic.topic_id,
            };
            for index in &topic.partitions {
                self.forget(Key {
                    topic: named.clone(),
                    index: *index,
                });
            }
        }
    }

    /// Every partition, in the order in which they are to be answered.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&TopicRef, Asked)> {
        let cached = self.order.values();
        cached.map(|cached| (&cached.key.topic, cached.asked))
    }

    /// Whether the client must be told `answer`: it has records or an error, or ends that the client does not know.
    /// Remembers that it was.
    pub(crate) fn tells(&mut self, topic: &TopicRef, answer: &FetchPartition) -> bool {
        let key = Key {
            topic: topic.clone(),
            index: answer.index,
        };
        let Some(place) = self.places.get_mut(&key) else {
            return true;
        };
        let Some(cached) = self.order.get_mut(place) else {
            return true;
        };
        let ends = (answer.high_watermark, answer.log_start_offset);
        let is_error = answer.error_code != 0;
        let has_records = !answer.records.is_empty();
        let tells = is_error || has_records || cached.told != Some(ends);
        // The first answer after an error is told, so that the client knows that it is over.
        cached.told = (!is_error).then_some(ends);
        if has_records && let Some(cached) = self.order.remove(place) {
            *place = self.next_place;
            self.order.insert(self.next_place, cached);
            self.next_place += 1;
        }
        tells
    }

    fn put(&mut self, topics: &[fetch_request::FetchTopic]) {
        for topic in topics {
            // A copy: the name in the request is a slice that would keep the whole frame in memory.
            let name = StrBytes::from_string(topic.topic.to_string());
            let named = TopicRef {
                name: TopicName(name),
                id: topic.topic_id,
            };
            for partition in &topic.partitions {
                self.put_partition(&named, Asked::from(partition));
            }
        }
    }

    fn put_partition(&mut self, topic: &TopicRef, asked: Asked) {
        let key = Key {
            topic: topic.clone(),
            index: asked.index,
        };
        let known = self.places.get(&key);
        if let Some(cached) = known.and_then(|place| self.order.get_mut(place)) {
            cached.asked = asked;
            return;
        }
        self.bytes += cost(&key);
        self.places.insert(key.clone(), self.next_place);
        let told = None;
        self.order
            .insert(self.next_place, Cached { key, asked, told });
        self.next_place += 1;
    }

    fn forget(&mut self, key: Key) {
        if let Some(place) = self.places.remove(&key) {
            self.order.remove(&place);
            self.bytes = self.bytes.saturating_sub(cost(&key));
        }
    }
}

/// What a partition of a session takes, in bytes, about.
fn cost(key: &Key) -> usize {
    FETCH_SESSION_PARTITION_BYTES + key.topic.name.len()
}

#[cfg(test)]
mod tests;
