//! The reader of a [`Run`](super::Run): reads all topics over and over, from where it stopped or again from the
//! beginning, through every interruption, and remembers all that it saw.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{FAULTS_SHOWN, Retention};
use crate::{
    change::Logged,
    oracle::Snapshot,
    random::Random,
    tape::Tape,
    wire::{self, EARLIEST, Wire},
};

/// Kafka's OFFSET_OUT_OF_RANGE.
const OFFSET_OUT_OF_RANGE: i16 = 1;
/// Who reads.
pub(super) struct Reader<'a> {
    pub(super) bootstrap: &'a str,
    pub(super) topics: &'a [String],
    pub(super) retention: Retention,
    pub(super) random: Random,
}

/// What the reader brings home from a round.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Ends of all topics at one moment, without repetition.
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) connections: u64,
    /// Records that nobody had seen before; kept where they may be gone at the end of the round.
    pub(super) logged: Vec<Logged>,
    pub(super) faults: Vec<String>,
}

/// Offset of the first record of a topic.
pub(super) fn log_start(wire: &mut Wire, topic: &str) -> io::Result<i64> {
    let starts = wire.offsets_at(&[topic.to_owned()], EARLIEST)?;
    let start = starts.first().copied().flatten();
    start.ok_or_else(|| invalid(format!("{topic} is gone")))
}

impl Reader<'_> {
    /// Reads until `stop`, or until there are faults enough.
    pub(super) fn read_along(mut self, tape: &mut Tape, stop: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) && seen.faults.len() < FAULTS_SHOWN {
            let Ok(wire) = Wire::connect(self.bootstrap) else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            seen.connections += 1;
            match self.read_connection(wire, tape, &mut seen, stop) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    seen.faults.push(error.to_string());
                }
                // The broker was interrupted.
                Ok(()) | Err(_) => {}
            }
        }
        seen
    }

    fn read_connection(
        &mut self,
        mut wire: Wire,
        tape: &mut Tape,
        seen: &mut Seen,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let again = self.random.one_in(5);
        let mut next = BTreeMap::new();
        for topic in self.topics {
            let from = if again {
                log_start(&mut wire, topic)?
            } else {
                tape.next(topic)
            };
            next.insert(topic.clone(), from);
        }
        while !stop.load(Ordering::Relaxed) {
            if !self.fetch_once(&mut wire, tape, &mut next, seen)? {
                return Ok(());
            }
            seen.add_snapshot(self.snapshot(&mut wire, tape)?);
        }
        Ok(())
    }

    /// Fetches all topics once. False where what is old was deleted meanwhile and the reader is to begin anew.
    fn fetch_once(
        &self,
        wire: &mut Wire,
        tape: &mut Tape,
        next: &mut BTreeMap<String, i64>,
        seen: &mut Seen,
    ) -> io::Result<bool> {
        let from: Vec<(String, i64)> = next
            .iter()
            .map(|(topic, offset)| (topic.clone(), *offset))
            .collect();
        for fetched in wire.fetch(&from, Duration::from_millis(20), 1 << 20)? {
            let (topic, error) = (&fetched.topic, fetched.error_code);
            let asked = next.get(topic).copied().unwrap_or(0);
            if error == OFFSET_OUT_OF_RANGE
                && self.retention == Retention::Deletes
                && asked < tape.next(topic)
            {
                return Ok(false);
            }
            if error != 0 {
                return Err(invalid(format!("{topic}@{asked}: error code {error}")));
            }
            tape.observe_log_start(topic, fetched.log_start)
                .map_err(invalid)?;
            for record in wire::from_offset(wire::decode_records(&fetched.records)?, asked) {
                let new = record.offset >= tape.next(topic);
                tape.observe(topic, &record).map_err(invalid)?;
                next.insert(topic.clone(), record.offset + 1);
                if new && self.retention == Retention::Deletes {
                    let logged = Logged::of_record(topic, &record).map_err(invalid)?;
                    seen.logged.push(logged);
                }
            }
            tape.observe_high_watermark(topic, fetched.high_watermark)
                .map_err(invalid)?;
        }
        Ok(true)
    }

    fn snapshot(&self, wire: &mut Wire, tape: &mut Tape) -> io::Result<Snapshot> {
        let mut snapshot = Snapshot::new();
        for (topic, end) in self.topics.iter().zip(wire.ends(self.topics)?) {
            let end = end.ok_or_else(|| invalid(format!("{topic} is gone")))?;
            tape.observe_high_watermark(topic, end).map_err(invalid)?;
            snapshot.push((topic.clone(), end));
        }
        Ok(snapshot)
    }
}

impl Seen {
    fn add_snapshot(&mut self, snapshot: Snapshot) {
        if self.snapshots.last() != Some(&snapshot) {
            self.snapshots.push(snapshot);
        }
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
