//! What every record begins and ends with.

use super::avro::AvroWriter;
use super::origin_bytes::OriginBytes;
use super::{Family, Origin, Position};

/// Bytes of an envelope without names and constant tags, about.
pub(super) const BYTES: usize = 128;

/// Symbols of the enum `Operation` that are sent; the number is the symbol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordOperation {
    Insert = 0,
    Update = 1,
    Delete = 2,
    Ddl = 3,
    Begin = 4,
    Commit = 5,
    Heartbeat = 8,
}

/// Tags that are constant: whole entries of the map, and their number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tags<'a> {
    pub(super) constant: &'a [u8],
    pub(super) constant_count: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) id: i64,
    /// The field `source`.
    pub(super) source: &'a [u8],
    pub(super) origin: &'a Origin<'a>,
    pub(super) operation: RecordOperation,
    /// The field `objectName`.
    pub(super) object: &'a [u8],
    pub(super) tags: Tags<'a>,
}

/// `fields`, `beforeImages` and `afterImages` of a record without a row. Absent is null, never an empty array:
/// clients end at one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Nothing,
    /// Branch 1 of `afterImages`.
    Statement(&'a str),
}

/// The field `source`: which label, and the version in ASCII.
pub(super) fn source(family: Family, version: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut out = AvroWriter::new(&mut encoded, usize::MAX);
    out.long(match family {
        Family::MySql => 0,
        Family::PostgreSql => 3,
    });
    let version: String = version.chars().filter(char::is_ascii_graphic).collect();
    out.bytes(version.as_bytes());
    encoded
}

impl Envelope<'_> {
    /// Everything before `fields`. `known` is of the record before.
    pub(super) fn put_head(&self, out: &mut AvroWriter<'_>, known: &mut OriginBytes) {
        known.follow(self.origin, self.source);
        self.put_before_tags(out, known);
        self.put_tags(out, known);
    }

    #[cfg(test)]
    pub(super) fn put_head_before_tags(&self, out: &mut AvroWriter<'_>) {
        let mut known = OriginBytes::default();
        known.follow(self.origin, self.source);
        self.put_before_tags(out, &known);
    }

    fn put_before_tags(&self, out: &mut AvroWriter<'_>, known: &OriginBytes) {
        out.long(0);
        out.long(self.id);
        out.raw(&known.seconds);
        put_position(out, self.origin.position);
        out.raw(&known.transaction_fields);
        out.long(self.operation as i64);
        out.raw(self.object);
        // processTimestamps.
        out.null();
    }

    fn put_tags(&self, out: &mut AvroWriter<'_>, known: &OriginBytes) {
        let origin = self.origin;
        let gtid = origin.gtid.filter(|_| self.is_told_of_gtid());
        let thread_id = origin.thread_id.filter(|_| self.is_of_a_session());
        let server_id = origin.server_id.filter(|_| self.is_of_a_session());
        let varying = [gtid.is_some(), thread_id.is_some(), server_id.is_some()];
        let count = 1 + varying.iter().filter(|is_there| **is_there).count();
        out.count(self.tags.constant_count + count);
        out.raw(self.tags.constant);
        if let Some(gtid) = gtid {
            out.bytes(b"GTID");
            out.bytes(gtid.as_bytes());
        }
        if let Some(thread_id) = thread_id {
            out.bytes(b"thread_id");
            put_decimal(out, thread_id);
        }
        if let Some(server_id) = server_id {
            out.bytes(b"server_id");
            put_decimal(out, u64::from(server_id));
        }
        out.raw(&known.read_time);
    }

    fn is_told_of_gtid(&self) -> bool {
        match self.operation {
            RecordOperation::Begin | RecordOperation::Ddl => true,
            RecordOperation::Insert
            | RecordOperation::Update
            | RecordOperation::Delete
            | RecordOperation::Commit
            | RecordOperation::Heartbeat => false,
        }
    }

    fn is_of_a_session(&self) -> bool {
        self.operation != RecordOperation::Heartbeat
    }

    /// Everything behind `afterImages`.
    pub(super) fn put_tail(&self, out: &mut AvroWriter<'_>) {
        out.long(self.origin.commit_time_ms);
    }
}

impl Body<'_> {
    pub(super) fn put(self, out: &mut AvroWriter<'_>) {
        out.null();
        out.null();
        match self {
            Self::Nothing => out.null(),
            Self::Statement(statement) => {
                out.long(1);
                out.bytes(statement.as_bytes());
            }
        }
    }
}

/// A number as a string.
pub(super) fn put_decimal(out: &mut AvroWriter<'_>, number: u64) {
    out.bytes(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn put_position(out: &mut AvroWriter<'_>, position: Position) {
    match position {
        Position::Lsn(lsn) => put_lsn(out, lsn),
        Position::Binlog { offset, file } => {
            let (mut offset_digits, mut file_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
            let offset = offset_digits.format(offset);
            let file = file_digits.format(file);
            out.count(offset.len() + 1 + file.len());
            out.raw(offset.as_bytes());
            out.raw(b"@");
            out.raw(file.as_bytes());
        }
    }
}

/// Characters of the longest LSN.
const LSN_CHARS_MAX: usize = 17;

/// `16/B374D848`. Every record has two.
fn put_lsn(out: &mut AvroWriter<'_>, lsn: u64) {
    let mut text = [0; LSN_CHARS_MAX];
    let slash = put_hex(&mut text, 0, lsn >> 32);
    if let Some(place) = text.get_mut(slash) {
        *place = b'/';
    }
    let end = put_hex(&mut text, slash + 1, lsn & 0xFFFF_FFFF);
    out.count(end);
    out.first(&text, end);
}

/// A number of 32 bits at `start`, without leading zeros; where it ends. All eight places are written, those behind the
/// end with anything.
fn put_hex(text: &mut [u8; LSN_CHARS_MAX], start: usize, number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros();
    let size = bits.div_ceil(4);
    let digits = hex_digits(number) << (64 - 8 * size);
    let room = text.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
    if let Some(room) = room {
        *room = digits.to_be_bytes();
    }
    start + size as usize
}

/// The eight hexadecimal digits of a number of 32 bits, the first in the highest byte. All at once: each nibble gets a byte
/// of its own, then `0` is added, and 7 more where it is a letter.
fn hex_digits(number: u64) -> u64 {
    let mut digits = (number << 16 | number) & 0x0000_FFFF_0000_FFFF;
    digits = (digits << 8 | digits) & 0x00FF_00FF_00FF_00FF;
    digits = (digits << 4 | digits) & 0x0F0F_0F0F_0F0F_0F0F;
    let letters = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    digits + 0x3030_3030_3030_3030 + letters * 7
}
