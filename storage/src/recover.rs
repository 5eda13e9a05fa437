//! The start of a journal: what counts, what is damaged, what is cut (`docs/format.md`, "Start").
//!
//! This file decides, and does nothing: [`accepted`] says how many of the things seen count, [`fold()`] what they add
//! up to. Seeing is `scan`, acting is `repair`, and `journal::open` calls them in order.
//!
//! A bad frame is a torn tail only where nothing proves it was durable. The proof: no byte of a group is written
//! before the sync of the one before it returned, so a valid commit or checkpoint frame vouches for everything up
//! to the commit frame that it names; and the meta store's durable end vouches for everything before it.

mod fold;
pub(crate) mod footer;
pub(crate) mod foreign;
pub(crate) mod repair;
pub(crate) mod scan;

use std::collections::BTreeMap;

pub(crate) use self::fold::{Recovery, fold};
use crate::{
    frame::{
        FrameHeader, Kind,
        checkpoint::Checkpoint,
        commit::{CommitFrame, CommitPlace, TopicEntry},
    },
    number::TopicNumber,
};

/// What the start of a journal found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Number of the last whole group; 0 for none.
    pub group: u64,
    /// What was cut off: an unfinished group, never acknowledged.
    pub torn_tail: Option<TornTail>,
    /// Damage to bytes that were durable. Nothing of it was changed; reads of these offsets fail.
    pub damage: Vec<Damage>,
    /// Sources whose position a damaged commit frame may have changed. Not empty: the journal takes no new group.
    pub lost_positions: Vec<u16>,
    /// Bytes written again in place because they lay behind the remembered durable end.
    pub rewritten_bytes: u64,
}

/// A cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// The file it was cut in; later ones were removed.
    pub file: u64,
    /// Where.
    pub position: u64,
    /// Bytes that were not zeros, in steps of 64 KiB, later files with their whole length.
    pub bytes: u64,
}

/// Damage found in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The journal file.
    pub file: u64,
    /// First damaged byte.
    pub from: u64,
    /// Exclusive.
    pub to: u64,
    /// Offsets that cannot be read because of it, as far as they are known (end exclusive).
    pub offsets: Vec<(TopicNumber, i64, i64)>,
}

/// A place in the journal. Orders as the journal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u64,
    pub(crate) position: u64,
}

/// Something seen in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) place: Place,
    /// Position behind it.
    pub(crate) end: u64,
    pub(crate) what: What,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A data frame; `whole` is false if its body is bad. (Below the durable end bodies are not looked at.)
    Data { header: FrameHeader, whole: bool },
    /// A whole commit frame.
    Commit { group: u64, frame: CommitFrame },
    /// A whole checkpoint frame.
    Checkpoint(Box<Checkpoint>),
    /// No frame. Of one whose header alone is whole, the kind.
    Bad(Option<Kind>),
}

impl Item {
    /// The group number it carries.
    pub(crate) fn group(&self) -> u64 {
        match &self.what {
            What::Data { header, .. } => header.group,
            What::Commit { group, .. } => *group,
            What::Checkpoint(checkpoint) => checkpoint.state.last.group,
            What::Bad(_) => 0,
        }
    }

    /// The commit frame that it proves to be durable.
    fn vouches_for(&self) -> Option<CommitPlace> {
        match &self.what {
            What::Commit { frame, .. } => Some(frame.predecessor),
            What::Checkpoint(checkpoint) => Some(checkpoint.state.last),
            What::Data { .. } | What::Bad(_) => None,
        }
    }
}

/// The place before which everything was durable.
pub(crate) fn proven_end(items: &[Item], durable_end: Option<Place>) -> Place {
    let vouched = items
        .iter()
        .filter_map(Item::vouches_for)
        .map(|commit| Place {
            file: commit.file,
            position: commit.position + 1,
        });
    let nothing = Place {
        file: 0,
        position: 0,
    };
    vouched.chain(durable_end).max().unwrap_or(nothing)
}

/// How many of `items`, from the first on, count: those that are proven, damaged or not, and at most one more group,
/// if it is whole. `finished` says whether a file ends with a footer and a whole group: then the checkpoint behind it counts too.
pub(crate) fn accepted(
    items: &[Item],
    durable_end: Option<Place>,
    finished: impl Fn(u64) -> bool,
) -> usize {
    let proven = proven_end(items, durable_end);
    let proven = items.partition_point(|item| item.place < proven);
    let (before, behind) = items.split_at(proven);
    let group = whole_group(behind, &Known::from(before));
    let whole = group.map_or(proven, |count| proven + count);
    let last_file = items.get(..whole).and_then(<[Item]>::last);
    let last_file = last_file.map_or(0, |item| item.place.file);
    match items.get(whole).map(|item| (&item.what, item.place.file)) {
        Some((What::Checkpoint(_), file))
            if whole == 0 || (file == last_file + 1 && finished(last_file)) =>
        {
            whole + 1
        }
        Some(_) | None => whole,
    }
}

/// What the next group must continue.
#[derive(Debug, Default)]
struct Known {
    /// Since the last bad place; before it nothing is left that is known for certain.
    ends: BTreeMap<TopicNumber, i64>,
    group: u64,
    /// Something is bad since the last commit frame: the ends may be further.
    is_damaged: bool,
    /// Something is bad: a topic that is not in `ends` may end anywhere.
    is_incomplete: bool,
}

impl Known {
    fn from(items: &[Item]) -> Self {
        let mut known = Self::default();
        for item in items {
            known.add(item);
        }
        known
    }

    fn add(&mut self, item: &Item) {
        self.group = self.group.max(item.group());
        match &item.what {
            What::Data { header, .. } => {
                self.ends.insert(header.topic, header.end_offset());
            }
            What::Commit { frame, .. } => {
                let ends = frame.topics.iter();
                self.ends
                    .extend(ends.map(|entry| (entry.topic, entry.end_offset)));
                self.is_damaged = false;
            }
            What::Checkpoint(checkpoint) => {
                for (topic, state) in &checkpoint.state.topics {
                    let end = self.ends.entry(*topic).or_insert(state.end);
                    *end = state.end.max(*end);
                }
            }
            What::Bad(_) => {
                self.is_damaged = true;
                self.is_incomplete = true;
                self.ends.clear();
            }
        }
    }

    /// Whether the data frame is the topic's next.
    fn continues(&mut self, header: &FrameHeader) -> bool {
        let end = self.ends.insert(header.topic, header.end_offset());
        let fits = match end {
            Some(end) => end == header.base_offset,
            None => self.is_incomplete || header.base_offset == 0,
        };
        self.is_damaged || fits
    }

    /// Whether the commit frame ends what was seen.
    fn ends_with(&self, frame: &CommitFrame) -> bool {
        let is_end = |entry: &TopicEntry| self.ends.get(&entry.topic) == Some(&entry.end_offset);
        frame.predecessor.group >= self.group
            && (self.is_damaged || frame.topics.iter().all(is_end))
    }
}

/// Number of items up to and including the commit frame, if the group that `items` begin with is whole and goes on
/// from what is `known`: a file that was removed may be back, with the end of a group that was cut.
fn whole_group(items: &[Item], known: &Known) -> Option<usize> {
    let mut group = None;
    let mut known = Known {
        ends: known.ends.clone(),
        ..*known
    };
    for (index, item) in items.iter().enumerate() {
        match &item.what {
            What::Data {
                header,
                whole: true,
            } => {
                let own = *group.get_or_insert(header.group) == header.group;
                if !own || !known.continues(header) {
                    return None;
                }
            }
            What::Commit { group: own, frame } => {
                let whole = group.is_none_or(|group| group == *own) && known.ends_with(frame);
                return whole.then_some(index + 1);
            }
            What::Checkpoint(checkpoint) => {
                known.group = known.group.max(checkpoint.state.last.group);
                let topics = checkpoint.state.topics.iter();
                for (topic, state) in topics {
                    known.ends.entry(*topic).or_insert(state.end);
                }
            }
            What::Data { whole: false, .. } | What::Bad(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
