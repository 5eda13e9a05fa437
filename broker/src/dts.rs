//! What clients of Alibaba Cloud DTS need where Kafka answers otherwise (`docs/wire.md`). Pure.

use headwater_storage::{Catalog, Topic};

/// The catalog's name of the feed format whose topics these rules are for.
pub(crate) const FORMAT: &str = "dts-avro";

/// Whether a topic's clients are DTS's.
pub(crate) fn is_of_dts(catalog: &Catalog, topic: &Topic) -> bool {
    let feed = catalog.feed(topic.feed);
    feed.is_some_and(|feed| feed.format == FORMAT)
}

/// Whether a lookup at `at_s` (seconds since 1970) that no record answers is answered with the end of the log.
///
/// A checkpoint behind the newest record is usual on a quiet source. To "none" the Java SDK goes back to the log's
/// start, and flink-dts-connector fails when it restores its state. A time that is yet to come stays "none".
pub(crate) fn is_answered_with_the_end(at_s: i64, now_ms: i64) -> bool {
    at_s <= now_ms.div_euclid(1000)
}

/// What OffsetFetch answers for metadata that was committed for a DTS topic: the number in front of the first `|`
/// or NUL, if it is one, else all of it.
///
/// DTS's convention for hand-written clients is `seconds|anything`, and librdkafka's Python binding ends metadata
/// with NUL; the Java SDK parses all of it as a number and fails on both. A bare number comes back byte for byte.
#[must_use]
pub(crate) fn dts_offset_of_metadata(metadata: &str) -> &str {
    let number = metadata.split(['|', '\0']).next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { number } else { metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_seconds_come_back_alone() {
        for (committed, answered) in [
            ("1700000009", "1700000009"),
            ("1700000009|x", "1700000009"),
            ("1700000009|", "1700000009"),
            ("1700000009\0", "1700000009"),
            ("1700000009\0|x", "1700000009"),
            ("", ""),
            ("|x", "|x"),
            ("\0", "\0"),
            ("1700000009 |x", "1700000009 |x"),
            ("+17|x", "+17|x"),
            ("-17|x", "-17|x"),
            ("1700000009x", "1700000009x"),
            ("{\"a\":1}", "{\"a\":1}"),
            ("\u{663}|x", "\u{663}|x"),
        ] {
            assert_eq!(dts_offset_of_metadata(committed), answered, "{committed:?}");
        }
    }

    #[test]
    fn only_a_time_that_has_come_is_answered_with_the_end() {
        let now_ms = 1_700_000_009_999;
        assert!(is_answered_with_the_end(1_700_000_009, now_ms));
        assert!(!is_answered_with_the_end(1_700_000_010, now_ms));
    }
}
