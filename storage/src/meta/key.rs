//! Every key in sled, as a byte table. All stand in sled's default tree; the first byte is the kind. Integers
//! are big endian, so that keys sort as their numbers do.
//!
//! | key                                          | value                                                    |
//! |----------------------------------------------|----------------------------------------------------------|
//! | `01`                                         | directory record, JSON: `{"format":1,"directory_id":".."}` |
//! | `02`                                         | number of the last catalog change that is here, u64      |
//! | `10` instance u32, chunk u16                 | instance, JSON in chunks                                 |
//! | `11` feed u32, chunk u16                     | feed, JSON in chunks                                     |
//! | `12` topic u32, chunk u16                    | topic, JSON in chunks                                    |
//! | `13` schema version u64, chunk u16           | schema version, JSON in chunks                           |
//! | `14` group u32, chunk u16                    | consumer group, JSON in chunks                           |
//! | `15` instance u32, chunk u16                 | oldest file, JSON in chunks                              |
//! | `20` instance u32                            | durable end of the instance's journal (`journal/memo.rs`) |
//! | `21` instance u32                            | number of the journal's last start (`journal/memo.rs`)   |
//! | `22` instance u32                            | running time, seconds u64 (`keeper/running_time.rs`)     |
//! | `40` instance u32, file u64, chunk u16       | note of a sealed segment, in chunks (`sealed/summary.rs`) |
//! | `41` instance u32, topic u32                 | log start, i64 (`keeper/starts.rs`)                      |
//! | `41` instance u32                            | oldest file of these starts, u64 (there)                 |
//!
//! | `30` group u32, topic u32, partition u16, chunk u16 | position of a consumer group (`positions/value.rs`) |
//! | `31` group u32, sequence u64, chunk u16      | history entry of a group, JSON in chunks                 |
//! | `32` group u32, chunk u16                    | membership of a group, JSON in chunks                    |
//! | `33` group u32, chunk u16                    | group of first use, JSON in chunks                       |
//!
//! "In chunks": [`super::long_value`]. Other first bytes are not used; a start leaves them alone.

use crate::number::{FeedNumber, GroupNumber, InstanceNumber, TopicNumber};

/// Key of the directory record.
pub const DIRECTORY: &[u8] = &[0x01];

/// Key of the last catalog change's number.
pub const CATALOG_CHANGE: &[u8] = &[0x02];

/// What all instances' keys begin with.
pub const INSTANCES: &[u8] = &[0x10];

/// What all feeds' keys begin with.
pub const FEEDS: &[u8] = &[0x11];

/// What all topics' keys begin with.
pub const TOPICS: &[u8] = &[0x12];

/// What all schema versions' keys begin with.
pub const SCHEMAS: &[u8] = &[0x13];

/// What all consumer groups' keys begin with.
pub const GROUPS: &[u8] = &[0x14];
/// What all oldest files' keys begin with.
pub const OLDEST_FILES: &[u8] = &[0x15];

const DURABLE_ENDS: &[u8] = &[0x20];
const STARTS: &[u8] = &[0x21];
const RUNNING_TIMES: &[u8] = &[0x22];
const SEALED: &[u8] = &[0x40];
const LOG_STARTS: &[u8] = &[0x41];
const POSITIONS: &[u8] = &[0x30];

/// What all groups' history entries begin with.
pub const HISTORIES: &[u8] = &[0x31];

/// What all groups' memberships begin with.
pub const MEMBERSHIPS: &[u8] = &[0x32];

/// What all groups of first use begin with.
pub const FIRST_USES: &[u8] = &[0x33];

/// What an instance's chunks begin with.
#[must_use]
pub fn instance(number: InstanceNumber) -> Vec<u8> {
    [INSTANCES, &number.0.to_be_bytes()].concat()
}

/// What a feed's chunks begin with.
#[must_use]
pub fn feed(number: FeedNumber) -> Vec<u8> {
    [FEEDS, &number.0.to_be_bytes()].concat()
}

/// What a topic's chunks begin with.
#[must_use]
pub fn topic(number: TopicNumber) -> Vec<u8> {
    [TOPICS, &number.0.to_be_bytes()].concat()
}

/// What a schema version's chunks begin with.
#[must_use]
pub fn schema(version: u64) -> Vec<u8> {
    [SCHEMAS, &version.to_be_bytes()].concat()
}

/// What a consumer group's chunks begin with.
#[must_use]
pub fn group(number: GroupNumber) -> Vec<u8> {
    [GROUPS, &number.0.to_be_bytes()].concat()
}

/// What an instance's oldest file's chunks begin with.
#[must_use]
pub fn oldest_file(number: InstanceNumber) -> Vec<u8> {
    [OLDEST_FILES, &number.0.to_be_bytes()].concat()
}

/// Key of an instance's running time.
#[must_use]
pub fn running_time(instance: InstanceNumber) -> Vec<u8> {
    [RUNNING_TIMES, &instance.0.to_be_bytes()].concat()
}

/// What the notes of all sealed segments of an instance begin with.
#[must_use]
pub fn sealed_of(instance: InstanceNumber) -> Vec<u8> {
    [SEALED, &instance.0.to_be_bytes()].concat()
}

/// What the chunks of a sealed segment's note begin with.
#[must_use]
pub fn sealed(instance: InstanceNumber, file: u64) -> Vec<u8> {
    [&sealed_of(instance)[..], &file.to_be_bytes()].concat()
}

/// What the log starts of all topics of an instance begin with.
#[must_use]
pub fn log_starts_of(instance: InstanceNumber) -> Vec<u8> {
    [LOG_STARTS, &instance.0.to_be_bytes()].concat()
}

/// Key of the log start of a topic.
#[must_use]
pub fn log_start(instance: InstanceNumber, topic: TopicNumber) -> Vec<u8> {
    [&log_starts_of(instance)[..], &topic.0.to_be_bytes()].concat()
}

/// Key of the durable end of an instance's journal.
#[must_use]
pub fn durable_end(instance: InstanceNumber) -> Vec<u8> {
    [DURABLE_ENDS, &instance.0.to_be_bytes()].concat()
}

/// Key of the number of the last start of an instance's journal.
#[must_use]
pub fn start(instance: InstanceNumber) -> Vec<u8> {
    [STARTS, &instance.0.to_be_bytes()].concat()
}

/// What all positions of a group begin with.
#[must_use]
pub fn positions(group: GroupNumber) -> Vec<u8> {
    [POSITIONS, &group.0.to_be_bytes()].concat()
}

/// What the chunks of a group's position in one partition begin with.
#[must_use]
pub fn position(group: GroupNumber, topic: TopicNumber, partition: u16) -> Vec<u8> {
    let mut key = positions(group);
    key.extend_from_slice(&topic.0.to_be_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// What all history entries of a group begin with.
#[must_use]
pub fn history(group: GroupNumber) -> Vec<u8> {
    [HISTORIES, &group.0.to_be_bytes()].concat()
}

/// What the chunks of one history entry begin with.
#[must_use]
pub fn history_entry(group: GroupNumber, sequence: u64) -> Vec<u8> {
    [history(group).as_slice(), &sequence.to_be_bytes()].concat()
}

/// What the chunks of a group's membership begin with.
#[must_use]
pub fn membership(group: GroupNumber) -> Vec<u8> {
    [MEMBERSHIPS, &group.0.to_be_bytes()].concat()
}

/// What the chunks of a group of first use begin with.
#[must_use]
pub fn first_use(group: GroupNumber) -> Vec<u8> {
    [FIRST_USES, &group.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_bytes_of_the_table() {
        assert_eq!(instance(InstanceNumber(1)), [0x10, 0, 0, 0, 1]);
        assert_eq!(feed(FeedNumber(2)), [0x11, 0, 0, 0, 2]);
        assert_eq!(topic(TopicNumber(0x0102_0304)), [0x12, 1, 2, 3, 4]);
        assert_eq!(schema(5), [0x13, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(group(GroupNumber(7)), [0x14, 0, 0, 0, 7]);
        assert_eq!(durable_end(InstanceNumber(6)), [0x20, 0, 0, 0, 6]);
        assert_eq!(start(InstanceNumber(6)), [0x21, 0, 0, 0, 6]);
        assert_eq!(oldest_file(InstanceNumber(6)), [0x15, 0, 0, 0, 6]);
        assert_eq!(running_time(InstanceNumber(6)), [0x22, 0, 0, 0, 6]);
        let sealed = sealed(InstanceNumber(6), 7);
        assert_eq!(sealed, [0x40, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7]);
        let start = log_start(InstanceNumber(6), TopicNumber(8));
        assert_eq!(start, [0x41, 0, 0, 0, 6, 0, 0, 0, 8]);
        assert_eq!(
            position(GroupNumber(8), TopicNumber(9), 10),
            [0x30, 0, 0, 0, 8, 0, 0, 0, 9, 0, 10]
        );
        assert_eq!(
            history_entry(GroupNumber(8), 9),
            [0x31, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9]
        );
        assert_eq!(membership(GroupNumber(8)), [0x32, 0, 0, 0, 8]);
        assert_eq!(first_use(GroupNumber(8)), [0x33, 0, 0, 0, 8]);
        assert_eq!((DIRECTORY, CATALOG_CHANGE), (&[1][..], &[2][..]));
    }
}
