//! One file of the modelled disk: durable bytes, cached bytes, and the writes between them.

use std::{io, ops::Range};

use rustix::io::Errno;

use super::{
    Inode, ModelDisk,
    power::{Fate, Unsynced, kept},
};
use crate::disk::SegmentFile;

#[derive(Debug, Default, Clone)]
pub(super) struct Contents {
    pub(super) durable: Vec<u8>,
    /// What readers see.
    pub(super) cached: Vec<u8>,
    /// In the order they happened.
    unsynced: Vec<Write>,
    pub(super) unreadable: Vec<Range<u64>>,
}

#[derive(Debug, Clone)]
struct Write {
    position: u64,
    bytes: Vec<u8>,
    /// A sync failed after this write: no later one makes it durable.
    called_clean: bool,
}

impl Write {
    fn range(&self) -> Range<u64> {
        self.position..self.position + self.bytes.len() as u64
    }

    /// The part of this write that covers `range` of the file, which lies inside it.
    fn part(&self, range: &Range<u64>) -> Option<Self> {
        let from = usize::try_from(range.start.checked_sub(self.position)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.position)?).ok()?;
        let bytes = self.bytes.get(from..to)?.to_vec();
        Some(Self {
            position: range.start,
            bytes,
            called_clean: self.called_clean,
        })
    }

    /// What is left of this write when `over` covers part of it.
    fn outside(&self, over: &Range<u64>) -> Vec<Self> {
        let own = self.range();
        let before = own.start..own.end.min(over.start);
        let behind = own.start.max(over.end)..own.end;
        let parts = [before, behind]
            .into_iter()
            .filter(|part| part.start < part.end);
        parts.filter_map(|part| self.part(&part)).collect()
    }
}

impl Contents {
    pub(super) fn durable(bytes: &[u8]) -> Self {
        Self {
            durable: bytes.to_vec(),
            cached: bytes.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        put(&mut self.cached, position, bytes)?;
        self.unsynced.push(Write {
            position,
            bytes: bytes.to_vec(),
            called_clean: false,
        });
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        let mut left: Vec<Write> = Vec::new();
        for write in std::mem::take(&mut self.unsynced) {
            if write.called_clean {
                left.push(write);
                continue;
            }
            // An older write that failed must not come back over a newer one that is durable.
            left = left
                .iter()
                .flat_map(|older| older.outside(&write.range()))
                .collect();
            put_known(&mut self.durable, &write);
        }
        self.unsynced = left;
    }

    pub(super) fn call_clean(&mut self) {
        self.unsynced
            .iter_mut()
            .for_each(|write| write.called_clean = true);
    }

    pub(super) fn flip(&mut self, position: u64, bit: u8) {
        let Ok(index) = usize::try_from(position) else {
            return;
        };
        for bytes in [&mut self.durable, &mut self.cached] {
            if let Some(byte) = bytes.get_mut(index) {
                *byte ^= 1u8.rotate_left(u32::from(bit));
            }
        }
    }

    pub(super) fn after_power_cut(
        &self,
        name: &str,
        chooser: &mut dyn FnMut(&Unsynced) -> Fate,
    ) -> Self {
        let mut bytes = self.durable.clone();
        for write in &self.unsynced {
            let range = write.range();
            let fate = chooser(&Unsynced::Write {
                name: name.to_owned(),
                range: range.clone(),
            });
            if fate == Fate::Zeros {
                bytes.resize(bytes.len().max(index_known(range.end)), 0);
            }
            for part in kept(&range, fate)
                .iter()
                .filter_map(|part| write.part(part))
            {
                put_known(&mut bytes, &part);
            }
        }
        let unreadable = self.unreadable.clone();
        Self {
            durable: bytes.clone(),
            cached: bytes,
            unsynced: Vec::new(),
            unreadable,
        }
    }

    fn read(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = position.saturating_add(buffer.len() as u64);
        if self
            .unreadable
            .iter()
            .any(|bad| bad.start < end && position < bad.end)
        {
            return Err(Errno::IO.into());
        }
        let rest = self.cached.get(index(position)?..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct ModelFile {
    disk: ModelDisk,
    name: String,
    inode: Inode,
}

impl ModelFile {
    pub(super) fn new(disk: ModelDisk, name: &str, inode: Inode) -> Self {
        Self {
            disk,
            name: name.to_owned(),
            inode,
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Contents) -> io::Result<T>) -> io::Result<T> {
        let state = self.disk.lock();
        state.faults.alive()?;
        read(
            state
                .contents
                .get(&self.inode)
                .ok_or(io::ErrorKind::NotFound)?,
        )
    }
}

impl SegmentFile for ModelFile {
    fn write_at(&self, position: u64, slices: &[&[u8]]) -> io::Result<()> {
        self.disk
            .lock()
            .write(self.inode, &self.name, position, &slices.concat())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(|contents| contents.read(position, buffer))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode, &self.name)
    }

    fn length(&self) -> io::Result<u64> {
        self.read(|contents| Ok(contents.cached.len() as u64))
    }
}

/// A position as an index into memory.
pub(super) fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// Writes `new` at `position`; a gap before it reads as zeros.
fn put(bytes: &mut Vec<u8>, position: u64, new: &[u8]) -> io::Result<()> {
    let start = index(position)?;
    let end = start
        .checked_add(new.len())
        .ok_or(io::ErrorKind::FileTooLarge)?;
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(start..end) {
        place.copy_from_slice(new);
    }
    Ok(())
}

fn index_known(position: u64) -> usize {
    index(position).expect("the position fitted when it was written")
}

/// [`put`] of a write that was put once before.
fn put_known(bytes: &mut Vec<u8>, write: &Write) {
    put(bytes, write.position, &write.bytes).expect("the position fitted when it was written");
}
