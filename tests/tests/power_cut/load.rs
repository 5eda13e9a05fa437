//! What the writer writes, worked out from the seed alone: so that another process can tell how everything must be
//! after any number of groups.

use std::collections::BTreeMap;

use headwater_protocol::batch::{BatchBuilder, RecordBatch};
use headwater_tests::random::Random;

const TOPICS_AT_FIRST: u64 = 2;
const TOPICS_MAX: u64 = 12;
const GROUPS_A_TOPIC: u64 = 40;
const GROUPS_A_SCHEMA: u64 = 5;

/// The load of one seed. Groups count from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) seed: u64,
}

/// One batch of a group: a topic's number (from 1 on) and its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) topic: u64,
    pub(crate) records: u64,
}

/// How many topics there must be before a group is written.
pub(crate) fn topics_before(group: u64) -> u64 {
    (TOPICS_AT_FIRST + group / GROUPS_A_TOPIC).min(TOPICS_MAX)
}

/// How many schema versions there must be before a group is written.
pub(crate) fn schemas_before(group: u64) -> u64 {
    group / GROUPS_A_SCHEMA
}

impl Load {
    /// The batches of a group, in order. Some groups are larger than a journal file of the writer.
    pub(crate) fn group(self, group: u64) -> Vec<Planned> {
        let mut random = Random::new(self.seed, group);
        let count = if random.one_in(200) {
            400
        } else {
            random.within(1..6)
        };
        let planned = |random: &mut Random| Planned {
            topic: random.within(1..topics_before(group) + 1),
            records: random.within(1..12),
        };
        (0..count).map(|_| planned(&mut random)).collect()
    }

    /// Where each topic ends after so many groups.
    pub(crate) fn ends(self, groups: u64) -> BTreeMap<u64, i64> {
        let mut ends = BTreeMap::new();
        for planned in (1..=groups).flat_map(|group| self.group(group)) {
            *ends.entry(planned.topic).or_insert(0) += signed(planned.records);
        }
        ends
    }

    /// The value of a record.
    pub(crate) fn value(self, topic: u64, offset: i64) -> Vec<u8> {
        let mut random = Random::new(self.seed ^ (topic << 48), offset.unsigned_abs());
        let length = if random.one_in(50) { 9_000 } else { 600 };
        let words = (0..random.within(1..length) / 8).map(|_| random.next());
        words.flat_map(u64::to_be_bytes).collect()
    }

    /// The batch that begins at `first`.
    pub(crate) fn batch(self, planned: Planned, first: i64) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for offset in first..first + signed(planned.records) {
            let value = self.value(planned.topic, offset);
            builder
                .append(offset, None, Some(&value), &[])
                .expect("it is far below the limit");
        }
        builder.finish().expect("it has a record")
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).expect("no test writes 2^63 records")
}
