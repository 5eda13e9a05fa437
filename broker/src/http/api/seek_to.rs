//! Where a seek is to go, as people say it. Pure.
//!
//! | said                   | means                                                          |
//! |------------------------|----------------------------------------------------------------|
//! | `start`, `end`         | the oldest records, behind the newest                           |
//! | `now`                  | the first transaction from now on                               |
//! | `offset N`             | this offset, in a group of one topic                            |
//! | `2026-11-26T10:00:00Z` | the first transaction that is not older (RFC 3339, with a zone) |
//! | `-15m`, `-2h`, `-1d`   | the same, so long ago                                           |
//! | `past-damage`          | behind what cannot be read                                      |

use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::group_service::SeekTo;

/// Longest text that is looked at, bytes.
const SAID_BYTES_MAX: usize = 64;

/// What is known here.
const FORM: &str = "write start, end, now, offset N, past-damage, a time as 2026-11-26T10:00:00Z, or -15m, -2h, -1d";

/// Reads it. Beside it, the words for the history: a time becomes one that means the same later on.
///
/// # Errors
/// One line that says what can be said.
pub(crate) fn parse(said: &str, now_ms: i64) -> Result<(SeekTo, String), String> {
    let said = said.trim();
    if said.len() > SAID_BYTES_MAX {
        return Err(format!("the place to seek to is too long: {FORM}"));
    }
    let to = match said {
        "start" => SeekTo::Start,
        "end" => SeekTo::End,
        "now" => SeekTo::Time(now_ms),
        "past-damage" => SeekTo::PastDamage,
        other => match other.strip_prefix("offset") {
            Some(offset) => SeekTo::Offset(number(offset, said)?),
            None => SeekTo::Time(time_ms(said, now_ms)?),
        },
    };
    let told = match to {
        SeekTo::Time(time_ms) => Timestamp::from_millisecond(time_ms)
            .map_err(|error| format!("{said:?}: {error}"))?
            .to_string(),
        SeekTo::Start | SeekTo::End | SeekTo::Offset(_) | SeekTo::PastDamage => said.to_owned(),
    };
    Ok((to, told))
}

fn number(text: &str, said: &str) -> Result<i64, String> {
    let number = text.trim_start_matches([' ', ':', '=']).parse();
    let number = number.ok().filter(|number: &i64| *number >= 0);
    number.ok_or_else(|| {
        format!("{said:?} is no offset: write offset and a number, as in offset 1200")
    })
}

fn time_ms(said: &str, now_ms: i64) -> Result<i64, String> {
    if said.starts_with('-') {
        return ago_ms(said, now_ms);
    }
    let time: Result<Timestamp, _> = said.parse();
    time.map(|time| time.as_millisecond())
        .map_err(|_| format!("{said:?} is no place to seek to: {FORM}"))
}

fn ago_ms(said: &str, now_ms: i64) -> Result<i64, String> {
    let told = || format!("{said:?} is no time ago: write a number and s, m, h or d, as in -15m");
    let span: Span = said.parse().map_err(|_| told())?;
    // Of 24 hours each: a broker has no zone in which a day could be longer.
    let ago = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let ago_ms = ago.map_err(|_| told())?.as_millis();
    let time = i128::from(now_ms) + ago_ms;
    i64::try_from(time).map_err(|_| told())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14T22:13:20Z.
    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn every_form_is_read() {
        for (said, to, told) in [
            ("start", SeekTo::Start, "start"),
            (" end ", SeekTo::End, "end"),
            ("now", SeekTo::Time(NOW_MS), "2023-11-14T22:13:20Z"),
            ("past-damage", SeekTo::PastDamage, "past-damage"),
            ("offset 12", SeekTo::Offset(12), "offset 12"),
            ("offset:12", SeekTo::Offset(12), "offset:12"),
            (
                "-15m",
                SeekTo::Time(NOW_MS - 900_000),
                "2023-11-14T21:58:20Z",
            ),
            (
                "-90s",
                SeekTo::Time(NOW_MS - 90_000),
                "2023-11-14T22:11:50Z",
            ),
            (
                "-1h30m",
                SeekTo::Time(NOW_MS - 5_400_000),
                "2023-11-14T20:43:20Z",
            ),
            (
                "-1d",
                SeekTo::Time(NOW_MS - 86_400_000),
                "2023-11-13T22:13:20Z",
            ),
            (
                "2023-11-14T22:13:20+02:00",
                SeekTo::Time(NOW_MS - 7_200_000),
                "2023-11-14T20:13:20Z",
            ),
            (
                "2023-11-14T22:13:19.5Z",
                SeekTo::Time(NOW_MS - 500),
                "2023-11-14T22:13:19.5Z",
            ),
        ] {
            assert_eq!(parse(said, NOW_MS), Ok((to, told.to_owned())), "{said}");
            let again = parse(told, NOW_MS + 60_000).map(|(to, _)| to);
            assert_eq!(again, Ok(to), "{told} means the same later");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_in_one_line_with_what_can() {
        let long = "9".repeat(1_000_000);
        for said in [
            "",
            "yesterday",
            "15m",
            "-",
            "-15",
            "-15x",
            "-9999999999999d",
            "offset",
            "offset -1",
            "offset 99999999999999999999",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-13-14T22:13:20Z",
            &long,
        ] {
            let line = parse(said, NOW_MS).unwrap_err();
            assert!(
                line.contains("write ") && !line.contains('\n') && line.len() < 300,
                "{line}"
            );
        }
    }
}
