use super::*;

fn read(kind: ValueKind, text: &str) -> Value<'_> {
    value(ValueForm::of(kind), text.as_bytes())
}

/// Texts that are believed, and texts of the same type that have another form.
fn check<'a>(
    kind: ValueKind,
    known: &[&'a str],
    wrap: impl Fn(&'a [u8]) -> Value<'a>,
    other: &[&str],
) {
    for text in known {
        assert_eq!(read(kind, text), wrap(text.as_bytes()), "{kind:?} {text}");
    }
    for text in other {
        let expected = Value::Text(text.as_bytes());
        assert_eq!(read(kind, text), expected, "{kind:?} {text}");
    }
}

#[test]
fn numbers_keep_their_digits() {
    let integers = ["0", "-1", "9223372036854775807", "-9223372036854775808"];
    check(
        ValueKind::Int64,
        &integers,
        Value::Number,
        &["", "-", "+1", "1.0", "01", "1e3", "NaN"],
    );
    let floats = [
        "0",
        "-0",
        "1.5",
        "1e+20",
        "1e-05",
        "-1.7976931348623157e+308",
        "5e-324",
    ];
    let odd = [
        "NaN",
        "Infinity",
        "-Infinity",
        "",
        "1.",
        ".5",
        "1e",
        "1e+",
        "e5",
        "1e5.0",
    ];
    check(ValueKind::Float64, &floats, Value::Number, &odd);
    let decimals = [
        "0",
        "0.00",
        "-1.5000",
        "123456789012345678901234567890.123456789",
    ];
    check(
        ValueKind::Decimal,
        &decimals,
        Value::Decimal,
        &["NaN", "Infinity", "1e5", "1.", "--1"],
    );
}

#[test]
fn booleans_are_truth_values() {
    assert_eq!(read(ValueKind::Bool, "t"), Value::Bool(true));
    assert_eq!(read(ValueKind::Bool, "f"), Value::Bool(false));
    assert_eq!(read(ValueKind::Bool, "true"), Value::Text(b"true"));
}

#[test]
fn times_are_believed_in_their_iso_form_only() {
    let odd_dates = [
        "infinity",
        "-infinity",
        "0044-03-15 BC",
        "10000-01-01",
        "2024-1-1",
    ];
    check(
        ValueKind::Date,
        &["2024-02-29", "0001-01-01"],
        Value::Date,
        &odd_dates,
    );
    let times = ["00:00:00", "24:00:00", "12:34:56.789012"];
    check(
        ValueKind::Time,
        &times,
        Value::Time,
        &["12:34", "12:34:56.", "12:34:56+02"],
    );
    let timestamps = ["2024-01-02 03:04:05", "2024-01-02 03:04:05.678901"];
    let odd = [
        "infinity",
        "0044-03-15 00:00:00 BC",
        "10000-01-01 00:00:00",
        "2024-01-02T03:04:05",
    ];
    check(ValueKind::Timestamp, &timestamps, Value::Timestamp, &odd);
}

#[test]
fn instants_lose_the_utc_offset_and_nothing_else() {
    let utc = read(ValueKind::Instant, "2024-01-02 03:04:05.6+00");
    assert_eq!(utc, Value::Instant(b"2024-01-02 03:04:05.6"));
    for other in [
        "2024-01-02 03:04:05+05:30",
        "infinity",
        "0044-03-15 00:00:00+00 BC",
        "+00",
    ] {
        let expected = Value::Text(other.as_bytes());
        assert_eq!(read(ValueKind::Instant, other), expected);
    }
}

#[test]
fn bytes_are_hexadecimal_digits() {
    assert_eq!(read(ValueKind::Bytes, "\\xDEad"), Value::HexBytes(b"DEad"));
    assert_eq!(read(ValueKind::Bytes, "\\x"), Value::HexBytes(b""));
    for escape_form in ["", "\\001", "\\xabc", "\\xzz"] {
        let expected = Value::Text(escape_form.as_bytes());
        assert_eq!(read(ValueKind::Bytes, escape_form), expected);
    }
}

#[test]
fn everything_else_is_the_servers_text() {
    for oid in [25, 1043, 1042, 18, 19, 22, 603] {
        assert_eq!(built_in(oid), Some(ValueForm::of(ValueKind::Text)), "{oid}");
    }
    assert_eq!(built_in(16_400), None, "a type of the user");
    for kind in [
        ValueKind::Money,
        ValueKind::Interval,
        ValueKind::Bits,
        ValueKind::Uuid,
        ValueKind::Enum,
    ] {
        assert_eq!(read(kind, "any"), Value::Text(b"any"));
    }
    assert_eq!(
        read(ValueKind::Json, "{\"a\": 1}"),
        Value::Json(b"{\"a\": 1}")
    );
}

#[test]
fn a_types_name_and_oid_give_the_same_kind() {
    for (oid, name) in [
        (16, "bool"),
        (20, "int8"),
        (21, "int2"),
        (23, "int4"),
        (26, "oid"),
        (700, "float4"),
        (701, "float8"),
        (1700, "numeric"),
        (1082, "date"),
        (1083, "time"),
        (1114, "timestamp"),
        (1184, "timestamptz"),
        (17, "bytea"),
        (114, "json"),
        (3802, "jsonb"),
        (25, "text"),
        (1184, "timestamptz"),
        (1266, "timetz"),
        (790, "money"),
        (1186, "interval"),
        (1562, "varbit"),
        (2950, "uuid"),
        (142, "xml"),
        (3614, "tsvector"),
        (600, "point"),
        (1007, "_int4"),
        (1009, "_text"),
        (1020, "_box"),
    ] {
        assert_eq!(built_in(oid), Some(form_of_name("", name)), "{name}");
    }
}

#[test]
fn types_that_only_a_message_names_are_read_by_their_name() {
    let array_of = |kind| ValueForm {
        kind,
        array_delimiter: Some(b','),
    };
    for (schema, name, form) in [
        ("public", "mood", ValueForm::of(ValueKind::Text)),
        ("public", "_mood", array_of(ValueKind::Text)),
        ("public", "bool", ValueForm::of(ValueKind::Text)),
        ("public", "_bool", array_of(ValueKind::Text)),
        ("extensions", "hstore", ValueForm::of(ValueKind::Pairs)),
        ("public", "_hstore", array_of(ValueKind::Pairs)),
        ("", "_timestamp", array_of(ValueKind::Timestamp)),
    ] {
        assert_eq!(form_of_name(schema, name), form, "{schema}.{name}");
    }
}

#[test]
fn arrays_and_pairs_are_believed_in_their_literal_form_only() {
    let array = ValueForm {
        kind: ValueKind::Int32,
        array_delimiter: Some(b','),
    };
    assert!(matches!(value(array, b"{1,NULL}"), Value::Array(_)));
    assert_eq!(value(array, b"{1,"), Value::Text(b"{1,"));
    assert_eq!(value(array, b"1"), Value::Text(b"1"));
    let pairs = ValueForm::of(ValueKind::Pairs);
    assert!(matches!(value(pairs, b"\"a\"=>NULL"), Value::Pairs(_)));
    assert_eq!(value(pairs, b"a=>1"), Value::Text(b"a=>1"));
}
