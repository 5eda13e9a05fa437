//! Arrays and ranges: elements in their own forms, quoted by `array_out`'s and `range_out`'s rules.

use super::form::Scalar;
use super::number::put_format;
use super::other::{put_hex, put_quoted};
use super::reader::Reader;
use super::{Why, put as put_value};

/// Dimensions of an array, at most (`MAXDIM`).
const DIMENSIONS_MAX: usize = 6;

/// Flags of a range.
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

/// An array's text, as long as it ends before `end`; `false`: it does not, and a part of it was written.
pub(super) fn put(
    out: &mut Vec<u8>,
    (element, delimiter): (Scalar, u8),
    bytes: &[u8],
    end: usize,
) -> Result<bool, Why> {
    let mut reader = Reader::new(bytes);
    let dimensions = dimensions(&mut reader).ok_or(Why::Malformed)?;
    if dimensions.is_empty() {
        out.extend_from_slice(b"{}");
        return Ok(true);
    }
    if dimensions.iter().any(|(_, lower)| *lower != 1) {
        for (length, lower) in &dimensions {
            let upper = i64::from(*lower) + i64::from(*length) - 1;
            put_format(out, format_args!("[{lower}:{upper}]"));
        }
        out.push(b'=');
    }
    let mut writer = Writer {
        out,
        reader,
        element,
        delimiter,
        scratch: Vec::new(),
        end,
    };
    let lengths: Vec<i32> = dimensions.iter().map(|(length, _)| *length).collect();
    let is_whole = writer.put_dimension(&lengths)?;
    if is_whole && !writer.reader.is_empty() {
        return Err(Why::Malformed);
    }
    Ok(is_whole)
}

/// Length and lower bound of each dimension; none of an empty array.
fn dimensions(reader: &mut Reader<'_>) -> Option<Vec<(i32, i32)>> {
    let count = reader.count().filter(|count| *count <= DIMENSIONS_MAX)?;
    // Whether there are nulls, and the element's type.
    reader.take(8)?;
    let dimensions: Vec<_> = (0..count)
        .map(|_| Some((reader.i32()?, reader.i32()?)))
        .collect::<Option<_>>()?;
    dimensions
        .iter()
        .all(|(length, _)| *length > 0)
        .then_some(dimensions)
}

struct Writer<'a, 'o> {
    out: &'o mut Vec<u8>,
    reader: Reader<'a>,
    element: Scalar,
    delimiter: u8,
    scratch: Vec<u8>,
    end: usize,
}

impl Writer<'_, '_> {
    fn put_dimension(&mut self, lengths: &[i32]) -> Result<bool, Why> {
        let Some((length, inner)) = lengths.split_first() else {
            return self.put_element();
        };
        self.out.push(b'{');
        for index in 0..*length {
            if index > 0 {
                self.out.push(self.delimiter);
            }
            if !self.put_dimension(inner)? {
                return Ok(false);
            }
        }
        self.out.push(b'}');
        Ok(true)
    }

    fn put_element(&mut self) -> Result<bool, Why> {
        let Some(bytes) = self.reader.sized().ok_or(Why::Malformed)? else {
            self.out.extend_from_slice(b"NULL");
            return Ok(self.out.len() <= self.end);
        };
        if self.element == Scalar::Bytes {
            // A backslash asks for quotes, and for another one.
            if bytes.len() > self.end.saturating_sub(self.out.len()) / 2 {
                return Ok(false);
            }
            self.out.extend_from_slice(b"\"\\");
            put_hex(self.out, bytes);
            self.out.push(b'"');
            return Ok(true);
        }
        if bytes.len() / 2 > self.end.saturating_sub(self.out.len()) {
            return Ok(false);
        }
        self.scratch.clear();
        put_value(&mut self.scratch, self.element, bytes)?;
        if needs_quotes(&self.scratch, self.delimiter) {
            put_quoted(self.out, &self.scratch);
        } else {
            self.out.extend_from_slice(&self.scratch);
        }
        Ok(self.out.len() <= self.end)
    }
}

/// `array_isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

fn needs_quotes(text: &[u8], delimiter: u8) -> bool {
    let special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'{' | b'}') || *byte == delimiter || is_space(*byte)
    };
    text.is_empty() || text.eq_ignore_ascii_case(b"NULL") || text.iter().any(special)
}

/// int2vector, oidvector: binary they are arrays.
pub(super) fn put_vector(out: &mut Vec<u8>, width: u8, bytes: &[u8]) -> Result<(), Why> {
    let scalar = if width == 2 {
        Scalar::Integer { bytes: 2 }
    } else {
        Scalar::Unsigned { bytes: 4 }
    };
    let mut reader = Reader::new(bytes);
    let dimensions = dimensions(&mut reader).ok_or(Why::Malformed)?;
    let length = dimensions.first().map_or(0, |(length, _)| *length);
    for index in 0..length {
        if index > 0 {
            out.push(b' ');
        }
        let element = reader.sized().flatten().ok_or(Why::Malformed)?;
        put_value(out, scalar, element)?;
    }
    Ok(())
}

pub(super) fn put_range(out: &mut Vec<u8>, subtype: Scalar, bytes: &[u8]) -> Result<(), Why> {
    let mut reader = Reader::new(bytes);
    put_one_range(out, subtype, &mut reader)?;
    reader.is_empty().then_some(()).ok_or(Why::Malformed)
}

fn put_one_range(out: &mut Vec<u8>, subtype: Scalar, reader: &mut Reader<'_>) -> Result<(), Why> {
    let flags = reader.u8().ok_or(Why::Malformed)?;
    if flags & EMPTY != 0 {
        out.extend_from_slice(b"empty");
        return Ok(());
    }
    let is = |flag: u8| flags & flag != 0;
    let mut bound = |out: &mut Vec<u8>, infinite: u8| {
        if is(infinite) {
            return Ok(());
        }
        let bytes = reader.sized().flatten().ok_or(Why::Malformed)?;
        let mut text = Vec::new();
        put_value(&mut text, subtype, bytes)?;
        put_bound(out, &text);
        Ok(())
    };
    out.push(if is(LOWER_INCLUSIVE) { b'[' } else { b'(' });
    bound(out, LOWER_INFINITE)?;
    out.push(b',');
    bound(out, UPPER_INFINITE)?;
    out.push(if is(UPPER_INCLUSIVE) { b']' } else { b')' });
    Ok(())
}

/// `range_bound_escape`; of built-in subtypes no text has a quote or a backslash.
fn put_bound(out: &mut Vec<u8>, text: &[u8]) {
    let special = |byte: &u8| matches!(byte, b'(' | b')' | b'[' | b']' | b',') || is_space(*byte);
    if text.is_empty() || text.iter().any(special) {
        put_quoted(out, text);
    } else {
        out.extend_from_slice(text);
    }
}

pub(super) fn put_multirange(out: &mut Vec<u8>, subtype: Scalar, bytes: &[u8]) -> Result<(), Why> {
    let mut reader = Reader::new(bytes);
    let count = reader.count().ok_or(Why::Malformed)?;
    out.push(b'{');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        let range = reader.sized().flatten().ok_or(Why::Malformed)?;
        put_range(out, subtype, range)?;
    }
    out.push(b'}');
    reader.is_empty().then_some(()).ok_or(Why::Malformed)
}
