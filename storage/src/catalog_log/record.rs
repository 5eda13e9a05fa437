//! `catalog.log` as bytes: the header, one record, and finding records in what a disk gives back. Pure.
//!
//! Header, 32 bytes. Integers are big endian.
//!
//! | bytes  | what                                       |
//! |--------|--------------------------------------------|
//! | 0..8   | `HWCATLOG`                                 |
//! | 8..12  | version u32 = 1                            |
//! | 12..28 | directory id                               |
//! | 28..32 | crc32 of bytes 0..28                       |
//!
//! Record. A change is one record or several with the same number, `parts` of them, in order; it counts when
//! all are there. Behind the last record the file ends, or zeros follow to its end.
//!
//! | bytes  | what                                       |
//! |--------|--------------------------------------------|
//! | 0..4   | `CREC`                                     |
//! | 4..8   | crc32 of everything behind it              |
//! | 8..12  | bytes of the payload u32                   |
//! | 12..20 | number of the change u64, from 1           |
//! | 20..24 | part u32, from 0                           |
//! | 24..28 | parts u32                                  |
//! | 28..   | payload: JSON array of changes             |

use std::ops::Range;

use uuid::Uuid;

pub(super) const HEADER_BYTES: usize = 32;
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"HWCATLOG";
const RECORD_MAGIC: &[u8; 4] = b"CREC";
const RECORD_HEADER_BYTES: usize = 28;
/// Magic and checksum.
const UNCOVERED_BYTES: usize = 8;

/// Bytes of payload after which a change goes on in another record. One thing is never split.
const PAYLOAD_BYTES: usize = 256 * 1024;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) directory_id: Uuid,
}

/// A whole record in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) part: u32,
    pub(super) parts: u32,
    /// All of it, in bytes of the file.
    pub(super) range: Range<usize>,
}

impl Record {
    pub(super) fn payload<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let payload = self.range.start + RECORD_HEADER_BYTES..self.range.end;
        file.get(payload).unwrap_or_default()
    }
}

pub(super) fn encode_header(directory_id: Uuid) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(directory_id.as_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// `None`: missing or damaged.
pub(super) fn decode_header(file: &[u8]) -> Option<Header> {
    let (header, _) = file.split_first_chunk::<HEADER_BYTES>()?;
    let (covered, checksum) = header.split_last_chunk::<4>()?;
    let rest = covered.strip_prefix(MAGIC)?;
    let (version, id) = rest.split_first_chunk::<4>()?;
    (crc32fast::hash(covered) == u32::from_be_bytes(*checksum)).then(|| Header {
        version: u32::from_be_bytes(*version),
        directory_id: Uuid::from_slice(id).unwrap_or_default(),
    })
}

/// The records of one change; `things` are its JSON objects.
pub(super) fn encode_change(number: u64, things: &[Vec<u8>]) -> Vec<u8> {
    let payloads = payloads(things);
    let mut bytes = Vec::new();
    for (part, payload) in payloads.iter().enumerate() {
        encode_record(&mut bytes, number, (part, payloads.len()), payload);
    }
    bytes
}

fn payloads(things: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut payloads = vec![Vec::new()];
    for thing in things {
        if payloads
            .last()
            .is_some_and(|last| last.len() + thing.len() > PAYLOAD_BYTES)
        {
            payloads.push(Vec::new());
        }
        if let Some(last) = payloads.last_mut() {
            last.push(if last.is_empty() { b'[' } else { b',' });
            last.extend_from_slice(thing);
        }
    }
    payloads.retain(|payload| !payload.is_empty());
    payloads.iter_mut().for_each(|payload| payload.push(b']'));
    payloads
}

fn encode_record(to: &mut Vec<u8>, number: u64, (part, parts): (usize, usize), payload: &[u8]) {
    let int = |value: usize| u32::try_from(value).expect("a change is far below 4 GiB");
    let mut covered = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len());
    covered.extend_from_slice(&int(payload.len()).to_be_bytes());
    covered.extend_from_slice(&number.to_be_bytes());
    covered.extend_from_slice(&int(part).to_be_bytes());
    covered.extend_from_slice(&int(parts).to_be_bytes());
    covered.extend_from_slice(payload);
    to.extend_from_slice(RECORD_MAGIC);
    to.extend_from_slice(&crc32fast::hash(&covered).to_be_bytes());
    to.extend_from_slice(&covered);
}

/// The whole record that begins at `start`, if one does.
fn record_at(file: &[u8], start: usize) -> Option<Record> {
    let rest = file.get(start..)?.strip_prefix(RECORD_MAGIC)?;
    let (checksum, behind) = rest.split_first_chunk::<4>()?;
    let (length, fields) = behind.split_first_chunk::<4>()?;
    let (number, fields) = fields.split_first_chunk::<8>()?;
    let (part, fields) = fields.split_first_chunk::<4>()?;
    let (parts, _) = fields.split_first_chunk::<4>()?;
    let bytes = (u32::from_be_bytes(*length) as usize).checked_add(RECORD_HEADER_BYTES)?;
    let covered = behind.get(..bytes - UNCOVERED_BYTES)?;
    (crc32fast::hash(covered) == u32::from_be_bytes(*checksum)).then(|| Record {
        number: u64::from_be_bytes(*number),
        part: u32::from_be_bytes(*part),
        parts: u32::from_be_bytes(*parts),
        range: start..start + bytes,
    })
}

/// All whole records behind the header in the order of the file; damaged bytes between them are stepped over.
pub(super) fn records(file: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mut from = HEADER_BYTES;
    while let Some(record) = next_record(file, from) {
        from = record.range.end;
        found.push(record);
    }
    found
}

/// What is neither the header nor a whole record, zeros at the end aside. One at the end at least: something is missing.
pub(super) fn gaps(file: &[u8]) -> Vec<Range<usize>> {
    let live = file.len() - file.iter().rev().take_while(|byte| **byte == 0).count();
    let header = decode_header(file).map(|_| 0..HEADER_BYTES);
    let whole = header
        .into_iter()
        .chain(records(file).into_iter().map(|record| record.range));
    let mut gaps = Vec::new();
    let mut at = 0;
    for range in whole {
        if at < range.start {
            gaps.push(at..range.start);
        }
        at = at.max(range.end);
    }
    if at < live || gaps.is_empty() {
        gaps.push(at.min(live)..live);
    }
    gaps
}

fn next_record(file: &[u8], from: usize) -> Option<Record> {
    let rest = file.get(from..)?;
    let magics = rest.windows(RECORD_MAGIC.len()).enumerate();
    magics
        .filter(|(_, window)| window == RECORD_MAGIC)
        .find_map(|(at, _)| record_at(file, from + at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(changes: &[(u64, &[&str])]) -> Vec<u8> {
        let mut file = encode_header(Uuid::from_u128(7));
        for (number, things) in changes {
            let things: Vec<_> = things
                .iter()
                .map(|thing| thing.as_bytes().to_vec())
                .collect();
            file.extend(encode_change(*number, &things));
        }
        file
    }

    #[test]
    fn header_and_record_have_the_bytes_of_the_table() {
        let file = file(&[(0x0102, &["1", "2"])]);
        assert_eq!(&file[..12], b"HWCATLOG\0\0\0\x01");
        assert_eq!(&file[12..28], Uuid::from_u128(7).as_bytes());
        assert_eq!(file[28..32], crc32fast::hash(&file[..28]).to_be_bytes());
        assert_eq!(&file[32..36], b"CREC");
        assert_eq!(file[36..40], crc32fast::hash(&file[40..]).to_be_bytes());
        assert_eq!(&file[40..52], [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(&file[52..60], [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(&file[60..], b"[1,2]");
        let header = decode_header(&file).expect("is whole");
        assert_eq!(
            (header.version, header.directory_id),
            (1, Uuid::from_u128(7))
        );
    }

    #[test]
    fn a_long_change_goes_on_in_further_records() {
        let thing = vec![b'1'; 100_000];
        let bytes = encode_change(3, &vec![thing.clone(); 5]);
        let file = [encode_header(Uuid::nil()), bytes].concat();
        let found = records(&file);
        let parts: Vec<_> = found.iter().map(|r| (r.number, r.part, r.parts)).collect();
        assert_eq!(parts, [(3, 0, 3), (3, 1, 3), (3, 2, 3)]);
        assert_eq!(found[2].payload(&file), [b"[", &thing[..], b"]"].concat());
        assert_eq!(found[2].range.end, file.len());
    }

    #[test]
    fn any_flipped_bit_takes_exactly_the_record_it_is_in() {
        let whole = file(&[(1, &["11"]), (2, &["22"]), (3, &["33"])]);
        let all = records(&whole);
        assert_eq!(all.len(), 3);
        for bit in HEADER_BYTES * 8..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let left = all
                .iter()
                .filter(|record| !record.range.contains(&(bit / 8)));
            assert_eq!(
                records(&damaged),
                left.cloned().collect::<Vec<_>>(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn any_flipped_bit_of_the_header_is_noticed() {
        let whole = file(&[]);
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&damaged), None, "bit {bit}");
        }
        assert!((0..HEADER_BYTES).all(|length| decode_header(&whole[..length]).is_none()));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        proptest::proptest!(|(bytes: Vec<u8>, seed: [u8; 40])| {
            let mut hostile = [encode_header(Uuid::nil()), b"CREC".to_vec(), bytes].concat();
            hostile.extend(seed);
            records(&hostile);
            decode_header(&hostile[1..]);
        });
    }
}
