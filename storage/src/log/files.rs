//! Open handles of journal files and sealed segments for readers, a bounded number of them.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    disk::{SegmentFile, SegmentStore},
    journal_file, sealed,
};

/// Handles kept open; readers that still use one keep it alive beyond that.
const OPEN_FILES_MAX: usize = 32;

/// In which form a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Journal,
    Sealed,
}

type Handle = Arc<dyn SegmentFile>;

/// The files, opened on first use, least recently used ones closed.
#[derive(Debug)]
pub(super) struct Files {
    disk: Arc<dyn SegmentStore>,
    folder: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: VecDeque<(u64, Form, Handle)>,
    /// Journal files that are no longer kept open while readers may still have them.
    closed: Vec<(u64, Weak<dyn SegmentFile>)>,
    /// Journal files that have another form now: nobody may open them any more.
    retired: BTreeSet<u64>,
}

impl State {
    fn close_oldest(&mut self) {
        self.closed.retain(|(_, handle)| handle.strong_count() > 0);
        if let Some((number, Form::Journal, handle)) = self.open.pop_front() {
            self.closed.push((number, Arc::downgrade(&handle)));
        }
    }
}

impl Files {
    pub(super) fn new(disk: Arc<dyn SegmentStore>, folder: String) -> Self {
        Self {
            disk,
            folder,
            state: Mutex::default(),
        }
    }

    /// File `number`, for reading. `NotFound` where it has another form now, or is deleted.
    pub(super) fn get(&self, number: u64, form: Form) -> io::Result<Handle> {
        // The lock is held while a file is opened: rare, and short.
        let mut state = self.lock();
        let known = |entry: &(u64, Form, Handle)| entry.0 == number && entry.1 == form;
        let at = state.open.iter().position(known);
        let handle = match at.and_then(|at| state.open.remove(at)) {
            Some((.., handle)) => handle,
            None if form == Form::Journal && state.retired.contains(&number) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            None => self.disk.open(&self.name(number, form))?,
        };
        state.open.push_back((number, form, Arc::clone(&handle)));
        if state.open.len() > OPEN_FILES_MAX {
            state.close_oldest();
        }
        Ok(handle)
    }

    /// [`Files::get`], if it is open already.
    pub(super) fn open(&self, number: u64, form: Form) -> Option<Handle> {
        let state = self.lock();
        let known = |entry: &&(u64, Form, Handle)| entry.0 == number && entry.1 == form;
        let found = state.open.iter().rev().find(known);
        found.map(|(.., handle)| Arc::clone(handle))
    }

    /// From now on nobody opens journal file `number` any more. Gives what tells whether readers still have it.
    pub(super) fn retire(&self, number: u64) -> Vec<Weak<dyn SegmentFile>> {
        let mut state = self.lock();
        state.retired.insert(number);
        let mut readers = Vec::new();
        state.open.retain(|(file, form, handle)| {
            let is_it = *file == number && *form == Form::Journal;
            readers.extend(is_it.then(|| Arc::downgrade(handle)));
            !is_it
        });
        state.closed.retain(|(file, handle)| {
            readers.extend((*file == number).then(|| Weak::clone(handle)));
            *file != number && handle.strong_count() > 0
        });
        readers
    }

    /// The name of a retired journal file is gone, so it can have no reader.
    pub(super) fn is_gone(&self, number: u64) {
        self.lock().retired.remove(&number);
    }

    /// Closes the files before `number`.
    pub(super) fn close_before(&self, number: u64) {
        self.lock().open.retain(|entry| entry.0 >= number);
    }

    fn name(&self, number: u64, form: Form) -> String {
        match form {
            Form::Journal => journal_file::name(&self.folder, number),
            Form::Sealed => sealed::name(&self.folder, number),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
