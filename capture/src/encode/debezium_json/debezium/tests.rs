//! What the connector writes stands in `tests/debezium`, and is compared on a real database
//! (`capture/tests/postgres/debezium.rs`); here are the encodings' edges.

use proptest::prelude::*;

use super::super::rows::ValueScratch;
use super::time::{days, interval, of_day, put_instant, put_zoned_time, timestamp};
use super::*;
use crate::value::{ColumnType, Value, ValueForm, ValueKind};

fn written(kind: ValueKind, modifier: i32, value: Value<'_>) -> String {
    let mut column = ColumnType::of(ValueForm::of(kind));
    column.modifier = modifier;
    let mut out = JsonBuffer::new(usize::MAX);
    let mut scratch = ValueScratch::new(usize::MAX);
    put(&mut out, &column, value, &mut scratch.plain).expect("no limit");
    String::from_utf8(out.bytes().to_vec()).expect("UTF-8")
}

fn decimal(modifier: i32, text: &str) -> String {
    written(
        ValueKind::Decimal,
        modifier,
        Value::Decimal(text.as_bytes()),
    )
}

/// `numeric(precision, scale)`.
fn modifier(precision: i32, scale: i32) -> i32 {
    (precision << 16 | scale & 0x7FF) + 4
}

#[test]
fn decimals_are_unscaled_numbers_in_twos_complement() {
    for (text, expected) in [
        ("0.00", "AA=="),
        ("123.45", "MDk="),
        ("1.27", "fw=="),
        ("1.28", "AIA="),
        ("-1.28", "gA=="),
        ("-1.29", "/38="),
        ("-0.01", "/w=="),
    ] {
        assert_eq!(
            decimal(modifier(9, 2), text),
            format!("\"{expected}\""),
            "{text}"
        );
    }
    assert_eq!(decimal(modifier(5, -2), "12300"), "\"ew==\"");
    assert_eq!(decimal(modifier(5, -2), "0"), "\"AA==\"");
    assert_eq!(
        decimal(modifier(5, -2), "12345"),
        "\"12345\"",
        "would lose digits"
    );
    assert_eq!(
        decimal(modifier(9, 2), "1.234"),
        "\"1.234\"",
        "would lose digits"
    );
}

#[test]
fn decimals_without_scale_carry_it_and_lose_trailing_zeros() {
    assert_eq!(decimal(-1, "123.4500"), r#"{"scale":2,"value":"MDk="}"#);
    assert_eq!(decimal(-1, "1000"), r#"{"scale":0,"value":"A+g="}"#);
    assert_eq!(decimal(-1, "0.000"), r#"{"scale":0,"value":"AA=="}"#);
}

#[test]
fn a_decimal_of_any_size_is_exact_up_to_what_the_server_can_hold() {
    // 2^128 and its negative.
    let power = "340282366920938463463374607431768211456";
    let expected = r#"{"scale":0,"value":"AQAAAAAAAAAAAAAAAAAAAAA="}"#;
    assert_eq!(decimal(-1, power), expected);
    let negative = r#"{"scale":0,"value":"/wAAAAAAAAAAAAAAAAAAAAA="}"#;
    assert_eq!(decimal(-1, &format!("-{power}")), negative);
    let beyond = "7".repeat(200_000);
    assert_eq!(decimal(-1, &beyond), format!("\"{beyond}\""));
}

#[test]
fn money_is_a_decimal_whatever_its_commas() {
    let money = |text: &str| written(ValueKind::Money, -1, Value::Text(text.as_bytes()));
    assert_eq!(money("-$1,234.56"), "\"/h3A\"");
    assert_eq!(money("$0.00"), "\"AA==\"");
    for odd in ["", "$", "1.00", "$1", "$1,00", "$a.00", "$.00x"] {
        assert_eq!(money(odd), format!("\"{odd}\""));
    }
}

#[test]
fn dates_and_timestamps_reach_over_eras() {
    for (text, expected) in [
        ("1970-01-01", 0),
        ("2024-02-29", 19_782),
        ("1969-12-31", -1),
        ("0001-01-01", -719_162),
        ("0001-12-31 BC", -719_163),
        ("0044-03-15 BC", -735_160),
        ("4714-11-24 BC", -2_440_588),
        ("5874897-12-31", 2_145_042_905),
    ] {
        assert_eq!(days(text.as_bytes()), Some(expected), "{text}");
    }
    assert_eq!(timestamp(b"1969-12-31 23:59:59.999", 3), Some(-1));
    assert_eq!(timestamp(b"1969-12-31 23:59:59.999", 6), Some(-1_000));
    assert_eq!(
        timestamp(b"294276-12-31 23:59:59.999999", 6),
        None,
        "beyond 64 bits"
    );
    assert_eq!(timestamp(b"infinity", 0), Some(9_223_372_036_825_200));
    for odd in [
        "",
        "2024",
        "2024-13-01",
        "2024-00-01",
        "2024-01-32",
        "24-01-01",
        "2024-01-01 BC BC",
        "x",
    ] {
        assert_eq!(days(odd.as_bytes()), None, "{odd}");
        assert_eq!(timestamp(odd.as_bytes(), 6), None, "{odd}");
    }
}

#[test]
fn times_and_intervals_are_counted_exactly() {
    assert_eq!(of_day(b"24:00:00", 6), Some(86_400_000_000));
    assert_eq!(of_day(b"00:00:00.5", 3), Some(500));
    assert_eq!(of_day(b"24:00:01", 6), None);
    assert_eq!(
        interval(b"1 year 2 mons -3 days +04:05:06.789"),
        Some(36_572_706_789_000)
    );
    assert_eq!(interval(b"00:00:00"), Some(0));
    assert_eq!(interval(b"-00:00:00.000001"), Some(-1));
    assert_eq!(
        interval(b"2562047788:00:54.775807"),
        Some(9_223_372_036_854_775_807)
    );
    for odd in [
        "178000000 years",
        "infinity",
        "",
        "1",
        "1 week",
        "1 year 2",
        "1:2:3",
        "--1 day",
    ] {
        assert_eq!(interval(odd.as_bytes()), None, "{odd}");
    }
}

fn instant(text: &str, precision: u32) -> String {
    let mut out = JsonBuffer::new(usize::MAX);
    put_instant(&mut out, text.as_bytes(), precision);
    String::from_utf8(out.bytes().to_vec()).expect("UTF-8")
}

#[test]
fn instants_have_the_digits_of_their_type_and_zoned_times_no_trailing_zeros() {
    assert_eq!(
        instant("2024-01-02 01:04:05.6", 6),
        "\"2024-01-02T01:04:05.600000Z\""
    );
    assert_eq!(
        instant("2024-01-02 01:04:05", 0),
        "\"2024-01-02T01:04:05Z\""
    );
    assert_eq!(
        instant("0001-01-01 00:00:00+00 BC", 0),
        "\"0000-01-01T00:00:00Z\""
    );
    assert_eq!(
        instant("0044-03-15 12:00:00+00 BC", 3),
        "\"-0043-03-15T12:00:00.000Z\""
    );
    assert_eq!(
        instant("12345-06-07 01:02:03.5+00", 3),
        "\"+12345-06-07T01:02:03.500Z\""
    );
    assert_eq!(instant("infinity", 6), "");
    let zoned = |text: &str| {
        let mut out = JsonBuffer::new(usize::MAX);
        put_zoned_time(&mut out, text.as_bytes());
        String::from_utf8(out.bytes().to_vec()).expect("UTF-8")
    };
    assert_eq!(zoned("12:34:56.789012+05:30"), "\"07:04:56.789012Z\"");
    assert_eq!(zoned("01:02:03.4-00:30"), "\"01:32:03.4Z\"");
    assert_eq!(zoned("23:59:59.000001-12"), "\"11:59:59.000001Z\"");
    assert_eq!(zoned("12:00:00+05:30:15"), "\"06:29:45Z\"");
    assert_eq!(zoned("24:00:00+00"), "\"00:00:00Z\"");
    assert_eq!(zoned("12:00:00"), "");
    assert_eq!(zoned("12:00:00+1234567890123456789"), "");
}

#[test]
fn bits_are_numbers_in_little_endian() {
    let bits =
        |modifier, text: &str| written(ValueKind::Bits, modifier, Value::Text(text.as_bytes()));
    assert_eq!(bits(1, "1"), "true");
    assert_eq!(bits(1, "0"), "false");
    assert_eq!(bits(1, ""), "\"\"");
    assert_eq!(bits(10, "1010000001"), "\"gQI=\"");
    assert_eq!(bits(-1, "100000000000000001"), "\"AQAC\"");
    assert_eq!(bits(-1, "0000"), "\"\"");
    assert_eq!(bits(-1, "2"), "\"2\"");
}

#[test]
fn a_point_is_written_with_its_binary_form() {
    let point = |text: &str| written(ValueKind::Point, -1, Value::Text(text.as_bytes()));
    assert_eq!(
        point("(1.5,-2)"),
        r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#
    );
    assert!(point("(Infinity,1e+300)").starts_with(r#"{"x":"Infinity","y":1e+300,"#));
    for odd in ["", "(1)", "1,2", "(1,2", "(a,b)", "(1,2,3)"] {
        assert_eq!(point(odd), format!("\"{odd}\""));
    }
}

proptest! {
    #[test]
    fn any_decimal_reads_back(number in any::<i128>(), more in "[1-9][0-9]{0,120}") {
        for text in [number.to_string(), more.clone(), format!("-{more}")] {
            let json = decimal(modifier(1000, 0), &text);
            let encoded: String = serde_json::from_str(&json).expect("a string");
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded);
            prop_assert_eq!(read_back(&bytes.expect("base64")), text);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused_without_panic(text in "[0-9:.+ BCyearmons-]{0,40}") {
        let text = text.as_bytes();
        let mut out = JsonBuffer::new(usize::MAX);
        days(text);
        timestamp(text, 6);
        interval(text);
        put_instant(&mut out, text, 6);
        put_zoned_time(&mut out, text);
    }
}

/// Two's complement to decimal, the slow way.
fn read_back(bytes: &[u8]) -> String {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
    let mut digits = vec![0_u32];
    for byte in magnitude {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            let value = *digit * 256 + carry;
            *digit = value % 10;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    let text: String = digits.iter().rev().map(u32::to_string).collect();
    let text = text.trim_start_matches('0');
    let text = if text.is_empty() { "0" } else { text };
    if is_negative {
        format!("-{text}")
    } else {
        text.to_owned()
    }
}
