//! Binary floating point numbers as their shortest exact decimals.
//!
//! PostgreSQL's rule (`src/common/d2s.c`, `f2s.c`): the shortest decimal strictly between the midpoints to the
//! neighbours, the closest to the number of these; a point where the exponent is from -4 to below 15 (6 for real),
//! else `d.ddde+xx`. Rust's own shortest form takes a midpoint too, where it rounds to the number.

use super::number::put_format;
use super::reader::Reader;

pub(super) fn put4(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let number = f32::from_bits(reader.u32()?);
    if put_special(out, f64::from(number)) {
        return Some(());
    }
    let precise = |digits: usize| format!("{:.*e}", digits, number.abs());
    let shortest = format!("{:e}", number.abs());
    let bits = number.to_bits();
    let raw = u64::from(bits & 0x007F_FFFF);
    let parts = parts(raw, (bits >> 23) & 0xFF, (23, 150));
    put_decimal(out, &shorten(shortest, precise, parts)?, 6)
}

pub(super) fn put8(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    put_number(out, reader.f64()?)
}

pub(super) fn put_number(out: &mut Vec<u8>, number: f64) -> Option<()> {
    if put_special(out, number) {
        return Some(());
    }
    let precise = |digits: usize| format!("{:.*e}", digits, number.abs());
    let shortest = format!("{:e}", number.abs());
    let bits = number.to_bits();
    let exponent = u32::try_from((bits >> 52) & 0x7FF).ok()?;
    let parts = parts(bits & 0x000F_FFFF_FFFF_FFFF, exponent, (52, 1075));
    put_decimal(out, &shorten(shortest, precise, parts)?, 15)
}

/// Everything but the digits; `true` if that was all.
fn put_special(out: &mut Vec<u8>, number: f64) -> bool {
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
        return true;
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    if number.is_infinite() {
        out.extend_from_slice(b"Infinity");
        return true;
    }
    if number == 0.0 {
        out.push(b'0');
        return true;
    }
    false
}

/// Significand and exponent: the number is the one times two to the power of the other.
fn parts(raw: u64, exponent: u32, (width, bias): (u32, i32)) -> (u64, i32) {
    let exponent = i32::try_from(exponent).unwrap_or_default();
    if exponent == 0 {
        (raw, 1 - bias)
    } else {
        (raw | (1 << width), exponent - bias)
    }
}

/// A form `d.ddde-x` that is no midpoint.
fn shorten(
    shortest: String,
    precise: impl Fn(usize) -> String,
    parts: (u64, i32),
) -> Option<String> {
    let mut text = shortest;
    let mut digits = text.split('e').next()?.len().saturating_sub(2);
    while is_midpoint(&text, parts)? {
        digits += 1;
        text = precise(digits);
        if digits > 17 {
            return None;
        }
    }
    Some(text)
}

/// Whether a decimal lies exactly between a number and its neighbour: `digits * 10^k = odd * 2^e`.
fn is_midpoint(text: &str, (significand, exponent): (u64, i32)) -> Option<bool> {
    let (mantissa, ten) = text.split_once('e')?;
    let mut ten: i32 = ten.parse().ok()?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    ten -= i32::try_from(digits.len()).ok()? - 1;
    let mut digits: u128 = digits.parse().ok()?;
    // In units of half the distance to the neighbour above, and of a quarter for the one below a power of two.
    let unit = exponent - 2;
    let own = u128::from(significand) * 4;
    let mut two = ten - unit;
    for _ in 0..ten.max(0) {
        digits = match digits.checked_mul(5) {
            Some(digits) => digits,
            None => return Some(false),
        };
    }
    for _ in ten..0 {
        if !digits.is_multiple_of(5) {
            return Some(false);
        }
        digits /= 5;
    }
    while two > 0 {
        if digits > u128::MAX / 2 {
            return Some(false);
        }
        (digits, two) = (digits * 2, two - 1);
    }
    while two < 0 {
        if !digits.is_multiple_of(2) {
            return Some(false);
        }
        (digits, two) = (digits / 2, two + 1);
    }
    let below_is_near = significand.is_power_of_two();
    let below = if below_is_near { 1 } else { 2 };
    Some(digits == own + 2 || digits + below == own)
}

/// From `d.ddde-x` to PostgreSQL's form.
fn put_decimal(out: &mut Vec<u8>, text: &str, point_below: i32) -> Option<()> {
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let end = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(1, |last| last + 1);
    let digits = digits.get(..end)?;
    if !(-4..point_below).contains(&exponent) {
        let (first, rest) = digits.split_first()?;
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        put_format(out, format_args!("e{sign}{:02}", exponent.abs()));
        return Some(());
    }
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).ok()?;
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', zeros));
        out.extend_from_slice(digits);
        return Some(());
    }
    let whole = usize::try_from(exponent).ok()? + 1;
    let before = digits.get(..whole.min(digits.len()))?;
    out.extend_from_slice(before);
    out.extend(std::iter::repeat_n(b'0', whole - before.len()));
    if let Some(behind) = digits.get(whole..).filter(|behind| !behind.is_empty()) {
        out.push(b'.');
        out.extend_from_slice(behind);
    }
    Some(())
}
