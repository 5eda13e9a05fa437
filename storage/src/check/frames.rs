//! Whether frames continue each other. Pure: frames go in one by one, complaints come out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    frame::{
        FrameHeader,
        checkpoint::Checkpoint,
        commit::{CommitFrame, CommitPlace},
        footer::FooterCommit,
    },
    index::{FileIndex, IndexedFrame},
    number::TopicNumber,
    recover::Place,
};

/// Something that is wrong at a place, if what is there counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) place: Place,
    /// Exclusive.
    pub(super) to: u64,
    pub(super) what: String,
    pub(super) offsets: Vec<(TopicNumber, i64, i64)>,
}

/// A topic as far as frames have told.
#[derive(Debug, Clone, Copy)]
struct Known {
    end: i64,
    committed: i64,
    max_timestamp: i64,
}

/// All frames of an instance up to now.
#[derive(Debug)]
pub(super) struct Frames {
    topics: BTreeMap<TopicNumber, Known>,
    /// With data frames behind the last commit frame.
    touched: BTreeSet<TopicNumber>,
    last: CommitPlace,
    open: Option<u64>,
    begun: bool,
    /// Something could not be read since the last commit frame: what follows need not continue what is known.
    hidden: bool,
    /// A sealed segment stands before what comes: it names no open group.
    behind_sealed: bool,
    /// Everything before it was durable.
    pub(super) proven: Place,
    pub(super) complaints: Vec<Complaint>,
    /// What the footer of the file must say.
    pub(super) index: FileIndex,
    pub(super) groups: u64,
    pub(super) records: u64,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            topics: BTreeMap::new(),
            touched: BTreeSet::new(),
            last: CommitPlace::default(),
            open: None,
            begun: false,
            hidden: false,
            behind_sealed: false,
            proven: Place {
                file: 0,
                position: 0,
            },
            complaints: Vec::new(),
            index: FileIndex::default(),
            groups: 0,
            records: 0,
        }
    }

    /// The group that is open, 0 for none: what a footer says.
    pub(super) fn open_group(&self) -> u64 {
        self.open.unwrap_or(0)
    }

    /// The last group that was committed.
    pub(super) fn last_group(&self) -> u64 {
        self.last.group
    }

    /// Something from `place` to `to` cannot be read.
    pub(super) fn unreadable(&mut self, place: Place, to: u64, what: impl Into<String>) {
        self.complain(place, to, what);
        self.hidden = true;
    }

    pub(super) fn complain(&mut self, place: Place, to: u64, what: impl Into<String>) {
        self.complaints.push(Complaint {
            place,
            to,
            what: what.into(),
            offsets: Vec::new(),
        });
    }

    pub(super) fn data(&mut self, place: Place, header: &FrameHeader, whole: bool) {
        let end = place.position + header.frame_bytes();
        let lost = (header.topic, header.base_offset, header.end_offset());
        if whole {
            self.records += u64::from(header.record_count);
        } else {
            self.complain(place, end, "a data frame's body does not fit its checksum");
            self.lost(lost);
        }
        self.check_group(place, end, header.group);
        let known = self.topics.get(&header.topic).copied();
        let known = known.unwrap_or(Known {
            end: 0,
            committed: 0,
            max_timestamp: i64::MIN,
        });
        if header.base_offset > known.end {
            self.missing(place, (header.topic, known.end, header.base_offset));
        } else if header.base_offset < known.end {
            self.complain(
                place,
                end,
                "a data frame repeats offsets that were there before",
            );
            self.lost(lost);
        }
        let frame = IndexedFrame::new(header, place.position, known.max_timestamp);
        self.index.add_data(&frame);
        let next = Known {
            end: header.end_offset(),
            max_timestamp: known.max_timestamp.max(header.max_timestamp),
            ..known
        };
        self.topics.insert(header.topic, next);
        self.touched.insert(header.topic);
        self.open = Some(header.group);
        self.begun = true;
    }

    fn check_group(&mut self, place: Place, end: u64, group: u64) {
        let fits = match self.open {
            Some(open) => open == group,
            None => group > self.last.group,
        };
        if !fits && !self.hidden {
            self.complain(
                place,
                end,
                format!("a frame of group {group} where none may be"),
            );
        }
    }

    pub(super) fn commit(&mut self, place: Place, to: u64, group: u64, frame: &CommitFrame) {
        self.check_group(place, to, group);
        if self.begun && !self.hidden && frame.predecessor != self.last {
            let named = frame.predecessor.group;
            self.complain(
                place,
                to,
                format!("a commit frame names group {named} as the one before it"),
            );
        }
        let named: BTreeSet<_> = frame.topics.iter().map(|entry| entry.topic).collect();
        if !self.hidden && !self.behind_sealed && named != self.touched {
            self.complain(
                place,
                to,
                "a commit frame names other topics than its group has",
            );
        }
        for entry in &frame.topics {
            let known = self.topics.get(&entry.topic).map_or(0, |known| known.end);
            if entry.end_offset > known {
                self.missing(place, (entry.topic, known, entry.end_offset));
            } else if entry.end_offset < known {
                self.complain(
                    place,
                    to,
                    "a commit frame ends a topic before its last frame",
                );
            }
            self.set_end(entry.topic, entry.end_offset);
        }
        if frame
            .sources
            .iter()
            .any(|source| source.position.is_empty())
        {
            self.complain(place, to, "a commit frame has a source without a position");
        }
        self.vouch(frame.predecessor);
        self.index.add_commit(&FooterCommit {
            group,
            commit_time_ms: frame.commit_time_ms,
            position: place.position,
            topics: frame.topics.clone(),
        });
        self.groups += 1;
        self.behind_sealed = false;
        self.last = CommitPlace {
            group,
            file: place.file,
            position: place.position,
        };
        self.end_group();
    }

    pub(super) fn checkpoint(&mut self, place: Place, to: u64, checkpoint: &Checkpoint) {
        let state = &checkpoint.state;
        self.vouch(state.last);
        if self.begun && !self.hidden && !self.behind_sealed {
            self.check_checkpoint(place, to, checkpoint);
            self.begun = true;
            self.add_topics(checkpoint);
            return;
        }
        for (topic, stated) in &state.topics {
            let known = self.topics.get(topic).map_or(stated.end, |known| known.end);
            if self.begun && stated.end > known {
                self.missing(place, (*topic, known, stated.end));
            }
            let open = known.max(stated.end);
            // Within a group that goes on, what is behind the last commit frame stays.
            let goes_on = self.open.is_some() || self.behind_sealed;
            let end = if goes_on { open } else { stated.end };
            let before = self.topics.get(topic).filter(|_| goes_on);
            let before = before.map_or(i64::MIN, |known| known.max_timestamp);
            let known = Known {
                end,
                committed: stated.end,
                max_timestamp: before.max(stated.max_timestamp),
            };
            self.topics.insert(*topic, known);
        }
        if state.last.group >= self.open.unwrap_or(u64::MAX) || self.open.is_none() {
            self.end_group();
        }
        self.last = state.last;
        self.begun = true;
    }

    fn check_checkpoint(&mut self, place: Place, to: u64, checkpoint: &Checkpoint) {
        let state = &checkpoint.state;
        if state.last != self.last {
            let what = format!(
                "a checkpoint says that group {} was the last",
                state.last.group
            );
            self.complain(place, to, what);
        }
        let differs = self.topics.iter().find(|(topic, known)| {
            let stated = state.topics.get(topic).map(|stated| stated.end);
            stated.unwrap_or(0) != known.committed
        });
        if let Some((topic, known)) = differs {
            let what = format!(
                "a checkpoint does not have topic number {topic} end at offset {}",
                known.committed
            );
            self.complain(place, to, what);
        }
    }

    /// Topics without a frame so far.
    fn add_topics(&mut self, checkpoint: &Checkpoint) {
        for (topic, stated) in &checkpoint.state.topics {
            self.topics.entry(*topic).or_insert(Known {
                end: stated.end,
                committed: stated.end,
                max_timestamp: stated.max_timestamp,
            });
        }
    }

    fn end_group(&mut self) {
        self.open = None;
        self.touched.clear();
        self.hidden = false;
    }

    fn set_end(&mut self, topic: TopicNumber, end: i64) {
        let known = self.topics.entry(topic).or_insert(Known {
            end,
            committed: end,
            max_timestamp: i64::MIN,
        });
        known.end = end;
        known.committed = end;
    }

    fn vouch(&mut self, commit: CommitPlace) {
        self.proven = self.proven.max(Place {
            file: commit.file,
            position: commit.position + 1,
        });
    }

    /// Offsets that turn out to be missing at `place`: put to what could not be read before it.
    fn missing(&mut self, place: Place, lost: (TopicNumber, i64, i64)) {
        if !self.hidden {
            self.complain(
                place,
                place.position,
                "records are missing before this frame",
            );
        }
        self.lost(lost);
    }

    /// A sealed segment begins. It was durable before it got its name.
    pub(super) fn sealed_begins(&mut self, number: u64) {
        self.proven = self.proven.max(Place {
            file: number,
            position: u64::MAX,
        });
        self.behind_sealed = true;
        self.open = None;
        self.touched.clear();
        self.hidden = false;
    }

    /// What a sealed segment holds of a topic: its number, first offset and end.
    pub(super) fn sealed_topic(
        &mut self,
        place: Place,
        (topic, first, end): (TopicNumber, i64, i64),
        max_timestamp: i64,
    ) {
        if let Some(known) = self.topics.get(&topic) {
            if first > known.end {
                self.missing(place, (topic, known.end, first));
            } else if first < known.end {
                let what = "a segment repeats offsets that were there before";
                self.complain(place, place.position, what);
            }
        }
        let known = Known {
            end,
            committed: end,
            max_timestamp,
        };
        self.topics.insert(topic, known);
        self.begun = true;
    }

    pub(super) fn lost(&mut self, lost: (TopicNumber, i64, i64)) {
        if let Some(last) = self.complaints.last_mut() {
            last.offsets.push(lost);
        }
    }
}
