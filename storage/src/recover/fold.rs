//! What the accepted part of a journal adds up to: state, index, and what is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Damage, Item, Place, What};
use crate::{
    frame::{
        FrameHeader, HEADER_LENGTH,
        checkpoint::{Checkpoint, LogState, TopicState},
        commit::{CommitFrame, CommitPlace},
        footer::FooterCommit,
    },
    index::{FileIndex, IndexedFrame, Span},
    journal::DurableEnd,
    number::{LeaderEpoch, TopicNumber},
};

/// A commit frame takes at least this much.
const COMMIT_BYTES_MIN: u64 = HEADER_LENGTH + 48;
/// A data frame takes at least this much: 61 bytes of batch header and one record.
const DATA_BYTES_MIN: u64 = HEADER_LENGTH + 72;
/// A record takes at least this much in a batch, header included: a compressed batch with more records than bytes is not
/// written (`headwater_protocol::batch`).
const RECORD_BYTES_MIN: u64 = 1;

/// The outcome.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// As of the last group.
    pub(crate) state: LogState,
    /// All data frames, in order.
    pub(crate) frames: Vec<IndexedFrame>,
    /// What the footers of the files would say.
    pub(crate) indexes: BTreeMap<u64, FileIndex>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) lost_positions: BTreeSet<u16>,
    /// The last commit frame itself is damaged: ends and positions are not known.
    pub(crate) end_lost: bool,
}

/// Adds up `items`, which begin with a checkpoint unless that is damaged. `before` says what the files before them
/// hold: the first checkpoint may stand inside a group that began there.
pub(crate) fn fold(
    items: Vec<Item>,
    durable_end: Option<DurableEnd>,
    before: &[(TopicNumber, Span)],
) -> Recovery {
    let mut fold = Fold {
        before,
        ..Fold::default()
    };
    for item in items {
        fold.item(item);
    }
    fold.finish(durable_end)
}

#[derive(Debug, Default)]
struct Fold<'a> {
    out: Recovery,
    before: &'a [(TopicNumber, Span)],
    begun: bool,
    /// Topics with frames behind the last commit frame.
    open: BTreeMap<TopicNumber, TopicState>,
    /// Bytes since the last whole commit frame in which frames may be hidden.
    hidden: u64,
    /// Topics that may have lost frames with a hidden commit frame, and how many offsets at most.
    unsure: BTreeMap<TopicNumber, i64>,
}

impl Fold<'_> {
    fn item(&mut self, item: Item) {
        let Item { place, end, what } = item;
        match what {
            What::Data { header, whole } => {
                if !whole {
                    let offsets = (header.topic, header.base_offset, header.end_offset());
                    self.damage(place, end, vec![offsets]);
                }
                self.data(place, &header);
            }
            What::Commit { group, frame } => self.commit(place, group, &frame),
            What::Checkpoint(checkpoint) => self.checkpoint(place, *checkpoint),
            What::Bad(kind) => {
                self.damage(place, end, Vec::new());
                if kind.is_none() {
                    self.hidden += end - place.position;
                }
            }
        }
        self.begun = true;
    }

    fn damage(&mut self, place: Place, to: u64, offsets: Vec<(TopicNumber, i64, i64)>) {
        self.out.damage.push(Damage {
            file: place.file,
            from: place.position,
            to,
            offsets,
        });
    }

    /// Offsets that turn out to be missing at `place`: put to the damage found last.
    fn missing(&mut self, place: Place, topic: TopicNumber, from: i64, to: i64) {
        if self.out.damage.is_empty() {
            self.damage(place, place.position, Vec::new());
        }
        if let Some(last) = self.out.damage.last_mut() {
            last.offsets.push((topic, from, to));
        }
    }

    fn topic(&self, topic: TopicNumber) -> TopicState {
        let known = self.open.get(&topic).or(self.out.state.topics.get(&topic));
        known.copied().unwrap_or(TopicState::empty(LeaderEpoch {
            epoch: 0,
            start_offset: 0,
        }))
    }

    fn data(&mut self, place: Place, header: &FrameHeader) {
        let mut topic = self.topic(header.topic);
        if header.base_offset > topic.end {
            self.missing(place, header.topic, topic.end, header.base_offset);
        }
        self.unsure.remove(&header.topic);
        let frame = IndexedFrame::new(header, place.position, topic.max_timestamp);
        self.out
            .indexes
            .entry(place.file)
            .or_default()
            .add_data(&frame);
        self.out.frames.push(frame);
        topic.end = header.end_offset();
        topic.max_timestamp = topic.max_timestamp.max(header.max_timestamp);
        self.open.insert(header.topic, topic);
    }

    fn commit(&mut self, place: Place, group: u64, frame: &CommitFrame) {
        let is_hidden = self.begun && frame.predecessor.group != self.out.state.last.group;
        for entry in &frame.topics {
            let mut topic = self.topic(entry.topic);
            if entry.end_offset > topic.end {
                self.missing(place, entry.topic, topic.end, entry.end_offset);
                topic.end = entry.end_offset;
                self.open.insert(entry.topic, topic);
            }
            self.unsure.remove(&entry.topic);
        }
        if is_hidden {
            self.doubt(frame);
        }
        for source in &frame.sources {
            self.out.lost_positions.remove(&source.source);
            let position = source.position.clone();
            self.out.state.positions.insert(source.source, position);
        }
        self.hidden = 0;
        let open = std::mem::take(&mut self.open);
        let state = &mut self.out.state;
        state.topics.extend(open);
        state.last = CommitPlace {
            group,
            file: place.file,
            position: place.position,
        };
        state.schema_version = frame.schema_version;
        state.commit_time_ms = frame.commit_time_ms.or(state.commit_time_ms);
        let index = self.out.indexes.entry(place.file).or_default();
        index.add_commit(&FooterCommit {
            group,
            commit_time_ms: frame.commit_time_ms,
            position: place.position,
            topics: frame.topics.clone(),
        });
    }

    /// Commit frames before this one are hidden: what only they said is not known.
    fn doubt(&mut self, frame: &CommitFrame) {
        let sources = self.out.state.positions.keys();
        self.out.lost_positions.extend(sources);
        let data_bytes = self.hidden.saturating_sub(COMMIT_BYTES_MIN);
        if data_bytes < DATA_BYTES_MIN {
            return;
        }
        let records = i64::try_from(data_bytes / RECORD_BYTES_MIN).unwrap_or(i64::MAX);
        for topic in self.out.state.topics.keys() {
            if frame.topics.iter().all(|entry| entry.topic != *topic) {
                self.unsure.insert(*topic, records);
            }
        }
    }

    fn checkpoint(&mut self, place: Place, checkpoint: Checkpoint) {
        let state = checkpoint.state;
        if self.begun && state.last.group == self.out.state.last.group && self.unsure.is_empty() {
            return;
        }
        if self.begun {
            for (number, topic) in &state.topics {
                let known = self.topic(*number);
                if topic.end > known.end {
                    self.missing(place, *number, known.end, topic.end);
                }
            }
        }
        // A checkpoint may stand inside an open group: what is behind its ends stays open.
        let is_open = |number: &TopicNumber, topic: &TopicState| {
            state
                .topics
                .get(number)
                .is_none_or(|known| topic.end > known.end)
        };
        self.open.retain(|number, topic| is_open(number, topic));
        for (number, span) in self
            .before
            .iter()
            .filter(|(_, span)| span.file >= state.last.file)
        {
            let Some(topic) = state
                .topics
                .get(number)
                .filter(|topic| span.end_offset > topic.end)
            else {
                continue;
            };
            let open = TopicState {
                end: span.end_offset,
                max_timestamp: topic.max_timestamp.max(span.max_timestamp),
                ..*topic
            };
            self.open.insert(*number, open);
        }
        self.before = &[];
        self.unsure.clear();
        self.out.lost_positions.clear();
        self.out.state = state;
        self.hidden = 0;
    }

    fn finish(mut self, durable_end: Option<DurableEnd>) -> Recovery {
        let group = self.out.state.last.group;
        if let Some(end) = durable_end.filter(|end| end.group > group) {
            self.out.end_lost = true;
            self.out
                .lost_positions
                .extend(self.out.state.positions.keys());
            self.out.state.last = CommitPlace {
                group: end.group,
                file: end.file,
                position: end.position,
            };
            let open = std::mem::take(&mut self.open);
            self.out.state.topics.extend(open);
        }
        for (number, records) in std::mem::take(&mut self.unsure) {
            let Some(topic) = self.out.state.topics.get_mut(&number) else {
                continue;
            };
            let from = topic.end;
            topic.end = from.saturating_add(records);
            let to = topic.end;
            let place = Place {
                file: 0,
                position: 0,
            };
            self.missing(place, number, from, to);
        }
        self.out
    }
}
