//! Days, times and intervals, as DateStyle ISO, TimeZone UTC and IntervalStyle postgres show them.

use super::number::{put_digits, put_format};
use super::reader::Reader;

const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;
/// Days from 0000-03-01 to 2000-01-01 in the Gregorian calendar carried back.
const EPOCH_DAYS: i64 = 730_425;

pub(super) fn put_date(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    match reader.i32()? {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let is_bc = put_day(out, i64::from(days));
            put_era(out, is_bc);
        }
    }
    Some(())
}

pub(super) fn put_time(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    put_clock(out, reader.i64()?)
}

pub(super) fn put_zoned_time(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    put_clock(out, reader.i64()?)?;
    let west = reader.i32()?;
    out.push(if west > 0 { b'-' } else { b'+' });
    let seconds = west.unsigned_abs();
    put_format(out, format_args!("{:02}", seconds / 3600));
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    if minutes > 0 || rest > 0 {
        put_format(out, format_args!(":{minutes:02}"));
    }
    if rest > 0 {
        put_format(out, format_args!(":{rest:02}"));
    }
    Some(())
}

pub(super) fn put_timestamp(out: &mut Vec<u8>, reader: &mut Reader<'_>, zone: &[u8]) -> Option<()> {
    match reader.i64()? {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        us => {
            let is_bc = put_day(out, us.div_euclid(DAY_US));
            out.push(b' ');
            put_clock(out, us.rem_euclid(DAY_US))?;
            out.extend_from_slice(zone);
            put_era(out, is_bc);
        }
    }
    Some(())
}

/// A day by its distance from 2000-01-01; whether its year is one before Christ.
fn put_day(out: &mut Vec<u8>, days: i64) -> bool {
    let days = days + EPOCH_DAYS;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let is_bc = year <= 0;
    let shown = if is_bc { 1 - year } else { year };
    put_format(out, format_args!("{shown:04}-{month:02}-{day:02}"));
    is_bc
}

fn put_era(out: &mut Vec<u8>, is_bc: bool) {
    if is_bc {
        out.extend_from_slice(b" BC");
    }
}

/// `HH:mm:ss[.ffffff]` without trailing zeros; 24:00:00 is a time of day.
fn put_clock(out: &mut Vec<u8>, us: i64) -> Option<()> {
    if !(0..=DAY_US).contains(&us) {
        return None;
    }
    let seconds = us / SECOND_US;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put_format(out, format_args!("{hours:02}:{minutes:02}:{seconds:02}"));
    put_fraction(out, us % SECOND_US);
    Some(())
}

fn put_fraction(out: &mut Vec<u8>, us: i64) {
    if us != 0 {
        let start = out.len();
        put_format(out, format_args!(".{:06}", us.abs()));
        let zeros = out.iter().rev().take_while(|digit| **digit == b'0').count();
        out.truncate(out.len().saturating_sub(zeros).max(start));
    }
}

/// Microseconds, days, months.
pub(super) fn put_interval(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let (us, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
    match (us, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => {
            out.extend_from_slice(b"infinity");
            return Some(());
        }
        (i64::MIN, i32::MIN, i32::MIN) => {
            out.extend_from_slice(b"-infinity");
            return Some(());
        }
        _ => {}
    }
    let start = out.len();
    // A positive part behind a negative one shows its sign.
    let mut behind_negative = false;
    let parts = [(months / 12, "year"), (months % 12, "mon"), (days, "day")];
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
        if out.len() > start {
            out.push(b' ');
        }
        if behind_negative && count > 0 {
            out.push(b'+');
        }
        put_digits(out, count);
        let plural = if count == 1 { "" } else { "s" };
        put_format(out, format_args!(" {unit}{plural}"));
        behind_negative = count < 0;
    }
    if us != 0 || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        if us < 0 {
            out.push(b'-');
        } else if behind_negative {
            out.push(b'+');
        }
        let all = us.unsigned_abs();
        let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        put_format(out, format_args!("{hours:02}:{minutes:02}:{seconds:02}"));
        put_fraction(out, i64::try_from(fraction).ok()?);
    }
    Some(())
}
