//! PostgreSQL's text forms into [`Value`]s.
//!
//! The session pins the output settings (DateStyle ISO, TimeZone UTC, extra_float_digits 3, bytea_output
//! hex, client_encoding UTF8). Each form is checked before it is believed; a text that has another form than
//! its type's usual one (infinity, NaN, years BC or beyond 9999, another offset) is passed on as
//! [`Value::Text`]. Types of the user are looked up in the catalog (`source::types`). Manual: "Data Types"; oids from `pg_type.dat`.

use crate::value::{ArrayText, PairsText, Value, ValueForm, ValueKind};

#[cfg(test)]
mod tests;

/// How a built-in type's texts are read; `None` for every other oid. Arrays stand in [`element_of_array`].
pub(super) fn built_in(type_oid: u32) -> Option<ValueForm> {
    if let Some((element, delimiter)) = element_of_array(type_oid) {
        return Some(ValueForm {
            kind: kind_of_type(element)?,
            array_delimiter: Some(delimiter),
        });
    }
    kind_of_type(type_oid).map(ValueForm::of)
}

/// A built-in type's own oid, or that of an array's elements.
pub(super) fn base_oid(type_oid: u32) -> u32 {
    element_of_array(type_oid).map_or(type_oid, |(element, _)| element)
}

fn kind_of_type(type_oid: u32) -> Option<ValueKind> {
    Some(match type_oid {
        16 => ValueKind::Bool,
        21 => ValueKind::Int16,
        23 => ValueKind::Int32,
        20 | 26 => ValueKind::Int64,
        700 => ValueKind::Float32,
        701 => ValueKind::Float64,
        1700 => ValueKind::Decimal,
        790 => ValueKind::Money,
        1082 => ValueKind::Date,
        1083 => ValueKind::Time,
        1266 => ValueKind::ZonedTime,
        1114 => ValueKind::Timestamp,
        1184 => ValueKind::Instant,
        1186 => ValueKind::Interval,
        17 => ValueKind::Bytes,
        1560 | 1562 => ValueKind::Bits,
        600 => ValueKind::Point,
        114 | 3802 => ValueKind::Json,
        2950 => ValueKind::Uuid,
        142 => ValueKind::Xml,
        3614 => ValueKind::Lexemes,
        _ if is_plain_text(type_oid) => ValueKind::Text,
        _ => return None,
    })
}

/// Built-in types whose values are texts for every format, and whose arrays are listed below.
fn is_plain_text(type_oid: u32) -> bool {
    matches!(
        type_oid,
        // text, varchar, char(n), "char", name, cidr, inet, macaddr, macaddr8
        25 | 1043 | 1042 | 18 | 19 | 650 | 869 | 829 | 774
        // line, lseg, path, box, polygon, circle
        | 628 | 601 | 602 | 603 | 604 | 718
        // tsquery, pg_lsn, xid8, pg_snapshot, txid_snapshot, jsonpath, regclass, regtype, tid, xid
        | 3615 | 3220 | 5069 | 5038 | 2970 | 4072 | 2205 | 2206 | 27 | 28
        // ranges, multiranges
        | 3904 | 3906 | 3908 | 3910 | 3912 | 3926 | 4451 | 4532 | 4533 | 4534 | 4535 | 4536
        // int2vector, oidvector
        | 22 | 30
    )
}

/// The element type of a built-in array type, and what stands between elements (`pg_type.typdelim`).
fn element_of_array(type_oid: u32) -> Option<(u32, u8)> {
    const ARRAYS: &[(u32, u32)] = &[
        (1000, 16),
        (1005, 21),
        (1007, 23),
        (1016, 20),
        (1028, 26),
        (1021, 700),
        (1022, 701),
        (1231, 1700),
        (791, 790),
        (1182, 1082),
        (1183, 1083),
        (1270, 1266),
        (1115, 1114),
        (1185, 1184),
        (1187, 1186),
        (1001, 17),
        (1561, 1560),
        (1563, 1562),
        (1017, 600),
        (199, 114),
        (3807, 3802),
        (2951, 2950),
        (143, 142),
        (3643, 3614),
        (1009, 25),
        (1015, 1043),
        (1014, 1042),
        (1002, 18),
        (1003, 19),
        (651, 650),
        (1041, 869),
        (1040, 829),
        (775, 774),
        (629, 628),
        (1018, 601),
        (1019, 602),
        (1020, 603),
        (1027, 604),
        (719, 718),
        (3645, 3615),
        (3221, 3220),
        (271, 5069),
        (5039, 5038),
        (2949, 2970),
        (4073, 4072),
        (2210, 2205),
        (2211, 2206),
        (1010, 27),
        (1011, 28),
        (3905, 3904),
        (3907, 3906),
        (3909, 3908),
        (3911, 3910),
        (3913, 3912),
        (3927, 3926),
        (6150, 4451),
        (6151, 4532),
        (6152, 4533),
        (6153, 4534),
        (6155, 4535),
        (6157, 4536),
        (1006, 22),
        (1013, 30),
    ];
    const BOX: u32 = 603;
    let (_, element) = ARRAYS.iter().find(|(array, _)| *array == type_oid)?;
    Some((*element, if *element == BOX { b';' } else { b',' }))
}

/// How a type's texts are read that only a type message names: one that the catalog no longer knows. For a
/// domain the message names the base type; `schema` is empty or `pg_catalog` for built-in ones. An array
/// type's name is its element's behind an underscore; elements of types that are not built in are then texts.
pub(super) fn form_of_name(schema: &str, name: &str) -> ValueForm {
    let is_built_in = matches!(schema, "" | "pg_catalog");
    let kind = |name| match kind_of_extension(name) {
        Some(kind) => kind,
        None if is_built_in => kind_of_name(name),
        None => ValueKind::Text,
    };
    match name.strip_prefix('_') {
        Some(element) => ValueForm {
            kind: kind(element),
            array_delimiter: Some(if is_built_in && element == "box" {
                b';'
            } else {
                b','
            }),
        },
        None => ValueForm::of(kind(name)),
    }
}

/// The kind of a type of PostgreSQL's own extensions, in whatever schema it was installed.
pub(super) fn kind_of_extension(name: &str) -> Option<ValueKind> {
    match name {
        "hstore" => Some(ValueKind::Pairs),
        "ltree" => Some(ValueKind::LabelPath),
        _ => None,
    }
}

/// The kind of a built-in type by its name in `pg_catalog`.
fn kind_of_name(name: &str) -> ValueKind {
    match name {
        "bool" => ValueKind::Bool,
        "int2" => ValueKind::Int16,
        "int4" => ValueKind::Int32,
        "int8" | "oid" => ValueKind::Int64,
        "float4" => ValueKind::Float32,
        "float8" => ValueKind::Float64,
        "numeric" => ValueKind::Decimal,
        "money" => ValueKind::Money,
        "date" => ValueKind::Date,
        "time" => ValueKind::Time,
        "timetz" => ValueKind::ZonedTime,
        "timestamp" => ValueKind::Timestamp,
        "timestamptz" => ValueKind::Instant,
        "interval" => ValueKind::Interval,
        "bytea" => ValueKind::Bytes,
        "bit" | "varbit" => ValueKind::Bits,
        "point" => ValueKind::Point,
        "json" | "jsonb" => ValueKind::Json,
        "uuid" => ValueKind::Uuid,
        "xml" => ValueKind::Xml,
        "tsvector" => ValueKind::Lexemes,
        _ => ValueKind::Text,
    }
}

/// One value from its text.
pub(super) fn value(form: ValueForm, text: &[u8]) -> Value<'_> {
    match form.array_delimiter {
        None => plain_value(form.kind, text),
        Some(delimiter) => ArrayText::parse(text, form.kind, delimiter, plain_value)
            .map_or(Value::Text(text), Value::Array),
    }
}

fn plain_value(kind: ValueKind, text: &[u8]) -> Value<'_> {
    let known = match kind {
        ValueKind::Bool => bool_value(text),
        ValueKind::Int16 | ValueKind::Int32 | ValueKind::Int64 => {
            is_integer(text).then_some(Value::Number(text))
        }
        ValueKind::Float32 | ValueKind::Float64 => {
            is_json_number(text).then_some(Value::Number(text))
        }
        ValueKind::Decimal => is_decimal(text).then_some(Value::Decimal(text)),
        ValueKind::Date => is_date(text).then_some(Value::Date(text)),
        ValueKind::Time => is_time(text).then_some(Value::Time(text)),
        ValueKind::Timestamp => is_timestamp(text).then_some(Value::Timestamp(text)),
        ValueKind::Instant => instant_value(text),
        ValueKind::Bytes => hex_value(text),
        ValueKind::Json => Some(Value::Json(text)),
        ValueKind::Pairs => PairsText::parse(text).map(Value::Pairs),
        ValueKind::Money
        | ValueKind::ZonedTime
        | ValueKind::Interval
        | ValueKind::Bits
        | ValueKind::Point
        | ValueKind::Uuid
        | ValueKind::Xml
        | ValueKind::LabelPath
        | ValueKind::Lexemes
        | ValueKind::Enum
        | ValueKind::Text => None,
    };
    known.unwrap_or(Value::Text(text))
}

fn bool_value(text: &[u8]) -> Option<Value<'_>> {
    match text {
        b"t" => Some(Value::Bool(true)),
        b"f" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Digits without leading zeros, perhaps with a minus sign: at most 19 of them fit any integer type.
fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits == b"0" || (digits.first().is_some_and(|d| *d != b'0') && is_digits(digits))
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// `-?int(.digits)?(e[+-]digits)?`, RFC 8259 section 6: `1e-05` and `-0` are numbers, `NaN` is not.
fn is_json_number(text: &[u8]) -> bool {
    let (mantissa, exponent) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (text.get(..at), text.get(at + 1..)),
        None => (Some(text), None),
    };
    let exponent_is_good = exponent.is_none_or(|exponent| {
        is_digits(
            exponent
                .strip_prefix(b"+")
                .or(exponent.strip_prefix(b"-"))
                .unwrap_or(exponent),
        )
    });
    exponent_is_good && mantissa.is_some_and(is_decimal)
}

/// `-?int(.digits)?`.
fn is_decimal(text: &[u8]) -> bool {
    match text.iter().position(|byte| *byte == b'.') {
        None => is_integer(text),
        Some(at) => {
            text.get(..at).is_some_and(is_integer) && text.get(at + 1..).is_some_and(is_digits)
        }
    }
}

/// Whether `text` has the digits and the separators of `form`, in which `0` stands for a digit.
fn has_form(text: &[u8], form: &[u8]) -> bool {
    let fits = |(byte, wanted): (&u8, &u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        separator => byte == separator,
    };
    text.len() == form.len() && text.iter().zip(form).all(fits)
}

fn is_date(text: &[u8]) -> bool {
    has_form(text, b"0000-00-00")
}

fn is_time(text: &[u8]) -> bool {
    let Some((seconds, fraction)) = text.split_at_checked(8) else {
        return false;
    };
    has_form(seconds, b"00:00:00")
        && (fraction.is_empty() || fraction.strip_prefix(b".").is_some_and(is_digits))
}

fn is_timestamp(text: &[u8]) -> bool {
    let Some((date, time)) = text.split_at_checked(11) else {
        return false;
    };
    has_form(date, b"0000-00-00 ") && is_time(time)
}

/// With TimeZone UTC the offset is `+00`; another one is not converted but shown as it came.
fn instant_value(text: &[u8]) -> Option<Value<'_>> {
    let utc = text.strip_suffix(b"+00")?;
    is_timestamp(utc).then_some(Value::Instant(utc))
}

fn hex_value(text: &[u8]) -> Option<Value<'_>> {
    let digits = text.strip_prefix(b"\\x")?;
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then_some(Value::HexBytes(digits))
}
