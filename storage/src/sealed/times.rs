//! From a time to the ends of all topics at one transaction boundary: commits are looked through in log order. Pure.

use std::collections::BTreeMap;

use crate::{frame::commit::TopicEntry, number::TopicNumber};

/// Goes through commits until one is not older than the time that is looked for.
#[derive(Debug)]
pub(crate) struct TimeSearch {
    timestamp_ms: i64,
    /// As of the last commit that was older, or before the first one seen.
    ends: BTreeMap<TopicNumber, i64>,
    /// They may be too far: a group that was open at the beginning is among them.
    is_unsure: bool,
}

impl TimeSearch {
    /// Looks for the first commit at or after `timestamp_ms`. `ends`: of all topics before the first commit to come.
    pub(crate) fn new(timestamp_ms: i64, ends: impl IntoIterator<Item = TopicEntry>) -> Self {
        let ends = ends
            .into_iter()
            .map(|entry| (entry.topic, entry.end_offset));
        Self {
            timestamp_ms,
            ends: ends.collect(),
            is_unsure: false,
        }
    }

    /// As [`TimeSearch::new`], where `ends` are all offsets before the commits to come, committed or not.
    pub(crate) fn unsure(
        timestamp_ms: i64,
        ends: impl IntoIterator<Item = (TopicNumber, i64)>,
    ) -> Self {
        Self {
            timestamp_ms,
            ends: ends.into_iter().collect(),
            is_unsure: true,
        }
    }

    /// The next commit. Whether it is the one: then [`TimeSearch::into_ends`] gives what was before it.
    pub(crate) fn is_found(&mut self, commit_time_ms: Option<i64>, topics: &[TopicEntry]) -> bool {
        if commit_time_ms.is_some_and(|time| time >= self.timestamp_ms) {
            return true;
        }
        let ends = topics.iter().map(|entry| (entry.topic, entry.end_offset));
        self.ends.extend(ends);
        // The first commit names all topics of the group that was open.
        self.is_unsure = false;
        false
    }

    /// The ends before the commit that was found; `None` if they are not known.
    pub(crate) fn into_ends(self) -> Option<BTreeMap<TopicNumber, i64>> {
        (!self.is_unsure).then_some(self.ends)
    }
}
