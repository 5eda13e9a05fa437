//! Opening a journal: look, decide, write again, cut; or make the first file.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{DurableEnd, Journal, JournalOptions, Memo, Now, OpenGroup, Stopped, file::OpenFile};
use crate::{
    block_cache::BlockCache,
    catalog::Topic,
    disk::SegmentStore,
    error::StorageError,
    frame::{
        FrameHeader, Kind,
        checkpoint::{Checkpoint, LogState, TopicState},
    },
    index::{FileIndex, Span},
    journal_file::{self, FileMaker},
    keeper::starts,
    log::{FileFacts, Log},
    meta::MetaStore,
    number::{InstanceNumber, LeaderEpoch, TopicNumber},
    recover::{
        Item, Place, Recovered, Recovery, What, accepted, fold, foreign,
        repair::{cut, rewrite},
        scan::{Listing, Seen, SeenFile, look, spans},
    },
    recycled::{Head, Spare},
    salt::new_salt,
    sealed::adopt::{Adopted, Kept, adopt},
};

/// What a journal is opened with.
#[derive(Debug, Clone)]
pub struct JournalSetup {
    /// The data directory.
    pub disk: Arc<dyn SegmentStore>,
    /// For the durable end.
    pub meta: Arc<dyn MetaStore>,
    /// Whose journal.
    pub instance: InstanceNumber,
    /// The instance's topics, from the catalog.
    pub topics: Vec<TopicEpochs>,
    /// Sizes and intervals.
    pub options: JournalOptions,
    /// The oldest file that is kept, from the catalog; 1 if nothing was ever deleted.
    pub oldest_file: u64,
    /// For pieces of sealed segments, shared by all logs.
    pub cache: Arc<BlockCache>,
}

/// What the log has to know of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicEpochs {
    /// Its number.
    pub topic: TopicNumber,
    /// Ascending, not empty.
    pub epochs: Vec<LeaderEpoch>,
}

impl From<&Topic> for TopicEpochs {
    fn from(topic: &Topic) -> Self {
        Self {
            topic: topic.number,
            epochs: topic.epochs.clone(),
        }
    }
}

/// The state of a topic with these epochs, `known` from the journal or new.
pub(super) fn with_epochs(known: Option<TopicState>, epochs: &[LeaderEpoch]) -> TopicState {
    let first = LeaderEpoch {
        epoch: 0,
        start_offset: 0,
    };
    let known =
        known.unwrap_or_else(|| TopicState::empty(epochs.first().copied().unwrap_or(first)));
    TopicState {
        epoch: epochs.last().copied().unwrap_or(known.epoch),
        ..known
    }
}

/// Where the number of the last start is lost: so many starts may have left no frame behind that of the highest number
/// seen. See `docs/format.md`, "Group numbers without sled".
const STARTS_UNSEEN: u64 = 1024;

/// Groups are counted in the lower bits of their numbers, starts above.
const GROUP_BITS: u32 = 40;
const STARTS_MAX: u64 = 1 << 24;

impl Journal {
    /// Opens the journal of an instance, or makes it. Damage does not fail it: it is told in [`Recovered`], reads of
    /// what is damaged fail, and the rest works.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] when a whole file that was durable is missing or nothing in the journal is readable;
    /// [`StorageError::Refused`] when a newer version wrote it; [`StorageError::Read`]; [`StorageError::Poisoned`].
    pub fn open(
        setup: JournalSetup,
        now: Now,
    ) -> Result<(Self, Arc<Log>, Recovered), StorageError> {
        let opening = Opening::new(setup)?;
        let adopted = opening.adopt()?;
        let listing = Listing {
            journals: adopted.journals.clone(),
            sealed: adopted
                .segments
                .iter()
                .map(|segment| segment.file)
                .collect(),
            oldest: opening.setup.oldest_file,
        };
        let durable_end = opening.memo.durable_end()?;
        let mut seen = look(
            opening.setup.disk.as_ref(),
            &opening.folder,
            &listing,
            durable_end,
        )?;
        foreign::refuse(&seen, durable_end)?;
        let items = std::mem::take(&mut seen.items);
        let highest = highest_group(&seen, &items);
        let has_groups = items.iter().any(is_of_group);
        let (items, tail) = decide(items, &seen, durable_end);
        seen.damage.extend(adopted.damage);
        seen.segments = adopted.segments;
        let (journal, recovered) = match tail {
            Some(tail) => opening.reopen(seen, (items, tail, highest), durable_end, now)?,
            None => opening.begin(&seen, has_groups || durable_end.is_some(), now)?,
        };
        let log = Arc::clone(&journal.log);
        Ok((journal, log, recovered))
    }
}

/// The items that count, and the place behind them. `None`: there is nothing.
fn decide(
    mut items: Vec<Item>,
    seen: &Seen,
    durable_end: Option<DurableEnd>,
) -> (Vec<Item>, Option<Place>) {
    let proven = durable_end.map(|end| Place {
        file: end.file,
        position: end.position,
    });
    let count = accepted(&items, proven, |file| ends_whole(seen, file));
    items.truncate(count);
    let tail = items.last().map(|item| Place {
        file: item.place.file,
        position: item.end,
    });
    (items, tail.max(proven))
}

/// What the files before the scanned ones hold, sealed or not: the first checkpoint may stand inside a group that began
/// in them.
fn before(seen: &Seen) -> Vec<(TopicNumber, Span)> {
    let sealed = seen.segments.iter().flat_map(|segment| {
        let topics = segment.topics.iter();
        topics.map(|topic| (topic.topic, Span::of_sealed(segment.file, topic)))
    });
    sealed.chain(seen.spans.iter().cloned()).collect()
}

/// Whether a file ends with a footer and without an open group.
fn ends_whole(seen: &Seen, file: u64) -> bool {
    let file = seen.scanned.iter().find(|seen| seen.number == file);
    let footer = file.and_then(|file| file.footer.as_ref());
    footer.is_some_and(|footer| footer.open_group == 0)
}

fn is_of_group(item: &Item) -> bool {
    match item.what {
        What::Data { .. } | What::Commit { .. } => true,
        What::Checkpoint(_) | What::Bad(_) => false,
    }
}

/// The highest group number that any frame carries, cut off or not.
fn highest_group(seen: &Seen, items: &[Item]) -> u64 {
    let footers = seen.old.iter().chain(&seen.scanned);
    let footers = footers.map(|file| file.footer_group);
    items
        .iter()
        .map(Item::group)
        .chain(footers)
        .max()
        .unwrap_or(0)
}

/// What all the steps need.
struct Opening {
    setup: JournalSetup,
    folder: String,
    memo: Memo,
    log: Arc<Log>,
    files: FileMaker,
}

impl Opening {
    fn new(setup: JournalSetup) -> Result<Self, StorageError> {
        let folder = journal_file::folder(setup.instance);
        let options = setup.options;
        let spare = Arc::new(Spare::new(options.file_bytes, options.recycle));
        Ok(Self {
            memo: Memo::new(Arc::clone(&setup.meta), setup.instance),
            log: Arc::new(Log::new(
                (Arc::clone(&setup.disk), Arc::clone(&spare)),
                folder.clone(),
                options.ring_bytes,
                Arc::clone(&setup.cache),
            )),
            files: FileMaker::new(
                (Arc::clone(&setup.disk), spare),
                folder.clone(),
                options.file_bytes,
                options.prepare_in_background,
            ),
            folder,
            setup,
        })
    }

    /// The files there are, in one form each.
    fn adopt(&self) -> Result<Adopted, StorageError> {
        let disk = self.setup.disk.as_ref();
        let make = || {
            disk.create_folder("journal")?;
            disk.create_folder(&self.folder)
        };
        make().map_err(|error| self.failed(&error))?;
        let kept = Kept {
            instance: self.setup.instance,
            folder: &self.folder,
            oldest: self.setup.oldest_file,
        };
        adopt(disk, self.setup.meta.as_ref(), kept)
    }

    fn failed(&self, error: &io::Error) -> StorageError {
        let why = format!("{}: {error}", self.folder);
        if journal_file::is_full(error) {
            return StorageError::NoSpace(format!("{why}; free some space there and start again"));
        }
        StorageError::Poisoned(why)
    }

    /// Goes on where the journal ends.
    fn reopen(
        mut self,
        seen: Seen,
        (items, tail, highest): (Vec<Item>, Place, u64),
        durable_end: Option<DurableEnd>,
        now: Now,
    ) -> Result<(Journal, Recovered), StorageError> {
        let disk = Arc::clone(&self.setup.disk);
        let mut found = fold(items, durable_end, &before(&seen));
        let rewritten = rewrite(disk.as_ref(), &self.folder, &seen, durable_end, tail)
            .map_err(|error| self.failed(&error))?;
        if seen.has_recycled() {
            self.memo.note_recycled();
        }
        let durable = DurableEnd {
            file: tail.file,
            position: tail.position,
            group: found.state.last.group,
            clean: false,
        };
        // Noted before anything is cut: the cut takes frames away that prove what is before them to be durable.
        let next_group = self.begin_start(highest, durable)?;
        let torn_tail =
            cut(disk.as_ref(), &self.folder, &seen, tail).map_err(|error| self.failed(&error))?;
        let mut damage = std::mem::take(&mut found.damage);
        damage.extend(seen.damage.iter().cloned());
        let recovered = Recovered {
            group: durable.group,
            torn_tail,
            damage,
            lost_positions: found.lost_positions.iter().copied().collect(),
            rewritten_bytes: rewritten,
        };
        let stopped = stopped(&found, &self.folder);
        let file = self.open_file(&seen, &mut found, tail, now)?;
        self.fill_log(&seen, &found, &file)?;
        let journal = self.journal(file, found.state, (next_group, durable), stopped);
        Ok((journal, recovered))
    }

    /// Makes the first file. `is_used`: something was written here that counts; a group is begun only when the file's
    /// checkpoint is durable.
    fn begin(
        mut self,
        seen: &Seen,
        is_used: bool,
        now: Now,
    ) -> Result<(Journal, Recovered), StorageError> {
        let is_first = seen.scanned.iter().all(|file| file.number == 1);
        if is_used || !is_first || !seen.segments.is_empty() {
            let why = format!("{}: no journal file can be read", self.folder);
            return Err(StorageError::Damaged(why));
        }
        let state = self.fresh_state();
        let file = self
            .first_file(seen, &state, now)
            .map_err(|error| self.failed(&error))?;
        let durable = DurableEnd {
            file: file.number,
            position: file.end,
            group: 0,
            clean: false,
        };
        let next_group = self.begin_start(0, durable)?;
        self.fill_log(&Seen::default(), &Recovery::default(), &file)?;
        let journal = self.journal(file, state, (next_group, durable), None);
        Ok((journal, Recovered::default()))
    }

    fn fresh_state(&self) -> LogState {
        let topics = self.setup.topics.iter();
        let topics = topics.map(|topic| (topic.topic, with_epochs(None, &topic.epochs)));
        LogState {
            topics: topics.collect(),
            ..LogState::default()
        }
    }

    fn first_file(&mut self, seen: &Seen, state: &LogState, now: Now) -> io::Result<OpenFile> {
        let disk = &self.setup.disk;
        for file in &seen.scanned {
            disk.remove(&journal_file::name(&self.folder, file.number))?;
        }
        let handle = self.files.take(1)?.handle;
        let length = self.setup.options.file_bytes;
        let head = Head::default();
        let mut file = OpenFile::new(1, (head, new_salt()), handle, length, now.monotonic);
        let checkpoint = Checkpoint {
            state: state.clone(),
            created_ms: now.wall_ms,
            former: false,
        };
        let header = FrameHeader::new(Kind::Checkpoint, 1, file.salt, 0);
        file.push(header, Bytes::from(checkpoint.encode()));
        file.flush()?;
        file.handle.sync()?;
        disk.sync_directory(&self.folder)?;
        file.fit(FileIndex::default());
        Ok(file)
    }

    /// Notes that this start begins. Gives the number of its first group.
    fn begin_start(&mut self, highest: u64, durable: DurableEnd) -> Result<u64, StorageError> {
        let seen = highest >> GROUP_BITS;
        let last = match u64::from(self.memo.last_start()?) {
            0 if seen > 0 => seen + STARTS_UNSEEN,
            noted => noted.max(seen),
        };
        let start = last + 1;
        let number = u32::try_from(start).ok().filter(|_| start < STARTS_MAX);
        let Some(number) = number else {
            let why = format!("{}: started more than 16 million times", self.folder);
            return Err(StorageError::Refused(why));
        };
        self.memo.begin(number, durable)?;
        self.log.note_file(durable.file);
        Ok((start << GROUP_BITS) + 1)
    }

    fn open_file(
        &self,
        seen: &Seen,
        found: &mut Recovery,
        tail: Place,
        now: Now,
    ) -> Result<OpenFile, StorageError> {
        let file = seen.scanned.iter().find(|file| file.number == tail.file);
        let (Some(file), Some(salt)) = (file, file.and_then(|file| file.salt)) else {
            let why = format!("journal file {}: nothing in it can be read", tail.file);
            return Err(StorageError::Damaged(why));
        };
        let handle = Arc::clone(&file.handle);
        let identity = (file.head, salt);
        let mut open = OpenFile::new(tail.file, identity, handle, file.length, now.monotonic);
        open.end = tail.position;
        open.fit(found.indexes.remove(&tail.file).unwrap_or_default());
        Ok(open)
    }

    /// Makes visible what was found.
    fn fill_log(&self, seen: &Seen, found: &Recovery, open: &OpenFile) -> Result<(), StorageError> {
        for (topic, state) in &found.state.topics {
            self.log.put_topic(*topic, &[], state);
        }
        for topic in &self.setup.topics {
            let known = found.state.topics.get(&topic.topic).copied();
            let state = with_epochs(known, &topic.epochs);
            self.log.put_topic(topic.topic, &topic.epochs, &state);
        }
        let files = seen.old.iter().chain(&seen.scanned);
        for file in files.filter(|file| file.number <= open.number) {
            self.log.put_file(file.number, facts(file));
        }
        let facts = FileFacts {
            salt: Some(open.salt),
            first: open.head.first,
            bytes: open.length,
            sealed: None,
        };
        self.log.put_file(open.number, facts);
        for segment in &seen.segments {
            self.log.put_sealed(segment);
        }
        for (topic, span) in &seen.spans {
            self.log.put_span(*topic, span.clone());
        }
        for (number, index) in &found.indexes {
            for (topic, span) in spans(*number, index) {
                self.log.put_span(topic, span);
            }
        }
        let frames = found.frames.iter();
        let frames: Vec<_> = frames
            .filter(|frame| frame.file == open.number)
            .copied()
            .collect();
        self.log.put_frames(&frames);
        let last = found.state.last.group;
        self.log.put_last(last, found.state.commit_time_ms);
        starts::restore(
            self.setup.meta.as_ref(),
            self.setup.instance,
            &self.log,
            self.setup.oldest_file,
        )
    }

    fn journal(
        self,
        file: OpenFile,
        mut state: LogState,
        (next_group, durable): (u64, DurableEnd),
        stopped: Option<Stopped>,
    ) -> Journal {
        for topic in &self.setup.topics {
            let known = state.topics.get(&topic.topic).copied();
            let with_epochs = with_epochs(known, &topic.epochs);
            state.topics.insert(topic.topic, with_epochs);
        }
        let mut journal = Journal {
            disk: self.setup.disk,
            memo: self.memo,
            folder: self.folder,
            options: self.setup.options,
            log: self.log,
            state,
            tail: file.end,
            file,
            held: None,
            open: OpenGroup::default(),
            next_group,
            files: self.files,
            directory_dirty: false,
            stopped,
            durable,
        };
        journal.files.prepare(journal.file.number + 1);
        journal
    }
}

fn facts(file: &SeenFile) -> FileFacts {
    FileFacts {
        salt: file.salt,
        first: file.head.first,
        bytes: file.length,
        sealed: None,
    }
}

/// Why nothing may be appended, if so.
fn stopped(found: &Recovery, folder: &str) -> Option<Stopped> {
    if found.lost_positions.is_empty() && !found.end_lost {
        return None;
    }
    let why = format!(
        "{folder}: a commit frame is damaged, the source position after group {} is lost",
        found.state.last.group
    );
    Some(Stopped::Damaged(why))
}
