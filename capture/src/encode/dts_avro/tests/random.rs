//! Whatever a source sends, an independent decoder reads the record, and the values that it was made of.

use proptest::prelude::*;

use super::*;
use crate::table::{Column, ReplicaIdentity, Table};
use crate::value::{ColumnType, ValueForm};

/// Oids of the table of types, and some that are not in it.
const OIDS: [u32; 24] = [
    16, 17, 18, 20, 21, 23, 25, 26, 114, 142, 600, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184,
    1266, 1700, 2950, 3802, 16_400,
];

#[derive(Debug, Clone)]
enum Given {
    Null,
    Unchanged,
    Number(String),
    Decimal(String),
    Text(Vec<u8>),
    Hex(String),
}

impl Given {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Unchanged => Value::Unchanged(ValueForm::default()),
            Self::Number(text) => Value::Number(text.as_bytes()),
            Self::Decimal(text) => Value::Decimal(text.as_bytes()),
            Self::Text(text) => Value::Text(text),
            Self::Hex(digits) => Value::HexBytes(digits.as_bytes()),
        }
    }
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![
        Just(Given::Null),
        Just(Given::Unchanged),
        any::<i64>().prop_map(|number| Given::Number(number.to_string())),
        (any::<i64>(), 0..20_usize).prop_map(|(whole, zeros)| Given::Decimal(format!(
            "{whole}.{}",
            "0".repeat(zeros + 1)
        ))),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(Given::Text),
        ".{0,20}".prop_map(|text| Given::Text(text.into_bytes())),
        "[0-9:. +-]{0,30}".prop_map(|text| Given::Text(text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| Given::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect())),
    ]
}

fn table(columns: &[(u32, String, bool)]) -> Table {
    let column = |(type_oid, name, identity): &(u32, String, bool)| Column {
        name: name.clone(),
        type_oid: *type_oid,
        type_name: String::new(),
        type_modifier: -1,
        value_type: ColumnType::default(),
        excluded: false,
        identity: *identity,
        key_position: None,
    };
    Table {
        key: TABLE,
        relation: 1,
        schema: "s.x".to_owned(),
        name: "t".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.iter().map(column).collect(),
        unique_keys: Vec::new(),
    }
}

fn column() -> impl Strategy<Value = (u32, String, bool)> {
    (
        prop::sample::select(OIDS.to_vec()),
        ".{0,12}",
        any::<bool>(),
    )
}

/// A column with an old and a new value.
fn cell() -> impl Strategy<Value = ((u32, String, bool), Given, Given)> {
    (column(), given(), given())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_reads_back(cells in prop::collection::vec(cell(), 0..12), kind in 0..4_u8, time in any::<u32>()) {
        let mut encoder = DtsAvro::new(Family::PostgreSql, "15.18", 3, usize::MAX);
        let columns: Vec<_> = cells.iter().map(|(column, _, _)| column.clone()).collect();
        encoder.prepare(TABLE, &postgres::shape("shop", &table(&columns)));
        let old: Vec<Value<'_>> = cells.iter().map(|(_, old, _)| old.value()).collect();
        let new: Vec<Value<'_>> = cells.iter().map(|(_, _, new)| new.value()).collect();
        let (old_row, new_row) = (TestRow(&old), TestRow(&new));
        let change = match kind {
            0 => insert(&new),
            1 => RowChange { operation: Operation::Update, before: Some(old_row), after: Some(new_row), key: new_row, old_key: Some(old_row) },
            2 => RowChange { operation: Operation::Update, before: None, after: Some(new_row), key: new_row, old_key: None },
            _ => RowChange { operation: Operation::Delete, before: None, after: None, key: old_row, old_key: None },
        };
        let origin = Origin { commit_time_ms: i64::from(time) * 1_000 + 7, ..ORIGIN };
        let read = Decoded::of(&encode(&mut encoder, &change, &origin));
        prop_assert_eq!(read.long("sourceTimestamp"), i64::from(time));
        prop_assert_eq!(read.long("bornTimestamp"), i64::from(time) * 1_000 + 7);
        prop_assert_eq!(read.text("objectName"), "shop.s\\u002Ex.t");
        prop_assert_eq!(read.array("fields").len(), columns.len());
        if kind != 3 {
            prop_assert_eq!(read.array("afterImages").len(), columns.len());
        }
        if kind != 0 {
            prop_assert_eq!(read.array("beforeImages").len(), columns.len());
        }
    }

    #[test]
    fn any_text_and_any_bytes_arrive_as_they_were(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let columns = [(25, "a".to_owned(), true), (17, "b".to_owned(), true), (869, "c".to_owned(), true)];
        let mut encoder = DtsAvro::new(Family::PostgreSql, "15.18", 3, usize::MAX);
        encoder.prepare(TABLE, &postgres::shape("shop", &table(&columns)));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let row = [Value::Text(text.as_bytes()), Value::HexBytes(hex.as_bytes()), Value::Text(text.as_bytes())];
        let read = Decoded::of(&encode(&mut encoder, &insert(&row), &ORIGIN));
        let value = |index| match read.item("afterImages", index).1 {
            Avro::Record(fields) => fields[1].1.clone(),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(value(0), Avro::Bytes(text.clone().into_bytes()));
        prop_assert_eq!(value(1), Avro::Bytes(bytes));
        prop_assert_eq!(value(2), Avro::String(text));
    }
}
