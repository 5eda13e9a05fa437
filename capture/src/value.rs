//! Column values between the sources' forms and the formats' forms.
//!
//! Sources translate into [`Value`], encoders out of it; neither knows the other. A value borrows the
//! source's bytes and keeps its exact digits: nothing passes through a binary float, and nothing that a
//! notation cannot express is bent into it; it stays the server's own text.

/// What kind of values a column has, as far as any format tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// True or false.
    Bool,
    /// A whole number of at most 64 bits.
    Integer,
    /// A binary floating point number.
    Float,
    /// An exact decimal of any size.
    Decimal,
    /// A day.
    Date,
    /// A time of day without zone.
    Time,
    /// Date and time without zone.
    Timestamp,
    /// An instant.
    Instant,
    /// Bytes.
    Bytes,
    /// A JSON document, as text.
    Json,
    /// Anything else, as the server writes it.
    Text,
}

/// One column's value. Texts are the server's bytes; only [`Value::Text`] and [`Value::Json`] may hold
/// characters that a format must escape, or bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Not sent by the source: a value of this kind, stored out of line, that the update left as it was.
    Unchanged(ValueKind),
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
    /// A JSON document.
    Json(&'a [u8]),
    /// Any other text, and every value outside its kind's notation (infinity, NaN, years BC).
    Text(&'a [u8]),
}
