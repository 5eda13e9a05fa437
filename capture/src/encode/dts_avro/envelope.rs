//! What every record begins and ends with.

use super::avro::AvroWriter;
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
    /// Everything before `fields`.
    pub(super) fn put_head(&self, out: &mut AvroWriter<'_>) {
        self.put_head_before_tags(out);
        self.put_tags(out);
    }

    pub(super) fn put_head_before_tags(&self, out: &mut AvroWriter<'_>) {
        let origin = self.origin;
        out.long(0);
        out.long(self.id);
        out.long(origin.commit_time_ms.div_euclid(1000));
        put_position(out, origin.position);
        put_position(out, origin.safe_position);
        put_decimal(out, origin.transaction);
        out.raw(self.source);
        out.long(self.operation as i64);
        out.raw(self.object);
        // processTimestamps.
        out.null();
    }

    fn put_tags(&self, out: &mut AvroWriter<'_>) {
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
        out.bytes(b"readerThroughoutTime");
        put_decimal(out, u64::try_from(origin.read_time_ms).unwrap_or_default());
        out.raw(&[0]);
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
fn put_decimal(out: &mut AvroWriter<'_>, number: u64) {
    out.bytes(itoa::Buffer::new().format(number).as_bytes());
}

fn put_position(out: &mut AvroWriter<'_>, position: Position) {
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

/// `16/B374D848`. Built aside: every record has two, and one copy is cheaper than one for each digit.
fn put_lsn(out: &mut AvroWriter<'_>, lsn: u64) {
    let mut text = [b'/'; LSN_CHARS_MAX];
    let slash = put_hex(&mut text, 0, lsn >> 32);
    let end = put_hex(&mut text, slash + 1, lsn & 0xFFFF_FFFF);
    out.bytes(text.get(..end).unwrap_or_default());
}

/// At `start`, without leading zeros; where it ends.
fn put_hex(text: &mut [u8; LSN_CHARS_MAX], start: usize, number: u64) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let bits = 64 - (number | 1).leading_zeros();
    let end = start + bits.div_ceil(4) as usize;
    let mut rest = number;
    for place in text.get_mut(start..end).into_iter().flatten().rev() {
        let nibble = usize::try_from(rest & 15).unwrap_or_default();
        *place = DIGITS.get(nibble).copied().unwrap_or(b'0');
        rest >>= 4;
    }
    end
}
