//! Every byte of an instance's journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{
    Finding, LostOffsets, Report,
    frames::{Complaint, Frames},
    sealed::Segment,
};
use crate::{
    catalog::Catalog,
    disk::{SegmentFile, SegmentStore},
    error::StorageError,
    frame::{FrameHeader, HEADER_BYTES, Kind, footer::Footer},
    journal::{DurableEnd, Memo},
    journal_file,
    meta::MetaStore,
    number::InstanceNumber,
    recover::{
        Place, What,
        scan::{look_at, read_footer, walk_error},
    },
    recycled::{Head, damaged_identity, head},
    sealed,
    walk::{Identity, Step, WalkError, Walker},
};

/// Read at once.
const WINDOW_BYTES: usize = 1024 * 1024;

/// Whether the instance has any journal file.
pub(super) fn has_files(
    disk: &dyn SegmentStore,
    instance: InstanceNumber,
) -> Result<bool, StorageError> {
    let first = journal_file::first(disk, &journal_file::folder(instance))?;
    Ok(first.is_some())
}

/// Checks the journal of `instance` into `report`. While a broker writes it, what is complained of is looked at twice.
pub(super) fn check(
    disk: &dyn SegmentStore,
    meta: Option<&dyn MetaStore>,
    (instance, catalog): (InstanceNumber, &Catalog),
    report: &mut Report,
) -> Result<(), StorageError> {
    let durable_end = match meta {
        Some(meta) => noted_end(meta, instance, report)?,
        None => None,
    };
    let journal = JournalCheck {
        disk,
        folder: journal_file::folder(instance),
        instance,
        oldest: catalog.oldest_file(instance),
        durable_end,
    };
    let mut seen = journal.read()?;
    if report.online && !seen.damage().is_empty() {
        let again = journal.read()?;
        let still = again.damage();
        seen.frames.complaints.retain(|complaint| {
            still
                .iter()
                .any(|other| (other.place, other.to) == (complaint.place, complaint.to))
        });
    }
    report.totals.files += seen.files;
    report.totals.bytes += seen.bytes;
    report.totals.groups += seen.frames.groups;
    report.totals.records += seen.frames.records;
    for complaint in seen.damage() {
        let number = complaint.place.file;
        let file = if seen.sealed.contains(&number) {
            sealed::name(&journal.folder, number)
        } else {
            journal_file::name(&journal.folder, number)
        };
        report.add(finding(file, complaint, catalog));
    }
    if let Some(note) = seen.note(&journal.folder, report.online) {
        report.notes.push(note);
    }
    Ok(())
}

fn noted_end(
    meta: &dyn MetaStore,
    instance: InstanceNumber,
    report: &mut Report,
) -> Result<Option<DurableEnd>, StorageError> {
    match Memo::read_durable_end(meta, instance) {
        Ok(end) => Ok(end),
        Err(newer @ StorageError::Refused(_)) => Err(newer),
        Err(error) => {
            let what = format!("{error}; the next start makes sled again");
            report.add_file(crate::meta::folder::META, (0, 0), what);
            Ok(None)
        }
    }
}

fn finding(file: String, complaint: &Complaint, catalog: &Catalog) -> Finding {
    let lost = complaint
        .offsets
        .iter()
        .map(|(topic, from, to)| LostOffsets {
            topic: *topic,
            name: catalog.topic(*topic).map(|topic| topic.name.clone()),
            from: *from,
            to: *to,
        });
    Finding {
        file,
        from: complaint.place.position,
        to: complaint.to,
        what: complaint.what.clone(),
        offsets: lost.collect(),
    }
}

struct JournalCheck<'a> {
    disk: &'a dyn SegmentStore,
    folder: String,
    instance: InstanceNumber,
    /// Files before it were deleted, or are to be.
    oldest: u64,
    durable_end: Option<DurableEnd>,
}

/// What one reading saw.
struct Seen {
    frames: Frames,
    proven: Place,
    files: u64,
    bytes: u64,
    /// Numbers of the sealed segments.
    sealed: BTreeSet<u64>,
    /// Where frames end in a file without a footer, and whether anything follows there.
    end: Option<OpenEnd>,
}

/// What stands for a file's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Journal,
    Sealed,
}

#[derive(Debug, Clone, Copy)]
struct OpenEnd {
    place: Place,
    length: u64,
    dirty: bool,
}

impl Seen {
    /// Complaints about what was durable.
    fn damage(&self) -> Vec<&Complaint> {
        let complaints = self.frames.complaints.iter();
        complaints
            .filter(|complaint| complaint.place < self.proven)
            .collect()
    }

    /// The tail, if there is something to tell of it.
    fn note(&self, folder: &str, online: bool) -> Option<String> {
        if online {
            return None;
        }
        let torn = self
            .frames
            .complaints
            .iter()
            .find(|complaint| complaint.place >= self.proven);
        let open = self.end.filter(|_| self.frames.open_group() != 0);
        let place = torn.map(|torn| torn.place).or(open.map(|end| end.place))?;
        Some(format!(
            "{}: an unfinished group at byte {}; the next start cuts it, and the source sends it again",
            journal_file::name(folder, place.file),
            place.position
        ))
    }
}

impl JournalCheck<'_> {
    fn read(&self) -> Result<Seen, StorageError> {
        let mut seen = Seen {
            frames: Frames::new(),
            proven: Place {
                file: 0,
                position: 0,
            },
            files: 0,
            bytes: 0,
            sealed: BTreeSet::new(),
            end: None,
        };
        let mut expected = self.oldest;
        for (number, (name, form)) in self.names()? {
            let missing = expected..number;
            expected = number + 1;
            for missing in missing {
                let place = Place {
                    file: missing,
                    position: 0,
                };
                seen.frames.unreadable(place, 0, "the file is missing");
            }
            self.read_file(number, (&name, form), &mut seen)?;
        }
        let noted = self.durable_end.map(|end| Place {
            file: end.file,
            position: end.position,
        });
        seen.proven = noted.map_or(seen.frames.proven, |noted| noted.max(seen.frames.proven));
        self.check_end(&mut seen);
        Ok(seen)
    }

    /// The files that count, by number: of two forms the sealed one.
    fn names(&self) -> Result<BTreeMap<u64, (String, Form)>, StorageError> {
        let mut names = BTreeMap::new();
        for (number, name) in journal_file::names(self.disk, &self.folder)? {
            names.insert(number, (name, Form::Journal));
        }
        for (number, name) in sealed::names(self.disk, &self.folder)? {
            names.insert(number, (name, Form::Sealed));
        }
        Ok(names.split_off(&self.oldest))
    }

    /// What sled says is durable must have been seen.
    fn check_end(&self, seen: &mut Seen) {
        let Some(noted) = self.durable_end else {
            return;
        };
        let reached = seen.end.map_or(
            Place {
                file: 0,
                position: 0,
            },
            |end| end.place,
        );
        let noted_place = Place {
            file: noted.file,
            position: noted.position,
        };
        if noted.group > seen.frames.last_group() && reached < noted_place {
            let from = Place {
                file: noted.file,
                position: if reached.file == noted.file {
                    reached.position
                } else {
                    0
                },
            };
            let what = format!(
                "nothing can be read here, and everything up to group {} was durable",
                noted.group
            );
            seen.frames.complain(from, noted.position, what);
        }
    }

    fn read_file(
        &self,
        number: u64,
        (name, form): (&str, Form),
        seen: &mut Seen,
    ) -> Result<(), StorageError> {
        let place = Place {
            file: number,
            position: 0,
        };
        let opened = self
            .disk
            .open(name)
            .and_then(|file| Ok((file.length()?, file)));
        let (length, file) = match opened {
            Ok(opened) => opened,
            // Gone since the folder was listed: sealed or deleted by the broker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                seen.frames
                    .unreadable(place, 0, format!("cannot be opened: {error}"));
                return Ok(());
            }
        };
        let read = match form {
            Form::Journal => self.read_frames(number, (&file, length), seen),
            Form::Sealed => {
                self.file_begins(number, seen);
                seen.bytes += length;
                seen.sealed.insert(number);
                let segment = Segment {
                    file: file.as_ref(),
                    instance: self.instance,
                    number,
                    length,
                };
                segment.check(&mut seen.frames)
            }
        };
        match read {
            Err(StorageError::Read { source, .. }) => {
                seen.frames
                    .unreadable(place, length, format!("cannot be read: {source}"));
                Ok(())
            }
            other => other,
        }
    }

    fn read_frames(
        &self,
        number: u64,
        (file, length): (&Arc<dyn SegmentFile>, u64),
        seen: &mut Seen,
    ) -> Result<(), StorageError> {
        let failed = |error| walk_error(&journal_file::name(&self.folder, number), error);
        let head = head(file.as_ref(), number).map_err(failed)?;
        let footer = read_footer(file.as_ref(), number, length).map_err(failed)?;
        let footer = footer.filter(|(header, _)| head.allows(header));
        let salt = footer.as_ref().map(|(header, _)| header.salt).or(head.salt);
        let identity = Identity { number, salt };
        let end = footer
            .as_ref()
            .map_or(length, |(_, footer)| footer.frames_end.min(length));
        let mut walker = Walker::new(file.as_ref(), identity, head.first, end, WINDOW_BYTES);
        seen.frames.index = crate::index::FileIndex::default();
        let complaints = seen.frames.complaints.len();
        let mut had_frames = false;
        loop {
            let step = walker.step().map_err(failed)?;
            if !had_frames && !matches!(step, Step::End { .. }) {
                had_frames = true;
                self.file_begins(number, seen);
                check_identity((file.as_ref(), number, head), &mut seen.frames).map_err(failed)?;
            }
            match step {
                Step::Frame { position, header } => {
                    let what = look_at(&mut walker, position, header, true).map_err(failed)?;
                    frame(
                        &mut seen.frames,
                        Place {
                            file: number,
                            position,
                        },
                        &header,
                        &what,
                    );
                }
                Step::Gap { from, to } => {
                    let place = Place {
                        file: number,
                        position: from,
                    };
                    seen.frames
                        .unreadable(place, to, "no frame can be read here");
                }
                Step::End { position, dirty } => {
                    let place = Place {
                        file: number,
                        position,
                    };
                    let ended = OpenEnd {
                        place,
                        length,
                        dirty: dirty && head.salt.is_none(),
                    };
                    let is_sound = seen.frames.complaints.len() == complaints;
                    self.file_ends(
                        file.as_ref(),
                        footer.as_ref(),
                        (ended, had_frames, is_sound),
                        seen,
                    )?;
                    return Ok(());
                }
            }
        }
    }

    /// A file with a frame follows: the one before it must have ended with a footer.
    fn file_begins(&self, number: u64, seen: &mut Seen) {
        seen.files += 1;
        let before = seen.end.take().filter(|end| end.place.file < number);
        if let Some(end) = before {
            let what = "the footer of a finished file cannot be read";
            seen.frames.complain(end.place, end.length, what);
        }
    }

    fn file_ends(
        &self,
        file: &dyn SegmentFile,
        footer: Option<&(FrameHeader, Footer)>,
        (end, had_frames, is_sound): (OpenEnd, bool, bool),
        seen: &mut Seen,
    ) -> Result<(), StorageError> {
        if had_frames {
            seen.bytes += end.length;
        }
        let Some((header, footer)) = footer else {
            if had_frames || (end.dirty && seen.end.is_none()) {
                seen.end = Some(end);
            }
            return Ok(());
        };
        if end.place.position < footer.frames_end {
            let what = "no frame can be read up to the file's end";
            seen.frames.unreadable(end.place, footer.frames_end, what);
            return Ok(());
        }
        let stated = body(file, footer.position, header)?;
        let own =
            seen.frames
                .index
                .footer(footer.frames_end, seen.frames.open_group(), footer.position);
        if is_sound && stated != own {
            let place = Place {
                position: footer.position,
                ..end.place
            };
            let what = "a footer does not say what its file holds";
            seen.frames.complain(place, end.length, what);
        }
        Ok(())
    }
}

fn body(
    file: &dyn SegmentFile,
    position: u64,
    header: &FrameHeader,
) -> Result<Vec<u8>, StorageError> {
    // The footer was read whole before: its length is that of the file's end.
    let mut body = vec![0; header.length as usize];
    let read = crate::walk::read_full(file, position + HEADER_BYTES as u64, &mut body);
    read.map_err(|source| StorageError::Read {
        what: "footer".to_owned(),
        source,
    })?;
    Ok(body)
}

/// Both identity frames of a recycled file must be whole.
fn check_identity(
    (file, number, head): (&dyn SegmentFile, u64, Head),
    frames: &mut Frames,
) -> Result<(), WalkError> {
    if head.salt.is_none() {
        return Ok(());
    }
    if let Some((from, to)) = damaged_identity(file, number)? {
        let place = Place {
            file: number,
            position: from,
        };
        frames.complain(place, to, "an identity frame does not fit its checksum");
    }
    Ok(())
}

fn frame(frames: &mut Frames, place: Place, header: &FrameHeader, what: &What) {
    let to = place.position + header.frame_bytes();
    match what {
        What::Data { header, whole } => frames.data(place, header, *whole),
        What::Commit { group, frame } => frames.commit(place, to, *group, frame),
        What::Checkpoint(checkpoint) => frames.checkpoint(place, to, checkpoint),
        What::Bad(Some(Kind::Footer)) => frames.complain(place, to, "a footer cannot be read"),
        What::Bad(kind) => {
            let kind = match kind {
                Some(Kind::Commit) => "a commit frame",
                Some(Kind::Checkpoint) => "a checkpoint frame",
                Some(Kind::Data | Kind::Footer | Kind::Identity) | None => "a frame",
            };
            frames.unreadable(place, to, format!("{kind} does not fit its checksum"));
        }
    }
}
