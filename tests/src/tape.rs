//! What a reader has seen, remembered in eight bytes a record, so that nothing can be changed or taken back
//! behind its back (design section 7: I5, I7, I8).

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::wire::Record;

/// All topics as one reader has seen them, over restarts of the broker.
#[derive(Debug, Default)]
pub struct Tape {
    topics: BTreeMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The hash of the record at each offset from 0 on, each over the one before: one number stands for the
    /// whole topic up to there.
    hashes: Vec<u64>,
    /// The highest high watermark that was told.
    high_watermark: i64,
    /// The highest log start that was told.
    log_start: i64,
}

impl Tape {
    /// Remembers a record, or compares it with what was seen at its offset.
    ///
    /// # Errors
    /// A record that differs from the one seen before, or a hole in the offsets.
    pub fn observe(&mut self, topic: &str, record: &Record) -> Result<(), String> {
        let seen = self.topics.entry(topic.to_owned()).or_default();
        let at = |what: String| format!("{topic}@{}: {what}", record.offset);
        let offset =
            usize::try_from(record.offset).map_err(|_| at("a negative offset".to_owned()))?;
        let before = match offset.checked_sub(1) {
            None => 0,
            Some(last) => *seen
                .hashes
                .get(last)
                .ok_or_else(|| at(format!("a hole behind {}", seen.hashes.len())))?,
        };
        let hash = hash_of(before, record);
        match seen.hashes.get(offset) {
            None => seen.hashes.push(hash),
            Some(known) if *known == hash => {}
            Some(_) => {
                return Err(at(
                    "is another record than the one that was read here before".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Remembers a high watermark.
    ///
    /// # Errors
    /// One below an earlier one, or below a record that was read: something visible was taken back.
    pub fn observe_high_watermark(
        &mut self,
        topic: &str,
        high_watermark: i64,
    ) -> Result<(), String> {
        let next = self.next(topic);
        let seen = self.topics.entry(topic.to_owned()).or_default();
        let highest = seen.high_watermark.max(next);
        if high_watermark < highest {
            return Err(format!(
                "{topic}: high watermark {high_watermark} after {highest} had been visible"
            ));
        }
        seen.high_watermark = high_watermark;
        Ok(())
    }

    /// Remembers a log start (the offset of the first record there is).
    ///
    /// # Errors
    /// One below an earlier one: what was deleted is back.
    pub fn observe_log_start(&mut self, topic: &str, log_start: i64) -> Result<(), String> {
        let seen = self.topics.entry(topic.to_owned()).or_default();
        if log_start < seen.log_start {
            let before = seen.log_start;
            return Err(format!("{topic}: log start {log_start} after {before}"));
        }
        seen.log_start = log_start;
        Ok(())
    }

    /// The offset behind the last record seen of a topic.
    #[must_use]
    pub fn next(&self, topic: &str) -> i64 {
        let count = self.topics.get(topic).map_or(0, |seen| seen.hashes.len());
        i64::try_from(count).expect("no test reads 2^63 records")
    }

    /// The highest high watermark told of a topic.
    #[must_use]
    pub fn high_watermark(&self, topic: &str) -> i64 {
        self.topics.get(topic).map_or(0, |seen| seen.high_watermark)
    }
}

fn hash_of(before: u64, record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, record).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, value: &str) -> Record {
        Record {
            offset,
            timestamp: 1,
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_record_that_is_read_again_must_be_the_same() {
        let mut tape = Tape::default();
        for (offset, value) in [(0, "a"), (1, "b"), (0, "a"), (1, "b"), (2, "c")] {
            tape.observe("t", &record(offset, value)).unwrap();
        }
        assert!(
            tape.observe("t", &record(1, "x"))
                .unwrap_err()
                .contains("another record")
        );
        assert_eq!(tape.next("t"), 3);
    }

    #[test]
    fn a_hole_is_found() {
        let mut tape = Tape::default();
        assert!(
            tape.observe("t", &record(1, "b"))
                .unwrap_err()
                .contains("hole")
        );
    }

    #[test]
    fn a_high_watermark_never_goes_back() {
        let mut tape = Tape::default();
        tape.observe_high_watermark("t", 5).unwrap();
        tape.observe_high_watermark("t", 5).unwrap();
        assert!(tape.observe_high_watermark("t", 4).is_err());
        tape.observe("u", &record(0, "a")).unwrap();
        assert!(
            tape.observe_high_watermark("u", 0).is_err(),
            "below a record that was read"
        );
    }

    #[test]
    fn a_log_start_never_goes_back() {
        let mut tape = Tape::default();
        tape.observe_log_start("t", 3).unwrap();
        tape.observe_log_start("t", 3).unwrap();
        assert!(tape.observe_log_start("t", 2).is_err());
    }
}
