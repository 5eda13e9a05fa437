//! Dates and times from the text that sources write.

/// A day; zero dates of MySQL are 0, 0, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

/// A time of day, or MySQL's time up to 838 hours: all parts of a negative one are negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    /// 0 to 999,999.
    pub(super) microsecond: i64,
}

/// `yyyy-MM-dd`.
pub(super) fn day(text: &[u8]) -> Option<Day> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else {
        return None;
    };
    Some(Day {
        year: number(&[*y0, *y1, *y2, *y3])?,
        month: number(&[*m0, *m1])?,
        day: number(&[*d0, *d1])?,
    })
}

/// `[-]h:mm:ss[.f]`, one to three digits of hours, one to six of a fraction.
pub(super) fn clock(text: &[u8]) -> Option<Clock> {
    let (sign, text) = match text.strip_prefix(b"-") {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let colon = text.iter().take(4).position(|byte| *byte == b':')?;
    let (hours, rest) = text.split_at_checked(colon)?;
    let (&[b':', m0, m1, b':', s0, s1], fraction) = rest.split_first_chunk::<6>()? else {
        return None;
    };
    Some(Clock {
        hour: sign * number(hours)?,
        minute: sign * number(&[m0, m1])?,
        second: sign * number(&[s0, s1])?,
        microsecond: sign * microseconds(fraction)?,
    })
}

/// `yyyy-MM-dd h:mm:ss[.f]`.
pub(super) fn day_and_clock(text: &[u8]) -> Option<(Day, Clock)> {
    let (date, rest) = text.split_at_checked(10)?;
    Some((day(date)?, clock(rest.strip_prefix(b" ")?)?))
}

/// A time of day and its offset as `+hh:mm`, from `h:mm:ss[.f]+hh[:mm]`.
pub(super) fn clock_and_offset(text: &[u8]) -> Option<(Clock, [u8; 6])> {
    let at = text.iter().rposition(|byte| matches!(byte, b'+' | b'-'))?;
    let (time, offset) = text.split_at_checked(at)?;
    let offset = match offset {
        [sign, h0, h1] => [*sign, *h0, *h1, b':', b'0', b'0'],
        [sign, h0, h1, b':', m0, m1] => [*sign, *h0, *h1, b':', *m0, *m1],
        _ => return None,
    };
    let [_, h0, h1, _, m0, m1] = offset;
    number(&[h0, h1, m0, m1])?;
    Some((clock(time)?, offset))
}

/// Seconds since 1970 of a moment in UTC; MySQL's zero timestamp is 0.
pub(super) fn epoch_seconds(day: Day, clock: Clock) -> i64 {
    if day.month == 0 {
        return 0;
    }
    // Howard Hinnant's days_from_civil: years begin in March, so that the leap day is the last.
    let year = day.year - i64::from(day.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (day.month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day.day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    days * 86_400 + clock.hour * 3_600 + clock.minute * 60 + clock.second
}

/// Up to 18 digits.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |value: i64, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        Some(value * 10 + digit)
    })
}

/// `.5` is 500,000; nothing is 0.
fn microseconds(fraction: &[u8]) -> Option<i64> {
    let Some(digits) = fraction.strip_prefix(b".") else {
        return fraction.is_empty().then_some(0);
    };
    let missing = 6_usize.checked_sub(digits.len())?;
    let scale = 10_i64.pow(u32::try_from(missing).ok()?);
    Some(number(digits)? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64, minute: i64, second: i64, microsecond: i64) -> Clock {
        Clock {
            hour,
            minute,
            second,
            microsecond,
        }
    }

    #[test]
    fn times_have_every_form_that_sources_write() {
        for (text, expected) in [
            ("04:05:06", at(4, 5, 6, 0)),
            ("24:00:00", at(24, 0, 0, 0)),
            ("04:05:06.7", at(4, 5, 6, 700_000)),
            ("04:05:06.789012", at(4, 5, 6, 789_012)),
            ("-838:59:59", at(-838, -59, -59, 0)),
            ("-00:00:01.500000", at(0, 0, -1, -500_000)),
        ] {
            assert_eq!(clock(text.as_bytes()), Some(expected), "{text}");
        }
        for wrong in [
            "",
            "4",
            "04:05",
            "04:05:06.",
            "04:05:06.1234567",
            "04:05:06+02",
            "1000:00:00",
            "a4:05:06",
            "04-05:06",
        ] {
            assert_eq!(clock(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn offsets_always_have_minutes() {
        let found = |text: &str| clock_and_offset(text.as_bytes()).map(|(_, offset)| offset);
        assert_eq!(found("04:05:06+02"), Some(*b"+02:00"));
        assert_eq!(found("04:05:06.5-05:30"), Some(*b"-05:30"));
        assert_eq!(found("04:05:06"), None);
        assert_eq!(found("04:05:06+02:00:30"), None);
        assert_eq!(found("04:05:06+aa"), None);
    }

    #[test]
    fn days_count_from_1970() {
        let seconds = |text: &str| {
            let (day, clock) = day_and_clock(text.as_bytes()).unwrap();
            epoch_seconds(day, clock)
        };
        assert_eq!(seconds("1970-01-01 00:00:00"), 0);
        assert_eq!(seconds("2024-02-29 12:34:56.789"), 1_709_210_096);
        assert_eq!(seconds("2038-01-19 03:14:07"), i64::from(i32::MAX));
        assert_eq!(seconds("1969-12-31 23:59:59"), -1);
        assert_eq!(seconds("0000-00-00 00:00:00"), 0);
    }

    #[test]
    fn only_plain_days_are_days() {
        assert!(day(b"2024-02-29").is_some());
        for wrong in ["10000-01-01", "2024-2-29", "infinity", "0044-03-15 BC", ""] {
            assert_eq!(day(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
