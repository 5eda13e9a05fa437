//! Every type of both families: which number and branch, and what stands in it.

use super::mysql::ColumnType as T;
use super::*;
use crate::value::{ColumnType, ValueForm, ValueKind};

/// The item of an INSERT of one column.
fn item_of(column: ColumnShape, value: Value<'_>) -> (i32, u32, Avro) {
    let mut encoder = mysql_encoder(vec![column]);
    let read = Decoded::of(&encode(&mut encoder, &insert(&[value]), &ORIGIN));
    let Avro::Record(field) = &read.array("fields")[0] else {
        panic!("a field is a record");
    };
    let Avro::Int(number) = field[1].1 else {
        panic!("a type is a number");
    };
    let (branch, item) = read.item("afterImages", 0);
    (number, branch, item.clone())
}

/// The contents of an item, as `a,b,c`; bytes as text, null parts as nothing.
fn shown(item: &Avro) -> String {
    match item {
        Avro::Record(fields) => {
            let fields: Vec<String> = fields.iter().map(|(_, value)| shown(value)).collect();
            fields.join(",")
        }
        Avro::Union(_, value) => shown(value),
        Avro::Null => String::new(),
        Avro::Int(number) => number.to_string(),
        Avro::Long(number) => number.to_string(),
        Avro::Double(number) => number.to_string(),
        Avro::String(text) | Avro::Enum(_, text) => text.clone(),
        Avro::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("not of an item: {other:?}"),
    }
}

/// Type and value; number and branch, and what stands in it.
const MYSQL: [(T<'_>, Value<'_>, i32, u32, &str); 32] = [
    (T::TinyInt, Value::Number(b"-128"), 1, 1, "1,-128"),
    (T::SmallInt, Value::Number(b"65535"), 2, 1, "2,65535"),
    (T::MediumInt, Value::Number(b"-8388608"), 9, 1, "3,-8388608"),
    (T::Int, Value::Number(b"4294967295"), 3, 1, "4,4294967295"),
    (
        T::BigInt,
        Value::Number(b"18446744073709551615"),
        8,
        1,
        "8,18446744073709551615",
    ),
    (
        T::Bit,
        Value::Number(b"18446744073709551615"),
        16,
        1,
        "8,18446744073709551615",
    ),
    (T::Decimal, Value::Decimal(b"348.00"), 246, 3, "348.00,5,2"),
    (T::Decimal, Value::Decimal(b"-0.050"), 246, 3, "-0.050,2,3"),
    (T::Float, Value::Number(b"0.1"), 4, 4, "0.1,0,0"),
    (
        T::Double,
        Value::Text(b"-1.7976931348623157e+308"),
        5,
        4,
        "compared as a number",
    ),
    (T::Date, Value::Date(b"2024-02-29"), 10, 6, "2024,2,29,,,,"),
    (T::Date, Value::Text(b"0000-00-00"), 10, 6, "0,0,0,,,,"),
    (
        T::Time,
        Value::Text(b"-838:59:59"),
        11,
        6,
        ",,,-838,-59,-59,0",
    ),
    (
        T::Time,
        Value::Time(b"04:05:06.5"),
        11,
        6,
        ",,,4,5,6,500000",
    ),
    (
        T::DateTime,
        Value::Timestamp(b"2024-02-29 12:34:56"),
        12,
        6,
        "2024,2,29,12,34,56,0",
    ),
    (
        T::DateTime,
        Value::Timestamp(b"2024-02-29 12:34:56.789012"),
        12,
        6,
        "2024,2,29,12,34,56,789012",
    ),
    (
        T::Timestamp,
        Value::Instant(b"2024-02-29 12:34:56.000001"),
        7,
        5,
        "1709210096,1",
    ),
    (
        T::Timestamp,
        Value::Text(b"0000-00-00 00:00:00"),
        7,
        5,
        "0,0",
    ),
    (T::Year, Value::Number(b"2024"), 13, 6, "2024,,,,,,"),
    (T::Char("latin1"), Value::Text(b"a"), 254, 2, "latin1,a"),
    (T::VarChar("gbk"), Value::Text(b"a"), 253, 2, "gbk,a"),
    (T::VarChar("utf8mb3"), Value::Text(b"a"), 253, 2, "utf8,a"),
    (T::VarChar("klingon"), Value::Text(b"a"), 253, 2, "binary,a"),
    (
        T::Text("utf8mb4"),
        Value::Text("世".as_bytes()),
        15,
        2,
        "utf8mb4,世",
    ),
    (T::Binary, Value::HexBytes(b"6869"), 252, 10, "BINARY,hi"),
    (T::Blob, Value::HexBytes(b"6869"), 252, 10, "BLOB,hi"),
    (T::Enum, Value::Text(b"red"), 247, 11, "ENUM,red"),
    (T::Set, Value::Text(b"a,b"), 248, 11, "SET,a,b"),
    (
        T::Json,
        Value::Json(b"{\"a\":1}"),
        245,
        11,
        "JSON,{\"a\":1}",
    ),
    (
        T::Geometry,
        Value::HexBytes(b"0101"),
        255,
        8,
        "WKB,\u{1}\u{1}",
    ),
    (T::Int, Value::Null, 3, 0, ""),
    (
        T::Blob,
        Value::Unchanged(ValueForm::of(ValueKind::Bytes)),
        252,
        12,
        "NONE",
    ),
];

#[test]
fn every_type_of_the_mysql_family_has_its_pair() {
    for (column_type, value, number, branch, contents) in MYSQL {
        let column = mysql::column("a", column_type, true);
        let (found_number, found_branch, item) = item_of(column, value);
        let found = (found_number, found_branch, shown(&item));
        if column_type == T::Double {
            assert_eq!((found.0, found.1), (number, branch));
            let Avro::Record(fields) = item else {
                panic!("a Float is a record");
            };
            assert_eq!(fields[0].1, Avro::Double(f64::MIN));
            continue;
        }
        assert_eq!(
            found,
            (number, branch, contents.to_owned()),
            "{column_type:?} {value:?}"
        );
    }
}

/// Oid and value; branch, and what stands in it.
const POSTGRESQL: [(u32, Value<'_>, u32, &str); 30] = [
    (21, Value::Number(b"-32768"), 1, "2,-32768"),
    (23, Value::Number(b"0"), 1, "4,0"),
    (
        20,
        Value::Number(b"-9223372036854775808"),
        1,
        "8,-9223372036854775808",
    ),
    (1042, Value::Text(b"ab "), 2, "UTF-8,ab "),
    (25, Value::Text("größe".as_bytes()), 2, "UTF-8,größe"),
    (1700, Value::Decimal(b"1.00"), 3, "1.00,3,2"),
    (1700, Value::Decimal(b"0"), 3, "0,1,0"),
    (1700, Value::Text(b"NaN"), 11, "XTYPE,NaN"),
    (701, Value::Number(b"1e-05"), 4, "0.00001,0,0"),
    (700, Value::Text(b"NaN"), 4, "NaN,0,0"),
    (701, Value::Text(b"-Infinity"), 4, "-inf,0,0"),
    (1082, Value::Date(b"2024-02-29"), 6, "2024,2,29,,,,"),
    (1082, Value::Text(b"infinity"), 11, "XTYPE,infinity"),
    (
        1082,
        Value::Text(b"0044-03-15 BC"),
        11,
        "XTYPE,0044-03-15 BC",
    ),
    (1083, Value::Time(b"24:00:00"), 6, ",,,24,0,0,0"),
    (
        1114,
        Value::Timestamp(b"2024-02-29 12:34:56.7"),
        6,
        "2024,2,29,12,34,56,700000",
    ),
    (
        1184,
        Value::Instant(b"2024-02-29 12:34:56"),
        7,
        "2024,2,29,12,34,56,0,+00:00",
    ),
    (
        1266,
        Value::Text(b"12:34:56.5+05:30"),
        7,
        ",,,12,34,56,500000,+05:30",
    ),
    (17, Value::HexBytes(b"00ff"), 10, "BYTEA,\0\u{fffd}"),
    (3802, Value::Json(b"{\"a\": 1}"), 10, "JSON,{\"a\": 1}"),
    (16, Value::Bool(true), 11, "BOOL,true"),
    (16, Value::Bool(false), 11, "BOOL,false"),
    (114, Value::Json(b"[1]"), 11, "JSON,[1]"),
    (
        2950,
        Value::Text(b"a0eebc99-9c0b"),
        11,
        "XTYPE,a0eebc99-9c0b",
    ),
    (142, Value::Text(b"<a/>"), 11, "XML,<a/>"),
    (790, Value::Text(b"$1.00"), 11, "XTYPE,$1.00"),
    (600, Value::Text(b"(1,2)"), 11, "XTYPE,(1,2)"),
    (26, Value::Number(b"4294967295"), 11, "XTYPE,4294967295"),
    (1007, Value::Text(b"{1,2}"), 11, "XTYPE,{1,2}"),
    (99_999, Value::Text(b"caf\xe9"), 11, "XTYPE,caf\u{fffd}"),
];

#[test]
fn every_type_of_postgresql_has_its_branch() {
    for (oid, value, branch, contents) in POSTGRESQL {
        let table = table_of(column_of(oid));
        let shape = postgres::shape("shop", &table);
        assert_eq!(shape.name, ["shop", "public", "t"]);
        assert_eq!(shape.keys, [("PRIMARY".to_owned(), vec!["a".to_owned()])]);
        let number = i32::try_from(oid).unwrap();
        let found = item_of(shape.columns[0].clone(), value);
        let found = (found.0, found.1, shown(&found.2));
        assert_eq!(
            found,
            (number, branch, contents.to_owned()),
            "{oid} {value:?}"
        );
    }
}

/// The names that the SDK 1.4 knows; it ends at any other.
#[test]
fn object_types_are_those_that_every_client_knows() {
    const KNOWN: &str = "BINARY BOOL BLOB XML JSON TEXT BFILE RAW LONG_RAW ROWID UROWID ENUM SET BYTEA GEOMETRY XTYPE";
    let column = |oid| {
        postgres::shape("shop", &table_of(column_of(oid)))
            .columns
            .remove(0)
    };
    let mut columns: Vec<ColumnShape> = Vec::new();
    for oid in 1..5_000 {
        let column = column(oid);
        if columns
            .iter()
            .all(|seen| seen.rendering != column.rendering)
        {
            columns.push(column);
        }
    }
    let name = |column: ColumnShape| {
        let value = match column.rendering {
            Rendering::Binary(_) => Value::HexBytes(b"00"),
            _ => Value::Text(b"x"),
        };
        let (_, branch, item) = item_of(column, value);
        matches!(branch, 10 | 11).then(|| match &item {
            Avro::Record(fields) => shown(&fields[0].1),
            other => panic!("{other:?}"),
        })
    };
    let names: std::collections::BTreeSet<String> = columns.into_iter().filter_map(name).collect();
    assert!(names.len() >= 5, "{names:?}");
    let is_known = |name: &String| KNOWN.split(' ').any(|known| known == name);
    assert!(names.iter().all(is_known), "{names:?}");
}

fn column_of(type_oid: u32) -> crate::table::Column {
    crate::table::Column {
        name: "a".to_owned(),
        type_oid,
        type_name: String::new(),
        type_modifier: -1,
        value_type: ColumnType::default(),
        excluded: false,
        identity: true,
        key_position: Some(0),
    }
}

fn table_of(column: crate::table::Column) -> crate::table::Table {
    crate::table::Table {
        key: TABLE,
        relation: 1,
        schema: "public".to_owned(),
        name: "t".to_owned(),
        replica_identity: crate::table::ReplicaIdentity::Full,
        columns: vec![column],
        unique_keys: Vec::new(),
    }
}

#[test]
fn a_domain_is_rendered_as_its_base_type_and_an_array_as_text() {
    let column = |form| crate::table::Column {
        name: "a".to_owned(),
        type_oid: 99_999,
        type_name: "amount".to_owned(),
        type_modifier: -1,
        value_type: ColumnType::of(form),
        excluded: false,
        identity: true,
        key_position: None,
    };
    let array = ValueForm {
        kind: ValueKind::Decimal,
        array_delimiter: Some(b','),
    };
    for (form, rendering) in [
        (ValueForm::of(ValueKind::Decimal), Some(Rendering::Decimal)),
        (
            ValueForm::of(ValueKind::Int32),
            Some(Rendering::Integer { bytes: 4 }),
        ),
        (ValueForm::of(ValueKind::Text), None),
        (ValueForm::of(ValueKind::Enum), None),
        (array, None),
    ] {
        assert_eq!(postgres::rendering(&column(form)), rendering, "{form:?}");
    }
}

#[test]
fn an_excluded_column_stands_nowhere() {
    let columns = || {
        let mut columns = vec![
            mysql::column("secret", T::Int, true),
            mysql::column("a", T::Int, true),
            mysql::column("b", T::Json, false),
        ];
        columns[0].is_excluded = true;
        columns
    };
    let row = [Value::Number(b"42"), Value::Number(b"7"), Value::Null];
    let delete = change(Operation::Delete, None, None, &row, None);
    let update = change(Operation::Update, Some(&row), Some(&row), &row, None);
    for change in [insert(&row), delete, update] {
        let bytes = encode(&mut mysql_encoder(columns()), &change, &ORIGIN);
        let read = Decoded::of(&bytes);
        assert_eq!(read.array("fields").len(), 2);
        for image in ["beforeImages", "afterImages"] {
            if *read.field(image) != Avro::Null {
                assert_eq!(read.array(image).len(), 2, "{image}");
                assert_eq!(shown(read.item(image, 0).1), "4,7", "{image}");
            }
        }
    }
}

/// Of the types that DTS cannot express each value is counted; not of those for which `XTYPE` is DTS's own form.
#[test]
fn values_of_a_type_without_a_form_are_counted() {
    let counted = |type_oid| {
        let table = table_of(column_of(type_oid));
        let mut encoder = mysql_encoder(postgres::shape("shop", &table).columns);
        for value in [Value::Text(b"{1}"), Value::Null, Value::Text(b"{2}")] {
            encode(&mut encoder, &insert(&[value]), &ORIGIN);
        }
        encoder.as_text()
    };
    let types = [1007, 99_999, 26, 2950, 869, 600, 25].map(counted);
    assert_eq!(types, [2, 2, 2, 0, 0, 0, 0]);
}

#[test]
fn a_value_without_a_form_is_text_and_counted() {
    let columns = vec![
        mysql::column("a", mysql::ColumnType::Int, true),
        mysql::column("b", mysql::ColumnType::Json, false),
    ];
    let mut encoder = mysql_encoder(columns);
    let row = [Value::Text(b"x"), Value::Text(b"\xff")];
    encode(&mut encoder, &insert(&row), &ORIGIN);
    assert_eq!((encoder.as_text(), encoder.repaired()), (1, 1));
}

fn change<'a>(
    operation: Operation,
    before: Option<&'a [Value<'a>]>,
    after: Option<&'a [Value<'a>]>,
    key: &'a [Value<'a>],
    old_key: Option<&'a [Value<'a>]>,
) -> RowChange<TestRow<'a>> {
    RowChange {
        operation,
        before: before.map(TestRow),
        after: after.map(TestRow),
        key: TestRow(key),
        old_key: old_key.map(TestRow),
    }
}

fn branches(read: &Decoded, image: &str) -> Vec<u32> {
    let count = read.array(image).len();
    (0..count).map(|index| read.item(image, index).0).collect()
}

#[test]
fn an_update_has_both_rows_and_a_delete_the_old_one() {
    let columns = || {
        vec![
            mysql::column("a", mysql::ColumnType::Int, true),
            mysql::column("b", mysql::ColumnType::Json, false),
        ]
    };
    let (old, new) = (
        [Value::Number(b"1"), Value::Null],
        [Value::Number(b"2"), Value::Json(b"{}")],
    );
    let update = change(Operation::Update, Some(&old), Some(&new), &new, Some(&old));
    let read = Decoded::of(&encode(&mut mysql_encoder(columns()), &update, &ORIGIN));
    assert_eq!(read.text("operation"), "UPDATE");
    assert_eq!(branches(&read, "beforeImages"), [1, 0]);
    assert_eq!(branches(&read, "afterImages"), [1, 11]);
    let delete = change(Operation::Delete, Some(&old), None, &old, None);
    let read = Decoded::of(&encode(&mut mysql_encoder(columns()), &delete, &ORIGIN));
    assert_eq!(read.text("operation"), "DELETE");
    assert_eq!(branches(&read, "beforeImages"), [1, 0]);
    assert_eq!(read.field("afterImages"), &Avro::Null);
    let insert = insert(&new);
    let read = Decoded::of(&encode(&mut mysql_encoder(columns()), &insert, &ORIGIN));
    assert_eq!(read.field("beforeImages"), &Avro::Null);
}

#[test]
fn without_full_old_rows_the_rest_is_marked_as_absent() {
    let columns = || {
        vec![
            mysql::column("a", mysql::ColumnType::Int, true),
            mysql::column("b", mysql::ColumnType::Json, false),
        ]
    };
    // A key tuple has nulls where it has no values.
    let key = [Value::Number(b"1"), Value::Null];
    let new = [Value::Number(b"2"), Value::Json(b"{}")];
    let cases = [
        (change(Operation::Update, None, Some(&new), &new, None), "2"),
        (
            change(Operation::Update, None, Some(&new), &new, Some(&key)),
            "1",
        ),
        (change(Operation::Delete, None, None, &key, None), "1"),
    ];
    for (change, id) in cases {
        let read = Decoded::of(&encode(&mut mysql_encoder(columns()), &change, &ORIGIN));
        assert_eq!(
            branches(&read, "beforeImages"),
            [1, 12],
            "{:?}",
            change.operation
        );
        assert_eq!(shown(read.item("beforeImages", 0).1), format!("4,{id}"));
        assert_eq!(shown(read.item("beforeImages", 1).1), "NONE");
    }
}

#[test]
fn a_record_beyond_its_limit_is_refused_before_a_large_value_is_written() {
    let columns = vec![mysql::column("a", mysql::ColumnType::Blob, true)];
    let mut encoder = mysql_encoder(columns);
    encoder.record_bytes_max = 1_000;
    let digits = vec![b'a'; 4_000];
    let mut out = Vec::new();
    let change_row = [Value::HexBytes(&digits)];
    let refused = encoder.row(&mut out, TABLE, &insert(&change_row), &ORIGIN);
    assert!(refused.unwrap_err().bytes > 2_000);
    assert!(out.len() < 1_000);
    let fits = [Value::HexBytes(&digits[..1_000])];
    out.clear();
    encoder
        .row(&mut out, TABLE, &insert(&fits), &ORIGIN)
        .unwrap();
    assert_eq!(
        Decoded::of(&out).long("id"),
        1_700_382,
        "the refused one took no id"
    );
}
