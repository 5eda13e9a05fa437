//! What change records say, in short: equal where two brokers hold the same changes in the same order, whatever
//! else their records tell about where a change came from.

use std::io;

use headwater_protocol::batch::{BatchHeader, decompressed, records};

use super::Failure;
use super::stretch::Stretch;

/// Behind it a record tells about itself: versions, times, positions.
const SOURCE: &[u8] = br#","source":"#;

/// Number of records, and a checksum over their keys and images in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) records: u64,
    crc32c: u32,
}

impl Contents {
    /// Reads a stretch once.
    pub(crate) fn of(stretch: &Stretch) -> Result<Self, Failure> {
        let mut contents = Self::default();
        stretch.read_once(|batches| contents.add_batches(batches))?;
        Ok(contents)
    }

    fn add_batches(&mut self, mut batches: &[u8]) -> io::Result<()> {
        while !batches.is_empty() {
            let header = BatchHeader::parse(batches).map_err(io::Error::other)?;
            let (batch, rest) = batches
                .split_at_checked(header.size())
                .ok_or_else(|| io::Error::other("a batch is cut off"))?;
            for record in records(&decompressed(batch).map_err(io::Error::other)?) {
                let record = record.map_err(io::Error::other)?;
                self.add(record.key, record.value);
            }
            batches = rest;
        }
        Ok(())
    }

    fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let value = value.unwrap_or(b"-");
        let images = value
            .windows(SOURCE.len())
            .position(|window| window == SOURCE)
            .map_or(value, |at| &value[..at]);
        self.records += 1;
        for part in [key.unwrap_or(b"-"), b"\t", images, b"\n"] {
            self.crc32c = crc32c::crc32c_append(self.crc32c, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &[(&str, Option<&str>)]) -> Contents {
        let mut contents = Contents::default();
        for (key, value) in records {
            contents.add(Some(key.as_bytes()), value.map(str::as_bytes));
        }
        contents
    }

    #[test]
    fn records_that_differ_behind_their_images_only_are_the_same() {
        let ours = of(&[("1", Some(r#"{"after":{"id":1},"source":{"lsn":7}}"#))]);
        let theirs = of(&[("1", Some(r#"{"after":{"id":1},"source":{"lsn":9}}"#))]);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_key_an_image_an_order_and_a_tombstone_count() {
        let (one, two) = (("1", Some("a")), ("2", Some("b")));
        let all = of(&[one, two]);
        for other in [
            of(&[two, one]),
            of(&[("3", Some("a")), two]),
            of(&[("1", Some("c")), two]),
            of(&[("1", None), two]),
            of(&[one]),
        ] {
            assert_ne!(all, other);
        }
    }
}
