//! How the preset `flink` writes a value: what Flink's `debezium-json` takes for the SQL type that the
//! PostgreSQL type is declared as.
//!
//! | value | JSON | Flink type |
//! |---|---|---|
//! | truth value | `true` | BOOLEAN |
//! | whole number, float | `12`, `1.5e+20` | SMALLINT, INT, BIGINT, FLOAT, DOUBLE |
//! | decimal | `"12.50"` | DECIMAL(p, s) |
//! | date | `"2024-02-29"` | DATE |
//! | time | `"12:34:56.789012"` | TIME(p) |
//! | timestamp | `"2024-02-29 12:34:56.789012"` | TIMESTAMP(p) |
//! | instant | `"2024-02-29 12:34:56.789012Z"` | TIMESTAMP_LTZ(p) |
//! | bytes | base64 | BYTES |
//! | JSON, all else | the server's text | STRING |
//!
//! The time forms are those of the format's default, `timestamp-format.standard = 'SQL'`. A value outside
//! them (infinity, NaN, years BC) is a string with the server's text: a job that meets one says so, where
//! null or a far date would be a wrong value.

use crate::encode::json::{JsonBuffer, TooLarge};
use crate::value::{Value, ValueKind};

/// Debezium's placeholder for a value that was not sent.
const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";

/// The same where bytes are expected: base64 of it.
const UNAVAILABLE_BYTES: &[u8] = b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";

/// Appends one value.
pub(super) fn put(out: &mut JsonBuffer, value: Value<'_>) -> Result<(), TooLarge> {
    match value {
        Value::Null => out.raw(b"null"),
        Value::Unchanged(ValueKind::Bytes) => out.plain_string(UNAVAILABLE_BYTES, b""),
        Value::Unchanged(_) => out.plain_string(UNAVAILABLE, b""),
        Value::Bool(true) => out.raw(b"true"),
        Value::Bool(false) => out.raw(b"false"),
        Value::Number(digits) => out.raw(digits),
        Value::Decimal(text) | Value::Date(text) | Value::Time(text) | Value::Timestamp(text) => {
            out.plain_string(text, b"");
        }
        Value::Instant(text) => out.plain_string(text, b"Z"),
        Value::HexBytes(digits) => out.base64_of_hex(digits)?,
        Value::Json(text) | Value::Text(text) => out.string(text)?,
    }
    Ok(())
}
