//! Types of MySQL, MariaDB, PolarDB for MySQL and PolarDB-X.
//!
//! `dataTypeNumber` is DTS's code, and a client picks a class by it and casts, so number and branch are a pair. Of
//! the codes that exist twice the older is sent (7, 11, 12, not 17, 18, 19): the Java demo has no adapter for the
//! newer.

use super::image::{ObjectType, Rendering};
use super::shape::ColumnShape;

/// A column's type, as far as DTS tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType<'a> {
    /// TINYINT, BOOL.
    TinyInt,
    /// SMALLINT.
    SmallInt,
    /// MEDIUMINT.
    MediumInt,
    /// INT.
    Int,
    /// BIGINT.
    BigInt,
    /// BIT: its value as an unsigned number.
    Bit,
    /// DECIMAL.
    Decimal,
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// DATETIME.
    DateTime,
    /// TIMESTAMP.
    Timestamp,
    /// YEAR.
    Year,
    /// CHAR in a charset, by MySQL's name of it.
    Char(&'a str),
    /// VARCHAR.
    VarChar(&'a str),
    /// TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT.
    Text(&'a str),
    /// BINARY, VARBINARY.
    Binary,
    /// TINYBLOB, BLOB, MEDIUMBLOB, LONGBLOB.
    Blob,
    /// ENUM: the label.
    Enum,
    /// SET: labels with commas between them.
    Set,
    /// JSON, as text.
    Json,
    /// The spatial types: WKB without the SRID in front.
    Geometry,
}

/// A column in DTS's terms; `identity`: it stands in every old row.
pub fn column(name: &str, column_type: ColumnType<'_>, identity: bool) -> ColumnShape {
    let (number, rendering) = pair(column_type);
    ColumnShape {
        name: name.to_owned(),
        number,
        rendering,
        identity,
        is_excluded: false,
    }
}

fn pair(column_type: ColumnType<'_>) -> (i32, Rendering) {
    let character = |name| Rendering::Character {
        charset: charset(name),
    };
    match column_type {
        ColumnType::TinyInt => (1, Rendering::Integer { bytes: 1 }),
        ColumnType::SmallInt => (2, Rendering::Integer { bytes: 2 }),
        ColumnType::MediumInt => (9, Rendering::Integer { bytes: 3 }),
        ColumnType::Int => (3, Rendering::Integer { bytes: 4 }),
        ColumnType::BigInt => (8, Rendering::Integer { bytes: 8 }),
        ColumnType::Bit => (16, Rendering::Integer { bytes: 8 }),
        ColumnType::Decimal => (246, Rendering::Decimal),
        ColumnType::Float => (4, Rendering::Float),
        ColumnType::Double => (5, Rendering::Float),
        ColumnType::Date => (10, Rendering::Date),
        ColumnType::Time => (11, Rendering::Time),
        ColumnType::DateTime => (12, Rendering::DateTime),
        ColumnType::Timestamp => (7, Rendering::Timestamp),
        ColumnType::Year => (13, Rendering::Year),
        ColumnType::Char(name) => (254, character(name)),
        ColumnType::VarChar(name) => (253, character(name)),
        ColumnType::Text(name) => (15, character(name)),
        ColumnType::Binary => (252, Rendering::Binary(ObjectType::Binary)),
        ColumnType::Blob => (252, Rendering::Binary(ObjectType::Blob)),
        ColumnType::Enum => (247, Rendering::Text(ObjectType::Enum)),
        ColumnType::Set => (248, Rendering::Text(ObjectType::Set)),
        ColumnType::Json => (245, Rendering::Text(ObjectType::Json)),
        ColumnType::Geometry => (255, Rendering::Geometry),
    }
}

/// The name of a charset as clients know it; `binary` for one that this table does not have, which every client
/// reads without an error.
fn charset(mysql_name: &str) -> &'static str {
    // An unknown name ends the Java demo; utf8mb3 is one to all clients of before 2024.
    const NAMES: [&str; 40] = [
        "armscii8", "ascii", "big5", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850",
        "cp852", "cp866", "cp932", "dec8", "eucjpms", "euckr", "gb18030", "gb2312", "gbk",
        "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2",
        "latin5", "latin7", "macce", "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16",
        "utf32", "utf8", "utf8mb4",
    ];
    match mysql_name {
        "utf8mb3" => "utf8",
        _ => NAMES
            .into_iter()
            .find(|name| *name == mysql_name)
            .unwrap_or("binary"),
    }
}
