//! Values in PostgreSQL's binary forms as the very texts that the server's output functions give.
//!
//! Rows come in binary form only where the server cannot send one of them as text, because it would be larger than
//! 1 GB (`docs/decisions/0022-rows-that-have-no-text.md`). The settings are those that every session pins. Nothing is
//! guessed: a type that is not listed here is refused by name.
//!
//! | form | types |
//! |---|---|
//! | in place: the bytes are the text | text, varchar, char(n), name, json, xml without declaration, enums, citext, unknown |
//! | in place behind a version byte | jsonb, jsonpath, ltree |
//! | in place as bytes | bytea |
//! | rendered | numbers, times, uuid, bits, network addresses, geometry, hstore, tsvector, lsn and xid, snapshots |
//! | rendered, of the above | arrays, ranges and multiranges of built-in types, int2vector, oidvector |
//! | refused | composite types, tsquery, reg*, types of extensions |
//!
//! Sources: the `*_send` and `*_out` functions of PostgreSQL's `src/backend/utils/adt`.

mod array;
mod float;
mod form;
mod geometry;
mod number;
mod other;
mod reader;
mod time;

use std::ops::Range;

use crate::postgres::pgoutput::{Datum, Tuple};
use crate::postgres::text;
use crate::value::{Value, ValueForm, ValueKind};
pub(crate) use form::BinaryForm;
use form::Scalar;
use reader::Reader;

/// Why a value has no text here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// No rendering for its type, or for this value of it.
    Unknown,
    /// The bytes are not of its type's form.
    Malformed,
}

/// The first value of a tuple that has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Index of its column.
    pub(crate) column: usize,
    pub(crate) why: Why,
}

/// The texts of one tuple's binary values.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    text: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a column's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Span {
    /// It did not come in binary form.
    Absent,
    /// In the message, from there on.
    InPlace { skip: usize },
    /// In the message, and bytes.
    Bytes,
    /// Here.
    Text(Range<usize>),
    /// Its text would be larger than any record may be.
    TooLarge,
}

impl Rendered {
    /// Renders a tuple's values. A text over `text_bytes_max` is not made: see [`Rendered::too_large`].
    pub(crate) fn of(
        tuple: Tuple<'_>,
        forms: &[BinaryForm],
        text_bytes_max: usize,
    ) -> Result<Self, Unreadable> {
        let mut rendered = Self::default();
        for (column, (datum, form)) in tuple.columns().zip(forms).enumerate() {
            let Datum::Binary(bytes) = datum else {
                rendered.spans.push(Span::Absent);
                continue;
            };
            let span = rendered.render(*form, bytes, text_bytes_max);
            let span = span.map_err(|why| Unreadable { column, why })?;
            rendered.spans.push(span);
        }
        Ok(rendered)
    }

    fn render(&mut self, form: BinaryForm, bytes: &[u8], text_max: usize) -> Result<Span, Why> {
        let start = self.text.len();
        if form.scalar == Scalar::Hidden {
            return Ok(Span::Absent);
        }
        if form.array_delimiter.is_none()
            && let Some(span) = in_place(form.scalar, bytes)?
        {
            return Ok(span);
        }
        // Nothing that is rendered is shorter as text than half of its binary form.
        if bytes.len() / 2 > text_max {
            return Ok(Span::TooLarge);
        }
        match form.array_delimiter {
            Some(delimiter) => {
                let end = start.saturating_add(text_max);
                if !array::put(&mut self.text, (form.scalar, delimiter), bytes, end)? {
                    self.text.truncate(start);
                    self.text.shrink_to(start);
                    return Ok(Span::TooLarge);
                }
            }
            None => put(&mut self.text, form.scalar, bytes)?,
        }
        Ok(Span::Text(start..self.text.len()))
    }

    /// The value of a column that came as `bytes`.
    pub(crate) fn value<'a>(&'a self, index: usize, form: ValueForm, bytes: &'a [u8]) -> Value<'a> {
        match self.spans.get(index) {
            Some(Span::InPlace { skip }) => {
                text::value(form, bytes.get(*skip..).unwrap_or_default())
            }
            Some(Span::Bytes) if form == ValueForm::of(ValueKind::Bytes) => Value::Bytes(bytes),
            Some(Span::Text(range)) => {
                text::value(form, self.text.get(range.clone()).unwrap_or_default())
            }
            Some(Span::Bytes | Span::TooLarge | Span::Absent) | None => Value::Omitted(form),
        }
    }

    /// Indexes of the columns whose texts were not made.
    pub(crate) fn too_large(&self) -> impl Iterator<Item = usize> {
        let spans = self.spans.iter().enumerate();
        spans
            .filter(|(_, span)| **span == Span::TooLarge)
            .map(|(index, _)| index)
    }
}

/// Where the message has the text itself.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all others are written anew, whichever come"
)]
fn in_place(scalar: Scalar, bytes: &[u8]) -> Result<Option<Span>, Why> {
    Ok(Some(match scalar {
        Scalar::Bytes => Span::Bytes,
        Scalar::Text => Span::InPlace { skip: 0 },
        // Its output function drops the encoding from a declaration, its send function names one.
        Scalar::Xml if bytes.starts_with(b"<?xml") => return Err(Why::Unknown),
        Scalar::Xml => Span::InPlace { skip: 0 },
        Scalar::Versioned => match bytes.first() {
            Some(1) => Span::InPlace { skip: 1 },
            Some(_) => return Err(Why::Unknown),
            None => return Err(Why::Malformed),
        },
        _ => return Ok(None),
    }))
}

/// Appends the text of one value that is no array.
fn put(out: &mut Vec<u8>, scalar: Scalar, bytes: &[u8]) -> Result<(), Why> {
    let mut reader = Reader::new(bytes);
    let put = match scalar {
        Scalar::Unknown | Scalar::Hidden => return Err(Why::Unknown),
        Scalar::Text | Scalar::Xml | Scalar::Versioned => {
            let Some(Span::InPlace { skip }) = in_place(scalar, bytes)? else {
                return Err(Why::Unknown);
            };
            out.extend_from_slice(bytes.get(skip..).unwrap_or_default());
            return Ok(());
        }
        Scalar::Bytes => {
            other::put_hex(out, bytes);
            return Ok(());
        }
        Scalar::SingleChar => return other::put_char(out, bytes),
        Scalar::Range(subtype) => return array::put_range(out, *subtype.scalar(), bytes),
        Scalar::Multirange(subtype) => return array::put_multirange(out, *subtype.scalar(), bytes),
        Scalar::Pairs => return other::put_pairs(out, bytes),
        Scalar::Bool => number::put_bool(out, &mut reader),
        Scalar::Integer { bytes } => number::put_integer(out, &mut reader, bytes),
        Scalar::Unsigned { bytes } => number::put_unsigned(out, &mut reader, bytes),
        Scalar::Float4 => float::put4(out, &mut reader),
        Scalar::Float8 => float::put8(out, &mut reader),
        Scalar::Numeric => number::put_numeric(out, &mut reader),
        Scalar::Money => number::put_money(out, &mut reader),
        Scalar::Date => time::put_date(out, &mut reader),
        Scalar::Time => time::put_time(out, &mut reader),
        Scalar::ZonedTime => time::put_zoned_time(out, &mut reader),
        Scalar::Timestamp => time::put_timestamp(out, &mut reader, b""),
        Scalar::Instant => time::put_timestamp(out, &mut reader, b"+00"),
        Scalar::Interval => time::put_interval(out, &mut reader),
        Scalar::Uuid => other::put_uuid(out, &mut reader),
        Scalar::Bits => other::put_bits(out, &mut reader),
        Scalar::Inet => other::put_inet(out, &mut reader),
        Scalar::Mac { bytes } => other::put_mac(out, &mut reader, bytes),
        Scalar::Lsn => other::put_lsn(out, &mut reader),
        Scalar::RowId => other::put_row_id(out, &mut reader),
        Scalar::Snapshot => other::put_snapshot(out, &mut reader),
        Scalar::Lexemes => other::put_lexemes(out, &mut reader),
        Scalar::Shape(shape) => geometry::put(out, shape, &mut reader),
        Scalar::Vector { bytes: width } => return array::put_vector(out, width, bytes),
    };
    put.filter(|()| reader.is_empty()).ok_or(Why::Malformed)
}
