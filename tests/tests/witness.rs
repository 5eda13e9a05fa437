//! The judge's own ground: what the witness tells, replayed, must give the tables as they are. Without headwater.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use headwater_tests::{
    change::{Cell, Operation, Row},
    harness::{Postgres, Version},
    witness::{Transaction, Witness},
    workload::{self, Largest, Load, Writer},
};

const WRITERS: u64 = 2;
const SCRIPTS: usize = 250;
const SEED: u64 = 20_261_122;

#[test]
fn the_witness_of_postgresql_15_tells_how_the_tables_came_to_be() {
    the_witness_tells_how_the_tables_came_to_be(Version::V15);
}

#[test]
fn the_witness_of_postgresql_18_tells_how_the_tables_came_to_be() {
    the_witness_tells_how_the_tables_came_to_be(Version::V18);
}

fn the_witness_tells_how_the_tables_came_to_be(version: Version) {
    let postgres = Postgres::start(version);
    postgres.execute(&workload::schema(WRITERS));
    let witness = Witness::of(&postgres, "witness");
    let mut first = Vec::new();
    for number in 0..WRITERS {
        let (mut writer, mut session) = (
            Writer::new(SEED, number, (Load::Mixed, Largest::OutgrowsMemory)),
            postgres.session(),
        );
        for _ in 0..SCRIPTS {
            session.run(&writer.script());
        }
        assert_eq!(
            session.log(),
            "",
            "every script of the workload is good SQL"
        );
        // A second testimony goes on where the first ended.
        if number == 0 {
            first = witness.testify(&postgres);
        }
    }
    let history: Vec<Transaction> = first
        .into_iter()
        .chain(witness.testify(&postgres))
        .collect();
    assert_eq!(
        replay(&history, "public.ledger", &["writer", "seq", "idx"]),
        table(&postgres, "ledger")
    );
    assert_eq!(
        replay(&history, "public.stock", &["id"]),
        table(&postgres, "stock")
    );
    assert_eq!(
        replay(&history, "public.wide", &["id"]),
        table(&postgres, "wide")
    );
}

/// The table's rows by their key, after all changes of the history.
fn replay(history: &[Transaction], table: &str, key: &[&str]) -> BTreeMap<Vec<Cell>, Row> {
    let mut rows: BTreeMap<Vec<Cell>, Row> = BTreeMap::new();
    let changes = history.iter().flat_map(|transaction| &transaction.changes);
    for change in changes.filter(|change| change.table == table) {
        let key_of = |row: &Row| {
            key.iter()
                .map(|&name| row[name].clone())
                .collect::<Vec<Cell>>()
        };
        let old_key = match (change.operation, &change.before, &change.after) {
            (Operation::Delete, _, _) => Some(key_of(&change.key)),
            (Operation::Update, Some(before), _) => Some(key_of(before)),
            (Operation::Update, None, Some(after)) => Some(key_of(after)),
            (Operation::Insert, _, _) | (Operation::Update, None, None) => None,
        };
        let old = old_key.map(|key| {
            rows.remove(&key)
                .unwrap_or_else(|| panic!("no old row: {change}"))
        });
        if let Some(after) = &change.after {
            let mut after = after.clone();
            for (name, cell) in &mut after {
                if *cell == Cell::Unchanged {
                    *cell = old.as_ref().expect("only an update leaves a value")[name].clone();
                }
            }
            assert!(
                rows.insert(key_of(&after), after).is_none(),
                "two rows of one key: {change}"
            );
        }
    }
    rows
}

/// The table's rows by their key, as they are.
fn table(postgres: &Postgres, name: &str) -> BTreeMap<Vec<Cell>, Row> {
    let columns: Vec<String> = postgres
        .query(&format!("SELECT attname FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attnum > 0 ORDER BY attnum"))
        .concat();
    let key = if name == "ledger" { 3 } else { 1 };
    let text = |column: &String| format!("coalesce({column}::text, '\\N')");
    let list: Vec<String> = columns.iter().map(text).collect();
    let rows = postgres.query(&format!("SELECT {} FROM {name}", list.join(", ")));
    let cell = |value: String| {
        if value == "\\N" {
            Cell::Null
        } else {
            Cell::Text(value)
        }
    };
    rows.into_iter()
        .map(|row| {
            let cells: Vec<Cell> = row.into_iter().map(cell).collect();
            (
                cells[..key].to_vec(),
                columns.iter().cloned().zip(cells).collect(),
            )
        })
        .collect()
}
