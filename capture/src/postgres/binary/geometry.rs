//! Geometric types: numbers between brackets.

use super::float::put_number;
use super::form::Shape;
use super::reader::Reader;

/// Bytes of a point.
const POINT_BYTES: usize = 16;

pub(super) fn put(out: &mut Vec<u8>, shape: Shape, reader: &mut Reader<'_>) -> Option<()> {
    match shape {
        Shape::Point => put_point(out, reader),
        Shape::Line => put_numbers(out, reader, (b"{", b"}"), 3),
        Shape::Segment => put_points(out, reader, (b"[", b"]"), 2),
        Shape::Box => put_points(out, reader, (b"", b""), 2),
        Shape::Path => {
            let is_closed = reader.u8()? != 0;
            let count = reader.count()?;
            let brackets: (&[u8], &[u8]) = if is_closed {
                (b"(", b")")
            } else {
                (b"[", b"]")
            };
            put_points(out, reader, brackets, count)
        }
        Shape::Polygon => {
            let count = reader.count()?;
            put_points(out, reader, (b"(", b")"), count)
        }
        Shape::Circle => {
            out.push(b'<');
            put_point(out, reader)?;
            out.push(b',');
            put_number(out, reader.f64()?)?;
            out.push(b'>');
            Some(())
        }
    }
}

fn put_point(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    put_numbers(out, reader, (b"(", b")"), 2)
}

fn put_numbers(
    out: &mut Vec<u8>,
    reader: &mut Reader<'_>,
    (open, close): (&[u8], &[u8]),
    count: usize,
) -> Option<()> {
    out.extend_from_slice(open);
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put_number(out, reader.f64()?)?;
    }
    out.extend_from_slice(close);
    Some(())
}

fn put_points(
    out: &mut Vec<u8>,
    reader: &mut Reader<'_>,
    (open, close): (&[u8], &[u8]),
    count: usize,
) -> Option<()> {
    if count > reader.left() / POINT_BYTES {
        return None;
    }
    out.extend_from_slice(open);
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put_point(out, reader)?;
    }
    out.extend_from_slice(close);
    Some(())
}
