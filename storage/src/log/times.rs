//! From a time to the ends of all topics at one transaction boundary: what a consumer group's seek by time needs.

use std::{collections::BTreeMap, io, sync::Arc};

use super::{FileFacts, Log, ReadError, files::Form};
use crate::{
    codec::Input,
    disk::SegmentFile,
    frame::{
        FrameError, Kind,
        checkpoint::Checkpoint,
        commit::{CommitFrame, TopicEntry},
        footer::FooterCommit,
    },
    number::TopicNumber,
    sealed::{layout::Part, summary::read_trailer, times::TimeSearch},
    walk::{Identity, Step, WalkError, Walker, read_full},
};

/// How much of a journal file is read at once.
const WINDOW_BYTES: usize = 64 * 1024;

/// A transaction boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndsAtTime {
    /// Of every topic: the first offset of the first transaction that is not older than the time, or of those behind it;
    /// never below the log start.
    pub ends: BTreeMap<TopicNumber, i64>,
    /// No transaction is that new: these are the ends of the log.
    pub is_end: bool,
}

/// What one file says.
enum Searched {
    Found(BTreeMap<TopicNumber, i64>),
    NotHere,
    /// It was sealed or deleted meanwhile.
    Gone,
}

impl Log {
    /// Resolves a time to one commit frame: the ends of all topics right before the first group, in log order, whose commit
    /// time is at or after `timestamp_ms`. Reading on from there gives all of that group, and nothing of the group before
    /// it. Commit times may step back; the first in log order counts. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] (with topic 0) where the part of a file that tells commit times is damaged;
    /// [`ReadError::Io`].
    pub fn ends_at_time(&self, timestamp_ms: i64) -> Result<EndsAtTime, ReadError> {
        let mut from = self.read_visible().oldest_file;
        loop {
            let (file, last_group) = self.file_from(from);
            let Some((number, facts)) = file else {
                return Ok(EndsAtTime {
                    ends: self.current(|start, end| start.max(end)),
                    is_end: true,
                });
            };
            if number > from && self.read_visible().oldest_file <= from {
                return Err(self.damaged(from));
            }
            match self.search(number, facts, timestamp_ms, last_group)? {
                Searched::Found(found) => return Ok(self.boundary(&found)),
                Searched::NotHere => from = number + 1,
                // Its other form, or what is left, is there now.
                Searched::Gone if self.is_still(number, &facts) => {
                    return Err(self.damaged(number));
                }
                Searched::Gone => {}
            }
        }
    }

    /// The first file from `from` on, and the last visible group.
    fn file_from(&self, from: u64) -> (Option<(u64, FileFacts)>, u64) {
        let visible = self.read_visible();
        let first = visible.files.range(from..).next();
        (
            first.map(|(number, facts)| (*number, *facts)),
            visible.group,
        )
    }

    /// Of each topic the end of what files before `file` have, or its start.
    fn ends_before(&self, file: u64) -> Vec<(TopicNumber, i64)> {
        let visible = self.read_visible();
        let topics = visible.topics.iter();
        let end = topics.map(|(topic, view)| {
            let end = view.index.end_before(file).unwrap_or(view.start);
            (*topic, end)
        });
        end.collect()
    }

    fn is_still(&self, number: u64, facts: &FileFacts) -> bool {
        self.read_visible().files.get(&number) == Some(facts)
    }

    fn current(&self, which: impl Fn(i64, i64) -> i64) -> BTreeMap<TopicNumber, i64> {
        let visible = self.read_visible();
        let topics = visible.topics.iter();
        topics
            .map(|(topic, view)| (*topic, which(view.start, view.end)))
            .collect()
    }

    /// Topics that were not there yet begin at their start.
    fn boundary(&self, found: &BTreeMap<TopicNumber, i64>) -> EndsAtTime {
        let mut ends = self.current(|start, _| start);
        for (topic, start) in &mut ends {
            let found = found.get(topic).copied().unwrap_or(*start);
            *start = found.max(*start);
        }
        EndsAtTime {
            ends,
            is_end: false,
        }
    }

    fn search(
        &self,
        number: u64,
        facts: FileFacts,
        timestamp_ms: i64,
        last_group: u64,
    ) -> Result<Searched, ReadError> {
        let form = match facts.sealed {
            None => Form::Journal,
            Some(sealed) if sealed.highest_commit_ms < Some(timestamp_ms) => {
                return Ok(Searched::NotHere);
            }
            Some(_) => Form::Sealed,
        };
        let failed = |source| ReadError::Io {
            file: number,
            source,
        };
        let handle: Arc<dyn SegmentFile> = match self.files.get(number, form) {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Searched::Gone),
            Err(error) => return Err(failed(error)),
        };
        let found = match form {
            Form::Sealed => search_sealed(handle.as_ref(), facts.bytes, timestamp_ms),
            Form::Journal => {
                let identity = Identity {
                    number,
                    salt: facts.salt,
                };
                let file = handle.as_ref();
                let walker = Walker::new(file, identity, facts.first, facts.bytes, WINDOW_BYTES);
                let before = self.ends_before(number);
                search_journal(walker, timestamp_ms, (before, last_group))
            }
        };
        match found.map_err(failed)? {
            Ok(found) => Ok(found.map_or(Searched::NotHere, Searched::Found)),
            Err(Damaged) => Err(self.damaged(number)),
        }
    }

    fn damaged(&self, file: u64) -> ReadError {
        ReadError::Corrupt {
            topic: TopicNumber(0),
            file,
            from: 0,
            to: 0,
        }
    }
}

/// The times in a file cannot be read.
struct Damaged;

type Found = io::Result<Result<Option<BTreeMap<TopicNumber, i64>>, Damaged>>;

fn search_sealed(file: &dyn SegmentFile, bytes: u64, timestamp_ms: i64) -> Found {
    let Ok((_, trailer)) = read_trailer(file, bytes)? else {
        return Ok(Err(Damaged));
    };
    let ends = read_part(file, bytes, &trailer.ends)?;
    let commits = read_part(file, bytes, &trailer.commits)?;
    let (Some(ends), Some(commits)) = (ends, commits) else {
        return Ok(Err(Damaged));
    };
    Ok(search_commits(&ends, &trailer.commits, &commits, timestamp_ms).map_err(|_| Damaged))
}

fn search_commits(
    ends: &[u8],
    part: &Part,
    commits: &[u8],
    timestamp_ms: i64,
) -> Result<Option<BTreeMap<TopicNumber, i64>>, FrameError> {
    let mut input = Input::new(ends);
    let count = ends.len() / crate::frame::commit::TOPIC_ENTRY_BYTES;
    let entries: Result<Vec<_>, _> = (0..count).map(|_| TopicEntry::decode(&mut input)).collect();
    let mut search = TimeSearch::new(timestamp_ms, entries?);
    let mut input = Input::new(commits);
    for _ in 0..part.count {
        let commit = FooterCommit::decode(&mut input)?;
        if search.is_found(commit.commit_time_ms, &commit.topics) {
            return Ok(search.into_ends());
        }
    }
    Ok(None)
}

/// A part of the file; `None` if it is damaged.
fn read_part(file: &dyn SegmentFile, bytes: u64, part: &Part) -> io::Result<Option<Vec<u8>>> {
    if part.position.saturating_add(part.bytes) > bytes {
        return Ok(None);
    }
    let mut read = vec![0; usize::try_from(part.bytes).unwrap_or(0)];
    let count = read_full(file, part.position, &mut read)?;
    let whole = count == read.len() && crc32fast::hash(&read) == part.crc;
    Ok(whole.then_some(read))
}

/// Looks through the commit frames up to the last visible one.
fn search_journal(
    mut walker: Walker<'_>,
    timestamp_ms: i64,
    (before, last_group): (Vec<(TopicNumber, i64)>, u64),
) -> Found {
    // The checkpoint, if it is readable, says what really was before the file.
    let mut search = TimeSearch::unsure(timestamp_ms, before);
    loop {
        let step = match walker.step() {
            Ok(step) => step,
            Err(WalkError::Io(error)) => return Err(error),
            Err(WalkError::Frame(_)) => return Ok(Err(Damaged)),
        };
        let (position, header) = match step {
            Step::Frame { position, header } => (position, header),
            // What is missing here are frames whose readers are told so.
            Step::Gap { .. } => continue,
            Step::End { .. } => return Ok(Ok(None)),
        };
        if header.kind == Kind::Commit && header.group > last_group {
            return Ok(Ok(None));
        }
        if !matches!(header.kind, Kind::Commit | Kind::Checkpoint) {
            continue;
        }
        let body = walker.body(position, &header)?;
        if !header.covers(&body) {
            continue;
        }
        if header.kind == Kind::Checkpoint
            && let Ok(checkpoint) = Checkpoint::decode(header.group, &body)
        {
            let topics = checkpoint.state.topics.into_iter();
            let ends = topics.map(|(topic, state)| TopicEntry {
                topic,
                partition: 0,
                end_offset: state.end,
            });
            search = TimeSearch::new(timestamp_ms, ends);
        } else if let Ok(commit) = CommitFrame::decode(&body)
            && search.is_found(commit.commit_time_ms, &commit.topics)
        {
            return Ok(search.into_ends().map(Some).ok_or(Damaged));
        }
    }
}
