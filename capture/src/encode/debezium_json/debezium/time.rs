//! Days, microseconds and ISO texts from the texts that PostgreSQL writes under `DateStyle ISO`.
//!
//! Years BC and beyond 9999 are read too (proleptic Gregorian calendar, as in PostgreSQL and `java.time`). Infinity
//! is what the connector makes of it: the driver's far days, cut to 32 bits for a date. Everything returns `None` for
//! a text of another form or a number that does not fit.

use crate::encode::json::JsonBuffer;

const MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * MICROS;
/// 30.4375 days: a twelfth of a Julian year.
const MONTH_MICROS: i128 = 2_629_800_000_000;
/// Digits of a fraction of a second, unless the type has a precision.
const PRECISION: u32 = 6;
/// Up to this precision the connector counts milliseconds.
const MILLIS_PRECISION: u32 = 3;

const INFINITE_DATE: (i64, i64) = (-2_147_472_692, -2_147_472_691);
const INFINITE_MILLIS: (i64, i64) = (9_223_372_036_825_200, -9_223_372_036_832_400);

/// Precision from `atttypmod` of a type of time.
pub(super) fn precision(modifier: i32) -> u32 {
    u32::try_from(modifier).map_or(PRECISION, |precision| precision.min(PRECISION))
}

/// Whether the connector counts milliseconds in a type of time with this `atttypmod`.
pub(super) fn counts_millis(modifier: i32) -> bool {
    precision(modifier) <= MILLIS_PRECISION
}

/// Days since 1970.
pub(super) fn days(text: &[u8]) -> Option<i64> {
    if let Some(infinite) = infinity(text, INFINITE_DATE) {
        return Some(infinite);
    }
    let (date, is_bc) = without_era(text);
    Date::read(date, is_bc)?.days()
}

/// Milliseconds or microseconds since midnight.
pub(super) fn of_day(text: &[u8], precision: u32) -> Option<i64> {
    Some(counted(micros_of_day(text)?, precision))
}

/// Milliseconds or microseconds since 1970.
pub(super) fn timestamp(text: &[u8], precision: u32) -> Option<i64> {
    if let Some(millis) = infinity(text, INFINITE_MILLIS) {
        return Some(if precision <= MILLIS_PRECISION {
            millis
        } else {
            millis * 1000
        });
    }
    let (date, time) = date_and_time(text)?;
    let micros = date.days()?.checked_mul(DAY_MICROS)?;
    Some(counted(
        micros.checked_add(micros_of_day(time)?)?,
        precision,
    ))
}

fn counted(micros: i64, precision: u32) -> i64 {
    if precision <= MILLIS_PRECISION {
        micros.div_euclid(1000)
    } else {
        micros
    }
}

fn infinity(text: &[u8], (plus, minus): (i64, i64)) -> Option<i64> {
    match text {
        b"infinity" => Some(plus),
        b"-infinity" => Some(minus),
        _ => None,
    }
}

/// Appends `2024-01-02T01:04:05.678901Z`, with as many digits of the second as the type has. False: it is none.
pub(super) fn put_instant(out: &mut JsonBuffer, text: &[u8], precision: u32) -> bool {
    let (text, is_bc) = without_era(text);
    let text = text.strip_suffix(b"+00").unwrap_or(text);
    let Some((date, time)) = split_date(text).filter(|(_, time)| micros_of_day(time).is_some())
    else {
        return false;
    };
    let Some(parts) = Date::read(date, is_bc) else {
        return false;
    };
    out.raw(b"\"");
    if is_bc || parts.year > 9999 {
        put_far_date(out, &parts);
    } else {
        out.raw(date);
    }
    out.raw(b"T");
    out.raw(time.get(..8).unwrap_or(time));
    put_fraction(out, time.get(9..).unwrap_or_default(), precision);
    out.raw(b"Z\"");
    true
}

/// As `java.time` writes it: a sign before years outside 0000 to 9999.
fn put_far_date(out: &mut JsonBuffer, date: &Date) {
    let sign: &[u8] = match date.year {
        ..0 => b"-",
        0..=9999 => b"",
        _ => b"+",
    };
    out.raw(sign);
    put_padded(out, date.year.unsigned_abs(), 4);
    out.raw(b"-");
    put_padded(out, date.month.unsigned_abs(), 2);
    out.raw(b"-");
    put_padded(out, date.day.unsigned_abs(), 2);
}

fn put_padded(out: &mut JsonBuffer, number: u64, width: u32) {
    let mut bound = 10_u64.pow(width - 1);
    while number < bound && bound > 1 {
        out.raw(b"0");
        bound /= 10;
    }
    out.integer(number);
}

fn put_fraction(out: &mut JsonBuffer, digits: &[u8], precision: u32) {
    if precision == 0 {
        return;
    }
    let width = usize::try_from(precision).unwrap_or_default();
    out.raw(b".");
    out.raw(digits);
    out.raw(b"000000".get(digits.len()..width).unwrap_or_default());
}

/// Appends `07:04:56.789012Z`: the time in UTC, without trailing zeros. False: it is none.
pub(super) fn put_zoned_time(out: &mut JsonBuffer, text: &[u8]) -> bool {
    let Some(utc) = utc_of_day(text) else {
        return false;
    };
    let (seconds, fraction) = (utc / MICROS, utc % MICROS);
    out.raw(b"\"");
    for (index, part) in [seconds / 3600, seconds / 60 % 60, seconds % 60]
        .into_iter()
        .enumerate()
    {
        out.raw(if index == 0 { b"" } else { b":" });
        put_padded(out, part.unsigned_abs(), 2);
    }
    let (mut rest, mut bound) = (fraction, MICROS / 10);
    out.raw(if rest > 0 { b"." } else { b"" });
    while rest > 0 {
        out.integer(rest / bound);
        (rest, bound) = (rest % bound, bound / 10);
    }
    out.raw(b"Z\"");
    true
}

/// Microseconds since midnight in UTC, from a time with its offset.
fn utc_of_day(text: &[u8]) -> Option<i64> {
    let at = text.iter().position(|byte| matches!(byte, b'+' | b'-'))?;
    let (time, offset) = text.split_at(at);
    let (sign, offset) = offset.split_first()?;
    let mut parts = offset.split(|byte| *byte == b':');
    let short = |part: &[u8]| number(part).filter(|number| *number < 100);
    let mut next = || parts.next().map_or(Some(0), short);
    let offset = (next()? * 3600 + next()? * 60 + next()?) * MICROS;
    let offset = if *sign == b'-' { -offset } else { offset };
    Some((micros_of_day(time)?.checked_sub(offset)?).rem_euclid(DAY_MICROS))
}

/// Microseconds of `1 year 2 mons -3 days +04:05:06.789`.
pub(super) fn interval(text: &[u8]) -> Option<i64> {
    let mut total = 0_i128;
    let mut words = text.split(|byte| *byte == b' ');
    while let Some(word) = words.next() {
        let is_negative = word.first() == Some(&b'-');
        let unsigned = word
            .strip_prefix(b"-")
            .or(word.strip_prefix(b"+"))
            .unwrap_or(word);
        let amount = if unsigned.contains(&b':') {
            i128::from(hours(unsigned)?)
        } else {
            let unit = match words.next()? {
                b"year" | b"years" => 12 * MONTH_MICROS,
                b"mon" | b"mons" => MONTH_MICROS,
                b"day" | b"days" => i128::from(DAY_MICROS),
                _ => return None,
            };
            i128::from(number(unsigned)?) * unit
        };
        total = total.checked_add(if is_negative { -amount } else { amount })?;
    }
    i64::try_from(total).ok()
}

/// A day of the proleptic Gregorian calendar; year 0 is 1 BC.
#[derive(Debug, Clone, Copy)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// `yyyy-MM-dd`, the year with four digits or more.
    fn read(text: &[u8], is_bc: bool) -> Option<Self> {
        let (rest, day) = text.split_last_chunk::<3>()?;
        let (year, month) = rest.split_last_chunk::<3>()?;
        if day[0] != b'-' || month[0] != b'-' || year.len() < 4 {
            return None;
        }
        let year = number(year)?;
        let date = Self {
            year: if is_bc { 1 - year } else { year },
            month: number(&month[1..])?,
            day: number(&day[1..])?,
        };
        ((1..=12).contains(&date.month) && (1..=31).contains(&date.day)).then_some(date)
    }

    /// Days since 1970-01-01: eras of 400 years that begin in March, so that the leap day is the last one.
    fn days(self) -> Option<i64> {
        let year = if self.month <= 2 {
            self.year - 1
        } else {
            self.year
        };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month = (self.month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era.checked_mul(146_097)?.checked_add(day_of_era - 719_468)
    }
}

fn without_era(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

fn split_date(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    let (date, time) = text.split_at(at);
    Some((date, time.get(1..)?))
}

fn date_and_time(text: &[u8]) -> Option<(Date, &[u8])> {
    let (text, is_bc) = without_era(text);
    let (date, time) = split_date(text)?;
    Some((Date::read(date, is_bc)?, time))
}

/// `HH:mm:ss[.ffffff]`, up to 24:00:00.
fn micros_of_day(text: &[u8]) -> Option<i64> {
    (text.get(2) == Some(&b':')).then_some(())?;
    hours(text).filter(|micros| *micros <= DAY_MICROS)
}

/// `H…H:mm:ss[.ffffff]`.
fn hours(text: &[u8]) -> Option<i64> {
    let mut parts = text.split(|byte| *byte == b':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (seconds, fraction) = match seconds.iter().position(|byte| *byte == b'.') {
        Some(at) => (seconds.get(..at)?, seconds.get(at + 1..)?),
        None => (seconds, b"0".as_slice()),
    };
    if parts.next().is_some() || minutes.len() != 2 || seconds.len() != 2 || fraction.len() > 6 {
        return None;
    }
    let seconds = number(hours)?
        .checked_mul(3600)?
        .checked_add(number(minutes)? * 60 + number(seconds)?)?;
    let missing = u32::try_from(6 - fraction.len()).ok()?;
    let fraction = number(fraction)?.checked_mul(10_i64.pow(missing))?;
    seconds.checked_mul(MICROS)?.checked_add(fraction)
}

/// Digits only, at most 18.
fn number(digits: &[u8]) -> Option<i64> {
    let is_number = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        digits
            .iter()
            .fold(0_i64, |number, digit| number * 10 + i64::from(digit & 15))
    })
}
