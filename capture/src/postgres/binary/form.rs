//! Which binary form a column's values have, by the type behind all domains.

use crate::table::Column;
use crate::value::ValueKind;

/// How a column's binary values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BinaryForm {
    /// The value, or an array's element.
    pub(super) scalar: Scalar,
    /// What stands between the elements of an array's text.
    pub(super) array_delimiter: Option<u8>,
}

/// One value that is no array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Unknown,
    /// Of a column that is shown nowhere.
    Hidden,
    Text,
    Xml,
    Versioned,
    Bytes,
    Bool,
    Integer {
        bytes: u8,
    },
    Unsigned {
        bytes: u8,
    },
    Float4,
    Float8,
    Numeric,
    Money,
    Date,
    Time,
    ZonedTime,
    Timestamp,
    Instant,
    Interval,
    Uuid,
    Bits,
    Inet,
    Mac {
        bytes: u8,
    },
    Lsn,
    RowId,
    Snapshot,
    Lexemes,
    Pairs,
    SingleChar,
    Shape(Shape),
    Range(Subtype),
    Multirange(Subtype),
    Vector {
        bytes: u8,
    },
}

/// Geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Point,
    Line,
    Segment,
    Path,
    Box,
    Polygon,
    Circle,
}

/// What a built-in range is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subtype {
    Int4,
    Int8,
    Numeric,
    Timestamp,
    Instant,
    Date,
}

impl Subtype {
    pub(super) fn scalar(self) -> &'static Scalar {
        match self {
            Self::Int4 => &Scalar::Integer { bytes: 4 },
            Self::Int8 => &Scalar::Integer { bytes: 8 },
            Self::Numeric => &Scalar::Numeric,
            Self::Timestamp => &Scalar::Timestamp,
            Self::Instant => &Scalar::Instant,
            Self::Date => &Scalar::Date,
        }
    }
}

impl BinaryForm {
    /// Of a column's values.
    pub(crate) fn of(column: &Column) -> Self {
        let value_type = &column.value_type;
        let is_hidden = column.excluded && column.key_position.is_none() && !column.identity;
        let scalar = match (value_type.form.kind, value_type.base_oid) {
            _ if is_hidden => Scalar::Hidden,
            (ValueKind::Enum, _) => Scalar::Text,
            (ValueKind::Pairs, _) => Scalar::Pairs,
            (ValueKind::LabelPath, _) => Scalar::Versioned,
            (_, oid) if oid > 0 => scalar_of(oid),
            _ if is_named(column, "citext") => Scalar::Text,
            _ => Scalar::Unknown,
        };
        Self {
            scalar,
            array_delimiter: value_type.form.array_delimiter,
        }
    }
}

/// Types of extensions are found by name, in whatever schema they are.
fn is_named(column: &Column, name: &str) -> bool {
    let own = column.type_name.rsplit('.').next().unwrap_or_default();
    own.strip_suffix("[]").unwrap_or(own) == name
}

/// By oid, from `pg_type.dat`.
fn scalar_of(type_oid: u32) -> Scalar {
    match type_oid {
        16 => Scalar::Bool,
        21 => Scalar::Integer { bytes: 2 },
        23 => Scalar::Integer { bytes: 4 },
        20 => Scalar::Integer { bytes: 8 },
        // oid, xid
        26 | 28 => Scalar::Unsigned { bytes: 4 },
        5069 => Scalar::Unsigned { bytes: 8 },
        700 => Scalar::Float4,
        701 => Scalar::Float8,
        1700 => Scalar::Numeric,
        790 => Scalar::Money,
        1082 => Scalar::Date,
        1083 => Scalar::Time,
        1266 => Scalar::ZonedTime,
        1114 => Scalar::Timestamp,
        1184 => Scalar::Instant,
        1186 => Scalar::Interval,
        17 => Scalar::Bytes,
        // text, varchar, char(n), name, json
        25 | 1043 | 1042 | 19 | 114 => Scalar::Text,
        142 => Scalar::Xml,
        // jsonb, jsonpath
        3802 | 4072 => Scalar::Versioned,
        2950 => Scalar::Uuid,
        1560 | 1562 => Scalar::Bits,
        650 | 869 => Scalar::Inet,
        829 => Scalar::Mac { bytes: 6 },
        774 => Scalar::Mac { bytes: 8 },
        3220 => Scalar::Lsn,
        27 => Scalar::RowId,
        5038 | 2970 => Scalar::Snapshot,
        3614 => Scalar::Lexemes,
        18 => Scalar::SingleChar,
        600 => Scalar::Shape(Shape::Point),
        628 => Scalar::Shape(Shape::Line),
        601 => Scalar::Shape(Shape::Segment),
        602 => Scalar::Shape(Shape::Path),
        603 => Scalar::Shape(Shape::Box),
        604 => Scalar::Shape(Shape::Polygon),
        718 => Scalar::Shape(Shape::Circle),
        22 => Scalar::Vector { bytes: 2 },
        30 => Scalar::Vector { bytes: 4 },
        _ => range_of(type_oid),
    }
}

fn range_of(type_oid: u32) -> Scalar {
    let subtype = match type_oid {
        3904 | 4451 => Subtype::Int4,
        3926 | 4536 => Subtype::Int8,
        3906 | 4532 => Subtype::Numeric,
        3908 | 4533 => Subtype::Timestamp,
        3910 | 4534 => Subtype::Instant,
        3912 | 4535 => Subtype::Date,
        _ => return Scalar::Unknown,
    };
    if type_oid < 4000 {
        Scalar::Range(subtype)
    } else {
        Scalar::Multirange(subtype)
    }
}
