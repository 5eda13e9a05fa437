//! Seeing: which files there are, their footers, and the frames behind the durable end.

use std::{collections::BTreeSet, sync::Arc};

pub(crate) use super::footer::read_footer;
use super::{
    Damage, Item, Place, What, fold,
    footer::{Check, read_head},
};
use crate::{
    disk::{SegmentFile, SegmentStore},
    error::StorageError,
    frame::{
        FrameError, FrameHeader, HEADER_BYTES, Kind, checkpoint::Checkpoint, commit::CommitFrame,
        footer::head::FooterHead,
    },
    index::{FileIndex, Span},
    journal::DurableEnd,
    journal_file,
    number::TopicNumber,
    recycled::{Head, head},
    sealed::summary::Summary,
    walk::{Identity, Step, WalkError, Walker},
};

/// Fits the cache of a core: frames are looked at where they were just read.
const WINDOW_BYTES: usize = 256 * 1024;

/// A file and what was seen of it.
#[derive(Debug)]
pub(crate) struct SeenFile {
    pub(crate) number: u64,
    pub(crate) handle: Arc<dyn SegmentFile>,
    pub(crate) length: u64,
    pub(crate) salt: Option<u32>,
    pub(crate) head: Head,
    /// What is behind the last frame are bytes of a former life.
    pub(crate) is_recycled: bool,
    pub(crate) footer: Option<FooterHead>,
    /// The footer's last group.
    pub(crate) footer_group: u64,
    /// Position behind the last frame, and whether there is more than zeros behind it, in a file of zeros. For scanned
    /// files.
    pub(crate) frames_end: u64,
    pub(crate) dirty: bool,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Files before the scan, ascending.
    pub(crate) old: Vec<SeenFile>,
    /// What is in them.
    pub(crate) spans: Vec<(TopicNumber, Span)>,
    /// Files that were scanned, ascending.
    pub(crate) scanned: Vec<SeenFile>,
    /// What the scan saw, in order.
    pub(crate) items: Vec<Item>,
    pub(crate) damage: Vec<Damage>,
    /// Sealed segments, ascending.
    pub(crate) segments: Vec<Summary>,
}

/// Which files there are.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Numbers of the journal files, ascending.
    pub(crate) journals: Vec<u64>,
    /// Numbers of the sealed segments: no start looks at what is before them or in them.
    pub(crate) sealed: BTreeSet<u64>,
    /// The oldest that is kept.
    pub(crate) oldest: u64,
}

/// Looks at the journal files in `folder`.
pub(crate) fn look(
    disk: &dyn SegmentStore,
    folder: &str,
    listing: &Listing,
    durable_end: Option<DurableEnd>,
) -> Result<Seen, StorageError> {
    let mut files = Vec::new();
    for number in &listing.journals {
        // A file before the durable end was synced with its footer.
        let check = match durable_end {
            Some(end) if *number < end.file => Check::Head,
            Some(_) | None => Check::Whole,
        };
        files.push(open(disk, folder, (*number, check))?);
    }
    let mut seen = Seen::default();
    let first = first_to_scan(&files, listing, durable_end)?;
    let mut expected = listing.oldest;
    for (index, file) in files.into_iter().enumerate() {
        let missing = (expected..file.number).filter(|number| !listing.sealed.contains(number));
        expected = file.number + 1;
        if index < first || seen.is_empty() {
            seen.damage.extend(missing.map(missing_file));
        } else {
            seen.items
                .extend(missing.map(|number| item(number, 0, 0, What::Bad(None))));
        }
        if index < first {
            seen.look_at_old(file)?;
            continue;
        }
        if durable_end.is_some_and(|end| end.clean && end.file < file.number) {
            // Prepared, and not used before the clean stop.
            seen.scanned.push(file);
            continue;
        }
        let (file, items) = scan(file, durable_end)?;
        seen.items.extend(items);
        seen.scanned.push(file);
    }
    Ok(seen)
}

fn missing_file(file: u64) -> Damage {
    Damage {
        file,
        from: 0,
        to: 0,
        offsets: Vec::new(),
    }
}

impl Seen {
    /// Whether any of the files was used before.
    pub(crate) fn has_recycled(&self) -> bool {
        let mut files = self.old.iter().chain(&self.scanned);
        files.any(|file| file.is_recycled)
    }

    fn is_empty(&self) -> bool {
        self.old.is_empty() && self.scanned.is_empty()
    }

    /// A file before the durable end: its footer tells what is in it. A damaged footer is found again by a scan.
    fn look_at_old(&mut self, file: SeenFile) -> Result<(), StorageError> {
        if let Some(footer) = &file.footer {
            let spans = footer.topics.iter();
            let spans =
                spans.filter_map(|topic| Some((topic.topic, Span::of_footer(file.number, topic)?)));
            self.spans.extend(spans);
            self.old.push(file);
            return Ok(());
        }
        let (file, items) = scan(file, None)?;
        if items
            .last()
            .is_none_or(|last| last.what != What::Bad(Some(Kind::Footer)))
        {
            self.damage.push(Damage {
                file: file.number,
                from: file.frames_end,
                to: file.length,
                offsets: Vec::new(),
            });
        }
        let found = fold(items, None, &self.spans);
        self.damage.extend(found.damage);
        self.spans.extend(
            found
                .indexes
                .iter()
                .flat_map(|(number, index)| spans(*number, index)),
        );
        self.old.push(file);
        Ok(())
    }
}

/// What `index` says of each topic.
pub(crate) fn spans(
    file: u64,
    index: &FileIndex,
) -> impl Iterator<Item = (TopicNumber, Span)> + '_ {
    index
        .topics()
        .filter_map(move |topic| Some((topic.topic, Span::of_footer(file, topic)?)))
}

/// Index of the first file to scan: the one with the durable end, or else the one with the last commit frame
/// before the files without a footer. Its checkpoint must be readable, if any is. Files before the last sealed segment
/// do not count: they were kept because they are damaged, and two checkpoints behind them are always there.
fn first_to_scan(
    files: &[SeenFile],
    listing: &Listing,
    durable_end: Option<DurableEnd>,
) -> Result<usize, StorageError> {
    let last_sealed = listing.sealed.last().copied().unwrap_or(0);
    let recent = files.partition_point(|file| file.number < last_sealed);
    let (kept, files) = files.split_at(recent);
    let first = first_of_recent(files, durable_end)?;
    if first.1.is_none() && last_sealed > 0 {
        return Err(StorageError::Damaged(format!(
            "no checkpoint behind sealed segment {last_sealed} is readable: where the log ends is not known"
        )));
    }
    Ok(kept.len() + first.0)
}

fn first_of_recent(
    files: &[SeenFile],
    durable_end: Option<DurableEnd>,
) -> Result<(usize, Option<Checkpoint>), StorageError> {
    let index_of = |number| files.binary_search_by_key(&number, |file| file.number);
    if let Some(end) = durable_end {
        let found = index_of(end.file).map_err(|_| missing(end))?;
        return readable(files, found);
    }
    let last = files.len().saturating_sub(1);
    let unfinished = files.iter().position(|file| file.footer.is_none());
    let (first, checkpoint) = readable(files, unfinished.unwrap_or(last))?;
    let Some(checkpoint) = checkpoint else {
        return Ok((first, None));
    };
    // File 0: no group yet, whatever files an unfinished one fills. A sealed one: the group behind it begins in the next.
    let with_last_commit = index_of(checkpoint.state.last.file).unwrap_or_else(|next| next);
    readable(files, with_last_commit.min(first))
}

/// The last file up to `index` whose checkpoint is readable, or the first file.
fn readable(files: &[SeenFile], index: usize) -> Result<(usize, Option<Checkpoint>), StorageError> {
    for (index, file) in files.iter().enumerate().take(index + 1).rev() {
        if let Some(checkpoint) = read_checkpoint(file)? {
            return Ok((index, Some(checkpoint)));
        }
    }
    Ok((0, None))
}

fn missing(end: DurableEnd) -> StorageError {
    StorageError::Damaged(format!(
        "journal file {} is missing, in which the journal was durable up to position={}",
        end.file, end.position
    ))
}

fn open(
    disk: &dyn SegmentStore,
    folder: &str,
    (number, check): (u64, Check),
) -> Result<SeenFile, StorageError> {
    let name = journal_file::name(folder, number);
    let failed = |source| StorageError::Read {
        what: name.clone(),
        source,
    };
    let handle = disk.open(&name).map_err(failed)?;
    let length = handle.length().map_err(failed)?;
    let footer = read_head(handle.as_ref(), (number, length), check);
    let footer = footer.map_err(|error| walk_error(&name, error))?;
    let head = head(handle.as_ref(), number).map_err(|error| walk_error(&name, error))?;
    let footer = footer.filter(|(header, _)| head.allows(header));
    let (header, footer) = footer.unzip();
    Ok(SeenFile {
        number,
        handle,
        length,
        salt: header.map(|header| header.salt).or(head.salt),
        is_recycled: head.salt.is_some(),
        head,
        footer,
        footer_group: header.map_or(0, |header| header.group),
        frames_end: 0,
        dirty: false,
    })
}

/// The checkpoint at the start of a file, if there is a valid one.
pub(crate) fn read_checkpoint(file: &SeenFile) -> Result<Option<Checkpoint>, StorageError> {
    let mut walker = walker(file, HEADER_BYTES, file.length);
    let read = || -> Result<Option<What>, WalkError> {
        match walker.step()? {
            Step::Frame { position, header } if position == file.head.first => {
                look_at(&mut walker, position, header, true).map(Some)
            }
            Step::Frame { .. } | Step::Gap { .. } | Step::End { .. } => Ok(None),
        }
    };
    let mut read = read;
    match read().map_err(|error| file_error(file, error))? {
        Some(What::Checkpoint(checkpoint)) => Ok(Some(*checkpoint)),
        Some(What::Data { .. } | What::Commit { .. } | What::Bad(_)) | None => Ok(None),
    }
}

fn walker(file: &SeenFile, window_bytes: usize, end: u64) -> Walker<'_> {
    let identity = Identity {
        number: file.number,
        salt: file.salt,
    };
    let (handle, from) = (file.handle.as_ref(), file.head.first);
    Walker::new(handle, identity, from, end, window_bytes)
}

/// Sees a whole file.
fn scan(
    mut file: SeenFile,
    durable_end: Option<DurableEnd>,
) -> Result<(SeenFile, Vec<Item>), StorageError> {
    let here = durable_end.filter(|end| end.file == file.number);
    // Bodies below the durable end are checked when somebody reads them.
    let known = here.map_or(0, |end| end.position);
    let end = match (&file.footer, here) {
        (Some(footer), _) => footer.frames_end.min(file.length),
        (None, Some(end)) if end.clean => end.position.min(file.length),
        (None, _) => file.length,
    };
    let mut items = Vec::new();
    let mut walker = walker(&file, WINDOW_BYTES, end);
    let (frames_end, dirty) = loop {
        let step = walker.step().map_err(|error| file_error(&file, error))?;
        let (position, item_end, what) = match step {
            Step::Frame { position, header } if header.kind == Kind::Footer => {
                // Its body is damaged, else it would be known. What is before it may be damaged or filling.
                let gap = items.pop_if(|item: &mut Item| item.what == What::Bad(None));
                let from = gap.map_or(position, |gap| gap.place.position);
                let end = position + header.frame_bytes();
                (from, end, What::Bad(Some(Kind::Footer)))
            }
            Step::Frame { position, header } => {
                let what = look_at(&mut walker, position, header, position >= known)
                    .map_err(|error| file_error(&file, error))?;
                (position, position + header.frame_bytes(), what)
            }
            Step::Gap { from, to } => (from, to, What::Bad(None)),
            Step::End { position, dirty } => {
                let lost = here.filter(|end| position < end.position);
                let Some(end) = lost else {
                    break (position, dirty);
                };
                items.push(item(file.number, position, end.position, What::Bad(None)));
                break (end.position, dirty);
            }
        };
        items.push(item(file.number, position, item_end, what));
    };
    file.salt = walker.identity().salt;
    file.frames_end = frames_end;
    file.is_recycled |= items.iter().any(is_former);
    file.dirty = dirty && !file.is_recycled;
    Ok((file, items))
}

/// A recycled file's checkpoint.
fn is_former(item: &Item) -> bool {
    matches!(&item.what, What::Checkpoint(checkpoint) if checkpoint.former)
}

fn item(file: u64, position: u64, end: u64, what: What) -> Item {
    Item {
        place: Place { file, position },
        end,
        what,
    }
}

/// What the frame at `position` is. Data bodies are checked if `check`.
pub(crate) fn look_at(
    walker: &mut Walker<'_>,
    position: u64,
    header: FrameHeader,
    check: bool,
) -> Result<What, WalkError> {
    if header.kind == Kind::Data {
        if header.partition != 0 {
            return Err(FrameError::Newer("second partition").into());
        }
        let whole = !check || walker.body_is_whole(position, &header)?;
        return Ok(What::Data { header, whole });
    }
    let body = walker.body(position, &header)?;
    if !header.covers(&body) {
        return Ok(What::Bad(Some(header.kind)));
    }
    let group = header.group;
    let what = match header.kind {
        Kind::Commit => CommitFrame::decode(&body).map(|frame| What::Commit { group, frame }),
        Kind::Checkpoint => Checkpoint::decode(group, &body)
            .map(|checkpoint| What::Checkpoint(Box::new(checkpoint))),
        Kind::Data | Kind::Footer | Kind::Identity => Ok(What::Bad(Some(header.kind))),
    };
    match what {
        Err(FrameError::Malformed) => Ok(What::Bad(Some(header.kind))),
        Err(newer @ FrameError::Newer(_)) => Err(newer.into()),
        Ok(what) => Ok(what),
    }
}

fn file_error(file: &SeenFile, error: WalkError) -> StorageError {
    walk_error(&format!("journal file {}", file.number), error)
}

pub(crate) fn walk_error(what: &str, error: WalkError) -> StorageError {
    match error {
        WalkError::Io(source) => StorageError::Read {
            what: what.to_owned(),
            source,
        },
        WalkError::Frame(error) => StorageError::Refused(format!("{what}: {error}")),
    }
}
