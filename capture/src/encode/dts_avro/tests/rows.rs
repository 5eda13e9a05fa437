//! Whole rows with a column of every type, byte for byte as another Avro encoder writes them
//! (`tests/python/dts_golden.py`, fastavro).

use super::*;
use crate::encode::dts_avro::mysql::ColumnType as T;
use crate::value::{ValueForm, ValueKind};

const GOLDEN: &str = include_str!("rows.hex");

/// `metaVersion` is a hash of ours; in the golden records this stands in its place.
const META_VERSION: &[u8] = b"\x16metaVersion\x08META";

fn golden(name: &str) -> &'static str {
    let mut lines = GOLDEN.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.expect("a line for each record")
}

/// The bytes in hexadecimal digits, without our own `metaVersion`.
fn comparable(bytes: &[u8]) -> String {
    let read = Decoded::of(bytes);
    let version = read.tag("metaVersion").unwrap();
    let mut entry = b"\x16metaVersion".to_vec();
    AvroWriter::new(&mut entry, usize::MAX).bytes(version.as_bytes());
    let at = bytes.windows(entry.len()).position(|part| part == entry);
    let at = at.unwrap();
    let whole = [&bytes[..at], META_VERSION, &bytes[at + entry.len()..]].concat();
    whole.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name, type, value, value of the old row.
const MYSQL: [(&str, T<'_>, Value<'_>, Value<'_>); 25] = [
    (
        "tiny",
        T::TinyInt,
        Value::Number(b"-128"),
        Value::Number(b"255"),
    ),
    (
        "small",
        T::SmallInt,
        Value::Number(b"-32768"),
        Value::Number(b"65535"),
    ),
    (
        "medium",
        T::MediumInt,
        Value::Number(b"-8388608"),
        Value::Number(b"16777215"),
    ),
    (
        "int",
        T::Int,
        Value::Number(b"-2147483648"),
        Value::Number(b"4294967295"),
    ),
    (
        "big",
        T::BigInt,
        Value::Number(b"-9223372036854775808"),
        Value::Number(b"18446744073709551615"),
    ),
    (
        "bit",
        T::Bit,
        Value::Number(b"0"),
        Value::Number(b"18446744073709551615"),
    ),
    (
        "dec",
        T::Decimal,
        Value::Decimal(b"1050.00"),
        Value::Decimal(b"-0.050"),
    ),
    (
        "float",
        T::Float,
        Value::Number(b"0.1"),
        Value::Number(b"-3.4028235e38"),
    ),
    (
        "double",
        T::Double,
        Value::Number(b"5e-324"),
        Value::Number(b"1.7976931348623157e308"),
    ),
    (
        "date",
        T::Date,
        Value::Date(b"9999-12-31"),
        Value::Text(b"0000-00-00"),
    ),
    (
        "time",
        T::Time,
        Value::Text(b"-838:59:59"),
        Value::Text(b"-00:00:01.5"),
    ),
    (
        "datetime",
        T::DateTime,
        Value::Timestamp(b"1000-01-01 00:00:00"),
        Value::Timestamp(b"2024-02-29 23:59:59.999999"),
    ),
    (
        "stamp",
        T::Timestamp,
        Value::Instant(b"1970-01-01 00:00:01"),
        Value::Instant(b"2038-01-19 03:14:07.999999"),
    ),
    (
        "year",
        T::Year,
        Value::Number(b"1901"),
        Value::Number(b"0000"),
    ),
    ("char", T::Char("latin1"), Value::Text(b"\x80"), Value::Null),
    (
        "varchar",
        T::VarChar("gbk"),
        Value::Text(b"\xca\xc0"),
        Value::Text(b""),
    ),
    (
        "utf8mb3",
        T::VarChar("utf8mb3"),
        Value::Text("世".as_bytes()),
        Value::Null,
    ),
    (
        "text",
        T::Text("utf8mb4"),
        Value::Text("größe".as_bytes()),
        UNCHANGED,
    ),
    (
        "binary",
        T::Binary,
        Value::HexBytes(b"00ff"),
        Value::HexBytes(b""),
    ),
    ("blob", T::Blob, Value::HexBytes(b"0001fe"), UNCHANGED),
    ("enum", T::Enum, Value::Text(b"red"), Value::Text(b"")),
    ("set", T::Set, Value::Text(b"a,b"), Value::Text(b"")),
    (
        "json",
        T::Json,
        Value::Json(b"{\"a\": [1, null]}"),
        Value::Json(b"{}"),
    ),
    (
        "point",
        T::Geometry,
        Value::HexBytes(b"0101000000000000000000f03f0000000000000040"),
        Value::Null,
    ),
    ("none", T::Int, Value::Null, Value::Null),
];

const UNCHANGED: Value<'_> = Value::Unchanged(ValueForm::of(ValueKind::Text));

#[test]
fn a_row_of_every_mysql_type_has_these_bytes() {
    let columns = MYSQL.map(|(name, column_type, _, _)| mysql::column(name, column_type, true));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let shape = TableShape {
        name: names(&["shop", "kinds"]),
        columns: columns.to_vec(),
        keys: vec![
            ("PRIMARY".to_owned(), names(&["tiny"])),
            ("by_two".to_owned(), names(&["small", "medium"])),
        ],
        logical: None,
    };
    let (new, old) = (MYSQL.map(|row| row.2), MYSQL.map(|row| row.3));
    let origin = Origin {
        thread_id: Some(12),
        server_id: Some(7),
        ..ORIGIN
    };
    for (name, operation, before, after) in [
        ("mysql insert", Operation::Create, None, Some(&new)),
        ("mysql update", Operation::Update, Some(&old), Some(&new)),
        ("mysql delete", Operation::Delete, Some(&old), None),
    ] {
        let mut encoder = DtsAvro::new(Family::MySql, "8.0.28", 1_700_382, usize::MAX);
        encoder.prepare(TABLE, &shape);
        let change = RowChange {
            operation,
            before: before.map(|row| TestRow(row)),
            after: after.map(|row| TestRow(row)),
            key: TestRow(&[]),
            old_key: None,
        };
        let bytes = encode(&mut encoder, &change, &origin);
        assert_eq!(comparable(&bytes), golden(name), "{name}");
    }
}

/// Name, oid, value.
const POSTGRESQL: [(&str, u32, Value<'_>); 41] = [
    ("int2", 21, Value::Number(b"-32768")),
    ("int4", 23, Value::Number(b"2147483647")),
    ("int8", 20, Value::Number(b"-9223372036854775808")),
    ("bpchar", 1042, Value::Text(b"ab ")),
    ("char", 18, Value::Text(b"x")),
    ("varchar", 1043, Value::Text("größe".as_bytes())),
    ("text", 25, Value::Text(b"")),
    ("numeric", 1700, Value::Decimal(b"348.00")),
    ("nan", 1700, Value::Text(b"NaN")),
    ("float4", 700, Value::Number(b"0.1")),
    ("float8", 701, Value::Text(b"Infinity")),
    ("date", 1082, Value::Date(b"2024-02-29")),
    ("time", 1083, Value::Time(b"04:05:06.5")),
    (
        "timestamp",
        1114,
        Value::Timestamp(b"2024-02-29 12:34:56.789012"),
    ),
    ("timetz", 1266, Value::Text(b"04:05:06+05:30")),
    ("timestamptz", 1184, Value::Instant(b"2024-02-29 12:34:56")),
    ("bytea", 17, Value::HexBytes(b"00ff")),
    ("jsonb", 3802, Value::Json(b"{\"a\": 1}")),
    ("bool", 16, Value::Bool(true)),
    ("json", 114, Value::Json(b"[1]")),
    ("xml", 142, Value::Text(b"<a/>")),
    (
        "uuid",
        2950,
        Value::Text(b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ),
    ("money", 790, Value::Text(b"$1.00")),
    ("inet", 869, Value::Text(b"::1")),
    ("cidr", 650, Value::Text(b"10.0.0.0/8")),
    ("macaddr", 829, Value::Text(b"08:00:2b:01:02:03")),
    ("interval", 1186, Value::Text(b"1 mon")),
    ("point", 600, Value::Text(b"(1,2)")),
    ("line", 628, Value::Text(b"{1,2,3}")),
    ("lseg", 601, Value::Text(b"[(0,0),(1,1)]")),
    ("box", 603, Value::Text(b"(1,1),(0,0)")),
    ("path", 602, Value::Text(b"((0,0),(1,1))")),
    ("polygon", 604, Value::Text(b"((0,0),(1,1))")),
    ("circle", 718, Value::Text(b"<(0,0),1>")),
    ("tsvector", 3614, Value::Text(b"'a':1")),
    ("tsquery", 3615, Value::Text(b"'a'")),
    ("pg_lsn", 3220, Value::Text(b"16/B374D848")),
    ("txid_snapshot", 2970, Value::Text(b"10:20:")),
    ("bit", 1560, Value::Text(b"101")),
    ("bits", 1561, Value::Text(b"{101}")),
    ("other", 26, Value::Number(b"7")),
];

#[test]
fn a_row_of_every_postgresql_type_has_these_bytes() {
    let column = |(name, type_oid, _): (&str, u32, Value<'_>)| crate::table::Column {
        name: name.to_owned(),
        type_oid,
        type_name: String::new(),
        type_modifier: -1,
        value_type: crate::value::ColumnType::default(),
        excluded: false,
        identity: true,
        key_position: (name == "int2").then_some(0),
    };
    let table = crate::table::Table {
        key: TABLE,
        relation: 1,
        schema: "public".to_owned(),
        name: "kinds".to_owned(),
        replica_identity: crate::table::ReplicaIdentity::Full,
        columns: POSTGRESQL.into_iter().map(column).collect(),
        unique_keys: Vec::new(),
    };
    let mut shape = postgres::shape("shop", &table);
    let by_two = ["int4", "int8"].map(str::to_owned).to_vec();
    shape.keys.push(("by_two".to_owned(), by_two));
    let mut encoder = DtsAvro::new(Family::PostgreSql, "15.18", 1_700_382, usize::MAX);
    encoder.prepare(TABLE, &shape);
    let origin = Origin {
        position: Position::Lsn(0x16_B374_D848),
        safe_position: Position::Lsn(0x16_0000_0000),
        transaction: 733,
        ..ORIGIN
    };
    let row = POSTGRESQL.map(|column| column.2);
    let bytes = encode(&mut encoder, &insert(&row), &origin);
    assert_eq!(comparable(&bytes), golden("postgresql insert"));
}
