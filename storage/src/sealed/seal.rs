//! One finished journal file becomes a sealed segment, a piece at a time (`docs/format.md`, "Sealing").
//!
//! The file is read once, from its first frame to its last; every frame is checked while it is copied. Nothing but
//! the temporary file is touched before [`Written::publish`], so that whatever fails before leaves everything as it was.

use std::{io, sync::Arc};

use super::{
    gather::{Directory, Runs, Unplanned},
    layout::{self, Part, Trailer},
    name, new_name,
    summary::Summary,
};
use crate::{
    disk::{SegmentFile, SegmentStore},
    frame::{
        BodyCheck, FrameHeader, HEADER_BYTES, HEADER_LENGTH, Kind, checkpoint::Checkpoint,
        commit::TopicEntry, footer::Footer,
    },
    number::InstanceNumber,
    recover::scan::read_footer,
    recycled::head,
    walk::{Identity, WalkError, Window},
};

/// What is read of the journal at once.
const WINDOW_BYTES: usize = 256 * 1024;
/// Written between two syncs: what else is synced meanwhile waits for no more than this.
const BYTES_PER_SYNC: u64 = 8 * 1024 * 1024;

/// Why a file is not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// A frame is damaged, or the footer tells of others. The journal file stays what it is.
    #[error("bytes {from}..{to} are damaged")]
    Damaged {
        from: u64,
        /// Exclusive.
        to: u64,
    },
    /// It cannot be read or written now.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a segment is made of, beside the journal file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) instance: InstanceNumber,
    /// Running time, seconds.
    pub(crate) sealed_at: u64,
    /// Wall clock, ms.
    pub(crate) created_ms: i64,
}

/// Where in the journal file one is.
#[derive(Debug)]
struct Copying {
    header: FrameHeader,
    /// Of the frame.
    begin: u64,
    /// Of the body.
    end: u64,
    check: BodyCheck,
    body: crc32fast::Hasher,
}

/// A file that is being sealed.
#[derive(Debug)]
pub(crate) struct Sealing {
    identity: Identity,
    journal: Arc<dyn SegmentFile>,
    footer: FooterFacts,
    ends: Vec<TopicEntry>,
    out: Arc<dyn SegmentFile>,
    runs: Runs,
    window: Window,
    position: u64,
    copying: Option<Copying>,
    unsynced: u64,
}

/// What is kept of the footer while frames are copied.
#[derive(Debug)]
struct FooterFacts {
    frames_end: u64,
    commits: Vec<u8>,
    commit_count: u32,
    highest_commit_ms: Option<i64>,
}

/// A segment that is written, synced, and does not have its name yet.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) summary: Summary,
}

impl Sealing {
    /// Begins to seal file `number` of `folder`. Makes the temporary file.
    pub(crate) fn begin(
        disk: &dyn SegmentStore,
        folder: &str,
        number: u64,
        journal: Arc<dyn SegmentFile>,
    ) -> Result<Self, SealError> {
        let length = journal.length()?;
        let whole = SealError::Damaged {
            from: 0,
            to: length,
        };
        let Some((header, footer)) = read_footer(journal.as_ref(), number, length).map_err(io)?
        else {
            return Err(whole);
        };
        let identity = Identity {
            number,
            salt: Some(header.salt),
        };
        let runs = Runs::plan(&footer.topics).map_err(|Unplanned| whole)?;
        let head = head(journal.as_ref(), number).map_err(io)?;
        let first = (head.first, footer.frames_end);
        let ends = checkpoint_ends(journal.as_ref(), identity, first)?;
        let temporary = new_name(folder, number);
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let out = disk.create(&temporary, 0)?;
        out.write_at(0, &[&layout::header()])?;
        Ok(Self {
            identity,
            window: Window::new(WINDOW_BYTES, footer.frames_end),
            footer: FooterFacts::of(footer),
            journal,
            ends,
            out,
            runs,
            position: head.first,
            copying: None,
            unsynced: 0,
        })
    }

    /// Copies about `bytes` more. Gives how many were, 0 at the end.
    pub(crate) fn copy(&mut self, bytes: u64) -> Result<u64, SealError> {
        let from = self.position;
        while self.position < self.footer.frames_end && self.position - from < bytes {
            match self.copying.take() {
                None => self.begin_frame()?,
                Some(copying) => self.copy_piece(copying)?,
            }
            self.runs.write_if_much(self.out.as_ref())?;
        }
        let copied = self.position - from;
        self.unsynced += copied;
        if self.unsynced >= BYTES_PER_SYNC {
            self.runs.write(self.out.as_ref())?;
            self.out.sync()?;
            self.unsynced = 0;
        }
        Ok(copied)
    }

    fn begin_frame(&mut self) -> Result<(), SealError> {
        let begin = self.position;
        let file = self.journal.as_ref();
        let bytes = self.window.get(file, begin, HEADER_BYTES)?;
        let header = FrameHeader::parse(bytes)
            .ok()
            .filter(|header| self.identity.fits(header));
        let fits = |header: &FrameHeader| begin + header.frame_bytes() <= self.footer.frames_end;
        let Some(header) = header.filter(|header| fits(header)) else {
            return Err(self.damaged(begin, self.footer.frames_end));
        };
        let end = begin + HEADER_LENGTH + u64::from(header.length);
        let planned = match header.kind {
            Kind::Data => self.runs.begin(&header),
            Kind::Commit | Kind::Checkpoint => Ok(()),
            Kind::Footer | Kind::Identity => Err(Unplanned),
        };
        planned.map_err(|Unplanned| self.damaged(begin, end))?;
        self.position = begin + HEADER_LENGTH;
        self.copying = Some(Copying {
            check: header.body_check(),
            header,
            begin,
            end,
            body: crc32fast::Hasher::new(),
        });
        Ok(())
    }

    fn copy_piece(&mut self, mut copying: Copying) -> Result<(), SealError> {
        let header = copying.header;
        if self.position < copying.end {
            let bytes = self.window.get(self.journal.as_ref(), self.position, 1)?;
            let wanted = usize::try_from(copying.end - self.position).unwrap_or(usize::MAX);
            let piece = bytes.get(..wanted).unwrap_or(bytes);
            if piece.is_empty() {
                return Err(self.damaged(copying.begin, copying.end));
            }
            copying.check.update(piece);
            if header.kind == Kind::Data {
                copying.body.update(piece);
                self.runs.push(header.topic, piece);
            }
            self.position += piece.len() as u64;
        }
        if self.position < copying.end {
            self.copying = Some(copying);
            return Ok(());
        }
        if !copying.check.passes() {
            return Err(self.damaged(copying.begin, copying.end));
        }
        if header.kind == Kind::Data {
            self.runs.end_batch(&header, copying.body.finalize());
        }
        self.position = copying.begin + header.frame_bytes();
        Ok(())
    }

    fn damaged(&self, from: u64, to: u64) -> SealError {
        SealError::Damaged { from, to }
    }

    /// Writes what stands behind the runs, and syncs. Everything was copied.
    pub(crate) fn finish(mut self, stamp: Stamp) -> Result<Written, SealError> {
        let (end, frames_end) = (self.runs.end(), self.footer.frames_end);
        let out = self.out.as_ref();
        self.runs.write(out)?;
        let directory = self
            .runs
            .finish(out)?
            .map_err(|Unplanned| SealError::Damaged {
                from: 0,
                to: frames_end,
            })?;
        let (tail, trailer) = tail(
            end,
            (self.identity.number, stamp),
            &directory,
            &self.ends,
            &self.footer,
        );
        out.write_at(end, &[&tail])?;
        out.sync()?;
        let bytes = end + tail.len() as u64;
        let summary = Summary::of(&trailer, &tail, &directory, bytes);
        Ok(Written { summary })
    }
}

impl Written {
    /// Gives the segment its name, durably. An error is final: what the name is after a power cut is not known.
    pub(crate) fn publish(&self, disk: &dyn SegmentStore, folder: &str) -> io::Result<()> {
        let number = self.summary.file;
        disk.rename(&new_name(folder, number), &name(folder, number))?;
        disk.sync_directory(folder)
    }
}

impl FooterFacts {
    fn of(footer: Footer) -> Self {
        let mut commits = Vec::new();
        let mut highest = None;
        for commit in &footer.commits {
            commit.encode(&mut commits);
            highest = highest.max(commit.commit_time_ms);
        }
        Self {
            frames_end: footer.frames_end,
            commits,
            commit_count: count(footer.commits.len()),
            highest_commit_ms: highest,
        }
    }
}

/// Directory, ends, commits and trailer, to stand at `position`.
fn tail(
    position: u64,
    (file, stamp): (u64, Stamp),
    directory: &Directory,
    ends: &[TopicEntry],
    footer: &FooterFacts,
) -> (Vec<u8>, Trailer) {
    let mut bytes: Vec<u8> = directory
        .iter()
        .flat_map(layout::DirectoryRow::encode)
        .collect();
    let mut part = |encoded: &[u8], count: u32| {
        let part = Part {
            position: position + bytes.len() as u64,
            bytes: encoded.len() as u64,
            count,
            crc: crc32fast::hash(encoded),
        };
        bytes.extend_from_slice(encoded);
        part
    };
    let mut encoded_ends = Vec::new();
    for end in ends {
        end.encode(&mut encoded_ends);
    }
    let ends = part(&encoded_ends, count(ends.len()));
    let commits = part(&footer.commits, footer.commit_count);
    let trailer = Trailer {
        instance: stamp.instance,
        file,
        sealed_at: stamp.sealed_at,
        created_ms: stamp.created_ms,
        highest_commit_ms: footer.highest_commit_ms,
        directory: position,
        topics: count(directory.len()),
        ends,
        commits,
    };
    bytes.extend(trailer.encode());
    (bytes, trailer)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a footer of at most 2 GiB told of them")
}

/// The ends of all topics as of the last commit frame before the file.
fn checkpoint_ends(
    file: &dyn SegmentFile,
    identity: Identity,
    (from, frames_end): (u64, u64),
) -> Result<Vec<TopicEntry>, SealError> {
    let checkpoint = crate::walk::body_at(file, identity, (from, frames_end)).map_err(io)?;
    let checkpoint = checkpoint
        .filter(|(header, _)| header.kind == Kind::Checkpoint)
        .and_then(|(header, body)| Checkpoint::decode(header.group, &body).ok());
    let Some(checkpoint) = checkpoint else {
        return Err(SealError::Damaged {
            from,
            to: from + HEADER_LENGTH,
        });
    };
    let topics = checkpoint.state.topics.into_iter();
    Ok(topics
        .map(|(topic, state)| TopicEntry {
            topic,
            partition: 0,
            end_offset: state.end,
        })
        .collect())
}

/// A newer version's frame is nothing to seal, as an error of the disk is not.
fn io(error: WalkError) -> SealError {
    SealError::Io(match error {
        WalkError::Io(error) => error,
        WalkError::Frame(error) => io::Error::new(io::ErrorKind::InvalidData, error),
    })
}
