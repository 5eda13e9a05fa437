//! Column values between the sources' forms and the formats' forms.
//!
//! Sources translate into [`Value`], encoders out of it; neither knows the other. A value borrows the
//! source's bytes and keeps its exact digits: nothing passes through a binary float, and nothing that a
//! notation cannot express is bent into it; it stays the server's own text.

mod array;
mod escaped;
mod pairs;

use std::sync::Arc;

pub use array::{ArrayText, Item};
pub use pairs::PairsText;

/// What kind of values a column has, as far as any format tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ValueKind {
    /// True or false.
    Bool,
    /// A whole number of 16 bits.
    Int16,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits, or an unsigned one of 32.
    Int64,
    /// A binary floating point number of 32 bits.
    Float32,
    /// A binary floating point number of 64 bits.
    Float64,
    /// An exact decimal of any size.
    Decimal,
    /// An amount of money with two digits behind the point.
    Money,
    /// A day.
    Date,
    /// A time of day without zone.
    Time,
    /// A time of day with its offset from UTC.
    ZonedTime,
    /// Date and time without zone.
    Timestamp,
    /// An instant.
    Instant,
    /// Months, days and microseconds.
    Interval,
    /// Bytes.
    Bytes,
    /// A string of bits.
    Bits,
    /// A point of the plane.
    Point,
    /// A JSON document, as text.
    Json,
    /// Keys with values, all of them texts.
    Pairs,
    /// A UUID.
    Uuid,
    /// An XML document or fragment.
    Xml,
    /// A path of labels (PostgreSQL's extension ltree).
    LabelPath,
    /// Lexemes with positions (PostgreSQL's tsvector).
    Lexemes,
    /// One of a set of labels.
    Enum,
    /// Anything else, as the server writes it.
    #[default]
    Text,
}

/// How the texts of a column are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ValueForm {
    /// The values' kind, or that of an array's elements.
    pub kind: ValueKind,
    /// For arrays, of any number of dimensions: what stands between elements.
    pub array_delimiter: Option<u8>,
}

impl ValueForm {
    /// One value, not an array.
    pub const fn of(kind: ValueKind) -> Self {
        Self {
            kind,
            array_delimiter: None,
        }
    }
}

/// A column's type behind all domains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnType {
    /// How its texts are to be read.
    pub form: ValueForm,
    /// `atttypmod` of the base type: the column's own, or that of its domain; -1 if none.
    pub modifier: i32,
    /// The type's own oid, or that of an array's elements, if it is built in; else 0.
    pub base_oid: u32,
    /// Of an enum, or of an array of one: the labels in order, with commas between.
    pub labels: Option<Arc<str>>,
}

impl Default for ColumnType {
    fn default() -> Self {
        Self::of(ValueForm::default())
    }
}

impl ColumnType {
    /// A type without modifier or labels.
    pub fn of(form: ValueForm) -> Self {
        Self {
            form,
            modifier: -1,
            base_oid: 0,
            labels: None,
        }
    }
}

/// One column's value. Texts are the server's bytes; only the last ones ([`Value::Json`] and below) may hold
/// characters that a format must escape, or bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Not sent by the source: a value of this form, stored out of line, that the update left as it was.
    Unchanged(ValueForm),
    /// Left out by us: a value of this form that would make the record too large.
    Omitted(ValueForm),
    /// A truth value.
    Bool(bool),
    /// A finite number in JSON's grammar: a whole number, or a float's shortest exact form.
    Number(&'a [u8]),
    /// An exact decimal: sign, digits, point.
    Decimal(&'a [u8]),
    /// `yyyy-MM-dd`, years 0001 to 9999.
    Date(&'a [u8]),
    /// `HH:mm:ss[.ffffff]`.
    Time(&'a [u8]),
    /// `yyyy-MM-dd HH:mm:ss[.ffffff]`, years 0001 to 9999.
    Timestamp(&'a [u8]),
    /// As [`Value::Timestamp`], in UTC.
    Instant(&'a [u8]),
    /// Bytes, written as pairs of hexadecimal digits.
    HexBytes(&'a [u8]),
    /// Bytes as they are.
    Bytes(&'a [u8]),
    /// A JSON document.
    Json(&'a [u8]),
    /// An array.
    Array(ArrayText<'a>),
    /// Keys with values.
    Pairs(PairsText<'a>),
    /// Any other text, and every value outside its kind's notation (infinity, NaN, years BC).
    Text(&'a [u8]),
}
