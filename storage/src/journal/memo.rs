//! What a journal keeps in the meta store: the durable end, so that a start scans only what lies behind it, and
//! the number of the last start, so that group numbers are never used twice (`docs/format.md`, "sled keys").

use std::{sync::Arc, time::Duration};

use super::{Journal, Now, Stopped};
use crate::{
    codec::{Input, Output},
    error::StorageError,
    frame::FrameError,
    meta::{MetaBatch, MetaStore, key},
    number::InstanceNumber,
};

const VERSION: u8 = 1;
/// Of a durable end of a journal that has a recycled file: versions that know none refuse it.
const VERSION_RECYCLED: u8 = 2;
/// The durable end is noted this long after it moved, at most.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// Nor do more bytes of a file wait for it: a start writes them again, and a fast capture writes 100 MB a second.
const NOTE_BYTES: u64 = 32 * 1024 * 1024;

/// Up to where a start may rely on the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurableEnd {
    pub(crate) file: u64,
    /// Behind the last commit frame, or behind the checkpoint of a file opened after it.
    pub(crate) position: u64,
    /// The last committed group; 0 for none.
    pub(crate) group: u64,
    /// The journal was closed here: nothing was written behind it.
    pub(crate) clean: bool,
}

impl DurableEnd {
    /// Whether more lies between here and `end` than a start should write again.
    fn is_far_before(self, end: Self) -> bool {
        let in_next = end.file.saturating_sub(self.file) > 1;
        let same =
            self.file == end.file && end.position.saturating_sub(self.position) >= NOTE_BYTES;
        let next = self.file < end.file && end.position >= NOTE_BYTES;
        in_next || same || next
    }

    fn encode(self, version: u8) -> Vec<u8> {
        let mut value = vec![version, u8::from(self.clean)];
        value.u64(self.file);
        value.u64(self.position);
        value.u64(self.group);
        value
    }

    fn decode(value: &[u8]) -> Result<Self, FrameError> {
        let mut input = Input::new(value);
        if !matches!(input.u8()?, VERSION | VERSION_RECYCLED) {
            return Err(FrameError::Newer("durable end"));
        }
        let clean = input.u8()? == 1;
        let (file, position, group) = (input.u64()?, input.u64()?, input.u64()?);
        input.end()?;
        Ok(Self {
            file,
            position,
            group,
            clean,
        })
    }
}

/// The two keys of one instance.
#[derive(Debug)]
pub(crate) struct Memo {
    meta: Arc<dyn MetaStore>,
    instance: InstanceNumber,
    durable_end_key: Vec<u8>,
    start_key: Vec<u8>,
    /// What is noted, and when.
    noted: Option<(DurableEnd, Duration)>,
    /// Of the durable ends to be noted.
    version: u8,
}

impl Memo {
    pub(crate) fn new(meta: Arc<dyn MetaStore>, instance: InstanceNumber) -> Self {
        Self {
            meta,
            instance,
            durable_end_key: key::durable_end(instance),
            start_key: key::start(instance),
            noted: None,
            version: VERSION,
        }
    }

    /// The remembered durable end.
    pub(crate) fn durable_end(&self) -> Result<Option<DurableEnd>, StorageError> {
        Self::read_durable_end(&*self.meta, self.instance)
    }

    /// The remembered durable end of `instance` in `meta`.
    pub(crate) fn read_durable_end(
        meta: &dyn MetaStore,
        instance: InstanceNumber,
    ) -> Result<Option<DurableEnd>, StorageError> {
        let value = meta.get(&key::durable_end(instance))?;
        value
            .map(|value| read(instance, DurableEnd::decode(&value)))
            .transpose()
    }

    /// The journal has a recycled file: what is noted from now on says so.
    pub(crate) fn note_recycled(&mut self) {
        self.version = VERSION_RECYCLED;
    }

    /// The number of the last start; 0 for none.
    pub(crate) fn last_start(&self) -> Result<u32, StorageError> {
        let Some(value) = self.meta.get(&self.start_key)? else {
            return Ok(0);
        };
        let mut input = Input::new(&value);
        let start = match input.u8() {
            Ok(VERSION) => input.u32(),
            Ok(_) => Err(FrameError::Newer("start")),
            Err(error) => Err(error),
        };
        read(self.instance, start)
    }

    /// Notes the durable end and the number of this start, before the first frame is written.
    pub(crate) fn begin(&mut self, start: u32, end: DurableEnd) -> Result<(), StorageError> {
        let mut value = vec![VERSION];
        value.u32(start);
        self.meta.commit(&MetaBatch {
            changes: vec![
                (self.start_key.clone(), Some(value)),
                (self.durable_end_key.clone(), Some(end.encode(self.version))),
            ],
        })?;
        self.noted = Some((end, Duration::ZERO));
        Ok(())
    }

    pub(crate) fn note(&mut self, end: DurableEnd, at: Duration) -> Result<(), StorageError> {
        self.meta.commit(&MetaBatch {
            changes: vec![(self.durable_end_key.clone(), Some(end.encode(self.version)))],
        })?;
        self.noted = Some((end, at));
        Ok(())
    }

    /// How long after `at` it has to be noted that the journal is durable up to `end`; `None`: it is noted.
    fn due_in(&self, end: DurableEnd, at: Duration) -> Option<Duration> {
        match self.noted {
            Some((noted, _)) if noted == end => None,
            Some((noted, noted_at)) if !noted.is_far_before(end) => {
                Some(NOTE_INTERVAL.saturating_sub(at.saturating_sub(noted_at)))
            }
            Some(_) | None => Some(Duration::ZERO),
        }
    }
}

fn read<T>(instance: InstanceNumber, result: Result<T, FrameError>) -> Result<T, StorageError> {
    let what = format!("sled's note on the journal of instance {instance}");
    result.map_err(|error| match error {
        FrameError::Newer(_) => StorageError::Refused(format!("{what}: {error}")),
        FrameError::Malformed => StorageError::Damaged(format!("{what} cannot be read")),
    })
}

impl Journal {
    /// Notes in the meta store how far the journal is durable: at most once a second, or each 32 MiB. To be called after commits and
    /// when idle: a start scans, and writes again, only what is behind the note.
    ///
    /// # Errors
    /// As [`Journal::commit`]: where the meta store fails, nothing goes on.
    pub fn note_durable_end(&mut self, now: Now) -> Result<(), StorageError> {
        self.check_writable()?;
        if self.note_due_in(now) == Some(Duration::ZERO) {
            self.note(self.durable, now.monotonic)?;
        }
        Ok(())
    }

    /// How long [`Journal::note_durable_end`] may wait from now on; `None`: until the next commit.
    #[must_use]
    pub fn note_due_in(&self, now: Now) -> Option<Duration> {
        self.memo.due_in(self.durable, now.monotonic)
    }

    /// A clean stop: an unfinished group is taken back, and the durable end noted as the end of everything.
    ///
    /// # Errors
    /// As [`Journal::rewind`] and [`Journal::note_durable_end`].
    pub fn close(mut self) -> Result<(), StorageError> {
        self.rewind()?;
        self.guarded(|journal| {
            // The open file may be new, without a group yet.
            journal.file.handle.sync()?;
            journal.sync_names()?;
            journal.durable = journal.durable_tail();
            Ok(())
        })?;
        let end = DurableEnd {
            clean: true,
            ..self.durable
        };
        self.note(end, Duration::ZERO)
    }

    fn note(&mut self, end: DurableEnd, at: Duration) -> Result<(), StorageError> {
        self.memo.note(end, at).inspect_err(|error| {
            self.stopped = Some(Stopped::Poisoned(error.to_string()));
        })?;
        self.log.note_file(end.file);
        Ok(())
    }

    /// The durable end, when everything up to the tail of the open file is synced.
    pub(super) fn durable_tail(&self) -> DurableEnd {
        DurableEnd {
            file: self.file.number,
            position: self.tail,
            group: self.state.last.group,
            clean: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_end_reads_back_and_another_version_is_refused() {
        let end = DurableEnd {
            file: 3,
            position: 4096,
            group: 1 << 40,
            clean: true,
        };
        let mut value = end.encode(VERSION);
        assert_eq!(value.len(), 26);
        assert_eq!(DurableEnd::decode(&value), Ok(end));
        let recycled = end.encode(VERSION_RECYCLED);
        assert_eq!((recycled[0], DurableEnd::decode(&recycled)), (2, Ok(end)));
        value[0] = 3;
        assert_eq!(
            DurableEnd::decode(&value),
            Err(FrameError::Newer("durable end"))
        );
        assert_eq!(DurableEnd::decode(&[1, 0]), Err(FrameError::Malformed));
    }

    #[test]
    fn a_durable_end_is_noted_each_second_and_each_32_mib() {
        let end = |file, position| DurableEnd {
            file,
            position,
            group: 1,
            clean: false,
        };
        let meta = Arc::new(crate::meta::memory::MemoryMeta::new());
        let mut memo = Memo::new(meta, InstanceNumber(1));
        let noted_at = Duration::from_secs(9);
        let now = Some(Duration::ZERO);
        assert_eq!(memo.due_in(end(3, 100), noted_at), now, "nothing is noted");
        memo.note(end(3, 100), noted_at).expect("notes");
        assert_eq!(memo.due_in(end(3, 100), noted_at * 2), None, "it is noted");
        let soon = noted_at + Duration::from_millis(1);
        let later = Some(Duration::from_millis(999));
        assert_eq!(memo.due_in(end(3, 200), soon), later);
        assert_eq!(memo.due_in(end(3, 200), noted_at + NOTE_INTERVAL), now);
        assert_eq!(memo.due_in(end(3, 200), noted_at * 2), now, "overdue");
        assert_eq!(memo.due_in(end(3, NOTE_BYTES + 99), soon), later);
        assert_eq!(memo.due_in(end(3, NOTE_BYTES + 100), soon), now);
        assert_eq!(memo.due_in(end(4, 100), soon), later, "only a new file");
        assert_eq!(memo.due_in(end(4, NOTE_BYTES), soon), now);
        assert_eq!(memo.due_in(end(5, 100), soon), now);
    }
}
