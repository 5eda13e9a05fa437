//! Journal files that are used again: what they begin with, how one is made, and the one that waits for it
//! (`docs/format.md`, "Recycled journal files").
//!
//! A file that was used before is full of rows that somebody stored. What keeps them from passing for frames is the
//! salt, so it must be known wherever the file has its name: it stands in two identity frames, durable before the name and
//! never written again.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    codec::{Input, Output},
    disk::{SegmentFile, SegmentStore},
    frame::{FrameError, FrameHeader, HEADER_BYTES, Kind},
    journal_file::name,
    walk::{WalkError, read_full},
};

/// Bytes of an identity frame, header included: one damaged page takes only one of the two.
const IDENTITY_BYTES: usize = 4096;
/// Where the first frame behind the identity frames stands.
pub(crate) const HEAD_BYTES: u64 = 2 * IDENTITY_BYTES as u64;
/// Files below this are not used again: the identity frames would be a good part of them.
const FILE_BYTES_MIN: u64 = 4 * HEAD_BYTES;

/// How a journal file begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where the checkpoint stands.
    pub(crate) first: u64,
    /// Of a recycled file. `None`: a zero-written one, or one whose identity frames are both damaged.
    pub(crate) salt: Option<u32>,
}

impl Head {
    pub(crate) fn of_recycled(salt: u32) -> Self {
        Self {
            first: HEAD_BYTES,
            salt: Some(salt),
        }
    }

    /// Whether the file may have a frame with this salt.
    pub(crate) fn allows(&self, header: &FrameHeader) -> bool {
        self.salt.is_none_or(|salt| salt == header.salt)
    }
}

/// How file `number` begins.
///
/// # Errors
/// What the disk says; an identity frame that a newer version wrote.
pub(crate) fn head(file: &dyn SegmentFile, number: u64) -> Result<Head, WalkError> {
    for copy in 0..2 {
        match identity(file, number, copy)? {
            Copy::Whole(salt) => return Ok(Head::of_recycled(salt)),
            Copy::OtherFrame if copy == 0 => return Ok(Head::default()),
            Copy::OtherFrame | Copy::Damaged => {}
        }
    }
    Ok(Head::default())
}

/// The position of an identity frame of recycled file `number` that is not whole, if one is.
pub(crate) fn damaged_identity(
    file: &dyn SegmentFile,
    number: u64,
) -> Result<Option<(u64, u64)>, WalkError> {
    for copy in 0..2 {
        if !matches!(identity(file, number, copy)?, Copy::Whole(_)) {
            let from = copy * IDENTITY_BYTES as u64;
            return Ok(Some((from, from + IDENTITY_BYTES as u64)));
        }
    }
    Ok(None)
}

/// What stands where an identity frame may.
enum Copy {
    /// One of this file, with this salt.
    Whole(u32),
    /// The header of another frame of this file.
    OtherFrame,
    Damaged,
}

fn identity(file: &dyn SegmentFile, number: u64, copy: u64) -> Result<Copy, WalkError> {
    let mut frame = [0; IDENTITY_BYTES];
    let count = read_full(file, copy * IDENTITY_BYTES as u64, &mut frame)?;
    let frame = frame.get(..count).unwrap_or_default();
    let header = FrameHeader::parse(frame).ok();
    let Some(header) = header.filter(|header| header.file == number) else {
        return Ok(Copy::Damaged);
    };
    if header.kind != Kind::Identity {
        return Ok(Copy::OtherFrame);
    }
    let body = frame.get(HEADER_BYTES..).unwrap_or_default();
    if !header.covers(body) {
        return Ok(Copy::Damaged);
    }
    decode(body)?;
    Ok(Copy::Whole(header.salt))
}

/// The number of the former file.
fn decode(body: &[u8]) -> Result<u64, FrameError> {
    let mut input = Input::new(body);
    let former = input.u64()?;
    if input.zeros(BODY_BYTES - 8).is_err() {
        return Err(FrameError::Newer("identity frame"));
    }
    input.end()?;
    Ok(former)
}

const BODY_BYTES: usize = IDENTITY_BYTES - HEADER_BYTES;

/// Both identity frames of file `number`.
fn encode(number: u64, salt: u32, former: u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(BODY_BYTES);
    body.u64(former);
    body.resize(BODY_BYTES, 0);
    let header = FrameHeader::new(Kind::Identity, number, salt, 0).seal(&body);
    [&header[..], &body, &header, &body].concat()
}

/// Makes file `number` from file `former`, durably, name included. After an error neither is there, as far as they can
/// be removed.
///
/// # Errors
/// What the disk says; `NotFound` where there is no such file.
pub(crate) fn reuse(
    disk: &dyn SegmentStore,
    folder: &str,
    (former, number, salt): (u64, u64, u32),
) -> io::Result<Arc<dyn SegmentFile>> {
    let (old, new) = (name(folder, former), name(folder, number));
    let handle = disk.open(&old)?;
    let write = || {
        handle.write_at(0, &[&encode(number, salt, former)])?;
        handle.sync()?;
        disk.rename(&old, &new)?;
        disk.sync_directory(folder)
    };
    let made = write();
    if made.is_err() {
        // One of the names is not there. What cannot be removed is removed by a start.
        for name in [&old, &new] {
            disk.remove(name).unwrap_or(());
        }
    }
    made.map(|()| handle)
}

/// The sealed journal file that waits to be used again. Shared by the keeper, which has one to give, and the journal,
/// which needs the next one.
#[derive(Debug)]
pub(crate) struct Spare {
    /// Length of the files that can be used again; 0: none.
    file_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<u64>,
    /// Former numbers whose names are gone.
    gone: Vec<u64>,
}

impl Spare {
    /// For files of `file_bytes`; where not `is_wanted`, or where they are too short, none waits ever.
    pub(crate) fn new(file_bytes: u64, is_wanted: bool) -> Self {
        let is_wanted = is_wanted && file_bytes >= FILE_BYTES_MIN;
        Self {
            file_bytes: if is_wanted { file_bytes } else { 0 },
            state: Mutex::default(),
        }
    }

    /// Bytes of identity frames that a file may begin with.
    pub(crate) fn head_bytes(&self) -> u64 {
        if self.file_bytes == 0 { 0 } else { HEAD_BYTES }
    }

    /// File `number` of `bytes` waits from now on under its name; false: it is not wanted.
    pub(crate) fn offer(&self, number: u64, bytes: u64) -> bool {
        let mut state = self.lock();
        if self.file_bytes == 0 || bytes != self.file_bytes || state.waiting.is_some() {
            return false;
        }
        state.waiting = Some(number);
        true
    }

    /// The file that waits; it waits no more.
    pub(crate) fn take(&self) -> Option<u64> {
        self.lock().waiting.take()
    }

    /// The name of the file that was taken is gone.
    pub(crate) fn is_gone(&self, number: u64) {
        self.lock().gone.push(number);
    }

    /// The files taken whose names are gone since this was last asked.
    pub(crate) fn take_gone(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().gone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::model::{
        ModelDisk,
        fault::{Fault, OperationKind},
        power::{Fate, PowerCut, Unsynced},
    };

    const FOLDER: &str = "journal";

    fn disk(former: &[u8]) -> ModelDisk {
        let disk = ModelDisk::new();
        disk.create_folder(FOLDER).expect("makes");
        disk.put(&name(FOLDER, 3), former);
        disk
    }

    fn head_of(disk: &ModelDisk, number: u64) -> Head {
        let file = SegmentStore::open(disk, &name(FOLDER, number)).expect("is there");
        head(file.as_ref(), number).expect("is read")
    }

    #[test]
    fn one_damaged_identity_frame_costs_nothing_and_two_cost_the_salt() {
        let disk = disk(&[0xAB; 3 * IDENTITY_BYTES]);
        reuse(&disk, FOLDER, (3, 7, 99)).expect("makes");
        assert_eq!(disk.list(FOLDER).expect("lists").len(), 1);
        assert_eq!(head_of(&disk, 7), Head::of_recycled(99));
        let bytes = disk.contents(&name(FOLDER, 7)).expect("exists");
        assert_eq!(decode(&bytes[HEADER_BYTES..IDENTITY_BYTES]), Ok(3));
        assert!(bytes[2 * IDENTITY_BYTES..].iter().all(|byte| *byte == 0xAB));
        for at in (0..IDENTITY_BYTES as u64).step_by(61) {
            let damaged = disk.kill();
            damaged.flip_bit(&name(FOLDER, 7), at, 3);
            assert_eq!(head_of(&damaged, 7), Head::of_recycled(99), "{at}");
            let file = SegmentStore::open(&damaged, &name(FOLDER, 7)).expect("is there");
            let found = damaged_identity(file.as_ref(), 7).expect("is read");
            assert_eq!(found, Some((0, 4096)));
            damaged.flip_bit(&name(FOLDER, 7), at + 4096, 3);
            assert_eq!(head_of(&damaged, 7), Head::default(), "{at}");
        }
    }

    #[test]
    fn the_salt_is_durable_before_the_file_has_its_name() {
        let disk = disk(&[0xAB; 3 * IDENTITY_BYTES]);
        disk.fail_nth(OperationKind::SyncDirectory, 1, Fault::Crash);
        reuse(&disk, FOLDER, (3, 7, 99)).expect_err("the power fails");
        let mut only_names = |unsynced: &Unsynced| match unsynced {
            Unsynced::Names(_) => Fate::Kept,
            _ => Fate::Lost,
        };
        let cut = disk.power_cut(PowerCut::Plan(&mut only_names));
        assert_eq!(head_of(&cut, 7), Head::of_recycled(99));
        // Without its new name it is what a start removes.
        let cut = disk.power_cut(PowerCut::LoseAll);
        assert_eq!(head_of(&cut, 3), Head::default());
    }

    #[test]
    fn an_identity_of_another_number_is_none() {
        let disk = disk(&[0; 3 * IDENTITY_BYTES]);
        reuse(&disk, FOLDER, (3, 7, 99)).expect("makes");
        disk.rename(&name(FOLDER, 7), &name(FOLDER, 8))
            .expect("renames");
        assert_eq!(head_of(&disk, 8), Head::default());
    }

    #[test]
    fn only_one_file_of_the_usual_length_waits() {
        let spare = Spare::new(FILE_BYTES_MIN, true);
        assert!(!spare.offer(1, FILE_BYTES_MIN + 8), "another length");
        assert!(spare.offer(2, FILE_BYTES_MIN));
        assert!(!spare.offer(3, FILE_BYTES_MIN), "one waits");
        assert_eq!((spare.take(), spare.take()), (Some(2), None));
        spare.is_gone(2);
        assert_eq!((spare.take_gone(), spare.take_gone()), (vec![2], vec![]));
        assert!(!Spare::new(FILE_BYTES_MIN, false).offer(1, FILE_BYTES_MIN));
        assert!(!Spare::new(4096, true).offer(1, 4096), "too short");
    }
}
