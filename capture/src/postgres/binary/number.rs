//! Truth values, whole numbers, numeric, money.

use std::io::Write as _;

use super::reader::Reader;

pub(super) fn put_bool(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    out.push(if reader.u8()? == 0 { b'f' } else { b't' });
    Some(())
}

pub(super) fn put_integer(out: &mut Vec<u8>, reader: &mut Reader<'_>, bytes: u8) -> Option<()> {
    let number = match bytes {
        2 => i64::from(reader.i16()?),
        4 => i64::from(reader.i32()?),
        _ => reader.i64()?,
    };
    put_digits(out, number);
    Some(())
}

pub(super) fn put_unsigned(out: &mut Vec<u8>, reader: &mut Reader<'_>, bytes: u8) -> Option<()> {
    let number = match bytes {
        4 => u64::from(reader.u32()?),
        _ => reader.u64()?,
    };
    put_digits(out, number);
    Some(())
}

pub(super) fn put_digits(out: &mut Vec<u8>, number: impl itoa::Integer) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(number).as_bytes());
}

/// `write!` into memory.
pub(super) fn put_format(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes all");
}

const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xC000;
const NUMERIC_INFINITY: u16 = 0xD000;
const NUMERIC_MINUS_INFINITY: u16 = 0xF000;

/// Base 10000 digits: count, weight of the first, sign, digits behind the point.
pub(super) fn put_numeric(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let count = usize::from(reader.u16()?);
    let weight = i32::from(reader.i16()?);
    let sign = reader.u16()?;
    let scale = usize::from(reader.u16()?);
    match sign {
        0 => {}
        NUMERIC_NEGATIVE => out.push(b'-'),
        NUMERIC_NAN => out.extend_from_slice(b"NaN"),
        NUMERIC_INFINITY => out.extend_from_slice(b"Infinity"),
        NUMERIC_MINUS_INFINITY => out.extend_from_slice(b"-Infinity"),
        _ => return None,
    }
    let digits: Vec<u16> = (0..count).map(|_| reader.u16()).collect::<Option<_>>()?;
    if digits.iter().any(|digit| *digit > 9999) {
        return None;
    }
    if sign != 0 && sign != NUMERIC_NEGATIVE {
        return Some(());
    }
    let digit = |place: i32| -> u16 {
        let index = usize::try_from(weight - place).ok();
        index
            .and_then(|index| digits.get(index))
            .copied()
            .unwrap_or(0)
    };
    put_digits(out, if weight < 0 { 0 } else { digit(weight) });
    for place in (0..weight.max(0)).rev() {
        put_format(out, format_args!("{:04}", digit(place)));
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut place = -1;
        while out.len() < end {
            put_format(out, format_args!("{:04}", digit(place)));
            place -= 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// Cents, as `lc_monetary` C shows them.
pub(super) fn put_money(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let cents = reader.i64()?;
    if cents < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let cents = cents.unsigned_abs();
    let whole = (cents / 100).to_string();
    for (index, digit) in whole.bytes().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(digit);
    }
    put_format(out, format_args!(".{:02}", cents % 100));
    Some(())
}
