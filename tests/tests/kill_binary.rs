//! headwater is killed with -9 while it reads rows that have no text: the server refuses them as text, and it reconnects
//! to read their transactions in binary form (`docs/decisions/0022-rows-that-have-no-text.md`). The log must equal the
//! database's own tables.
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `HEADWATER_BINARY_KILLS` | how many kills (`scripts/torture binary=N`) | 3 |
//! | `HEADWATER_SEED` | repeats the workload and the moments of a run | a new one, printed |
//! | `HEADWATER_POSTGRES` | 15 or 18 | 15 |
//!
//! One writer, inserts only, ids in the order of its transactions: what the tables hold in the end is the history.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{fmt::Write as _, thread, time::Duration};

use headwater_tests::{
    harness::{Configured, Headwater, Options, Postgres, Session},
    random::{Random, seed_from_environment},
    torture,
    wire::{Record, Wire},
};
use serde_json::Value;

/// A type whose text would be of 2 GB, as the server reckons: its first bytes are taken for the length of a bit string.
/// Its binary form is what it holds.
const SCHEMA: &str = "
    CREATE TYPE untold;
    CREATE FUNCTION untold_in(cstring) RETURNS untold LANGUAGE internal IMMUTABLE STRICT AS 'byteain';
    CREATE FUNCTION untold_out(untold) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'varbit_out';
    CREATE FUNCTION untold_send(untold) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'byteasend';
    CREATE TYPE untold (INPUT = untold_in, OUTPUT = untold_out, SEND = untold_send, LIKE = bytea);
    CREATE TABLE plain (id bigint PRIMARY KEY, note text);
    CREATE TABLE poison (id bigint PRIMARY KEY, note text, amount numeric, held untold)";

/// Without the column that no format has a form for.
const COLUMNS: &str = "[instance.columns]\nexclude = [\"public.poison.held\"]";

/// What headwater logs when it reconnects for such a row.
const RECONNECTS: &str = "its transaction is read in binary form";

const LIMIT: Duration = Duration::from_secs(60);

/// The one client of the database.
struct Writer {
    random: Random,
    session: Session,
    id: u64,
}

impl Writer {
    /// A transaction of a few rows in both tables; `poisoned`: one of them has no text.
    fn write(&mut self, poisoned: bool) {
        let mut script = "BEGIN;".to_owned();
        let rows = self.random.within(1..40);
        let at = poisoned.then(|| self.random.within(0..rows));
        for row in 0..rows {
            self.id += 1;
            let id = self.id;
            let held = if at == Some(row) {
                "'\\xfeffff7f'"
            } else {
                "NULL"
            };
            write!(
                script,
                "INSERT INTO plain VALUES ({id}, repeat('{id} ', 20)); \
                 INSERT INTO poison VALUES ({id}, 'it''s {id}', {id} / 7.0, {held});"
            )
            .unwrap();
        }
        self.session.run(&(script + "COMMIT;"));
    }
}

/// How often it has reconnected for a row.
fn reconnects(headwater: &Headwater) -> usize {
    headwater.log().matches(RECONNECTS).count()
}

#[test]
fn killed_while_it_reconnects_for_rows_without_text_nothing_is_lost_or_doubled() {
    let seed = seed_from_environment();
    let kills = torture::number("HEADWATER_BINARY_KILLS", 3);
    eprintln!("binary: seed {seed} (HEADWATER_SEED={seed} repeats it), {kills} kills");
    let postgres = Postgres::start(torture::postgres_from_environment());
    postgres.execute(SCHEMA);
    let data = tempfile::tempdir().unwrap();
    let mut options = Options::of(&postgres, &data.path().join("data"));
    options.configured = Some(Configured {
        instance: COLUMNS.to_owned(),
        ..Configured::default()
    });
    let mut headwater = Headwater::start(&options);
    let mut moments = Random::new(seed, 1);
    let mut writer = Writer {
        random: Random::new(seed, 2),
        session: postgres.session(),
        id: 0,
    };
    for _ in 0..kills {
        let before = reconnects(&headwater);
        for number in 0..4 {
            writer.write(number % 2 == 1);
        }
        let has_begun = |headwater: &Headwater| reconnects(headwater) > before;
        headwater.wait_within(LIMIT, "it reconnects for a row", has_begun);
        thread::sleep(Duration::from_millis(moments.within(0..150)));
        headwater.kill();
        headwater.spawn_again();
    }
    writer.write(false);
    for table in ["plain", "poison"] {
        compare(&postgres, &mut headwater, table);
    }
    assert!(headwater.log().contains("rows are read as text again"));
    assert!(headwater.stop().success(), "{}", headwater.log());
}

/// The table's rows against the topic's records.
fn compare(postgres: &Postgres, headwater: &mut Headwater, table: &str) {
    let amount = if table == "poison" { "amount" } else { "NULL" };
    let sql = format!("SELECT id, xmin, note, {amount} FROM {table} ORDER BY id");
    let expected = postgres.query(&sql);
    let topic = headwater.topic(table);
    let read = |headwater: &Headwater| -> Option<Vec<Record>> {
        let mut wire = Wire::connect(&headwater.bootstrap()).ok()?;
        wire.read_to_end(&topic, 0).ok()
    };
    headwater.wait_within(LIMIT, "all records are there", |headwater| {
        read(headwater).is_some_and(|records| records.len() >= expected.len())
    });
    let found: Vec<Vec<String>> = read(headwater).unwrap().iter().map(row).collect();
    assert_eq!(found, expected, "{table}");
}

/// A record as the query gives it.
fn row(record: &Record) -> Vec<String> {
    let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
    let after = value["after"].as_object().unwrap();
    assert!(!after.contains_key("held"), "an excluded column: {value}");
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    vec![
        text(after.get("id")),
        text(value["source"].get("txId")),
        text(after.get("note")),
        text(after.get("amount")),
    ]
}
