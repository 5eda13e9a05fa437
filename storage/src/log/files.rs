//! Open handles of journal files for readers, a bounded number of them.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    disk::{SegmentFile, SegmentStore},
    journal_file,
};

/// Handles kept open; readers that still use one keep it alive beyond that.
const OPEN_FILES_MAX: usize = 32;

/// The files, opened on first use, least recently used ones closed.
#[derive(Debug)]
pub(super) struct Files {
    disk: Arc<dyn SegmentStore>,
    folder: String,
    open: Mutex<VecDeque<(u64, Arc<dyn SegmentFile>)>>,
}

impl Files {
    pub(super) fn new(disk: Arc<dyn SegmentStore>, folder: String) -> Self {
        Self {
            disk,
            folder,
            open: Mutex::new(VecDeque::new()),
        }
    }

    /// File `number`, for reading.
    pub(super) fn get(&self, number: u64) -> io::Result<Arc<dyn SegmentFile>> {
        // The lock is held while a file is opened: rare, and short.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|(known, _)| *known == number);
        let entry = match at.and_then(|at| open.remove(at)) {
            Some(entry) => entry,
            None => {
                let name = journal_file::name(&self.folder, number);
                (number, self.disk.open(&name)?)
            }
        };
        let handle = Arc::clone(&entry.1);
        open.push_back(entry);
        if open.len() > OPEN_FILES_MAX {
            open.pop_front();
        }
        Ok(handle)
    }
}
