//! Row images: how a value becomes one of the branches of an image item.
//!
//! The branch follows from the column's [`Rendering`], never from the value, so that a column keeps its type;
//! a value that the branch cannot hold is its text as `TextObject` `XTYPE`, and counted.

use super::avro::AvroWriter;
use super::time::{self, Clock, Day};
use crate::encode::TooLarge;
use crate::event::Row;
use crate::value::Value;

/// Branches of an image item, by their place in the union. Branch 0 is null.
mod branch {
    pub(super) const INTEGER: i64 = 1;
    pub(super) const CHARACTER: i64 = 2;
    pub(super) const DECIMAL: i64 = 3;
    pub(super) const FLOAT: i64 = 4;
    pub(super) const TIMESTAMP: i64 = 5;
    pub(super) const DATE_TIME: i64 = 6;
    pub(super) const TIMESTAMP_WITH_TIME_ZONE: i64 = 7;
    pub(super) const BINARY_GEOMETRY: i64 = 8;
    pub(super) const BINARY_OBJECT: i64 = 10;
    pub(super) const TEXT_OBJECT: i64 = 11;
    pub(super) const EMPTY_OBJECT: i64 = 12;
}

/// `EmptyObject.NONE`. Its other symbol, NULL, ends clients: SQL NULL is branch 0.
const NONE: i64 = 1;

/// How a column's values are written. A source of texts in the notation of [`Value`] feeds all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// Whole numbers, unsigned ones too.
    Integer {
        /// Bytes that the source stores one in.
        bytes: u8,
    },
    /// Text with its charset's name as the clients know it (`utf8mb4`, `gbk`, `UTF-8`).
    Character {
        /// Never `utf8mb3`, which clients end at: `utf8` is the same.
        charset: &'static str,
    },
    /// Exact decimals.
    Decimal,
    /// Binary floating point numbers, from the shortest decimal form.
    Float,
    /// A moment as seconds since 1970 and microseconds (MySQL TIMESTAMP).
    Timestamp,
    /// A day.
    Date,
    /// A time of day, or an amount of hours.
    Time,
    /// Day and time.
    DateTime,
    /// A year.
    Year,
    /// A moment as day and time in UTC with the zone `+00:00`.
    Instant,
    /// A time of day with its own offset.
    TimeWithOffset,
    /// Well-known binary, without an SRID in front.
    Geometry,
    /// Bytes.
    Binary(ObjectType),
    /// Bytes that are the source's text.
    TextAsBinary(ObjectType),
    /// The source's text.
    Text(ObjectType),
    /// The source's text as `XTYPE`, because DTS has no form for the type: such values are counted.
    Formless,
}

/// `type` of a BinaryObject or TextObject. Clients end at a name they do not know, so these are of the 16 that all
/// versions know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectType {
    /// Bytes of BINARY and VARBINARY.
    Binary,
    /// `true` or `false`.
    Bool,
    /// Bytes of the BLOB family.
    Blob,
    /// Bytes of bytea.
    Bytea,
    /// A label.
    Enum,
    /// A JSON document.
    Json,
    /// Labels with commas between them.
    Set,
    /// Text.
    Text,
    /// An XML document.
    Xml,
    /// Anything else.
    Xtype,
}

impl ObjectType {
    fn name(self) -> &'static str {
        match self {
            Self::Binary => "BINARY",
            Self::Bool => "BOOL",
            Self::Blob => "BLOB",
            Self::Bytea => "BYTEA",
            Self::Enum => "ENUM",
            Self::Json => "JSON",
            Self::Set => "SET",
            Self::Text => "TEXT",
            Self::Xml => "XML",
            Self::Xtype => "XTYPE",
        }
    }
}

/// What is done with one value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnPlan {
    pub(super) rendering: Rendering,
    /// Whether it is part of the replica identity.
    pub(super) identity: bool,
    pub(super) is_excluded: bool,
}

/// What was met in values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Not sent, shown as `NONE`.
    pub(super) unchanged: u64,
    /// Texts in which bytes that are not UTF-8 were replaced.
    pub(super) repaired: u64,
    /// Shown as text for want of a form, of the value or of its type.
    pub(super) as_text: u64,
}

/// A whole row.
pub(super) fn put<R: Row>(
    out: &mut AvroWriter<'_>,
    counts: &mut Counts,
    columns: &[ColumnPlan],
    row: &R,
) -> Result<(), TooLarge> {
    put_array(out, columns, |out| {
        for (column, value) in columns.iter().zip(row.values()) {
            if !column.is_excluded {
                put_value(out, counts, column.rendering, value)?;
            }
        }
        Ok(())
    })
}

/// A row of which only the replica identity is known.
pub(super) fn put_identity<R: Row>(
    out: &mut AvroWriter<'_>,
    counts: &mut Counts,
    columns: &[ColumnPlan],
    row: &R,
) -> Result<(), TooLarge> {
    put_array(out, columns, |out| {
        for (column, value) in columns.iter().zip(row.values()) {
            if column.is_excluded {
                continue;
            }
            if column.identity {
                put_value(out, counts, column.rendering, value)?;
            } else {
                put_none(out);
            }
        }
        Ok(())
    })
}

/// Branch 2, an array in one block.
fn put_array<'a, W>(
    out: &mut AvroWriter<'a>,
    columns: &[ColumnPlan],
    items: W,
) -> Result<(), TooLarge>
where
    W: FnOnce(&mut AvroWriter<'a>) -> Result<(), TooLarge>,
{
    let count = columns.iter().filter(|column| !column.is_excluded).count();
    out.long(2);
    if count > 0 {
        out.count(count);
    }
    items(out)?;
    out.raw(&[0]);
    Ok(())
}

fn put_none(out: &mut AvroWriter<'_>) {
    out.long(branch::EMPTY_OBJECT);
    out.long(NONE);
}

fn put_value(
    out: &mut AvroWriter<'_>,
    counts: &mut Counts,
    rendering: Rendering,
    value: Value<'_>,
) -> Result<(), TooLarge> {
    let text = match value {
        Value::Null => {
            out.null();
            return Ok(());
        }
        Value::Unchanged(_) => {
            counts.unchanged += 1;
            put_none(out);
            return Ok(());
        }
        Value::Omitted(_) => {
            put_none(out);
            return Ok(());
        }
        Value::HexBytes(digits) => {
            put_bytes_head(out, rendering, digits.len() / 2)?;
            out.bytes_of_hex(digits);
            return Ok(());
        }
        Value::Bytes(bytes) => {
            put_bytes_head(out, rendering, bytes.len())?;
            out.bytes(bytes);
            return Ok(());
        }
        Value::Bool(true) => b"true",
        Value::Bool(false) => b"false".as_slice(),
        Value::Number(text)
        | Value::Decimal(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::Instant(text)
        | Value::Json(text)
        | Value::Text(text) => text,
        Value::Array(array) => array.text(),
        Value::Pairs(pairs) => pairs.text(),
    };
    out.check(text.len())?;
    if put_text(out, counts, rendering, text).is_none() {
        counts.as_text += 1;
        put_object(out, counts, ObjectType::Xtype, text);
    }
    Ok(())
}

/// What stands before `size` bytes.
fn put_bytes_head(
    out: &mut AvroWriter<'_>,
    rendering: Rendering,
    size: usize,
) -> Result<(), TooLarge> {
    out.check(size)?;
    let (number, kind) = match rendering {
        Rendering::Geometry => (branch::BINARY_GEOMETRY, "WKB"),
        Rendering::Binary(kind) | Rendering::TextAsBinary(kind) => {
            (branch::BINARY_OBJECT, kind.name())
        }
        Rendering::Character { charset } => (branch::CHARACTER, charset),
        Rendering::Integer { .. }
        | Rendering::Decimal
        | Rendering::Float
        | Rendering::Timestamp
        | Rendering::Date
        | Rendering::Time
        | Rendering::DateTime
        | Rendering::Year
        | Rendering::Instant
        | Rendering::TimeWithOffset
        | Rendering::Text(_)
        | Rendering::Formless => (branch::BINARY_OBJECT, ObjectType::Binary.name()),
    };
    out.long(number);
    out.bytes(kind.as_bytes());
    Ok(())
}

/// `None`, and nothing written, where the text has another form than the rendering needs.
fn put_text(
    out: &mut AvroWriter<'_>,
    counts: &mut Counts,
    rendering: Rendering,
    text: &[u8],
) -> Option<()> {
    match rendering {
        Rendering::Integer { bytes } => put_integer(out, bytes, text)?,
        Rendering::Character { charset } => {
            out.long(branch::CHARACTER);
            out.bytes(charset.as_bytes());
            out.bytes(text);
        }
        Rendering::Decimal => put_decimal(out, text)?,
        Rendering::Float => {
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            out.long(branch::FLOAT);
            out.double(value);
            out.raw(&[0, 0]);
        }
        Rendering::Timestamp => {
            let (day, clock) = time::day_and_clock(text)?;
            out.long(branch::TIMESTAMP);
            out.long(time::epoch_seconds(day, clock));
            out.long(clock.microsecond);
        }
        Rendering::Date => put_date_time(out, Some(time::day(text)?), None),
        Rendering::Time => put_date_time(out, None, Some(time::clock(text)?)),
        Rendering::DateTime => {
            let (day, clock) = time::day_and_clock(text)?;
            put_date_time(out, Some(day), Some(clock));
        }
        Rendering::Year => {
            let year = time::number(text).filter(|_| text.len() <= 4)?;
            out.long(branch::DATE_TIME);
            put_parts(out, [Some(year), None, None, None, None, None, None]);
        }
        Rendering::Instant => {
            let (day, clock) = time::day_and_clock(text)?;
            out.long(branch::TIMESTAMP_WITH_TIME_ZONE);
            put_parts(out, parts(Some(day), Some(clock)));
            out.bytes(b"+00:00");
        }
        Rendering::TimeWithOffset => {
            let (clock, offset) = time::clock_and_offset(text)?;
            out.long(branch::TIMESTAMP_WITH_TIME_ZONE);
            put_parts(out, parts(None, Some(clock)));
            out.bytes(&offset);
        }
        Rendering::TextAsBinary(kind) => {
            out.long(branch::BINARY_OBJECT);
            out.bytes(kind.name().as_bytes());
            out.bytes(text);
        }
        Rendering::Text(kind) => put_object(out, counts, kind, text),
        // Bytes come as hexadecimal digits.
        Rendering::Geometry | Rendering::Binary(_) | Rendering::Formless => return None,
    }
    Some(())
}

/// TextObject.
fn put_object(out: &mut AvroWriter<'_>, counts: &mut Counts, kind: ObjectType, text: &[u8]) {
    out.long(branch::TEXT_OBJECT);
    out.bytes(kind.name().as_bytes());
    counts.repaired += u64::from(out.text(text));
}

fn put_integer(out: &mut AvroWriter<'_>, bytes: u8, text: &[u8]) -> Option<()> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    out.long(branch::INTEGER);
    out.long(i64::from(bytes));
    out.bytes(text);
    Some(())
}

/// Precision and scale are those of the value: `348.00` is 5 and 2, as Java's BigDecimal counts.
fn put_decimal(out: &mut AvroWriter<'_>, text: &[u8]) -> Option<()> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
        None => (digits, [].as_slice()),
    };
    let all = || whole.iter().chain(fraction);
    if whole.is_empty() || !all().all(u8::is_ascii_digit) {
        return None;
    }
    let leading_zeros = all().take_while(|digit| **digit == b'0').count();
    let precision = (whole.len() + fraction.len() - leading_zeros).max(1);
    out.long(branch::DECIMAL);
    out.bytes(text);
    out.count(precision);
    out.count(fraction.len());
    Some(())
}

fn put_date_time(out: &mut AvroWriter<'_>, day: Option<Day>, clock: Option<Clock>) {
    out.long(branch::DATE_TIME);
    put_parts(out, parts(day, clock));
}

/// Year, month, day, hour, minute, second, and microseconds in the field called `millis`: clients read that of both
/// families as microseconds. Of a time that is there all parts are there: clients need hour, minute and second
/// together.
fn parts(day: Option<Day>, clock: Option<Clock>) -> [Option<i64>; 7] {
    [
        day.map(|day| day.year),
        day.map(|day| day.month),
        day.map(|day| day.day),
        clock.map(|clock| clock.hour),
        clock.map(|clock| clock.minute),
        clock.map(|clock| clock.second),
        clock.map(|clock| clock.microsecond),
    ]
}

/// A number of one byte, as most parts are, goes with its branch.
fn put_parts(out: &mut AvroWriter<'_>, parts: [Option<i64>; 7]) {
    for part in parts {
        match part {
            Some(number @ -64..64) => {
                let zigzag = (number << 1) ^ (number >> 63);
                out.raw(&[2, u8::try_from(zigzag).unwrap_or_default()]);
            }
            Some(number) => {
                out.long(1);
                out.long(number);
            }
            None => out.null(),
        }
    }
}
