//! Durations and sizes as people write them: `"1ms"`, `"10min"`, `"32MiB"`.

use std::time::Duration;

use serde::Deserialize;

/// A duration in a configuration file: a whole number and `us`, `ms`, `s`, `min`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DurationText(pub Duration);

/// A size in a configuration file: a whole number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SizeText(pub usize);

impl TryFrom<String> for DurationText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let told =
            || format!("{text:?} is not a duration: write a number and us, ms, s, min, h or d");
        let (number, unit) = split(&text).ok_or_else(told)?;
        let micros = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(told()),
        };
        number
            .checked_mul(micros)
            .map(|all| Self(Duration::from_micros(all)))
            .ok_or_else(told)
    }
}

impl TryFrom<String> for SizeText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let told = || format!("{text:?} is not a size: write a number and B, KiB, MiB or GiB");
        let (number, unit) = split(&text).ok_or_else(told)?;
        let bytes: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(told()),
        };
        let all = number
            .checked_mul(bytes)
            .and_then(|all| usize::try_from(all).ok());
        all.map(Self).ok_or_else(told)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, micros) in [
            ("0ms", 0),
            ("250us", 250),
            ("1 ms", 1_000),
            ("10min", 600_000_000),
            ("7d", 604_800_000_000),
        ] {
            let read = DurationText::try_from(text.to_owned()).map(|read| read.0);
            assert_eq!(read, Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in [
            "",
            "5",
            "ms",
            "-1ms",
            "1.5s",
            "1m",
            "1 week",
            "99999999999999999999s",
            "9999999999999d",
        ] {
            assert!(DurationText::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("64 KiB", 65_536),
            ("32MiB", 33_554_432),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(
                SizeText::try_from(text.to_owned()).map(|read| read.0),
                Ok(bytes),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "MB",
            "1MB",
            "-1B",
            "99999999999999999999B",
            "99999999999GiB",
        ] {
            assert!(SizeText::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
