//! The tests' disk: a [`SegmentStore`] in memory that keeps apart what is durable and what only the page cache
//! has, and that fails on demand. Deterministic: the same calls and the same seed give the same disk. Not for
//! production.
//!
//! What it models:
//! - A write is in the page cache at once and durable after [`SegmentFile::sync`] of that file (any handle).
//! - A created, renamed or removed name is visible at once and durable after [`SegmentStore::sync_directory`].
//! - [`ModelDisk::power_cut`]: each unsynced write is lost, kept or torn, whatever became of the ones before it;
//!   each unsynced name change is lost or kept.
//! - [`ModelDisk::kill`]: only the process died; the page cache stays as it was.
//! - A failed sync calls the bytes clean, as Linux does: they stay readable, and no later sync makes them
//!   durable; only writing them again does. Bytes count one by one here; Linux would take the whole page along.
//! - Faults by operation number or kind ([`fault`]), a capacity, flipped bits, unreadable ranges.
//!
//! Operations are numbered from 0 in the order they happen; reads have no number. A crash test runs once without
//! a fault, takes [`ModelDisk::operations`], and runs again with [`Fault::Crash`] at each number.
//! `create` is up to three operations: the name, the zeros, their sync.

pub mod fault;
mod file;
pub mod power;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;

use self::{
    fault::{Fault, Faults, Operation, OperationKind},
    file::{Contents, ModelFile},
    power::{Fate, PowerCut, Unsynced},
};
use super::{SegmentFile, SegmentStore};

/// A disk in memory. Clones are the same disk; [`ModelDisk::kill`] and [`ModelDisk::power_cut`] give new ones
/// and leave this one as it is.
#[derive(Debug, Clone, Default)]
pub struct ModelDisk {
    state: Arc<Mutex<State>>,
}

/// Names a file's contents whatever its name is, as an inode number does.
type Inode = u64;

#[derive(Debug, Default, Clone)]
struct State {
    contents: BTreeMap<Inode, Contents>,
    names: BTreeMap<String, Inode>,
    durable_names: BTreeMap<String, Inode>,
    /// Name changes since the last directory sync, oldest first.
    name_changes: Vec<NameChange>,
    folders: BTreeSet<String>,
    next_inode: Inode,
    capacity: Option<u64>,
    faults: Faults,
}

/// Names that change together (a rename changes two).
#[derive(Debug, Clone)]
struct NameChange {
    folder: String,
    names: Vec<(String, Option<Inode>)>,
    /// A directory sync failed after this change: no later one makes it durable.
    called_clean: bool,
}

impl ModelDisk {
    /// An empty disk without limit and without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk as a new process finds it when this one was killed: everything written is readable, also what
    /// was never synced. Faults and the operation counter start anew.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = State {
            faults: Faults::default(),
            ..self.lock().clone()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The disk after the power failed now. Everything on it is durable.
    #[must_use]
    pub fn power_cut(&self, choice: PowerCut<'_>) -> Self {
        let mut chooser = choice.chooser();
        let state = self.lock().after_power_cut(&mut *chooser);
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What a power cut now could take, in the order in which [`PowerCut::Plan`] is asked.
    #[must_use]
    pub fn unsynced(&self) -> Vec<Unsynced> {
        let mut list = Vec::new();
        let _after = self.lock().after_power_cut(&mut |unsynced| {
            list.push(unsynced.clone());
            Fate::Lost
        });
        list
    }

    /// Lets operation `number` fail or crash.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.lock().faults.at(number, fault);
    }

    /// Lets the `count`-th (1: the next) operation of `kind` from now on fail or crash.
    pub fn fail_nth(&self, kind: OperationKind, count: u64, fault: Fault) {
        self.lock().faults.nth(kind, count, fault);
    }

    /// Lets reads that touch `range` of `name` fail with `EIO`.
    pub fn fail_reads(&self, name: &str, range: Range<u64>) {
        self.change_contents(name, |contents| contents.unreadable.push(range));
    }

    /// Flips one bit (0 is the lowest) of byte `position` of `name`, durable and cached. Nothing happens where
    /// the file is shorter or missing.
    pub fn flip_bit(&self, name: &str, position: u64, bit: u8) {
        self.change_contents(name, |contents| contents.flip(position, bit));
    }

    /// Bytes that all files together may have; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// What happened so far, in order; those that failed or crashed included.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.lock().faults.log().to_vec()
    }

    /// Number of the next operation.
    #[must_use]
    pub fn operation_count(&self) -> u64 {
        self.lock().faults.next_number()
    }

    /// Whether a [`Fault::Crash`] was reached.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.lock().faults.has_crashed()
    }

    /// What a reader sees of `name`; `None` if there is no such file.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = state.names.get(name)?;
        state
            .contents
            .get(inode)
            .map(|contents| contents.cached.clone())
    }

    /// What surely survives a power cut of the file now called `name`, whether or not its name does.
    #[must_use]
    pub fn durable_contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = state.names.get(name)?;
        state
            .contents
            .get(inode)
            .map(|contents| contents.durable.clone())
    }

    /// Puts `bytes` there as a durable file, replacing one that exists. No operation is counted.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.lock();
        let inode = state.add_contents(Contents::durable(bytes));
        state.folders.insert(folder_of(name).to_owned());
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    fn change_contents(&self, name: &str, change: impl FnOnce(&mut Contents)) {
        let mut state = self.lock();
        let Some(inode) = state.names.get(name).copied() else {
            return;
        };
        if let Some(contents) = state.contents.get_mut(&inode) {
            change(contents);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere left no half-done change: every change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str, inode: Inode) -> Arc<dyn SegmentFile> {
        Arc::new(ModelFile::new(self.clone(), name, inode))
    }
}

impl SegmentStore for ModelDisk {
    fn create(&self, name: &str, zeros: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let inode = self.lock().create(name)?;
        let file = self.file(name, inode);
        if zeros > 0 {
            file.write_at(0, &[&vec![0; file::index(zeros)?]])?;
            file.sync()?;
        }
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let state = self.lock();
        state.faults.alive()?;
        let inode = state
            .names
            .get(name)
            .copied()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(name, inode))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.faults.alive()?;
        let here = state.names.keys().filter(|name| folder_of(name) == folder);
        Ok(here
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
            .collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.lock().room())
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.lock();
        state
            .faults
            .operation(OperationKind::CreateFolder, folder, 0..0)?;
        state.folders.insert(folder.to_owned());
        Ok(())
    }

    fn sync_directory(&self, folder: &str) -> io::Result<()> {
        self.lock().sync_directory(folder)
    }
}

impl State {
    fn create(&mut self, name: &str) -> io::Result<Inode> {
        self.faults.operation(OperationKind::Create, name, 0..0)?;
        if !folder_of(name).is_empty() && !self.folders.contains(folder_of(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.add_contents(Contents::default());
        self.change_names(folder_of(name), vec![(name.to_owned(), Some(inode))]);
        Ok(inode)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.faults.operation(OperationKind::Rename, from, 0..0)?;
        if folder_of(from) != folder_of(to) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let inode = self
            .names
            .get(from)
            .copied()
            .ok_or(io::ErrorKind::NotFound)?;
        let names = vec![(from.to_owned(), None), (to.to_owned(), Some(inode))];
        self.change_names(folder_of(from), names);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.faults.operation(OperationKind::Remove, name, 0..0)?;
        if !self.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_names(folder_of(name), vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_directory(&mut self, folder: &str) -> io::Result<()> {
        let changes = |change: &&mut NameChange| change.folder == folder;
        if let Err(error) = self
            .faults
            .operation(OperationKind::SyncDirectory, folder, 0..0)
        {
            let clean = !self.faults.has_crashed();
            self.name_changes
                .iter_mut()
                .filter(changes)
                .for_each(|c| c.called_clean |= clean);
            return Err(error);
        }
        let (done, rest) = std::mem::take(&mut self.name_changes)
            .into_iter()
            .partition(|change| change.folder == folder && !change.called_clean);
        self.name_changes = rest;
        for change in Vec::<NameChange>::into_iter(done) {
            apply(&mut self.durable_names, &change.names);
        }
        Ok(())
    }

    fn change_names(&mut self, folder: &str, names: Vec<(String, Option<Inode>)>) {
        apply(&mut self.names, &names);
        let folder = folder.to_owned();
        self.name_changes.push(NameChange {
            folder,
            names,
            called_clean: false,
        });
    }

    fn add_contents(&mut self, contents: Contents) -> Inode {
        self.next_inode += 1;
        self.contents.insert(self.next_inode, contents);
        self.next_inode
    }

    /// Bytes that may still be written, for a write that would make one file `growth` longer.
    fn room(&self) -> u64 {
        let Some(capacity) = self.capacity else {
            return u64::MAX;
        };
        let named: BTreeSet<_> = self.names.values().collect();
        let used = named.iter().filter_map(|inode| self.contents.get(inode));
        capacity.saturating_sub(used.map(|contents| contents.cached.len() as u64).sum())
    }

    /// A write of `bytes` at `position`, as far as faults and capacity let it.
    fn write(&mut self, inode: Inode, name: &str, position: u64, bytes: &[u8]) -> io::Result<()> {
        let range = position..position.saturating_add(bytes.len() as u64);
        let fault = self.faults.write(name, range.clone());
        let mut allowed = fault.as_ref().map_or(bytes.len(), |(written, _)| *written);
        let room = self.room();
        let contents = self
            .contents
            .get_mut(&inode)
            .ok_or(io::ErrorKind::NotFound)?;
        let growth = range.end.saturating_sub(contents.cached.len() as u64);
        let full = growth > room;
        if full {
            allowed = allowed.min(bytes.len().saturating_sub(file::index(growth - room)?));
        }
        contents.write(position, bytes.get(..allowed).unwrap_or(bytes))?;
        match fault {
            Some((_, error)) => Err(error),
            None if full => Err(Errno::NOSPC.into()),
            None => Ok(()),
        }
    }

    fn sync(&mut self, inode: Inode, name: &str) -> io::Result<()> {
        let result = self.faults.operation(OperationKind::Sync, name, 0..0);
        let crashed = self.faults.has_crashed();
        let contents = self
            .contents
            .get_mut(&inode)
            .ok_or(io::ErrorKind::NotFound)?;
        match result {
            Ok(()) => contents.sync(),
            Err(_) if crashed => {}
            Err(_) => contents.call_clean(),
        }
        result
    }

    fn after_power_cut(&self, chooser: &mut dyn FnMut(&Unsynced) -> Fate) -> Self {
        let mut names = self.durable_names.clone();
        for change in &self.name_changes {
            let changed = change.names.iter().map(|(name, _)| name.clone()).collect();
            if chooser(&Unsynced::Names(changed)) != Fate::Lost {
                apply(&mut names, &change.names);
            }
        }
        let mut contents = BTreeMap::new();
        for (name, inode) in &names {
            let Some(before) = self.contents.get(inode) else {
                continue;
            };
            contents
                .entry(*inode)
                .or_insert_with(|| before.after_power_cut(name, chooser));
        }
        Self {
            contents,
            durable_names: names.clone(),
            names,
            name_changes: Vec::new(),
            folders: self.folders.clone(),
            next_inode: self.next_inode,
            capacity: self.capacity,
            faults: Faults::default(),
        }
    }
}

fn apply(names: &mut BTreeMap<String, Inode>, changes: &[(String, Option<Inode>)]) {
    for (name, inode) in changes {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
