//! PostgreSQL's text forms into [`Value`]s.
//!
//! The session pins the output settings (DateStyle ISO, TimeZone UTC, extra_float_digits 3, bytea_output
//! hex, client_encoding UTF8). Each form is checked before it is believed; a text that has another form than
//! its type's usual one (infinity, NaN, years BC or beyond 9999, another offset) is passed on as
//! [`Value::Text`]. Manual: "Data Types"; oids from `pg_type.dat`.

use crate::value::{Value, ValueKind};

#[cfg(test)]
mod tests;

/// The kind of a built-in type; [`ValueKind::Text`] for every other oid.
pub(super) fn kind_of_type(type_oid: u32) -> ValueKind {
    match type_oid {
        16 => ValueKind::Bool,
        20 | 21 | 23 | 26 => ValueKind::Integer,
        700 | 701 => ValueKind::Float,
        1700 => ValueKind::Decimal,
        1082 => ValueKind::Date,
        1083 => ValueKind::Time,
        1114 => ValueKind::Timestamp,
        1184 => ValueKind::Instant,
        17 => ValueKind::Bytes,
        114 | 3802 => ValueKind::Json,
        _ => ValueKind::Text,
    }
}

/// The kind of a built-in type by its name in `pg_catalog`, for domains, whose type message names the base
/// type.
pub(super) fn kind_of_name(name: &str) -> ValueKind {
    match name {
        "bool" => ValueKind::Bool,
        "int2" | "int4" | "int8" | "oid" => ValueKind::Integer,
        "float4" | "float8" => ValueKind::Float,
        "numeric" => ValueKind::Decimal,
        "date" => ValueKind::Date,
        "time" => ValueKind::Time,
        "timestamp" => ValueKind::Timestamp,
        "timestamptz" => ValueKind::Instant,
        "bytea" => ValueKind::Bytes,
        "json" | "jsonb" => ValueKind::Json,
        _ => ValueKind::Text,
    }
}

/// One value from its text.
pub(super) fn value(kind: ValueKind, text: &[u8]) -> Value<'_> {
    let known = match kind {
        ValueKind::Bool => bool_value(text),
        ValueKind::Integer => is_integer(text).then_some(Value::Number(text)),
        ValueKind::Float => is_json_number(text).then_some(Value::Number(text)),
        ValueKind::Decimal => is_decimal(text).then_some(Value::Decimal(text)),
        ValueKind::Date => is_date(text).then_some(Value::Date(text)),
        ValueKind::Time => is_time(text).then_some(Value::Time(text)),
        ValueKind::Timestamp => is_timestamp(text).then_some(Value::Timestamp(text)),
        ValueKind::Instant => instant_value(text),
        ValueKind::Bytes => hex_value(text),
        ValueKind::Json => Some(Value::Json(text)),
        ValueKind::Text => None,
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
