//! The frame header: what stands before every body in a journal file, and how a frame proves to be whole.
//!
//! Layout, big endian (`docs/format.md`, "Frame header"):
//!
//! ```text
//!  0 magic "hwj"   3 version 1   4 kind   5 zero   6 partition u16   8 length u32   12 crc u32
//! 16 file u64     24 group u64  32 base offset i64  40 max timestamp i64
//! 48 topic u32    52 record count u32  56 salt u32  60 header crc u32
//! ```
//!
//! `crc` covers the header without itself, and the body; `header crc` the header without both. A frame takes a
//! multiple of 8 bytes in the file. The bodies that are not Kafka's: [`commit`], [`checkpoint`], [`footer`].

pub mod checkpoint;
pub mod commit;
pub mod footer;

use crate::{codec::Input, number::TopicNumber};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;
/// [`HEADER_BYTES`] as a length in a file.
pub(crate) const HEADER_LENGTH: u64 = 64;
/// Longest body. Kafka's lengths are `i32`.
pub const BODY_BYTES_MAX: u32 = i32::MAX as u32;
/// Frames start at multiples of this.
pub const ALIGNMENT: u64 = 8;

/// What each header begins with.
pub(crate) const MAGIC: [u8; 3] = *b"hwj";
const VERSION: u8 = 1;

/// Why bytes are not taken as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Damaged, torn, zeros, or never a frame.
    #[error("not a valid frame")]
    Malformed,
    /// Checksums are right, but the meaning is not known here: written by a newer version.
    #[error("{0} of a newer version")]
    Newer(&'static str),
}

/// What a frame's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One record batch.
    Data,
    /// The end of a group.
    Commit,
    /// The whole state, first in every file.
    Checkpoint,
    /// The index, last in a finished file.
    Footer,
    /// Number and salt, first in a recycled file.
    Identity,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Commit => 2,
            Self::Checkpoint => 3,
            Self::Footer => 4,
            Self::Identity => 5,
        }
    }

    fn from_code(code: u8) -> Result<Self, FrameError> {
        match code {
            1 => Ok(Self::Data),
            2 => Ok(Self::Commit),
            3 => Ok(Self::Checkpoint),
            4 => Ok(Self::Footer),
            5 => Ok(Self::Identity),
            _ => Err(FrameError::Newer("frame kind")),
        }
    }
}

/// A header. Fields that a kind does not use are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the body is.
    pub kind: Kind,
    /// Data: the partition.
    pub partition: u16,
    /// Bytes of the body.
    pub length: u32,
    /// CRC-32 of header and body.
    pub crc: u32,
    /// Number of the file it was written for.
    pub file: u64,
    /// Data, commit: its group. Checkpoint, footer: the last committed group.
    pub group: u64,
    /// Data: offset of the first record.
    pub base_offset: i64,
    /// Data: highest timestamp of a record, ms.
    pub max_timestamp: i64,
    /// Data: the topic.
    pub topic: TopicNumber,
    /// Data: number of records.
    pub record_count: u32,
    /// Random, the same in all frames of one file.
    pub salt: u32,
}

impl FrameHeader {
    /// A header without the fields of a data frame; [`FrameHeader::seal`] fills length and checksum.
    #[must_use]
    pub fn new(kind: Kind, file: u64, salt: u32, group: u64) -> Self {
        Self {
            kind,
            partition: 0,
            length: 0,
            crc: 0,
            file,
            group,
            base_offset: 0,
            max_timestamp: 0,
            topic: TopicNumber(0),
            record_count: 0,
            salt,
        }
    }

    /// Sets length and checksum for `body` and gives the header's bytes.
    ///
    /// # Panics
    /// For a body over [`BODY_BYTES_MAX`]: the caller has checked.
    #[must_use]
    pub fn seal(&mut self, body: &[u8]) -> [u8; HEADER_BYTES] {
        self.length = u32::try_from(body.len())
            .ok()
            .filter(|length| *length <= BODY_BYTES_MAX)
            .expect("no body over the limit is framed: append refuses it");
        let mut bytes = self.encode();
        self.crc = checksum(&bytes, body);
        put(&mut bytes, 12, &self.crc.to_be_bytes());
        bytes
    }

    /// The header's bytes, header checksum included.
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 3, &[VERSION, self.kind.code(), 0]);
        put(&mut bytes, 6, &self.partition.to_be_bytes());
        put(&mut bytes, 8, &self.length.to_be_bytes());
        put(&mut bytes, 12, &self.crc.to_be_bytes());
        put(&mut bytes, 16, &self.file.to_be_bytes());
        put(&mut bytes, 24, &self.group.to_be_bytes());
        put(&mut bytes, 32, &self.base_offset.to_be_bytes());
        put(&mut bytes, 40, &self.max_timestamp.to_be_bytes());
        put(&mut bytes, 48, &self.topic.0.to_be_bytes());
        put(&mut bytes, 52, &self.record_count.to_be_bytes());
        put(&mut bytes, 56, &self.salt.to_be_bytes());
        let header_crc = header_checksum(&bytes);
        put(&mut bytes, 60, &header_crc.to_be_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`. Its own checksum is verified, the body's is not.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::Malformed)?;
        let mut input = Input::new(header);
        if input.bytes(3)? != MAGIC {
            return Err(FrameError::Malformed);
        }
        let (version, kind, zero) = (input.u8()?, input.u8()?, input.u8()?);
        let (partition, length, crc) = (input.u16()?, input.u32()?, input.u32()?);
        let (file, group) = (input.u64()?, input.u64()?);
        let (base_offset, max_timestamp) = (input.i64()?, input.i64()?);
        let (topic, record_count) = (TopicNumber(input.u32()?), input.u32()?);
        let (salt, header_crc) = (input.u32()?, input.u32()?);
        if header_crc != header_checksum(header) || length > BODY_BYTES_MAX {
            return Err(FrameError::Malformed);
        }
        if version != VERSION || zero != 0 {
            return Err(FrameError::Newer("frame"));
        }
        let kind = Kind::from_code(kind)?;
        Ok(Self {
            kind,
            partition,
            length,
            crc,
            file,
            group,
            base_offset,
            max_timestamp,
            topic,
            record_count,
            salt,
        })
    }

    /// Whether `body` is what this header was sealed with.
    #[must_use]
    pub fn covers(&self, body: &[u8]) -> bool {
        usize::try_from(self.length) == Ok(body.len()) && checksum(&self.encode(), body) == self.crc
    }

    /// Begins to check a body that is read in pieces.
    #[must_use]
    pub fn body_check(&self) -> BodyCheck {
        BodyCheck {
            hasher: covered(&self.encode(), HEADER_BYTES),
            crc: self.crc,
        }
    }

    /// Offset behind the last record of a data frame.
    #[must_use]
    pub fn end_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.record_count))
    }

    /// Bytes that the frame takes in the file: header, body, filling.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.length))
    }
}

/// A body's check, fed in pieces.
#[derive(Debug)]
pub struct BodyCheck {
    hasher: crc32fast::Hasher,
    crc: u32,
}

impl BodyCheck {
    /// The next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether what was fed is what the header was sealed with.
    #[must_use]
    pub fn passes(self) -> bool {
        self.hasher.finalize() == self.crc
    }
}

/// Bytes that a frame with a body of `length` takes in the file.
#[must_use]
pub fn frame_bytes(length: u64) -> u64 {
    HEADER_LENGTH + length.next_multiple_of(ALIGNMENT)
}

fn header_checksum(header: &[u8; HEADER_BYTES]) -> u32 {
    covered(header, 60).finalize()
}

fn checksum(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    let mut hasher = covered(header, HEADER_BYTES);
    hasher.update(body);
    hasher.finalize()
}

/// A checksum begun over `header` up to `end`, without the place of `crc`.
fn covered(header: &[u8; HEADER_BYTES], end: usize) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..12]);
    hasher.update(&header[16..end]);
    hasher
}

fn put(bytes: &mut [u8; HEADER_BYTES], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests;
